# SPDX-License-Identifier: GPL-2.0-or-later
"""What PanVK and the Gallium driver do with command streams and IGT does not, by hand after their conventions.

Mesa 25.0. PanVK: three queues; sb0 loads, stores and immediate flushes, sb1 deferred sync, sb2 deferred flushes, sb3-7
endpoint work of successive passes. Gallium: one queue; sb0 loads, stores and flushes, sb2 endpoint work,
sb3 the same in
its out-of-memory handler. Both keep state in memory that d90 (PanVK) or d86 points to.
"""

from __future__ import annotations

import struct

import pytest

from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.state import StreamState
from tests.unit.gpu_cs.standalone import PagedMemory, Rig, encode

E = encode
IDLE, BLOCKED = StreamState.IDLE, StreamState.BLOCKED
DATA = Rig.DATA
CONTEXT = 0x8000_0000_3000
CHUNK, SIZE = 0x8000_0020_0000, 0x200000
SYNCS, TILER, HEAP, STATE, SAVED = DATA, DATA + 0x400, DATA + 0x500, DATA + 0x600, DATA + 0x800
VT, FRAG, COMPUTE = range(3)
TIMES = CsParams(compute_seconds=0.002, tiling_seconds=0.001, fragment_seconds=0.003)


def sync_object(queue: int) -> int:
    return SYNCS + 64 * queue


def descriptors(memory: PagedMemory, chunks: int) -> None:
    memory.map(CONTEXT, 4096)
    for n in range(chunks):
        memory.poke(CHUNK + n * SIZE, (CHUNK + (n - 1) * SIZE | SIZE >> 12 if n else 0).to_bytes(8, "little"))
    first = CHUNK + (chunks - 1) * SIZE
    memory.poke(HEAP, struct.pack("<IIQQQ", 0, SIZE, first, first + 64, first + SIZE))
    memory.poke(TILER, bytes(24) + HEAP.to_bytes(8, "little") + bytes(96))


class PanVk:
    """A Vulkan device: a group of three queues with one heap, initialised as `init_queue` does."""

    def __init__(self, params: CsParams, chunks: int = 5) -> None:
        self.memory, heaps = PagedMemory(), GroupHeaps()
        self.queues = [Rig(params, memory=self.memory, index=n, heaps=heaps) for n in range(3)]
        descriptors(self.memory, chunks)
        for queue in self.queues:
            setup = [E("MOVE", dst=90, imm=STATE + 256 * queue.index), E("SET_SB_ENTRY", endpoint=3, other=0)]
            if queue.index != COMPUTE:
                setup += [E("MOVE", dst=88, imm=CONTEXT), E("HEAP_SET", addr=88)]
            queue.submit(*setup)
        self.run()
        assert [queue.seqno for queue in self.queues] == [1, 1, 1]

    def run(self) -> None:
        """Slices in turn, timers when all wait, faults acknowledged, until every queue is idle."""
        for _ in range(500):
            states = [queue.run(50) for queue in self.queues]
            if all(state is IDLE for state in states):
                return
            for queue in self.queues:
                queue.stream.acknowledge_fault()
            if all(state is not StreamState.RUNNING for state in states):
                for queue in self.queues:
                    queue.firmware.advance(0.0005)
        raise AssertionError([(queue.stream.state.name, queue.stream.status()) for queue in self.queues])

    def events(self, kind: str) -> int:
        return sum(event[0] == kind for queue in self.queues for event in queue.firmware.events)


def signal(queue: int, wait: int) -> list[int]:
    """The queue's own sync object: one more, for the group, when the slots of `wait` are empty; errors go along."""
    return [
        E("MOVE", dst=84, imm=sync_object(queue)),
        E("MOVE", dst=86, imm=1),
        E("SYNC_ADD64", addr=84, data=86, scope=2, propagate=1, wait=wait, signal=1),
    ]


def wait_for(queue: int, more_than: int) -> list[int]:
    return [
        E("MOVE", dst=84, imm=sync_object(queue)),
        E("MOVE", dst=86, imm=more_than),
        E("SYNC_WAIT64", addr=84, data=86, cond=1),
    ]


def next_iterator() -> list[int]:
    """Select sb3..sb7 in turn through a counter in memory: PanVK's `cs_match` on an immediate, case after case."""
    code = [E("LOAD_MULTIPLE", base=80, addr=90, mask=1), E("WAIT", wait=1)]
    cases = 5
    for n in range(cases):
        last = n == cases - 1
        code += [
            E("ADD_IMM32", dst=81, src=80, imm=-n),
            E("BRANCH", cond=3, value=81, offset=2 if last else 3),
            E("SET_SB_ENTRY", endpoint=3 + n, other=0),
            E("MOVE32", dst=80, imm=(n + 1) % cases),
        ]
        if not last:
            code.append(E("BRANCH", cond=6, offset=5 * (cases - n - 1) - 1))
    return [*code, E("STORE_MULTIPLE", base=80, addr=90, mask=1), E("WAIT", wait=1)]


def vertex_pass(draws: int, iterator: int) -> list[int]:
    return [
        E("REQ_RESOURCE", tiler=1, idvs=1),
        E("HEAP_OPERATION", operation=0),
        E("MOVE", dst=40, imm=TILER),
        *[word for n in range(draws) for word in (E("MOVE32", dst=33, imm=n), E("RUN_IDVS", malloc=1))],
        E("FINISH_TILING"),
        E("REQ_RESOURCE"),
        E("HEAP_OPERATION", operation=1, wait=1 << iterator, signal=1),
        *signal(VT, 1 << iterator),
    ]


def fragment_pass(iterator: int) -> list[int]:
    return [
        E("REQ_RESOURCE", fragment=1),
        E("MOVE", dst=40, imm=DATA + 0x2000),
        E("RUN_FRAGMENT"),
        E("REQ_RESOURCE"),
        E("MOVE", dst=76, imm=TILER),
        E("LOAD_MULTIPLE", base=70, addr=76, mask=0xF, offset=40),
        E("WAIT", wait=1),
        E("FINISH_FRAGMENT", first=70, last=72, frag_end=1, wait=1 << iterator, signal=1),
        E("MOVE32", dst=78, imm=0),
        E("FLUSH_CACHE2", l2=3, lsc=3, other=2, flush_id=78, wait=1 << iterator, signal=2),
        *signal(FRAG, 1 << iterator | 4),
    ]


@pytest.mark.parametrize("params", [CsParams(), TIMES, CsParams(tiling_seconds=0.001, fragment_seconds=0.0005)])
def test_a_vulkan_frame_goes_through_all_three_queues(params: CsParams) -> None:
    device = PanVk(params)
    for frame in range(1, 8):  # more than there are iterators
        iterator = 3 + (frame - 1) % 5
        device.queues[FRAG].submit(*wait_for(VT, frame - 1), *next_iterator(), *fragment_pass(iterator))
        device.queues[COMPUTE].submit(
            *wait_for(FRAG, frame - 1),
            E("REQ_RESOURCE", compute=1),
            E("RUN_COMPUTE", task_increment=1),
            E("REQ_RESOURCE"),
            *signal(COMPUTE, 8),
        )
        device.queues[VT].submit(*next_iterator(), *vertex_pass(3, iterator))  # last: the others block on it
        device.run()
        assert [device.memory.peek64(sync_object(n)) for n in range(3)] == [frame] * 3
        assert [queue.seqno for queue in device.queues] == [frame + 1] * 3
        vt = device.queues[VT].stream
        assert (vt.heap_vt_start, vt.heap_vt_end, vt.heap_frag_end) == (frame,) * 3
        assert device.memory.peek32(STATE) == frame % 5
    assert device.events("fault") == device.events("fatal") == device.events("unmodelled") == 0
    assert all(queue.stream.idle for queue in device.queues)


def test_frames_live_on_five_chunks_when_the_tiler_takes_them() -> None:
    device = PanVk(CsParams(chunks_per_tiling=1, tiling_seconds=0.001))
    for frame in range(1, 20):
        iterator = 3
        clear = [
            E("MOVE", dst=70, imm=0),
            E("MOVE", dst=72, imm=0),
            E("WAIT", wait=2),
            E("STORE_MULTIPLE", base=70, addr=76, mask=0xF, offset=40),
            E("WAIT", wait=1),
        ]
        device.queues[VT].submit(
            *wait_for(FRAG, frame - 2 if frame > 1 else 0)[: 3 if frame > 1 else 0], *vertex_pass(3, iterator)
        )
        device.queues[FRAG].submit(*wait_for(VT, frame - 1), *fragment_pass(iterator), *clear)
        device.run()
    assert device.events("oom") == device.events("fault") == 0
    free, chunks = struct.unpack_from("<Q", device.queues[VT].stream.heap_context_bytes(), 16)[0], 0
    while free:
        chunks += 1
        free = device.memory.peek64(free & ~0xFFF)
    assert chunks == 5


def test_more_draws_than_chunks_grow_the_heap_across_queues() -> None:
    device = PanVk(CsParams(chunks_per_tiling=1))
    vertex = device.queues[VT]
    granted: list[int] = []

    def driver() -> None:
        s = vertex.stream
        assert s.heap_frag_end <= s.heap_vt_end < s.heap_vt_start  # else the driver kills the group
        granted.append(CHUNK + (10 + len(granted)) * SIZE)
        device.memory.map(granted[-1], 4096)
        s.answer_tiler_oom(granted[-1] | SIZE >> 12, granted[-1] | SIZE >> 12)

    vertex.firmware.on_oom = driver
    vertex.submit(*vertex_pass(8, 3))
    device.queues[FRAG].submit(*wait_for(VT, 0), *fragment_pass(3))
    device.run()
    assert len(granted) == 3
    assert device.memory.peek64(sync_object(FRAG)) == 1


def test_an_error_travels_from_queue_to_queue_instead_of_hanging_them() -> None:
    """The address of the sync object comes from the queue's state in memory, as in PanVK: loads go on in an error."""
    device = PanVk(TIMES)
    device.memory.poke(STATE + 8, sync_object(VT).to_bytes(8, "little"))
    device.queues[VT].submit(
        E("MOVE", dst=84, imm=DATA + 0x380),
        E("MOVE", dst=40, imm=0x7000_0000_0000),
        E("LOAD_MULTIPLE", base=10, addr=40, mask=1),
        E("LOAD_MULTIPLE", base=84, addr=90, mask=3, offset=8),
        E("WAIT", wait=1),
        *signal(VT, 8)[1:],
    )
    device.queues[FRAG].submit(*wait_for(VT, 0), *fragment_pass(3))
    device.queues[COMPUTE].submit(*wait_for(FRAG, 0), E("RUN_COMPUTE"))
    device.run()
    assert [[event[1] for event in queue.firmware.events if event[0] == "fault"] for queue in device.queues] == [
        [0x48],
        [0x4B],
        [0x4B],
    ]
    assert [(queue.seqno, queue.seqno_status) for queue in device.queues] == [(2, 1)] * 3
    assert device.memory.peek64(DATA + 0x380) == 0


def test_secondary_command_buffers_and_chains_of_chunks() -> None:
    """CALL into a secondary that JUMPs on, from a primary that JUMPs on itself; 16 registers are kept across."""
    rig = Rig()
    secondary, tail, primary2 = Rig.CODE + 0x1000, Rig.CODE + 0x2FF8, Rig.CODE + 0x4000
    keep = [E("MOVE", dst=80, imm=SAVED), E("STORE_MULTIPLE", base=0, addr=80, mask=0xFFFF), E("WAIT", wait=1)]
    restore = [E("MOVE", dst=80, imm=SAVED), E("LOAD_MULTIPLE", base=0, addr=80, mask=0xFFFF), E("WAIT", wait=1)]

    def go(op: str, to: int, words: int) -> list[int]:
        return [E("MOVE", dst=84, imm=to), E("MOVE32", dst=86, imm=8 * words), E(op, addr=84, length=86)]

    def place(at: int, words: list[int]) -> None:
        rig.memory.poke(at, b"".join(word.to_bytes(8, "little") for word in words))

    place(secondary, [*[E("MOVE32", dst=n, imm=0) for n in range(16)], *go("JUMP", tail, 3)])
    place(tail, [E("ADD_IMM32", dst=20, src=20, imm=1)] * 3)  # across a page
    place(
        primary2,
        [
            *restore,
            E("ADD_IMM32", dst=20, src=20, imm=10),
            E("MOVE", dst=82, imm=DATA),
            E("STORE_MULTIPLE", base=15, addr=82, mask=0b100001),
            E("WAIT", wait=1),
        ],
    )
    rig.submit(
        *[E("MOVE32", dst=n, imm=100 + n) for n in range(16)],
        *keep,
        *go("CALL", secondary, 19),
        *go("JUMP", primary2, 7),
        E("MOVE32", dst=20, imm=0),
    )
    assert rig.run() is IDLE
    assert (rig.memory.peek32(DATA), rig.memory.peek32(DATA + 4), rig.seqno) == (115, 13, 1)


def test_events_queries_and_timestamps() -> None:
    """vkCmdSetEvent/WaitEvents are 32-bit objects; timestamps are stored when the work before them has ended."""
    rig = Rig(TIMES)
    event, stamp, availability = DATA + 0x40, DATA + 0x80, DATA + 0x90
    rig.submit(
        E("SET_SB_ENTRY", endpoint=3),
        E("MOVE", dst=20, imm=event),
        E("MOVE32", dst=22, imm=1),
        E("RUN_COMPUTE_INDIRECT", workgroups_per_task=1),
        E("SYNC_SET32", addr=20, data=22, wait=8, signal=1),
        E("MOVE", dst=24, imm=stamp),
        E("STORE_STATE", addr=24, state=0, wait=8, signal=2),
        E("MOVE", dst=26, imm=availability),
        E("SYNC_SET32", addr=26, data=22, scope=2, wait=4, signal=1),
        E("MOVE32", dst=28, imm=0),
        E("SYNC_WAIT32", addr=20, data=28, cond=1),
        E("SYNC_SET32", addr=20, data=28),
        E("SYNC_WAIT32", addr=20, data=28, cond=0),
        E("WAIT", wait=6),
    )
    assert rig.run() is BLOCKED
    assert rig.stream.status().wait >> 30 == 2  # a 32-bit object
    assert rig.memory.peek64(stamp) == 0
    rig.firmware.advance(0.002)
    assert rig.run() is IDLE
    assert rig.memory.peek64(stamp) == rig.firmware.timestamp()
    assert (rig.memory.peek32(event), rig.memory.peek32(availability), rig.seqno) == (0, 1, 1)


def test_panvk_debug_sync_sees_each_stream_reach_its_end() -> None:
    """PANVK_DEBUG=sync: wait for every slot, then set a 32-bit object that the CPU reads."""
    device = PanVk(TIMES)
    for queue in device.queues:
        queue.submit(
            E("SET_SB_ENTRY", endpoint=4),
            E("RUN_COMPUTE"),
            E("WAIT", wait=0xFF),
            E("MOVE", dst=84, imm=DATA + 0x300 + 8 * queue.index),
            E("MOVE32", dst=86, imm=1),
            E("SYNC_ADD32", addr=84, data=86, propagate=1),
        )
    device.run()
    assert [device.memory.peek64(DATA + 0x300 + 8 * n) for n in range(3)] == [1, 1, 1]


def gallium_handler() -> list[int]:
    """Keep registers, render what there is, give the chunks back without ending the pass, count, restore."""
    counter = STATE + 0x80
    return [
        E("MOVE", dst=86, imm=SAVED),
        E("STORE_MULTIPLE", base=0, addr=86, mask=0xFFFF),
        E("STORE_MULTIPLE", base=16, addr=86, mask=0xFFFF, offset=64),
        E("STORE_MULTIPLE", base=40, addr=86, mask=0xF, offset=128),
        E("WAIT", wait=1),
        E("SET_SB_ENTRY", endpoint=3, other=0),
        E("MOVE", dst=2, imm=counter),
        E("LOAD_MULTIPLE", base=4, addr=2, mask=1),
        E("WAIT", wait=1),
        # the first time: another framebuffer
        E("BRANCH", cond=1, value=4, offset=1),
        E("MOVE", dst=40, imm=DATA + 0x3000),
        E("REQ_RESOURCE", fragment=1),
        E("RUN_FRAGMENT"),
        E("WAIT", wait=8),
        E("REQ_RESOURCE", tiler=1, idvs=1),
        E("MOVE", dst=10, imm=TILER),
        E("LOAD_MULTIPLE", base=12, addr=10, mask=0xF, offset=40),
        E("WAIT", wait=1),
        E("FINISH_FRAGMENT", first=12, last=14),
        E("MOVE", dst=12, imm=0),
        E("MOVE", dst=14, imm=0),
        E("STORE_MULTIPLE", base=12, addr=10, mask=0xF, offset=40),
        E("ADD_IMM32", dst=4, src=4, imm=1),
        E("STORE_MULTIPLE", base=4, addr=2, mask=1),
        E("WAIT", wait=1),
        E("MOVE32", dst=4, imm=0),
        E("FLUSH_CACHE2", l2=3, lsc=3, other=2, flush_id=4, signal=0),
        E("WAIT", wait=1),
        E("LOAD_MULTIPLE", base=0, addr=86, mask=0xFFFF),
        E("LOAD_MULTIPLE", base=16, addr=86, mask=0xFFFF, offset=64),
        E("LOAD_MULTIPLE", base=40, addr=86, mask=0xF, offset=128),
        E("WAIT", wait=1),
        E("SET_SB_ENTRY", endpoint=2, other=0),
    ]


@pytest.mark.parametrize("fragment_seconds", [0.0, 0.003])
def test_gallium_renders_incrementally_when_the_heap_is_full(fragment_seconds: float) -> None:
    rig = Rig(CsParams(chunks_per_tiling=2, tiling_seconds=0.001, fragment_seconds=fragment_seconds))
    descriptors(rig.memory, 3)
    handler = gallium_handler()
    rig.memory.poke(Rig.CODE + 0x8000, b"".join(word.to_bytes(8, "little") for word in handler))
    rig.firmware.on_oom = lambda: rig.stream.answer_tiler_oom(0, 0)  # max_chunks reached
    rig.submit(
        E("MOVE", dst=72, imm=CONTEXT),
        E("HEAP_SET", addr=72),
        E("MOVE", dst=60, imm=Rig.CODE + 0x8000),
        E("MOVE32", dst=62, imm=8 * len(handler)),
        E("SET_EXCEPTION_HANDLER", type=2, addr=60, length=62),
    )
    rig.submit(
        *[E("MOVE32", dst=n, imm=0x1000 + n) for n in range(32)],
        E("SET_SB_ENTRY", endpoint=2, other=0),
        E("MOVE", dst=40, imm=TILER),
        E("HEAP_OPERATION"),
        *[E("RUN_IDVS")] * 6,
        E("FINISH_TILING"),
        E("WAIT", wait=4),
        E("HEAP_OPERATION", operation=1),
        E("MOVE", dst=60, imm=DATA + 0x1000),
        E("STORE_MULTIPLE", base=0, addr=60, mask=0xFFFF),
        E("STORE_MULTIPLE", base=16, addr=60, mask=0xFFFF, offset=64),
        E("WAIT", wait=1),
        at=Rig.CODE + 0x1000,
    )
    for _ in range(100):
        if rig.run() is IDLE:
            break
        rig.firmware.advance(0.0005)
    assert rig.stream.state is IDLE
    assert (rig.seqno, rig.seqno_status) == (2, 0)
    assert rig.memory.peek32(STATE + 0x80) >= 3  # 12 chunks were needed and 3 exist
    assert not [event for event in rig.firmware.events if event[0] in ("fault", "fatal", "unmodelled")]
    stored = struct.unpack("<32I", rig.memory.peek(DATA + 0x1000, 128))
    assert stored == tuple(0x1000 + n for n in range(32))  # nobody noticed
