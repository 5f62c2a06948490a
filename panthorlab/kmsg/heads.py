# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that begin, or name, a kernel report, and which of them mean that the kernel has crashed or hangs.

One table for the findings of a log, the console's watcher, and the decision whether the kernel lost a board.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.records import LogRecord

HANGS: Final = frozenset({Kind.HUNG_TASK, Kind.STALL})
"""The kernel reports that something hangs."""
OOPSES: Final = frozenset({Kind.OOPS, Kind.KASAN})
"""The kernel continues after them if it can, with locks that are never released or corrupt memory."""
CRASHES: Final = OOPSES | HANGS | {Kind.PANIC}
"""After these, any failure of the board is the kernel's fault."""


class Ours(StrEnum):
    """The part of a generic kernel report that must name a Mali driver for the report to be about the GPU."""

    TRACE = "trace"
    HANDLERS = "handlers"
    CLIENT = "client"
    """The process: the driver must have named it as a client before."""


@dataclass(frozen=True, slots=True)
class ReportHead:
    """A line that begins, or names, a kernel report. Group `what` of the pattern is the stable part of the title."""

    kind: Kind
    pattern: re.Pattern[str]
    certain: bool = True
    """False: programs and boot loaders print such lines, too."""
    alone: bool = True
    """False: counts only with the lines after it; alone, the line may be about a user-space program."""
    ours: Ours | None = None
    """The report is a finding only if this part of it names a Mali driver."""


def _heads(
    kind: Kind, *patterns: str, certain: bool = True, alone: bool = True, ours: Ours | None = None
) -> list[ReportHead]:
    return [ReportHead(kind, re.compile(pattern), certain, alone, ours) for pattern in patterns]


CUT_HERE = re.compile(r"-{4,}\[ cut here \]-{2,}|-\[ cut here \]-")

_AFTER_NUMBER = r" (?:PREEMPT|SMP|ARM|THUMB2|KASAN|N?O?PTI|DEBUG_PAGEALLOC|LOCKDEP)"
"""The kernel's configuration, as printed after `[#1]`."""

REPORT_HEADS: tuple[ReportHead, ...] = (
    *_heads(Kind.PANIC, r"Kernel panic - not syncing(?:: (?P<what>.*))?"),
    *_heads(
        Kind.KASAN,
        r"BUG: (?P<what>KASAN: [\w-]+(?:-[\w-]+)*)(?: in (?P<where>[\w.]+))?",
        r"BUG: (?P<what>KFENCE: [\w -]+?)(?: in (?P<where>[\w.]+)\+|$)",
        r"BUG: (?P<what>KMSAN: [\w-]+)(?: in (?P<where>[\w.]+))?",
    ),
    *_heads(
        Kind.LEAK,
        r"kmemleak: \d+ (?P<what>new suspected memory leaks)",
        r"BUG: (?P<what>memory leak)",
        r"(?P<what>unreferenced object) 0x[0-9a-f]+ \(size \d+\)",
    ),
    *_heads(
        Kind.LOCKDEP,
        r"WARNING: (?P<what>possible (?:circular|recursive|irq lock inversion|deadlock)[\w ]*)",
        r"WARNING: (?P<what>inconsistent lock state|suspicious RCU usage|bad unlock balance|held lock freed)",
        r"WARNING: (?P<what>lock held when returning to user space|Nested lock was not taken|bad contention)",
        r"WARNING: (?P<what>(?:HARDIRQ|SOFTIRQ|RECLAIM_FS)[\w-]* -> [\w-]+ lock order detected)",
        r"WARNING: (?P<what>\S+/\d+ still has locks held)",
        r"INFO: (?P<what>(?:HARDIRQ|SOFTIRQ|RECLAIM_FS)[\w-]* -> [\w-]+ lock order detected)",
        r"INFO: (?P<what>possible [\w ]*(?:lock|dependency)[\w ]*|inconsistent lock state)",
        r"INFO: (?P<what>trying to register non-static key|suspicious RCU usage)",
        r"(?:\[ )?BUG: (?P<what>Invalid wait context|bad unlock balance|held lock freed|lock held when)",
        r"BUG: (?P<what>key) \S+ has not been registered!|BUG: (?P<where>MAX_LOCKDEP_\w+|MAX_LOCK_DEPTH) too low",
        r"BUG: \S{1,40}/\d+ (?P<what>still has locks held)",
    ),
    *_heads(Kind.HUNG_TASK, r"INFO: (?P<what>task) (?P<where>.{1,40}?):\d+ blocked (?:for more than|in)"),
    *_heads(
        Kind.STALL,
        r"INFO: (?P<what>rcu_\w+) (?:self-)?detected (?:expedited )?stalls?",
        r"BUG: (?P<what>soft lockup|workqueue lockup)",
        r"(?i:Watchdog detected) (?P<what>hard LOCKUP)",
    ),
    *_heads(
        Kind.WARNING,
        r"WARNING: CPU: \d+ PID: \d+ at (?:\[(?P<what>.*)\] )?(?P<file>\S+?):\d+(?: (?P<where>[\w.]+)\+0x)?",
        r"WARNING: CPU: \d+ PID: \d+ at (?P<where>[\w.]+)\+0x",
        r"WARNING: (?:\[(?P<what>.*)\] )?(?P<file>\S+\.(?:[chS]|rs)):\d+ at (?P<where>[\w.]+)\+0x",
        r"(?P<what>UBSAN: [\w-]+)(?: in (?P<file>\S+?):\d+)?",
        r"BUG: (?P<what>sleeping function called from invalid context|scheduling while atomic)",
        r"BUG: (?P<what>using (?:__this_cpu|smp_processor_id)\S*)",
        r"BUG: (?P<what>KCSAN: [\w-]+)(?: in (?P<where>[\w.]+))?",
        r"WARNING: (?P<what>stack recursion|kernel stack regs|kernel not supported)",
    ),
    *_heads(
        Kind.OOPS,
        r"(?P<what>kernel BUG) at (?P<file>\S+?):\d+",
        r"BUG: (?P<what>unable to handle (?:page fault|kernel [\w -]*?))(?: for address| at |: |$)",
        r"(?P<what>Unable to handle kernel [\w -]*?)(?: at\b|$)",
        r"(?P<what>Unhandled fault) at 0x",
        # arm64: Oops, Oops - BTI, SP/PC alignment exception …; 32-bit Arm also has no name, or PREEMPT SMP ARM after it
        r"(?P<what>Internal error:(?: [A-Za-z][^\[\]:]*)?)(?: ?: ?[0-9a-f]*)? ?\[#\d+\]",
        r"(?P<what>Internal error: (?:Oops|SP/PC alignment)[^\[\]:]*?)(?:: ?[0-9a-f]*)?\s*$",  # a mailer wrapped it
        r"(?:Oops: )?(?P<what>general protection fault|divide[ _]error|invalid opcode|stack segment|int3"
        r"|double fault|Oops(?: - [\w/ ()-]+)?)(?![\w-]).*?\[#\d+\]",
        r"(?P<what>[Kk]ernel (?:BUG|bug)[\w ]*?|Unhandled kernel [\w ]+?|Kernel [a-z][\w ]*?) ?\[#\d{1,3}\](?=:?\s*$)",
        rf"(?:(?P<what>[A-Za-z][A-Za-z _-]{{2,40}})(?:[:,][^\[\]]{{0,40}})? ?)?\[#\d{{1,3}}\](?={_AFTER_NUMBER})",
        r"BUG:? (?P<what>Bad page \w+|Bad rss-counter state|spinlock \w+|workqueue leaked)",
        r"BUG (?P<what>[\w-]+) \([^)]*\): ",
    ),
    *_heads(Kind.OOPS, r"(?P<what>Unhandled fault): ", alone=False),
    *_heads(
        Kind.WARNING,
        r"irq \d+: (?P<what>nobody cared)",
        r"irq event \d+: (?P<what>bogus return value)",
        ours=Ours.HANDLERS,
    ),
    *_heads(
        Kind.WARNING,
        r"(?P<what>page allocation failure)(?:: |\. )order:",
        r"(?P<what>invoked oom-killer): ",
        ours=Ours.TRACE,
    ),
    *_heads(
        Kind.WARNING,
        r"(?:Out|Memory cgroup out) of memory: (?P<what>Killed process|Kill process) (?P<victim>\d+) ",
        ours=Ours.CLIENT,
    ),
    *_heads(Kind.OOPS, r"BUG: (?P<what>[A-Za-z][\w ,'-]{2,60})", certain=False),
)
"""Order matters: the specific before the general."""

CRASH_HINTS: Final = (
    "BUG", "INFO: ", "nable to handle", "Internal error", "Kernel panic", "[#", "Unhandled fault", "LOCKUP",
)  # fmt: skip
"""A line with none of these reports no crash."""
HEAD_HINTS: Final = (
    *CRASH_HINTS, "WARNING: ", "UBSAN", "kmemleak: ", "unreferenced object", "nobody cared", "bogus return value",
    "page allocation failure", "invoked oom-killer", "ut of memory: Kill",
)  # fmt: skip
"""A line with none of these is no head."""

LOCK_OWNER = re.compile(r"INFO: task .{1,80}? (?:is )?blocked on an? [\w-]*(?:mutex|semaphore)")
"""The second line of a hung task since 6.16; the trace of the lock's owner may follow."""
FAULTS: Final = (
    "NULL pointer dereference", "paging request", "read from unreadable memory", "write to read-only memory",
    "execute from non-executable memory", "access to user memory outside uaccess routines",
    "access to user memory without uaccess routines",
)  # fmt: skip
"""The words after `Unable to handle kernel`, on arm64, 32-bit Arm and RISC-V."""
CONTINUES_OOPS = re.compile(r"Internal error: |Oops|.*\[#\d+\]|BUG: unable to handle|Unable to handle|kernel BUG at")
"""Heads that a report which is already an oops absorbs: the kernel names one oops two or three times."""


def find_head(text: str) -> tuple[ReportHead, re.Match[str]] | None:
    """The report that a line names, if any."""
    if not _HINT.search(text):
        return None
    for head in REPORT_HEADS:
        found = head.pattern.search(text, 0, 1024)
        if found and (_DIED.search(found[0]) or not _NOT_OURS_BEFORE.search(text[: found.start()][-1:])):
            return head, found
    return None


def begins_line(head: ReportHead, found: re.Match[str]) -> bool:
    """Whether a line that nothing marks as the kernel's still begins like a kernel message."""
    return head.certain and bool(_BEFORE_HEAD.fullmatch(found.string, 0, found.start()))


def crash(record: LogRecord) -> tuple[Kind, str] | None:
    """The crash or hang that one record reports, as (one of `CRASHES`, title); None if it reports none."""
    match = find_head(record.text)
    if match is None or record.facility:
        return None
    head, found = match
    if head.kind not in CRASHES or not (head.certain and head.alone):
        return None
    if record.bare and not (begins_line(head, found) or _PROMPT.fullmatch(found.string, 0, found.start())):
        return None  # a command or prose that mentions one
    return head.kind, found.groupdict().get("what") or ""


_BEFORE_HEAD = re.compile(r"\s*(?:(?:NMI )?watchdog: |rcu: |---\[ end |\[ )?")
_PROMPT = re.compile(r"\S{0,64}[#$>] ")
_HINT = re.compile("|".join(map(re.escape, HEAD_HINTS)))
_NOT_OURS_BEFORE = re.compile(r"[\w\"'=/.-]$")
_DIED = re.compile(r"\[#\d+\]$")
