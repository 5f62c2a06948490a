# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware that says absurd things of its own interface when it boots: the probe must fail, for nothing that lies
outside of the shared memory may be touched; and it must work again when the firmware has come to its senses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EINVAL

import pytest

from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.layout import SHARED
from panthorlab.run.session import Session
from panthorlab.run.trouble import probe, rebind

pytestmark = pytest.mark.driver("csif")
SHARED_SIZE = G610.layout.shared_size
END = SHARED + SHARED_SIZE
SPOKEN = {"probe-error", "firmware-error"}
SIZES = {
    "glb-input": 0x84,
    "glb-output": 0x1C,
    "csg-input": 0x58,
    "csg-output": 0x20,
    "cs-input": 0x58,
    "cs-output": 0xD8,
}
"""Bytes of each structure that the driver has, rounded down; one that begins so near to the end does not fit."""
ALL_ONES = 0xFFFFFFFF


@dataclass(frozen=True)
class AbsurdInterface:
    """`rules` make the firmware say what a right driver refuses with `errno`, or takes (0)."""

    name: str
    rules: tuple[str, ...]
    errno: int = EINVAL


def says(field: str, value: int, *, slot: int | None = None, nth: int = 1, times: int = 1) -> str:
    where = f",slot={slot}" if slot is not None else ""
    return f"interface,field={field},value=0x{value & ALL_ONES:x},nth={nth},times={times}{where}"


def one(field: str, value: int, name: str, errno: int = EINVAL, **which: int) -> AbsurdInterface:
    return AbsurdInterface(f"{field}-{name}", (says(field, value, **which),), errno)


ADDRESSES = (("below", SHARED - 4), ("end", END))
ABSURD: Sequence[AbsurdInterface] = (
    one("glb-version", 0, "zero"),
    one("glb-version", 0x03050001, "newer", 0),
    one("glb-features", ALL_ONES, "all-ones", 0),
    *(one("glb-group-num", value, str(value)) for value in (0, 2, 32, ALL_ONES)),
    one("glb-group-num", 3, "3", 0),
    *(one("glb-group-stride", value, f"0x{value:x}") for value in (SHARED_SIZE, 0x8000_0000, ALL_ONES - 3)),
    *(one("csg-stream-num", value, str(value), slot=0) for value in (0, 7, 9, ALL_ONES)),
    one("csg-stream-num", 9, "9-in-last-slot", slot=7),
    *(one("csg-stream-stride", value, f"0x{value:x}", slot=0) for value in (SHARED_SIZE, 0x8000_0000)),
    *(one(field, value, name) for field in SIZES for name, value in ADDRESSES),
    *(one(field, END - size + 4 & ~3, "overlaps-end") for field, size in SIZES.items()),
    one("csg-input", 0, "last-slot", slot=7),
    one("cs-output", 0, "last-stream", slot=7, nth=8),
    one("csg-features", 1, "differ", slot=3),
    one("csg-suspend-size", 0, "differs", slot=1),
    one("cs-features", 0, "differ", slot=2, nth=4),
    # the block of a group or stream would begin before the section if offsets were computed in 32 bits
    AbsurdInterface("group-stride-wraps", (says("glb-group-num", 3), says("glb-group-stride", -0x400))),
    AbsurdInterface("stream-stride-wraps", (says("csg-stream-stride", -0x100, times=0),)),
)


def test_absurd_interfaces_are_refused(session: Session) -> None:
    wrong = []
    with session.findings_expected(SPOKEN):
        for absurd in ABSURD:
            session.check("gpu-bind", "--mode", "off")  # to leave, panthor wakes the GPU, and its firmware boots
            with session.misbehaving(*absurd.rules):
                errno = -probe(session)
            if errno != absurd.errno:
                wrong.append(
                    f"{absurd.name}: {os.strerror(errno) if errno else 'taken'}, expected "
                    f"{os.strerror(absurd.errno) if absurd.errno else 'taken'}"
                )
    rebind(session)
    assert not wrong, "\n".join(wrong)
