# SPDX-License-Identifier: GPL-2.0-or-later
"""The notice of a night, from its `night.json`: of that, what people want to read in the morning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from panthorlab.errors import LabError
from panthorlab.notify.notice import Notice, NoticePart
from panthorlab.report.text import json_text

ClockSeconds = Annotated[float, Field(ge=0, lt=1e11)]
"""Of a clock, or that something took: what can be shown as a date."""


class _Read(BaseModel):
    """Of an object, the keys that are told; the others are for others."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _Commit(_Read):
    id: str
    subject: str = ""


class _Trouble(_Read):
    what: str
    name: str
    where: str = ""
    before: list[int]
    after: list[int]
    blamed: bool = True


class _Culprit(_Read):
    signature: str
    commits: list[_Commit]
    verified: bool
    reason: str


class _Kernel(_Read):
    name: str
    outcome: str
    standing: str | None = None
    commit: _Commit | None = None
    reasons: list[str] = []
    new: list[_Trouble] = []
    passes: list[str] = []
    culprits: list[_Culprit] = []


class _Night(_Read):
    name: str
    title: str
    outcome: str
    exit: int
    started: ClockSeconds
    seconds: ClockSeconds
    judged: int
    lost: int
    directory: str
    kernels: list[_Kernel]
    notes: list[str] = []


def of_night(data: Mapping[str, Any]) -> Notice:
    """`data`: as `night.json` has it, or before it is written there. Raises LabError for what is none."""
    try:
        night = _Night.model_validate_json(json_text(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LabError(f"no night: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:  # a number that JSON does not have
        raise LabError(f"no night: {error}") from error
    return Notice(
        kind="night",
        title=f"{night.title or 'night'} {night.name}",
        verdict=night.outcome,
        exit=night.exit,
        directory=night.directory,
        started=night.started,
        seconds=night.seconds,
        judged=night.judged,
        lost=night.lost,
        parts=tuple(part for part in _parts(night) if part.lines),
    )


def _parts(night: _Night) -> Iterator[NoticePart]:
    yield NoticePart("kernels", tuple(_kernel(one) for one in night.kernels))
    for one in night.kernels:
        yield NoticePart(f"new in {one.name}", tuple(map(_trouble, one.new)))
        yield NoticePart(f"brought to {one.name} by", tuple(map(_culprit, one.culprits)))
        yield NoticePart(f"unexpected passes in {one.name}", tuple(one.passes))
    yield NoticePart("notes", tuple(night.notes))


def _kernel(one: _Kernel) -> str:
    stands = f" ({one.standing} since it was judged)" if one.standing else ""
    at = f" at {one.commit.id[:12]} {one.commit.subject}".rstrip() if one.commit else ""
    why = f": {one.reasons[0]}" if one.reasons else ""
    return f"{one.outcome}{stands}: {one.name}{at}{why}"


def _trouble(one: _Trouble) -> str:
    counts = " → ".join("/".join(map(str, pair)) for pair in (one.before, one.after))
    sure = "" if one.blamed else ", seen too seldom to blame the kernel"
    return f"{one.what} {one.name}{f' in {one.where}' if one.where else ''}: {counts}{sure}"


def _culprit(one: _Culprit) -> str:
    if not one.commits:
        return f"nobody knows ({one.signature}): {one.reason}"
    who = " or ".join(f"{commit.id[:12]} {commit.subject}".rstrip() for commit in one.commits)
    return f"{who} ({one.signature}; {'verified' if one.verified else 'not verified'})"
