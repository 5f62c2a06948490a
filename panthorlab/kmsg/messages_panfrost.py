# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages only of panfrost: Linux 5.2 to 7.3."""

from __future__ import annotations

from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.rows import Row, rows

ROWS: tuple[Row, ...] = (
    *rows(
        None,
        ("multiple-faults", r"There were multiple GPU faults"),
        ("dump", r"Panfrost Dump: |failed to allocate devcoredump file"),
        ("latency", r"unexpectedly high interrupt latency"),
        ("priorities", r"Slot priorities should be the same"),
    ),
    *rows(
        Kind.PROBE_ERROR,
        ("resource", r"get (?:reset|(?:bus_|bus_ace_)?clock) failed -?\d+|failed to ioremap iomem"),
        ("regulators", r"failed to (?:get|enable) regulators?: -?\d+"),
        ("power-domains", r"Incorrect number of power domains: |adding device link failed"),
        ("gpu-model", r"GPU model not found: "),
        ("unsupported", r"AARCH64_4K page table not supported"),
        ("irq", r"failed to request \w+ irq|IRQ \w+ not found"),
    ),
    *rows(
        Kind.POWER_ERROR,
        ("clock", r"[Ff]ailed to (?:enable|set|prepare) (?:gpu |bus )?(?:clock|clk|regulator|voltage)|error powering "),
    ),
)
