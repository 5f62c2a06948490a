# SPDX-License-Identifier: GPL-2.0-or-later
"""Translated code does what the interpreter does: after any number of instructions, through faults and changes."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.cs import fetch, registers
from panthorlab.gpu.cs.codec import assemble
from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.machine import Block, StreamMachine
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.state import StreamState
from panthorlab.gpu.cs.translate import LONGEST, translate, translate_run
from panthorlab.gpu.cs.units import bind
from panthorlab.gpu.cs.v10 import V10
from tests.unit.gpu_cs.standalone import RecordingFirmware, Rig, counting_loop, encode

E = encode
LOW = st.integers(2, 14)
EVEN = LOW.map(lambda n: n & ~1)
IMMEDIATE = st.integers(-(1 << 31), (1 << 31) - 1)
BODY = st.lists(
    st.one_of(
        st.just(E("NOP")),
        st.builds(lambda d, v: E("MOVE", dst=d, imm=v), EVEN, st.integers(0, (1 << 48) - 1)),
        st.builds(lambda d, v: E("MOVE32", dst=d, imm=v), LOW, st.integers(0, (1 << 32) - 1)),
        st.builds(lambda d, s, v: E("ADD_IMM32", dst=d, src=s, imm=v), LOW, LOW, IMMEDIATE),
        st.builds(lambda d, s, v: E("ADD_IMM64", dst=d, src=s, imm=v), EVEN, EVEN, IMMEDIATE),
        st.builds(lambda d, a, b: E("UMIN32", dst=d, src1=a, src2=b), LOW, LOW, LOW),
        st.just(E("WAIT", wait=0xFF)),
        st.builds(
            lambda b, m, o: E("LOAD_MULTIPLE", base=b, addr=16, mask=m, offset=4 * o),
            LOW,
            st.integers(0, 15),
            st.integers(0, 64),
        ),
        st.builds(
            lambda b, m, o: E("STORE_MULTIPLE", base=b, addr=16, mask=m, offset=4 * o),
            LOW,
            st.integers(0, 15),
            st.integers(0, 64),
        ),
        st.builds(
            lambda n, d, s: E(n, addr=16, data=d, scope=s),
            st.sampled_from(["SYNC_ADD32", "SYNC_SET32", "SYNC_ADD64", "SYNC_SET64"]),
            EVEN,
            st.sampled_from([0, 2]),
        ),
        st.builds(
            lambda n, d, p, w, s: E(n, addr=16, data=d, propagate=p, wait=w, signal=s),
            st.sampled_from(["SYNC_ADD32", "SYNC_SET32", "SYNC_ADD64", "SYNC_SET64"]),
            EVEN,
            st.integers(0, 1),
            st.sampled_from([0, 1, 2]),
            st.integers(0, 1),  # what waits for the slot that it signals waits for itself, and keeps it busy for ever
        ),
        st.builds(
            lambda n, d, c: E(n, addr=16, data=d, cond=c, reject=1),
            st.sampled_from(["SYNC_WAIT32", "SYNC_WAIT64"]),
            EVEN,
            st.integers(0, 1),
        ),
        st.builds(
            lambda c, v, o: E("BRANCH", cond=c, value=v, offset=o),
            st.integers(0, 6),
            st.integers(0, 14),
            st.one_of(st.integers(0, 3), st.integers(0, 14)),  # over some, out of the loop, out of the buffer
        ),
        st.sampled_from(
            [
                E("RUN_COMPUTE", progress=1),
                E("FLUSH_CACHE2", l2=3, lsc=3, other=2, flush_id=2, signal=1),
                E("STORE_STATE", addr=16, state=3),
                E("PROGRESS_LOAD", dst=2),
                E("ERROR_BARRIER"),
                E("STORE_MULTIPLE", base=2, addr=26, mask=3),  # a fault: there is nothing at address 0
                E("SET_SB_ENTRY", endpoint=1, other=2),
                E("NOP") | 1 << 3,
                E("MOVE32", dst=3) | 1 << 40,  # reserved bits
            ]
        ),
    ),
    min_size=1,
    max_size=12,
)


BEHIND = [E("ADD_IMM32", dst=24, src=24, imm=1)] * 4
"""What follows a loop: registers say by how many ways it was left, and where they led."""


def program(body: Sequence[int], times: int) -> list[int]:
    return [
        E("MOVE", dst=16, imm=Rig.DATA),
        E("MOVE32", dst=0, imm=times),
        *body,
        E("ADD_IMM32", dst=0, src=0, imm=-1),
        E("BRANCH", cond=1, value=0, offset=-len(body) - 2),
        *BEHIND,
    ]


BUFFER = Rig.CODE + 0x8000


def calls(before: Sequence[int], buffer: Sequence[int], times: int) -> list[int]:
    """A loop of `before` and a call of what is in BUFFER."""
    call = [E("MOVE", dst=18, imm=BUFFER), E("MOVE32", dst=20, imm=8 * len(buffer)), E("CALL", addr=18, length=20)]
    return program([*before, *call], times)


class Witness(RecordingFirmware):
    """Hears of a store into a sync object where the stream is then, and sees what the memory holds for those that it
    wakes."""

    rig: Rig

    def sync_update(self) -> None:
        self._hear("sync_update")

    def wake_group(self) -> None:
        self._hear("wake_group")

    def _hear(self, what: str) -> None:
        machine = self.rig.stream._m
        self.events.append((what, machine.pc, machine.left, hash(self.rig.memory.peek(Rig.DATA, 512))))


def history(
    words: Sequence[int], budgets: Sequence[int], *, translated: bool, also: tuple[int, Sequence[int]] = (BUFFER, ())
) -> list[object]:
    """What can be seen after each slice, and at the end. `also`: address and words of more code. Faults are
    acknowledged, after which the stream goes on with the next instruction."""
    firmware = Witness()
    firmware.rig = rig = Rig(CsParams(resume="next"), fetcher=Fetcher(V10), firmware=firmware)
    rig.memory.poke(also[0], assemble(also[1]))
    rig.submit(*words)
    seen: list[object] = []
    with (
        patch.object(fetch, "translate", translate if translated else lambda _isa, _words: None),
        patch.object(fetch, "_HOT", 2 if translated else -1),
    ):
        for budget in (*budgets, 20_000):
            result = rig.stream.run(budget)
            saved = rig.stream.save()
            rig.stream.acknowledge_fault()
            seen.append(
                (
                    result.retired,
                    result.state,
                    saved.registers,
                    saved.pc,
                    saved.frames,
                    saved.error,
                    rig.memory.peek(Rig.DATA, 512),
                )
            )
    return [*seen, rig.firmware.events, rig.seqno]


@given(BODY, st.integers(1, 400), st.lists(st.integers(1, 700), max_size=6))
def test_a_translated_loop_does_what_the_interpreter_does(body: list[int], times: int, budgets: list[int]) -> None:
    words = program(body, times)
    assert history(words, budgets, translated=True) == history(words, budgets, translated=False)


@given(BODY, st.integers(0, 6))
def test_every_condition_leaves_the_loop_where_the_interpreter_does(body: list[int], condition: int) -> None:
    start = 0x80000010 if condition in (0, 4) else 5
    step = {2: 0, 3: -1, 5: -1}.get(condition, -1)
    words = [
        E("MOVE", dst=16, imm=Rig.DATA),
        E("MOVE32", dst=0, imm=start),
        *body,
        E("ADD_IMM32", dst=0, src=0, imm=step),
        E("BRANCH", cond=condition, value=0, offset=-len(body) - 2),
        *BEHIND,
    ]
    budgets = [900, 64, 77]
    one, other = (history(words, budgets, translated=flag)[:3] for flag in (True, False))
    assert one == other


def test_a_fault_in_the_middle_of_a_translated_loop_is_where_the_interpreter_has_it() -> None:
    body = [E("ADD_IMM64", dst=16, src=16, imm=0x100), E("STORE_MULTIPLE", base=0, addr=16, mask=1)]
    words = program(body, 10_000)  # runs out of the mapped data
    one, other = (history(words, [3000], translated=flag) for flag in (True, False))
    assert one == other
    assert any(event[0] == "fault" for event in one[-2])  # type: ignore[attr-defined]


def test_a_branch_inside_a_loop_is_taken() -> None:
    body = [E("BRANCH", cond=6, offset=1), E("ADD_IMM32", dst=2, src=2, imm=1), E("ADD_IMM32", dst=3, src=3, imm=1)]
    registers = history(program(body, 100), [5000], translated=True)[0][2]  # type: ignore[index]
    assert registers[2:4] == (0, 100)


COUNTING = [*counting_loop(Rig.CODE + 2064, 70), *BEHIND]
"""As IGT's tests of the scheduler count: out from the middle, always back at the end, into the page of the code."""


@pytest.mark.parametrize("budget", range(1, 40))
def test_slices_of_each_length_end_where_the_interpreter_ends_them(budget: int) -> None:
    """Of a loop that is left from its middle, and of one with branches in branches, some to the same place."""
    nested = program(
        [
            E("ADD_IMM32", dst=2, src=2, imm=-3),
            E("BRANCH", cond=4, value=2, offset=4),
            E("ADD_IMM32", dst=3, src=3, imm=1),
            E("BRANCH", cond=3, value=2, offset=3),  # farther than the one around it
            E("SYNC_ADD32", addr=16, data=3),
            E("BRANCH", cond=6, offset=2),
            E("ADD_IMM32", dst=2, src=2, imm=9),
            E("SYNC_ADD64", addr=16, data=4, scope=2),
        ],
        60,
    )
    called = [*[E("ADD_IMM32", dst=n, src=n, imm=n) for n in (2, 3, 4)], E("WAIT", wait=1), E("MOVE32", dst=5, imm=7)]
    calling = calls([E("ADD_IMM32", dst=6, src=6, imm=1), E("WAIT", wait=1)], called, 30)
    for words in (COUNTING, nested, calling):
        budgets = [budget] * (700 // budget)
        one, other = (history(words, budgets, translated=flag, also=(BUFFER, called)) for flag in (True, False))
        assert one == other


def test_a_loop_with_its_way_out_in_the_middle_is_fetched_once() -> None:
    """And stays translated, though it stores into the page of its code."""
    assert translate(V10, tuple(COUNTING[3:8])) is not None
    rig = Rig()
    rig.submit(*COUNTING)
    fetched: list[int] = []

    def before(va: int, _size: int, requester: Requester) -> None:
        if requester is Requester.PREFETCH:
            fetched.append(va)

    rig.memory.before_access = before
    assert rig.stream.run(20_000).state is StreamState.IDLE
    assert rig.memory.peek32(Rig.CODE + 2064) == 70
    assert fetched == [Rig.RING, Rig.CODE]


@pytest.mark.parametrize("name", ["SYNC_ADD32", "SYNC_SET32", "SYNC_ADD64", "SYNC_SET64"])
def test_sync_objects_of_a_translated_loop_get_the_status_of_what_went_before(name: str) -> None:
    words = [
        E("STORE_MULTIPLE", base=2, addr=26, mask=1),  # a fault: there is nothing at address 0
        *program([E(name, addr=16, data=2, propagate=1), E("ADD_IMM64", dst=16, src=16, imm=16)], 32),
    ]
    one, other = (history(words, [5000, 5000], translated=flag) for flag in (True, False))
    assert one == other
    status = {"32": 4, "64": 8}[name[-2:]]
    assert one[-3][-1][status::16] == bytes([1] * 32)  # type: ignore[index]


def test_a_branch_out_of_the_buffer_is_fatal_in_the_middle_of_a_translated_loop() -> None:
    words = [*COUNTING[:6], E("BRANCH", cond=2, value=4, offset=1000), *COUNTING[7:]]
    one, other = (history(words, [200, 5000], translated=flag) for flag in (True, False))
    assert one == other
    assert any(event[0] == "fatal" for event in one[-2])  # type: ignore[attr-defined]


@given(
    BODY,
    st.integers(-20, 40),
    st.integers(1, 4),
    st.sampled_from(["STORE_MULTIPLE", "SYNC_SET32", "SYNC_SET64"]),
    st.lists(st.integers(1, 700), max_size=3),
)
def test_what_a_loop_writes_around_its_code_is_executed_where_that_is_code(
    body: list[int], start: int, words: int, name: str, budgets: list[int]
) -> None:
    """It writes NOPs or half of them, from `start` words before or behind its head onwards. The reference fetches its
    code again after each store."""
    store = (
        E("STORE_MULTIPLE", base=30, addr=28, mask=(1 << words) - 1)
        if name == "STORE_MULTIPLE"
        else E(name, addr=28, data=30)
    )
    code = [
        E("MOVE", dst=28, imm=Rig.CODE + 8 + 4 * start),
        *program([*body, store, E("ADD_IMM64", dst=28, src=28, imm=4)], 40),
    ]
    before = (Rig.CODE - 4096, [0])
    one = history(code, budgets, translated=True, also=before)
    with patch.object(StreamMachine, "_has_fetched", lambda _machine, _start, _end: True):
        other = history(code, budgets, translated=False, also=before)
    assert one == other


@pytest.mark.parametrize("offset", [-4, 0, 20, 24])
def test_only_a_store_into_what_was_fetched_has_it_fetched_again(offset: int) -> None:
    rig = Rig()
    fetched: list[int] = []

    def before(va: int, _size: int, requester: Requester) -> None:
        if requester is Requester.PREFETCH:
            fetched.append(va)

    code = Rig.CODE + 64
    rig.memory.before_access = before
    rig.submit(E("MOVE", dst=28, imm=code + offset), E("STORE_MULTIPLE", base=30, addr=28, mask=1), E("NOP"), at=code)
    assert rig.run() is StreamState.IDLE
    assert len(fetched) == (4 if 0 <= offset < 24 else 2)


@pytest.mark.parametrize(
    "store", [E("STORE_MULTIPLE", base=20, addr=16, mask=3), E("SYNC_SET64", addr=16, data=20)], ids=["store", "sync"]
)
def test_a_loop_that_rewrites_itself_executes_what_it_wrote(store: int) -> None:
    """Its stores come nearer with each round, from the page before, until one hits its own head: a MOVE32 that ends it
    then."""
    end = E("MOVE32", dst=0, imm=0)
    words = [
        E("MOVE32", dst=20, imm=end & 0xFFFFFFFF),
        E("MOVE32", dst=21, imm=end >> 32),
        E("MOVE32", dst=0, imm=1),
        E("MOVE", dst=16, imm=Rig.CODE - 8 * 20),
        E("NOP"),
        store,
        E("ADD_IMM64", dst=16, src=16, imm=8),
        E("ADD_IMM32", dst=2, src=2, imm=1),
        E("BRANCH", cond=1, value=0, offset=-5),
    ]
    before = (Rig.CODE - 4096, [0])
    one, other = (history(words, [1000], translated=flag, also=before) for flag in (True, False))
    assert one == other
    registers = one[0][2]  # type: ignore[index]
    assert registers[0] == 0
    assert registers[2] == 20 + 5 + 1  # one more: the round that wrote it, and the one that executed it


def test_long_loops_and_others_stay_with_the_interpreter() -> None:
    long = [*[E("NOP")] * LONGEST, E("BRANCH", cond=6, offset=-LONGEST - 1)]
    assert translate(V10, tuple(long)) is None
    assert translate(V10, (E("CALL", addr=2, length=4), E("BRANCH", cond=6, offset=-2))) is None
    assert translate(V10, (E("BRANCH", cond=2, offset=-1), E("BRANCH", cond=6, offset=-2))) is None
    assert translate(V10, (E("BRANCH", cond=2, offset=1) | 1 << 50, E("BRANCH", cond=6, offset=-2))) is None
    assert translate(V10, (E("BRANCH", cond=2, offset=1), E("BRANCH", cond=6, offset=-2))) is not None
    deep = [E("BRANCH", cond=2, value=2, offset=LONGEST - 2 - n) for n in range(LONGEST - 1)]
    assert translate(V10, (*deep, E("BRANCH", cond=6, offset=-LONGEST))) is not None
    assert translate(V10, (E("NOP"), E("BRANCH", cond=6, offset=-3))) is None
    assert translate(V10, (E("NOP"), 0xFF << 56)) is None
    assert translate(V10, (E("NOP"), E("BRANCH", cond=6, offset=-2))) is not None


@pytest.mark.parametrize("body", [[E("NOP")], [E("LOAD_MULTIPLE", base=2, addr=16, mask=1), E("WAIT", wait=1)]])
def test_a_loop_without_any_effect_is_still_told_from_work(body: list[int]) -> None:
    rig = Rig()
    rig.submit(E("MOVE", dst=16, imm=Rig.DATA), *body, E("BRANCH", cond=2, value=2, offset=-len(body) - 1))
    assert rig.stream.run(100_000).state is StreamState.SPINNING


@pytest.mark.parametrize("rounds", [*range(1, 36), 63, 64, 65])
def test_a_loop_comes_to_be_without_effect_where_the_interpreter_sees_it(rounds: int) -> None:
    """Registers change until a sum has come to its least, so many rounds; its branch leads behind or to its head."""
    words = [
        E("MOVE32", dst=2, imm=rounds),
        E("MOVE32", dst=4, imm=1),
        E("ADD_IMM32", dst=3, src=2, imm=-1),
        E("UMIN32", dst=2, src1=2, src2=3),
        E("BRANCH", cond=2, value=2, offset=1),
        E("ADD_IMM32", dst=5, src=5, imm=1),
        E("BRANCH", cond=3, value=2, offset=-5),
        *program([E("NOP")], rounds),
        E("NOP"),
        E("BRANCH", cond=6, offset=-2),
    ]
    for repeated in (words, [*words[:6], E("BRANCH", cond=6, offset=-5)], words[-2:]):
        one, other = (history(repeated, [20 + rounds, 500], translated=flag) for flag in (True, False))
        assert one == other
        assert StreamState.SPINNING in [result[1] for result in one[:3]]  # type: ignore[index]


@given(BODY, BODY, st.integers(1, 5), st.lists(st.integers(1, 40), max_size=40))
def test_a_translated_run_does_what_the_interpreter_does(
    before: list[int], body: list[int], times: int, budgets: list[int]
) -> None:
    """Code that is entered again and again, in the ring and in a buffer that a loop calls."""
    words = calls(before, body, times)
    one, other = (history(words, budgets, translated=flag, also=(BUFFER, body)) for flag in (True, False))
    assert one == other


def test_what_is_entered_often_is_translated_up_to_what_leaves_it() -> None:
    wait, nop, call = E("WAIT", wait=1), E("NOP"), E("CALL", addr=2, length=4)
    block: Block = ((), 0, bind(V10, wait)[1])
    nops: Block = ((registers.nop,), 1, block[2])
    assert translate_run(V10, (wait, nop, call, nop), block) is not None
    assert translate_run(V10, (nop, wait, nop), nops) is not None
    assert translate_run(V10, (nop, wait), nops) is None  # it is alone
    assert translate_run(V10, (call, nop), ((), 0, bind(V10, call)[1])) is None
    assert translate_run(V10, (E("BRANCH", cond=6, offset=-1), nop), block) is None
    assert translate_run(V10, (wait, E("JUMP", addr=2, length=4), nop), block) is None
    assert translate_run(V10, (wait, 0xFF << 56), block) is None


def test_one_rewritten_word_is_executed_though_all_of_it_was_translated() -> None:
    rig = Rig(fetcher=Fetcher(V10))
    for value in (*[1] * 100, 2, 1):
        rig.submit(
            E("MOVE", dst=16, imm=Rig.DATA),
            E("WAIT", wait=1),
            E("MOVE32", dst=2, imm=value),
            E("STORE_MULTIPLE", base=2, addr=16, mask=1),
            E("WAIT", wait=1),
        )
        assert rig.run() is StreamState.IDLE
        assert rig.memory.peek32(Rig.DATA) == value
