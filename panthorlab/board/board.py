# SPDX-License-Identifier: GPL-2.0-or-later
"""A board that is not running (yet), as the calling code sees it: its file, read once, and its abilities.

Each kind of board is a subclass and a row in `kinds.py`; calling code never asks for the kind. The defaults describe a
board that is in no lab, exists once, and has no special abilities.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NotRequired, TypedDict

from panthorlab.board.api import BootedBoard
from panthorlab.board.boardtime import TimeName
from panthorlab.board.fields import BoardFile
from panthorlab.board.lab.lease import QuarantinedError
from panthorlab.board.lab.state import LeaseState, Standing
from panthorlab.board.methods import AUTO
from panthorlab.board.steps import OnStep, unheard
from panthorlab.checks import Check
from panthorlab.errors import PanthorlabError, UsageError
from panthorlab.jsonvalue import JsonObject
from panthorlab.kernel.model import Kernel

FREE: Final = Standing(LeaseState.FREE, "", None, None, None)


@dataclass(frozen=True)
class Patience:
    """Timeouts in seconds: for the longest step without any output, and for switching power on again."""

    step: float = 0.0
    switching: float = 0.0


@dataclass(frozen=True)
class Hardware:
    """What another lab needs to boot a board of this kind by itself. `firmware`: path of the GPU firmware on its board.
    `command_line`: kernel parameters to add to the lab's own."""

    dtb: str | None
    firmware: str
    log_level: int
    command_line: str


@dataclass(frozen=True)
class Fitness:
    """Result of `train`: `boots` requested, `good` ones among them. `problem`: why it stopped early, or None."""

    boots: int
    good: int
    problem: str | None
    seconds: float


class BoardRow(TypedDict):
    """A board in the output of `panthorlab boards --json`; docs/commands.md describes the fields."""

    name: str
    file: str
    type: str
    description: str
    tags: Sequence[str]
    unverified: bool
    state: str
    why: str
    lease: JsonObject | None
    quarantine: JsonObject | None
    health: JsonObject | None
    methods: NotRequired[Sequence[str]]


class Board(ABC):
    """`name`: for people. `key`: the board's name or the path of its file, as `registry.open_board` takes it.
    `path`: the board file as it was found. `file`: its contents."""

    model: ClassVar[type[BoardFile]]
    """The pydantic model that validates files of this kind of board."""
    file: BoardFile

    emulated: ClassVar[bool] = False
    """The board is a program on this machine, not hardware: how long its steps take is known."""
    copies: ClassVar[bool] = False
    """Several instances can run at once (`--jobs`)."""
    bare: ClassVar[bool] = False
    """The root file system holds only what panthorlab puts there: before the boot it is known whether an overlay is."""
    takes_params: ClassVar[bool] = False
    """Its GPU has parameters (`--param gpu.NAME=VALUE`)."""
    counts: ClassVar[bool] = False
    """It can count the instructions that it runs (`--coverage`)."""
    exact: ClassVar[bool] = False
    """It can run in exact time (`--time exact`), where equal seeds give equal runs."""

    def __init__(self, name: str, file: BoardFile, *, path: Path | None = None, key: str | None = None) -> None:
        self.name, self.file = name, file
        self.path, self.key = path or Path(f"{name}.yaml"), key or name

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        """What boards of this kind need on this machine, for `panthorlab doctor`."""
        return ()

    @classmethod
    def programs(cls) -> Mapping[str, str]:
        """Versions of the programs of this machine that boards of this kind consist of. Raises LabError."""
        return {}

    # -- what the board requires of a kernel -------------------------------------------------------------------

    @property
    def arch(self) -> str:
        """Kernel ARCH, e.g. `arm64`."""
        return self.file.arch

    @property
    def kernel_configs(self) -> Sequence[str]:
        """Fragments of kernel_configs/ that a kernel for it needs."""
        return self.file.kernel_configs

    def check_release(self, release: str) -> None:
        """Raises UsageError if no kernel of this release can drive the board's GPU; that is no fault of the kernel."""
        del release

    def check_kernel(self, kernel: Kernel) -> None:
        """Raises UsageError for a kernel that is not for this board."""
        if kernel.arch != self.arch:
            raise UsageError(f"board {self.name} is {self.arch}, the kernel {kernel.title} is {kernel.arch}")
        self.check_release(kernel.release)

    # -- whether and how it can be used ------------------------------------------------------------------------

    @property
    def traits(self) -> frozenset[str]:
        """The words by which suites may select it: its name, type and tags."""
        return frozenset({self.name, self.file.type, *self.file.tags})

    @property
    def example(self) -> bool:
        """The file is a template: it describes such a board, but not yet where one is."""
        return False

    @property
    def methods(self) -> Sequence[str]:
        """Boot methods that the board is configured for, the default first."""
        return ()

    @property
    def patience(self) -> Patience:
        """Timeouts for waiting on this board."""
        return Patience()

    def check_ready(self, method: str = AUTO) -> None:
        """Raises UsageError if the board cannot be used at all or not by this boot method; QuarantinedError."""
        self.check_here()
        self.check_method(method)
        if sick := self.standing().quarantine:
            raise QuarantinedError(
                f"board {self.name} is quarantined: {sick}",
                hint=f"mend it, then `panthorlab boards release {self.name}`",
            )

    def check_here(self) -> None:
        """Raises UsageError if the board is only an `example`."""
        if self.example:
            raise UsageError(
                f"the file of board {self.name} is an example: it does not say where your board is",
                hint="copy it to a directory of your own, change what is marked EDIT, take `example` out, "
                "and name the copy, e.g. --board ./mine.yaml; docs/rock-5b.md has every step",
            )

    def check_method(self, method: str) -> None:
        """Raises UsageError if the board does not support `--boot-method method`."""
        if method == AUTO or method in self.methods:
            return
        if not self.methods:
            raise UsageError(
                f"board {self.name} is {self.file.type}: it has no --boot-method {method}", hint="leave it out"
            )
        raise UsageError(
            f"board {self.name} is not set up for --boot-method {method}",
            hint=f"its file has `methods: [{', '.join(self.methods)}]`",
        )

    def check_time(self, time: TimeName | None) -> None:
        """Raises UsageError if this kind of board never supports the requested `--time`."""
        if time == TimeName.EXACT and not self.exact:
            raise UsageError(
                f"board {self.name} is {self.file.type}: it lives in its own time", hint="leave --time exact out"
            )

    def time_for(self, wanted: TimeName | None) -> TimeName:
        """The time in which a boot is to run for `--time wanted`; None: as the board's file says."""
        return wanted or TimeName.HOST

    # -- its lab -----------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """Whether the board is free. Raises LabError if that cannot be determined."""
        return FREE

    def row(self) -> BoardRow:
        """The board's entry in `panthorlab boards --json`."""
        shown: BoardRow = {
            "name": self.name,
            "file": str(self.path),
            "type": self.file.type,
            "description": self.file.description,
            "tags": self.file.tags,
            "unverified": False,
            "state": LeaseState.FREE.value,
            "why": "",
            "lease": None,
            "quarantine": None,
            "health": None,
        }
        if self.methods:
            shown["methods"] = self.methods
        if self.example:
            return shown | {"state": "example"}
        try:
            now = self.standing()
        except PanthorlabError as error:
            return shown | {"state": "unknown", "why": str(error)}
        shown.update(
            {
                "state": now.state.value,
                "why": now.why,
                "lease": now.lease.model_dump(mode="json") if now.lease else None,
                "quarantine": now.quarantine.model_dump(mode="json") if now.quarantine else None,
                "health": now.health.model_dump(mode="json") if now.health else None,
            }
        )
        return shown

    @contextmanager
    def leased(
        self, run_dir: Path, *, wait: float, on_note: Callable[[str], None], stop: threading.Event | None = None
    ) -> Iterator[Callable[[], None]]:
        """Lease the board for a run, also between boots. `wait`: seconds to wait while another run has it. Yields a
        function that raises LabError once the board is lost or quarantined."""
        del run_dir, wait, on_note, stop
        yield lambda: None

    def check_in_lab(self) -> None:
        """Raises UsageError if the board is no hardware that needs maintenance, or only an `example`."""
        article = "an" if self.file.type[0] in "aeiou" else "a"
        raise UsageError(
            f"board {self.name} is {article} {self.file.type} one, which is always free and healthy",
            hint="this command is for real boards: `panthorlab boards` lists them",
        )

    def trust(self, confirm: Callable[[str], bool]) -> Sequence[str]:
        """Pin the board's host keys once `confirm` has agreed. Returns what was pinned, for people; may be empty.
        Raises UsageError, LabError."""
        del confirm
        self.check_in_lab()
        return ()

    def train(self, boots: int | None, progress: Callable[[str], None]) -> Fitness:
        """Check that the known-good kernel boots `boots` times (default: from the board file). Raises UsageError, and
        LabError if the board is not available at all; failed boots are reported in the result."""
        del boots, progress
        self.check_in_lab()
        return Fitness(0, 0, None, 0.0)

    def hardware(self) -> Hardware | None:
        """What another lab must know about the board; None if it is no hardware."""
        return None

    # -- booting -----------------------------------------------------------------------------------------------

    @abstractmethod
    def boot(
        self,
        kernel: Kernel,
        *,
        log_dir: Path,
        overlay: Path | None = None,
        params: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] = lambda _step: None,
        method: str = AUTO,
        fresh: bool = True,
        counts: Path | None = None,
        time: TimeName | None = None,
        on_step: OnStep = unheard,
    ) -> BootedBoard:
        """Boot `kernel`. `overlay`: a directory laid over the root file system. `params`: `gpu.NAME` settings.

        `method`: one of `methods`, or `auto`: the board chooses. `fresh`: boot again in any case; otherwise the running
        kernel may be kept if replacing its module provably has the same effect. `counts`: a file of `coverage.counts`
        in which a board that `counts` counts the listed instructions. `time`: host or exact; None: as in the board
        file. `on_step`: called after every step.

        Raises BootError if the kernel did not come up, LabError if the lab is at fault.
        """
