# SPDX-License-Identifier: GPL-2.0-or-later
"""Translated loops do what the interpreter does: after any number of instructions, through faults and changes."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.cs import fetch
from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.state import StreamState
from panthorlab.gpu.cs.translate import LONGEST, translate
from panthorlab.gpu.cs.v10 import V10
from tests.unit.gpu_cs.standalone import Rig, encode

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
    ),
    min_size=1,
    max_size=12,
)


def program(body: Sequence[int], times: int) -> list[int]:
    return [
        E("MOVE", dst=16, imm=Rig.DATA),
        E("MOVE32", dst=0, imm=times),
        *body,
        E("ADD_IMM32", dst=0, src=0, imm=-1),
        E("BRANCH", cond=1, value=0, offset=-len(body) - 2),
    ]


def history(words: Sequence[int], budgets: Sequence[int], *, translated: bool) -> list[object]:
    """What can be seen after each slice, and at the end."""
    rig = Rig(fetcher=Fetcher(V10))
    rig.submit(*words)
    seen: list[object] = []
    with patch.object(fetch, "translate", translate if translated else lambda _isa, _words: None):
        for budget in (*budgets, 100_000):
            result = rig.stream.run(budget)
            saved = rig.stream.save()
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


def test_a_loop_that_rewrites_itself_executes_what_it_wrote() -> None:
    """After so many rounds a store hits the loop's own head: a MOVE32 that ends it."""
    loop = Rig.CODE + 8 * 5
    words = [
        E("MOVE", dst=16, imm=loop),
        E("MOVE", dst=20, imm=E("MOVE32", dst=0, imm=0) & (1 << 48) - 1),
        E("MOVE32", dst=0, imm=1),
        E("MOVE32", dst=2, imm=0),
        E("NOP"),
        E("NOP"),
        E("ADD_IMM32", dst=2, src=2, imm=1),
        E("STORE_MULTIPLE", base=20, addr=16, mask=1),
        E("BRANCH", cond=1, value=0, offset=-4),
    ]
    one, other = (history(words, [200], translated=flag) for flag in (True, False))
    assert one == other


def test_long_loops_and_others_stay_with_the_interpreter() -> None:
    long = [*[E("NOP")] * LONGEST, E("BRANCH", cond=6, offset=-LONGEST - 1)]
    assert translate(V10, tuple(long)) is None
    assert translate(V10, (E("HEAP_OPERATION", operation=0), E("BRANCH", cond=6, offset=-2))) is None
    assert translate(V10, (E("NOP"), E("BRANCH", cond=6, offset=-3))) is None
    assert translate(V10, (E("NOP"), 0xFF << 56)) is None
    assert translate(V10, (E("NOP"), E("BRANCH", cond=6, offset=-2))) is not None


@pytest.mark.parametrize("body", [[E("NOP")], [E("LOAD_MULTIPLE", base=2, addr=16, mask=1), E("WAIT", wait=1)]])
def test_a_loop_without_any_effect_is_still_told_from_work(body: list[int]) -> None:
    rig = Rig()
    rig.submit(E("MOVE", dst=16, imm=Rig.DATA), *body, E("BRANCH", cond=2, value=2, offset=-len(body) - 1))
    assert rig.stream.run(100_000).state is StreamState.SPINNING
