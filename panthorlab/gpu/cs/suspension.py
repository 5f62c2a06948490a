# SPDX-License-Identifier: GPL-2.0-or-later
"""Saves the state of a `StreamMachine` for SUSPEND and restores it."""

from __future__ import annotations

from panthorlab.gpu.cs.heap import CONTEXT_SIZE
from panthorlab.gpu.cs.machine import Deferred, EndpointJob, StreamMachine
from panthorlab.gpu.cs.ring import Ring
from panthorlab.gpu.cs.state import Oom, SavedDeferred, SavedJob, SavedStream
from panthorlab.gpu.cs.units import deferred_effect


def save(m: StreamMachine, ring: Ring, *, dead: bool) -> SavedStream:
    """The saved state of `m` and `ring`, which are not changed."""
    now = m.clock()
    jobs = tuple(
        SavedJob(j.slot, j.progress, max(0.0, j.deadline - now) if j.timed else 0.0, j.chunks, j.tiler_context, j.chunk)
        for j in m.jobs
    )
    return SavedStream(
        tuple(m.regs),
        m.pc,
        m.start,
        m.end,
        ring.shift,
        ring.base,
        ring.size,
        ring.insert,
        ring.extract(m),
        tuple(m.frames),
        tuple(m.slots),
        m.endpoint_slot,
        m.other_slot,
        m.resources,
        m.progress,
        m.error,
        m.skipping,
        dead,
        m.handler,
        m.handler_depth,
        m.oom if m.oom in (Oom.PENDING, Oom.HANDLER) else Oom.NONE,
        m.heap.address if m.heap else 0,
        m.heap.to_bytes() if m.heap else bytes(CONTEXT_SIZE),
        jobs,
        tuple(SavedDeferred(d.word, d.a, d.b) for d in m.deferred),
    )


def restore(m: StreamMachine, saved: SavedStream) -> None:
    """Restore the saved state into a new machine. Raises ValueError for a word that cannot be a deferred operation."""
    m.regs[:] = saved.registers
    m.pc, m.start, m.end, m.frames = saved.pc, saved.start, saved.end, list(saved.frames)
    m.endpoint_slot, m.other_slot, m.resources = saved.endpoint_slot, saved.other_slot, saved.resources
    m.progress, m.error, m.skipping = saved.progress, saved.error, saved.skipping
    m.handler, m.handler_depth = saved.handler, saved.handler_depth
    if saved.heap_address:
        m.heap = m.heaps.bind(saved.heap_address, saved.heap, m)
    for kept in saved.deferred:
        instruction, effect = deferred_effect(m.isa, kept.word)
        m.deferred.append(Deferred(kept.word, instruction["wait"], instruction["signal"], effect, kept.a, kept.b))
        m.take(instruction["signal"])
    for work in saved.jobs:
        job = EndpointJob(
            work.slot, work.progress, m.clock() + work.remaining, work.chunks, work.tiler_context, work.chunk
        )
        m.take(work.slot)
        m.jobs.append(job)
        m.time(job, work.remaining)
    m.oom = saved.oom
    m.forget_code()
