# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done with a board whose kernel died or hangs: least destructive first, evidence before power, power last.

    splat → sysrq t w l → warm reset → pstore → power cycle → known-good kernel

A power cycle loses RAM, and with it what ramoops kept; so the next boot after a *warm* reset is harvested first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from panthorlab.board.api import RemoteFileError
from panthorlab.board.panic import FIRST_WORDS
from panthorlab.board.real.command_line import PANIC_TIMEOUT
from panthorlab.board.real.known_good import await_known_good
from panthorlab.board.real.parts import Rig, SecureShell, Wreck
from panthorlab.errors import LabError
from panthorlab.spawn import run as run_program

SYSRQ_KEYS: Final = {"t": "all tasks", "w": "blocked tasks", "l": "backtraces of all CPUs"}
QUIET: Final = 3.0
"""Seconds without a byte after which a splat counts as told."""
_SYSRQ_TIME: Final = 20.0
_RESET_TIME: Final = 30.0
_MAX_PSTORE: Final = 1 << 20


@dataclass
class _Log:
    """What recovery did and found, as it goes."""

    rig: Rig
    steps: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def step(self, what: str) -> None:
        self.steps.append(what)
        self.rig.progress(f"recovery: {what}")


def recover(rig: Rig, *, panicked: bool, shell: SecureShell | None) -> Wreck:
    """Bring the board back to its known-good system, and save what can be learnt on the way.

    `panicked`: the console told of a panic, so sysrq is pointless and `panic=` resets the board by itself. `shell`: a
    connection that may still work. Everything found is also written to `rig.log_dir/recovery/`.
    """
    log = _Log(rig)
    since = time.monotonic()
    _await_quiet(rig, PANIC_TIMEOUT if panicked else QUIET)
    if not panicked:
        _collect_sysrq(log, shell)
    back = None
    if _warm_reset(log, shell, panicked=panicked, since=since):
        back = _attempt(log, "wait for the known-good kernel", lambda: await_known_good(rig))
        if back is not None:
            _harvest(log, back)
    if back is None:
        back = _attempt(log, "power cycle", lambda: _power_cycled(rig))
    healthy = back is not None
    if back is not None:
        back.close()
    _save(log)
    return Wreck(texts=dict(log.texts), steps=tuple(log.steps), healthy=healthy)


def _power_cycled(rig: Rig) -> SecureShell:
    rig.power.cycle()
    return await_known_good(rig)


def _attempt(log: _Log, what: str, action: Callable[[], SecureShell]) -> SecureShell | None:
    log.step(what)
    try:
        return action()
    except LabError as error:
        log.step(f"failed: {str(error).splitlines()[0]}")
        return None


def _await_quiet(rig: Rig, limit: float) -> None:
    """Until the console has been silent for a moment: the rest of a splat is evidence, too."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and time.monotonic() - rig.console.last_byte < QUIET:
        rig.console.wait_for(lambda _line: True, QUIET, since=time.monotonic())


def _collect_sysrq(log: _Log, shell: SecureShell | None) -> None:
    """Ask a kernel that hangs what its tasks do."""
    console = log.rig.console.log
    start = console.stat().st_size
    for key, what in SYSRQ_KEYS.items():
        since = time.monotonic()
        try:
            _sysrq(log.rig, shell, key)
        except LabError as error:
            log.step(f"sysrq is impossible: {str(error).splitlines()[0]}")
            break
        answer = log.rig.console.wait_for(lambda line: b"sysrq" in line.text.lower(), _SYSRQ_TIME, since=since)
        log.step(f"sysrq-{key} ({what}){'' if answer else ': no answer'}")
        if answer is None:
            break  # a kernel that does not even take an interrupt will not take the next one either
        _await_quiet(log.rig, _SYSRQ_TIME)
    with console.open("rb") as file:
        file.seek(start)
        log.texts["sysrq"] = file.read().decode("utf-8", "replace")


def _sysrq(rig: Rig, shell: SecureShell | None, key: str) -> None:
    way = rig.file.recovery.sysrq
    if way == "break" and rig.console.can_break:
        rig.console.sysrq(key)
    elif way != "none" and shell is not None:
        try:
            shell.put(key.encode(), "/proc/sysrq-trigger")
        except RemoteFileError as error:
            raise LabError(f"/proc/sysrq-trigger: {error}") from error
    elif way == "break":
        raise LabError("the console can send no BREAK", hint="telnet (RFC 2217) or a local tty can")
    else:
        raise LabError("the board answers on no channel that carries sysrq")


def _warm_reset(log: _Log, shell: SecureShell | None, *, panicked: bool, since: float) -> bool:
    """Reset without losing RAM: by itself after a panic, by the reset line, by sysrq-b. True once firmware speaks."""
    for what, action in _resets(log.rig, shell, panicked=panicked):
        log.step(what)
        try:
            action()
        except LabError as error:
            log.step(f"failed: {str(error).splitlines()[0]}")
            continue
        limit = _RESET_TIME + PANIC_TIMEOUT
        if log.rig.console.wait_for(lambda line: bool(FIRST_WORDS.search(line.text)), limit, since=since):
            return True
    return False


def _resets(rig: Rig, shell: SecureShell | None, *, panicked: bool) -> Iterator[tuple[str, Callable[[], None]]]:
    if panicked:
        yield f"wait for the reset that `panic={PANIC_TIMEOUT}` makes", lambda: None
    if rig.file.recovery.reset is not None:
        argv = rig.file.recovery.reset
        yield "reset line", lambda: _pulse(argv)
    if not panicked:
        yield "sysrq-b (reset)", lambda: _sysrq(rig, shell, "b")


def _pulse(argv: list[str]) -> None:
    run_program(argv, timeout=_RESET_TIME)


def _harvest(log: _Log, shell: SecureShell) -> None:
    """Take what pstore kept, and free it for the next crash."""
    rig = log.rig
    if not rig.file.recovery.ramoops:
        return
    folder = rig.file.recovery.pstore
    listed = shell.run(["ls", "-1", folder], timeout=rig.file.time_limits.answer)
    if listed.status:
        log.step(f"pstore cannot be read: {listed.stderr.decode('utf-8', 'replace').strip()}")
        return
    for name in sorted(listed.stdout.decode("utf-8", "replace").split()):
        path = str(PurePosixPath(folder, name))
        log.texts[f"pstore/{PurePosixPath(name).name}"] = shell.get(path)[:_MAX_PSTORE].decode("utf-8", "replace")
        shell.run(["rm", "-f", path], timeout=rig.file.time_limits.answer)
    log.step(f"pstore: {sum(key.startswith('pstore/') for key in log.texts)} records")


def _save(log: _Log) -> None:
    folder = log.rig.log_dir / "recovery"
    for name, text in {**log.texts, "steps": "\n".join(log.steps) + "\n"}.items():
        file = folder / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)



def forget_crashes(rig: Rig, shell: SecureShell) -> None:
    """Empty pstore, so that what is found there later is of the kernel that runs now."""
    _harvest(_Log(rig), shell)
