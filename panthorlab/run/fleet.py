# SPDX-License-Identifier: GPL-2.0-or-later
"""The boards of a run: chosen by `--board` or `--tag`, checked to be comparable, and leased one by one."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.board import config, lab
from panthorlab.board.config import BoardFile, read_board_file
from panthorlab.board.real.file import RealFile
from panthorlab.board.registry import board_files, board_name, find_board_file, open_board
from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.run.record import Settings

DEFAULT: Final = "qemu-g610"
COVERAGE: Final = "coverage"
"""The fragment that `--coverage` needs."""
MARGIN: Final = 1.2
SWITCHING: Final = 120.0
PROGRAM: Final = 120.0
"""Seconds that one iteration may take on the emulated board, with all that may have to be killed after it."""


@dataclass(frozen=True)
class Chosen:
    """Boards by name or path, and what a reader of the result must know about the choice."""

    boards: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patience:
    """How long a board may take: for the longest step without a word, and to be switched on again; seconds."""

    step: float = 0.0
    switching: float = 0.0


@dataclass(frozen=True)
class Lane:
    """One board that takes a run's slots, one after the other. `wait`: seconds to wait for a board that is leased."""

    board: str
    wait: float = 0.0


def choose(options: argparse.Namespace) -> Chosen:
    """The boards that `--board` and `--tag` mean. Raises UsageError, or LabError if none that would do is free."""
    if options.board and options.tag:
        raise UsageError("--board and --tag are two ways to say the same", hint="give one of them")
    chosen = _tagged(options.tag) if options.tag else Chosen(tuple(map(_lasting, options.board or [DEFAULT])))
    names = [board_name(board) for board in chosen.boards]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"--board {twice} is given twice",
                         hint="--jobs runs several copies of an emulated board; a real one is only there once")
    described = _described(chosen.boards)
    for board, file in described.items():
        config.check_here(board_name(board), file)
        config.check_method(board_name(board), file, options.boot_method)
        open_board(board)
        if isinstance(file, RealFile) and (sick := lab.standing(board_name(board)).quarantine):
            raise lab.QuarantinedError(f"board {board_name(board)} is quarantined: {sick}",
                                       hint=f"mend it, then `panthorlab boards release {board_name(board)}`")
    return chosen


def choose_one(options: argparse.Namespace) -> str:
    """As `choose`, for what needs a single board: of several with a tag, the first."""
    if len(options.board or ()) > 1:
        raise UsageError("a command runs on one board", hint="give --board once")
    return choose(options).boards[0]


def _lasting(board: str) -> str:
    """A path is kept whole: the run may be resumed from elsewhere, and its workers live in directories of their own."""
    return str(find_board_file(board).resolve()) if board.endswith((".yaml", ".yml")) else board


def _tagged(tag: str) -> Chosen:
    free, busy, examples, notes = [], [], [], []
    for name, file in sorted(board_files().items()):
        try:
            described = read_board_file(file)
        except PanthorlabError as error:
            notes.append(f"board {name} is left out: {error}")
            continue
        if tag not in described.tags:
            continue
        if isinstance(described, RealFile) and described.example:
            examples.append(name)
            continue
        now = lab.standing(name) if isinstance(described, RealFile) else None
        if now is None or now.state is lab.State.FREE:
            free.append(name)
        else:
            busy.append(f"board {name} is left out: {now.state} {now.why}")
    if not free and not busy:
        only = f"; only examples have, whose files say no place: {', '.join(examples)}" if examples else ""
        raise UsageError(f"no board has the tag `{tag}`{only}",
                         hint="`panthorlab boards --json` lists boards and their tags")
    if not free:
        raise LabError(f"no board with the tag `{tag}` is free: {'; '.join(busy)}",
                       hint="--board NAME waits for one that is leased")
    return Chosen(tuple(free), (*busy, *notes))


def _described(boards: Sequence[str]) -> dict[str, BoardFile]:
    """Their files; one pair of kernels must do for all of them. Raises UsageError."""
    described = {board: read_board_file(find_board_file(board)) for board in boards}
    needs = {board: (file.arch, *file.kernel_configs) for board, file in described.items()}
    if len(set(needs.values())) > 1:
        told = "; ".join(f"{board_name(board)}: {', '.join(need)}" for board, need in needs.items())
        raise UsageError(f"the boards of one run need the same kernel, but these differ: {told}",
                         hint="make `arch` and `kernel_configs` of their files equal, or start a run for each")
    return described


def check_release(boards: Sequence[str], release: str) -> None:
    """Before anything is built. Raises UsageError if one of the boards can do nothing with a kernel so old."""
    for board, file in _described(boards).items():
        config.check_release(board_name(board), file, release)


def recorded(options: argparse.Namespace, chosen: Chosen) -> dict[str, object]:
    """What a run's options say about its boards: `board` for people, `boards` for resuming."""
    return {"board": ", ".join(map(board_name, chosen.boards)), "boards": list(chosen.boards), "tag": options.tag,
            "boot_method": options.boot_method, "wait": options.wait}


def lanes(settings: Settings) -> list[Lane]:
    """A lane for each board; for an emulated one alone, as many copies of it as `--jobs` says."""
    boards = settings.board_names
    if len(boards) == 1 and not is_real(boards[0]):
        return [Lane(boards[0])] * settings.jobs
    wait = 0.0 if settings.tag else settings.wait or 0.0
    return [Lane(board, wait) for board in boards]


def is_real(board: str) -> bool:
    return isinstance(read_board_file(find_board_file(board)), RealFile)


def traits(board: str) -> frozenset[str]:
    """What suites may call the board: its name, its type, its tags."""
    file = read_board_file(find_board_file(board))
    return frozenset({board_name(board), file.type, *file.tags})


def patience(board: str) -> Patience:
    """More than nothing only for a real one."""
    file = read_board_file(find_board_file(board))
    if not isinstance(file, RealFile):
        return Patience()
    limits, power = file.time_limits, file.power
    boot = limits.power + limits.uboot + limits.load + limits.kernel + limits.ssh + limits.probe
    switching = power.off_time + 2 * (power.settle + (power.retries + 1) * power.timeout) if power else 0.0
    switching = min(switching, SWITCHING)  # a person at the switch may take longer, and is told
    return Patience(step=MARGIN * max(boot, PROGRAM * limits.slowness), switching=switching)


@contextmanager
def leased(
    board: str, run_dir: Path, *, wait: float, on_note: Callable[[str], None], stop: threading.Event | None = None,
) -> Iterator[Callable[[], None]]:
    """Have `board` for this run, and its labgrid place, if it is one: between two boots, too. Nothing to do for an
    emulated one. The value raises LabError when the board has been lost or quarantined since."""
    file = read_board_file(find_board_file(board))
    if not isinstance(file, RealFile):
        yield lambda: None
        return
    name = board_name(board)

    def check() -> None:
        held.check()
        if sick := lab.standing(name).quarantine:
            raise lab.QuarantinedError(f"board {name} was quarantined: {sick}",
                                       hint=f"mend it, then `panthorlab boards release {name}`")

    with lab.lease(name, run_dir, wait=wait, on_note=on_note, stop=stop) as held, ExitStack() as place:
        from panthorlab.board.lab.labgrid import acquire, release_stale

        if file.labgrid is None:  # what a run that was killed still holds goes back, whichever board comes next
            release_stale(lab.lab_dir(), on_note)
        else:
            place.enter_context(acquire(file.labgrid, owner=f"panthorlab-{name}", lab_dir=lab.lab_dir(), timeout=wait,
                                        progress=on_note, stop=stop))
        yield check


def fragments_of(boards: Sequence[str], extra: Sequence[str], *, coverage: bool = False) -> tuple[str, ...]:
    """Config fragments of a job: what every kernel needs, what the boards' files say (the same), what `--coverage`
    needs, and `--config`."""
    needed = ("panthor", *next(iter(_described(boards).values())).kernel_configs)
    return (*needed, *((COVERAGE,) if coverage and COVERAGE not in extra else ()), *extra)
