# SPDX-License-Identifier: GPL-2.0-or-later
"""YIELD becomes NOP in the kernel's text, and nowhere else; callers of callers are not looked for if nobody asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.emulated.hints import NOP, RETURN_0, YIELD, without_hints

TEXT = 0xFFFF_8000_8000_0000
WORDS = st.sampled_from([YIELD, NOP, bytes(4), b"\xff" * 4, YIELD[2:] + YIELD[:2], YIELD[1:] + YIELD[:1]])


def system_map(first: int, end: int) -> str:
    """Of a text from word `first` to word `end` of the image."""
    symbols = ((0, "_text"), (first, "_stext"), (end, "_etext"))
    return "".join(f"{TEXT + 4 * at:016x} T {name}\n" for at, name in symbols)


@given(st.lists(WORDS, max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_each_yield_of_the_text_and_nothing_else(words: list[bytes], first: int, size: int) -> None:
    end = first + size
    expected = [NOP if word == YIELD and first <= at < end else word for at, word in enumerate(words)]
    assert without_hints(b"".join(words), system_map(first, end), "") == b"".join(expected)


def test_what_looks_like_one_across_two_instructions_is_none() -> None:
    image = b"\0\0" + YIELD + b"\0\0"
    assert without_hints(image, system_map(0, 2), "") == image


@pytest.mark.parametrize("symbols", [f"{TEXT:016x} T _text\n", system_map(-2, -1), system_map(-1, 1), ""])
def test_image_whose_text_is_not_known_stays_as_it_is(symbols: str) -> None:
    assert without_hints(YIELD * 4, symbols, "") == YIELD * 4


PROVING = "CONFIG_ARM64=y\nCONFIG_PROVE_LOCKING=y\n# CONFIG_FTRACE is not set\n"
CODE = bytes(range(32))


def callers_at(word: int) -> str:
    return f"{TEXT + 4 * word:016x} T return_address\n{TEXT + 20:016x} T return_address_of_another\n"


CALLERS = system_map(0, 8) + callers_at(3)


@pytest.mark.parametrize("at", [0, 3, 6])
def test_callers_of_callers_are_not_looked_for(at: int) -> None:
    expected = CODE[: 4 * at] + RETURN_0 + CODE[4 * at + 8 :]
    assert without_hints(CODE, system_map(0, 8) + callers_at(at), PROVING) == expected


@pytest.mark.parametrize(
    ("symbols", "config"),
    [
        (CALLERS, PROVING.replace("PROVE_LOCKING=y", "PROVE_LOCKING is not set")),
        (CALLERS, PROVING.replace("# CONFIG_FTRACE is not set", "CONFIG_FTRACE=y")),
        (CALLERS, PROVING + "CONFIG_DEBUG_PREEMPT=y\n"),
        (CALLERS, PROVING.replace("ARM64", "X86_64")),
        (system_map(0, 8), PROVING),
        (CALLERS.replace(" _text", " text"), PROVING),
        (system_map(0, 8) + callers_at(-2), PROVING),
        (system_map(2, 8) + callers_at(1), PROVING),
        (system_map(0, 4) + callers_at(3), PROVING),
        (system_map(0, 99) + callers_at(7), PROVING),
        (system_map(0, 99) + callers_at(50), PROVING),
    ],
    ids=[
        "nobody looks",
        "a tracer asks",
        "reports ask",
        "other instructions",
        "no such function",
        "text not known",
        "before the image",
        "before the text",
        "over the text's end",
        "over the image's end",
        "behind the image",
    ],
)
def test_callers_of_callers_stay(symbols: str, config: str) -> None:
    assert without_hints(CODE, symbols, config) == CODE
