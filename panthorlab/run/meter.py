# SPDX-License-Identifier: GPL-2.0-or-later
"""How one boot is measured, while it runs: by QEMU, which counts instructions, or by a kernel that counts for gcov.

Both leave in the directory of the boot what ran in each stretch: of a suite, and before the first one.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from panthorlab.board.api import RemoteFileError, Shell
from panthorlab.coverage import counts
from panthorlab.coverage.counts import FOLDER, START
from panthorlab.coverage.model import SourceMap, from_json
from panthorlab.errors import LabError

ON_BOARD: Final = "/sys/kernel/debug/gcov"
NOTES: Final = ".gcno"
_COUNTS: Final = ".gcda"
_STRETCH: Final = re.compile(r"^(\d{3})-(.+)$")


class Meter(Protocol):
    """`counts`: the file in which the board is to count instructions, if it is to. `fresh`: a kernel that has run
    before cannot be measured."""

    counts: Path | None
    fresh: bool

    def check(self, shell: Shell) -> None:
        """Raises LabError if a board that is up has counted nothing: then what it has not run says nothing."""

    def begin(self, shell: Shell, suite: str) -> None:
        """What runs from now on is the suite's."""

    def end(self, shell: Shell) -> None:
        """The boot is over."""


def open_meter(recipe: Path, boot_dir: Path) -> Meter:
    """The one that `measure.prepare` has made ready, for the boot with its files in `boot_dir`."""
    folder = boot_dir / FOLDER
    return GcovMeter(recipe, folder) if recipe.is_dir() else InstructionMeter(recipe, folder)


def read_map(path: Path) -> SourceMap:
    """A map that `measure.prepare` made. Raises LabError if it is damaged or gone."""
    try:
        return from_json(path.read_text())
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}", hint="start the run again") from error


class InstructionMeter:
    """QEMU counts into a file on this machine."""

    fresh = False

    def __init__(self, map_file: Path, folder: Path) -> None:
        self.counts: Path | None = counts.create(folder / counts.LIVE, read_map(map_file).text)
        self._live = self.counts

    def check(self, shell: Shell) -> None:
        del shell
        if not any(counts.read(self._live).values):
            raise LabError(
                "QEMU runs, but has counted no instruction of the driver",
                hint="is the kernel at another address than vmlinux says? see qemu.log of the boot",
            )

    def begin(self, shell: Shell, suite: str) -> None:
        del shell
        counts.mark(self._live, suite)

    def end(self, shell: Shell) -> None:
        """It has gone on counting by itself."""


class GcovMeter:
    """The kernel counts, and is asked at the end of each stretch; then it begins anew. `NNN-STRETCH/` has what it
    counted; it stays empty if the board died first."""

    counts: Path | None = None
    fresh = True

    def __init__(self, notes: Path, folder: Path) -> None:
        self._names = [path.relative_to(notes).with_suffix(_COUNTS) for path in notes_in(notes)]
        self._folder = folder
        self._current = self._open(START)

    def check(self, shell: Shell) -> None:
        if all(_get(shell, name) is None for name in self._names):
            raise LabError(
                f"the kernel counts nothing for gcov: {ON_BOARD} has none of the driver's files",
                hint="is debugfs mounted on the board, and the driver loaded?",
            )

    def begin(self, shell: Shell, suite: str) -> None:
        self.end(shell)
        shell.put(b"0", f"{ON_BOARD}/reset")
        self._current = self._open(suite)

    def end(self, shell: Shell) -> None:
        for name in self._names:
            if (data := _get(shell, name)) is not None:
                path = self._current / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    def _open(self, stretch: str) -> Path:
        path = self._folder / f"{len(list(self._folder.glob('*-*'))):03}-{stretch}"
        path.mkdir(parents=True)
        return path


def _get(shell: Shell, name: Path) -> bytes | None:
    """What an object has counted; None of a module that was not loaded yet."""
    try:
        return shell.get(f"{ON_BOARD}/{name}")
    except RemoteFileError as error:
        if error.errno != errno.ENOENT:
            raise
        return None


def notes_in(folder: Path) -> Sequence[Path]:
    """The compiler's notes below a directory, in order."""
    return sorted(folder.rglob(f"*{NOTES}"))


def stretches(folder: Path, notes: Path) -> Iterator[tuple[str, dict[Path, Path]]]:
    """Of a boot measured by `GcovMeter`, in order: a stretch, and for each of the notes that has counts, these."""
    for path in sorted(folder.iterdir()):
        if match := _STRETCH.match(path.name):
            pairs = ((note, (path / note.relative_to(notes)).with_suffix(_COUNTS)) for note in notes_in(notes))
            yield match[2], {note: data for note, data in pairs if data.exists()}
