# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON objects as frozen dataclasses and back, by their annotations: strict, so that what is written comes back as it
was, and nothing is taken for what it only looks like (no `"3"` for 3, no `true` for 1).

Not pydantic's: that refuses texts that are no Unicode, and a run's directory and command line may be such.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from panthorlab.jsonvalue import Json, JsonObject

T = TypeVar("T")
_FAR_FUTURE: Final = 1e11  # Unix time of the year 5138
_MOST: Final = 1 << 53  # beyond it, counts are not what statistics and databases take them for


class ShapeError(ValueError):
    """A JSON object that is not what it should be: its field `name` is `missing`, or senseless."""

    def __init__(self, name: str, *, missing: bool) -> None:
        super().__init__(f"it has {'no' if missing else 'a senseless'} `{name}`")
        self.name, self.missing = name, missing


class _SenselessError(ValueError):
    """A value that does not fit its type."""


def _count(value: int) -> bool:
    return 0 <= value < _MOST


def _time(value: float) -> bool:
    return 0 <= value < _FAR_FUTURE


def _finding(value: Mapping[str, object]) -> bool:
    return isinstance(value.get("kind"), str) and isinstance(value.get("signature"), str)


Count = Annotated[int, _count]
Seconds = Annotated[float, _time]
"""Of a clock, or that something took."""
FindingJson = Annotated[JsonObject, _finding]
"""A finding by the contract of `scan --json`: of its fields, only `kind` and `signature` are needed here."""


def encode(value: object) -> Json:
    """A dataclass as a JSON object, and what it holds as what JSON has for it."""
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{value!r} is nothing for a record")


def decode(kind: type[T], value: Mapping[str, object]) -> T:
    """The dataclass `kind` from its JSON object; fields that it does not have are nobody's business. Raises ShapeError
    for the first one that is missing or senseless."""
    return cast(T, _decoder(cast(Hashable, kind))(value))


Decoder = Callable[[object], object]


@cache
def _decoder(kind: object) -> Decoder:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object:
        return lambda value: value
    if origin is Annotated:
        return _checked(_decoder(arguments[0]), arguments[1])
    if origin in (Union, types.UnionType):
        return _optional(arguments)
    if origin is tuple:
        return _tuple(_decoder(arguments[0]))
    if origin is Mapping:
        return _mapping(_decoder(arguments[1]))
    assert isinstance(kind, type), kind  # noqa: S101 - all others that records use
    if is_dataclass(kind):
        return _object(kind)
    return _enum(kind) if issubclass(kind, StrEnum) else _scalar(kind)


def _scalar(kind: type) -> Decoder:
    wanted = (int, float) if kind is float else (kind,)

    def scalar(value: object) -> object:
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
            raise _SenselessError
        return value

    return scalar


def _enum(kind: type[StrEnum]) -> Decoder:
    members: Mapping[object, StrEnum] = {member.value: member for member in kind}

    def enum(value: object) -> object:
        if not isinstance(value, str) or value not in members:
            raise _SenselessError
        return members[value]

    return enum


def _checked(inner: Decoder, check: Callable[[object], bool]) -> Decoder:
    def checked(value: object) -> object:
        found = inner(value)
        if not check(found):
            raise _SenselessError
        return found

    return checked


def _optional(arguments: tuple[object, ...]) -> Decoder:
    (inner,) = [_decoder(argument) for argument in arguments if argument is not types.NoneType]
    return lambda value: None if value is None else inner(value)


def _tuple(item: Decoder) -> Decoder:
    def array(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise _SenselessError
        return tuple(map(item, value))

    return array


def _mapping(item: Decoder) -> Decoder:
    def mapping(value: object) -> object:
        if not isinstance(value, Mapping):
            raise _SenselessError
        return {key: item(one) for key, one in value.items()}

    return mapping


def _object(kind: type) -> Decoder:
    hints = get_type_hints(kind, include_extras=True)
    known = [
        (field.name, _decoder(hints[field.name]), field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
    ]

    def build(value: object) -> object:
        if not isinstance(value, Mapping):
            raise _SenselessError
        found: dict[str, object] = {}
        for name, decoder, required in known:
            if name not in value:
                if required:
                    raise ShapeError(name, missing=True)
                continue
            try:
                found[name] = decoder(value[name])
            except _SenselessError:
                raise ShapeError(name, missing=False) from None
        return kind(**found)

    return build
