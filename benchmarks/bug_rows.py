# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the scoreboard: `bugs/bugs.toml`, checked, and the reverse patches beside it; and bugs that were made up
(`mutants/mutants.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from panthorlab.errors import UsageError

FOLDER: Final = Path(__file__).resolve().parent / "bugs"
TABLE: Final = FOLDER / "bugs.toml"
MADE_UP: Final = FOLDER.with_name("mutants")
MUTANTS: Final = MADE_UP / "mutants.toml"
DRIVER: Final = "drivers/gpu/drm/panthor"

Id = Annotated[str, Field(pattern=r"^\d{2,3}-[a-z0-9]+(-[a-z0-9]+)*$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Release = Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?$")]
Sentence = Annotated[str, Field(min_length=8)]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: Id
    base: str | None = None
    files: tuple[str, ...] = ()
    does: Sentence
    needs: tuple[str, ...] = ()
    shown_by: tuple[str, ...] = Field(default=(), alias="shown-by")

    @property
    def patch(self) -> Path:
        return FOLDER / f"{self.id}.patch"

    @property
    def number(self) -> str:
        return self.id.partition("-")[0]


class Control(_Row):
    """A change that does no harm, to see that a change alone is not taken for a bug."""


class Bug(_Row):
    """A bug of the driver. The fields are explained at the top of the table."""

    upstream: tuple[Commit, ...]
    title: Sentence
    fixed_in: Release = Field(alias="fixed-in")
    cve: Annotated[str, Field(pattern=r"^CVE-\d{4}-\d{4,}$")] | None = None
    trigger: Sentence | None = None
    unshown: Sentence | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.trigger is None) == (self.unshown is None):
            raise ValueError(f"{self.id}: say either how it is triggered, or why no run can show it")
        if self.patch.is_file() != bool(self.files):
            raise ValueError(f"{self.id}: `files` goes with {self.patch.name}, which {self._is_there}")
        if self.trigger and not self.files:
            raise ValueError(f"{self.id}: it can be shown, so it needs {self.patch.name}")
        return self

    @property
    def _is_there(self) -> str:
        return "is there" if self.patch.is_file() else "is missing"


class Mutant(_Row):
    """A bug that the driver never had. The fields are explained at the top of `mutants/mutants.toml`."""

    seen: Literal["before", "after", "no", "not run"] = "not run"
    by: str | None = None
    unshown: Sentence | None = None

    @property
    def patch(self) -> Path:
        return MADE_UP / f"{self.id}.patch"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.files or not self.patch.is_file():
            raise ValueError(f"{self.id}: it has no files, or no {self.patch.name}")
        if (self.by is not None) != (self.seen in ("before", "after")):
            raise ValueError(f"{self.id}: `by` says who has seen it, if somebody has")
        return self


Row = Bug | Control | Mutant


class Mutants(BaseModel):
    """Everything that is in the table of bugs that were made up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mutant: tuple[Mutant, ...]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _check_unique(self.mutant)
        return self

    @property
    def rows(self) -> list[Row]:
        return [*self.mutant]


class Table(BaseModel):
    """Everything that is in the table. `note`: a paragraph for the page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str = ""
    control: tuple[Control, ...]
    bug: tuple[Bug, ...]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        _check_unique(self.rows)
        return self

    @property
    def rows(self) -> list[Row]:
        return [*self.control, *self.bug]

    @property
    def shown(self) -> list[Bug]:
        """The bugs that a run can show."""
        return [bug for bug in self.bug if bug.unshown is None]


AnyTable = TypeVar("AnyTable", Table, Mutants)


def _check_unique(rows: Sequence[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.number in seen:
            raise ValueError(f"{row.id}: another row has this id or number")
        seen.add(row.number)


def load(path: Path = TABLE) -> Table:
    """Raises UsageError for a table that is wrong."""
    return _load(Table, path)


def load_mutants(path: Path = MUTANTS) -> Mutants:
    """Raises UsageError for a table that is wrong."""
    return _load(Mutants, path)


def _load(kind: type[AnyTable], path: Path) -> AnyTable:
    try:
        return kind.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"{path}: {error}", hint="the top of the table explains its fields") from None


def choose(table: Table | Mutants, names: list[str]) -> list[Row]:
    """The rows that `names` mean: an id, its number, or its beginning; without names those that can be shown, after the
    controls. Raises UsageError for a name that means none."""
    rows = table.rows
    if not names:
        return [row for row in rows if isinstance(row, Control) or row.unshown is None]
    chosen: dict[str, Row] = {}
    for name in names:
        found = [row for row in rows if name == row.number or (not name.isdigit() and row.id.startswith(name))]
        if not found:
            raise UsageError(f"no row is called {name}", hint="`benchmarks/bugs.py --list` shows them")
        chosen |= {row.id: row for row in found}
    without = [row.id for row in chosen.values() if not row.files]
    if without:
        raise UsageError(f"there is no patch for {', '.join(without)}", hint="the table says why, at `unshown`")
    return list(chosen.values())
