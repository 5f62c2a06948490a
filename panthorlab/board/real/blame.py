# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose fault is it that a board no longer answers? The kernel's only if the lab is shown to be well.

The proof is the known-good kernel: if it comes back on the same board, through the same console, power and network,
then what did not answer was the kernel under test.
"""

from __future__ import annotations

import time
from typing import Final

from panthorlab.board.api import RemoteFileError
from panthorlab.board.lab import quarantine
from panthorlab.board.panic import PanicWatcher
from panthorlab.board.real.parts import Rig, SecureShell
from panthorlab.board.real.recovery import recover
from panthorlab.errors import BootError, LabError, PanthorlabError

BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_RECONNECT: Final = 15.0
_SYSRQ_ANSWER: Final = 10.0


def why_silent(rig: Rig, watch: PanicWatcher, boot_id: str) -> tuple[PanthorlabError, SecureShell | None]:
    """What became of a board that ran `boot_id` and whose connection is lost; with a new connection, if there is."""
    if watch.panic is not None:
        return BootError(f"kernel panic: {watch.panic}"), None
    if watch.rebooted is not None:
        return BootError(f"board {rig.name} reset by itself, without a word of panic"), None
    try:
        shell = rig.connect(_RECONNECT)
        now = shell.get(BOOT_ID).decode("ascii", "replace").strip()
    except LabError:
        return _mute(rig, watch), None
    if now == boot_id:
        return LabError(f"the SSH connection to board {rig.name} was lost, though the board is well",
                        hint="look after the network between here and the board"), shell
    return BootError(f"board {rig.name} has rebooted by itself (boot-id {now}, was {boot_id})"), shell


def _mute(rig: Rig, watch: PanicWatcher) -> PanthorlabError:
    """No SSH. If the kernel still answers on its console, it is the network that has gone."""
    after = f" after an oops: {watch.oops}" if watch.oops else ""
    if rig.file.recovery.sysrq == "break" and rig.console.can_break:
        since = time.monotonic()
        rig.console.sysrq("h")
        if rig.console.wait_for(lambda line: b"sysrq" in line.text.lower(), _SYSRQ_ANSWER, since=since):
            if after:
                return BootError(f"board {rig.name} can no longer be reached by SSH{after}")
            return LabError(f"board {rig.name} answers on its console, but not over SSH",
                            hint="look after the network between here and the board")
    return BootError(f"board {rig.name} answers neither SSH nor the console{after}")


def settle(rig: Rig, error: PanthorlabError, *, watch: PanicWatcher, shell: SecureShell | None) -> PanthorlabError:
    """Recover the board, and with that decide whether `error` may stand as the kernel's fault. What recovery learnt is
    part of the error that is returned."""
    wreck = recover(rig, panicked=watch.panic is not None, shell=shell)
    told = f"{error}\nLast on the console:\n{rig.console.tail()}"
    where = f"recovery: {'; '.join(wreck.steps)}. Logs of this boot: {rig.log_dir}"
    if wreck.healthy:
        return BootError(told, hint=where) if isinstance(error, BootError) else LabError(told, hint=error.hint or where)
    reason = f"does not come back to its known-good kernel ({wreck.steps[-1] if wreck.steps else 'no step worked'})"
    quarantine(rig.name, reason)
    return LabError(f"board {rig.name} {reason}; before that: {told}",
                    hint=f"it is quarantined: look after it, then `panthorlab boards train {rig.name}`. {where}")


def read_boot_id(shell: SecureShell) -> str:
    """Raises LabError."""
    try:
        return shell.get(BOOT_ID).decode("ascii", "replace").strip()
    except RemoteFileError as error:
        raise LabError(f"the board's boot-id cannot be read: {error}") from error
