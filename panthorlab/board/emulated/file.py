# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of an emulated board (`type: emulated`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from panthorlab.board.boardtime import TimeName
from panthorlab.board.fields import BoardFile, CommandLine, MemorySize, Section, TimeLimit, Word
from panthorlab.gpu.generations.table import DEFAULT_MODEL, GENERATIONS
from panthorlab.gpu.params import Params

if TYPE_CHECKING:
    Model = str
else:
    Model = Literal[tuple(GENERATIONS)]


class Gpu(Section):
    """The emulated GPU on the board's PCI bus, or several of them."""

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
    memory: MemorySize = Field("1G", description="guest memory, 128M to 64G")
    pin: bool = Field(True, description="keep QEMU and the GPU model on one host CPU: halves register read latency")


class Boot(Section):
    """Kernel parameters for console output, equal for all kernels compared on the board."""

    log_level: Annotated[int, Field(ge=0, le=8)] = Field(
        5, description="console log level (`loglevel=`). Printing moves races: it is fixed and recorded"
    )
    command_line: CommandLine = Field("", max_length=1500, description="more kernel parameters, appended")


class TimeLimits(Section):
    """Seconds after which a step counts as hung."""

    boot: TimeLimit = Field(30, description="QEMU started → commands can be run")
    probe: TimeLimit = Field(15, description="→ panthor has made its render node")
    answer: TimeLimit = Field(20, description="a running board answers a ping")


class EmulatedFile(BoardFile):
    """A board that consists of QEMU and the emulated GPU."""

    type: Literal["emulated"]
    kernel_configs: list[Word] = Field(["qemu-virt"], description="fragments of kernel_configs/ a kernel for it needs")
    gpu: Gpu | None = Field(Gpu.model_validate({}), description="null: a board without GPU")
    machine: Machine = Machine.model_validate({})
    boot: Boot = Boot.model_validate({})
    time: TimeName = Field(
        TimeName.EXACT,
        strict=False,
        description="the time it lives in. exact: an instruction is 8 ns, and one seed is one run, instruction for "
        "instruction (a board without a GPU has only the host's); host: guest and GPU run as the host lets them",
    )
    time_limits: TimeLimits = TimeLimits.model_validate({})
