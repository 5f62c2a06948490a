# SPDX-License-Identifier: GPL-2.0-or-later
"""What verdict and reports need of each event: whoever reads a log that something else wrote gets a sentence, not a
traceback. Events and fields that are not named here may be there, and are nobody's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.run.eventlines import DamagedError

Test = Callable[[Any], bool]


_FAR_FUTURE: Final = 1e11  # Unix time of the year 5138


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _FAR_FUTURE


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _table(value: Any) -> bool:
    return isinstance(value, dict)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_count, value.values()))


def _needs(value: Any) -> bool:
    return _tables(value) and all(_text(need.get("test")) and _truth(need.get("counted")) for need in value)


def _names(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_texts, value.values()))


def _reasons(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _one_of(*known: str | None) -> Test:
    return lambda value: (value is None or isinstance(value, str)) and value in known


def _hint(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _findings(value: Any) -> bool:
    return isinstance(value, list) and all(map(_finding, value))


def _finding(value: Any) -> bool:
    return isinstance(value, dict) and _text(value.get("kind")) and _text(value.get("signature"))


def _line_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, list) and all(map(_count, one)) for one in value.values())


def _suites_ran(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(one, dict) and _count(one.get("functions")) and _count(one.get("lines")) for one in value.values())


def _patch_lines(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and _count(value.get("lines")) and _count(value.get("ran"))
                             and _texts(value.get("never")) and _texts(value.get("outside")))


_SIDE, _OUTCOME = _one_of(*Side), _one_of(*Outcome)
_BLAME, _ROLE = _one_of(None, *Blame), _one_of(*Role)
_WHERE: Final[Mapping[str, Test]] = {"boot": _text, "side": _SIDE}
SHAPES: Final[Mapping[str, Mapping[str, Test]]] = {
    "run-start": {"options": _table, "suites": _texts},
    "note": {"text": _text},
    "source": {"base": _text, "patches": _tables},
    "kernel": {
        "side": _SIDE, "key": _text, "build_id": _text, "release": _text, "title": _text, "fragments": _texts,
    },
    "build-failed": {"message": _text},
    "identical": {"why": _text},
    "needs": {"tests": _needs},
    "planned": {"plain": _texts, "variants": _tables, "left_out": _reasons},
    "variant-kernel": {
        "variant": _text, "side": _SIDE, "key": _text, "build_id": _text, "release": _text, "title": _text,
        "fragments": _texts,
    },
    "variant-failed": {"variant": _text, "side": _SIDE, "message": _text},
    "variant-identical": {"variant": _text, "why": _text},
    "phase": {"name": _text, "seconds": _number},
    "session": {"seconds": _number},
    "stopped": {"reason": _text, "hint": _hint, "exit": _count},
    "moved": {"slot": _text, "board": _text},
    "boot-start": {**_WHERE, "slot": _text},  # and `variant`, since there are any
    "boot-end": {**_WHERE, "slot": _text, "complete": _truth, "outcome": _OUTCOME, "blame": _BLAME},
    "step": {
        **_WHERE, "name": _text, "begin": _number, "end": _number, "seconds": _number, "outcome": _OUTCOME,
        "message": _text,
    },
    "board": {"boot": _text, "name": _text, "facts": _table},
    "quota": {**_WHERE, "workload": _text, "side_total": _count},
    "iteration": {
        **_WHERE, "id": _text, "workload": _text, "role": _ROLE, "outcome": _OUTCOME, "blame": _BLAME,
        "terminations": _count, "faulty": _count, "kinds": _texts, "signatures": _texts, "declared": _texts,
        "program_failed": _truth, "message": _text, "findings": _findings,
    },
    "stray": {**_WHERE, "finding": _finding},
    "log-gap": {**_WHERE, "after": _text},
    "patch-lines": {"removed": _line_numbers, "added": _line_numbers},
    "coverage": {
        "side": _SIDE, "functions": _count, "function_total": _count, "lines": _count, "line_total": _count,
        "suites": _suites_ran, "patch": _patch_lines,
    },
    "extension": {"iterations": _counts, "why": _texts},
    "again": {"tests": _names, "why": _texts},
    "test": {
        **_WHERE, "suite": _text, "test": _text, "outcome": _OUTCOME, "blame": _BLAME, "message": _text,
        "seconds": _number,
    },
}  # fmt: skip
_PATCH: Final[Mapping[str, Test]] = {"title": _text, "state": _text, "source": _text}
_VARIANT: Final[Mapping[str, Test]] = {"name": _text, "tests": _texts, "fragments": _texts, "params": _reasons}
_VALIDATION: Final[Mapping[str, Test]] = {
    "expect": _one_of("fix", "no-change"), "boots": _count, "board": _text, "seed": lambda value: type(value) is int,
}  # fmt: skip


def check(events: Sequence[Mapping[str, Any]]) -> None:
    """Raises DamagedError for the first event that is not of its shape."""
    for number, event in enumerate(events, 1):
        name = event["event"]
        _check(number, name, event, {"time": _number, **SHAPES.get(name, {})})
        if name == "source":
            for patch in event["patches"]:
                _check(number, "source", patch, _PATCH)
        if name == "planned":
            for variant in event["variants"]:
                _check(number, "planned", variant, _VARIANT)
        if name == "stray" and event.get("marker") is not None:
            _check(number, "stray", event, {"marker": _table})
        if name == "run-start" and "expect" in event["options"]:
            _check(number, "run-start", event["options"], _VALIDATION)
            _check(number, "run-start", event, {"command": _texts, "directory": _text})


def _check(number: int, name: str, value: Mapping[str, Any], shape: Mapping[str, Test]) -> None:
    for field, test in shape.items():
        if field not in value or not test(value[field]):
            state = "has no" if field not in value else "has a senseless"
            raise DamagedError(number, f"its event `{name}` {state} `{field}`")
