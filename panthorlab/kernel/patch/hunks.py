# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a hunk fits in a file, as GNU patch decides it: exact first, then at an offset, then with fuzz. Pure functions.

Lines keep their newline, so that a missing one at the end of a file is a difference like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_FUZZ = 2  # the default of patch(1)


@dataclass(frozen=True)
class Hunk:
    """One hunk. `start`: 1-based line in the old file. `lines`: (tag, text), tag one of ` `, `+`, `-`."""

    start: int
    lines: tuple[tuple[str, str], ...]

    @property
    def old(self) -> list[str]:
        return [text for tag, text in self.lines if tag != "+"]

    @property
    def new(self) -> list[str]:
        return [text for tag, text in self.lines if tag != "-"]

    @property
    def added(self) -> list[str]:
        return [text for tag, text in self.lines if tag == "+"]

    @property
    def removed(self) -> list[str]:
        return [text for tag, text in self.lines if tag == "-"]

    @property
    def changes(self) -> bool:
        return any(tag != " " for tag, _ in self.lines)

    def context(self) -> tuple[int, int]:
        """Number of context lines before the first and after the last change."""
        changes = [index for index, (tag, _) in enumerate(self.lines) if tag != " "]
        if not changes:
            return len(self.lines), 0
        return changes[0], len(self.lines) - 1 - changes[-1]

    def reversed(self, start: int) -> Hunk:
        """The hunk that undoes this one; `start`: its line in the new file."""
        swap = {"+": "-", "-": "+", " ": " "}
        return Hunk(start, tuple((swap[tag], text) for tag, text in self.lines))

    def text(self) -> str:
        """The lines as in a patch."""
        return "".join(f"{tag}{text}" if text.endswith("\n") else f"{tag}{text}\n" for tag, text in self.lines)


@dataclass(frozen=True)
class HunkPlacement:
    """Where a hunk went. `line`: 1-based, in the old file. `offset`: from where the patch said."""

    line: int
    offset: int
    fuzz: int


@dataclass(frozen=True)
class Applied:
    """A file with all hunks applied."""

    lines: list[str]
    places: tuple[HunkPlacement, ...]


def apply_hunks(lines: Sequence[str], hunks: Sequence[Hunk], max_fuzz: int = MAX_FUZZ) -> Applied | int:
    """The file with all hunks applied in order, or the index of the first hunk that fits nowhere."""
    result: list[str] = []
    places: list[HunkPlacement] = []
    copied, offset = 0, 0
    for index, hunk in enumerate(hunks):
        found = _locate(lines, hunk, copied, offset, max_fuzz)
        if found is None:
            return index
        position, fuzz, skip, stop = found
        old, new = hunk.old, hunk.new
        result += lines[copied : position + skip]
        result += new[skip : len(new) - stop]
        copied = position + len(old) - stop
        expected = _expected(hunk)
        offset = position - expected
        places.append(HunkPlacement(position + 1, offset, fuzz))
    return Applied([*result, *lines[copied:]], tuple(places))


def _expected(hunk: Hunk) -> int:
    """0-based line where the patch says the hunk starts; a hunk without old lines goes after its line."""
    return hunk.start - 1 if hunk.old else hunk.start


def _locate(
    lines: Sequence[str], hunk: Hunk, first: int, offset: int, max_fuzz: int
) -> tuple[int, int, int, int] | None:
    """(position of the whole hunk, fuzz, context lines ignored in front, and behind), or None."""
    old = hunk.old
    prefix, suffix = hunk.context()
    context = max(prefix, suffix)
    for fuzz in range(min(max_fuzz, context) + 1):
        skip, stop = fuzz + prefix - context, fuzz + suffix - context
        # Less context on one side than on the other means: this is where the file starts (or ends).
        at_start, at_end = skip < 0, stop < 0
        skip, stop = max(skip, 0), max(stop, 0)
        pattern = old[skip : len(old) - stop]
        for position in _positions(_expected(hunk) + offset, first, len(lines) - len(old) + stop):
            begin = position + skip
            if begin < first or (at_start and begin != 0) or (at_end and begin + len(pattern) != len(lines)):
                continue
            if lines[begin : begin + len(pattern)] == pattern:
                return position, fuzz, skip, stop
    return None


def _positions(wanted: int, low: int, high: int) -> Iterator[int]:
    """All of low..high, the nearest to `wanted` first, the later of two equally near ones first."""
    wanted_in = min(max(wanted, low), high) if low <= high else None
    if wanted_in is None:
        return
    nearest = abs(wanted - wanted_in)  # a hunk may say that it belongs to line 999999999
    for distance in range(nearest, max(abs(high - wanted), abs(wanted - low)) + 1):
        for position in {wanted + distance: None, wanted - distance: None}:
            if low <= position <= high:
                yield position


def best_window(lines: Sequence[str], hunk: Hunk) -> int:
    """0-based line where the file looks most like what the hunk expects."""
    old = hunk.old
    wanted = max(0, _expected(hunk))
    index: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        index.setdefault(line, []).append(number)
    votes: dict[int, int] = {}
    for row, line in enumerate(old):
        if line.strip() and len(index.get(line, ())) <= 50:
            for number in index.get(line, ()):
                votes[number - row] = votes.get(number - row, 0) + 1
    if not votes:
        return min(wanted, max(0, len(lines) - 1))
    return max(0, max(votes, key=lambda start: (votes[start], -abs(start - wanted))))
