# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/fidelity.md as rows, and the facts of the model that must have them.

Facts are what the model is made of (registers, interface, instructions, parameters), not a list kept for the test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

from panthorlab.gpu import events, layout, registers
from panthorlab.gpu.cs import heap, machine, state
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.mmu import unit, walk
from panthorlab.gpu.paramtable import PARAMS
from panthorlab.gpu.registers import Register, RegisterKind

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "fidelity.md"
CODE = re.compile(r"`([^`]+)`")
COMPOSITE = {"REQUESTS", "NOT_EMULATED", "STATES", "EVENT_NAMES", "TOGGLES", "EVENTS"}


# --- the page


@dataclass(frozen=True)
class Row:
    """One line of a table: what it is about, and its other cells by the names of their columns."""

    section: str
    names: tuple[str, ...]
    cells: Mapping[str, str]

    @property
    def status(self) -> str:
        return self.cells.get("model", "").partition(" ")[0]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def rows_of(text: str) -> Iterator[Row]:
    """The rows of all tables whose first column has names, each in backquotes."""
    section, header = "", list[str]()
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            header = []
        elif not header:
            header = _cells(line)
        elif set(line) - set("|-"):
            cells = _cells(line)
            assert len(cells) == len(header), f"{section}: {line}"
            names = tuple(CODE.findall(cells[0]))
            if names:
                yield Row(section, names, dict(zip(header[1:], cells[1:], strict=True)))


@cache
def page() -> tuple[Row, ...]:
    return tuple(rows_of(PAGE.read_text()))


# --- the facts


def _places(names: Iterable[Register], base: int = 0) -> dict[str, int]:
    return {register.name: base + register.offset for register in names}


def _ints(owner: type, skip: Iterable[str] = ()) -> dict[str, int]:
    return {
        name: value
        for name, value in vars(owner).items()
        if isinstance(value, int) and not name.startswith("_") and name not in skip
    }


def _bits(owner: type) -> dict[str, int]:
    """Bits by number; states (START, STOP, …) by value."""
    states = {"TERMINATE", "START", "SUSPEND", "RESUME", "STOP"}
    return {
        name: value if name in states else (value & -value).bit_length() - 1
        for name, value in _ints(owner, COMPOSITE).items()
    }


def _enum(kind: type[IntEnum]) -> dict[str, int]:
    return {member.name: member.value for member in kind}


def _constants(module: object, prefix: str) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if name.startswith(prefix) and isinstance(value, int)}


DOORBELLS = {f"DOORBELL_{i}": G610.doorbells.offset(i) for i in range(G610.doorbell_count)}
WRITTEN = (RegisterKind.STORAGE, RegisterKind.WRITE, RegisterKind.BOTH)
RESERVED = {
    register.name: register.reserved
    for register in (*G610.registers, *G610.spaces.registers)
    if register.kind in WRITTEN and register.reserved
}
BLOCKS: Mapping[str, type] = {
    "Global control": layout.GlbControl,
    "Global input": layout.GlbIn,
    "Global output": layout.GlbOut,
    "CSG control": layout.CsgControl,
    "CSG input": layout.CsgIn,
    "CSG output": layout.CsgOut,
    "CS control": layout.CsControl,
    "CS input": layout.CsIn,
    "CS output": layout.CsOut,
    "Ring input": layout.RingIn,
    "Ring output": layout.RingOut,
}
WORDS: Mapping[str, type] = {
    "GLB_REQ and GLB_ACK": layout.Glb,
    "CSG_REQ and CSG_ACK": layout.Csg,
    "CS_REQ and CS_ACK": layout.Cs,
}
SIZES = {
    "REGISTERS": G610.instructions.registers,
    "SCOREBOARDS": G610.instructions.scoreboards,
    "CALL_DEPTH": G610.instructions.call_depth,
    "MAX_DEFERRED": state.MAX_DEFERRED,
    "MAX_JOBS": state.MAX_JOBS,
    "GROUPS": G610.layout.groups,
    "STREAMS": G610.layout.streams,
    "AS_COUNT": G610.spaces.count,
    "PA_BITS": G610.spaces.pa_bits,
    "MIN_LOCK_BITS": G610.spaces.min_lock_bits,
    "HEAP_CONTEXT_STRIDE": G610.layout.heap_context_stride,
    "CONTEXT_SIZE": heap.CONTEXT_SIZE,
}
# section, column with the number: name -> number
FACTS: Mapping[tuple[str, str], Mapping[str, int]] = {
    ("GPU control", "at"): _places(G610.registers),
    ("Address spaces", "at"): _places(G610.spaces.registers),
    ("Doorbells", "at"): DOORBELLS,
    ("Reserved bits", "bits"): RESERVED,
    ("Interrupt bits", "at"): {**_bits(registers.GpuIrq), "JOB_GLOBAL": registers.JOB_GLOBAL.bit_length() - 1},
    ("GPU_CMD", "value"): _ints(registers.GpuCommand),
    ("MCU_STATUS", "value"): _ints(registers.McuStatus),
    ("AS_COMMAND", "value"): {name: number for number, name in enumerate(unit.COMMANDS)},
    ("AS modes", "value"): _constants(unit, "MODE_"),
    ("Walks and faults", "type"): _enum(walk.FaultCode),
    ("Walks and faults", "source id"): {who.name: G610.spaces.source_ids[who] for who in Requester},
    **{(section, "at"): _ints(block) for section, block in BLOCKS.items()},
    **{(section, "at"): _bits(word) for section, word in WORDS.items()},
    ("Instructions", "opcode"): {spec.mnemonic: spec.opcode for spec in G610.instructions.table},
    ("Sizes", "value"): SIZES,
    ("Blocked reasons", "value"): _enum(state.BlockedReason),
    ("CS exceptions", "type"): {**_constants(machine, "CS_"), "OOM": machine.OOM},
}
NAMES: Mapping[tuple[str, str], Iterable[str]] = {  # those that have no number
    ("Events", "model"): (*layout.Csg.EVENT_NAMES.values(), *layout.Cs.EVENT_NAMES.values()),
    ("Parameters", "default"): [param.name for param in PARAMS],
    ("What the model reports", "means"): re.findall(
        r"`([\w-]+)`", (events.__doc__ or "").partition("Kinds of events")[2]
    ),
}


def complaints(rows: Sequence[Row], section: str, column: str, facts: Iterable[str]) -> list[str]:
    """What is wrong with the names of the tables of `section` that have `column`."""
    here = [row for row in rows if row.section == section and column in row.cells]
    known, wrong = set(facts), []
    counted = Counter(name for row in here for name in row.names)
    wrong += [f"{name} has {times} rows" for name, times in counted.items() if times > 1]
    wrong += [f"{name} has no row" for name in sorted(known - set(counted))]
    for row in here:
        absent = row.status == "absent"
        wrong += [f"{name} exists, and is said to be absent" for name in row.names if absent and name in known]
        wrong += [f"{name} does not exist" for name in row.names if not absent and name not in known]
    return wrong
