# SPDX-License-Identifier: GPL-2.0-or-later
"""The corpus of wrong firmware images, checked by what panthor's loader does with one, written down a second time."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.fw import corpus, image
from panthorlab.gpu.fw.corpus import ACCEPTED, CASES, NO_ROOM, ImageCase
from panthorlab.gpu.fw.parts import parse
from panthorlab.gpu.generations.g610 import G610

GOOD = image.build(G610.layout)
FLAGS = 0b111111 | 1 << 30 | 1 << 31


def loads(data: bytes) -> bool:
    """Whether panthor_fw_load() of 6.12.117 takes `data`, but for sections that overlap."""
    if len(data) < 20:
        return False
    magic, _, major, _, _, _, size = struct.unpack_from("<IBBHIII", data)
    if magic != 0xC3F13A6E or major or size > len(data):
        return False
    at, shared = 20, False
    while at < size:
        if at + 4 > size:
            return False
        (head,) = struct.unpack_from("<I", data, at)
        kind, length = head & 0xFF, head >> 8 & 0xFF
        if length % 4 or length < 4 or at + length > size:
            return False
        if kind == 0:
            verdict = _section(data, data[at + 4 : at + length])
            if verdict is None:
                return False
            shared |= verdict
        elif kind > 4 and not head >> 31:
            return False
        at += length
    return shared


def _section(data: bytes, body: bytes) -> bool | None:
    """Whether it is the shared one; None if it is refused."""
    if len(body) < 20:
        return None
    flags, start, end, data_start, data_end = struct.unpack_from("<5I", body)
    if data_end < data_start or end < start or data_end > len(data) or (start | end) % 4096 or flags & ~FLAGS:
        return None
    if flags & 1 << 5:
        return False
    if (start == 0x0400_0000 and not flags & 1 << 30) or data_end - data_start > end - start:
        return None
    return bool(start == 0x0400_0000 and end > start)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expectations_are_those_of_the_loader(case: ImageCase) -> None:
    if case.errnos != NO_ROOM:  # the loader's memory manager finds those
        assert loads(case.make(parse(GOOD))) is (case.errnos == ACCEPTED)


def test_names_are_unique_and_fit_a_pack() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and " " not in name and len(name) <= 100 for name in names)


def test_parts_give_the_image_again() -> None:
    assert parse(GOOD).to_bytes() == GOOD
    assert loads(GOOD)


@given(st.binary(max_size=80))
def test_what_is_no_image_is_refused(data: bytes) -> None:
    try:
        parsed = parse(data)
    except ValueError:
        return
    assert parsed.to_bytes()[20:] == data[20:]


def test_random_images_repeat_from_the_seed() -> None:
    first, again, other = (list(corpus.fuzzed(GOOD, seed, 20)) for seed in (1, 1, 2))
    assert first == again != other
    assert any(loads(data) for data in corpus.fuzzed(GOOD, 1, 200))
    assert not all(loads(data) for data in first)


def test_a_pack_has_its_images() -> None:
    assert corpus.pack([("a", b"12\n"), ("b", b"")]) == b"a 3\n12\nb 0\n"
