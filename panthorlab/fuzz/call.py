# SPDX-License-Identifier: GPL-2.0-or-later
"""What a call of the grammar is, and the fields that several calls have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class CallField:
    """`usual` values may work, `odd` ones must be rejected or are edge cases. `always`: drawn each time. `weight`: how
    often, among a call's fields, it is the odd one: drivers most often fail to check counts and addresses."""

    name: str
    usual: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    always: bool = False
    weight: int = 1


@dataclass(frozen=True)
class Call:
    """`weight`: relative frequency. `into`: letter of the slot for the object it creates. `syncs`: may signal and wait.
    `awaited`: if asynchronous, the script waits for its end. `beside`: may run concurrently with later lines."""

    name: str
    weight: int
    fields: tuple[CallField, ...]
    into: str = ""
    syncs: bool = False
    awaited: bool = False
    beside: bool = False


PAD: Final = CallField("pad", odd=("1",))
VM: Final = CallField("vm", ("v",), always=True)
VA: Final = CallField(
    "va",
    ("0x1000000", "0x1001000", "0x1003000", "0x1200000", "0x1201000", "0x13ff000"),
    ("0", "0x1000001", "0x1000800", "0x10000000", "e-0x1000", "e", "e+0x1000", "0x1000000000000", "-4096"),
    weight=3,
)
SIZE: Final = CallField(
    "size",
    ("0x1000", "0x2000", "0x4000", "0x10000", "0x200000", "0x400000"),
    ("0", "100", "e", "-4096", "0x8000000000000000"),
    weight=2,
)
BIND: Final = (VM, VA, SIZE, CallField("ops", ("1", "2"), ("0", "4")), CallField("stride", odd=("0", "8")))
OFFSET: Final = CallField("offset", ("0", "0x1000", "0x2000"), ("1", "0x800", "0x1040", "0x10000", "-4096"), weight=3)
