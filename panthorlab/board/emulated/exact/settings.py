# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings `gpu.exact.NAME` of a boot that are not the GPU model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from panthorlab.errors import UsageError

SWITCHES: Final = ("blocks", "record", "orders")
CALLS: Final = "calls"
TARGET: Final = "target"
"""A setting of the GPU model for which the CPU must be held at blocks of the driver."""
STOP: Final = "stop"
GDB: Final = "gdb"
SOCKET: Final = "socket"
"""Value of `gdb`: wait for gdb on a socket in the boot's private directory."""


class Calls(StrEnum):
    """What is written down of the CPU's way through the driver: nothing; where it is held, be it at a block of the
    driver; that and where functions are entered and left; all this and, while a target is awaited, where each block
    begins."""

    OFF = "off"
    HELD = "held"
    ON = "on"
    BLOCKS = "blocks"


@dataclass(frozen=True)
class ExactSettings:
    """`blocks`: hash all executed blocks. `record`: the model writes down all register accesses and interrupts,
    `orders`: the interleaving of each iteration. `calls`: the board writes down what the CPU does in the driver.
    `stop`: stop the guest for gdb when it has executed so many instructions; `port`: TCP port of this machine on which
    QEMU then waits for gdb; 0: a private socket."""

    blocks: bool = False
    record: bool = False
    orders: bool = False
    calls: Calls = Calls.OFF
    stop: int | None = None
    port: int = 0


def split(params: Mapping[str, str]) -> tuple[ExactSettings, dict[str, str]]:
    """These settings, and the parameters that are left. Raises UsageError for a value that they cannot have."""
    left = dict(params)
    switches = {name: _switch(name, left.pop(f"exact.{name}", "off")) for name in SWITCHES}
    calls = _calls(left.pop(f"exact.{CALLS}", Calls.OFF))
    if calls is Calls.OFF and left.get(f"exact.{TARGET}"):
        calls = Calls.HELD
    stop, gdb = left.pop(f"exact.{STOP}", None), left.pop(f"exact.{GDB}", SOCKET)
    return (
        ExactSettings(
            **switches, calls=calls, stop=None if stop is None else _number(STOP, stop, 1 << 61), port=_port(gdb)
        ),
        left,
    )


def _switch(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise UsageError(f"gpu.exact.{name} is `on` or `off`, not `{value}`")
    return value == "on"


def _calls(value: str) -> Calls:
    try:
        return Calls(value)
    except ValueError:
        raise UsageError(f"gpu.exact.{CALLS} is {', '.join(Calls)}, not `{value}`") from None


def _port(value: str) -> int:
    return 0 if value == SOCKET else _number(GDB, value, 65535)


def _number(name: str, value: str, most: int) -> int:
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= most):
        raise UsageError(f"gpu.exact.{name} is a number from 1 to {most}, not `{value}`")
    return int(value)
