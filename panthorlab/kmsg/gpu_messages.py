# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of the Mali drivers: single messages by table, and reassembled records of several lines.

The kernel prints an MMU fault or a CS fault as one record of several lines. In a file this is that record, or its
separate lines: with or without prefixes, with unrelated lines in between, wrapped by a mailer, or cut off.
"""

from __future__ import annotations

import re

from panthorlab.kmsg.around_patterns import GPU_DEVICE
from panthorlab.kmsg.gpu_findings import PendingFinding, Prefixed, fault_of_nobody, finish, gpu_fault, single_message
from panthorlab.kmsg.messages import classify
from panthorlab.kmsg.messages_tyr import FAILURE as TYR_FAILURE
from panthorlab.kmsg.model import Finding
from panthorlab.kmsg.patterns import DRIVERS, Kind
from panthorlab.kmsg.records import LogRecord

PATIENCE = 24
"""Maximum number of unrelated lines between two lines of one event."""
MAX_OPEN = 16
_PID_PATIENCE = 3

_NAMES = "|".join(sorted(DRIVERS, key=len, reverse=True))
# A host may have the name of a driver: `tyr sshd[100]: ` is no device of Tyr.
_PROGRAM = r"(?!(?:mali|tyr|panthor|panfrost) (?:kernel|[\w.-]+\[\d+\]): )"
_PREFIX = re.compile(
    rf"(?:^|(?<=[\s\]>#$])){_PROGRAM}(?P<driver>{_NAMES})(?: (?P<device>[^ ]{{0,64}}?))?: "
    r"(?:\[drm(?::\w+(?: \[\w+\])?)?\] ?)?(?P<error>\*ERROR\* )?(?P<message>.*)"
)
_DRM_PREFIX = re.compile(rf"\[drm:\w+ \[(?P<driver>{_NAMES})\]\] (?P<error>\*ERROR\* )?(?P<message>.*)")

_UNBOUND = re.compile(
    rf"(?:^|(?<=[\s\]>]))platform (?P<device>{GPU_DEVICE}): \[drm(?::\w+(?: \[\w+\])?)?\] ?(?P<error>\*ERROR\* )?"
    r"(?P<message>.*)"
)
_OF_DRM = ("panthor", "panfrost", "tyr")
"""What drivers say of a device that they have left, for clients that are still there; the kernel puts the bus in the
driver's place then."""

_ANY_DRIVER = re.compile(r"(?P<driver>[a-z][\w-]{1,31}) (?P<device>\S{0,64}): (?:\[drm\S*\] )?(?:\*ERROR\* )?$")
_PAGE_FAULT = re.compile(r"Unhandled Page fault in AS(?P<as>\d+) at VA:? ?(?P<va>0x[0-9A-Fa-f]+)?")
_FIRMWARE_FAULT = re.compile(r"Unexpected Page fault in firmware address space at VA (?P<va>0x[0-9A-Fa-f]+)")
_FIRMWARE_AS = "0"
_FAULT_OF_NOBODY = re.compile(
    r"(?P<what>Page fault|Bus error) in AS(?P<as>\d+) at (?:[VP]A[ =])?(?P<va>0x[0-9A-Fa-f]+)"
)
_PAGE_FAULT_BEGUN = re.compile(
    r"Unhandled Page(?: fault(?: in(?: AS\d+(?: at(?: VA)?)?)?)?)?$|Unhandled Page fault in AS\d+"
)
_BUS_FAULT = re.compile(r"GPU bus fault in AS(?P<as>\d+) at PA (?P<va>\S+)")
_GPU_FAULT = re.compile(
    r"GPU Fault(?: (?P<raw_status>0x[0-9a-fA-F]+) \((?P<exception>[^)]*)\)(?: in AS(?P<as>\d+))?"
    r" at (?P<va>0x[0-9a-fA-F]+))?"
)
_FAULT_FIELDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("reason", re.compile(r"(?:^|[\s>])Reason: (.*)")),
    ("raw_status", re.compile(r"raw fault status:? (0x[0-9A-Fa-f]+)")),
    ("decoded", re.compile(r"decoded fault status: (DECODER|SLAVE)")),
    ("exception_type", re.compile(r"exception type (0x[0-9A-Fa-f]+)")),
    ("exception", re.compile(r"exception type 0x[0-9A-Fa-f]+: (\w+(?: at level \d| exception type)?)")),
    ("access_type", re.compile(r"access type (0x[0-9A-Fa-f]+)")),
    ("access", re.compile(r"access type 0x[0-9A-Fa-f]+: (\w+)")),
    ("source_id", re.compile(r"source id:? (0x[0-9A-Fa-f]+)")),
    ("pid", re.compile(r"(?:^|[\s>])pid: (\d+)")),
)
_FAULT_HINT = re.compile(r"fault status|exception type|access type|source id|Reason: |pid: |PA_VALID: ")

_CS_SLOT = re.compile(r"(?:Ctx (?P<pid>\d+)_\d+ Group \d+ )?CSG(?: slot)?:? \d+,? (?:CS slot|CSI): ?\d+")
_CS_FIELD = re.compile(
    r"CS_(?P<which>FAULT|FATAL)(?:(?P<info>_INFO)(?:\.EXCEPTION_DATA)?|\.EXCEPTION_(?P<what>TYPE|DATA)): "
    r"(?P<value>0x[0-9a-fA-F]+)"
    r"(?: \((?P<name>[^)]*)\))?"
)
_CS_TRACE = re.compile(r"CS_FA(?:ULT|TAL)_TRACE_")
_PID_RECORD = re.compile(
    r"(?P<which>CS_FAULT|CS_FATAL|CSG_PROGRESS_TIMER_EVENT): pid=(?P<pid>-?\d+), comm=(?P<comm>.*)"
)
_PROGRESS = re.compile(r"CSG slot \d+ progress timeout")
_ASSERTION = re.compile(r"Mali(?P<message><ASSERT>: .*)")
"""kbase's own assertions name no device."""


def split_prefix(text: str) -> Prefixed | None:
    """Split a prefix like `panthor fb000000.gpu: [drm] *ERROR* ` off; None if the line is not a Mali driver's."""
    found = _PREFIX.search(text)
    if not found:
        found = _DRM_PREFIX.search(text)
        if not found:
            assertion = _ASSERTION.search(text)
            return Prefixed("kbase", None, assertion["message"], True) if assertion else _unbound(text)
        return Prefixed(DRIVERS[found["driver"]], None, found["message"], bool(found["error"]))
    return Prefixed(DRIVERS[found["driver"]], found["device"] or None, found["message"], bool(found["error"]))


def _unbound(text: str) -> Prefixed | None:
    """What a driver is known to say, of a device that has none: by its words it is told which driver that was."""
    if not (found := _UNBOUND.search(text)):
        return None
    driver = next((name for name in _OF_DRM if classify(name, found["message"])), None)
    return Prefixed(driver, found["device"], found["message"], bool(found["error"])) if driver else None


class GpuAssembler:
    """Feed it lines in order; it returns whether the line was a Mali driver's, and the completed findings."""

    def __init__(self) -> None:
        self._open: list[PendingFinding] = []
        self._done: list[Finding] = []

    @property
    def busy(self) -> bool:
        """Whether further lines of an event are expected, so that none may be skipped."""
        return bool(self._open)

    def feed(self, text: str, record: LogRecord, prefixed: Prefixed | None) -> tuple[bool, list[Finding]]:
        mine = self._take(text, record, prefixed)
        self._expire()
        done, self._done = self._done, []
        return mine, done

    def close(self) -> list[Finding]:
        for pending in self._open:
            self._finish(pending)
        self._open.clear()
        done, self._done = self._done, []
        return done

    def _take(self, text: str, record: LogRecord, prefixed: Prefixed | None) -> bool:
        message = prefixed.message if prefixed else text
        if self._open and not _PAGE_FAULT.search(message) and self._continue(message, prefixed):
            return True
        if self._begin(message, record, prefixed):
            return True
        return bool(prefixed) and self._single(message, record, prefixed)

    def _continue(self, message: str, prefixed: Prefixed | None) -> bool:
        for pending in reversed(self._open):
            if pending.begun is not None:
                if self._wrapped(pending, message):
                    return True
            elif pending.kind in {Kind.MMU_FAULT, Kind.GPU_FAULT}:
                if _page_fault_line(pending, message):
                    return True
            elif self._cs_line(pending, message, prefixed):
                return True
        return False

    @staticmethod
    def _wrapped(pending: PendingFinding, message: str) -> bool:
        joined = f"{pending.begun} {message.strip()}"
        found = _PAGE_FAULT.search(joined)
        if found and found["va"]:
            pending.fields |= {"as": found["as"], "va": found["va"]}
            pending.begun = None
            pending.lines[-1] = joined
            return True
        if _PAGE_FAULT_BEGUN.search(joined) and pending.age < 2:
            pending.begun = joined
            pending.lines[-1] = joined
            return True
        if _FAULT_HINT.search(message):  # the address is lost, the rest is not
            if found := re.search(r"in AS(\d+)", pending.begun or ""):
                pending.fields["as"] = found[1]
            pending.begun = None
            return _page_fault_line(pending, message)
        return False

    @staticmethod
    def _cs_line(pending: PendingFinding, message: str, prefixed: Prefixed | None) -> bool:
        if pending.headless and prefixed:
            head = _PROGRESS if pending.kind is Kind.JOB_TIMEOUT else _CS_SLOT
            if head.match(message):
                pending.headless, pending.age = False, 0
                pending.lines.append(message)
                if pending.kind is Kind.JOB_TIMEOUT:
                    pending.fields["complete"] = "1"
                if not _CS_FIELD.search(message):
                    return True
                pending.lines.pop()  # the whole record came on one line
        if pending.kind is Kind.JOB_TIMEOUT:
            return False
        if _CS_TRACE.search(message):
            pending.lines.append(message.strip())
            return True
        found = _CS_FIELD.search(message)
        if not found:
            return False
        kind = Kind.CS_FAULT if found["which"] == "FAULT" else Kind.CS_FATAL
        name = "info" if found["info"] else found["what"].lower()
        if name in pending.fields or pending.kind not in {None, kind}:
            return False
        for found in _CS_FIELD.finditer(message):
            pending.fields["info" if found["info"] else found["what"].lower()] = found["value"]
            if found["name"]:
                pending.fields["exception"] = found["name"]
        pending.kind, pending.headless, pending.age = kind, False, 0
        pending.lines.append(message.strip())
        if "info" in pending.fields:
            pending.fields["complete"] = "1"
        return True

    def _begin(self, message: str, record: LogRecord, prefixed: Prefixed | None) -> bool:
        driver, device = (prefixed.driver, prefixed.device) if prefixed else (None, None)
        pending = PendingFinding(None, record, driver, device, [message.strip()])
        if found := _PAGE_FAULT.search(message):
            pending.kind = Kind.MMU_FAULT
            pending.doubtful = record.bare and bool(message[: found.start()].strip())
            if not prefixed and (unknown := _ANY_DRIVER.search(message, max(0, found.start() - 160), found.start())):
                pending.driver, pending.device = unknown["driver"], unknown["device"] or None
            pending.fields["as"] = found["as"]
            if found["va"]:
                pending.fields["va"] = found["va"]
                _collect(pending, message[found.end() :])
            else:
                pending.begun = message[found.start() :].strip()
        elif prefixed and (found := _PAGE_FAULT_BEGUN.search(message)):
            pending.kind = Kind.MMU_FAULT
            pending.begun = message[found.start() :].strip()
        elif prefixed and (found := _FIRMWARE_FAULT.match(message)):
            pending.kind = Kind.MMU_FAULT
            pending.fields |= {"as": _FIRMWARE_AS, "va": found["va"]}
        elif prefixed and (found := _BUS_FAULT.match(message)):
            pending.kind = Kind.GPU_FAULT
            pending.fields |= {"as": found["as"], "va": found["va"]}
        elif (found := _PID_RECORD.search(message)) and (prefixed or found["which"] != "CSG_PROGRESS_TIMER_EVENT"):
            kinds = {"CS_FAULT": Kind.CS_FAULT, "CS_FATAL": Kind.CS_FATAL}
            pending.kind = kinds.get(found["which"], Kind.JOB_TIMEOUT)
            pending.fields |= {"pid": found["pid"], "comm": found["comm"].strip()}
            pending.headless = True
        elif prefixed and (found := _CS_SLOT.match(message)):
            if found["pid"]:
                pending.fields["pid"] = found["pid"]
            if _CS_FIELD.search(message):  # the whole record came on one line
                pending.lines.clear()
                self._cs_line(pending, message, prefixed)
        elif (found := _CS_FIELD.search(message)) and found["what"] == "TYPE":
            pending.doubtful = record.bare and bool(message[: found.start()].strip())
            pending.lines.clear()
            self._cs_line(pending, message, prefixed)
        else:
            return False
        self._open.append(pending)
        if len(self._open) > MAX_OPEN:
            self._finish(self._open.pop(0))
        return True

    def _finish(self, pending: PendingFinding) -> None:
        if len(pending.lines) > 1 or not pending.doubtful:
            self._done.append(finish(pending))

    def _single(self, message: str, record: LogRecord, prefixed: Prefixed | None) -> bool:
        if prefixed is None:
            return False
        if found := _GPU_FAULT.match(message):
            self._done.append(gpu_fault(found, message, record, prefixed))
            return True
        if found := _FAULT_OF_NOBODY.match(message):
            self._done.append(fault_of_nobody(found, message, record, prefixed))
            return True
        if known := classify(prefixed.driver, message):
            row, found = known
            if row.kind:
                self._done.append(single_message(row.kind, row.name, found, message, record, prefixed))
            return True
        if not prefixed.error and not (prefixed.driver == "tyr" and TYR_FAILURE.search(message)):
            return False
        # A message of an unknown driver version: also an error.
        name = re.sub(r"[^a-z]+", "-", re.sub(r"0x[0-9a-f]+|'[^']*'|=\S+", "", message[:200].lower())).strip("-")[:60]
        self._done.append(single_message(Kind.WARNING, name or "error", None, message, record, prefixed))
        return True

    def _expire(self) -> None:
        for pending in list(self._open):
            if _is_whole(pending) or pending.age > PATIENCE:
                self._open.remove(pending)
                self._finish(pending)
            else:
                pending.age += 1


def _page_fault_line(pending: PendingFinding, message: str) -> bool:
    if not _FAULT_HINT.search(message):
        return False
    fresh = _collect(pending, message)
    if not fresh and "PA_VALID: " not in message:
        return False
    pending.lines.append(message.strip())
    pending.age = 0
    return True


def _collect(pending: PendingFinding, message: str) -> bool:
    fresh = False
    for name, pattern in _FAULT_FIELDS:
        if name not in pending.fields and (found := pattern.search(message)):
            pending.fields[name] = found[1].strip()
            fresh = True
    return fresh


def _is_whole(pending: PendingFinding) -> bool:
    if pending.kind in {Kind.MMU_FAULT, Kind.GPU_FAULT}:
        if "source_id" not in pending.fields or pending.begun is not None:
            return False
        prints_pid = pending.driver == "kbase" or (pending.driver is None and "reason" in pending.fields)
        return "pid" in pending.fields or not prints_pid or pending.age >= _PID_PATIENCE
    return "complete" in pending.fields
