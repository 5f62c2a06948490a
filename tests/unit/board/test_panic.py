# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel says about its life, and what only looks so."""

from __future__ import annotations

import pytest

from panthorlab.board.console import ConsoleLine
from panthorlab.board.panic import PanicWatcher
from panthorlab.kmsg.heads import CRASHES, HANGS, OOPSES, crash
from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.records import parse_line
from tests.unit.kmsg.corpus import FIXTURES, Fixture

BOOT = (
    "\rU-Boot SPL 2024.01-rc1 (Jan 01 2026 - 00:00:00 +0000)",
    "U-Boot 2024.01 (Jan 01 2026 - 00:00:00 +0000)",
    "Starting kernel ...",
    "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x412fd050]",
    "[    0.000000] Linux version 6.12.1 (a@b) (gcc 12) #1 SMP",
    "[    1.234567] Run /sbin/init as init process",
)
NULL_POINTER = "[    9.000000] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010"


def watch(*texts: str) -> PanicWatcher:
    watcher = PanicWatcher()
    for time, text in enumerate(texts):
        watcher(ConsoleLine(time, text.encode()))
    return watcher


def test_one_boot() -> None:
    seen = watch(*BOOT, "Linux version 6.12.1 (cat /proc/version)", "I like U-Boot 2024.01")
    assert (seen.firmware, seen.kernel_started, seen.rebooted) == (1, 3, None)
    assert seen.panic is seen.oops is seen.hang is None


@pytest.mark.parametrize("second", [BOOT, BOOT[1:], BOOT[3:], BOOT[4:]])
def test_a_silent_reboot(second: tuple[str, ...]) -> None:
    seen = watch(*BOOT, "login:", *second)
    assert seen.rebooted == len(BOOT) + 1
    assert seen.panic is None
    assert seen.kernel_started == 3


def test_without_time_stamps_or_with_callers() -> None:
    assert watch("Booting Linux on physical CPU 0x0").kernel_started == 0
    assert watch("[    0.000000][    T0] Linux version 6.12.1").kernel_started == 0
    assert watch("[    0.000000] [    T0] Linux version 6.12.1").kernel_started == 0


def test_first_panic_and_oops_count() -> None:
    told: list[str] = []
    watcher = PanicWatcher(lambda: told.append("panic"))
    for time, text in enumerate((
        NULL_POINTER,
        "[    9.000001] Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP",
        "[    9.100000] Kernel panic - not syncing: Oops: Fatal exception",
        "[    9.200000] ---[ end Kernel panic - not syncing: Oops: Fatal exception ]---",
        "[    9.300000] Kernel panic - not syncing: again",
    )):  # fmt: skip
        watcher(ConsoleLine(time, text.encode()))
    assert watcher.panic == "Oops: Fatal exception"
    assert watcher.panic_time == 2
    assert watcher.oops == NULL_POINTER
    assert told == ["panic"]


@pytest.mark.parametrize(
    "text",
    [
        "INFO: task kworker/0:1:12 blocked for more than 120 seconds.",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:123]",
        "watchdog: Watchdog detected hard LOCKUP on cpu 1",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 65 root: 0x2/.",
    ],
)
def test_hangs(text: str) -> None:
    line = f"[   99.000000] {text}"
    assert watch(line, "INFO: task a:1 blocked for more than 1 seconds").hang == line


def test_an_oops_is_no_panic() -> None:
    assert watch("[ 1.000000] kernel BUG at mm/slub.c:1!").oops
    assert watch("[ 1.000000] Kernel panic - not syncing: Oops: x").oops is None


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_no_crash_is_seen_that_a_log_is_not_labelled_with(fixture: Fixture) -> None:
    wanted = {Kind(item.kind) for item in fixture.findings}
    seen = watch(*fixture.log.decode("utf-8", "replace").splitlines())
    assert (seen.panic is None) or Kind.PANIC in wanted
    assert (seen.oops is None) or wanted & OOPSES
    assert (seen.hang is None) or wanted & HANGS


def test_every_crash_that_a_log_is_labelled_with_is_seen() -> None:
    """What blames the kernel for a lost board is what findings are made of."""
    missed = set()
    for fixture in FIXTURES:
        wanted = {Kind(item.kind) for item in fixture.findings} & CRASHES
        seen = watch(*fixture.log.decode("utf-8", "replace").splitlines())
        if wanted and not (seen.panic or seen.oops or seen.hang):
            missed.add(fixture.name)
    assert not missed


@pytest.mark.parametrize(
    "text",
    [
        "Internal error: Oops - Undefined instruction: 0000000002000000 [#1] PREEMPT SMP",
        "Internal error: SP/PC alignment exception: 000000008a000000 [#1] SMP",
        "Internal error: : 1008 [#1] PREEMPT SMP ARM",
        "Oops [#1]",
        "Kernel BUG [#1]",
        "BUG: unable to handle page fault for address: ffff888000000000",
        "BUG: KASAN: slab-use-after-free in panthor_vm",
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP",
    ],
)
def test_oopses(text: str) -> None:
    assert watch(f"[    5.000000] {text}").oops
    assert watch(text).oops
    assert any(anchor in text.encode() for anchor in PanicWatcher.anchors)


@pytest.mark.parametrize(
    "text",
    [
        "INFO: task a:1 is blocked on a mutex likely owned by task b:2.",
        "glmark2: page allocation failure: order:9",
        'irq 5: nobody cared (try booting with the "irqpoll" option)',
        "WARNING: CPU: 0 PID: 1 at a.c:1 b+0x0/0x4",
        "Unhandled fault: external abort on non-linefetch (0x1008) at 0xf0a10020",
        "echo BUG: no bug here",
        "bug [#1234]",
    ],
)
def test_no_crash(text: str) -> None:
    for line in (text, f"[    5.000000] {text}"):
        assert all(crash(record) is None for record in parse_line(line.encode(), 1))


def test_a_panic_after_a_prompt_and_one_that_is_typed() -> None:
    assert watch("root@board:~# Kernel panic - not syncing: x").panic == "x"
    assert watch("root@board:~# dmesg | grep -e Kernel panic - not syncing: x").panic is None
    assert watch('root@board:~# dmesg | grep "Kernel panic - not syncing"').panic is None


@pytest.mark.parametrize(
    "before", ["", "\x1b[0m", "\x1b[0;32m[    5.000000] ", "[    5.000000] \x1b[31m", "<0>[    5.000000] ", "\r"]
)
def test_a_panic_with_what_terminals_add(before: str) -> None:
    assert watch(f"{before}Kernel panic - not syncing: x\x1b[0m\r").panic == "x"
