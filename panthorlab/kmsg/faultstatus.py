# SPDX-License-Identifier: GPL-2.0-or-later
"""Mali FAULTSTATUS and source ids in words.

Register fields: `AS_FAULTSTATUS` (panthor_regs.h, 6.12). Exception names: `panthor_exceptions[]`
(panthor_device.c, 6.12 and 7.3 alike). Core and requester numbers of a source id: the CSF tables of Arm's kbase.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EXCEPTION_NAMES: dict[int, str] = {
    0x00: "OK", 0x04: "TERMINATED", 0x05: "KABOOM", 0x06: "EUREKA", 0x08: "ACTIVE", 0x0F: "CS_RES_TERM",
    0x40: "CS_CONFIG_FAULT", 0x41: "CS_UNRECOVERABLE", 0x44: "CS_ENDPOINT_FAULT", 0x48: "CS_BUS_FAULT",
    0x49: "CS_INSTR_INVALID", 0x4A: "CS_CALL_STACK_OVERFLOW", 0x4B: "CS_INHERIT_FAULT",
    0x50: "INSTR_INVALID_PC", 0x51: "INSTR_INVALID_ENC", 0x55: "INSTR_BARRIER_FAULT",
    0x58: "DATA_INVALID_FAULT", 0x59: "TILE_RANGE_FAULT", 0x5A: "ADDR_RANGE_FAULT", 0x5B: "IMPRECISE_FAULT",
    0x60: "OOM", 0x68: "CSF_FW_INTERNAL_ERROR", 0x69: "CSF_RES_EVICTION_TIMEOUT",
    0x80: "GPU_BUS_FAULT", 0x88: "GPU_SHAREABILITY_FAULT", 0x89: "SYS_SHAREABILITY_FAULT",
    0x8A: "GPU_CACHEABILITY_FAULT",
    0xC0: "TRANSLATION_FAULT_0", 0xC1: "TRANSLATION_FAULT_1", 0xC2: "TRANSLATION_FAULT_2",
    0xC3: "TRANSLATION_FAULT_3", 0xC4: "TRANSLATION_FAULT_4",
    0xC8: "PERM_FAULT_0", 0xC9: "PERM_FAULT_1", 0xCA: "PERM_FAULT_2", 0xCB: "PERM_FAULT_3",
    0xD9: "ACCESS_FLAG_1", 0xDA: "ACCESS_FLAG_2", 0xDB: "ACCESS_FLAG_3",
    0xE0: "ADDR_SIZE_FAULT_IN", 0xE4: "ADDR_SIZE_FAULT_OUT0", 0xE5: "ADDR_SIZE_FAULT_OUT1",
    0xE6: "ADDR_SIZE_FAULT_OUT2", 0xE7: "ADDR_SIZE_FAULT_OUT3",
    0xE8: "MEM_ATTR_FAULT_0", 0xE9: "MEM_ATTR_FAULT_1", 0xEA: "MEM_ATTR_FAULT_2", 0xEB: "MEM_ATTR_FAULT_3",
}  # fmt: skip

ACCESS_NAMES = ("ATOMIC", "EXECUTE", "READ", "WRITE")

_MEANINGS: tuple[tuple[str, str], ...] = (
    ("TRANSLATION_FAULT", "nothing is mapped there"),
    ("PERM_FAULT", "the mapping does not permit this access"),
    ("ACCESS_FLAG", "the access flag of the mapping is not set"),
    ("ADDR_SIZE_FAULT_IN", "the virtual address is too large"),
    ("ADDR_SIZE_FAULT_OUT", "a page table holds a physical address that is too large"),
    ("MEM_ATTR_FAULT", "the memory attributes of the mapping are invalid"),
)

_CSF_READERS = {0: "command prefetch", 4: "iterator", 12: "load/store unit", 13: "firmware (MCU)"}
_CSF_WRITERS = {8: "progress buffer", 12: "load/store unit", 13: "firmware (MCU)"}


@dataclass(frozen=True, slots=True)
class FaultStatus:
    """The fields of one AS_FAULTSTATUS value."""

    raw: int
    exception_type: int
    access_type: int
    decoder_fault: bool
    source_id: int

    @property
    def exception(self) -> str | None:
        """Name of the exception as panthor prints it, or None for a code it does not know."""
        return EXCEPTION_NAMES.get(self.exception_type)

    @property
    def access(self) -> str:
        return ACCESS_NAMES[self.access_type]


def decode_fault_status(raw: int) -> FaultStatus:
    """Split AS_FAULTSTATUS: [7:0] exception, [9:8] access, [10] decoder fault, [31:16] source id."""
    return FaultStatus(raw, raw & 0xFF, raw >> 8 & 3, bool(raw >> 10 & 1), raw >> 16 & 0xFFFF)


@dataclass(frozen=True, slots=True)
class AccessSource:
    """The source of an access, from a CSF source id: [15:9] core, [8] uTLB, [7:4] requester within the core."""

    unit: str
    index: int | None
    requester: str

    def __str__(self) -> str:
        name = f"{self.unit} {self.index}" if self.index is not None else self.unit
        return f"{name}, {self.requester}" if self.requester else name


def decode_source(source_id: int, access: str | None = None) -> AccessSource:
    """Core and requester of a CSF GPU's source id; never fails, unknown numbers stay numbers."""
    core, requester = source_id >> 9 & 0x7F, source_id >> 4 & 0xF
    if core == 62:
        names = _CSF_WRITERS if access in {"WRITE", "ATOMIC"} else _CSF_READERS
        return AccessSource("csf", None, names.get(requester, f"requester {requester}"))
    if core <= 31:
        return AccessSource("shader", core, f"requester {requester}")
    if 33 <= core <= 47:
        return AccessSource("l2", core - 33, "")
    if core == 51:
        return AccessSource("tiler", None, f"requester {requester}")
    if core == 55:
        return AccessSource("mmu", None, "")
    return AccessSource("core", core, f"requester {requester}")


def normal_exception(code: int | None, printed: str | None) -> str | None:
    """The name of an exception, normalised across drivers.

    kbase prints "TRANSLATION_FAULT at level 1" and CS_RESOURCE_TERMINATED, old panfrost TRANSLATION_FAULT_LEVEL1.
    """
    if code is not None and code in EXCEPTION_NAMES and (code >= 0xC0 or printed is None):
        return EXCEPTION_NAMES[code]
    if printed is None:
        return None if code is None else f"0x{code:02X}"
    if printed == "CS_RESOURCE_TERMINATED":
        return "CS_RES_TERM"
    return re.sub(r"(?:_LEVEL| at level |_)(?=\d$)", "_", printed)


def meaning(exception: str | None) -> str | None:
    """The meaning of a page-fault exception, in words."""
    for prefix, words in _MEANINGS:
        if exception and exception.startswith(prefix):
            return words
    return None
