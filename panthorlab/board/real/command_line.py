# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel command line of a real board, and the mark that identifies a running kernel under test."""

from __future__ import annotations

from typing import Final

from panthorlab.board.real.file import RealFile
from panthorlab.kernel.model import Kernel

MARK: Final = "panthorlab.kernel="
"""A parameter that the kernel ignores: a kernel booted without it is the board's own known-good one."""
PANIC_TIMEOUT: Final = 10
"""Seconds after a panic until the kernel resets the board by itself: a warm reset keeps what pstore wrote to RAM."""


def mark(kernel: Kernel) -> str:
    return f"{MARK}{kernel.key[:16]}"


def command_line(file: RealFile, kernel: Kernel) -> str:
    """The complete command line. `printk.devkmsg=on`: markers are not rate-limited. The console log level is fixed,
    because printing changes the timing of races."""
    boot = file.boot
    words = [
        f"console={boot.console}",
        "earlycon",
        "printk.devkmsg=on",
        f"loglevel={boot.log_level}",
        f"panic={PANIC_TIMEOUT}",
        *boot.root.split(),
        mark(kernel),
        *boot.command_line.split(),
    ]
    return " ".join(words)


def marked(cmdline: str) -> str | None:
    """The mark in the contents of /proc/cmdline; None for a kernel that is not under test."""
    return next((word for word in cmdline.split() if word.startswith(MARK)), None)
