# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the driver's functions in exact time: which places of a kernel are watched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.kernel.driver import PANTHOR, driver_of
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.symbols import FunctionSymbol, exits, functions

LOG_WRITE: Final = "devkmsg_write"
"""The kernel's function behind each message that a program writes to /dev/kmsg, markers of iterations among them."""
_SCHEDULER: Final = "drm_sched_"
"""Half of what becomes of a job is done there: drivers/gpu/drm/scheduler."""
WAITING: Final = "stopped, waiting for gdb: "
"""Beginning of what a board says of its progress while the guest is stopped for gdb; the command for it follows."""
UNSTOPPED: Final = "not stopped for gdb: "
"""Beginning of what it says if the guest could not be stopped; why it could not follows."""


@dataclass(frozen=True)
class CodePlace:
    """Where a function is entered or left; both, if it has but one instruction."""

    name: str
    enters: bool = False
    leaves: bool = False


@dataclass(frozen=True)
class DriverCode:
    """`places`: where panthor's functions, those of DRM's scheduler and `LOG_WRITE` are entered and left. `functions`:
    panthor's alone, and their cold parts, by address."""

    places: Mapping[int, CodePlace]
    functions: Sequence[FunctionSymbol]

    @property
    def bounds(self) -> Iterator[int]:
        """Begin and end of each function, in ascending order."""
        for one in self.functions:
            yield from (one.address, one.address + len(one.code))

    def name(self, address: int) -> str:
        """An instruction of panthor's by its function: `tick_work+0x1c`. Raises KeyError for another one."""
        at = bisect_right(self.functions, address, key=lambda one: one.address) - 1
        one = self.functions[at] if at >= 0 else None
        if one is None or address >= one.address + len(one.code):
            raise KeyError(address)
        return f"{one.name}+0x{address - one.address:x}"


def watched(kernel: Kernel) -> Mapping[int, CodePlace]:
    """The places of `driver_code`."""
    return driver_code(kernel).places


def driver_code(kernel: Kernel) -> DriverCode:
    """Raises UsageError for a kernel in which functions have no fixed addresses, LabError for a vmlinux without
    symbols; OSError."""
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
    places = {at: CodePlace(name, at in entered, at in left) for at, name in (left | entered).items()}
    own = {one.address: one for one in found if one.code and _own(one.name, one.file)}  # of aliases, one
    return DriverCode(places, [own[address] for address in sorted(own)])


def _own(name: str, file: str) -> bool:
    return (file or name).startswith(f"{PANTHOR.name}_")


def _wanted(name: str, file: str) -> bool:
    return _own(name, file) or name.startswith(_SCHEDULER) or name == LOG_WRITE


def stack_size(config: str) -> int:
    """Bytes of a kernel stack with this `.config`, and what it is aligned to (THREAD_SIZE of its asm/memory.h)."""
    lines = set(config.splitlines())
    shift = 14 + bool({"CONFIG_KASAN_GENERIC=y", "CONFIG_KASAN_SW_TAGS=y"} & lines)
    page_shift = 16 if "CONFIG_ARM64_64K_PAGES=y" in lines else 12
    return 1 << (max(shift, page_shift) if "CONFIG_VMAP_STACK=y" in lines else shift)
