# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware that says absurd things of its own interface when it boots: the probe must fail, for nothing that lies
outside of the shared memory may be touched; and it must work again when the firmware has come to its senses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """`rules` make the firmware say what a right driver refuses with `errno`, or takes (0). `leads`: a driver that
    believed it would read or write what is not the interface's."""

    name: str
    rules: tuple[str, ...]
    errno: int = EINVAL
    leads: bool = False


def says(field: str, value: int, *, slot: int | None = None, nth: int = 1, times: int = 1) -> str:
    where = f",slot={slot}" if slot is not None else ""
    return f"interface,field={field},value=0x{value & ALL_ONES:x},nth={nth},times={times}{where}"


def one(field: str, value: int, name: str, errno: int = EINVAL, **which: int) -> AbsurdInterface:
    return AbsurdInterface(f"{field}-{name}", (says(field, value, **which),), errno)


def led(field: str, value: int, name: str, **which: int) -> AbsurdInterface:
    return replace(one(field, value, name, **which), leads=True)


ABSURD: Sequence[AbsurdInterface] = (
    one("glb-version", 0, "zero"),
    one("glb-version", 0x03050001, "newer", 0),
    one("glb-features", ALL_ONES, "all-ones", 0),
    *(one("glb-group-num", value, str(value)) for value in (0, 2)),
    *(led("glb-group-num", value, str(value)) for value in (32, ALL_ONES)),
    one("glb-group-num", 3, "3", 0),
    *(led("glb-group-stride", value, f"0x{value:x}") for value in (SHARED_SIZE, 0x8000_0000, ALL_ONES - 3)),
    *(one("csg-stream-num", value, str(value), slot=0) for value in (0, 7)),
    *(led("csg-stream-num", value, str(value), slot=0) for value in (9, ALL_ONES)),
    led("csg-stream-num", 9, "9-in-last-slot", slot=7),
    *(led("csg-stream-stride", value, f"0x{value:x}", slot=0) for value in (SHARED_SIZE, 0x8000_0000)),
    *(led(field, SHARED - 4, "below") for field in SIZES),
    *(one(field, END, "end") for field in SIZES),  # who sees what overlaps the end sees this
    *(led(field, END - size + 4 & ~3, "overlaps-end") for field, size in SIZES.items()),
    led("csg-input", 0, "last-slot", slot=7),
    led("cs-output", 0, "last-stream", slot=7, nth=8),
    one("csg-features", 1, "differ", slot=3),
    one("csg-suspend-size", 0, "differs", slot=1),
    one("cs-features", 0, "differ", slot=2, nth=4),
    # the block of a group or stream would begin before the section if offsets were computed in 32 bits
    AbsurdInterface("group-stride-wraps", (says("glb-group-num", 3), says("glb-group-stride", -0x400)), leads=True),
    AbsurdInterface("stream-stride-wraps", (says("csg-stream-stride", -0x100, times=0),), leads=True),
)


def test_absurd_interfaces_are_refused(session: Session) -> None:
    """On a kernel with KASAN, where each takes a second, only what that may have a word to say of: memory that a driver
    looks at before it refuses. Whether it refuses the others, a plain kernel tells as well."""
    wrong = []
    kasan = session.has_config("CONFIG_KASAN")
    with session.findings_expected(SPOKEN):
        for absurd in (case for case in ABSURD if case.leads or not kasan):
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
