# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab prune`: delete old runs, and nothing else.

What is deleted is what panthorlab has made: the files of a run by their names, and of its boots the directories that
its log names. Directories are opened one by one from the root, through no link, and everything is deleted relative to
them, so that nobody who may write there can have something else deleted. The log goes last: a prune that was killed can
be repeated. Meanwhile its lock is held, so that nobody resumes the run.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.errors import PanthorlabError, UsageError
from panthorlab.history.facts import RunFacts, State
from panthorlab.history.find import LOG, run_dirs, size_of, stamp_of
from panthorlab.history.listing import age, known_or_read, size
from panthorlab.report.text import json_text, plain
from panthorlab.run.record import BootStart
from panthorlab.run.record.log import read_what_is_left

RECORD: Final = (
    "build.log",
    "result.json",
    "junit.xml",
    "report.html",
    "timeline.html",
    "git-bisect.log",
    "exploration.json",
    "output.log",
    LOG,
)
"""Files of a run, of whatever command, the log at the end."""
_HALF: Final = re.compile(rf"\.(?:{'|'.join(map(re.escape, RECORD))})\.\d+\.tmp")
"""What `write_whole` leaves of one of these if it is killed."""
TREES: Final = ("patches", "coverage")
_OURS: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
"""How a run is called that was not given a name."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOUNTS: Final = Path("/proc/self/mountinfo")


class KeptError(Exception):
    """Why a run was not deleted, or not all of it."""


@dataclass(frozen=True)
class Rules:
    """Which runs go: those that one of these says. `older`: seconds since they began; `keep`: how many of the newest
    stay; `size`: bytes that all may take."""

    older: float | None = None
    keep: int | None = None
    size: int | None = None


def main(options: argparse.Namespace) -> int:
    """Exit status 0; what could not be deleted is told."""
    rules = Rules(options.older, options.keep, options.size)
    if rules == Rules():
        raise UsageError("prune: which runs?", hint="say --older 30d, --keep 100 or --size 20G")
    roots = options.directory or [Path("runs")]
    spared = {path.resolve() for path in options.spared}
    if missing := spared - set(run_dirs(roots)):
        raise UsageError(f"--except {min(missing)}: no run of these directories", hint="is it written as it is called?")
    runs = known_or_read(roots)
    sizes = {run.path: size_of(run.path) for run in runs}
    gone, kept = [], []
    left = {run.path for run in runs}
    # a run that is in another one (a replay's, in gdb) goes first
    for run in sorted(chosen(runs, sizes, rules, time.time()), key=lambda run: -len(run.path.parts)):
        try:
            if why := _spared(run, spared, left, named=options.named):
                raise KeptError(why)
            delete(run.path, record=not options.keep_record, pretend=options.dry_run)
            gone.append(run)
            left.remove(run.path)
        except KeptError as error:
            kept.append((run, str(error)))
    return _tell(options, gone, kept, sizes)


def chosen(runs: Sequence[RunFacts], sizes: dict[Path, int], rules: Rules, now: float) -> list[RunFacts]:
    """The runs that `rules` are for, the oldest first; a run of which nobody knows when it began is the oldest."""
    newest = sorted(runs, key=lambda run: (-run.started, run.path))
    total, found = 0, []
    for number, run in enumerate(newest):
        total += sizes[run.path]
        old = rules.older is not None and now - run.started > rules.older
        many = rules.keep is not None and number >= rules.keep
        large = rules.size is not None and total > rules.size
        if old or many or large:
            found.append(run)
    return found[::-1]


def _spared(run: RunFacts, spared: set[Path], left: set[Path], *, named: bool) -> str:
    """Why a run is kept; empty if it is not. `left`: all that are still there."""
    if run.path in spared:
        return "--except"
    if run.state is State.RUNNING:
        return "somebody works on it"
    if not named and not _OURS.fullmatch(run.path.name):
        return "it was given a name: --named deletes such, too"
    if inside := next((path for path in left if path != run.path and path.is_relative_to(run.path)), None):
        return f"a run that is kept is in it: {inside.relative_to(run.path)}"
    return ""


def _tell(
    options: argparse.Namespace, gone: Sequence[RunFacts], kept: Sequence[tuple[RunFacts, str]], sizes: dict[Path, int]
) -> int:
    freed = sum(sizes[run.path] for run in gone)
    if options.json:
        told = {
            "dry_run": options.dry_run,
            "deleted": [{"run": str(run.path), "bytes": sizes[run.path]} for run in gone],
            "kept": [{"run": str(run.path), "why": why} for run, why in kept],
        }
        sys.stdout.write(json_text(told))
    else:
        would = "would delete" if options.dry_run else "deleted"
        for run in gone:
            print(
                f"{would} {plain(run.path)} ({run.verdict or run.state}, {age(run.started)}, {size(sizes[run.path])})"
            )
        for run, why in kept:
            print(f"kept {plain(run.path)}: {plain(why)}", file=sys.stderr)
        print(f"{would} {len(gone)} runs, {size(freed)}; kept {len(kept)}")
    return 0


def delete(run_dir: Path, *, record: bool = True, pretend: bool = False) -> None:
    """Delete a run; without `record` only what its reports are not made of. `run_dir`: resolved. `pretend`: only see
    whether it is one, and may be deleted. Raises KeptError."""
    try:
        if mounted := [path for path in _mounts() if path.is_relative_to(run_dir)]:
            raise KeptError(f"something is mounted at {mounted[0]}")
        with _opened(run_dir) as directory, _locked(directory):
            boots = _boots(directory)
            if pretend:
                return
            _delete_trees(directory, "boots", boots)
            for name in TREES:
                _delete_tree(directory, name)
            if not record:
                return
            for name in [*filter(_HALF.fullmatch, os.listdir(directory)), *RECORD]:  # noqa: PTH208 - as below
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
            left = os.listdir(directory)  # noqa: PTH208 - of what is open, not of what is called so now
        if left:
            raise KeptError(f"its log is deleted; what is not a run's is left: {', '.join(sorted(left)[:3])}")
        with _opened(run_dir.parent) as parent:
            os.rmdir(run_dir.name, dir_fd=parent)  # which fails if it is anything but an empty directory
    except PanthorlabError as error:
        raise KeptError(str(error)) from error
    except OSError as error:
        raise KeptError(f"{error.filename or run_dir}: {error.strerror or error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A directory, reached through no link. Raises OSError."""
    handle = os.open("/", _DIRECTORY)
    try:
        for name in path.parts[1:]:
            deeper = os.open(name, _DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = deeper
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _locked(directory: int) -> Iterator[None]:
    log = os.open(LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise KeptError("somebody works on it") from None
    finally:
        os.close(log)


def _boots(directory: int) -> list[str]:
    """The names of the boots' directories, as the log has them. Raises KeptError if it is no log of a run."""
    here = Path(f"/proc/self/fd/{directory}")
    try:
        stamp_of(here)
        events = read_what_is_left(here)
    except (PanthorlabError, OSError):
        raise KeptError(f"{LOG} is no log of a run that can be read") from None
    names = {event.boot for event in events if isinstance(event, BootStart)}
    return sorted(name for name in names if name not in ("", ".", "..") and "/" not in name and "\0" not in name)


def _delete_trees(directory: int, name: str, below: Sequence[str]) -> None:
    try:
        handle = os.open(name, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        for tree in below:
            _delete_tree(handle, tree)
    finally:
        os.close(handle)
    with contextlib.suppress(OSError):  # somebody's own files are in it
        os.rmdir(name, dir_fd=directory)


def _delete_tree(directory: int, name: str) -> None:
    """By shutil, which enters no link; a link in its place is an error."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(name, dir_fd=directory)


def _mounts() -> list[Path]:
    """Everywhere that something is mounted."""
    lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    names = [line.split(" ")[4] for line in lines]
    return [Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)) for name in names]
