# SPDX-License-Identifier: GPL-2.0-or-later
"""The known-good system that a board boots by itself: connect to it, restart into it, and recognise it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from panthorlab.board.api import RemoteFileError, Shell
from panthorlab.board.panic import FIRST_WORDS
from panthorlab.board.real.command_line import marked
from panthorlab.board.real.parts import RefusedError, Rig, SecureShell
from panthorlab.errors import LabError

_REBOOT_TIMEOUT: Final = 30.0
_QUICK: Final = 10.0


def bring_up(rig: Rig) -> SecureShell:
    """A connection to the known-good system; the board is restarted into it if something else runs. Raises LabError."""
    shell = running(rig, _QUICK)
    if shell is None:
        power_cycle(rig)
    else:
        why_not = unsuitable(shell, rig)
        if why_not is None:
            return shell
        rig.progress(f"restart: {why_not}")
        restart(rig, shell)
    return await_known_good(rig)


def power_cycle(rig: Rig) -> None:
    """Power cycle the board and wait for its first output. Raises LabError."""
    rig.progress("power cycle")
    since = time.monotonic()
    rig.power.cycle()
    limit = rig.file.time_limits.power
    if rig.console.wait_for(lambda _line: True, limit, since=since) is None:
        raise LabError(
            f"board {rig.name} says nothing on its console within {limit:g} s of power-on",
            hint=rig.console.complaint() or "does it get power, is it broken, or its console cable?",
        )


def await_known_good(rig: Rig) -> SecureShell:
    """Connect to the known-good system of a board that is just being restarted. Raises LabError."""
    limits = rig.file.time_limits
    shell = rig.connect(limits.power + limits.uboot + limits.kernel + limits.ssh)
    why_not = unsuitable(shell, rig)
    if why_not is not None:
        shell.close()
        raise LabError(
            f"board {rig.name} does not come back to its known-good system: {why_not}",
            hint="what does it boot by itself? see docs/rock-5b.md, step 3",
        )
    rig.progress("known-good kernel")
    return shell


def unsuitable(shell: Shell, rig: Rig) -> str | None:
    """Why the running kernel is not the known-good one; None if it is."""
    found = marked(shell.get("/proc/cmdline").decode("utf-8", "replace"))
    if found is not None:
        return f"a kernel under test runs ({found})"
    release = shell.get("/proc/sys/kernel/osrelease").decode("ascii", "replace").strip()
    if rig.file.known_good is not None and release != rig.file.known_good:
        return f"it runs {release}, the board file wants `known_good: {rig.file.known_good}`"
    return None


def restart(rig: Rig, shell: SecureShell) -> None:
    """Restart a board that responds over SSH: orderly, else by sysrq, else by power. Closes the connection."""
    for way in (_orderly, _by_sysrq):
        since = time.monotonic()
        with suppress(LabError):  # the board may be gone before it responds: the console shows it
            way(shell)
        if rig.console.wait_for(lambda line: bool(FIRST_WORDS.search(line.text)), _REBOOT_TIMEOUT, since=since):
            shell.close()
            return
    shell.close()
    rig.progress("the board does not restart by itself")
    power_cycle(rig)


def running(rig: Rig, timeout: float) -> SecureShell | None:
    """A connection to the running system; None if nothing can be reached."""
    if rig.power.state() is False:
        return None
    try:
        return rig.connect(timeout)
    except RefusedError:
        raise
    except LabError:
        return None


def _orderly(shell: SecureShell) -> None:
    shell.run(["sync"], timeout=_REBOOT_TIMEOUT)
    shell.run(["reboot"], timeout=_QUICK)


def _by_sysrq(shell: SecureShell) -> None:
    try:
        shell.put(b"b", "/proc/sysrq-trigger")
    except RemoteFileError as error:
        raise LabError(f"sysrq is not to be had: {error}") from error
