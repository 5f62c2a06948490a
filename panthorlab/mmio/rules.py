# SPDX-License-Identifier: GPL-2.0-or-later
"""How what a board answered is compared with what the model answers, register by register. As data, with reasons.

Registers alone were recorded. The interface of the firmware, the streams and the page tables are in memory, which was
not: what they decide is taken from the recording. A register that no row has must read the same at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from panthorlab.gpu.registers import ALL, GpuIrq, Register, bits


class Comparison(Enum):
    """What must hold of a register that is read."""

    EXACT = "exact"  # the model reads the same
    SETTLES = "settles"  # what a command brings about takes its time on either: in the end both read the same
    FREE = "free"  # not compared


@dataclass(frozen=True)
class ComparisonRule:
    """`causes`: the registers whose writes bring the value about, once more: of the same block, or of GPU control."""

    rule: Comparison
    why: str
    causes: frozenset[str] = frozenset()


_POWER: Final = frozenset({"L2_PWRON_LO", "L2_PWRON_HI", "L2_PWROFF_LO", "L2_PWROFF_HI", "GPU_CMD"})
_TIME: Final = ComparisonRule(Comparison.FREE, "it counts time")
_FIRMWARE: Final = ComparisonRule(Comparison.FREE, "the firmware switches these cores as it sees fit")
_ACCESS: Final = ComparisonRule(Comparison.FREE, "an access of the GPU to memory decides, which was not recorded")
_L2: Final = ComparisonRule(Comparison.SETTLES, "power takes its time", _POWER)

ROWS: Final[Mapping[str, ComparisonRule]] = MappingProxyType({
    **dict.fromkeys(("TIMESTAMP_LO", "TIMESTAMP_HI", "CYCLE_COUNT_LO", "CYCLE_COUNT_HI"), _TIME),
    "LATEST_FLUSH": ComparisonRule(Comparison.FREE, "it counts flushes since power-on, also those of earlier drivers"),
    "GPU_STATUS": ComparisonRule(Comparison.FREE, "it tells whether the GPU is at work at this moment"),
    **dict.fromkeys(
        (f"{core}_{what}_{half}" for core in ("SHADER", "TILER") for what in ("READY", "PWRTRANS", "PWRACTIVE")
         for half in ("LO", "HI")),
        _FIRMWARE,
    ),
    **dict.fromkeys((f"L2_{what}_{half}" for what in ("READY", "PWRTRANS") for half in ("LO", "HI")), _L2),
    **dict.fromkeys(("GPU_FAULT_STATUS", "GPU_FAULT_ADDR_LO", "GPU_FAULT_ADDR_HI"), _ACCESS),
    **dict.fromkeys(("FAULTSTATUS", "FAULTADDRESS_LO", "FAULTADDRESS_HI", "FAULTEXTRA_LO", "FAULTEXTRA_HI"), _ACCESS),
    "STATUS": ComparisonRule(Comparison.SETTLES, "an MMU command takes its time", frozenset({"COMMAND", "GPU_CMD"})),
    "MCU_STATUS": ComparisonRule(
        Comparison.SETTLES,
        "starting and stopping takes its time; whether the firmware halts or dies is its own affair",
        frozenset({"MCU_CONTROL", "GPU_CMD", *_POWER}),
    ),
})  # fmt: skip
EXACT: Final = ComparisonRule(Comparison.EXACT, "nothing but what the driver has written decides")


@dataclass(frozen=True)
class InterruptRule:
    """An interrupt block. `environment`: bits that the firmware or an access to memory raises, as long as the MCU runs.
    `shared`: bits that a command raises, and the firmware, too. The others are what a command, or nothing, raises."""

    name: str
    environment: int
    shared: int
    causes: frozenset[str]


_MIRROR, _COUNTERS = 1 << 18, 1 << 16
LINES: Final = (
    InterruptRule("JOB", ALL, 0, frozenset({"MCU_CONTROL", "GPU_CMD"})),
    InterruptRule("MMU", 0xFFFF, 0, frozenset({"COMMAND", "GPU_CMD"})),
    InterruptRule(
        "GPU",
        GpuIrq.FAULT | GpuIrq.PROTM_FAULT | GpuIrq.MCU_STATUS_CHANGED | _MIRROR | _COUNTERS,
        GpuIrq.POWER_CHANGED | GpuIrq.POWER_CHANGED_ALL,
        frozenset({"GPU_CMD", *_POWER}),
    ),
)
RAW, STAT, CLEAR, MASK = "INT_RAWSTAT", "INT_STAT", "INT_CLEAR", "INT_MASK"

PATIENCE: Final = 50_000
"""Microseconds after which what a command brings about must be there: half of the driver's time-outs, and a thousand
times what hardware takes."""


@dataclass(frozen=True)
class FieldDifference:
    """A part of a register in which the two answers differ."""

    name: str
    board: int
    model: int


def fields_apart(register: Register | None, board: int, model: int) -> list[FieldDifference]:
    """Field by field; bits that no field covers are one more."""
    fields = register.fields if register is not None else ()
    found = [FieldDifference(f.name, f.of(board), f.of(model)) for f in fields if f.of(board) != f.of(model)]
    rest = register.reserved if register is not None and fields else 0
    if (board ^ model) & rest:
        found.append(FieldDifference("reserved", board & rest, model & rest))
    return found


def parts(register: Register | None, value: int) -> str:
    """A value in words, e.g. `fault 1, reset_completed 1`: fields that are not 0."""
    fields = register.fields if register is not None else bits("ring 0")
    return ", ".join(f"{field.name} {field.of(value)}" for field in fields if field.of(value)) or "0"
