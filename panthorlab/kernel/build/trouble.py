# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognising failures of the machine, not the source, in the output of a killed, crashed or starved build. Pure.

Compiler messages *about* the source, and source lines quoted in them, may contain any words and are never matched.
Forms: make(1) `job.c`, gcc `gcc.cc` and `diagnostic.cc`, clang `Driver.cpp`, dash `jobs.c`, bash `jobs.c`, binutils
`ldmain.c`, all in the C locale, in which builds run.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class TroubleKind(StrEnum):
    """Kinds of machine failure; the text is for people."""

    DISK = "the disk is full"
    MEMORY = "there was not enough memory"
    MACHINE = "the machine failed"
    TOOL = "a program is missing"
    KILLED = "a program of the build was killed"
    CRASHED = "a program of the build crashed"


@dataclass(frozen=True)
class BuildTrouble:
    """`line`: the one that shows it."""

    kind: TroubleKind
    line: str


# glibc's strerror(3): as the last words of a line they are a failed system call of whatever program.
_ERRNO = {
    "No space left on device": TroubleKind.DISK, "Disk quota exceeded": TroubleKind.DISK,
    "File too large": TroubleKind.DISK, "Cannot allocate memory": TroubleKind.MEMORY,
    "Resource temporarily unavailable": TroubleKind.MEMORY, "Input/output error": TroubleKind.MACHINE,
    "Read-only file system": TroubleKind.MACHINE, "Stale file handle": TroubleKind.MACHINE,
    "Too many open files": TroubleKind.MACHINE, "Too many open files in system": TroubleKind.MACHINE,
    "Structure needs cleaning": TroubleKind.MACHINE, "Transport endpoint is not connected": TroubleKind.MACHINE,
    "Text file busy": TroubleKind.MACHINE,
}  # fmt: skip
_LAST_WORDS = re.compile(rf"(?:^|[\s:'\"(\[])(?P<errno>{'|'.join(map(re.escape, _ERRNO))})['\")\]]?[.!]?$")
_MEMORY = re.compile(
    r"\bout of memory(?: allocating \d+ bytes\b.*|$)|\bvirtual memory exhausted\b|\bmemory exhausted$"
    r"|^LLVM ERROR: out of memory|std::bad_alloc|^MemoryError\b|^\S+: \d+: Cannot fork$|\(not enough memory\)$"
)
# `kill -l` numbers whose sender is somebody else; of the others a program's own mistake is the usual cause.
_FROM_OUTSIDE = frozenset({
    signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU, signal.SIGBUS,
    signal.SIGSTOP, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2,
})  # fmt: skip
_NAMED = {signal.strsignal(number): number for number in signal.valid_signals() if number < signal.SIGRTMIN}
_NAMES = "|".join(re.escape(name) for name in _NAMED if name)
_DUMPED = r"(?: \(core dumped\))?"
_SHELL = (
    re.compile(rf"^(?P<name>{_NAMES}){_DUMPED}$"),  # dash
    re.compile(rf"^\S+: line \d+:\s+\d+ (?P<name>{_NAMES}){_DUMPED}(?:\s.*)?$"),  # bash
)
_SIGNALS = (
    *_SHELL,
    # make and gcc write a line at once; it may be behind the half of a line of another job
    # make, of a recipe; a status above 128 is the shell's, for what ended a command of it
    re.compile(rf"^(?:.*\s)?\S*make(?:\[\d+\])?: \*\*\* \[.*\] (?P<name>{_NAMES}){_DUMPED}$"),
    re.compile(r"^(?:.*\s)?\S*make(?:\[\d+\])?: \*\*\* \[.*\] Error (?P<status>\d+)$"),
    re.compile(rf"^(?:.*\s)?\S+: (?:fatal|internal compiler) error: (?P<name>{_NAMES}) signal terminated program \S+$"),
    re.compile(r"^collect2: (?:fatal )?error: \S+ terminated with signal (?P<number>\d+)\b.*$"),
    re.compile(rf"^\S*clang\S*: error: unable to execute command: (?P<name>{_NAMES}){_DUMPED}$"),
    re.compile(r"^\S*clang\S*: error: .* command failed with exit code (?P<status>\d+) .*$"),
    re.compile(r"^.*\(signal: (?P<number>\d+), SIG\w+.*\)$"),  # cargo
)
_CRASH = re.compile(
    r"^[^\"'|]*: internal compiler error: |^\S*clang\S*: error: (?:clang frontend|linker) command failed due to signal"
    r"|^PLEASE (?:submit|ATTACH)|^error: (?:the compiler unexpectedly panicked|rustc interrupted by SIG)"
    r"|^\S*(?:ld|as|ar|nm|objcopy|strip)\S*: (?:BFD .*)?(?:internal error|assertion fail)"
)
_PIPES = re.compile(r"^\S*make(?:\[\d+\])?: (?:write error: stdout|\*\*\* (?:read|write) job(?:s pipe|server)\b.*)$")
_MISSING = re.compile(
    r"^(?:/bin/)?\S*sh: (?:line )?(?:\d+: )?\S+: (?:command )?not found$"
    r"|^\S+: (?:fatal error: cannot execute|error trying to exec) .*: No such file or directory$"
)
# What a compiler says of the source, and the source it shows; `fatal error` is how it gives up, for whatever reason.
_ABOUT_SOURCE = re.compile(r"^[^\s:]+:\d+:(?:\d+:)? (?:[eE]rror|[wW]arning|note|sorry|Info): |^\s*\d* \| |^\s*[|~^+]")
_TOP_STATUS = 2  # make's own status for "a recipe failed" (GNU make manual, "Running")


def find_trouble(lines: Iterable[str]) -> BuildTrouble | None:
    """The first sign that the machine failed; full disk and memory before the signals and crashes they lead to."""
    found: dict[TroubleKind, BuildTrouble] = {}
    for line in lines:
        if (kind := _kind(line)) is not None:
            found.setdefault(kind, BuildTrouble(kind, line.strip()))
    return next((found[kind] for kind in TroubleKind if kind in found), None)


def killed_outright(lines: Iterable[str]) -> BuildTrouble | None:
    """A signal that ended some program although make was content, as in the middle of a shell's pipeline."""
    line = next((line for line in lines if any(pattern.match(line) for pattern in _SHELL)), None)
    return BuildTrouble(TroubleKind.KILLED, line) if line else None


def by_status(status: int, argv0: str) -> BuildTrouble | None:
    """The failure shown by the command's exit status: make's own status is 2 when a recipe failed."""
    if status in (0, _TOP_STATUS):
        return None
    number = -status if status < 0 else status - 128
    name = signal.strsignal(number) if number in signal.valid_signals() else None
    text = f"{argv0} was ended by signal {number} ({name})" if name else f"{argv0} ended with status {status}"
    return BuildTrouble(TroubleKind.KILLED if name else TroubleKind.MACHINE, text)


def _kind(line: str) -> TroubleKind | None:
    if _ABOUT_SOURCE.match(line):
        return None
    if match := _LAST_WORDS.search(line):
        return _ERRNO[match["errno"]]
    if _MEMORY.search(line):
        return TroubleKind.MEMORY
    for pattern in _SIGNALS:
        if (match := pattern.match(line)) and (number := _number(match.groupdict())):
            if number == signal.SIGXFSZ:
                return TroubleKind.DISK
            return TroubleKind.KILLED if number in _FROM_OUTSIDE else TroubleKind.CRASHED
    if _PIPES.match(line):
        return TroubleKind.MACHINE
    if _CRASH.match(line):
        return TroubleKind.CRASHED
    return TroubleKind.TOOL if _MISSING.match(line) else None


def _number(groups: dict[str, str | None]) -> int:
    """Of the signal that a line names in one way or another; 0 if it is a plain exit status."""
    if name := groups.get("name"):
        return _NAMED[name]
    if number := groups.get("number"):
        return int(number)
    status = int(groups.get("status") or 0)
    return status - 128 if status - 128 in signal.valid_signals() else 0
