# SPDX-License-Identifier: GPL-2.0-or-later
"""What JSON can hold, as a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
    """A value as `json.loads` gives it, or as `json.dumps` takes it."""
else:
    Json = object  # whoever reads annotations at run time would have to follow the alias into itself

JsonObject: TypeAlias = Mapping[str, Json]
