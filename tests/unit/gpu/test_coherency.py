# SPDX-License-Identifier: GPL-2.0-or-later
"""What the GPU says of coherency, what a driver may choose, and when it is told that it chose wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.coherency import ACE_LITE, NONE, PROTOCOLS, Coherency
from panthorlab.gpu.misbehave import parse
from panthorlab.gpu.pci import COHERENT, ConfigSpace

Bench = Any  # conftest.Bench
COHERENT_BOARD = "coherency=ace-lite"


@pytest.fixture
def coherent(make_bench: Any) -> Bench:
    made = make_bench(COHERENT_BOARD)
    made.boot()
    return made


def l2_off_and_on(bench: Bench) -> None:
    bench.write("L2_PWROFF_LO", 1)
    bench.write("L2_PWRON_LO", 1)


def test_board_that_is_not(bench: Bench) -> None:
    assert bench.read("COHERENCY_FEATURES") == 0
    bench.write("COHERENCY_PROTOCOL", NONE)
    l2_off_and_on(bench)
    assert bench.kinds() == []
    bench.write("COHERENCY_PROTOCOL", ACE_LITE)
    assert bench.kinds() == [], "it does no harm before the L2 has power"
    l2_off_and_on(bench)
    assert bench.kinds() == ["misuse"]


def test_board_that_is(coherent: Bench) -> None:
    assert coherent.read("COHERENCY_FEATURES") == 1 << ACE_LITE
    l2_off_and_on(coherent)
    assert coherent.kinds() == [], "a driver that chooses nothing chooses nothing wrong"
    coherent.write("COHERENCY_PROTOCOL", ACE_LITE)
    l2_off_and_on(coherent)
    assert coherent.kinds() == []
    coherent.write("COHERENCY_PROTOCOL", 1 << ACE_LITE)  # the bit, where the number is asked for
    l2_off_and_on(coherent)
    assert coherent.kinds() == ["misuse"]


def test_reset_by_the_driver_keeps_it_and_that_of_the_function_does_not(coherent: Bench) -> None:
    coherent.write("COHERENCY_PROTOCOL", NONE)
    coherent.write("GPU_CMD", 0x101)
    assert coherent.read("COHERENCY_PROTOCOL") == NONE
    coherent.gpu.reset()
    assert coherent.read("COHERENCY_PROTOCOL") == 0
    l2_off_and_on(coherent)
    assert coherent.kinds() == []


def test_lost_once(coherent: Bench) -> None:
    coherent.gpu.chip.misbehaviour.arm([parse("coherency-lost,nth=2")])
    assert [coherent.read("COHERENCY_FEATURES") for _ in range(3)] == [1, 0, 1]


def test_function_says_so() -> None:
    assert ConfigSpace().read(COHERENT, 1) == b"\0"
    space = ConfigSpace(coherent=True)
    space.write(COHERENT, b"\0")
    space.reset()
    assert space.read(COHERENT, 1) == b"\1"


@given(
    st.sampled_from(sorted(PROTOCOLS)), st.lists(st.integers(0, 0xFFFFFFFF) | st.sampled_from([0, 1, 31]), max_size=4)
)
def test_told_if_and_only_if_it_is_wrong(word: str, writes: list[int]) -> None:
    told: list[str] = []

    class Quiet:
        def misuse(self, name: str, _text: str) -> None:
            told.append(name)

        def strikes(self, _name: str) -> None:
            return None

    coherency = Coherency(word, Quiet(), Quiet())  # type: ignore[arg-type]
    for value in writes:
        coherency.choose(value)
    coherency.l2_on()
    assert bool(told) == bool(writes and writes[-1] != PROTOCOLS[word])
