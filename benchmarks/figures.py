# SPDX-License-Identifier: GPL-2.0-or-later
"""What a benchmark gives: one line of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """`goal`: as it is set for an idle machine with two cores. `split`: where it goes, by phase."""

    what: str
    goal: str
    measured: str
    split: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """As Markdown: the row, and its parts below it."""
        rows = [(self.what, self.goal, self.measured)]
        rows += [(f"  {part}", "", value) for part, value in self.split.items()]
        return [f"| {what:46} | {goal:>11} | {measured:>22} |" for what, goal, measured in rows]


def head() -> list[str]:
    return [f"| {'what':46} | {'goal':>11} | {'measured':>22} |", f"|{'-' * 48}|{'-' * 12}:|{'-' * 23}:|"]


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def milliseconds(value: float) -> str:
    return f"{value * 1000:.1f} ms"
