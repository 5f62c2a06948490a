# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings from the fields of Mali driver messages, as far as the fields agree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from panthorlab.kmsg.faultstatus import EXCEPTION_NAMES, decode_fault_status, decode_source, normal_exception
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.records import LogRecord


@dataclass(slots=True)
class PendingFinding:
    """A record of several lines of which some are still expected."""

    kind: Kind | None
    record: LogRecord
    driver: str | None
    device: str | None
    lines: list[str]
    fields: dict[str, str] = field(default_factory=dict)
    begun: str | None = None
    """The beginning of a head that a mailer wrapped."""
    headless: bool = False
    """Only the pid record of 7.3 has come so far."""
    age: int = 0
    doubtful: bool = False
    """Only its head has come, and that may be a quotation in a command or in prose."""


@dataclass(frozen=True, slots=True)
class Prefixed:
    """A message with the driver and device that its prefix names."""

    driver: str
    device: str | None
    message: str
    error: bool


def number(fields: dict[str, str], name: str) -> int | None:
    return int(fields[name], 0) if name in fields else None


def finish(pending: PendingFinding) -> Finding:
    """The finding, once it is complete or no further lines will come."""
    if pending.kind in {Kind.MMU_FAULT, Kind.GPU_FAULT}:
        return _finish_page_fault(pending)
    kind = pending.kind or Kind.CS_FAULT
    fields = pending.fields
    code = number(fields, "type")
    name = "progress-timeout" if kind is Kind.JOB_TIMEOUT else normal_exception(code, fields.get("exception"))
    return Finding(
        kind=kind, signature=_signature(kind, pending.driver, name), text="\n".join(pending.lines),
        line=pending.record.line, driver=pending.driver, device=pending.device, timestamp=pending.record.timestamp,
        seq=pending.record.seq, exception_type=code,
        exception=fields.get("exception") or EXCEPTION_NAMES.get(code or -1),
        pid=number(fields, "pid"), comm=fields.get("comm"),
        corrupted=None if "complete" in fields else "lines are missing",
    )  # fmt: skip


def _finish_page_fault(pending: PendingFinding) -> Finding:
    fields = dict(pending.fields)
    corrupted = None
    if pending.kind is Kind.MMU_FAULT and 0 < len(fields.get("va", "")) < 18:
        del fields["va"]  # always printed with 16 digits: this one was cut, and half an address misleads
        corrupted = "the address is torn"
    corrupted = corrupted or _fill_from_raw(fields)
    if "va" not in fields or "source_id" not in pending.fields:
        corrupted = corrupted or "lines are missing"
    driver = pending.driver or _driver_by_style(fields)
    code = number(fields, "exception_type")
    exception = fields.get("exception")
    parts = [normal_exception(code, exception), fields.get("access")]
    if driver in {"panthor", "kbase", "tyr"} and "source_id" in fields:
        parts.append(decode_source(int(fields["source_id"], 0)).unit)
    kind = pending.kind or Kind.MMU_FAULT
    return Finding(
        kind=kind, signature=_signature(kind, driver, *parts), text="\n".join(pending.lines), line=pending.record.line,
        driver=driver, device=pending.device, timestamp=pending.record.timestamp, seq=pending.record.seq,
        address_space=number(fields, "as") if fields.get("as", "").isdigit() else None, va=fields.get("va"),
        raw_status=fields.get("raw_status"), exception_type=code, exception=exception, access=fields.get("access"),
        source_id=fields.get("source_id"), pid=number(fields, "pid"), corrupted=corrupted,
    )  # fmt: skip


def _fill_from_raw(fields: dict[str, str]) -> str | None:
    """Fill in lost fields from FAULTSTATUS; returns a message if printed fields contradict it."""
    if "raw_status" not in fields:
        return None
    status = decode_fault_status(int(fields["raw_status"], 0))
    if status.exception is None:
        return None  # damaged, or an unknown code: no conclusion
    printed_code, printed_source = number(fields, "exception_type"), number(fields, "source_id")
    if printed_code not in {None, status.exception_type} or printed_source not in {None, status.source_id}:
        return "printed fields contradict the raw fault status"
    fields.setdefault("exception_type", f"0x{status.exception_type:X}")
    fields.setdefault("source_id", f"0x{status.source_id:X}")
    if status.exception.startswith(fields.get("exception", "")):
        fields["exception"] = status.exception
    if status.access.startswith(fields.get("access", "")):
        fields["access"] = status.access
    return None


def _driver_by_style(fields: dict[str, str]) -> str | None:
    """The driver of a fault without a prefix: only kbase prints a reason and a pid, panfrost's reason is TODO."""
    if fields.get("reason") == "TODO":
        return "panfrost"
    return "kbase" if "reason" in fields or "pid" in fields else None


def gpu_fault(found: re.Match[str], message: str, record: LogRecord, prefixed: Prefixed) -> Finding:
    """A `GPU Fault` line."""
    raw = found["raw_status"]
    code = int(raw, 16) & 0xFF if raw else None
    name = normal_exception(code, found["exception"]) or (
        "protected-mode" if "protected mode" in message else "unknown"
    )
    return Finding(
        kind=Kind.GPU_FAULT, signature=_signature(Kind.GPU_FAULT, prefixed.driver, name), text=message.strip(),
        line=record.line, driver=prefixed.driver, device=prefixed.device, timestamp=record.timestamp, seq=record.seq,
        raw_status=raw, exception_type=code, exception=found["exception"], va=found["va"],
        address_space=int(found["as"]) if found["as"] else None,
    )  # fmt: skip


def fault_of_nobody(found: re.Match[str], message: str, record: LogRecord, prefixed: Prefixed) -> Finding:
    """kbase's line for a fault in an address space that no context has; it has no status and no further lines."""
    kind = Kind.MMU_FAULT if found["what"] == "Page fault" else Kind.GPU_FAULT
    return Finding(
        kind=kind, signature=_signature(kind, prefixed.driver, "no-context"), text=message.strip(), line=record.line,
        driver=prefixed.driver, device=prefixed.device, timestamp=record.timestamp, seq=record.seq,
        address_space=int(found["as"]), va=found["va"],
    )  # fmt: skip


def single_message(
    kind: Kind, name: str, found: re.Match[str] | None, message: str, record: LogRecord, prefixed: Prefixed
) -> Finding:
    """A complete one-line message."""
    groups = found.groupdict() if found else {}
    return Finding(
        kind=kind, signature=_signature(kind, prefixed.driver, name, groups.get("what")), text=message.strip(),
        line=record.line, driver=prefixed.driver, device=prefixed.device, timestamp=record.timestamp, seq=record.seq,
        exception=groups.get("exception"), pid=int(groups["pid"]) if groups.get("pid") else None,
        comm=groups.get("comm"),
    )  # fmt: skip


def _signature(kind: Kind, *parts: str | None) -> str:
    return ":".join([kind.value, *(part for part in parts if part and part != kind.value)])
