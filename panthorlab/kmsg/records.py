# SPDX-License-Identifier: GPL-2.0-or-later
"""From the bytes of any kernel log to log records.

Two stages, both streaming and bounded in memory: `LineSplitter` makes clean whole lines of chunks of bytes,
`parse_line` makes records of one line. What is a record is decided per line, so mixed logs (a console with raw
/dev/kmsg in it, a mail that quotes dmesg) need no mode. Cutting the input elsewhere changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from panthorlab.kmsg.wrapped import unwrap

USER_FACILITY = 1
"""Syslog facility of what user space writes; the kernel's own is 0."""
MAX_LINE = 65536
"""Bytes of one line that are kept; the rest up to the newline is dropped."""

_ANSI = re.compile(
    rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cDEHMNOZ])"
)
_ANSI_BEGUN = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|\][^\x07\x1b\n]{0,256}\x1b?|[()])?\Z")
_LONGEST_ANSI = 264
_NO_BREAK_SPACE = b"\xc2\xa0"
"""What web pages and mailers make of a space."""

# Documentation/ABI/testing/dev-kmsg: priority,sequence,microseconds,flags[,more];text; netconsole puts a release first
_KMSG = re.compile(r"(?:\d+\.[^,;\s]{1,64},)?(\d{1,10}),(\d{1,20}),(\d{1,20}),([^,;]{0,8})((?:,[^;]{0,64})?);")
_KMSG_PROPERTY = re.compile(r" [A-Z_]+=")
_KMSG_CALLER = re.compile(r"caller=([TC]\d+)")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")

_STAMP = re.compile(
    r"(?:<(?P<level>\d{1,3})>)?\[ {0,8}(?P<time>\d{1,10}\.\d{1,9})(?: < {0,12}\d+\.\d+ ?>)?\] ?"
    r"(?:\[ {0,6}(?P<caller>[TC]\d{1,10})\] ?)?"
)
# What may follow the time: journalctl -o short-monotonic; the CPU and task that kernels of phones print.
_AFTER_STAMP = re.compile(
    r"[\w.-]{1,64} kernel(?:\[\d+\])?: ?"
    r"|\[\d: {0,8}[^\[\]]{1,32}: {0,8}\d{1,10}\] ?| ?\(\d\)\[\d{1,10}:[^\[\]]{1,32}\] ?"
)
_SAYS_NOTHING = re.compile(r"[\W\d_TZOE]*$")
"""What stands before a time stamp and is no more than another time, a line number, an ornament."""
_LEVEL = re.compile(r"<(\d{1,3})>")
_QUOTE = re.compile(r"(?:[>|] ?){1,16}")
# Prefixes without a kernel time: dmesg -x, journalctl and syslog, dmesg -T, dmesg -d, a torn time, dmesg -e.
_KERNEL_PREFIXES = (
    re.compile(r"\bkern {0,6}:[a-z]{3,6} {0,4}: ?"),
    re.compile(r"\bkernel(?:\[\d+\])?: ?"),
    re.compile(r"\[[^\[\]]{3,24} \d\d:\d\d:\d\d(?:[.,]\d+)?(?: [AP]M)? \d{4}(?: < *\d+\.\d+>)?\] ?"),
    re.compile(r"\[ *[+<] *\d+\.\d+>?\] ?"),
    re.compile(r"\[ {0,8}\d{1,6}\.\] ?"),
    re.compile(r"\[[A-Z][a-z]{2} ?\d{1,2} \d\d:\d\d\] ?"),
)
# Times that anything may have.
_CLOCKS = (
    re.compile(r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]? "),
    re.compile(r"^(?:[A-Z][a-z]{2} [ \d]\d )?\d\d:\d\d:\d\d(?:\.\d{1,6})?:? {1,2}"),
)
# "Nov 22 23:55:01 board Xorg[812]: ": not the kernel speaking.
_PROGRAM = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\dT[\d:.,+-]{8,24}Z?|\[ *\d+\.\d{6}\]) \S+ "
    r"(?!kernel\b)[\w./@-]{1,64}\[\d+\]: "
)
# The same as dmesg -x and busybox's syslogd say it, and what systemd and others write to /dev/kmsg.
_OTHER_FACILITY = re.compile(
    r"(?:[^\s\[]\S* +){0,5}(?:user|daemon|mail|auth|authpriv|syslog|cron|local\d)(?: {0,6}:|\.)"
    r"(?:emerg|alert|crit|err|warn|notice|info|debug)\b"
)
_PROGRAM_SAYS = re.compile(r"[\w.@/()-]{1,64}\[\d{1,10}\]: ")
_CALLER = re.compile(r"\[ {0,6}([TC]\d{1,10})\] ?")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a kernel log; in text logs, one line (or what is left of one after a collision).

    `timestamp` is in seconds of the kernel's clock, None where the log has only wall-clock or relative times.
    `line` is the 1-based line of the source. `seq` and `facility` are known only from raw /dev/kmsg or `<N>`.
    `fragment`: the kernel marked the record as a continuation of the one before (flag `c`). `bare`: nothing on the line
    says that it comes from a kernel log; prose and commands look like that.
    """

    text: str
    line: int = 0
    timestamp: float | None = None
    level: int | None = None
    facility: int | None = None
    seq: int | None = None
    caller: str | None = None
    fragment: bool = False
    bare: bool = field(default=False, compare=False)


class LineSplitter:
    """Whole clean lines from chunks of bytes: no NULs, ANSI escapes or no-break spaces, none longer than `MAX_LINE`."""

    def __init__(self) -> None:
        self._held = b""
        self._tail = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """The lines that became complete, each with its newline (long ones are not cut yet: see `cut`)."""
        data = self._clean(chunk)
        end = data.rfind(b"\n") + 1
        if not end:
            self._tail += data[: MAX_LINE - len(self._tail)]
            return b""
        if self._tail:
            # A line over MAX_LINE was cut while it was incomplete; its remainder must not be joined to the cut.
            first = data.find(b"\n")
            head = bytes(self._tail) + data[: min(first, MAX_LINE - len(self._tail))]
            block = head + data[first:end]
        else:
            block = data[:end]
        self._tail = bytearray(data[end : end + MAX_LINE])
        return block

    def close(self) -> bytes:
        """What is left without a newline at the end of the input; ends with a newline if not empty."""
        rest = bytes(self._tail) + self._held[: MAX_LINE - len(self._tail)]
        self._tail, self._held = bytearray(), b""
        return rest + b"\n" if rest else b""

    def _clean(self, chunk: bytes) -> bytes:
        data = self._held + chunk if self._held else chunk
        self._held = b""
        if b"\0" in data:
            data = data.replace(b"\0", b"")
        half = b""
        if b"\xc2" in data:
            if data.endswith(b"\xc2"):
                half, data = b"\xc2", data[:-1]
            data = data.replace(_NO_BREAK_SPACE, b" ")
        if b"\x1b" in data:
            begun = _ANSI_BEGUN.search(data, max(0, len(data) - _LONGEST_ANSI))
            if begun:
                self._held = data[begun.start() :]
                data = data[: begun.start()]
            data = _ANSI.sub(b"", data)
        self._held += half
        return data


def cut(line: bytes) -> bytes:
    """One line of a block without its line end, at most `MAX_LINE` bytes."""
    return line[:MAX_LINE].rstrip(b"\r\n")


def parse_line(line: bytes, number: int) -> list[LogRecord]:
    """The records in one clean line: usually one; none for a /dev/kmsg property; several if printks collided."""
    text = line.decode("utf-8", "replace")
    if line[:1].isdigit():
        record = _parse_kmsg(text, line, number)
        if record:
            return [record]
    if _KMSG_PROPERTY.match(text):
        return []
    if inner := unwrap(text):
        text, kernel = inner
        if not kernel:
            return [LogRecord(text.rstrip(), number, facility=USER_FACILITY)]
    if "#012" in text:  # rsyslog writes a newline inside a record so
        text = text.replace("#012", "\n")
    return _parse_text(text, number)


def _parse_kmsg(text: str, line: bytes, number: int) -> LogRecord | None:
    found = _KMSG.match(text)
    if not found:
        return None
    priority = int(found[1])
    caller = _KMSG_CALLER.search(found[5])
    body = text[found.end() :]
    if "\\x" in body:
        raw = line[line.index(b";") + 1 :]
        body = _ESCAPE.sub(lambda hexa: bytes([int(hexa[1], 16)]), raw).decode("utf-8", "replace")
    return LogRecord(
        text=body, line=number, timestamp=int(found[3]) / 1e6, level=priority & 7, facility=priority >> 3,
        seq=int(found[2]), caller=caller[1] if caller else None, fragment="c" in found[4] or "+" in found[4],
    )


def _parse_text(text: str, number: int) -> list[LogRecord]:
    if _PROGRAM.match(text) or _OTHER_FACILITY.match(text):
        return [LogRecord(text.rstrip(), number, facility=USER_FACILITY)]
    stamps = [found for found in _STAMP.finditer(text) if found.start() == 0 or _is_stamp(found)]
    if not stamps:
        return [_parse_unstamped(text, number)]
    records = []
    head = _strip_prefix(text[: stamps[0].start()])
    if not _SAYS_NOTHING.match(head):
        records.append(LogRecord(head.rstrip(), number, bare=True))
    for found, following in zip(stamps, [*stamps[1:], None], strict=True):
        end = following.start() if following else len(text)
        body = text[found.end() : end].rstrip()
        if after := _AFTER_STAMP.match(body):
            body = body[after.end() :]
        priority = int(found["level"]) if found["level"] else None
        facility = None if priority is None else priority >> 3
        if _PROGRAM_SAYS.match(body):
            facility = facility or USER_FACILITY
        records.append(
            LogRecord(
                text=body, line=number, timestamp=float(found["time"]),
                level=None if priority is None else priority & 7, facility=facility, caller=found["caller"],
            )
        )
    return records


def _is_stamp(found: re.Match[str]) -> bool:
    """Inside a line only a full `[ 1.234567]` is a time stamp; after a prefix, also a shortened one."""
    return len(found["time"].partition(".")[2]) >= 6 or not _strip_prefix(found.string[: found.start()]).strip()


def _parse_unstamped(text: str, number: int) -> LogRecord:
    body = _strip(_unquoted(text), _KERNEL_PREFIXES)
    bare = len(body) == len(_unquoted(text))
    body = _strip(body, _CLOCKS)
    level = facility = None
    if found := _LEVEL.match(body):
        level, facility = int(found[1]) & 7, int(found[1]) >> 3
        body = body[found.end() :]
    caller = None
    if found := _CALLER.match(body):
        caller, body = found[1], body[found.end() :]
    bare = bare and level is None and caller is None
    return LogRecord(body.rstrip(), number, level=level, facility=facility, caller=caller, bare=bare)


def _unquoted(text: str) -> str:
    found = _QUOTE.match(text)
    return text[found.end() :] if found else text


def _strip_prefix(text: str) -> str:
    return _strip(_strip(_unquoted(text), _KERNEL_PREFIXES), _CLOCKS)


def _strip(text: str, prefixes: tuple[re.Pattern[str], ...]) -> str:
    for pattern in prefixes:
        if found := pattern.search(text, 0, 160):
            text = text[found.end() :]
    return text


class RecordReader:
    """Records from chunks of bytes, cut anywhere: `feed` as they come, `close` at the end of the input."""

    def __init__(self) -> None:
        self._lines = LineSplitter()
        self._number = 0

    def feed(self, chunk: bytes) -> list[LogRecord]:
        return self._parse(self._lines.feed(chunk))

    def close(self) -> list[LogRecord]:
        return self._parse(self._lines.close())

    def _parse(self, block: bytes) -> list[LogRecord]:
        records: list[LogRecord] = []
        for line in block.split(b"\n")[:-1]:
            self._number += 1
            records += parse_line(cut(line), self._number)
        return records
