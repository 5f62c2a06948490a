# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel says about its life, and what only looks so."""

from __future__ import annotations

import pytest

from panthorlab.board.console import ConsoleLine
from panthorlab.board.panic import PanicWatcher

BOOT = (
    "\rU-Boot SPL 2024.01-rc1 (Jan 01 2026 - 00:00:00 +0000)", "U-Boot 2024.01 (Jan 01 2026 - 00:00:00 +0000)",
    "Starting kernel ...", "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x412fd050]",
    "[    0.000000] Linux version 6.12.1 (a@b) (gcc 12) #1 SMP", "[    1.234567] Run /sbin/init as init process",
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


@pytest.mark.parametrize("text", [
    "INFO: task kworker/0:1:12 blocked for more than 120 seconds.",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:123]",
    "watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 65 root: 0x2/.",
])
def test_hangs(text: str) -> None:
    line = f"[   99.000000] {text}"
    assert watch(line, "INFO: task a:1 blocked for more than 1 seconds").hang == line


def test_an_oops_is_no_panic() -> None:
    assert watch("[ 1.000000] kernel BUG at mm/slub.c:1!").oops
    assert watch("[ 1.000000] Kernel panic - not syncing: Oops: x").oops is None
