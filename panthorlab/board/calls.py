# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the driver's functions in exact time: which places are watched, and the file in which a board writes them.

The files are those of `emulated/exact/calls.c`, in the byte order of this machine.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.kernel.driver import PANTHOR, driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.symbols import exits, functions

FILE: Final = "driver-calls.bin"
"""Name of the board's file beside the other logs of a boot."""
LOG_WRITE: Final = "devkmsg_write"
"""The kernel's function behind each message that a program writes to /dev/kmsg, markers of iterations among them."""
WAITING: Final = "stopped, waiting for gdb: "
"""Beginning of what a board says of its progress while the guest is stopped for gdb; the command for it follows."""
UNSTOPPED: Final = "not stopped for gdb: "
"""Beginning of what it says if the guest could not be stopped; why it could not follows."""
_PASSED: Final = struct.Struct("=QQQ")
_HELD: Final = 1


@dataclass(frozen=True)
class CodePlace:
    """Where a function is entered or left; both, if it has but one instruction."""

    name: str
    enters: bool = False
    leaves: bool = False


@dataclass(frozen=True)
class Passed:
    """A watched place was passed. `count`: instructions before it. `stack`: stack pointer there."""

    count: int
    address: int
    stack: int


@dataclass(frozen=True)
class CpuHeld:
    """The CPU was held for the GPU before a block of `instructions`. `count`: instructions up to the end of this block.
    `address`: of the block."""

    count: int
    address: int
    instructions: int

    @property
    def before(self) -> int:
        """Instructions before the block."""
        return self.count - self.instructions


def watched(kernel: Kernel) -> Mapping[int, CodePlace]:
    """Where panthor's functions, and `LOG_WRITE`, are entered and left. Raises UsageError for a kernel in which they
    have no fixed addresses, LabError for a vmlinux without symbols; OSError."""
    if driver_of(kernel) is not PANTHOR:
        raise UsageError(f"{kernel.title}: calls are traced of panthor, and its driver is {driver_of(kernel).name}")
    config = set((kernel.path / "config").read_text(errors="replace").splitlines())
    if f"CONFIG_{PANTHOR.symbol}=y" not in config:
        raise UsageError(
            f"{kernel.title}: calls of panthor as a module cannot be traced, it has no fixed address",
            hint=f"build it in (CONFIG_{PANTHOR.symbol}=y)",
        )
    if "CONFIG_RANDOMIZE_BASE=y" in config:
        raise UsageError(
            f"{kernel.title} chooses its address at random, so nobody knows which function an instruction is of",
            hint="build it without CONFIG_RANDOMIZE_BASE",
        )
    found = list(functions(kernel.path / "vmlinux", _wanted))
    cold = [function for function in found if function.cold]
    left = {at: function.name for function in found for at in exits(function, cold)}
    entered = {function.address: function.name for function in found if not function.cold}
    return {at: CodePlace(name, at in entered, at in left) for at, name in (left | entered).items()}


def _wanted(name: str, file: str) -> bool:
    return (file or name).startswith(f"{PANTHOR.name}_") or name == LOG_WRITE


def stack_size(config: str) -> int:
    """Bytes of a kernel stack with this `.config`, and what it is aligned to (arch/arm64/include/asm/memory.h)."""
    lines = set(config.splitlines())
    shift = 14 + bool({"CONFIG_KASAN_GENERIC=y", "CONFIG_KASAN_SW_TAGS=y"} & lines)
    page_shift = 16 if "CONFIG_ARM64_64K_PAGES=y" in lines else 12
    return 1 << (max(shift, page_shift) if "CONFIG_VMAP_STACK=y" in lines else shift)


def write_addresses(path: Path, addresses: Iterable[int]) -> Path:
    """The file that tells the board which places to watch."""
    path.write_bytes(array("Q", sorted(addresses)).tobytes())
    return path


def read(path: Path) -> Iterator[Passed | CpuHeld]:
    """What a board has written, in order. Raises OSError."""
    data = path.read_bytes()
    whole = len(data) - len(data) % _PASSED.size
    for count, address, stack in _PASSED.iter_unpack(data[:whole]):
        yield CpuHeld(count, address & ~_HELD, stack) if address & _HELD else Passed(count, address, stack)
