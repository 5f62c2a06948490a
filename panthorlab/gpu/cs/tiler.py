# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiler's use of heap chunks (no geometry): taking, chaining and returning them, and out of memory.

Chunks come from the heap's free list; the first one from the heap descriptor that the tiler context (d40) points to.
A chunk in use is chained through its header, newest first, between "completed top" and "completed bottom" of the
tiler context, which is where FINISH_FRAGMENT's operands come from (Mesa: words 10-13). All accesses go through
the page tables. With d40 = 0 there is no first chunk and no chain.
"""

from __future__ import annotations

import struct

from panthorlab.gpu.cs.heap import CHUNK_VA, HeapContext
from panthorlab.gpu.cs.machine import OOM, CsFaultError, EndpointJob, StreamMachine
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.state import Oom

_HEAP_POINTER = 24  # tiler context, word 6
_COMPLETED = 40  # tiler context, words 10-13: top, bottom
_FIRST_CHUNK_TAKEN = 1


def supply(machine: StreamMachine, job: EndpointJob) -> bool:
    """Give `job` the chunks that it needs. False: it must wait. Can be restarted after a stall at any access."""
    heap = machine.heap
    while job.chunks:
        if heap is None:
            raise CsFaultError(OOM, 0, in_stream=False)
        if not job.chunk:
            if heap.handling:
                return False
            if not _available(machine, heap, job):
                _ask(machine, heap)
                return False
            header = machine.memory.read(heap.free & CHUNK_VA, 8, Requester.TILER)
            job.chunk, heap.free = heap.free, int.from_bytes(header, "little")
            if machine.oom is not Oom.ASKED:
                machine.oom = Oom.NONE
        _chain(machine, job)
        job.chunk = 0
        job.chunks -= 1
    return True


def release(machine: StreamMachine, heap: HeapContext, first: int, last: int) -> None:
    """Put the chunks `first`..`last` (chained through their headers) on the free list."""
    machine.store(last & CHUNK_VA, heap.free.to_bytes(8, "little"))
    heap.free = first
    machine.firmware.wake_group()


def take_answer(machine: StreamMachine) -> bool:
    """Act on the driver's answer to TILER_OOM. False: there is no answer."""
    heap = machine.heap
    if machine.oom_answer is None:
        return False
    first, last = machine.oom_answer
    if heap is None or not (first or any(job.chunks for job in machine.jobs)):
        machine.oom = Oom.NONE  # no job waits for a chunk any more
    elif first:
        machine.store((last or first) & CHUNK_VA, heap.free.to_bytes(8, "little"), Requester.TILER)
        heap.free = first
        machine.oom = Oom.NONE
    else:
        _refused(machine, heap)
    machine.oom_answer = None
    return True


def _refused(machine: StreamMachine, heap: HeapContext) -> None:
    if (heap.vt_end - heap.frag_end) & 0xFFFFFFFF:
        machine.oom, machine.oom_mark = Oom.WAIT_FRAGMENT, heap.frag_end
    else:
        machine.oom = Oom.PENDING
        heap.raise_exception(machine)


def _available(machine: StreamMachine, heap: HeapContext, job: EndpointJob) -> bool:
    if machine.oom is Oom.NONE and machine.firmware.misbehaves("tiler-oom"):
        return False
    if not heap.free and not heap.flags & _FIRST_CHUNK_TAKEN and job.tiler_context:
        pointer = machine.memory.read(job.tiler_context + _HEAP_POINTER, 8, Requester.TILER)
        descriptor = machine.memory.read(int.from_bytes(pointer, "little"), 32, Requester.TILER)
        size, base = struct.unpack_from("<IQ", descriptor, 4)
        heap.flags |= _FIRST_CHUNK_TAKEN
        if base & CHUNK_VA:
            heap.free = base & CHUNK_VA | size >> 12
    return bool(heap.free & CHUNK_VA)


def _ask(machine: StreamMachine, heap: HeapContext) -> None:
    """The free list is empty: advance the TILER_OOM hand-shake, while the job waits."""
    if machine.oom is Oom.WAIT_FRAGMENT and heap.frag_end != machine.oom_mark:
        machine.oom = Oom.NONE
    if machine.oom is Oom.HANDLER:
        machine.oom = Oom.NONE
        raise CsFaultError(OOM, heap.address, in_stream=False)  # the handler freed nothing
    if machine.oom is Oom.NONE:
        machine.oom = Oom.ASKED
        machine.firmware.raise_tiler_oom()


def _chain(machine: StreamMachine, job: EndpointJob) -> None:
    top = bottom = 0
    context = job.tiler_context
    if context:
        top, bottom = struct.unpack("<2Q", machine.memory.read(context + _COMPLETED, 16, Requester.TILER))
    machine.store(job.chunk & CHUNK_VA, top.to_bytes(8, "little"), Requester.TILER)
    if context:
        machine.store(context + _COMPLETED, struct.pack("<2Q", job.chunk, bottom or job.chunk), Requester.TILER)
