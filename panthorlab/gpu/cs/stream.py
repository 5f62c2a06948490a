# SPDX-License-Identifier: GPL-2.0-or-later
"""One command stream: start and stop, slices, faults. `interpreter` executes its instructions, `ring` maps its ring
buffer, `suspension` saves and restores it."""

from __future__ import annotations

import time
from collections.abc import Callable

from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.heap import CONTEXT_SIZE, GroupHeaps
from panthorlab.gpu.cs.interpreter import Interpreter
from panthorlab.gpu.cs.machine import CS_BUS_FAULT, UNBLOCKED, CsFatalError, CsFaultError, Hold, StreamMachine
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.ports import BusError, FirmwarePort, Memory, MemoryFault, MemoryStall
from panthorlab.gpu.cs.ring import Ring
from panthorlab.gpu.cs.settle import settle
from panthorlab.gpu.cs.state import BlockedReason, CsStatus, Oom, SavedStream, Slice, StreamState
from panthorlab.gpu.cs.suspension import restore, save

_STOPPED = (StreamState.PAUSED, StreamState.DEAD)
_SPINNING = StreamState.SPINNING
_WAITING = (StreamState.BLOCKED, StreamState.IDLE)  # maybe for asynchronous work


class CommandStream:
    """A command stream interface with its interpreter.

    `heaps` must be the same object for all streams of a group (and a new one for a new group): render passes are
    started by one queue and finished by another. `clock` (seconds) gives the time left of a job at SUSPEND.

    All memory accesses happen in `run`. Errors of a stream raise no exception: every outcome is a StreamState, and
    each fault is reported once through `firmware` before `run` returns.
    """

    def __init__(
        self,
        index: int,
        memory: Memory,
        firmware: FirmwarePort,
        params: CsParams,
        fetcher: Fetcher,
        *,
        heaps: GroupHeaps | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.index = index
        self._isa, self._interpreter = fetcher.isa, Interpreter(fetcher)
        self._memory, self._firmware, self._params, self._clock = memory, firmware, params, clock
        self._heaps = heaps if heaps is not None else GroupHeaps()
        self._ring = Ring()
        self._state = StreamState.IDLE
        self._started = False
        self._m = self._machine()

    def _machine(self) -> StreamMachine:
        return StreamMachine(self._isa, self._memory, self._firmware, self._params, self._heaps, self._clock)

    # --- life

    def start(self, ring_base: int, ring_size: int, extract: int, insert: int) -> None:
        """CS START: everything is reset (also the heap binding); fetching begins at `extract` with the next `run`."""
        self.stop()
        self._m = self._machine()
        self._ring = Ring(ring_base, ring_size, insert)
        self._started = True
        self._state = StreamState.RUNNING
        self._ring.enter(self._m, extract)

    def stop(self) -> None:
        """TERMINATE: drop all work without another memory access. `status` and `extract` stay readable."""
        self._m.abandon()
        if self._m.heap is not None:
            self._heaps.release(self._m.heap, self._m)
            self._m.heap = None
        self._started = False
        self._state = StreamState.IDLE

    def save(self) -> SavedStream:
        """Everything that SUSPEND keeps. The stream is not changed; `stop` it afterwards. Call between slices."""
        return save(self._m, self._ring, dead=self._state is StreamState.DEAD)

    def restore(self, saved: SavedStream, extract: int) -> None:
        """CS RESUME instead of `start`; set `insert` afterwards. `extract` is what the driver put into EXTRACT_INIT: if
        it differs from the saved one, called buffers are forgotten and the stream goes on there. An unanswered
        TILER_OOM is raised again. A CS_FAULT counts as acknowledged: the driver drops it with the slot. Raises
        ValueError for a word that cannot be a deferred operation."""
        self.stop()
        m = self._m = self._machine()
        self._ring = Ring(saved.ring_base, saved.ring_size, saved.insert, saved.ring_shift)
        restore(m, saved)
        self._started = True
        self._state = StreamState.DEAD if saved.dead else StreamState.RUNNING
        if extract != saved.extract:
            m.frames.clear()
            m.handler_depth = 0
            self._ring.enter(m, extract)

    # --- the ring

    @property
    def insert(self) -> int:
        """INSERT: the stream position at which the instructions in the ring end. Setting it wakes the stream."""
        return self._ring.insert

    @insert.setter
    def insert(self, value: int) -> None:
        if value != self._ring.insert:
            self._ring.insert = value
            self._firmware.wake()

    @property
    def extract(self) -> int:
        """Stream position of the instruction executed at ring level: that of the CALL while a called buffer runs."""
        return self._ring.extract(self._m)

    # --- execution

    def run(self, budget: int, *, refetch: bool = True) -> Slice:
        """Execute at most `budget` instructions. Code fetched in an earlier call is fetched again, unless the stream is
        SPINNING and `refetch` is False: then it loops in its prefetch buffer and does not see changes of memory."""
        if self._state in _STOPPED or not self._started:
            return Slice(0, self._state)
        m = self._m
        m.left = budget
        m.blocked = UNBLOCKED
        if refetch or self._state is not _SPINNING:
            m.forget_code()
        self._interpreter.forget()
        try:
            self._ring.check(m)
            self._state = self._run()
        except MemoryStall:
            self._state = StreamState.STALLED
        except CsFatalError as error:
            self._die(error.exception_type, error.info)
        except CsFaultError as error:
            self._fault(error.exception_type, error.info, in_stream=error.in_stream)
        except (MemoryFault, BusError) as error:
            self._fault(CS_BUS_FAULT, error.va, in_stream=True)
        return Slice(budget - m.left, self._state)

    def _run(self) -> StreamState:
        m = self._m
        if not m.frames:
            self._ring.enter(m, m.pc + self._ring.shift)
        settle(m)
        while True:
            try:
                state = self._interpreter.run(m, self._ring)
            except Hold:
                state = StreamState.BLOCKED
            if not (m.jobs or m.deferred) or state not in _WAITING:
                return state
            if not settle(m):
                return StreamState.BLOCKED
            m.blocked = UNBLOCKED

    def _fault(self, exception_type: int, info: int, *, in_stream: bool) -> None:
        m = self._m
        if in_stream:
            m.pc += 8
            m.left -= 1
        m.error = exception_type
        m.skipping = self._params.resume == "skip"
        self._state = StreamState.PAUSED
        self._firmware.raise_fault(exception_type, self._params.exception_data, info)

    def break_off(self, exception_type: int, *, fatal: bool) -> None:
        """Report an injected error before the next instruction."""
        if not self._started or self._state in _STOPPED:
            return
        if fatal:
            self._die(exception_type, 0)
        else:
            self._fault(exception_type, 0, in_stream=False)

    def _die(self, exception_type: int, info: int) -> None:
        self._m.abandon()
        self._state = StreamState.DEAD
        self._firmware.raise_fatal(exception_type, self._params.exception_data, info)

    def acknowledge_fault(self) -> None:
        """The driver has acknowledged CS_FAULT: continue (see CsParams.resume)."""
        if self._state is StreamState.PAUSED:
            self._state = StreamState.RUNNING
            self._firmware.wake()

    # --- what the firmware interface shows

    def status(self) -> CsStatus:
        """The status words as of the last slice."""
        m = self._m
        reason = m.blocked.reason
        return CsStatus(
            m.pc,
            m.blocked.wait,
            m.resources,
            m.blocked.sync_ptr,
            m.blocked.sync_value,
            m.busy,
            int(reason) if self._state is StreamState.BLOCKED else int(BlockedReason.UNBLOCKED),
        )

    @property
    def state(self) -> StreamState:
        return self._state

    @property
    def idle(self) -> bool:
        """Whether the stream may count as idle: empty or blocked on a sync object, and no work in flight."""
        waits = self._state is StreamState.BLOCKED and self._m.blocked.reason is BlockedReason.SYNC
        return not self._m.busy and (waits or self._state is StreamState.IDLE)

    @property
    def working(self) -> bool:
        """Whether endpoint jobs are in flight that only need time. SUSPEND may wait for them."""
        return any(job.timed for job in self._m.jobs)

    @property
    def progress(self) -> int:
        """The progress counter, which other streams of the group can wait for (PROGRESS_WAIT)."""
        return self._m.progress

    # --- the heap

    @property
    def heap_address(self) -> int:
        """VA of the bound heap context, 0 if none."""
        return self._m.heap.address if self._m.heap else 0

    @property
    def heap_vt_start(self) -> int:
        """Render passes started."""
        return self._m.heap.vt_start if self._m.heap else 0

    @property
    def heap_vt_end(self) -> int:
        """Render passes whose vertex/tiler work is finished."""
        return self._m.heap.vt_end if self._m.heap else 0

    @property
    def heap_frag_end(self) -> int:
        """Render passes whose fragment work is finished."""
        return self._m.heap.frag_end if self._m.heap else 0

    def heap_context_bytes(self) -> bytes:
        """The 32 bytes to write to `heap_address` at SUSPEND and TERMINATE; zeroes if no heap is bound."""
        return self._m.heap.to_bytes() if self._m.heap else bytes(CONTEXT_SIZE)

    def answer_tiler_oom(self, start: int, end: int) -> None:
        """The driver's answer: first and last chunk (VA | size >> 12), or 0, 0 for no memory."""
        if self._m.oom is Oom.ASKED:
            self._m.oom_answer = (start, end)
            self._firmware.wake()
