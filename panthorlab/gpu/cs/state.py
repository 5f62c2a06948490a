# SPDX-License-Identifier: GPL-2.0-or-later
"""The states and status of a command stream, and its format in a suspend buffer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from panthorlab.gpu.cs.opcodes import InstructionSet

MAX_DEFERRED = 16
"""Deferred operations per stream that may wait for scoreboard slots; one more blocks the stream."""
MAX_JOBS = 8
"""Endpoint jobs in flight per stream; one more blocks the stream."""


class StreamState(IntEnum):
    """Why `CommandStream.run` returned."""

    RUNNING = 0  # the budget is used up: call again
    BLOCKED = 1  # waits (see CsStatus.blocked_reason): call again when woken or when memory may have changed
    IDLE = 2  # the ring is empty and nothing is in flight: call again after `insert` moved
    STALLED = 3  # an access met a LOCKed region: call again when the MMU releases it
    PAUSED = 4  # CS_FAULT reported: call `acknowledge_fault`
    DEAD = 5  # CS_FATAL reported: nothing but a new `start` helps
    SPINNING = 6  # loops without effect until memory changes, a timer fires or it is stopped: call again, ever later


class BlockedReason(IntEnum):
    """CS_STATUS_BLOCKED_REASON."""

    UNBLOCKED = 0
    SCOREBOARD = 1
    PROGRESS = 2
    SYNC = 3
    DEFERRED = 4
    RESOURCE = 5
    FLUSH = 6


class Oom(IntEnum):
    """State of a stream's TILER_OOM hand-shake."""

    NONE = 0
    ASKED = 1
    WAIT_FRAGMENT = 2  # out of chunks, but fragment work may still return some
    PENDING = 3  # out of chunks, and no stream of the heap has an exception handler yet
    HANDLER = 4  # out of chunks, and an exception handler was called


class Slice(NamedTuple):
    """The result of one `run`: instructions retired, and the state it ended in."""

    retired: int
    state: StreamState


@dataclass(frozen=True, slots=True)
class CsStatus:
    """The CS output status words, as in the firmware interface (docs/fidelity.md, "CS output")."""

    cmd_ptr: int
    wait: int
    req_resource: int
    wait_sync_ptr: int
    wait_sync_value: int
    scoreboards: int
    blocked_reason: int


class CallFrame(NamedTuple):
    """A saved caller: return address, bounds of its buffer, and the address of the instruction that it left."""

    pc: int
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class SavedDeferred:
    """A deferred operation: its word and the operands read from registers at issue."""

    word: int
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class SavedJob:
    """An endpoint job in flight. `chunk`: taken from the free list but not linked yet."""

    slot: int
    progress: bool
    remaining: float  # seconds of simulated work
    chunks: int
    tiler_context: int
    chunk: int


@dataclass(frozen=True, slots=True)
class SavedStream:
    """Everything about a stream that SUSPEND keeps. `to_bytes` is at most `saved_size` bytes long."""

    registers: tuple[int, ...]
    pc: int
    start: int
    end: int
    ring_shift: int  # stream position minus VA, at ring level
    ring_base: int
    ring_size: int
    insert: int
    extract: int
    frames: tuple[CallFrame, ...]
    scoreboards: tuple[int, ...]
    endpoint_slot: int
    other_slot: int
    resources: int
    progress: int
    error: int
    skipping: bool
    dead: bool
    handler: tuple[int, int]
    handler_depth: int
    oom: Oom  # PENDING or HANDLER; from any other state the hand-shake starts again
    heap_address: int
    heap: bytes
    jobs: tuple[SavedJob, ...]
    deferred: tuple[SavedDeferred, ...]

    def to_bytes(self) -> bytes:
        head = _head(len(self.registers), len(self.scoreboards))
        parts = [
            head.pack(
                _MAGIC,
                len(self.frames),
                len(self.jobs),
                len(self.deferred),
                *self.registers,
                self.pc,
                self.start,
                self.end & _M64,
                self.ring_shift & _M64,
                self.ring_base,
                self.ring_size,
                self.insert,
                self.extract,
                *self.scoreboards,
                self.endpoint_slot,
                self.other_slot,
                self.resources,
                self.progress,
                self.error,
                self.skipping,
                self.dead,
                *self.handler,
                self.handler_depth,
                self.oom,
                self.heap_address,
                self.heap,
            ),
            *(_FRAME.pack(f.pc, f.start, f.end, f.at) for f in self.frames),
            *(_JOB.pack(j.slot, j.progress, j.remaining, j.chunks, j.tiler_context, j.chunk) for j in self.jobs),
            *(_DEFERRED.pack(d.word, d.a, d.b) for d in self.deferred),
        ]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes, isa: InstructionSet) -> SavedStream:
        """The inverse of `to_bytes`; trailing bytes are ignored. Raises ValueError for an impossible state."""
        try:
            return cls._unpack(data, isa)
        except struct.error as error:
            raise ValueError(f"no saved command stream: {error}") from None

    @classmethod
    def _unpack(cls, data: bytes, isa: InstructionSet) -> SavedStream:
        head = _head(isa.registers, isa.scoreboards)
        magic, n_frames, n_jobs, n_deferred, *rest = head.unpack_from(data)
        if magic != _MAGIC or n_frames > isa.call_depth or n_jobs > MAX_JOBS or n_deferred > MAX_DEFERRED:
            raise ValueError("no saved command stream")
        registers, rest = tuple(rest[: isa.registers]), rest[isa.registers :]
        pc, start, end, shift, base, size, insert, extract, *rest = rest
        scoreboards, rest = tuple(rest[: isa.scoreboards]), rest[isa.scoreboards :]
        endpoint, other, resources, progress, error, skipping, dead, *rest = rest
        h_va, h_size, h_depth, oom, heap_address, heap = rest
        at = head.size
        frames = tuple(CallFrame(*_FRAME.unpack_from(data, at + i * _FRAME.size)) for i in range(n_frames))
        at += n_frames * _FRAME.size
        jobs = tuple(SavedJob(*_JOB.unpack_from(data, at + i * _JOB.size)) for i in range(n_jobs))
        at += n_jobs * _JOB.size
        deferred = tuple(
            SavedDeferred(*_DEFERRED.unpack_from(data, at + i * _DEFERRED.size)) for i in range(n_deferred)
        )
        shift -= (shift >> 63) << 64
        places = (CallFrame(pc, start, end, pc), *frames)
        sane = (
            all(f.start <= f.pc <= f.end and not (f.pc | f.start | f.end | f.at) & 7 for f in places)
            and max(endpoint, other, *(job.slot for job in jobs), 0) < isa.scoreboards
            and h_depth <= n_frames
            and all(0 <= job.remaining < _LONGEST for job in jobs)
            and oom in (Oom.NONE, Oom.PENDING, Oom.HANDLER)
        )
        if not (sane or dead):
            raise ValueError("no saved command stream")
        return cls(
            registers,
            pc,
            start,
            end,
            shift,
            base,
            size,
            insert,
            extract,
            frames,
            scoreboards,
            endpoint,
            other,
            resources,
            progress,
            error,
            skipping,
            dead,
            (h_va, h_size),
            h_depth,
            Oom(oom) if sane else Oom.NONE,
            heap_address,
            heap,
            jobs,
            deferred,
        )


_M64 = (1 << 64) - 1
_LONGEST = 1e9
_MAGIC = 0x50534356
_FRAME = struct.Struct("<4Q")
_JOB = struct.Struct("<I?dIQQ")
_DEFERRED = struct.Struct("<3Q")


@cache
def _head(registers: int, scoreboards: int) -> struct.Struct:
    return struct.Struct(f"<4I{registers}I8Q{scoreboards}I3IQI??QIiIQ32s")


def saved_size(isa: InstructionSet) -> int:
    """Maximum size of one stream's saved state in bytes."""
    return (
        _head(isa.registers, isa.scoreboards).size
        + (isa.call_depth + 1) * _FRAME.size
        + MAX_JOBS * _JOB.size
        + MAX_DEFERRED * _DEFERRED.size
    )
