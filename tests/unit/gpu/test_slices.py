# SPDX-License-Identifier: GPL-2.0-or-later
"""Slices of several groups on a whole GPU: the same whether their code is translated or interpreted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from unittest.mock import patch

import pytest

from panthorlab.gpu.cs import fetch
from panthorlab.gpu.cs.state import Slice, StreamState
from panthorlab.gpu.cs.stream import CommandStream
from panthorlab.gpu.cs.translate import translate
from panthorlab.gpu.generations.g610 import G610
from tests.unit.gpu.conftest import RESULT_VA, Bench
from tests.unit.gpu_cs.standalone import encode as E  # noqa: N812

COUNTS = 3000
SIGNALLING = [  # to the group that waits: out from the middle, always back at the end
    E("MOVE", dst=0, imm=RESULT_VA),
    E("MOVE32", dst=2, imm=1),
    E("MOVE32", dst=4, imm=COUNTS),
    E("SYNC_ADD32", addr=0, data=2),
    E("ADD_IMM32", dst=4, src=4, imm=-1),
    E("BRANCH", cond=2, value=4, offset=1),
    E("BRANCH", cond=2, value=10, offset=-4),
]
WAITING = [  # for each seventh count; then it counts itself
    E("MOVE", dst=0, imm=RESULT_VA),
    E("MOVE", dst=6, imm=RESULT_VA + 64),
    E("MOVE32", dst=4, imm=COUNTS // 7),
    E("SYNC_WAIT32", addr=0, data=2, cond=1, reject=1),
    E("ADD_IMM32", dst=2, src=2, imm=7),
    E("STORE_MULTIPLE", base=2, addr=6, mask=1),
    E("ADD_IMM32", dst=4, src=4, imm=-1),
    E("BRANCH", cond=1, value=4, offset=-5),
]


def slices(codes: Sequence[Sequence[int]], most: int, *, translated: bool) -> list[tuple[object, ...]]:
    """Of each slice: what it retired, its state, its registers, and both results after it."""
    seen: list[tuple[object, ...]] = []
    run = CommandStream.run

    def noted(stream: CommandStream, budget: int, *, refetch: bool = True) -> Slice:
        result = run(stream, budget, refetch=refetch)
        words = [bench.word(bench.user.pa(RESULT_VA) + at) for at in (0, 64)]
        seen.append((result, stream.save().registers, *words))
        return result

    with (
        patch.object(fetch, "translate", translate if translated else lambda _isa, _words: None),
        patch.object(fetch, "_HOT", 2 if translated else -1),
        patch.object(CommandStream, "run", noted),
        closing(Bench(G610, f"slice.most={most}")) as bench,
    ):
        bench.boot()
        bench.make_user_memory()
        bench.start_calls(codes)
        bench.pump()
    return seen


@pytest.mark.parametrize("most", [64, 100, 2048])
def test_who_waits_for_a_sync_object_sees_a_translated_loop_store_when_it_would_the_interpreter(most: int) -> None:
    codes = [SIGNALLING, WAITING]
    one, other = (slices(codes, most, translated=flag) for flag in (True, False))
    assert one == other
    assert one[-1][-2:] == (COUNTS, COUNTS // 7 * 7)
    waits = [result for (result, *_) in one if isinstance(result, Slice) and result.state is StreamState.BLOCKED]
    assert len(waits) > 2


def test_a_loop_of_several_instructions_that_spins_is_looked_at_ever_more_rarely() -> None:
    """A slice of the first length would not show that it spins. What it waits for is seen after the longest pause."""
    polling = [
        E("MOVE", dst=0, imm=RESULT_VA),
        E("LOAD_MULTIPLE", base=2, addr=0, mask=1),
        E("WAIT", wait=1),
        E("BRANCH", cond=2, value=2, offset=-3),
        E("MOVE32", dst=4, imm=1),
        E("STORE_MULTIPLE", base=4, addr=0, mask=1),
    ]
    at: list[float] = []
    run = CommandStream.run

    def noted(stream: CommandStream, budget: int, *, refetch: bool = True) -> Slice:
        at.append(bench.time.now)
        return run(stream, budget, refetch=refetch)

    settings = ("spin.first_us=100", "spin.most_us=1600")
    with patch.object(CommandStream, "run", noted), closing(Bench(G610, *settings)) as bench:
        bench.boot()
        bench.make_user_memory()
        bench.start_calls([polling])
        bench.elapse(0.02)
        pauses = [later - earlier for earlier, later in pairwise(at) if later - earlier > 50e-6]
        assert pauses == sorted(pauses)
        assert pauses[-1] == pytest.approx(1.6e-3, rel=0.1)
        bench.put_word(bench.user.pa(RESULT_VA), 2)
        bench.elapse(1.7e-3)
        assert bench.word(bench.user.pa(RESULT_VA)) == 1
