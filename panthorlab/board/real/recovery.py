# SPDX-License-Identifier: GPL-2.0-or-later
"""Recovery of a board whose kernel died or hangs: least destructive step first, evidence before power, power last.

    splat → sysrq t w l → warm reset → pstore → power cycle → known-good kernel

A power cycle loses RAM and with it the ramoops records; so these are read first, in the boot after a *warm* reset.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath
from typing import Final

from panthorlab.board.api import RemoteFileError
from panthorlab.board.panic import FIRST_WORDS
from panthorlab.board.real.command_line import PANIC_TIMEOUT
from panthorlab.board.real.known_good import await_known_good, power_cycle
from panthorlab.board.real.parts import Rig, SecureShell, Wreck
from panthorlab.board.real.watch import Watch
from panthorlab.errors import LabError
from panthorlab.kernel.model import Kernel
from panthorlab.spawn import run as run_program

SYSRQ_KEYS: Final = {
    "9": "print all of this",  # raise the console log level above that of sysrq's output
    "t": "all tasks",
    "w": "blocked tasks",
    "l": "backtraces of all CPUs",
}
QUIET: Final = 3.0
"""Seconds without a byte after which a splat counts as complete."""
_SYSRQ_ANSWER: Final = 10.0
_SYSRQ_TIME: Final = 20.0
_RESET_TIME: Final = 30.0
_MAX_PSTORE: Final = 1 << 20
_PSTORE_CONSOLE: Final = "CONFIG_PSTORE_CONSOLE=y"
_CONSOLE_SIZE: Final = "/sys/module/ramoops/parameters/console_size"
_PRINTED: Final = 3
"""Log level that consoles print, including pstore's."""
_CRASH: Final = "pstore/dmesg-"
_CONSOLE: Final = "pstore/console-"


class BoardCondition(Enum):
    """The state in which recovery finds a board."""

    WELL = "its kernel runs and answers"
    RESETS = "its kernel has panicked, and resets it by itself"
    RESET = "it has been reset already"
    HANGS = "it does not answer"
    OFF = "it has no power"


@dataclass
class _Log:
    """Running record of recovery's steps and findings."""

    rig: Rig
    steps: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def step(self, what: str) -> None:
        self.steps.append(what)
        self.rig.progress(f"recovery: {what}")


def recover(rig: Rig, watch: Watch, state: BoardCondition, shell: SecureShell | None) -> Wreck:
    """Bring the board back to its known-good system, and save evidence on the way.

    `shell`: a connection that may still work; it is closed. Everything found is also written to
    `rig.log_dir/recovery/`.
    """
    log = _Log(rig)
    if state is BoardCondition.WELL:
        if shell is not None:
            shell.close()
        return Wreck(texts={}, steps=(), healthy=True, tail=watch.tail())
    if state in (BoardCondition.RESETS, BoardCondition.HANGS):
        _await_quiet(rig, PANIC_TIMEOUT if state is BoardCondition.RESETS else QUIET)
    answers = _collect_sysrq(log, shell) if state is BoardCondition.HANGS else False
    tail = watch.tail()
    back, harvested = None, False
    if state is BoardCondition.RESET or (
        state is not BoardCondition.OFF and _warm_reset(log, watch, state, shell, interrupts=answers)
    ):
        back = _attempt(log, "wait for the known-good kernel", lambda: await_known_good(rig))
        if back is not None:
            harvested = _harvest(log, back)
    if shell is not None:
        shell.close()
    if back is None:
        back = _attempt(log, "power cycle", lambda: _power_cycled(rig))
    healthy = back is not None
    if back is not None:
        back.close()
    kept = any(name.startswith((_CRASH, _CONSOLE)) for name in log.texts)
    _save(log)
    return Wreck(
        texts=dict(log.texts),
        steps=tuple(log.steps),
        healthy=healthy,
        tail=tail,
        lost_power=state is BoardCondition.RESET and watch.marked and harvested and not kept,
    )


def _power_cycled(rig: Rig) -> SecureShell:
    power_cycle(rig)
    return await_known_good(rig)


def _attempt(log: _Log, what: str, action: Callable[[], SecureShell]) -> SecureShell | None:
    log.step(what)
    try:
        return action()
    except LabError as error:
        log.step(f"failed: {str(error).splitlines()[0]}")
        return None


def _await_quiet(rig: Rig, limit: float) -> None:
    """Wait until the console has been silent for a moment, to get the rest of a splat."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and time.monotonic() - rig.console.last_byte < QUIET:
        rig.console.wait_for(lambda _line: True, QUIET, since=time.monotonic())


# -- sysrq ------------------------------------------------------------------------------------------------------


def answers_sysrq(rig: Rig, key: str) -> bool | None:
    """Whether an otherwise unreachable kernel still handles interrupts; None if the console cannot send sysrq."""
    if rig.file.recovery.sysrq != "break" or not rig.console.can_break:
        return None
    since = time.monotonic()
    try:
        rig.console.sysrq(key)
    except LabError:
        return None
    return _sysrq_answer(rig, since, _SYSRQ_ANSWER)


def _sysrq_answer(rig: Rig, since: float, limit: float) -> bool:
    return rig.console.wait_for(lambda line: b"sysrq" in line.text.lower(), limit, since=since) is not None


def _collect_sysrq(log: _Log, shell: SecureShell | None) -> bool:
    """Have a kernel that hangs dump its tasks. Returns whether it responded."""
    console = log.rig.console.log
    start = console.stat().st_size
    answered = False
    for key, what in SYSRQ_KEYS.items():
        since = time.monotonic()
        try:
            _sysrq(log.rig, shell, key)
        except LabError as error:
            log.step(f"sysrq is impossible: {str(error).splitlines()[0]}")
            break
        answered = _sysrq_answer(log.rig, since, _SYSRQ_TIME if answered else _SYSRQ_ANSWER)
        log.step(f"sysrq-{key} ({what}){'' if answered else ': no answer'}")
        if not answered:
            break  # a kernel that does not even take an interrupt will not take the next one either
        _await_quiet(log.rig, _SYSRQ_TIME)
    with console.open("rb") as file:
        file.seek(start)
        log.texts["sysrq"] = file.read().decode("utf-8", "replace")
    return answered


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


# -- warm reset -------------------------------------------------------------------------------------------------


def _warm_reset(log: _Log, watch: Watch, state: BoardCondition, shell: SecureShell | None, *, interrupts: bool) -> bool:
    """Reset without losing RAM: by itself after a panic, by the reset line, by sysrq-b. True once firmware speaks."""
    for what, action, since in _resets(log.rig, watch, state, shell, interrupts=interrupts):
        log.step(what)
        try:
            action()
        except LabError as error:
            log.step(f"failed: {str(error).splitlines()[0]}")
            continue
        limit = _RESET_TIME + (PANIC_TIMEOUT if state is BoardCondition.RESETS else 0)
        if log.rig.console.wait_for(lambda line: bool(FIRST_WORDS.search(line.text)), limit, since=since):
            return True
        log.step(f"no word of the firmware within {limit:g} s")
    return False


def _resets(
    rig: Rig, watch: Watch, state: BoardCondition, shell: SecureShell | None, *, interrupts: bool
) -> Iterator[tuple[str, Callable[[], None], float]]:
    """(description, action, host time since which firmware output counts) of each way to reset."""
    if state is BoardCondition.RESETS:
        # The board may be back already, if the panic was noticed late.
        since = watch.panic.panic_time or watch.began
        yield f"wait for the reset that `panic={PANIC_TIMEOUT}` makes", lambda: None, since
    if rig.file.recovery.reset is not None:
        argv = rig.file.recovery.reset
        yield "reset line", lambda: _pulse(argv), time.monotonic()
    if state is BoardCondition.HANGS and (interrupts or shell is not None):
        yield "sysrq-b (reset)", lambda: _sysrq(rig, shell, "b"), time.monotonic()


def _pulse(argv: list[str]) -> None:
    """Raises LabError."""
    try:
        done = run_program(argv, timeout=_RESET_TIME)
    except subprocess.TimeoutExpired:
        raise LabError(f"`{shlex.join(argv)}` did not end within {_RESET_TIME:g} s") from None
    except OSError as error:
        raise LabError(f"`{shlex.join(argv)}` cannot be run: {error.strerror}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise LabError(
            f"`{shlex.join(argv)}` failed with status {done.returncode}" + (f": {lines[-1]}" if lines else "")
        )


# -- pstore -----------------------------------------------------------------------------------------------------


def _harvest(log: _Log, shell: SecureShell) -> bool:
    """Save pstore's records and delete them on the board. False if pstore cannot be read, or is not available."""
    rig = log.rig
    if not rig.file.recovery.ramoops:
        return False
    folder = rig.file.recovery.pstore
    try:
        listed = shell.run(["ls", "-1", folder], timeout=rig.file.time_limits.answer)
        if listed.status:
            raise LabError(listed.stderr.decode("utf-8", "replace").strip())
        for name in sorted(listed.stdout.decode("utf-8", "replace").split()):
            path = str(PurePosixPath(folder, name))
            log.texts[f"pstore/{PurePosixPath(name).name}"] = shell.get(path)[:_MAX_PSTORE].decode("utf-8", "replace")
            shell.run(["rm", "-f", path], timeout=rig.file.time_limits.answer)
    except (LabError, RemoteFileError) as error:
        log.step(f"pstore cannot be read: {str(error).splitlines()[0]}")
        return False
    if crashes := sum(key.startswith(_CRASH) for key in log.texts):
        log.step(f"pstore: {crashes} crash record{'s' if crashes > 1 else ''}")
    return True


def forget_crashes(rig: Rig, shell: SecureShell) -> None:
    """Empty pstore, so that later records belong to the kernel that runs now: it may hold crashes of earlier kernels,
    and holds the console of the previous one after every reset."""
    _harvest(_Log(rig), shell)


def mark_memory(rig: Rig, shell: SecureShell, kernel: Kernel) -> bool:
    """Have the running kernel write a mark into memory that survives a reset; returns whether that worked. If the mark
    is missing after a reset, the board has lost power."""
    config = kernel.path / "config"
    if not rig.file.recovery.ramoops or not config.exists() or _PSTORE_CONSOLE not in config.read_text().splitlines():
        return False
    try:
        if int(shell.get(_CONSOLE_SIZE)) <= 0:
            return False
        shell.put(f"<{_PRINTED}>panthorlab: {kernel.key[:16]} runs\n".encode(), "/dev/kmsg")
    except (RemoteFileError, ValueError):
        return False
    return True


def _save(log: _Log) -> None:
    folder = log.rig.log_dir / "recovery"
    for name, text in {**log.texts, "steps": "\n".join(log.steps) + "\n"}.items():
        file = folder / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
