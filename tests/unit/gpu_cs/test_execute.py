# SPDX-License-Identifier: GPL-2.0-or-later
"""What each instruction does: registers, flow, memory, sync objects, scoreboards."""

from __future__ import annotations

import pytest

from panthorlab.gpu.cs.opcodes import Spec
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.state import StreamState
from panthorlab.gpu.cs.v10 import V10
from tests.unit.gpu_cs.standalone import Rig, encode

IDLE, BLOCKED, RUNNING, SPINNING = StreamState.IDLE, StreamState.BLOCKED, StreamState.RUNNING, StreamState.SPINNING
DEAD = StreamState.DEAD
E = encode
DATA = Rig.DATA


def dump(*registers: int) -> list[int]:
    """Code that stores registers to DATA, four bytes each."""
    words = [E("MOVE", dst=80, imm=DATA)]
    for n, register in enumerate(registers):
        words.append(E("STORE_MULTIPLE", base=register, addr=80, mask=1, offset=4 * n))
    return words


def values(rig: Rig, count: int) -> list[int]:
    return [rig.memory.peek32(DATA + 4 * n) for n in range(count)]


def execute(*words: int, params: CsParams | None = None) -> Rig:
    rig = Rig(params)
    rig.submit(*words)
    assert rig.run() is IDLE
    assert rig.seqno == 1
    return rig


def test_igt_store_job() -> None:
    rig = Rig()
    rig.memory.map(0x1001000, 4096)
    rig.submit(
        0x0144000001001000,
        0x02460000DEADBEEF,
        0x1546440000010000,
        0x0300000000FF0000,
        0x0246000000000000,
        0x2401460000000233,
        0x0300000000FF0000,
        at=0x1000000,
    )
    assert rig.run() is IDLE
    assert rig.memory.peek32(0x1001000) == 0xDEADBEEF
    assert (rig.seqno, rig.seqno_status) == (1, 0)
    assert rig.firmware.events == [("flush",), ("flush",), ("sync_update",)]
    assert rig.stream.extract == rig.stream.insert == 128
    assert rig.stream.idle


@pytest.mark.parametrize("spec", V10.table, ids=lambda spec: spec.mnemonic)
def test_every_instruction_executes_with_harmless_operands(spec: Spec) -> None:
    values = {"dst": 10, "data": 12, "base": 14, "value": 14, "src": 12, "addr": 0, "type": 2, "mask": 3}
    address = 0 if spec.mnemonic in ("CALL", "JUMP", "SET_EXCEPTION_HANDLER") else DATA
    rig = execute(
        E("MOVE", dst=0, imm=address),
        E("MOVE32", dst=1, imm=0),
        E("MOVE32", dst=94, imm=0),
        E(spec.mnemonic, **{f.name: values[f.name] for f in spec.fields if f.name in values}),
    )
    assert {event[0] for event in rig.firmware.events} <= {"flush", "sync_update", "wake_group", "unmodelled"}
    unmodelled = [event[1] for event in rig.firmware.events if event[0] == "unmodelled"]
    assert unmodelled == (["cs-no-heap"] if spec.mnemonic in ("HEAP_OPERATION", "FINISH_FRAGMENT") else [])


@pytest.mark.parametrize(
    ("start", "imm", "result"), [(5, -6, 0xFFFFFFFF), (0xFFFFFFFF, 2, 1), (1, 0x7FFFFFFF, 0x80000000)]
)
def test_add_imm32(start: int, imm: int, result: int) -> None:
    rig = execute(E("MOVE32", dst=1, imm=start), E("ADD_IMM32", dst=2, src=1, imm=imm), *dump(2, 1))
    assert values(rig, 2) == [result, start]


@pytest.mark.parametrize(
    ("start", "imm", "result"),
    [(0xFFFFFFFF, 1, 0x100000000), (0, -1, (1 << 64) - 1), (0x800000000000, -0x80000000, 0x7FFF80000000)],
)
def test_add_imm64(start: int, imm: int, result: int) -> None:
    rig = execute(E("MOVE", dst=2, imm=start), E("ADD_IMM64", dst=4, src=2, imm=imm), *dump(4, 5))
    assert values(rig, 2) == [result & 0xFFFFFFFF, result >> 32]


def test_umin32_is_unsigned_and_move_zero_extends() -> None:
    rig = execute(
        E("MOVE32", dst=3, imm=0xFFFFFFFF),
        E("MOVE", dst=2, imm=0x1234_5678_9ABC),
        E("UMIN32", dst=4, src1=2, src2=3),
        E("MOVE32", dst=5, imm=0xFFFFFFFF),
        E("UMIN32", dst=6, src1=5, src2=2),
        *dump(2, 3, 4, 6),
    )
    assert values(rig, 4) == [0x56789ABC, 0x1234, 0x1234, 0x56789ABC]


@pytest.mark.parametrize(
    ("cond", "taken"),
    [
        (0, (True, True, False)),
        (1, (False, False, True)),
        (2, (False, True, False)),
        (3, (True, False, True)),
        (4, (True, False, False)),
        (5, (False, True, True)),
        (6, (True, True, True)),
    ],
)
def test_branch_compares_a_signed_value_with_zero(cond: int, taken: tuple[bool, bool, bool]) -> None:
    for value, expected in zip((0xFFFFFFFF, 0, 1), taken, strict=True):
        rig = execute(
            E("MOVE32", dst=1, imm=value),
            E("MOVE32", dst=2, imm=1),
            E("BRANCH", cond=cond, value=1, offset=1),
            E("MOVE32", dst=2, imm=0),
            *dump(2),
        )
        assert values(rig, 1) == [int(expected)]


def test_a_branch_may_go_to_the_end_of_its_buffer_but_not_past_it() -> None:
    execute(E("BRANCH", cond=6, offset=1), E("NOP"))
    for offset in (2, -2):
        rig = Rig()
        rig.submit(E("BRANCH", cond=6, offset=offset), E("NOP"))
        assert rig.run() is DEAD
        assert rig.firmware.events[-1] == ("fatal", 0x49, 0, Rig.CODE)


def test_a_loop_counts_and_the_budget_bounds_a_slice() -> None:
    rig = Rig()
    rig.submit(
        E("MOVE32", dst=0, imm=1000),
        E("ADD_IMM32", dst=0, src=0, imm=-1),
        E("ADD_IMM32", dst=1, src=1, imm=3),
        E("BRANCH", cond=1, value=0, offset=-3),
        *dump(0, 1),
    )
    result = rig.stream.run(100)
    assert result.retired == 100
    assert result.state is RUNNING
    assert rig.run() is IDLE
    assert values(rig, 2) == [0, 3000]


def test_load_and_store_multiple_leave_out_registers_not_memory() -> None:
    """As PanVK wants it, which fills 32 bytes from eight of sixteen registers (test_captured_streams.py)."""
    rig = Rig()
    rig.memory.poke(DATA, b"".join(n.to_bytes(4, "little") for n in range(100, 120)))
    rig.submit(
        E("MOVE", dst=0, imm=DATA + 8),
        E("LOAD_MULTIPLE", base=10, addr=0, mask=0b1000_0000_0000_1011, offset=-8),
        E("WAIT", wait=1),
        E("STORE_MULTIPLE", base=10, addr=0, mask=0b1000_0000_0000_1011, offset=0x100),
        E("STORE_MULTIPLE", base=10, addr=0, mask=0xFFFF, offset=0x200),
    )
    assert rig.run() is IDLE
    assert [rig.memory.peek32(DATA + 0x108 + 4 * n) for n in range(6)] == [100, 101, 102, 103, 0, 0]
    assert [rig.memory.peek32(DATA + 0x208 + 4 * n) for n in range(16)] == [100, 101, 0, 102, *[0] * 11, 103]


def test_a_load_touches_only_what_its_mask_names() -> None:
    rig = Rig()
    rig.submit(
        E("MOVE", dst=0, imm=DATA + 4096 - 8),
        E("LOAD_MULTIPLE", base=10, addr=0, mask=0b1000_0100),  # what follows is unmapped
        E("LOAD_MULTIPLE", base=20, addr=0, mask=0, offset=8),
        E("STORE_MULTIPLE", base=20, addr=0, mask=0, offset=8),
    )
    assert rig.run() is IDLE


def test_a_load_may_overwrite_its_own_address() -> None:
    rig = Rig()
    rig.memory.poke(DATA, bytes(range(16)))
    rig.submit(E("MOVE", dst=0, imm=DATA), E("LOAD_MULTIPLE", base=0, addr=0, mask=0b1011), *dump(0, 1, 2, 3))
    assert rig.run() is IDLE
    assert values(rig, 4) == [0x03020100, 0x07060504, 0, 0x0B0A0908]


def test_accesses_cross_pages() -> None:
    rig = execute(
        E("MOVE", dst=0, imm=DATA + 4096 - 4),
        E("MOVE", dst=2, imm=0x1111_2222_3333),
        E("STORE_MULTIPLE", base=2, addr=0, mask=3),
        E("LOAD_MULTIPLE", base=4, addr=0, mask=3),
        *dump(4, 5),
    )
    assert values(rig, 2) == [0x22223333, 0x1111]


def test_call_nests_to_eight_frames_and_not_nine() -> None:
    for depth, end in ((7, IDLE), (8, DEAD)):  # besides the ring's
        rig = Rig()
        for n in range(1, depth):
            rig.memory.poke(
                Rig.CODE + 64 * n,
                b"".join(
                    w.to_bytes(8, "little")
                    for w in (
                        [E("ADD_IMM64", dst=0, src=0, imm=64), E("CALL", addr=0, length=2)]
                        if n < depth - 1
                        else dump(0)
                    )
                ),
            )
        rig.submit(
            E("MOVE", dst=0, imm=Rig.CODE + 64),
            E("MOVE32", dst=2, imm=16 if depth > 2 else 8),
            E("CALL", addr=0, length=2),
        )
        assert rig.run() is end
        if end is DEAD:
            assert rig.firmware.events[-1][:2] == ("fatal", 0x4A)


def test_call_of_nothing_returns_and_a_callee_at_the_end_of_a_callee_unwinds_both() -> None:
    rig = Rig()
    rig.memory.poke(Rig.CODE + 0x100, E("NOP").to_bytes(8, "little"))
    rig.submit(
        E("CALL", addr=0, length=2),
        E("MOVE", dst=0, imm=Rig.CODE + 0x100),
        E("MOVE32", dst=2, imm=8),
        E("CALL", addr=0, length=2),
    )
    assert rig.run() is IDLE
    assert rig.seqno == 1


def test_jump_replaces_the_buffer() -> None:
    rig = Rig()
    rig.memory.poke(Rig.CODE + 0x100, b"".join(w.to_bytes(8, "little") for w in dump(4)))
    rig.submit(
        E("MOVE32", dst=4, imm=7),
        E("MOVE", dst=0, imm=Rig.CODE + 0x100),
        E("MOVE32", dst=2, imm=16),
        E("JUMP", addr=0, length=2),
        E("MOVE32", dst=4, imm=9),
        *dump(4),
    )
    assert rig.run() is IDLE
    assert values(rig, 1) == [7]
    assert rig.seqno == 1


@pytest.mark.parametrize(
    "word", [E("JUMP", addr=0, length=2), E("CALL", addr=4, length=2), E("CALL", addr=2, length=0)]
)
def test_bad_calls_and_jumps_are_invalid_instructions(word: int) -> None:
    rig = Rig()  # a jump at ring level; a misaligned length (r2 = 4); a misaligned address (d2)
    rig.push(E("MOVE32", dst=2, imm=4), E("MOVE32", dst=0, imm=8), word)
    assert rig.run() is DEAD
    assert rig.firmware.events == [("fatal", 0x49, 0, rig.ring + 16)]


def test_extract_stays_at_the_call_while_the_callee_runs() -> None:
    rig = Rig()
    rig.submit(E("BRANCH", cond=6, offset=-1))
    assert rig.run() is SPINNING
    assert rig.stream.extract == 5 * 8
    assert rig.stream.status().cmd_ptr == Rig.CODE


def test_the_ring_wraps() -> None:
    rig = Rig()
    for n in range(100):  # 12.5 KiB through 4 KiB
        rig.submit(E("ADD_IMM32", dst=0, src=0, imm=1), *dump(0))
        assert rig.run() is IDLE
        assert rig.seqno == n + 1
    assert values(rig, 1) == [100]
    assert rig.stream.extract == 12800
    rig.push(*[E("NOP")] * 3)
    for n in range(40):  # now jobs straddle the end of the ring
        rig.submit(E("NOP"))
        assert rig.run() is IDLE
        assert rig.seqno == 101 + n


@pytest.mark.parametrize(
    ("base", "size", "extract", "insert"),
    [
        (0x10000, 4096, 0, 4104),
        (0x10000, 4096, 8, 0),
        (0x10000, 4096, 0, 4),
        (0x10004, 4096, 0, 8),
        (0x10000, 4000, 0, 8),
        (0x10000, 0, 0, 8),
        ((1 << 64) - 4096, 8192, 0, 8),
    ],
)
def test_a_nonsensical_ring_is_a_configuration_fault(base: int, size: int, extract: int, insert: int) -> None:
    rig = Rig()
    rig.stream.start(base, size, extract, insert)
    assert rig.run() is DEAD
    assert rig.firmware.events == [("fatal", 0x40, 0, insert)]


def test_spinning_is_told_from_working() -> None:
    rig = Rig()
    rig.submit(0x160000006000FFFF)
    result = rig.stream.run(1000)
    assert result.state is SPINNING
    assert result.retired < 20
    polling = Rig()
    polling.submit(
        E("MOVE", dst=0, imm=DATA),
        E("LOAD_MULTIPLE", base=2, addr=0, mask=1),
        E("WAIT", wait=1),
        E("BRANCH", cond=2, value=2, offset=-3),
    )
    assert polling.run() is SPINNING
    polling.memory.poke(DATA, b"\1")
    assert polling.run() is IDLE
    storing = Rig()
    storing.submit(
        E("MOVE", dst=0, imm=DATA), E("STORE_MULTIPLE", base=2, addr=0, mask=1), E("BRANCH", cond=6, offset=-2)
    )
    assert storing.run() is RUNNING


def test_a_spinning_stream_may_stay_in_its_prefetch_buffer() -> None:
    rig = Rig()
    rig.submit(0x160000006000FFFF)
    assert rig.run() is SPINNING
    rig.memory.unmap(Rig.CODE, 4096)
    assert rig.stream.run(100, refetch=False).state is SPINNING
    assert not rig.memory.faults
    assert rig.run() is DEAD
    assert rig.firmware.events[-1] == ("fatal", 0x48, 0, Rig.CODE)


def test_only_a_spinning_stream_may_use_what_it_fetched_before() -> None:
    rig = Rig()
    rig.submit(*[E("NOP")] * 50, E("MOVE32", dst=1, imm=1), *dump(1))
    assert rig.run(40) is RUNNING
    rig.memory.poke(Rig.CODE + 400, E("MOVE32", dst=1, imm=2).to_bytes(8, "little"))
    assert rig.stream.run(1000, refetch=False).state is IDLE
    assert values(rig, 1) == [2]


def test_code_written_by_the_stream_itself_is_fetched_again() -> None:
    new = E("MOVE32", dst=10, imm=2)
    target = Rig.CODE + 8 * 6
    rig = execute(
        E("MOVE", dst=0, imm=target),
        E("MOVE32", dst=2, imm=new & 0xFFFFFFFF),
        E("MOVE32", dst=3, imm=new >> 32),
        E("STORE_MULTIPLE", base=2, addr=0, mask=3),
        E("WAIT", wait=1),
        E("NOP"),
        E("MOVE32", dst=10, imm=1),
        *dump(10),
    )
    assert values(rig, 1) == [2]


def test_code_changed_by_the_cpu_between_slices_is_fetched_again() -> None:
    rig = Rig()
    rig.submit(*[E("NOP")] * 50, E("MOVE32", dst=1, imm=1), *dump(1))
    rig.stream.run(40)
    rig.memory.poke(Rig.CODE + 400, E("MOVE32", dst=1, imm=2).to_bytes(8, "little"))
    assert rig.run() is IDLE
    assert values(rig, 1) == [2]


@pytest.mark.parametrize("wide", [False, True])
def test_sync_add_and_set(wide: bool) -> None:
    bits, size = ("64", 8) if wide else ("32", 4)
    start = (1 << 8 * size) - 1
    rig = Rig()
    rig.memory.poke(DATA, start.to_bytes(size, "little") + b"\xaa" * 4)
    rig.submit(
        E("MOVE", dst=0, imm=DATA),
        E("MOVE", dst=2, imm=3),
        E("MOVE", dst=4, imm=DATA + 64),
        E(f"SYNC_ADD{bits}", addr=0, data=2, propagate=1),
        E(f"SYNC_SET{bits}", addr=4, data=2, scope=2),
    )
    assert rig.run() is IDLE
    assert rig.memory.peek(DATA, size + 4) == (2).to_bytes(size, "little") + b"\xaa" * 4  # status only in an error
    assert rig.memory.peek(DATA + 64, size) == (3).to_bytes(size, "little")
    assert rig.firmware.events == [("flush",), ("sync_update",), ("wake_group",), ("sync_update",)]


@pytest.mark.parametrize(
    ("mnemonic", "cond", "value", "reference", "passes"),
    [
        ("SYNC_WAIT32", 1, 5, 5, False),
        ("SYNC_WAIT32", 1, 6, 5, True),
        ("SYNC_WAIT32", 0, 5, 5, True),
        ("SYNC_WAIT32", 0, 6, 5, False),
        ("SYNC_WAIT64", 1, 1 << 63, 1, True),
        ("SYNC_WAIT64", 0, 1 << 63, 1, False),
        ("SYNC_WAIT64", 1, 0x100000000, 0xFFFFFFFF, True),
    ],
)
def test_sync_wait_compares_unsigned(mnemonic: str, cond: int, value: int, reference: int, passes: bool) -> None:
    rig = Rig()
    rig.memory.poke(DATA, value.to_bytes(8, "little"))
    if mnemonic == "SYNC_WAIT32":
        rig.memory.poke(DATA + 4, bytes(4))
    rig.submit(E("MOVE", dst=0, imm=DATA), E("MOVE", dst=2, imm=reference), E(mnemonic, addr=0, data=2, cond=cond))
    assert rig.run() is (IDLE if passes else BLOCKED)


def test_the_status_words_of_a_blocked_sync_wait() -> None:
    rig = Rig()
    rig.submit(E("MOVE", dst=0, imm=DATA), E("MOVE", dst=2, imm=0x123456789), E("SYNC_WAIT64", addr=0, data=2, cond=1))
    assert rig.run() is BLOCKED
    status = rig.stream.status()
    assert status.wait == 1 << 31 | 1 << 30 | 1 << 24
    assert (status.wait_sync_ptr, status.wait_sync_value, status.blocked_reason) == (DATA, 0x123456789, 3)
    assert (status.scoreboards, status.cmd_ptr) == (0, Rig.CODE + 16)
    assert rig.stream.idle
    assert rig.stream.extract == 40
    rig.memory.poke(DATA, (0x12345678A).to_bytes(8, "little"))
    assert rig.run() is IDLE
    assert rig.stream.status().blocked_reason == 0


def test_store_state() -> None:
    rig = Rig()
    rig.firmware.now = 2.0
    rig.submit(E("MOVE", dst=0, imm=DATA + 8), *[E("STORE_STATE", addr=0, state=n, offset=8 * n - 8) for n in range(4)])
    assert rig.run() is IDLE
    assert [rig.memory.peek64(DATA + 8 * n) for n in range(4)] == [
        0x1122334455 + 48_000_000,
        0x66778899AA + 2_000_000_000,
        0,
        0,
    ]


def test_flush_is_skipped_only_if_one_happened_since() -> None:
    rig = Rig()
    rig.firmware.latest_flush = 7
    flush = {"l2": 3, "lsc": 3, "other": 2}
    for flush_id, happens in ((0, True), (7, False), (8, True), (8, False), (9, True)):
        before = rig.firmware.latest_flush
        rig.push(E("MOVE32", dst=1, imm=flush_id), E("FLUSH_CACHE2", flush_id=1, **flush))
        assert rig.run() is IDLE
        assert (rig.firmware.latest_flush != before) is happens, flush_id
    rig.push(E("MOVE32", dst=1), E("FLUSH_CACHE2", flush_id=1, l2=1, lsc=1), E("FLUSH_CACHE2", flush_id=1))
    before = rig.firmware.latest_flush
    assert rig.run() is IDLE
    assert rig.firmware.latest_flush == before  # a clean is no clean and invalidate


def test_progress_counters() -> None:
    rig = Rig()
    rig.push(
        E("MOVE", dst=0, imm=0x500000004),
        E("PROGRESS_STORE", src=0),
        E("WAIT", progress=1),
        E("RUN_COMPUTE", progress=1),
        E("FINISH_TILING", progress=1),
        E("PROGRESS_LOAD", dst=2),
        *dump(2, 3),
        E("MOVE", dst=4, imm=9),
        E("PROGRESS_WAIT", queue=2, src=4),
    )
    assert rig.run() is BLOCKED
    assert values(rig, 2) == [7, 5]
    assert rig.stream.progress == 0x500000007
    status = rig.stream.status()
    assert (status.blocked_reason, status.wait) == (2, 1 << 28)
    rig.firmware.counters[2] = 9
    assert rig.run() is IDLE


RUNS = ["RUN_COMPUTE", "RUN_COMPUTE_INDIRECT", "RUN_TILING", "RUN_IDVS", "RUN_FRAGMENT", "RUN_FULLSCREEN"]


@pytest.mark.parametrize("mnemonic", RUNS)
def test_a_job_holds_its_endpoint_slot_for_its_time(mnemonic: str) -> None:
    rig = Rig(CsParams(compute_seconds=1.0, tiling_seconds=1.0, fragment_seconds=1.0))
    rig.push(E("SET_SB_ENTRY", endpoint=3, other=1), E(mnemonic, progress=1), E("WAIT", wait=0xF7), E("WAIT", wait=8))
    assert rig.run() is BLOCKED
    status = rig.stream.status()
    assert (status.scoreboards, status.blocked_reason, status.wait) == (8, 1, 8 << 16 | 8)
    assert (rig.stream.working, rig.stream.idle, rig.stream.extract) == (True, False, 24)
    rig.firmware.advance(0.99)
    assert rig.run() is BLOCKED
    wakes = rig.firmware.wakes
    rig.firmware.advance(0.02)
    assert rig.firmware.wakes == wakes + 1
    assert rig.stream.status().scoreboards == 0  # seen without another slice
    assert rig.run() is IDLE
    assert rig.stream.progress == 1


def test_an_empty_ring_with_a_job_in_flight_is_not_idle() -> None:
    rig = Rig(CsParams(compute_seconds=1.0))
    rig.push(E("RUN_COMPUTE"))
    assert rig.run() is BLOCKED
    assert (rig.stream.extract, rig.stream.idle, rig.stream.status().blocked_reason) == (8, False, 0)
    rig.firmware.advance(1)
    assert rig.run() is IDLE
    assert rig.stream.idle


def test_more_jobs_than_the_endpoint_takes_block_the_stream() -> None:
    rig = Rig(CsParams(compute_seconds=1.0))
    rig.push(*[E("RUN_COMPUTE")] * 9, *dump(0))
    assert rig.run() is BLOCKED
    assert rig.stream.status().blocked_reason == 5
    rig.firmware.advance(1)
    assert rig.run() is BLOCKED
    assert rig.stream.extract == rig.stream.insert
    rig.firmware.advance(1)
    assert rig.run() is IDLE


def test_a_deferred_operation_takes_its_operands_when_issued() -> None:
    rig = Rig(CsParams(compute_seconds=1.0))
    rig.push(
        E("SET_SB_ENTRY", endpoint=3),
        E("MOVE", dst=0, imm=DATA),
        E("MOVE", dst=2, imm=7),
        E("RUN_COMPUTE"),
        E("SYNC_SET64", addr=0, data=2, wait=8, signal=5),
        E("MOVE", dst=0, imm=0),
        E("MOVE", dst=2, imm=9),
        E("WAIT", wait=0x20),
    )
    assert rig.run() is BLOCKED
    assert rig.stream.status().scoreboards == 0x28
    assert rig.memory.peek64(DATA) == 0
    rig.firmware.advance(1)
    assert rig.run() is IDLE
    assert rig.memory.peek64(DATA) == 7


def test_deferred_operations_follow_each_other() -> None:
    rig = Rig(CsParams(fragment_seconds=1.0))
    rig.push(
        E("MOVE", dst=0, imm=DATA),
        E("MOVE", dst=2, imm=7),
        E("MOVE32", dst=4),
        E("SET_SB_ENTRY", endpoint=4),
        E("RUN_FRAGMENT"),
        E("SYNC_ADD64", addr=0, data=2, wait=4, signal=1),  # sb2 is the flush below: not issued yet, so at once
        E("FLUSH_CACHE2", l2=3, lsc=3, flush_id=4, wait=16, signal=2),
        E("STORE_STATE", addr=0, offset=16, state=1, wait=4, signal=3),
        E("SYNC_ADD64", addr=0, data=2, wait=8, signal=1),
    )
    assert rig.run() is BLOCKED
    assert rig.memory.peek64(DATA) == 7
    assert rig.memory.peek64(DATA + 16) == 0
    assert rig.stream.status().scoreboards == 0b11110
    rig.firmware.advance(1)
    assert rig.run() is IDLE
    assert rig.memory.peek64(DATA) == 14
    assert rig.memory.peek64(DATA + 16) != 0
    assert [e[0] for e in rig.firmware.events] == ["sync_update", "flush", "sync_update"]


def test_an_operation_that_waits_for_its_own_signal_waits_for_ever() -> None:
    rig = Rig()
    rig.push(E("TRACE_POINT", wait=2, signal=1), E("WAIT", wait=2))
    assert rig.run() is BLOCKED
    assert rig.run() is BLOCKED
    assert rig.stream.status().scoreboards == 2


def test_too_many_deferred_operations_block_the_stream() -> None:
    rig = Rig(CsParams(compute_seconds=1.0))
    rig.push(E("RUN_COMPUTE"), *[E("TRACE_POINT", wait=1, signal=2)] * 17)
    assert rig.run() is BLOCKED
    assert rig.stream.status().blocked_reason == 4
    rig.firmware.advance(1)
    assert rig.run() is IDLE


def test_resources_are_granted_and_shown() -> None:
    rig = Rig()
    rig.push(0x220000000000000F)
    assert rig.run() is IDLE
    assert rig.stream.status().req_resource == 0xF


def test_what_is_not_modelled_is_said_each_time() -> None:
    rig = Rig()
    rig.push(
        E("PROT_REGION", size=3),
        E("WAIT") | 1 << 40,
        E("MOVE32", dst=1) | 1 << 40,
        E("HEAP_OPERATION"),
        E("FINISH_FRAGMENT"),
    )
    assert rig.run() is IDLE
    assert [event[1] for event in rig.firmware.events] == [
        "cs-protected-region",
        "cs-reserved-bits",
        "cs-reserved-bits",
        "cs-no-heap",
        "cs-no-heap",
    ]


def test_accesses_name_their_requester() -> None:
    rig = Rig()
    seen: list[tuple[int, int, Requester]] = []
    rig.submit(E("MOVE", dst=0, imm=DATA), E("STORE_MULTIPLE", base=2, addr=0, mask=3), E("HEAP_SET", addr=0))
    rig.memory.before_access = lambda *access: seen.append(access)
    assert rig.run() is IDLE
    assert seen[:4] == [
        (rig.ring, 128, Requester.PREFETCH),
        (Rig.CODE, 24, Requester.PREFETCH),
        (DATA, 8, Requester.LSU),
        (DATA, 32, Requester.MCU),
    ]


def test_insert_wakes_only_when_it_moves() -> None:
    rig = Rig()
    rig.stream.insert = 0
    assert rig.firmware.wakes == 0
    rig.stream.insert = 8
    assert rig.firmware.wakes == 1


def test_nothing_runs_before_start_and_after_stop() -> None:
    rig = Rig()
    fresh = rig.new_stream()
    assert fresh.run(10).state is IDLE
    rig.submit(E("BRANCH", cond=6, offset=-1))
    assert rig.run() is SPINNING
    rig.stream.stop()
    assert rig.stream.run(10).retired == 0
    assert rig.stream.extract == 40
