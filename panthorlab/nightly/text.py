# SPDX-License-Identifier: GPL-2.0-or-later
"""A night on the console."""

from __future__ import annotations

from collections.abc import Iterator

from panthorlab.nightly.model import Culprit, KernelNight, NewTrouble, Night
from panthorlab.report.text import percent, plain, seconds, wrap

MOST = 8


def render(night: Night, *, columns: int) -> str:
    """The worst kernel first."""
    return "\n".join(_lines(night, columns))


def _lines(night: Night, columns: int) -> Iterator[str]:
    yield f"{night.outcome.upper()}  {plain(night.title)}, night {night.name}"
    yield f"attempted {night.attempted}, judged {night.judged}, lost {night.lost}; {seconds(night.seconds)}"
    for note in night.notes:
        yield from wrap(plain(note), columns, first="note: ", rest="      ")
    for kernel in sorted(night.kernels, key=lambda one: -one.state.badness):
        yield ""
        yield from _kernel(kernel, columns)


def _kernel(kernel: KernelNight, columns: int) -> Iterator[str]:
    about = f", {kernel.commit.short} ({kernel.commit.subject})" if kernel.commit else ""
    yield from wrap(plain(f"{said(kernel)}  {kernel.name}{about}"), columns, rest="  ")
    if kernel.attempted:
        yield f"  attempted {kernel.attempted}, judged {kernel.judged}, lost {kernel.lost}; {seconds(kernel.seconds)}"
    if kernel.compared and kernel.good:
        good = plain(f"{kernel.good.short} ({kernel.good.subject})")
        yield from wrap(f"compared with the night {kernel.compared}, {good}", columns, first="  ", rest="  ")
    rows = [("culprit", culprit_text(one)) for one in kernel.culprits]
    rows += [("new", trouble_text(one)) for one in kernel.new]
    rows += [("unexpected pass", sentence) for sentence in kernel.passes]
    if not kernel.new:
        rows += [("", reason) for reason in kernel.reasons]
    rows += [
        ("known", f"{one.pattern} on {one.board}: {one.tonight[0]}/{one.tonight[1]}, {percent(*one.interval)}")
        for one in kernel.known
        if one.tonight[0]
    ]
    for word, text in rows[:MOST]:
        yield from wrap(plain(text), columns, first=f"  {word}: " if word else "  ", rest="    ")
    if len(rows) > MOST:
        yield f"  … and {len(rows) - MOST} more, in the page"
    if kernel.directory:
        yield f"  {plain(kernel.directory)}"


def said(kernel: KernelNight) -> str:
    """The outcome in words; of an unchanged branch, with what it was found to be, the worse of the two first."""
    other = kernel.outcome if kernel.state is kernel.standing else kernel.standing
    return f"{kernel.state} ({other})" if other else kernel.state.value


def culprit_text(one: Culprit) -> str:
    """A sentence."""
    names = ", ".join(f"{commit.short} ({commit.subject})" for commit in one.commits)
    how = "verified" if one.verified else "not verified"
    if len(one.commits) == 1:
        return f"{names}, {how}, by {one.signature}"
    if names:
        return f"one of {names}, which cannot be told apart, by {one.signature}"
    return f"of {one.signature}: {one.reason}"


def trouble_text(one: NewTrouble) -> str:
    """A sentence."""
    counts = f": {one.after[0]}/{one.after[1]} now, {one.before[0]}/{one.before[1]} then" if one.after[1] else ""
    doubt = "" if one.blamed else " (too seldom to blame the kernel)"
    where = f" in {one.where}" if one.where else ""
    return f"{one.name}{where}{counts}{doubt}" if counts else one.reason or one.name
