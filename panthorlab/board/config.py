# SPDX-License-Identifier: GPL-2.0-or-later
"""Board files (`board_configs/NAME.yaml`), read and checked by the model of the kind of board that `type:` names."""

from __future__ import annotations

from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from panthorlab.board import yamlfile
from panthorlab.board.fields import BoardFile
from panthorlab.board.kinds import KINDS
from panthorlab.errors import ConfigError


def read_board_file(file: Path) -> BoardFile:
    """The board that `file` describes. Raises ConfigError with file:line:column and a suggestion where one is near."""
    data, places = yamlfile.read_yaml(file)
    kind = data.get("type")
    known = ", ".join(KINDS)
    if kind is None:
        raise ConfigError("`type` is missing", file=file, line=1, column=1, hint=f"one of: {known}")
    if not isinstance(kind, str) or kind not in KINDS:
        mark = places.values[("type",)]
        raise ConfigError(
            f"unknown board type `{kind}`",
            file=file,
            line=mark.line + 1,
            column=mark.column + 1,
            hint=yamlfile.close_match(str(kind), list(KINDS)) or f"one of: {known}",
        )
    return yamlfile.load(file, KINDS[kind].model, data, places)


def board_file_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of board files, for editors."""
    models: Any = reduce(or_, (board.model for board in KINDS.values()))
    files: TypeAdapter[BoardFile] = TypeAdapter(Annotated[models, Field(discriminator="type")])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "panthorlab board file",
        **files.json_schema(),
    }
