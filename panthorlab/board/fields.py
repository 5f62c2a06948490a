# SPDX-License-Identifier: GPL-2.0-or-later
"""Validated types that all kinds of board files share: sections, sizes, times and names."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from panthorlab.arch import DEFAULT, ArchName

Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,=+-]*$", max_length=200)]
_UNITS = {"M": 1 << 20, "G": 1 << 30}


class Section(BaseModel):
    """A mapping of a board file: no unknown keys, no silent conversions, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BoardFile(Section):
    """The fields that all board files have; each kind of board narrows `type` to its own name and adds its fields."""

    type: str
    description: str = ""
    arch: ArchName = Field(DEFAULT.name, description="kernel ARCH")
    tags: list[Word] = Field([], description="words by which `--tag` finds it")
    kernel_configs: list[Word] = Field([], description="fragments of kernel_configs/ a kernel for it needs")


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,5}[MG]", text):
        raise ValueError("must be a size like 512M or 1G")
    if not 128 << 20 <= memory_bytes(text) <= 64 << 30:
        raise ValueError("must be between 128M and 64G")
    return text


def memory_bytes(text: str) -> int:
    """`512M` → 536870912."""
    return int(text[:-1]) * _UNITS[text[-1]]


def _command_line(text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise ValueError("must be one line of printable ASCII")
    return text


TimeLimit = Annotated[float, Field(gt=0, le=3600)]
MemorySize = Annotated[str, AfterValidator(_memory)]
CommandLine = Annotated[str, AfterValidator(_command_line)]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9:\[\]._%-]+$", max_length=253)]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{1,16}$", description="physical address, e.g. 0x02000000")]
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00-\x1f]*$", max_length=1000)]
VariableName = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$", max_length=100)]
"""Name of an environment variable that holds a secret; the secret itself is never in a file."""
