# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages only of Tyr, the Rust driver for panthor's GPUs. Its `{:?}` prints errors by name: `ETIMEDOUT`."""

from __future__ import annotations

import re
from typing import Final

from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.rows import Row, rows

FAILURE: Final = re.compile(
    r"(?i:\bfail(?:ed|ure|s)?\b|\btimed? ?out\b|\b(?:invalid|unsupported|cannot|exceeds|corrupt(?:ed)?|unexpected)\b)"
)
"""Words that mark an unknown message of Tyr as an error, because Tyr does not mark errors as such."""
ROWS: tuple[Row, ...] = (
    *rows(None, ("gpu-id", r"mali-\S+ GPU_ID 0x"), ("initialized", r"Tyr initialized correctly")),
    *rows(Kind.GPU_RESET, ("reset-failed", r"GPU (?:soft |hard )?reset (?:failed|timed out)")),
    *rows(Kind.POWER_ERROR, ("power-up", r"Failed to power (?:on|off) (?:the )?(?:GPU|L2|\w+ domain)")),
    *rows(
        Kind.FIRMWARE_ERROR,
        ("mcu-boot", r"MCU failed to boot"),
        ("mcu-stop", r"MCU failed to (?:stop|halt)"),
        ("firmware-bad", r"fw section \d+ bigger than BO \d+"),
        ("firmware-bad", r"Invalid firmware file: |Invalid cursor range "),
        ("firmware-bad", r"Firmware contains no loadable sections"),
        ("firmware-bad", r"Firmware entry (?:header )?at 0x[0-9a-f]+ (?:exceeds|extends beyond) "),
        ("firmware-bad", r"Failed to handle firmware entry type: "),
        ("firmware-bad", r"Firmware (?:data|virtual address) range 0x[0-9a-f]+\.\.0x[0-9a-f]+ (?:exceeds|is not)"),
    ),
    *rows(
        Kind.PROBE_ERROR,
        ("mmu-slots", r"Failed to initialize MMU slot manager"),
        ("address-spaces", r"Sparse AS_PRESENT mask is unsupported"),
    ),
    *rows(
        Kind.WARNING,
        ("vm-update", r"Failed to (?:end VM update|flush VM)"),
        ("vm-create", r"Failed to create (?:dummy GEM object|GpuVm)"),
        ("vm-activate", r"Failed to (?:de)?activate VM"),
        ("vm-unmap", r"Failed to unmap (?:range during deactivate|(?:remap )?region|KernelBo range|any bytes)"),
        ("vm-unmap", r"Unmap range 0x[0-9a-f]+\.\.0x[0-9a-f]+ exceeds VM range"),
        ("vm-map", r"BO mapping range 0x[0-9a-f]+\.\.0x[0-9a-f]+ exceeds BO size"),
        ("vm-map", r"Requested GEM range ends at \d+ which is beyond|Failed to get sg_table"),
        ("vm-map", r"SG table is too small|pt\.map_pages failed|Failed to map any pages"),
        ("vm-address", r"(?:curr_iova|IOVA) 0x[0-9a-f]+ cannot be represented as usize"),
        ("vm-slot", r"AS slot \d+ (?:out of valid range|not present in hardware)"),
        ("kernel-bo", r"Cannot create KernelBo"),
        ("syncwait", r"eval_syncwait failed"),
    ),
)
