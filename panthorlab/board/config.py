# SPDX-License-Identifier: GPL-2.0-or-later
"""Board files (`board_configs/NAME.yaml`): what they may say, read and checked.

The key `type:` decides what kind of board it is and so which model below checks the rest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, field_validator

from panthorlab.arch import DEFAULT, ArchName
from panthorlab.board import yamlfile
from panthorlab.board.fields import CommandLine, Memory, Seconds, Section, Word
from panthorlab.board.real.file import AUTO, RealFile
from panthorlab.errors import ConfigError, UsageError
from panthorlab.gpu.generations.table import DEFAULT_MODEL, GENERATIONS
from panthorlab.gpu.params import Params
from panthorlab.kernel.model import Kernel

if TYPE_CHECKING:
    Model = str
else:
    Model = Literal[tuple(GENERATIONS)]


class Gpu(Section):
    """The emulated GPU that hangs on the board's PCI bus."""

    model: Model = Field(DEFAULT_MODEL, description="GPU model, as `panthorlab gpu serve --model`")
    params: dict[Word, Word] = Field({}, description="model parameters, as `--param gpu.NAME=VALUE`")

    @field_validator("params")
    @classmethod
    def _known(cls, params: dict[str, str]) -> dict[str, str]:
        Params.parse(f"{name}={value}" for name, value in params.items())
        return params


class Machine(Section):
    """QEMU's `virt` machine. One vCPU is the default and the fastest; two are a variant of it."""

    cpu: Word = Field("cortex-a57", description="QEMU's -cpu")
    vcpus: Annotated[int, Field(ge=1, le=8)] = Field(1, description="guest CPUs")
    memory: Memory = Field("1G", description="guest memory, 128M to 64G")
    pin: bool = Field(True, description="keep QEMU and the GPU model on one host CPU: halves register read latency")


class Boot(Section):
    """How the kernel is told to talk, the same for every kernel compared on the board."""

    log_level: Annotated[int, Field(ge=0, le=8)] = Field(
        5, description="console log level (`loglevel=`). Printing moves races: it is fixed and recorded")
    command_line: CommandLine = Field(
        "", max_length=1500, description="more kernel parameters, appended")


class TimeLimits(Section):
    """Seconds after which a step counts as hung."""

    boot: Seconds = Field(30, description="QEMU started → commands can be run")
    probe: Seconds = Field(15, description="→ panthor has made its render node")
    answer: Seconds = Field(20, description="a running board answers a ping")


class EmulatedFile(Section):
    """A board that is a QEMU with the emulated GPU."""

    type: Literal["emulated"]
    description: str = ""
    arch: ArchName = Field(DEFAULT.name, description="kernel ARCH")
    tags: list[Word] = Field([], description="words by which `--tag` finds it")
    kernel_configs: list[Word] = Field(["qemu-virt"], description="fragments of kernel_configs/ a kernel for it needs")
    gpu: Gpu | None = Field(Gpu.model_validate({}), description="null: a board without GPU")
    machine: Machine = Machine.model_validate({})
    boot: Boot = Boot.model_validate({})
    time_limits: TimeLimits = TimeLimits.model_validate({})


BoardFile: TypeAlias = EmulatedFile | RealFile
"""Any board file, told apart by `type`. A new kind of board joins this union and `BOARD_TYPES`."""

BOARD_TYPES: dict[str, type[EmulatedFile] | type[RealFile]] = {"emulated": EmulatedFile, "real": RealFile}


def read_board_file(file: Path) -> BoardFile:
    """The board that `file` describes. Raises ConfigError with file:line:column and a suggestion where one is near."""
    data, places = yamlfile.read_yaml(file)
    kind = data.get("type")
    known = ", ".join(BOARD_TYPES)
    if kind is None:
        raise ConfigError("`type` is missing", file=file, line=1, column=1, hint=f"one of: {known}")
    if not isinstance(kind, str) or kind not in BOARD_TYPES:
        mark = places.values[("type",)]
        raise ConfigError(f"unknown board type `{kind}`", file=file, line=mark.line + 1, column=mark.column + 1,
                          hint=yamlfile.close_match(str(kind), list(BOARD_TYPES)) or f"one of: {known}")
    return yamlfile.load(file, BOARD_TYPES[kind], data, places)


def check_here(board: str, file: BoardFile) -> None:
    """Raises UsageError if the file says what such a board is like, and not yet where one is."""
    if isinstance(file, RealFile) and file.example:
        raise UsageError(f"the file of board {board} is an example: it does not say where your board is",
                         hint="copy it to a directory of your own, change what is marked EDIT, take `example` out, and "
                              "name the copy, e.g. --board ./mine.yaml; docs/rock-5b.md has every step")


def check_method(board: str, file: BoardFile, method: str) -> None:
    """Raises UsageError if `--boot-method method` cannot be had on the board at all."""
    if method == AUTO:
        return
    if not isinstance(file, RealFile):
        raise UsageError(f"board {board} is emulated: it has no --boot-method {method}", hint="leave it out")
    if method not in file.boot.methods:
        raise UsageError(f"board {board} is not set up for --boot-method {method}",
                         hint=f"its file has `methods: [{', '.join(file.boot.methods)}]`")


def check_release(board: str, file: BoardFile, release: str) -> None:
    """Raises UsageError if a kernel of this release cannot have a GPU on the board: the kernel is not to blame."""
    since = file.since if isinstance(file, RealFile) else None
    if since is not None and _numbers(release) < _numbers(since):
        raise UsageError(
            f"board {board} needs Linux {since} or newer: the device tree of {release} does not have its GPU",
            hint="name a newer --base, e.g. debian:VERSION; if your tree has it, take `since` out of the board's file",
        )


def _numbers(release: str) -> tuple[int, ...]:
    """`6.13.0-rc1` → (6, 13)."""
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def check_kernel(board: str, file: BoardFile, kernel: Kernel) -> None:
    """Raises UsageError for a kernel that is not for this board."""
    if kernel.arch != file.arch:
        raise UsageError(f"board {board} is {file.arch}, the kernel {kernel.title} is {kernel.arch}")
    check_release(board, file, kernel.release)


def board_file_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of board files, for editors."""
    files: TypeAdapter[BoardFile] = TypeAdapter(Annotated[BoardFile, Field(discriminator="type")])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "panthorlab board file",
        **files.json_schema(),
    }
