# SPDX-License-Identifier: GPL-2.0-or-later
"""Shrinking keeps what fails, leaves nothing that can be left out, and asks for nothing twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from panthorlab.fuzz.shrink import shrink


@given(st.integers(0, 60), st.lists(st.sets(st.integers(0, 59), max_size=6), max_size=4))
def test_what_is_left_fails_and_is_needed(length: int, causes: list[set[int]]) -> None:
    """It fails if all of any one cause is there, so that there may be several minima."""
    items = list(range(length))
    asked: list[tuple[int, ...]] = []

    def failing(part: tuple[int, ...]) -> bool:
        return any(cause <= set(part) for cause in causes)

    def fails(part: tuple[int, ...]) -> bool:
        asked.append(part)
        return failing(part)

    if not failing(tuple(items)):
        return
    left = shrink(items, fails)
    assert failing(left)
    assert list(left) == sorted(left)
    assert not any(failing(left[:place] + left[place + 1 :]) for place in range(len(left)))
    assert len(asked) == len(set(asked))


@given(st.lists(st.integers(0, 1), max_size=40), st.randoms())
def test_a_failure_that_comes_and_goes_still_ends(items: list[int], dice: object) -> None:
    import random

    assert isinstance(dice, random.Random)
    left = shrink(items, lambda _part: dice.random() < 0.4)
    assert len(left) <= len(items)


def test_few_tries() -> None:
    """One line of a thousand in some dozens of tries."""
    tries = 0

    def fails(part: tuple[int, ...]) -> bool:
        nonlocal tries
        tries += 1
        return 777 in part

    assert shrink(range(1000), fails) == (777,)
    assert tries < 40
