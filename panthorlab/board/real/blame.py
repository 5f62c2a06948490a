# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a board no longer responds. The kernel is at fault only if the lab is shown to work.

The proof is the known-good kernel: if it boots on the same board, through the same console, power and network, then the
kernel under test was at fault. Two observations contradict this: a kernel that still responds on the console (the
network is suspect), and memory that is empty after a silent reset (the power is suspect).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from panthorlab.board.api import RemoteFileError
from panthorlab.board.lab import quarantine
from panthorlab.board.real.parts import RefusedError, Rig, SecureShell
from panthorlab.board.real.recovery import BoardCondition, answers_sysrq, recover
from panthorlab.board.real.watch import Watch
from panthorlab.errors import BootError, LabError, PanthorlabError

BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_RECONNECT: Final = 5.0
HANG_TIME: Final = 45.0
"""Seconds within which a kernel reports its own hang (soft lockup: 20 s, RCU stall: 21 s)."""


@dataclass(frozen=True)
class Cause:
    """Why a board was lost. `shell`: a new connection, if there is one."""

    error: PanthorlabError
    state: BoardCondition
    shell: SecureShell | None = None


def why_silent(rig: Rig, watch: Watch, boot_id: str) -> Cause:
    """Why the connection to a board that ran `boot_id` is lost."""
    deadline = time.monotonic() + HANG_TIME * rig.file.time_limits.slowness
    interrupts = None
    while True:
        if (cause := cause_on_console(rig, watch)) is not None:
            return cause
        if _is_off(rig):
            return Cause(
                LabError(
                    f"board {rig.name} has no power: somebody or something has switched it off",
                    hint="who else uses its power switch?",
                ),
                BoardCondition.OFF,
            )
        try:
            return _reached(rig, rig.connect(_RECONNECT), boot_id)
        except RefusedError as error:
            return Cause(error, BoardCondition.HANGS)
        except LabError:
            if interrupts is None:
                interrupts = answers_sysrq(rig, "h")
        if not interrupts and interrupts is not None:
            break
        if time.monotonic() > deadline:
            break
    cause = cause_on_console(rig, watch)  # it may have come during the last attempt
    return cause or Cause(_mute(rig, watch, interrupts=interrupts), BoardCondition.HANGS)


def cause_on_console(rig: Rig, watch: Watch) -> Cause | None:
    """The cause shown by the console output of the kernel, or of the firmware after it."""
    panic = watch.panic
    if panic.panic is not None:
        return Cause(BootError(f"kernel panic: {panic.panic}"), BoardCondition.RESETS)
    if panic.rebooted is not None:
        return Cause(BootError(f"board {rig.name} reset by itself, without a word of panic"), BoardCondition.RESET)
    if panic.hang is not None:
        return Cause(BootError(f"board {rig.name} hangs: {panic.hang}"), BoardCondition.HANGS)
    return None


def _is_off(rig: Rig) -> bool:
    try:
        return rig.power.state() is False
    except LabError:  # an unreadable switch is dealt with when it is needed
        return False


def _reached(rig: Rig, shell: SecureShell, boot_id: str) -> Cause:
    now = read_boot_id(shell)
    if now == boot_id:
        return Cause(
            LabError(
                f"the SSH connection to board {rig.name} was lost, though the board is well",
                hint="look after the network between here and the board",
            ),
            BoardCondition.WELL,
            shell,
        )
    error = BootError(f"board {rig.name} has rebooted by itself (boot-id {now}, was {boot_id})")
    return Cause(error, BoardCondition.RESET, shell)


def _mute(rig: Rig, watch: Watch, *, interrupts: bool | None) -> PanthorlabError:
    """The error for lost SSH without known cause. If the kernel still responds on its console, the network failed."""
    after = f" after an oops: {watch.panic.oops}" if watch.panic.oops else ""
    if interrupts and not after:
        return LabError(
            f"board {rig.name} answers on its console, but not over SSH",
            hint="look after the network between here and the board",
        )
    if (complaint := rig.console.complaint()) is not None and rig.console.outages and not after:
        return LabError(
            f"board {rig.name} does not answer SSH, and {complaint}",
            hint="look after the console server and the network between here and the board",
        )
    return BootError(f"board {rig.name} answers neither SSH nor the console{after}")


def settle(rig: Rig, cause: Cause, watch: Watch) -> PanthorlabError:
    """Recover the board, and decide by the result whether `cause` is the kernel's fault. The returned error includes
    recovery's findings."""
    error = cause.error
    wreck = recover(rig, watch, cause.state, cause.shell)
    text = f"{error}\nLast on the console:\n{wreck.tail}"
    where = f"recovery: {'; '.join(wreck.steps) or 'not needed'}. Logs of this boot: {rig.log_dir}"
    if wreck.lost_power and isinstance(error, BootError):
        error = LabError(
            f"board {rig.name} lost its power: it reset without a word, and then its memory was empty",
            hint="look after the power supply and the switch; who else uses the board?",
        )
        text = f"{error}\nLast on the console:\n{wreck.tail}"
    if wreck.healthy:
        return (
            BootError(text, hint=where)
            if isinstance(error, BootError)
            else LabError(text, hint=f"{error.hint}. {where}" if error.hint else where)
        )
    reason = f"does not come back to its known-good kernel ({wreck.steps[-1] if wreck.steps else 'no step worked'})"
    quarantine(rig.name, reason)
    return LabError(
        f"board {rig.name} {reason}; before that: {text}",
        hint=f"it is quarantined: look after it, then `panthorlab boards train {rig.name}`. {where}",
    )


def read_boot_id(shell: SecureShell) -> str:
    """Raises LabError."""
    try:
        return shell.get(BOOT_ID).decode("ascii", "replace").strip()
    except RemoteFileError as error:
        raise LabError(f"the board's boot-id cannot be read: {error}") from error
