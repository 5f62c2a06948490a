# SPDX-License-Identifier: GPL-2.0-or-later
"""A YAML file checked against a pydantic model; all errors are reported with file:line:column.

The files are untrusted: only plain data, no aliases (they can expand a small file without bounds), a size limit.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from panthorlab.errors import ConfigError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
_NO_MAPPING = frozenset({"model_type", "model_attributes_type", "dict_type"})
_PLAIN = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
Path_ = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Mark(Protocol):
    line: int
    column: int


class _Node:
    """A YAML value with its position: `data` as plain Python, marks by path of keys."""

    def __init__(self) -> None:
        self.values: dict[Path_, yaml.Mark] = {}
        self.keys: dict[Path_, yaml.Mark] = {}


def close_match(word: str, known: Sequence[str]) -> str | None:
    """`did you mean …?`, or None if nothing is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else None


def read_yaml(file: Path) -> tuple[dict[str, Any], _Node]:
    """The mapping in `file` and the positions of its parts. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
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
    except yaml.reader.ReaderError as error:
        raise _unreadable(file, raw, error) from error
    except RecursionError as error:
        raise ConfigError("not valid YAML: nested too deeply", file=file) from error
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
        details = _without_misspelt(model, error.errors(include_url=False))
        found = sorted(
            (_explain(model, detail, places) for detail in details),
            key=lambda item: (item[0].line, item[0].column) if item[0] else (0, 0),
        )
    mark, message, hint = found[0]
    if len(found) > 1 and hint:  # printed after the last error, the hint would seem to belong to that
        message, hint = f"{message} ({hint})", None
    others = [
        (f"{file}:{m.line + 1}:{m.column + 1}: {text}" if m else text) + (f" ({advice})" if advice else "")
        for m, text, advice in found[1:]
    ]
    raise _at(file, mark, "\n".join([message, *others]), hint)


def _without_misspelt(model: type[BaseModel], details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drop errors about missing keys that are present but misspelt: one mistake, one error."""
    unknown = [_descend(model, detail["loc"])[0] for detail in details if detail["type"] == "extra_forbidden"]

    def misspelt(detail: ErrorDetails) -> bool:
        path, _ = _descend(model, detail["loc"])
        beside = [str(other[-1]) for other in unknown if other[:-1] == path[:-1]]
        return detail["type"] == "missing" and close_match(str(path[-1]), beside) is not None

    return [detail for detail in details if not misspelt(detail)]


def _check_shape(file: Path, raw: bytes) -> None:
    """Refuse constructs that cost far more than their size: aliases, and deep nesting."""
    depth = 0
    for event in yaml.parse(raw, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _at(
                file, event.start_mark, f"alias `*{event.anchor}`: aliases are not supported", "write the value out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _at(file, event.start_mark, "nested too deeply")


def _unreadable(file: Path, raw: bytes, error: yaml.reader.ReaderError) -> ConfigError:
    """The error for invalid bytes or characters; the YAML reader gives their position as an offset."""
    code, encoding = int(error.character), str(error.encoding)
    if encoding == "unicode":  # decoded already: the offset counts characters
        wide = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(raw[:2], "utf-8")
        before = raw.decode(wide, "replace")[: error.position]
        what, hint = f"character U+{code:04X} is not allowed", "delete it"
    else:
        before = raw[: error.position].decode(encoding, "replace")
        what, hint = f"byte 0x{code:02x} is no {encoding.upper()}", "save the file as UTF-8"
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return ConfigError(f"not valid YAML: {what}", file=file, line=line, column=column, hint=hint)


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
        what = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        raise _at(file, node.start_mark, f"not a plain value: {what}") from error


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type: itself, members of a union, elements of a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, recursively with the models of their fields."""
    for model in _models(annotation):
        yield model
        for field in model.model_fields.values():
            yield from models_of(field.annotation)


def _tags(model: type[BaseModel], key: str) -> tuple[Any, ...]:
    """The values of the discriminator `key` that select `model` in a union."""
    field = model.model_fields.get(key)
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _descend(model: type[BaseModel], place: Path_) -> tuple[Path_, list[type[BaseModel]]]:
    """The path in the file for the location of a pydantic error, which also names the chosen members of unions; and the
    models that the mapping at that path may have."""
    current: list[type[BaseModel]] = [model]
    path: Path_ = ()
    for step in place:
        chosen = [kind for kind in current if any(step in _tags(kind, key) for key in kind.model_fields)]
        if len(current) > 1 and chosen:
            current = chosen
            continue
        path = (*path, step)
        if isinstance(step, str):
            fields = [kind.model_fields[step] for kind in current if step in kind.model_fields]
            current = [found for field in fields for found in _models(field.annotation)]
    return path, current


def _wrong_tag(
    detail: ErrorDetails, path: Path_, members: Sequence[type[BaseModel]], places: _Node
) -> tuple[yaml.Mark | None, str, str | None]:
    """Position, message and hint for a union's discriminator that is missing or has an unknown value."""
    context = detail.get("ctx", {})
    key = str(context["discriminator"]).strip("'")
    known = [str(tag) for member in members for tag in _tags(member, key)]
    where = ".".join(map(str, (*path, key)))
    if detail["type"] == "union_tag_not_found":
        return places.values[path], f"`{where}` is missing", f"one of: {', '.join(known)}"
    tag = str(context["tag"])
    return (
        places.values[(*path, key)],
        f"unknown `{where}`: `{tag}`",
        (close_match(tag, known) or f"one of: {', '.join(known)}"),
    )


def _explain(model: type[BaseModel], detail: ErrorDetails, places: _Node) -> tuple[yaml.Mark | None, str, str | None]:
    (path, models), context = _descend(model, detail["loc"]), detail.get("ctx", {})
    if detail["type"].startswith("union_tag"):
        return _wrong_tag(detail, path, models, places)
    known_part = path
    while known_part not in places.values:
        known_part = known_part[:-1]
    where = ".".join(str(step) for step in path)
    if detail["type"] == "extra_forbidden":
        names = list(
            dict.fromkeys(name for parent in _descend(model, detail["loc"][:-1])[1] for name in parent.model_fields)
        )
        suggestion = close_match(str(path[-1]), names) or f"known here: {', '.join(names)}"
        return places.keys.get(path), f"unknown key `{where}`", suggestion
    if detail["type"] == "missing":
        return places.values[known_part], f"`{where}` is missing", None
    hint: str | None = None
    if detail["type"] == "literal_error":
        choices = str(context.get("expected", ""))
        hint = close_match(str(detail["input"]), choices.replace("'", "").replace(" or ", ", ").split(", "))
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in _NO_MAPPING:
        message = "must be a mapping (`key: value` lines below it)"
    elif detail["type"] == "string_type" and isinstance(detail["input"], int | float | datetime.date):
        hint = "write it in quotes"  # YAML reads it as a number, a date, or a boolean
    sentence = f"{message[:1].lower()}{message[1:]}"
    return places.values[known_part], f"`{where}`: {sentence}" if where else sentence, hint
