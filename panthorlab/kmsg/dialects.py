# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes that programs and vendors add to lines of a kernel log, as tables. Each row has an example of a real line.

`[   12.345678] ` is the kernel's own time stamp (print_time, kernel/printk/printk.c); everything else here is added
before it, after it or in its place. A row matches exactly the text to remove, never the message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of prefix. `example`: the beginning of a real line, up to the message."""

    name: str
    pattern: re.Pattern[str]
    example: str


def _rows(*rows: tuple[str, str, str]) -> tuple[Dialect, ...]:
    return tuple(Dialect(name, re.compile(pattern), example) for name, pattern, example in rows)


_MONTH = r"[A-Z][a-z]{2}"
_LEVELS = r"(?:emerg|panic|alert|crit|err(?:or)?|warn(?:ing)?|notice|info|debug)"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"

STAMP = re.compile(
    r"(?:<(?P<level>\d{1,3})>)?\[ {0,8}(?P<time>\d{1,10}\.\d{1,9})"
    r"(?:s|@\d{1,2}|,[cC]?\d{1,3}| / [\d: .-]{8,30}| < {0,12}\d+\.\d+ ?>)?\](?:(?<=@\d\])[a-z-](?= ))? ?"
    r"(?:\[ {0,6}(?P<caller>[TC]\d{1,10})\] ?)?"
)
"""The kernel's stamp, with priority and caller; Amlogic puts the CPU in it (`@0`), Motorola (`,0`), HiSilicon an `s`,
LG the wall clock (` / 06-18 10:00:00.123`), `dmesg -d` the time since the line before."""

AFTER_STAMP = _rows(
    ("journalctl -o short-monotonic", r"[\w.-]{1,64} kernel(?:\[\d+\])?: ?", "[   12.345678] rock5 kernel: "),
    (
        "MediaTek",
        r" {0,2}(?:<\d>)?[.*-]?\(\d{1,2}\)\[\d{1,10}:[^\[\]]{1,32}\] ?",
        "[    0.259605] <0>.(0)[1:swapper/0]",
    ),
    ("MediaTek, module", r" ?\[name:[\w-]{1,64}&\] ?", "[   12.345678] [name:mali_kbase&]"),
    (
        "Samsung",
        r" {0,2}[A-Z]?\[ ?\d{1,2}: {0,16}[^\[\]]{1,32}: {0,8}\d{1,10}\] ?",
        "[    0.059580] [0:      swapper/0:    1] ",
    ),
    ("Samsung, CPU alone", r" ?\[[cC]\d{1,2}\] ?", "[    1.234567] [c0] "),
    ("Unisoc", r"[cC]\d{1,2} {1,8}\d{1,10} (?:\([^()]{1,32}\) )?", "[    1.404107] c0      1 "),
    (
        "Qualcomm, Xiaomi and Vivo",
        r" ?\[20\d{6}_[\d:.]{8,20}\](?:@\d{1,2})? ",
        "[    1.234567] [20240101_12:00:00.123456]@3 ",
    ),
    (
        "Qualcomm, Sony",
        r" ?\(CPU:\d{1,2}-pid:\d{1,10}:[^()]{1,32}\) ?(?:\[[\d:.]{8,20}\] ?)?",
        "[    1.234567] (CPU:0-pid:1:swapper/0) [12:00:00.123456] ",
    ),
    ("PID and CPU", r" ?\[pid:\d{1,10},[^\[\]]{1,48}\] ?", "[  911.402118][pid:1187,cpu5,RenderThread] "),
    ("caller and task", r" ?\[ {0,6}[TC]\d{1,10}\b[^\[\]]{0,32}\] ?", "[   12.345678] [T123] "),
)
"""Fields between the time stamp and the message, each possibly repeated."""
GLUED = re.compile(r"\[(?!drm\b) {0,8}[\w@:,./ -]{1,48}\] ?")
"""Any other field in brackets that follows the stamp without a space (`[    1.234567][2] `): no message begins so."""

KERNEL = _rows(
    ("dmesg -x", rf"\bkern {{0,6}}:{_LEVELS} {{0,4}}: ?", "kern  :err   : "),
    (
        "Talos",
        rf"\bkern: {{1,8}}{_LEVELS}: (?:\[{_ISO}\]: )?",
        "192.168.77.162: kern:    info: [2023-03-05T09:01:29.260535383Z]: ",
    ),
    (
        "RFC 5424",
        rf"<\d{{1,3}}>1 (?:{_ISO}|-) \S{{1,255}} kernel \S{{1,128}} \S{{1,32}} "
        r"(?:-|\[[^\n]{0,256}?\])(?: (?:\ufeff)?|$)",
        "<3>1 2024-03-01T12:00:00.123456+01:00 rock5 kernel - - - ",
    ),
    (
        "facility and severity",
        rf"\bkern\.{_LEVELS}:? (?:kernel(?:\[\d+\])?: ?)?",
        "Jan  1 00:00:12 buildroot kern.err kernel: ",
    ),
    ("journal and syslog", r"\bkernel(?:\[\d+\])?: ?", "May 04 22:10:01 rock5 kernel: "),
    (
        "dmesg -T",
        r"\[[^\[\]]{3,24} \d\d:\d\d:\d\d(?:[.,]\d+)?(?: [AP]M)? \d{4}(?: < *\d+\.\d+>)?\] ?",
        "[Sun Nov  2 23:55:01 2026] ",
    ),
    ("dmesg -d", r"\[ *[+<] *\d+\.\d+>?\] ?", "[<    0.000132>] "),
    ("a torn stamp", r"\[ {0,8}\d{1,6}\.\] ?", "[  345.] "),
    ("dmesg -H", rf"\[{_MONTH} ?\d{{1,2}} \d\d:\d\d\] ?", "[Nov22 23:55] "),
)
"""Prefixes without kernel time that mark a line as the kernel's; searched for anywhere near the beginning, because any
text may precede them. `(?:[A-Z][a-z]{2} …)` and the like are removed with them."""

CLOCKS = _rows(
    ("ISO 8601", rf"(?:(?<=\s)|^)\[?{_ISO}\]? (?:\d\d[OE][ +])?", "2024-03-01T12:00:00.123456Z 01O "),
    ("a time of day", rf"^(?:{_MONTH} [ \d]\d )?\d\d:\d\d:\d\d(?:\.\d{{1,6}})?:? {{1,2}}", "12:00:00.123456  "),
)
"""Time stamps that lines of any program may have."""

_WHEN = (
    rf"(?:<\d{{1,3}}>)?(?:{_MONTH} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?"
    r"|\d{4}-\d\d-\d\dT[\d:.,+-]{8,24}Z?|\[ *\d+\.\d{6}\])"
)
_FACILITIES = r"(?:user|daemon|mail|auth|authpriv|syslog|cron|local\d)"
PROGRAMS = _rows(
    ("syslog", rf"{_WHEN} \S+ (?!kernel\b)[\w./@-]{{1,64}}\[\d+\]: ", "Nov 22 23:55:01 board Xorg[812]: "),
    (
        "logread",
        rf"\[{_MONTH} \d\d \d\d:\d\d:\d\d\] (?!kern\b)\w+ [\w./@-]{{1,64}}\[\d+\]: ",
        "[Feb 09 10:20:45] daemon phosh[2211]: ",
    ),
    (
        "RFC 5424",
        rf"<\d{{1,3}}>1 (?:{_ISO}|-) \S{{1,255}} (?!kernel )\S{{1,48}} \S{{1,128}} \S{{1,32}} (?:-|\[)",
        "<30>1 2024-03-01T12:00:00Z rock5 systemd 1 - - ",
    ),
    (
        "dmesg -x, busybox, Talos",
        rf"(?:[^\s\[]\S* +){{0,5}}{_FACILITIES}(?: {{0,6}}: {{0,8}}|\.){_LEVELS}\b",
        "user  :notice: ",
    ),
)
"""Prefixes of lines from programs, including those that systemd and others write to /dev/kmsg."""
PROGRAM_SAYS = re.compile(r"[\w.@/()-]{1,64}\[\d{1,10}\]: ")
"""A message that names a program and its process."""
LEVEL = re.compile(r"<(\d{1,3})>")
CALLER = re.compile(r"\[ {0,6}([TC]\d{1,10})\] ?")
QUOTE = re.compile(r"(?:[>|] ?){1,16}")


def _any(rows: tuple[Dialect, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{row.pattern.pattern})" for row in rows))


_AFTER_STAMP = _any(AFTER_STAMP)
_PROGRAMS = _any(PROGRAMS)


def is_program(text: str) -> bool:
    """Whether a whole line is marked as a program's, not the kernel's."""
    return bool(_PROGRAMS.match(text))


def take_off(text: str, rows: tuple[Dialect, ...]) -> tuple[str, bool]:
    """(`text` without the prefixes in `rows`, each removed once near its beginning; whether there was any)."""
    before = len(text)
    for row in rows:
        if found := row.pattern.search(text, 0, 160):
            text = text[found.end() :]
    return text, len(text) < before


def unquoted(text: str) -> str:
    """A line of a mail without quote marks."""
    found = QUOTE.match(text)
    return text[found.end() :] if found else text


def message_after_stamp(body: str, glued: bool) -> tuple[str, str | None]:
    """(the message, the caller from a vendor's field); `glued`: nothing is between the time stamp and `body`."""
    caller = None
    for _ in range(4):
        if glued and (found := GLUED.match(body)):
            known = CALLER.match(body)
            caller = caller or (known[1] if known else None)
        elif not (found := _AFTER_STAMP.match(body)):
            break
        body, glued = body[found.end() :], not found[0].endswith(" ")
    return body, caller
