# SPDX-License-Identifier: GPL-2.0-or-later
"""A YAML file checked against a pydantic model; everything wrong with it is said with file:line:column.

The files are untrusted: only plain data, no aliases (they can blow a small file up), a size limit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from panthorlab.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
_PLAIN = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
Path_ = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Mark(Protocol):
    line: int
    column: int


class _Node:
    """A YAML value and where it stands: `data` as plain Python, marks by path of keys."""

    def __init__(self) -> None:
        self.values: dict[Path_, yaml.Mark] = {}
        self.keys: dict[Path_, yaml.Mark] = {}


def close_match(word: str, known: Sequence[str]) -> str | None:
    """`did you mean …?`, or None if nothing is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else None


def read_yaml(file: Path) -> tuple[dict[str, Any], _Node]:
    """The mapping in `file` and the places of its parts. Raises ConfigError."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"is larger than {MAX_BYTES // 1024} KiB: not a configuration file", file=file)
    try:
        _check_shape(file, raw)
        root = yaml.compose(raw, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise _at(file, error.problem_mark or error.context_mark, f"not valid YAML: {what}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"not valid YAML: {error or 'nested too deeply'}", file=file) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError("must be a mapping (`key: value` lines)", file=file, line=1, column=1)
    places = _Node()
    places.values[()] = root.start_mark
    data = _construct(file, root, (), places)
    assert isinstance(data, dict)  # noqa: S101 - a MappingNode gives a dict
    return data, places


def load(file: Path, model: type[Model], data: dict[str, Any], places: _Node) -> Model:
    """`data` as a `model`. Raises ConfigError for the first error by position, and names the others."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = sorted((_explain(model, detail, places) for detail in error.errors(include_url=False)),
                       key=lambda item: (item[0].line, item[0].column) if item[0] else (0, 0))
    mark, message, hint = found[0]
    others = [f"{file}:{m.line + 1}:{m.column + 1}: {text}" if m else text for m, text, _ in found[1:]]
    raise _at(file, mark, "\n".join([message, *others]), hint)


def _check_shape(file: Path, raw: bytes) -> None:
    """Refuse what would cost far more than its size: aliases, and deep nesting."""
    depth = 0
    for event in yaml.parse(raw, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _at(file, event.start_mark, f"alias `*{event.anchor}`: aliases are not supported",
                      "write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _at(file, event.start_mark, "nested too deeply")


def _at(file: Path, mark: _Mark | None, message: str, hint: str | None = None) -> ConfigError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return ConfigError(message, file=file, line=line, column=column, hint=hint)


def _construct(file: Path, node: yaml.Node, path: Path_, places: _Node) -> Any:
    if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
        raise _at(file, node.start_mark, f"not a plain value: {node.tag}")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise _at(file, key_node.start_mark, "a key must be a word")
            if key in mapping:
                raise _at(file, key_node.start_mark, f"`{key}` is given twice")
            places.keys[(*path, key)] = key_node.start_mark
            places.values[(*path, key)] = value_node.start_mark
            mapping[key] = _construct(file, value_node, (*path, key), places)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            places.values[(*path, index)] = item.start_mark
            items.append(_construct(file, item, (*path, index), places))
        return items
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise _at(file, node.start_mark, f"not a plain value: {error}") from error


def _fields(model: type[BaseModel], path: Path_) -> Iterator[str]:
    """Names of the keys that the model knows in the mapping at `path`."""
    current: Any = model
    for step in path:
        field = current.model_fields.get(step) if hasattr(current, "model_fields") else None
        kinds = getattr(field.annotation, "__args__", (field.annotation,)) if field else ()
        current = next((kind for kind in kinds if hasattr(kind, "model_fields")), None)
    if current is not None:
        yield from current.model_fields


def _explain(
    model: type[BaseModel], detail: ErrorDetails, places: _Node,
) -> tuple[yaml.Mark | None, str, str | None]:
    path, context = tuple(detail["loc"]), detail.get("ctx", {})
    known_part = path
    while known_part not in places.values:
        known_part = known_part[:-1]
    where = ".".join(str(step) for step in path)
    if detail["type"] == "extra_forbidden":
        names = list(_fields(model, path[:-1]))
        suggestion = close_match(str(path[-1]), names) or f"known here: {', '.join(names)}"
        return places.keys.get(path), f"unknown key `{where}`", suggestion
    if detail["type"] == "missing":
        return places.values[known_part], f"`{where}` is missing", None
    hint: str | None = None
    if detail["type"] == "literal_error":
        choices = str(context.get("expected", ""))
        hint = close_match(str(detail["input"]), choices.replace("'", "").replace(" or ", ", ").split(", "))
    message = detail["msg"].removeprefix("Value error, ")
    return places.values[known_part], f"`{where}`: {message[:1].lower()}{message[1:]}", hint
