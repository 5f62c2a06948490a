# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel reports (oops, WARN, KASAN, lockdep, hung task, stall, leak …), each collected into one finding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from panthorlab.kmsg.gpu_findings import Prefixed
from panthorlab.kmsg.heads import CONTINUES_OOPS, CUT_HERE, FAULTS, LOCK_OWNER, Ours, ReportHead, begins_line, find_head
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import (
    BODY,
    CALL_TRACE,
    FRAME,
    FRAME_ARM,
    HANDLER,
    LOCKDEP_BANNER,
    PROGRAM_COUNTER,
    REPORT_END,
    SKIPPED_FRAMES,
    WHO,
    WHO_SHORT,
    Kind,
)
from panthorlab.kmsg.records import LogRecord
from panthorlab.kmsg.rustnames import readable

MAX_LINES = 400
MAX_TEXT = 65536
TOP_FRAMES = 5
MAX_CLIENTS = 256
_PATIENCE_BEFORE_TRACE = 12
_PATIENCE_AFTER_TRACE = 3

_MODULES = {"panthor": "panthor", "panfrost": "panfrost", "mali_kbase": "kbase", "bifrost_kbase": "kbase", "tyr": "tyr"}
_FUNCTIONS = re.compile(r"(?:(panthor|panfrost|kbase)_|(?:.*::)?(tyr)::)")
_FILES = re.compile(r"drivers/gpu/drm/(panthor|panfrost|tyr)/|drivers/gpu/arm/(?:midgard|bifrost|valhall)")
_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm|lto_priv).*$")


@dataclass(slots=True)
class _Report:
    record: LogRecord
    kind: Kind | None = None
    what: str = ""
    where: str = ""
    file: str = ""
    driver: str | None = None
    device: str | None = None
    pid: str | None = None
    comm: str | None = None
    lines: list[str] = field(default_factory=list)
    size: int = 0
    frames: list[str] = field(default_factory=list)
    frame_driver: str | None = None
    counter: str | None = None
    in_trace: bool = False
    saw_trace: bool = False
    ended: bool = False
    foreign: int = 0
    ours: Ours | None = None
    has_owner: bool = False
    """The report also has, or will have, the trace of the lock's owner."""
    doubtful: bool = False
    """Only its head has come, and that may be prose about a report."""

    def append(self, text: str) -> None:
        self.size += len(text) + 1
        if self.size <= MAX_TEXT:
            self.lines.append(text)


class ReportCollector:
    """Feed it the lines that are not a Mali driver's messages; it returns the completed reports."""

    def __init__(self) -> None:
        self._report: _Report | None = None
        self._done: list[Finding] = []
        self._last: Kind | None = None
        self._clients: dict[int, str] = {}
        self._oom_reported = False

    def learn(self, findings: list[Finding]) -> None:
        """Remember which processes are clients of which driver."""
        for finding in findings:
            if finding.pid and finding.driver:
                self._clients[finding.pid] = finding.driver
                if len(self._clients) > MAX_CLIENTS:
                    del self._clients[next(iter(self._clients))]

    @property
    def busy(self) -> bool:
        """Whether a report is open, so that no line may be skipped."""
        return self._report is not None

    def drm_warning(self, text: str, record: LogRecord, prefixed: Prefixed) -> list[Finding]:
        """The line of a DRM driver between cut-here and WARNING, with the driver's name and the condition."""
        report = self._report
        if report is None or report.kind is not None:
            self._finish()
            report = self._report = _Report(record)
        report.driver, report.device, report.what = prefixed.driver, prefixed.device, prefixed.message
        report.append(text)
        return self._take_done()

    def feed(self, text: str, record: LogRecord) -> list[Finding]:
        if (cut := CUT_HERE.search(text)) and text[max(0, cut.start() - 1) : cut.start()] not in {'"', "'"}:
            self._finish()
            self._report = _Report(record)
            self._report.append(text.strip())
        elif REPORT_END.search(text):
            if self._report:
                self._report.append(text.rstrip())
                self._report.ended = True
                self._finish()
        elif LOCK_OWNER.search(text):
            self._owner(text, record)
        elif match := find_head(text):
            self._head(*match, text, record)
        elif self._report:
            self._line(self._report, text)
        return self._take_done()

    def close(self) -> list[Finding]:
        self._finish()
        return self._take_done()

    def _take_done(self) -> list[Finding]:
        done, self._done = self._done, []
        return done

    def _owner(self, text: str, record: LogRecord) -> None:
        report = self._report
        if report is None or report.kind is not Kind.HUNG_TASK:
            if self._last is Kind.HUNG_TASK:
                return  # belongs to a report that unrelated lines have ended
            self._finish()
            report = self._report = _Report(record, Kind.HUNG_TASK, what="task", doubtful=record.bare)
        report.has_owner, report.foreign = bool(report.frames), 0
        report.append(text.rstrip())

    def _head(self, head: ReportHead, found: re.Match[str], text: str, record: LogRecord) -> None:
        report = self._report
        if report is not None and not _accepts(report, head, found):
            self._finish()
            report = None
        if report is None:
            report = self._report = _Report(record)
        if report.kind is None:
            groups = found.groupdict()
            report.kind, report.ours = head.kind, head.ours
            report.what = report.what or groups.get("what") or ""
            report.where = groups.get("where") or ""
            report.file = groups.get("file") or ""
            report.doubtful = not head.alone or (record.bare and not (report.lines or begins_line(head, found)))
            if who := WHO_SHORT.search(text):
                report.pid, report.comm = who["pid"], who["comm"]
        else:
            report.doubtful = False
        report.foreign = 0
        report.append(text.strip() if not report.lines else text.rstrip())
        if head.ours is Ours.CLIENT:
            report.ended = True
            report.frame_driver = None if self._oom_reported else self._clients.get(int(found["victim"]))
            self._oom_reported = False  # the last line of a report that may have been returned already
            self._finish()

    def _line(self, report: _Report, text: str) -> None:
        if report.kind is None and not report.what:
            report.what = _stable_part(text)
        if report.kind is Kind.KASAN and LOCKDEP_BANNER.match(text):
            report.ended = True
            self._finish()
            return
        if _describe(report, text) or BODY.match(text) or not text.strip():
            report.foreign = 0
            report.append(text.rstrip())
        else:
            report.foreign += 1
            if not report.saw_trace and report.kind is not Kind.PANIC:
                report.append(text.rstrip())  # free text of a WARN or lockdep report
        patience = _PATIENCE_AFTER_TRACE if report.saw_trace else _PATIENCE_BEFORE_TRACE
        if report.foreign >= patience or len(report.lines) >= MAX_LINES or report.size > MAX_TEXT:
            self._finish()

    def _finish(self) -> None:
        report, self._report = self._report, None
        self._last = report.kind if report else self._last
        if report is None or (report.ours and not report.frame_driver):
            return
        if report.saw_trace or report.ended or not report.doubtful:
            self._done.append(_finding(report))
            self._oom_reported = report.what.startswith("invoked oom-killer")


def _accepts(report: _Report, head: ReportHead, found: re.Match[str]) -> bool:
    """Whether a further head belongs to the open report."""
    if report.kind is None:
        return True
    if report.kind is Kind.OOPS and head.kind is Kind.OOPS:
        return not report.saw_trace and bool(CONTINUES_OOPS.match(found.string, found.start()))
    if report.kind is Kind.STALL and head.kind is Kind.STALL:
        return "kthread" in found[0]
    return False


def _describe(report: _Report, text: str) -> bool:
    """Take frames, program counter and process from a line; True if it had any."""
    if CALL_TRACE.match(text):
        report.in_trace = not report.frames or report.has_owner
        report.saw_trace = True
        return True
    if found := FRAME.match(text) or _calls_without_title(report, text):
        if report.in_trace and not found["unsure"]:
            function = readable(_SUFFIX.sub("", found["function"]))
            if report.ours is not Ours.HANDLERS:  # the trace shows the code that was interrupted
                report.frame_driver = report.frame_driver or _driver_of(function, _module(found))
            if len(report.frames) < TOP_FRAMES and not report.has_owner and not SKIPPED_FRAMES.match(function):
                report.frames.append(function)
        return True
    if report.ours is Ours.HANDLERS and (found := HANDLER.match(text)):
        if driver := _driver_of(found["function"], found["module"]):
            report.frame_driver, report.frames = driver, [found["function"]]
        return True
    if report.frames and (BODY.match(text) or not text.strip()):
        report.in_trace = False  # unrelated lines, of another CPU, do not end it
    if found := PROGRAM_COUNTER.search(text):
        report.counter = report.counter or readable(_SUFFIX.sub("", found["function"]))
        return True
    if found := WHO.search(text):
        if report.pid is None:
            report.pid, report.comm = found["pid"], found["comm"]
        return True
    return False


def _module(frame: re.Match[str]) -> str | None:
    return frame["module"] or frame.groupdict().get("decoded_module")


def _calls_without_title(report: _Report, text: str) -> re.Match[str] | None:
    """A frame of a 32-bit Arm, whose traces have no title: `foo from bar+0x10/0x20`."""
    found = FRAME_ARM.match(text)
    if found and not report.saw_trace:
        report.in_trace = report.saw_trace = True
    return found


def _stable_part(text: str) -> str:
    """The message of a WARN or BUG up to its first number: `list_del corruption`, `refcount_t: underflow; …`."""
    return re.split(r"[,.;:(]?\s*(?:0x|\b[0-9a-f]{8,}|\d)", text.strip()[:200])[0]


def _finding(report: _Report) -> Finding:
    kind = report.kind or Kind.WARNING
    frames = list(report.frames)
    if report.counter and not frames and not SKIPPED_FRAMES.match(report.counter):
        frames = [report.counter]
    corrupted = None
    if report.kind is None:
        corrupted = "the line that names the report is missing"
    elif not report.saw_trace and not report.ended and kind not in {Kind.PANIC, Kind.LEAK}:
        corrupted = "no call trace"
    driver = report.driver or _driver(report)
    return Finding(
        kind=kind, signature=_signature(kind, driver, report, frames), text="\n".join(report.lines),
        line=report.record.line, driver=driver, device=report.device, timestamp=report.record.timestamp,
        pid=int(report.pid) if report.pid else None, comm=report.comm, corrupted=corrupted, frames=tuple(frames),
        seq=report.record.seq,
    )  # fmt: skip


def _driver_of(function: str, module: str | None) -> str | None:
    if module in _MODULES:
        return _MODULES[module]
    found = _FUNCTIONS.match(readable(function))
    return found[1] or found[2] if found else None


def _driver(report: _Report) -> str | None:
    driver = report.frame_driver or _driver_of(report.where or report.counter or "", None)
    if driver:
        return driver
    found = _FILES.search(report.file)
    return (found[1] or "kbase") if found else None


def _whole(what: str) -> str:
    """The title of a fault that a mailer wrapped in the middle."""
    begin, found, words = what.partition("Unable to handle kernel ")
    return begin + found + next((fault for fault in FAULTS if words and fault.startswith(words)), words)


def _signature(kind: Kind, driver: str | None, report: _Report, frames: list[str]) -> str:
    """Kind, driver, title without numbers, top frames: equal in every run for the same fault."""
    what = re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}", "", _whole(report.what))
    title = re.sub(r"[^a-z_]+", "-", what.lower()).strip("-")[:80]
    place = frames or [
        readable(report.where)
        if report.where.startswith("_R")
        else re.sub(r"\d+|:.*", "", report.where or report.file.rpartition("/")[2])
    ]
    parts = [kind.value, driver, title, ">".join(place)]
    return ":".join(part for part in parts if part)
