# SPDX-License-Identifier: GPL-2.0-or-later
"""One sentence for a person about a finding."""

from __future__ import annotations

from panthorlab.kmsg.faultstatus import AccessSource, decode_source, meaning, normal_exception
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import Kind

_VERBS = {"READ": "read from", "WRITE": "wrote to", "EXECUTE": "executed at", "ATOMIC": "did an atomic access to"}
_UNITS = {
    "csf": "the command-stream front-end", "shader": "shader core", "l2": "L2 cache slice", "tiler": "the tiler",
    "mmu": "the MMU",
}  # fmt: skip
_CSF_DRIVERS = {"panthor", "kbase", "pancsf", "tyr"}


def explain(finding: Finding) -> str:
    """The event in one sentence; for self-explanatory kinds, their first significant line."""
    if finding.kind is Kind.MMU_FAULT:
        return _page_fault(finding)
    if finding.kind in {Kind.CS_FAULT, Kind.CS_FATAL} and finding.exception:
        weight = "ended its queue" if finding.kind is Kind.CS_FATAL else "was reported to its job"
        return f"A command stream{_whose(finding)} met {finding.exception}, which {weight}."
    lines = [line.strip() for line in finding.text.split("\n")]
    telling = next((line for line in lines if line and not set(line) <= set("-=") and "cut here" not in line), "")
    return telling + (f" [{finding.corrupted}]" if finding.corrupted else "")


def _page_fault(finding: Finding) -> str:
    source = None
    if finding.source_id is not None and finding.driver in _CSF_DRIVERS:
        source = decode_source(int(finding.source_id, 0), finding.access)
    verb = _VERBS.get(finding.access or "", "accessed")
    place = finding.va or "an address that the log lost"
    exception = normal_exception(finding.exception_type, finding.exception)
    reason = meaning(exception) or exception or "the reason is lost"
    sentence = f"{_who(source)} {verb} {place} in address space {_or_lost(finding.address_space)}: {reason}"
    if exception and exception[-1:].isdigit():
        sentence += f" (level {exception[-1]})"
    if finding.owner:
        sentence += f"; the address belongs to: {finding.owner}"
    return sentence + _whose(finding) + "."


def _who(source: AccessSource | None) -> str:
    if source is None:
        return "The GPU"
    unit = _UNITS.get(source.unit, source.unit)
    name = f"{unit} {source.index}" if source.index is not None else unit
    if source.requester == "firmware (MCU)":
        return "The GPU's firmware (MCU)"
    name = f"{name} ({source.requester})" if source.requester else name
    return name[0].upper() + name[1:]


def _or_lost(number: int | None) -> str:
    return "?" if number is None else str(number)


def _whose(finding: Finding) -> str:
    if finding.pid is None:
        return ""
    return f" ({finding.comm}, pid {finding.pid})" if finding.comm else f" (pid {finding.pid})"
