# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings from messages of other kernel code about the GPU's device, its driver's module, and the DRM scheduler."""

from __future__ import annotations

import re
from functools import cache

from panthorlab.kmsg.around_patterns import ANYWHERE, DEVICE, GPU_DEVICE, MODULE, MODULES, SUBSYSTEMS
from panthorlab.kmsg.gpu_findings import Prefixed
from panthorlab.kmsg.messages import classify
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.records import LogRecord
from panthorlab.kmsg.rows import Row

_OF_DEVICE = re.compile(rf"(?:^|(?<=[\s\]>]))(?:{'|'.join(SUBSYSTEMS)}) (?P<device>{GPU_DEVICE}): (?P<message>.*)")
_NAMES = "|".join(sorted(MODULES, key=len, reverse=True))
_OF_MODULE = re.compile(rf"(?:^|(?<=[\s\]>]))(?:module )?(?P<module>{_NAMES}): (?P<message>.*)")
_REASON = re.compile(r"deferred probe pending: (?P<driver>[a-z][\w-]*): ")
_NOT_A_DRIVER = frozenset({"platform", "amba", "genpd", "regulator", "clk", "reset", "phy", "iommu", "of"})
_HINT = re.compile(
    r"drm_sched_|killed entity|has no rq|PM: |dpm_run_callback|[Ff]ailed to .*'(?:pd_)?gpu'"
    r"|(?:gpu|mali)[\w.-]{0,16}: [Ff]ailed to |clk: failed |Flags mismatch irq|Failed to request resources for"
    r"|IRQ \d+ device|exiting task|is blacklisted|insmod|modprobe|kmod"
)


def around(text: str, record: LogRecord, prefixed: Prefixed | None) -> list[Finding] | None:
    """The finding of a message about a Mali GPU from other kernel code; [] if it is known to be harmless; None for any
    other line."""
    if prefixed is not None and prefixed.device:
        found = _first(DEVICE, prefixed.message, record, prefixed.driver, prefixed.device)
        if found is not None and prefixed.driver and classify(prefixed.driver, prefixed.message):
            return None  # the driver's own messages have priority
        return found
    if (line := _OF_DEVICE.search(text)) and _speaks(line, record):
        driver, ours = _driver_of_reason(line["message"])
        return _first(DEVICE, line["message"], record, driver, line["device"]) if ours else []
    if (line := _OF_MODULE.search(text)) and _speaks(line, record):
        return _first(MODULE, line["message"], record, MODULES[line["module"]], None)
    if _HINT.search(text):
        return _first(ANYWHERE, text.lstrip(), record, None, None)
    return None


def _speaks(line: re.Match[str], record: LogRecord) -> bool:
    """Whether the message is the kernel's: in a line that nothing marks as the kernel's, only at its beginning."""
    return not record.bare or not line.string[: line.start()].strip()


def _driver_of_reason(message: str) -> tuple[str | None, bool]:
    """The driver that a deferred probe's reason names, and whether it may be a Mali GPU's."""
    found = _REASON.match(message)
    if found is None or found["driver"] in _NOT_A_DRIVER:
        return None, True
    return MODULES.get(found["driver"]), found["driver"] in MODULES


def _first(
    rows: tuple[Row, ...], message: str, record: LogRecord, driver: str | None, device: str | None
) -> list[Finding] | None:
    for row, pattern in _compiled(rows):
        if found := pattern.match(message):
            return [_finding(row.kind, row.name, found, record, driver, device)] if row.kind else []
    return None


@cache
def _compiled(rows: tuple[Row, ...]) -> tuple[tuple[Row, re.Pattern[str]], ...]:
    return tuple((row, re.compile(row.pattern)) for row in rows)


def _finding(
    kind: Kind, name: str, found: re.Match[str], record: LogRecord, driver: str | None, device: str | None
) -> Finding:
    groups = found.groupdict()
    driver = driver or groups.get("driver")
    what = (groups.get("what") or "").replace(" ", "-")
    return Finding(
        kind=kind, signature=":".join(part for part in (kind.value, driver, name, what) if part),
        text=found.string.strip(), line=record.line, driver=driver, device=device or groups.get("device"),
        timestamp=record.timestamp, seq=record.seq,
    )  # fmt: skip
