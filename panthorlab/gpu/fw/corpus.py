# SPDX-License-Identifier: GPL-2.0-or-later
"""Malformed firmware images. Each has one defect and is made from a well-formed image, ours or Arm's.

The reaction of a correct driver is known for each image: it refuses it with -EINVAL (or the error given), or accepts it
and works. Source: the format and the checks of panthor_fw.c (Linux 6.12.117, 7.3.4).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from errno import EINVAL, ENOMEM, ENOSPC, ETIMEDOUT
from typing import Final

from panthorlab.gpu.fw.image import (
    CACHED,
    ENTRY_OPTIONAL,
    ENTRY_SECTION,
    HEADER,
    READ,
    SECTION,
    SHARED_FLAG,
    WRITE,
    ZERO,
)
from panthorlab.gpu.fw.parts import PAGE, WORD, Entry, Image, parse, section
from panthorlab.gpu.layout import SHARED as SHARED_VA

PROTECTED: Final = 1 << 5
UNKNOWN_FLAGS: Final = ~(READ | WRITE | 4 | 3 << 3 | PROTECTED | SHARED_FLAG | ZERO) & 0xFFFFFFFF
ELSEWHERE: Final = 0x0080_0000
"""Address for an extra section: outside of the shared region, and unused by Arm's images."""
UNKNOWN_TYPE: Final = 0x63
BUILD_INFO: Final = 6 | ENTRY_OPTIONAL
GIT_SHA: Final = b"git_sha: 0123456789abcdef0123456789abcdef01234567\0"

ACCEPTED: Final = (0,)
INVALID: Final = (EINVAL,)
NO_ROOM: Final = (EINVAL, ENOSPC, ENOMEM)


@dataclass(frozen=True)
class Reaction:
    """`errnos`, `says`: as in `ImageCase`."""

    errnos: tuple[int, ...]
    says: str = ""


@dataclass(frozen=True)
class ImageCase:
    """`make` makes the image from a well-formed one. `errnos`: possible errors of the probe; 0: success. `says`: part
    of one line that every version of panthor then logs; empty where versions differ or log nothing."""

    name: str
    make: Callable[[Image], bytes]
    errnos: tuple[int, ...] = INVALID
    says: str = ""
    reload: bool = False
    """The image has sections that a slow reset must load again, so the test does one."""
    on: Mapping[str, Reaction] = field(default_factory=dict)
    """Reactions of drivers other than panthor, by driver name."""

    def of(self, driver: str) -> Reaction:
        """The reaction of `driver` to the image."""
        return self.on.get(driver, Reaction(self.errnos, self.says))


def _extra(*entries: Entry) -> Callable[[Image], bytes]:
    return lambda good: replace(good, entries=good.entries + entries).to_bytes()


def _before(*entries: Entry) -> Callable[[Image], bytes]:
    return lambda good: replace(good, entries=entries + good.entries).to_bytes()


def _header(**fields: int) -> Callable[[Image], bytes]:
    return lambda good: replace(good, **fields).to_bytes()  # type: ignore[arg-type]


def _cut(size: int) -> Callable[[Image], bytes]:
    return lambda good: good.to_bytes()[:size]


def _build_info(size: Callable[[int], int], *, text: bytes, fill: int = 1) -> Callable[[Image], bytes]:
    """`text` at the end of the file, at a place of which `size` tells how long it is said to be; the file is a multiple
    of `fill` long."""

    def make(good: Image) -> bytes:
        image = good
        for _ in range(2):  # the second time, the entry says where the text is
            at = len(image.to_bytes()) - len(text)
            entry = Entry(BUILD_INFO, struct.pack("<II", at, size(at)))
            image = replace(good, entries=(*good.entries, entry), rest=good.rest + text)
            image = replace(image, rest=good.rest + bytes(-len(image.to_bytes()) % fill) + text)
        return image.to_bytes()

    return make


def _shared(**change: int) -> Callable[[Image], bytes]:
    """Change `flags`, `start`, `end`, `data_start` or `data_end` of the shared section."""
    names = ("flags", "start", "end", "data_start", "data_end")

    def make(good: Image) -> bytes:
        entries = list(good.entries)
        for i, entry in enumerate(entries):
            fields = dict(zip(names, struct.unpack_from("<5I", entry.body), strict=True)) if _is_section(entry) else {}
            if fields.get("start") == SHARED_VA:
                body = struct.pack("<5I", *(fields | change).values()) + entry.body[20:]
                entries[i] = replace(entry, body=body)
                return replace(good, entries=tuple(entries)).to_bytes()
        raise ValueError("the image has no shared section")

    return make


def _is_section(entry: Entry) -> bool:
    return entry.kind & 0xFF == ENTRY_SECTION and len(entry.body) >= SECTION.size - WORD.size


def _without_sections(good: Image) -> bytes:
    return replace(good, entries=tuple(entry for entry in good.entries if not _is_section(entry))).to_bytes()


FAR: Final = 0xFFFF_E000
NO_SECTIONS: Final = Reaction(INVALID, "no loadable sections")
CUT: Final = Reaction(INVALID, "out of bounds")
TYR: Final[Mapping[str, Reaction]] = {
    **dict.fromkeys(("one-byte", "header-cut", "section-head-cut", "section-empty-entry"), CUT),
    **dict.fromkeys(("size-zero", "size-of-header", "shared-missing"), NO_SECTIONS),
    "size-in-entry-head": Reaction(INVALID, "exceeds header region"),
    **dict.fromkeys(
        ("size-in-entry-body", "entry-size-16", "entry-size-252"), Reaction(INVALID, "extends beyond header")
    ),
    "entry-size-0": Reaction(INVALID, "32 bit aligned"),
    "entry-unknown": Reaction(INVALID, "Failed to handle firmware entry type"),
    **dict.fromkeys(("section-backwards", "section-end-zero"), Reaction(INVALID, "VA end precedes start")),
    **dict.fromkeys(("data-beyond-file", "data-all-ones", "data-from-zero-to-end"), Reaction(INVALID, "firmware size")),
    "data-larger-than-section": Reaction(INVALID, "bigger than BO"),
    # Tyr logs nothing about unknown flags, and skips sections that are empty or for protected mode
    **dict.fromkeys(("flag-6", "flag-15", "flag-29", "flags-all"), Reaction(INVALID)),
    **dict.fromkeys(("data-in-empty-section", "section-protected"), Reaction(ACCEPTED)),
    # a new mapping replaces the old one
    "section-twice": Reaction(ACCEPTED),
    # Tyr does not look for the interface section: firmware without it does not boot
    **dict.fromkeys(
        ("section-overlaps-shared", "shared-elsewhere", "shared-protected", "shared-zero-sized"),
        Reaction((EINVAL, ETIMEDOUT)),
    ),
}
"""Cases in which Tyr (7.3.4, fw/parser.rs and fw.rs) reacts differently from panthor."""
_CASES: Final[Sequence[ImageCase]] = (
    # the file as a whole
    ImageCase("one-byte", _cut(1), says="too small"),
    ImageCase("header-cut", _cut(HEADER.size - 1), says="too small"),
    ImageCase("header-alone", _cut(HEADER.size), says="truncated"),
    ImageCase("entries-cut", _cut(HEADER.size + 6), says="truncated"),
    ImageCase("last-byte-missing", lambda good: replace(good, rest=b"").to_bytes()[:-1], says="truncated"),
    ImageCase(
        "size-beyond-file", lambda good: replace(good, size=len(good.to_bytes()) + 1).to_bytes(), says="truncated"
    ),
    ImageCase("size-all-ones", _header(size=0xFFFF_FFFF), says="truncated"),
    ImageCase("size-zero", _header(size=0), says="Shared interface region not found"),
    ImageCase("size-of-header", _header(size=HEADER.size), says="Shared interface region not found"),
    ImageCase("size-in-entry-head", _header(size=HEADER.size + 2), says="too small"),
    ImageCase("size-in-entry-body", _header(size=HEADER.size + 12), says="too long"),
    ImageCase("magic", _header(magic=0xC3F13A6F), says="Invalid firmware magic"),
    ImageCase("major", _header(major=1), says="Unsupported firmware binary header version"),
    ImageCase("minor", _header(minor=255), ACCEPTED),
    ImageCase("longer-than-told", lambda good: good.to_bytes() + b"\xa5" * 4096, ACCEPTED),
    # entries
    *(
        ImageCase(f"entry-size-{size}", _extra(Entry(1, b"\0" * 8, size=size)), says=says)
        for size, says in (
            (0, "too long"),
            (1, "aligned"),
            (3, "aligned"),
            (10, "aligned"),
            (16, "too long"),
            (252, "too long"),
        )
    ),
    ImageCase("entry-empty", _extra(Entry(1, b"")), ACCEPTED),
    ImageCase("entry-unknown", _extra(Entry(UNKNOWN_TYPE, b"\0" * 8)), says="Unsupported non-optional entry type"),
    ImageCase("entry-unknown-optional", _extra(Entry(UNKNOWN_TYPE | ENTRY_OPTIONAL, b"\0" * 8)), ACCEPTED),
    *(ImageCase(f"entry-of-type-{kind}", _extra(Entry(kind, b"\0" * 8)), ACCEPTED) for kind in (1, 2, 3, 4)),
    # build information, which 7.x reads but does not need
    *(
        ImageCase(f"build-info-{name}", _extra(Entry(BUILD_INFO, struct.pack("<II", start, size))), ACCEPTED)
        for name, start, size in (
            ("beyond", 0x7FFFFFFF, 16),
            ("wraps", 16, 0xFFFFFFF8),
            ("empty", 0, 0),
            ("short", 0, 4),
            ("end", 0xFFFFFFFF, 1),
        )
    ),
    ImageCase("build-info-whole", _build_info(lambda _: len(GIT_SHA), text=GIT_SHA), ACCEPTED),
    ImageCase("build-info-endless", _build_info(lambda _: len(GIT_SHA) - 1, text=GIT_SHA), ACCEPTED),
    # in 32 bits it ends at 0, and its last byte is 4 GiB behind the first of the file
    ImageCase("build-info-wraps-to-nothing", _build_info(lambda at: (1 << 32) - at, text=GIT_SHA), ACCEPTED),
    # behind the last page of the file there is nothing
    ImageCase("build-info-cut", _build_info(lambda _: 8, text=GIT_SHA[:8], fill=PAGE), ACCEPTED),
    # sections that are not the shared one
    ImageCase("section-head-cut", _extra(Entry(ENTRY_SECTION, b"\0" * 16)), says="too small"),
    ImageCase("section-empty-entry", _extra(Entry(ENTRY_SECTION, b"")), says="too small"),
    ImageCase("section-backwards", _extra(section(ELSEWHERE, end=ELSEWHERE - PAGE)), says="va.end <"),
    ImageCase("section-end-zero", _extra(section(FAR, end=0)), says="va.end <"),
    ImageCase("data-backwards", _extra(section(ELSEWHERE, data=(8, 4))), says="data.end <"),
    ImageCase("data-beyond-file", _extra(section(ELSEWHERE, data=(0, 0x10_0000))), says="file truncated"),
    ImageCase("data-all-ones", _extra(section(ELSEWHERE, data=(0xFFFF_FFFF, 0xFFFF_FFFF))), says="file truncated"),
    ImageCase("data-from-zero-to-end", _extra(section(ELSEWHERE, data=(0, 0xFFFF_FFFF))), says="file truncated"),
    ImageCase(
        "data-larger-than-section",
        lambda good: replace(
            good, entries=(*good.entries, section(ELSEWHERE, data=(0, 0x2_0000))), rest=good.rest + b"\x5a" * 0x2_0000
        ).to_bytes(),
        says="exceeds",
    ),
    ImageCase("data-in-empty-section", _extra(section(ELSEWHERE, 0, data=(0, 16))), says="exceeds"),
    ImageCase(
        "data-fills-section",
        lambda good: replace(
            good, entries=(*good.entries, section(ELSEWHERE, data=(0, PAGE))), rest=good.rest + b"\x5a" * PAGE
        ).to_bytes(),
        ACCEPTED,
        reload=True,
    ),
    ImageCase("start-unaligned", _extra(section(ELSEWHERE + 4, PAGE)), says="not page aligned"),
    ImageCase("end-unaligned", _extra(section(ELSEWHERE, 0x10)), says="not page aligned"),
    *(
        ImageCase(f"flag-{bit}", _extra(section(ELSEWHERE, flags=READ | 1 << bit)), says="unsupported flags")
        for bit in range(32)
        if UNKNOWN_FLAGS & 1 << bit and bit in (6, 15, 29)
    ),
    ImageCase("flags-all", _extra(section(ELSEWHERE, flags=0xFFFF_FFFF)), says="unsupported flags"),
    ImageCase("flags-none", _extra(section(ELSEWHERE, flags=0)), ACCEPTED),
    ImageCase("section-protected", _extra(section(ELSEWHERE, flags=READ | PROTECTED)), ACCEPTED, "protected mode"),
    ImageCase("section-cached", _extra(section(ELSEWHERE, flags=READ | CACHED)), ACCEPTED),
    ImageCase("section-at-zero", _extra(section(0)), ACCEPTED),
    ImageCase("section-at-the-end", _extra(section(FAR)), ACCEPTED),
    ImageCase("section-twice", _extra(section(ELSEWHERE), section(ELSEWHERE)), NO_ROOM),
    ImageCase("section-overlaps-shared", _extra(section(SHARED_VA + PAGE, flags=READ | SHARED_FLAG)), NO_ROOM),
    ImageCase("section-named", _extra(section(ELSEWHERE, name=b"\xff" * 200)), ACCEPTED),
    ImageCase("sections-many", _extra(*(section(ELSEWHERE + i * 2 * PAGE) for i in range(64))), ACCEPTED, reload=True),
    ImageCase("section-zero-sized", _extra(section(ELSEWHERE, 0)), ACCEPTED, reload=True),
    ImageCase("section-zero-sized-first", _before(section(ELSEWHERE, 0)), ACCEPTED, reload=True),
    ImageCase("section-zero-sized-flags-none", _extra(section(ELSEWHERE, 0, flags=0)), ACCEPTED),
    # the shared section
    ImageCase("shared-missing", _without_sections, says="Shared interface region not found"),
    ImageCase("shared-not-shared", _shared(flags=READ | WRITE | ZERO), says="must be shared"),
    ImageCase("shared-elsewhere", _shared(start=SHARED_VA + PAGE), says="Shared interface region not found"),
    ImageCase(
        "shared-protected",
        _shared(flags=READ | WRITE | SHARED_FLAG | PROTECTED),
        says="Shared interface region not found",
    ),
    ImageCase("shared-zero-sized", _shared(end=SHARED_VA), says="Shared interface region not found"),
    ImageCase(
        "shared-zero-sized-again",
        _extra(section(SHARED_VA, 0, flags=READ | WRITE | SHARED_FLAG)),
        ACCEPTED,
        reload=True,
    ),
)

CASES: Final[Sequence[ImageCase]] = tuple(
    replace(case, on={"tyr": TYR[case.name]}) if case.name in TYR else case for case in _CASES
)


def pack(images: Iterable[tuple[str, bytes]]) -> bytes:
    """The input of `gpu-bind --images`: for each image a line "NAME SIZE", then its bytes."""
    return b"".join(b"%s %d\n" % (name.encode(), len(data)) + data for name, data in images)


def fuzzed(good: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Images with a few random words (from `seed`) of header and entries changed: the driver must survive all of them.
    The new values are typical edge cases; sections stay small enough for any machine's memory."""
    chance = random.Random(f"firmware {seed}")  # noqa: S311
    size = len(replace(parse(good), rest=b"").to_bytes())
    for _ in range(count):
        data = bytearray(good + bytes(PAGE))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(0, size, WORD.size)
            (old,) = WORD.unpack_from(data, at)
            new = chance.choice(
                (
                    0,
                    1,
                    old + 4,
                    old - 4,
                    old ^ 1 << chance.randrange(32),
                    0xFFFF_FFFF,
                    0x8000_0000,
                    old + PAGE,
                    old - PAGE,
                    len(data),
                    chance.randrange(1 << 32),
                )
            )
            WORD.pack_into(data, at, new & 0xFFFF_FFFF)
        yield bytes(data[: chance.choice((len(data), len(good), chance.randrange(1, len(good))))])
