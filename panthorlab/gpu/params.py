# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of a model's parameters; `paramtable` defines the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.paramtable import PARAMS, Param, Value

BY_NAME: Mapping[str, Param] = {param.name: param for param in PARAMS}


class Params(Mapping[str, Value]):
    """The parameter values of one model: the defaults with the user's changes. Immutable."""

    def __init__(self, changes: Mapping[str, Value] | None = None) -> None:
        changes = changes or {}
        for name in changes:
            if name not in BY_NAME:
                raise ValueError(f"there is no parameter {name!r}")
        self._values: dict[str, Value] = {p.name: changes.get(p.name, p.default) for p in PARAMS}

    @classmethod
    def parse(cls, assignments: Iterable[str]) -> Params:
        """Parse `NAME=VALUE` words; the last one for a name wins. Raises ValueError with a sentence for the user."""
        changes: dict[str, Value] = {}
        for word in assignments:
            name, equals, text = word.partition("=")
            name = name.removeprefix("gpu.")
            if not equals:
                raise ValueError(f"{word!r} is not NAME=VALUE")
            if name not in BY_NAME:
                raise ValueError(f"there is no parameter {name!r}; `panthorlab gpu params` lists them")
            changes[name] = BY_NAME[name].parse(text)
        return cls(changes)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def number(self, name: str) -> float:
        """The value of a numeric parameter."""
        value = self._values[name]
        if isinstance(value, str):
            raise TypeError(f"{name} is a word")
        return float(value)

    def integer(self, name: str) -> int:
        """The value of an integer parameter."""
        value = self._values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a whole number")
        return value

    def word(self, name: str) -> str:
        """The value of a parameter with a fixed choice of words."""
        value = self._values[name]
        if not isinstance(value, str):
            raise TypeError(f"{name} is a number")
        return value

    def changed(self) -> dict[str, Value]:
        """The values that differ from the defaults."""
        return {name: value for name, value in self._values.items() if value != BY_NAME[name].default}


def stream_params(params: Params, scoreboards: int) -> CsParams:
    """The parameters of the command stream interpreter; `scoreboards`: scoreboard slots of the GPU. Raises ValueError
    with a sentence for the user if a parameter names a slot that does not exist."""
    for name in ("cs.endpoint_slot", "cs.other_slot"):
        if params.integer(name) >= scoreboards:
            raise ValueError(f"{name} must be below {scoreboards}, the scoreboard slots of this GPU")
    run = params.number("run.time_us")
    return CsParams(
        compute_seconds=(run + params.number("run.compute_us")) / 1e6,
        tiling_seconds=(run + params.number("run.tiling_us")) / 1e6,
        fragment_seconds=(run + params.number("run.fragment_us")) / 1e6,
        chunks_per_tiling=params.integer("tiler.chunks_per_job"),
        resume="skip" if params.word("cs.resume") == "skip" else "next",
        exception_data=params.integer("cs.exception_data"),
        endpoint_fault=params.integer("cs.endpoint_fault"),
        sync_error=params.integer("cs.sync_error"),
        initial_endpoint_slot=params.integer("cs.endpoint_slot"),
        initial_other_slot=params.integer("cs.other_slot"),
    )


def describe() -> str:
    """The parameter table as text for the user: name, default, unit, meaning."""
    lines = []
    for p in PARAMS:
        default = f"{p.default:g}" if isinstance(p.default, float) else str(p.default)
        choices = f" [{'|'.join(p.choices)}]" if p.choices else ""
        lines.append(f"{p.name} = {default}{' ' + p.unit if p.unit else ''}{choices}\n    {p.meaning}")
    return "\n".join(lines) + "\n"
