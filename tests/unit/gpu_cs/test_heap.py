# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiler heaps: binding, counters, chunks, and running out of memory."""

from __future__ import annotations

import struct

import pytest

from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.state import SavedStream, StreamState
from panthorlab.gpu.cs.v10 import V10
from tests.unit.gpu_cs.standalone import Rig, encode

IDLE, BLOCKED, PAUSED = StreamState.IDLE, StreamState.BLOCKED, StreamState.PAUSED
E = encode
CONTEXT = 0x8000_0000_3000
CHUNK, SIZE = 0x8000_0020_0000, 0x20000
TILER, HEAP = Rig.DATA + 0x100, Rig.DATA + 0x200
PASS = (
    E("HEAP_OPERATION", operation=0),
    E("RUN_IDVS"),
    E("FINISH_TILING"),
    E("WAIT", wait=0xFF),
    E("HEAP_OPERATION", operation=1),
)


def chunk(n: int) -> int:
    return CHUNK + n * SIZE


def pointer(n: int) -> int:
    return chunk(n) | SIZE >> 12


class HeapRig(Rig):
    """A rig with a heap of `chunks` initial chunks, linked newest first as the kernel does, and Mesa's descriptors."""

    def __init__(self, chunks: int, params: CsParams, heaps: GroupHeaps | None = None) -> None:
        super().__init__(params, heaps=heaps)
        self.memory.map(CONTEXT, 4096)
        for n in range(chunks):
            self.memory.poke(chunk(n), (pointer(n - 1) if n else 0).to_bytes(8, "little"))
        first = chunk(chunks - 1) if chunks else 0
        self.memory.poke(HEAP, struct.pack("<IIQQQ", 0, SIZE, first, first + 64, first + SIZE))
        self.memory.poke(TILER, bytes(24) + HEAP.to_bytes(8, "little") + bytes(96))
        self.push(E("MOVE", dst=72, imm=CONTEXT), E("HEAP_SET", addr=72), E("MOVE", dst=40, imm=TILER))

    def completed(self) -> tuple[int, int]:
        return self.memory.peek64(TILER + 40), self.memory.peek64(TILER + 48)

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.stream.heap_vt_start, self.stream.heap_vt_end, self.stream.heap_frag_end

    def grant(self, n: int) -> None:
        self.memory.map(chunk(n), 4096)
        self.stream.answer_tiler_oom(pointer(n), pointer(n))


def finish_fragment(frag_end: int = 1) -> list[int]:
    """Mesa: the chunk list comes from words 10-13 of the tiler context."""
    return [
        E("MOVE", dst=10, imm=TILER),
        E("LOAD_MULTIPLE", base=12, addr=10, mask=0xF, offset=40),
        E("WAIT", wait=1),
        E("FINISH_FRAGMENT", first=12, last=14, frag_end=frag_end),
        E("MOVE", dst=12, imm=0),
        E("MOVE", dst=14, imm=0),
        E("STORE_MULTIPLE", base=12, addr=10, mask=0xF, offset=40),
        E("WAIT", wait=1),
    ]


def test_heap_set_binds_and_counts_are_cached_until_the_write_out() -> None:
    rig = HeapRig(1, CsParams())
    rig.memory.poke(CONTEXT, struct.pack("<4I2Q", 3, 2, 0, 1, 0, 0))
    rig.push(*[E("HEAP_OPERATION", operation=n) for n in (0, 0, 0, 1, 1, 3)])
    assert rig.run() is IDLE
    assert rig.stream.heap_address == CONTEXT
    assert rig.counts == (6, 4, 2)
    assert rig.memory.peek(CONTEXT, 32) == struct.pack("<4I2Q", 3, 2, 0, 1, 0, 0)
    assert rig.stream.heap_context_bytes() == struct.pack("<4I2Q", 6, 4, 0, 2, 0, 0)


def test_nothing_is_bound_without_heap_set_and_after_start() -> None:
    rig = HeapRig(1, CsParams())
    assert rig.run() is IDLE
    rig.stream.start(Rig.RING, 4096, 0, 0)
    assert (rig.stream.heap_address, rig.stream.heap_context_bytes()) == (0, bytes(32))


def test_binding_another_heap_writes_the_old_one_back() -> None:
    rig = HeapRig(1, CsParams())
    rig.push(
        E("HEAP_OPERATION"),
        E("MOVE", dst=72, imm=CONTEXT + 64),
        E("HEAP_SET", addr=72),
        E("HEAP_OPERATION"),
        E("HEAP_OPERATION"),
        E("HEAP_SET", addr=72),
    )
    assert rig.run() is IDLE
    assert rig.memory.peek32(CONTEXT) == 1
    assert (rig.stream.heap_address, rig.stream.heap_vt_start) == (CONTEXT + 64, 2)
    rig.push(E("MOVE", dst=72, imm=0), E("HEAP_SET", addr=72))
    assert rig.run() is IDLE
    assert (rig.stream.heap_address, rig.memory.peek32(CONTEXT + 64)) == (0, 2)


def test_the_streams_of_a_group_share_a_context() -> None:
    heaps = GroupHeaps()
    vertex = Rig(heaps=heaps)
    fragment = Rig(heaps=heaps, memory=vertex.memory, index=1)
    vertex.memory.map(CONTEXT, 4096)
    for rig, operations in ((vertex, (0, 0, 1)), (fragment, (3,))):
        rig.push(
            E("MOVE", dst=72, imm=CONTEXT),
            E("HEAP_SET", addr=72),
            *[E("HEAP_OPERATION", operation=n) for n in operations],
        )
        assert rig.run() is IDLE
    assert [(s.heap_vt_start, s.heap_vt_end, s.heap_frag_end) for s in (vertex.stream, fragment.stream)] == [
        (2, 1, 1)
    ] * 2
    vertex.stream.stop()
    assert fragment.stream.heap_vt_start == 2
    fragment.stream.stop()
    other = Rig(heaps=heaps, memory=vertex.memory)
    other.push(E("MOVE", dst=72, imm=CONTEXT), E("HEAP_SET", addr=72))
    assert other.run() is IDLE
    assert other.stream.heap_vt_start == 0  # forgotten with the last user


def test_the_tiler_leaves_the_heap_alone_unless_asked() -> None:
    rig = HeapRig(1, CsParams())
    before = {page: bytes(data) for page, data in rig.memory.pages.items() if page >= CHUNK >> 12}
    rig.push(*PASS)
    assert rig.run() is IDLE
    assert all(bytes(rig.memory.pages[page]) == data for page, data in before.items())


def test_chunks_are_taken_chained_and_returned() -> None:
    rig = HeapRig(3, CsParams(chunks_per_tiling=2))
    rig.push(*PASS)
    assert rig.run() is IDLE
    # newest first: the last chunk of the kernel's list was taken first
    assert rig.completed() == (pointer(1), pointer(2))
    assert rig.memory.peek64(chunk(1)) == pointer(2)
    assert rig.memory.peek64(chunk(2)) == 0
    rig.push(*finish_fragment())
    assert rig.run() is IDLE
    assert rig.counts == (1, 1, 1)
    rig.push(*PASS, *finish_fragment())  # the same two again
    assert rig.run() is IDLE
    assert not [e for e in rig.firmware.events if e[0] in ("oom", "fault", "fatal")]
    assert struct.unpack_from("<Q", rig.stream.heap_context_bytes(), 16)[0] in (pointer(1), pointer(2))


def test_an_unmapped_chunk_is_an_endpoint_fault() -> None:
    rig = HeapRig(1, CsParams(chunks_per_tiling=1))
    rig.memory.unmap(CHUNK, SIZE)
    rig.push(*PASS)
    assert rig.run() is PAUSED
    assert rig.firmware.events[-1] == ("fault", 0x44, 0, CHUNK)
    assert rig.stream.status().scoreboards == 0


def test_running_out_asks_the_driver_and_goes_on_with_its_chunk() -> None:
    rig = HeapRig(1, CsParams(chunks_per_tiling=3))
    rig.push(*PASS)
    assert rig.run() is BLOCKED
    assert rig.firmware.events.count(("oom",)) == 1
    assert rig.counts == (1, 0, 0)  # frag_end <= vt_end < vt_start: what the driver demands
    assert rig.run() is BLOCKED
    assert rig.firmware.events.count(("oom",)) == 1
    rig.grant(5)
    assert rig.run() is BLOCKED
    assert rig.firmware.events.count(("oom",)) == 2
    rig.grant(6)
    assert rig.run() is IDLE
    assert rig.completed() == (pointer(6), pointer(0))
    assert rig.memory.peek64(chunk(6)) == pointer(5)


def test_without_a_tiler_context_the_first_chunk_is_asked_for() -> None:
    rig = HeapRig(1, CsParams(chunks_per_tiling=1))
    rig.push(E("MOVE", dst=40, imm=0), *PASS)
    assert rig.run() is BLOCKED
    assert rig.firmware.events[-1] == ("oom",)
    rig.grant(3)
    assert rig.run() is IDLE


def test_a_job_that_needs_chunks_without_a_heap_is_out_of_memory() -> None:
    rig = Rig(CsParams(chunks_per_tiling=1))
    rig.push(E("RUN_TILING"), E("WAIT", wait=1))
    assert rig.run() is PAUSED
    assert rig.firmware.events[-1] == ("fault", 0x60, 0, 0)


def test_refused_with_fragment_work_pending_waits_for_it() -> None:
    heaps = GroupHeaps()
    rig = HeapRig(1, CsParams(chunks_per_tiling=1))
    rig.stream.stop()
    rig.heaps = heaps
    rig.stream = rig.new_stream()
    rig.stream.start(rig.ring, 4096, 0, 24)
    rig.push(*PASS, *PASS)
    assert rig.run() is BLOCKED
    assert rig.counts == (2, 1, 0)
    rig.stream.answer_tiler_oom(0, 0)
    assert rig.run() is BLOCKED
    assert rig.firmware.events.count(("oom",)) == 1
    fragment = Rig(heaps=heaps, memory=rig.memory, index=1)
    fragment.push(E("MOVE", dst=72, imm=CONTEXT), E("HEAP_SET", addr=72), *finish_fragment())
    assert fragment.run() is IDLE
    assert ("wake_group",) in fragment.firmware.events
    assert rig.run() is IDLE
    assert rig.counts == (2, 2, 1)


def handler_rig(chunks: int, handler: list[int]) -> HeapRig:
    rig = HeapRig(chunks, CsParams(chunks_per_tiling=2))
    rig.memory.poke(Rig.CODE + 0x8000, b"".join(word.to_bytes(8, "little") for word in handler))
    rig.push(
        E("MOVE", dst=86, imm=Rig.CODE + 0x8000),
        E("MOVE32", dst=88, imm=8 * len(handler)),
        E("SET_EXCEPTION_HANDLER", type=2, addr=86, length=88),
        # as Mesa: the handler waits for its loads, so the tiler must not hold their slot
        E("SET_SB_ENTRY", endpoint=2),
        *PASS,
    )
    assert rig.run() is BLOCKED
    rig.stream.answer_tiler_oom(0, 0)
    return rig


def test_refused_runs_the_exception_handler_which_frees_chunks_without_ending_the_pass() -> None:
    rig = handler_rig(1, finish_fragment(frag_end=0))
    assert rig.run() is IDLE
    assert rig.counts == (1, 1, 0)
    assert rig.completed() == (pointer(0), pointer(0))
    assert not [e for e in rig.firmware.events if e[0] == "fault"]


def test_a_handler_that_frees_nothing_ends_in_out_of_memory() -> None:
    rig = handler_rig(1, [E("ADD_IMM32", dst=1, src=1, imm=1)])
    assert rig.run() is PAUSED
    assert rig.firmware.events[-1] == ("fault", 0x60, 0, CONTEXT)
    assert rig.stream.status().scoreboards == 0
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE


def vertex_and_fragment(chunks: int) -> tuple[HeapRig, Rig]:
    """Two queues of a group on one heap, as PanVK's: the first one runs the tiler, the second one has the handler."""
    heaps = GroupHeaps()
    vertex = HeapRig(chunks, CsParams(chunks_per_tiling=1), heaps=heaps)
    fragment = Rig(heaps=heaps, memory=vertex.memory, index=1)
    fragment.push(E("MOVE", dst=72, imm=CONTEXT), E("HEAP_SET", addr=72))
    vertex.push(*PASS)
    return vertex, fragment


def register_handler(rig: Rig, handler: list[int]) -> None:
    rig.memory.poke(Rig.CODE + 0x8000, b"".join(word.to_bytes(8, "little") for word in handler))
    rig.push(
        E("MOVE", dst=86, imm=Rig.CODE + 0x8000),
        E("MOVE32", dst=88, imm=8 * len(handler)),
        E("SET_EXCEPTION_HANDLER", type=2, addr=86, length=88),
    )


def start_second_pass_without_memory(vertex: HeapRig) -> None:
    """The first pass took the only chunk; the driver has no other for the second one."""
    assert vertex.run() is IDLE
    vertex.push(E("HEAP_OPERATION", operation=3), *PASS)
    assert vertex.run() is BLOCKED
    vertex.stream.answer_tiler_oom(0, 0)


def test_the_handler_of_another_stream_of_the_heap_is_called() -> None:
    vertex, fragment = vertex_and_fragment(1)
    register_handler(fragment, finish_fragment(frag_end=0))
    assert fragment.run() is IDLE
    start_second_pass_without_memory(vertex)
    assert vertex.run() is BLOCKED
    wakes = fragment.firmware.wakes
    assert wakes
    assert fragment.run() is IDLE
    assert ("wake_group",) in fragment.firmware.events
    assert vertex.run() is IDLE
    assert vertex.completed() == (pointer(0), pointer(0))
    assert not [event for event in vertex.firmware.events if event[0] in ("fault", "fatal")]


def test_out_of_memory_stays_pending_until_a_stream_of_the_heap_has_a_handler() -> None:
    vertex, fragment = vertex_and_fragment(1)
    assert fragment.run() is IDLE
    start_second_pass_without_memory(vertex)
    assert vertex.run() is BLOCKED
    assert vertex.run() is BLOCKED
    register_handler(fragment, finish_fragment(frag_end=0))
    assert fragment.run() is IDLE
    assert vertex.run() is IDLE
    assert [event[0] for event in vertex.firmware.events].count("oom") == 1


def test_what_is_pending_survives_a_suspension_of_the_group() -> None:
    vertex, fragment = vertex_and_fragment(1)
    assert fragment.run() is IDLE
    start_second_pass_without_memory(vertex)
    assert vertex.run() is BLOCKED
    saved = [SavedStream.from_bytes(rig.stream.save().to_bytes(), V10) for rig in (vertex, fragment)]
    vertex.memory.poke(CONTEXT, vertex.stream.heap_context_bytes())
    heaps = GroupHeaps()
    for rig, state in zip((vertex, fragment), saved, strict=True):
        rig.stream.stop()
        rig.heaps = heaps
        rig.stream = rig.new_stream()
        rig.stream.restore(state, state.extract)
    assert vertex.run() is BLOCKED
    register_handler(fragment, finish_fragment(frag_end=0))
    assert fragment.run() is IDLE
    assert vertex.run() is IDLE
    assert [event[0] for event in vertex.firmware.events].count("oom") == 1


def test_a_handler_of_another_stream_that_frees_nothing_ends_in_out_of_memory() -> None:
    vertex, fragment = vertex_and_fragment(1)
    register_handler(fragment, [E("NOP")])
    assert fragment.run() is IDLE
    start_second_pass_without_memory(vertex)
    assert vertex.run() is BLOCKED
    assert fragment.run() is IDLE
    assert vertex.run() is PAUSED
    assert vertex.firmware.events[-1] == ("fault", 0x60, 0, CONTEXT)
    assert ("fault", 0x60, 0, CONTEXT) not in fragment.firmware.events


def test_pending_memory_from_a_finished_fragment_needs_no_handler() -> None:
    vertex, fragment = vertex_and_fragment(1)
    assert fragment.run() is IDLE
    start_second_pass_without_memory(vertex)
    assert vertex.run() is BLOCKED
    fragment.push(*finish_fragment(frag_end=0))
    assert fragment.run() is IDLE
    assert vertex.run() is IDLE
    register_handler(fragment, [E("ADD_IMM32", dst=1, src=1, imm=1)])
    fragment.run()
    fragment.push(E("MOVE", dst=2, imm=Rig.DATA + 0x800), E("STORE_MULTIPLE", base=1, addr=2, mask=1, offset=0))
    assert fragment.run() is IDLE
    assert fragment.memory.peek32(Rig.DATA + 0x800) == 0  # nothing is pending any more: the handler did not run


def test_a_granted_chunk_that_is_not_mapped_is_an_endpoint_fault() -> None:
    rig = HeapRig(0, CsParams(chunks_per_tiling=1))
    rig.push(*PASS)
    assert rig.run() is BLOCKED
    rig.stream.answer_tiler_oom(pointer(9), pointer(9))
    assert rig.run() is PAUSED
    assert rig.firmware.events[-1] == ("fault", 0x44, 0, chunk(9))


def test_an_answer_that_nobody_asked_for_is_ignored() -> None:
    rig = HeapRig(1, CsParams(chunks_per_tiling=1))
    rig.stream.answer_tiler_oom(pointer(1), pointer(1))
    assert rig.run() is IDLE


@pytest.mark.parametrize("asked", [False, True])
def test_a_suspended_request_for_memory_is_raised_again(asked: bool) -> None:
    rig = HeapRig(1, CsParams(chunks_per_tiling=2))
    rig.push(*PASS)
    if asked:
        assert rig.run() is BLOCKED
    saved = rig.stream.save()
    insert = rig.stream.insert
    rig.stream.stop()
    rig.stream = rig.new_stream()
    rig.stream.restore(saved, saved.extract)
    rig.stream.insert = insert
    before = rig.firmware.events.count(("oom",))
    assert rig.run() is BLOCKED
    assert rig.firmware.events.count(("oom",)) == before + 1
    rig.grant(5)
    assert rig.run() is IDLE
    assert rig.completed() == (pointer(5), pointer(0))


def test_every_access_of_the_tiler_may_stall_once_with_the_same_result() -> None:
    def prepared() -> HeapRig:
        rig = HeapRig(2, CsParams(chunks_per_tiling=3))
        rig.push(*PASS, *finish_fragment())
        rig.firmware.on_oom = lambda: rig.grant(4)
        return rig

    def drive(rig: HeapRig) -> StreamState:
        state = rig.run()
        return rig.run() if state is BLOCKED else state  # the driver has answered meanwhile

    plain = prepared()
    assert drive(plain) is IDLE
    nth = 0
    while True:
        rig, seen = prepared(), 0

        def stall(va: int, size: int, requester: object, rig: HeapRig = rig, nth: int = nth) -> None:
            nonlocal seen
            rig.memory.locked = {va >> 12} if seen == nth else set()
            seen += 1

        rig.memory.before_access = stall
        state = drive(rig)
        if seen <= nth:
            break
        assert state is StreamState.STALLED
        assert drive(rig) is IDLE
        assert rig.memory.pages == plain.memory.pages
        assert rig.stream.heap_context_bytes() == plain.stream.heap_context_bytes()
        nth += 1
    assert nth > 20


def test_a_stream_suspended_in_its_handler_goes_on_in_it() -> None:
    rig = handler_rig(1, [E("NOP"), *finish_fragment(frag_end=0)])
    rig.memory.locked.add(TILER >> 12)
    assert rig.run() is StreamState.STALLED
    saved, insert = rig.stream.save(), rig.stream.insert
    assert saved.handler_depth == 1
    rig.stream.stop()
    rig.memory.locked.clear()
    rig.stream = rig.new_stream()
    rig.stream.restore(saved, saved.extract)
    rig.stream.insert = insert
    asked = rig.firmware.events.count(("oom",))
    assert rig.run() is IDLE
    assert rig.firmware.events.count(("oom",)) == asked
    assert rig.completed() == (pointer(0), pointer(0))


def test_a_handler_that_frees_nothing_does_not_ask_again_after_a_suspension_either() -> None:
    rig = handler_rig(1, [E("NOP")] * 100)
    assert rig.run(50) is StreamState.RUNNING
    saved, insert = rig.stream.save(), rig.stream.insert
    rig.stream.stop()
    rig.stream = rig.new_stream()
    rig.stream.restore(saved, saved.extract)
    rig.stream.insert = insert
    assert rig.run() is PAUSED
    assert rig.firmware.events[-1] == ("fault", 0x60, 0, CONTEXT)
    assert rig.firmware.events.count(("oom",)) == 1
