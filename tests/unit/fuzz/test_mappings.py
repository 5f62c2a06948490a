# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts take for mapped is what calls that work would have mapped, and they cut it in every way."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from panthorlab.fuzz.generate import generate
from panthorlab.fuzz.grammar import CALLS
from panthorlab.fuzz.mappings import BLOCK, PAGE, Mappings, draw_offset, draw_part, draw_size
from panthorlab.fuzz.script import ScriptLine

pages = st.integers(1, 60)
calls = st.lists(st.tuples(st.booleans(), pages, pages), max_size=30)


@given(calls)
def test_what_is_mapped(calls: list[tuple[bool, int, int]]) -> None:
    mappings, model = Mappings(), dict[int, int]()
    for number, (maps, first, count) in enumerate(calls):
        (mappings.map if maps else mappings.unmap)("v0", first * PAGE, count * PAGE)
        for page in range(first, first + count):
            model.pop(page, None)
            if maps:
                model[page] = number
    found = mappings.of("v0")
    assert sorted(page for begin, end in found for page in range(begin // PAGE, end // PAGE)) == sorted(model)
    assert all(begin < end for begin, end in found)
    assert not mappings.of("v1")
    mappings.forget("v0")
    assert not mappings.of("v0")


@given(st.randoms(), pages, st.sampled_from((1, 2, 3, 4, 511, 512, 513, 1024, 1025)))
def test_parts_touch_the_whole(dice: random.Random, first: int, count: int) -> None:
    begin, end = first * PAGE, (first + count) * PAGE
    low, high = draw_part(dice, (begin, end))
    assert begin - PAGE <= low < high <= end + PAGE
    assert not (low | high) % PAGE


@given(st.randoms(), st.sampled_from((PAGE, 2 * PAGE, 0x4000, BLOCK, 2 * BLOCK)))
def test_what_is_mapped_fits_its_object(dice: random.Random, room: int) -> None:
    size = draw_size(dice, room)
    assert PAGE <= size <= room
    assert 0 <= draw_offset(dice, size, room) <= room - size


def cuts(script: tuple[ScriptLine, ...]) -> Counter[str]:
    """How what is mapped is unmapped: whole, at one end, in the middle, or more than it."""
    found: Counter[str] = Counter()
    mappings, aside = Mappings(), Mappings()
    for line in script:
        words = dict(line.arguments)
        vm = words.get("vm") or "v0"
        try:
            begin, size = int(words.get("va") or "0x1000000", 0), int(words.get("size") or "0x4000", 0)
        except ValueError:  # of a slot
            continue
        if line.call in ("exit", "kill", "close"):
            mappings = Mappings()
            aside = aside if line.call == "close" else Mappings()
        elif line.call == "switch":  # to the file with these mappings, or without any
            mappings, aside = aside, mappings
        elif line.call in ("bind", "sparse"):
            mappings.map(vm, begin, size)
        elif line.call == "unbind":
            for low, high in mappings.of(vm):
                if begin < high and low < begin + size:
                    found[
                        "middle"
                        if low < begin and begin + size < high
                        else "whole"
                        if begin <= low and high <= begin + size
                        else "end"
                    ] += 1
                    found["huge"] += high - low >= BLOCK and bool((begin | size) % BLOCK)
            mappings.unmap(vm, begin, size)
    return found


def test_what_is_mapped_is_cut_in_every_way_in_each_few_scripts() -> None:
    for seed in range(1, 6):
        found = sum((cuts(generate(f"{seed}:{number}")) for number in range(20)), Counter[str]())
        assert min(found[way] for way in ("middle", "whole", "end", "huge")) >= 3, found


def test_each_value_of_the_grammar_comes() -> None:
    """In a few hundred scripts, each odd one of counts and addresses several times."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for number in range(300):
        for line in generate(f"1:{number}"):
            seen.update((line.call, name, value) for name, value in line.arguments if value is not None)
    for call in CALLS.values():
        for field in call.fields:
            for value in (*field.usual, *field.odd):
                if value not in ("v", "b", "g", "h", "m", "f") and not value.startswith("e"):
                    assert seen[call.name, field.name, value], (call.name, field.name, value)
            if field.weight > 1:
                assert sum(seen[call.name, field.name, value] for value in field.odd if value[0] != "e") > 20
