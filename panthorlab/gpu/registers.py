# SPDX-License-Identifier: GPL-2.0-or-later
"""Types that describe BAR0 registers as data, and the register bits that the model acts on.

The list of registers belongs to each generation (`generations/`). Sources: panthor_regs.h (Linux 6.12, 7.3); fields
from Tyr's regs.rs (7.3), or from kbase where Tyr defines none.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

ALL = 0xFFFFFFFF


class RegisterKind(Enum):
    """How a register reacts to reads and writes."""

    CONSTANT = "constant"  # reads the reset value; writes are refused
    STORAGE = "storage"  # reads what was written; nothing else happens
    READ = "read"  # reads are computed
    WRITE = "write"  # writes act; reads 0
    BOTH = "both"  # reads are computed, writes act


class Bits(NamedTuple):
    """A named register field, with its highest and lowest bit."""

    name: str
    high: int
    low: int

    @property
    def mask(self) -> int:
        return (1 << self.high + 1) - (1 << self.low)

    def of(self, value: int) -> int:
        """Extract the field from `value`."""
        return (value & self.mask) >> self.low


def bits(text: str) -> tuple[Bits, ...]:
    """Parse fields as documentation writes them: `bits("csg 30:0, glb 31")`."""
    fields = []
    for word in text.split(","):
        name, _, place = word.strip().partition(" ")
        high, _, low = place.partition(":")
        fields.append(Bits(name, int(high), int(low or high)))
    return tuple(fields)


class Register(NamedTuple):
    """A 32-bit register. `offset` counts from the start of its block. Without `fields` all bits are one number."""

    offset: int
    name: str
    kind: RegisterKind
    reset: int
    note: str = ""
    fields: tuple[Bits, ...] = ()

    @property
    def reserved(self) -> int:
        """Bits that no field covers: the effect of writing a 1 to them is undocumented."""
        covered = 0
        for field in self.fields:
            covered |= field.mask
        return ALL & ~covered if self.fields else 0


# --- fields that the model acts on; those of 64-bit registers count from bit 0 of the lower half

COMMAND_TYPE = Bits("command", 7, 0)  # of GPU_CMD and of AS_COMMAND
COMMAND_PAYLOAD = Bits("payload", 19, 8)
TRANSCFG_MODE = Bits("mode", 3, 0)
TRANSCFG_INA_BITS = Bits("ina_bits", 10, 6)  # 55 − address bits
LOCK_SIZE = Bits("size", 5, 0)  # log2 − 1


class GpuIrq:
    """Bits of GPU_INT_*."""

    FAULT = 1 << 0
    PROTM_FAULT = 1 << 1
    RESET_COMPLETED = 1 << 8
    POWER_CHANGED = 1 << 9
    POWER_CHANGED_ALL = 1 << 10
    CLEAN_CACHES_COMPLETED = 1 << 17
    MCU_STATUS_CHANGED = 1 << 19


JOB_GLOBAL = 1 << 31
GPU_BUS_FAULT = 0x80  # exception type: no memory at a physical address


class GpuCommand:
    """GPU_CMD: [7:0] type, the rest its payload."""

    NOP = 0
    RESET = 1  # payload 1 soft, 2 hard
    FLUSH = 4  # payload [3:0] L2, [7:4] LSC, [11:8] other; 1 clean, 2 invalidate
    PAYLOAD_SOFT, PAYLOAD_HARD = 1, 2
    FLUSH_L2_CLEAN = 1
    FLUSH_INVALIDATE = 0x233  # payload bits that all must be set to increment LATEST_FLUSH


class McuStatus:
    """MCU_STATUS."""

    DISABLED, ENABLED, HALTED, FATAL = range(4)
