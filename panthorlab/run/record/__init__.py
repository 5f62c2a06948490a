# SPDX-License-Identifier: GPL-2.0-or-later
"""The record of a run: every event as a type (`runs`, `boots`), and how a log of them is written and read.

A new event is a frozen dataclass in one of these two modules, a new field one of its fields. Either needs a new
`VERSION` in `versions`, by which an older panthorlab knows that it cannot read the log, and a field a default or a row
in `versions`, by which a newer one can still read what older ones have written.
"""

from panthorlab.run.record.base import Event, OfBoot, boot_of
from panthorlab.run.record.boots import (
    Behave,
    BoardUp,
    BootEnd,
    BootStart,
    BootStep,
    Doing,
    Iteration,
    LogGap,
    Marker,
    Misbehave,
    Note,
    Quota,
    StrayEvent,
    Tested,
)
from panthorlab.run.record.build import (
    ArmKernel,
    BuildFailed,
    Identical,
    KernelFacts,
    PatchLinesEvent,
    PatchRecord,
    SourceEvent,
    VariantFailed,
    VariantIdentical,
    VariantKernel,
)
from panthorlab.run.record.plans import Need, Planned, Variant
from panthorlab.run.record.runs import (
    Again,
    CoverageEvent,
    DamagedEvent,
    ExtensionEvent,
    Moved,
    Needs,
    PatchRan,
    PhaseEvent,
    Resumed,
    RunEnd,
    RunStart,
    SessionTime,
    Stopped,
    SuiteRan,
)
from panthorlab.run.record.settings import KnownEntry, Settings

__all__ = [
    "Again",
    "ArmKernel",
    "Behave",
    "BoardUp",
    "BootEnd",
    "BootStart",
    "BootStep",
    "BuildFailed",
    "CoverageEvent",
    "DamagedEvent",
    "Doing",
    "Event",
    "ExtensionEvent",
    "Identical",
    "Iteration",
    "KernelFacts",
    "KnownEntry",
    "LogGap",
    "Marker",
    "Misbehave",
    "Moved",
    "Need",
    "Needs",
    "Note",
    "OfBoot",
    "PatchLinesEvent",
    "PatchRan",
    "PatchRecord",
    "PhaseEvent",
    "Planned",
    "Quota",
    "Resumed",
    "RunEnd",
    "RunStart",
    "SessionTime",
    "Settings",
    "SourceEvent",
    "Stopped",
    "StrayEvent",
    "SuiteRan",
    "Tested",
    "Variant",
    "VariantFailed",
    "VariantIdentical",
    "VariantKernel",
    "boot_of",
]
