# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress: within the terminal's width, and without a terminal one line a step."""

from __future__ import annotations

import io
import re

import pytest

from panthorlab.run.progress import ProgressDisplay, SharedProgress
from panthorlab.run.record import Doing, Note, Quota

from .recorded import typed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_is_one_line_a_step() -> None:
    stream = io.StringIO()
    progress = ProgressDisplay(stream=stream)
    for percent in range(101):
        progress.step("building", percent, 100)
    progress.step("booting")
    start, iteration, end = typed(
        {"event": name, "boot": "after1.1"} for name in ("boot-start", "iteration", "boot-end")
    )
    progress.event(start)
    progress.event(Quota(boot="after1.1", workload="w", planned=240, arm_total=240))
    for _ in range(240):
        progress.event(iteration)
    progress.event(Doing(boot="after1.1", text="loading"))
    progress.event(end)
    assert stream.getvalue().splitlines() == [
        "building",
        "booting",
        "boot after1.1 starts",
        "boot after1.1 ended after 240 iterations",
    ]


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_a_line_is_never_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = ProgressDisplay(stream=stream)
    progress.step("x" * 300)
    progress.finish()
    shown = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", stream.getvalue())
    assert all(len(part) < columns for part in re.split("[\r\n]", shown))
    assert "x" * (columns - 6) in shown


def test_what_stays_is_printed_whole_and_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = ProgressDisplay(stream=stream)
    progress.step("building")
    progress.line("[bold]boot[/bold] before1.1: " + "y" * 80)
    progress.finish()
    assert "[bold]boot[/bold] before1.1: " + "y" * 80 in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h"), "the cursor is shown again"


def test_several_runs_share_a_display_and_their_boots_have_their_names() -> None:
    stream = io.StringIO()
    display = ProgressDisplay(stream=stream)
    start, end = typed({"event": name, "boot": "kernel1.1"} for name in ("boot-start", "boot-end"))
    shared = [SharedProgress(display, name) for name in ("6.12", "6.18")]
    for progress in shared:
        progress.step("loading")
        progress.event(start)
    for progress in shared:
        progress.event(Note(text="slow"))
        progress.event(end)
        progress.finish()
    display.line("behind")
    assert stream.getvalue().splitlines() == [
        "6.12: loading",
        "boot 6.12 kernel1.1 starts",
        "6.18: loading",
        "boot 6.18 kernel1.1 starts",
        "note   6.12: slow",
        "boot 6.12 kernel1.1 ended after 0 iterations",
        "note   6.18: slow",
        "boot 6.18 kernel1.1 ended after 0 iterations",
        "behind",
    ]
