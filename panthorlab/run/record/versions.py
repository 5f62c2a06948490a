# SPDX-License-Identifier: GPL-2.0-or-later
"""Objects of a log as events, whatever version wrote them; pure functions.

`VERSION` grows with every event and every field that an older panthorlab must not overlook. The log's first event has
it, and each `resumed` that of what follows. What a newer version has written and this one does not know, it refuses:
to leave it out could change a verdict. What older ones have written, it reads as if it were of today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.jsonvalue import Json, JsonObject
from panthorlab.outcome import Side
from panthorlab.run.record import bisects, boots, build, plans, runs
from panthorlab.run.record.base import Event, OfBoot, kinds
from panthorlab.run.record.codec import ShapeError, decode, encode
from panthorlab.run.record.lines import DamagedError

VERSION: Final = 3
"""1: events without a version, in which an arm was called `side` and was one of a comparison. 2: arms. 3: bisects."""
ARMS: Final = 2
"""From here on nothing was renamed, and no event was taken away."""
_MODULES: Final = (bisects, boots, build, plans, runs)
"""They have all events; imported, these are known."""
_RENAMED: Final = {"side": "arm", "side_total": "arm_total"}
_OF_VALIDATIONS: Final = (("options", ("boots", "board", "seed")), ("", ("command", "directory")))
"""What the first event of a validation must have, in its options and by itself."""


class NewerLogError(UsageError):
    """A log that only a newer panthorlab can read."""

    def __init__(self, number: int, version: int, what: str) -> None:
        super().__init__(
            f"line {number} of the event log: {what}; the log was written by a newer panthorlab "
            f"(version {version} of the record, this one knows {VERSION})",
            hint="read it with that panthorlab, or update this one",
        )


def as_json(event: Event) -> dict[str, Json]:
    """The JSON object of an event: its name first."""
    fields = encode(event)
    assert isinstance(fields, dict)  # noqa: S101 - it is a dataclass
    return {"event": event.EVENT, **fields}


def event_of(fields: JsonObject) -> Event | None:
    """The event of an object of this version; None if there is none of its name. Raises ShapeError."""
    kind = kinds().get(str(fields.get("event")))
    return None if kind is None else decode(kind, fields)


def events_of(objects: Iterable[JsonObject]) -> Iterator[tuple[int, Event]]:
    """The events of a log's objects, one a line, with the numbers of these. Events that older versions knew, and this
    one does not, are left out.

    Raises DamagedError at the first that is not what it should be, NewerLogError.
    """
    version, arms = 1, frozenset[str]()
    for number, fields in enumerate(objects, 1):
        name = str(fields["event"])
        if name in ("run-start", "resumed"):
            version = _version(number, name, fields, version)
        event = _event(number, name, fields if version >= ARMS else _of_today(fields), version)
        if isinstance(event, runs.RunStart) and event.options.expect is not None:
            arms = frozenset(Side)
            _check_validation(number, fields)
        if arms and (arm := getattr(event, "arm", "")) and arm not in arms:
            raise DamagedError(number, _sentence(name, ShapeError("arm", missing=False), version))
        if event is not None:
            yield number, event


def _event(number: int, name: str, fields: JsonObject, version: int) -> Event | None:
    try:
        if "time" not in fields:
            raise ShapeError("time", missing=True)
        event = event_of(fields)
        place = event.PLACE if isinstance(event, OfBoot) else ()
        if missing := next((name for name in place if name not in fields), None):
            raise ShapeError(missing, missing=True)
    except ShapeError as error:
        sentence = _sentence(name, error, version)
        raise (
            NewerLogError(number, version, sentence) if version > VERSION else DamagedError(number, sentence)
        ) from None
    if event is None and version >= ARMS:
        what = f"its event `{name}` is not known"
        raise NewerLogError(number, version, what) if version > VERSION else DamagedError(number, what)
    return event


def _sentence(name: str, error: ShapeError, version: int) -> str:
    old = {new: old for old, new in _RENAMED.items()} if version < ARMS else {}
    return f"its event `{name}` has {'no' if error.missing else 'a senseless'} `{old.get(error.name, error.name)}`"


def _version(number: int, name: str, fields: JsonObject, before: int) -> int:
    version = fields.get("version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DamagedError(number, f"its event `{name}` has a senseless `version`")
    return max(before, version)


def _of_today(fields: JsonObject) -> JsonObject:
    """An event of an older version as this one has it."""
    new: dict[str, Json] = {_RENAMED.get(name, name): value for name, value in fields.items()}
    if fields["event"] == "extension":
        new["arm"] = Side.BEFORE.value
    if fields["event"] == "stray":  # the oldest do not tell after which marker
        new["placed"] = "marker" in fields
    tests = fields.get("tests")
    if fields["event"] == "needs" and isinstance(tests, list):  # nor which overlay a test wants, or if one
        new["overlays_known"] = all(isinstance(test, dict) and "overlay" in test for test in tests)
    return new


def _check_validation(number: int, fields: JsonObject) -> None:
    for place, names in _OF_VALIDATIONS:
        found = fields[place] if place else fields
        for name in names:
            if isinstance(found, dict) and name not in found:
                raise DamagedError(number, f"its event `run-start` has no `{name}`")
