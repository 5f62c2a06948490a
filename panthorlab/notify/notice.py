# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told: a `Notice`, its words, and its JSON. Pure functions.

Titles, signatures and names come from patches and logs: every line is made plain and short when it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from panthorlab.report.text import fit, plain, seconds

VERSION: Final = 1
"""Of the JSON: keys are only ever added to it."""
_SUBJECT: Final = 120
LINE: Final = 200
MOST_LINES: Final = 30
MOST_PARTS: Final = 20


@dataclass(frozen=True)
class NoticePart:
    """Lines that belong together, under a title: what is new, culprits, what was lost."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Notice:
    """What came of a run or a night. `exit`: as of the command line, None while it is not known. `directory`: where it
    is. `started`: Unix time; `seconds`: that it took. Of iterations and tests, `judged` and `lost` were attempted."""

    kind: str
    title: str
    verdict: str
    exit: int | None
    directory: str
    started: float = 0.0
    seconds: float = 0.0
    judged: int = 0
    lost: int = 0
    parts: tuple[NoticePart, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether anything is not as wanted; what is not known is not good."""
        return self.exit != 0


def shown(notice: Notice) -> Notice:
    """The same with every text plain and short, and no more lines and parts than anybody reads."""
    parts = [NoticePart(_line(part.title), _cut(tuple(map(_line, part.lines[: MOST_LINES + 1])), len(part.lines)))
             for part in notice.parts[:MOST_PARTS]]  # fmt: skip
    if (more := len(notice.parts) - MOST_PARTS) > 0:
        parts.append(NoticePart(f"… and {more} more parts", ()))
    return replace(
        notice,
        kind=_line(notice.kind),
        title=_line(notice.title),
        verdict=_line(notice.verdict),
        directory=_line(notice.directory),
        parts=tuple(parts),
    )


def _cut(lines: tuple[str, ...], count: int) -> tuple[str, ...]:
    return lines if count <= MOST_LINES else (*lines[:MOST_LINES], f"… and {count - MOST_LINES} more")


def _line(words: str) -> str:
    return fit(plain(words[: 10 * LINE]), LINE)


def subject(notice: Notice) -> str:
    """One line."""
    return fit(f"{_line(notice.verdict)}: {_line(notice.title)}", _SUBJECT)


def text(notice: Notice, link: str = "") -> str:
    """A few plain lines for people. `link`: where the reports can be read."""
    return "\n".join(_lines(shown(notice), link)) + "\n"


def _lines(notice: Notice, link: str) -> Iterator[str]:
    yield subject(notice)
    yield ""
    yield f"{notice.kind}, exit status {'unknown' if notice.exit is None else notice.exit}"
    yield f"{notice.judged} results judged, {notice.lost} lost"
    if notice.started:
        began = datetime.fromtimestamp(notice.started, UTC)
        yield f"began {began:%Y-%m-%d %H:%M} UTC, took {seconds(notice.seconds)}"
    yield f"directory: {notice.directory}"
    if link:
        yield f"report: {link}"
    for part in notice.parts:
        yield f"\n{part.title}:"
        yield from (f"  {line}" for line in part.lines)


def payload(notice: Notice, link: str = "") -> dict[str, Any]:
    """What programs get. `text` is what chat servers show."""
    return {"version": VERSION, "text": text(notice, link), "link": link, **asdict(shown(notice))}
