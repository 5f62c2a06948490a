# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsing the bytes of any kernel log into log records.

Three stages, all streaming and bounded in memory: `LineCleaner` turns chunks of bytes into clean whole lines, `Folder`
joins lines that a terminal or mailer broke and entries of several lines, `parse_line` parses one line into records. The
format is detected per line, so mixed logs (a console with raw /dev/kmsg in it, a mail that quotes dmesg) need no mode.
The result does not depend on where the input is cut into chunks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from panthorlab.kmsg.dialects import (
    CALLER,
    CLOCKS,
    KERNEL,
    LEVEL,
    PROGRAM_SAYS,
    STAMP,
    is_program,
    message_after_stamp,
    take_off,
    unquoted,
)
from panthorlab.kmsg.folding import Folder
from panthorlab.kmsg.lines import LineCleaner, cut
from panthorlab.kmsg.wrapped import unwrap

USER_FACILITY = 1
"""Syslog facility of messages from user space; the kernel's own is 0."""

# Documentation/ABI/testing/dev-kmsg: priority,sequence,microseconds,flags[,more];text; netconsole puts a release first
_KMSG = re.compile(r"(?:\d+\.[^,;\s]{1,64},)?(\d{1,10}),(\d{1,20}),(\d{1,20}),([^,;]{0,8})((?:,[^;]{0,64})?);")
_KMSG_PROPERTY = re.compile(r" [A-Z_]+=")
_KMSG_CALLER = re.compile(r"caller=([TC]\d+)")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_SAYS_NOTHING = re.compile(r"[\W\d_TZOE]*$")
"""Text before a time stamp without meaning: another time, a line number, decoration."""
_NEWLINE = re.compile(r"#012|<br ?/?>", re.IGNORECASE)
"""Replacement of a newline inside a record by rsyslog and web pages."""
_TAG = re.compile(r"</?(?:span|pre|code|div|p|b|i|font|a|tt|samp)(?: [^<>\n]{0,200})?>")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a kernel log; in text logs, one line (or part of one where printks collided).

    `timestamp` is in seconds of the kernel's clock, None where the log has only wall-clock or relative times.
    `line` is the 1-based line of the source. `seq` and `facility` are known only from raw /dev/kmsg or `<N>`.
    `bare`: nothing marks the line as part of a kernel log; it may be prose or a command.
    `prefix`: the text before the message, without digits: equal for all lines of one sink.
    """

    text: str
    line: int = 0
    timestamp: float | None = None
    level: int | None = None
    facility: int | None = None
    seq: int | None = None
    caller: str | None = None
    bare: bool = field(default=False, compare=False)
    prefix: str = field(default="", compare=False)


def parse_line(line: bytes, number: int) -> list[LogRecord]:
    """The records in one clean line: usually one; none for a /dev/kmsg property; several if printks collided."""
    text = line.decode("utf-8", "replace")
    if line[:1].isdigit():
        record = _parse_kmsg(text, line, number)
        if record:
            return [record]
    if _KMSG_PROPERTY.match(text):
        return []
    if (entry := unwrap(text)) is None:
        return _parse_text(_as_printed(text), number)
    if not entry.kernel:
        return [LogRecord(entry.text.rstrip(), number, facility=USER_FACILITY)]
    records = _parse_text(_as_printed(entry.text), number)
    return [
        record if record.timestamp is not None else replace(record, timestamp=entry.timestamp) for record in records
    ]


def _as_printed(text: str) -> str:
    if "#012" in text or "<" in text:
        text = _TAG.sub("", _NEWLINE.sub("\n", text))
    return text


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
        text=body,
        line=number,
        timestamp=int(found[3]) / 1e6,
        level=priority & 7,
        facility=priority >> 3,
        seq=int(found[2]),
        caller=caller[1] if caller else None,
    )


def _parse_text(text: str, number: int) -> list[LogRecord]:
    if is_program(text):
        return [LogRecord(text.rstrip(), number, facility=USER_FACILITY)]
    stamps = [found for found in STAMP.finditer(text) if found.start() == 0 or _is_stamp(found)]
    if not stamps:
        return [_parse_unstamped(text, number)]
    records = []
    head = _strip_prefix(text[: stamps[0].start()]) if stamps[0].start() else ""
    if not _SAYS_NOTHING.match(head):
        records.append(LogRecord(head.rstrip(), number, bare=True))
    for found, following in zip(stamps, [*stamps[1:], None], strict=True):
        end = following.start() if following else len(text)
        body, caller = message_after_stamp(text[found.end() : end].rstrip(), found[0].endswith("]"))
        priority = int(found["level"]) if found["level"] else None
        facility = None if priority is None else priority >> 3
        if PROGRAM_SAYS.match(body):
            facility = facility or USER_FACILITY
        records.append(
            LogRecord(
                text=body,
                line=number,
                timestamp=float(found["time"]),
                level=None if priority is None else priority & 7,
                facility=facility,
                caller=found["caller"] or caller,
                prefix=_shape(text[: found.end()]) if found is stamps[0] else "",
            )
        )
    return records


def _is_stamp(found: re.Match[str]) -> bool:
    """Inside a line only a full `[ 1.234567]` is a time stamp; after a prefix, a shortened one is, too."""
    return len(found["time"].partition(".")[2]) >= 6 or not _strip_prefix(found.string[: found.start()]).strip()


def _parse_unstamped(text: str, number: int) -> LogRecord:
    plain = unquoted(text)
    body, is_kernel = take_off(plain, KERNEL)
    body, _ = take_off(body, CLOCKS)
    level = facility = caller = None
    if found := LEVEL.match(body):
        level, facility = int(found[1]) & 7, int(found[1]) >> 3
        body = body[found.end() :]
    if found := CALLER.match(body):
        caller, body = found[1], body[found.end() :]
    body, vendor = message_after_stamp(body, glued=False)
    return LogRecord(
        body.rstrip(),
        number,
        level=level,
        facility=facility,
        caller=caller or vendor,
        bare=not is_kernel and level is None and caller is None,
        prefix=_shape(plain[: len(plain) - len(body)]),
    )


def _strip_prefix(text: str) -> str:
    return take_off(take_off(unquoted(text), KERNEL)[0], CLOCKS)[0]


def _shape(prefix: str) -> str:
    return re.sub(r"[\d ]+", "", prefix)


class RecordReader:
    """Records from chunks of bytes, cut anywhere: `feed` each chunk, `close` at the end of the input.

    A record of raw /dev/kmsg is returned as soon as its newline has come; in other logs the last lines are held back
    until they are known to be complete.
    """

    def __init__(self) -> None:
        self._lines = LineCleaner()
        self._folder = Folder()

    def feed(self, chunk: bytes) -> list[LogRecord]:
        return self._parse(self._folder.feed(self._lines.feed(chunk)))

    def close(self) -> list[LogRecord]:
        return self._parse(self._folder.feed(self._lines.close()) + self._folder.close())

    @staticmethod
    def _parse(segments: list[tuple[int, bytes]]) -> list[LogRecord]:
        records: list[LogRecord] = []
        for first, block in segments:
            for number, line in enumerate(block.split(b"\n")[:-1], first):
                records += parse_line(cut(line), number)
        return records
