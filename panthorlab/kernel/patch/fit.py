# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a patch fits a tree, and its result there. Nothing is changed; all files of a patch are checked first.

A tree that already has a patch's effect in another form is recognised by what the patch *adds*: the patch does not
apply, but most of its significant lines and every function that it defines are there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.patch.filepatch import FilePatch, find_files, parse_diff
from panthorlab.kernel.patch.hunks import MAX_FUZZ, Applied, Hunk, HunkPlacement, apply_hunks, best_window
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.report import FileFit, Fit, PatchReport

SAME_ENOUGH = 0.6  # part of a patch's significant lines that makes "another form" of it
_SHOWN = 8  # lines of a hunk, and of the tree, in a message
_AROUND = 2
_FUNCTION = re.compile(r"^[A-Za-z_][\w \t*]*?\b([A-Za-z_]\w{3,})\(")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{3,}")


@dataclass(frozen=True)
class Misfit:
    """Why one file of a patch does not fit."""

    file: str
    text: str


@dataclass(frozen=True)
class Attempt:
    """Result of trying all files in one direction."""

    changes: dict[str, bytes | None]
    places: list[tuple[str, int, HunkPlacement]]
    misfits: list[Misfit]

    @property
    def fits(self) -> bool:
        return not self.misfits

    @property
    def exact(self) -> bool:
        """Each hunk is just where the patch says, line for line."""
        return self.fits and not any(place.fuzz or place.offset for _, _, place in self.places)

    @property
    def fuzz(self) -> int:
        return max((place.fuzz for _, _, place in self.places), default=0)


def _without_copy(file: FilePatch, read: ReadFile) -> FilePatch:
    """A copy as the new file that it makes, if it can be made."""
    content = read(file.old) if file.copy and file.old else None
    if content is None:
        return file
    made = apply_hunks(split_lines(content.decode("latin-1")), file.hunks)
    if isinstance(made, int):
        return file
    return FilePatch(None, file.new, (Hunk(0, tuple(("+", line) for line in made.lines)),) if made.lines else ())


def check(patch: PatchText, read: ReadFile, tree: str, *, reverse: bool = False) -> PatchReport:
    """How `patch` (or its reverse) fits the tree whose files `read` gives. `tree`: its name, for messages."""
    files, where = find_files(parse_diff(patch), read, patch.title)
    files = [_without_copy(file, read) for file in files]
    names = tuple(dict.fromkeys(name for file in files for name in (file.old, file.new) if name))
    wanted = [file.reversed() for file in reversed(files)] if reverse else files
    undone = files if reverse else [file.reversed() for file in reversed(files)]
    forward, backward = _attempt(wanted, read), _attempt(undone, read)

    def report(fit: Fit, detail: str, changes: dict[str, bytes | None] | None = None) -> PatchReport:
        fits = tuple(_file_fits(wanted, forward, fit, read))
        summary = "; ".join(text for text in (detail, where) if text)
        return PatchReport(
            patch.title, patch.origin, fit, summary, names, changes or {}, reverse, fits, patch.message_id
        )

    # What is there can be taken out, too. Only where lines repeat those around them does a patch fit both ways; then,
    # as for git, that it fits where it says decides.
    if backward.fits and (
        not forward.fits or (backward.fuzz <= forward.fuzz and _has_context(files) and not forward.exact)
    ):
        return report(Fit.ALREADY, _places(backward.places))
    missing = [file.old for file in wanted if file.old and read(file.old) is None]
    if not forward.fits and len(missing) == sum(1 for file in wanted if file.old) > 0:
        return report(Fit.DOES_NOT_APPLY, f"it is for another tree: {tree} has no {', no '.join(missing[:3])}")
    share = _share_present(files, read)
    if not forward.fits and share >= SAME_ENOUGH:
        present = f"{share:.0%} of the lines it adds are in {tree}, though not all as it has them"
        return report(Fit.OTHER_FORM, f"{present}: {(forward if reverse else backward).misfits[0].text}")
    if not forward.fits:
        half = _half_applied(wanted, forward, read)
        rest = [misfit.text for misfit in forward.misfits if misfit.file not in half]
        known = [f"half applied: {', '.join(half)} {'has' if len(half) == 1 else 'have'} it already"] if half else []
        return report(Fit.DOES_NOT_APPLY, "\n".join([*known, *rest[:3]]))
    inexact = any(place.fuzz or place.offset for _, _, place in forward.places)
    fit = Fit.APPLIES_INEXACTLY if inexact else Fit.APPLIES
    return report(fit, _places(forward.places) if inexact else "", forward.changes)


def _half_applied(files: Sequence[FilePatch], forward: Attempt, read: ReadFile) -> list[str]:
    """Files that do not accept their part of the patch because they already have it."""
    odd = {misfit.file for misfit in forward.misfits}
    return [file.name for file in files if file.name in odd and _attempt([file.reversed()], read).fits]


def _file_fits(files: Sequence[FilePatch], forward: Attempt, whole: Fit, read: ReadFile) -> Iterator[FileFit]:
    """How each file's part fits, to show which files prevent the patch from applying."""
    half = set() if forward.fits else set(_half_applied(files, forward, read))
    for name in dict.fromkeys(file.name for file in files):
        misfit = next((misfit.text for misfit in forward.misfits if misfit.file == name), None)
        places = _places([place for place in forward.places if place[0] == name])
        if whole is Fit.ALREADY or name in half:
            yield FileFit(name, Fit.ALREADY)
        elif misfit is not None:
            yield FileFit(name, Fit.DOES_NOT_APPLY, misfit)
        else:
            yield FileFit(name, Fit.APPLIES_INEXACTLY if places else Fit.APPLIES, places)


def _attempt(files: Sequence[FilePatch], read: ReadFile) -> Attempt:
    attempt = Attempt({}, [], [])

    def current(name: str) -> bytes | None:
        return attempt.changes[name] if name in attempt.changes else read(name)

    for file in files:
        misfit = _try_file(file, current, attempt)
        if misfit:
            attempt.misfits.append(Misfit(file.name, misfit))
    return attempt


def _try_file(file: FilePatch, read: ReadFile, attempt: Attempt) -> str | None:
    """Apply one file into `attempt`; the reason if it does not fit."""
    content = read(file.old) if file.old else None
    if file.old and content is None:
        return f"{file.old} is not in the tree"
    if file.new and file.new != file.old and read(file.new):
        return f"{file.new} is in the tree already"
    lines = split_lines((content or b"").decode("latin-1"))
    for number, hunk in enumerate(file.hunks, 1):
        if lines and not hunk.old:  # it would "fit" anywhere; `git apply` refuses it, too
            return f"{file.name}:{hunk.start}: hunk {number} has no context to find its place by (was it diff -U0?)"
    result = apply_hunks(lines, file.hunks)
    if isinstance(result, int):
        return _explain(file, result, lines)
    for number, (hunk, place) in enumerate(zip(file.hunks, result.places, strict=True), 1):
        if place.fuzz and _is_there(lines, hunk, place):
            return f"{file.name}:{place.line}: hunk {number} of {len(file.hunks)} would go in a second time"
        if place.fuzz and (twice := (_functions(hunk.added) - _functions(hunk.removed)) & _functions(lines)):
            return f"{file.name} has {min(twice)}() already, which hunk {number} of {len(file.hunks)} defines"
    if file.new is None and result.lines:
        return f"{file.old} would be removed, but has {len(result.lines)} lines that the patch does not know"
    attempt.places.extend((file.name, number, place) for number, place in enumerate(result.places, 1))
    _record(file, result, attempt)
    return None


def _is_there(lines: Sequence[str], hunk: Hunk, place: HunkPlacement) -> bool:
    """Whether what a hunk makes is in the file, found with less fuzz than it takes to make it (again).

    The side with more lines says more: for a hunk that adds, as much fuzz is proof enough.
    """
    fuzz = place.fuzz if len(hunk.added) > len(hunk.removed) else place.fuzz - 1
    return bool(hunk.new) and not isinstance(apply_hunks(lines, [hunk.reversed(place.line)], fuzz), int)


def _functions(lines: Sequence[str]) -> set[str]:
    """Functions that are defined in `lines` of C."""
    found = (_FUNCTION.match(line) for line in lines if not line.rstrip().endswith(";"))
    return {match[1] for match in found if match}


def _record(file: FilePatch, result: Applied, attempt: Attempt) -> None:
    if file.old and file.old != file.new:
        attempt.changes[file.old] = None
    if file.new:
        attempt.changes[file.new] = "".join(result.lines).encode("latin-1")


def split_lines(text: str) -> list[str]:
    """Lines with their newline; only `\\n` ends a line."""
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _explain(file: FilePatch, index: int, lines: Sequence[str]) -> str:
    hunk = file.hunks[index]
    if line := _where_blanks_differ(hunk, lines):
        return (
            f"{file.name}:{hunk.start}: hunk {index + 1} of {len(file.hunks)} differs from the tree "
            f"({file.name}:{line}) only in white space: was it pasted, or did a mail client turn tabs into spaces?"
        )
    at, old = best_window(lines, hunk), hunk.old
    window = lines[at : at + len(old)]
    # The first line that is not as the hunk expects it, and what stands around it. Fuzz would have forgiven the edges.
    odd_rows = [row for row, line in enumerate(old) if row >= len(window) or window[row] != line] or [0]
    odd = next((row for row in odd_rows if MAX_FUZZ <= row < len(old) - MAX_FUZZ), odd_rows[0])
    first = max(0, odd - _AROUND)
    rows = [row for row, (tag, _) in enumerate(hunk.lines) if tag != "+"]
    wants = [f"{tag}{text.rstrip()}" for tag, text in hunk.lines[rows[first] if rows else 0 :]][:_SHOWN]
    has = [
        f"{'>' if row == odd else ' '}{at + row + 1:6}: {line.rstrip()}"
        for row, line in enumerate(lines[at + first : at + first + _SHOWN], first)
    ]
    head = f"{file.name}:{hunk.start + first}: hunk {index + 1} of {len(file.hunks)} does not fit; the patch expects"
    return "\n".join([head, *wants, f"where the tree has ({file.name}:{at + odd + 1}):", *has])


def _where_blanks_differ(hunk: Hunk, lines: Sequence[str]) -> int | None:
    """Line at which the hunk would fit if white space were all the same; shown as text, nobody would see why not."""
    if not isinstance(apply_hunks(lines, [hunk]), int):
        return None  # it fits, but not behind the hunk before it
    squeezed = Hunk(hunk.start, tuple((tag, _squeeze(text)) for tag, text in hunk.lines))
    result = apply_hunks([_squeeze(line) for line in lines], [squeezed])
    return None if isinstance(result, int) else result.places[0].line


def _places(places: Sequence[tuple[str, int, HunkPlacement]]) -> str:
    parts = []
    for file, number, place in places:
        if place.offset or place.fuzz:
            fuzz = f", fuzz {place.fuzz}" if place.fuzz else ""
            parts.append(f"{file.rpartition('/')[2]} hunk {number}: offset {place.offset:+d}{fuzz}")
    return "; ".join(parts)


def _has_context(files: Sequence[FilePatch]) -> bool:
    return all(sum(hunk.context()) > 0 for file in files if file.old and file.new for hunk in file.hunks)


def _share_present(files: Sequence[FilePatch], read: ReadFile) -> float:
    """Part of the significant added lines that are in the tree, 0 if an identifier that the patch brings is not.

    Lines that the patch only moves, and those that the tree has more often than the patch adds them
    (`return -EINVAL;`), prove nothing; neither does a single line without a name that the patch brings.
    """
    moved = {_squeeze(line) for file in files for hunk in file.hunks for line in hunk.removed}
    added = present = names = 0
    for file in files:
        content = read(file.new or file.old or "")
        have = Counter(_squeeze(line) for line in (content or b"").decode("latin-1").split("\n"))
        brings = Counter(_squeeze(line) for hunk in file.hunks for line in hunk.added)
        for line, times in brings.items():
            if _IDENTIFIER.search(line) and line not in moved and have[line] <= times:
                added += times
                present += have[line]
        brought = _brought_names(file)
        if not brought <= set(_IDENTIFIER.findall((content or b"").decode("latin-1"))):
            return 0.0
        names += len(brought)
    return present / added if present > 1 or (present and names) else 0.0


def _brought_names(file: FilePatch) -> set[str]:
    """Names called or defined in added code that no removed or context line of the file mentions."""
    calls = re.compile(r"\b([A-Za-z_]\w{3,})\s*\(")
    code = [line for hunk in file.hunks for line in hunk.added if not line.strip().startswith(("*", "/*", "//"))]
    known = {name for hunk in file.hunks for line in hunk.old for name in _IDENTIFIER.findall(line)}
    return {name for line in code for name in calls.findall(line)} - known


def _squeeze(line: str) -> str:
    return " ".join(line.split())
