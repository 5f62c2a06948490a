# SPDX-License-Identifier: GPL-2.0-or-later
"""A board that is not (yet) running, as the code above sees it: what its file says, read once, and what it can do.

A kind of board is a subclass, and a row in `kinds.py`. Nobody above asks which kind a board is. What a kind does not
override says: in no lab, one at a time, and nothing special can be done with it.
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
    """How long a board may take: for the longest step without a word, and to be switched on again; seconds."""

    step: float = 0.0
    switching: float = 0.0


@dataclass(frozen=True)
class Hardware:
    """What a lab that is not ours needs to boot a board of this kind by itself. `firmware`: the GPU's, its path there.
    `command_line`: kernel parameters beyond its own."""

    dtb: str | None
    firmware: str
    log_level: int
    command_line: str


@dataclass(frozen=True)
class Fitness:
    """`boots`: how many were asked for, `good`: how many came up. `problem`: what stopped it, or None."""

    boots: int
    good: int
    problem: str | None
    seconds: float


class BoardRow(TypedDict):
    """What `panthorlab boards --json` says of a board; docs/commands.md says what each is."""

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
    """`name`: for people. `key`: its name or the path of its file, by which `registry.open_board` finds it again.
    `path`: its file, as it was found. `file`: what that says."""

    model: ClassVar[type[BoardFile]]
    """What checks such a file."""
    file: BoardFile

    emulated: ClassVar[bool] = False
    """It is a program on this machine, not a thing: how long it takes is known."""
    copies: ClassVar[bool] = False
    """Several of it can be had at once (`--jobs`)."""
    bare: ClassVar[bool] = False
    """Its root file system has nothing but what it is given: whether an overlay is there is known before it boots."""
    takes_params: ClassVar[bool] = False
    """Its GPU has parameters (`--param gpu.NAME=VALUE`)."""
    counts: ClassVar[bool] = False
    """It can count the instructions that it runs (`--coverage`)."""
    exact: ClassVar[bool] = False
    """It can live in exact time (`--time exact`), where one seed is one run."""

    def __init__(self, name: str, file: BoardFile, *, path: Path | None = None, key: str | None = None) -> None:
        self.name, self.file = name, file
        self.path, self.key = path or Path(f"{name}.yaml"), key or name

    @classmethod
    def checks(cls) -> tuple[Check, ...]:
        """What boards of this kind need on this machine, for `panthorlab doctor`."""
        return ()

    # -- what a kernel for it must be --------------------------------------------------------------------------

    @property
    def arch(self) -> str:
        """Kernel ARCH, e.g. `arm64`."""
        return self.file.arch

    @property
    def kernel_configs(self) -> Sequence[str]:
        """Fragments of kernel_configs/ that a kernel for it needs."""
        return self.file.kernel_configs

    def check_release(self, release: str) -> None:
        """Raises UsageError if a kernel of this release cannot have a GPU on it: the kernel is not to blame."""
        del release

    def check_kernel(self, kernel: Kernel) -> None:
        """Raises UsageError for a kernel that is not for this board."""
        if kernel.arch != self.arch:
            raise UsageError(f"board {self.name} is {self.arch}, the kernel {kernel.title} is {kernel.arch}")
        self.check_release(kernel.release)

    # -- whether and how it can be had -------------------------------------------------------------------------

    @property
    def traits(self) -> frozenset[str]:
        """What suites may call it: its name, its type, its tags."""
        return frozenset({self.name, self.file.type, *self.file.tags})

    @property
    def example(self) -> bool:
        """Its file says what such a board is like, and not yet where one is."""
        return False

    @property
    def methods(self) -> Sequence[str]:
        """Boot methods that it is set up for, the default first."""
        return ()

    @property
    def patience(self) -> Patience:
        """What whoever waits for it must have."""
        return Patience()

    def check_ready(self, method: str = AUTO) -> None:
        """Raises UsageError if it cannot be had at all, or not by this boot method; QuarantinedError."""
        self.check_here()
        self.check_method(method)
        if sick := self.standing().quarantine:
            raise QuarantinedError(
                f"board {self.name} is quarantined: {sick}",
                hint=f"mend it, then `panthorlab boards release {self.name}`",
            )

    def check_here(self) -> None:
        """Raises UsageError if it is but an `example`."""
        if self.example:
            raise UsageError(
                f"the file of board {self.name} is an example: it does not say where your board is",
                hint="copy it to a directory of your own, change what is marked EDIT, take `example` out, "
                "and name the copy, e.g. --board ./mine.yaml; docs/rock-5b.md has every step",
            )

    def check_method(self, method: str) -> None:
        """Raises UsageError if `--boot-method method` cannot be had on it."""
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
        """Raises UsageError if `--time` asks for what it never can have."""
        if time == TimeName.EXACT and not self.exact:
            raise UsageError(
                f"board {self.name} is {self.file.type}: it lives in its own time", hint="leave --time exact out"
            )

    # -- its lab -----------------------------------------------------------------------------------------------

    def standing(self) -> Standing:
        """Whether it is free. Raises LabError if nobody can tell."""
        return FREE

    def row(self) -> BoardRow:
        """What `panthorlab boards --json` says of it."""
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
        """Have it for a run, also between two boots. `wait`: seconds to wait if somebody else has it. The value raises
        LabError when it has been lost or quarantined since."""
        del run_dir, wait, on_note, stop
        yield lambda: None

    def check_in_lab(self) -> None:
        """Raises UsageError if it is nothing that anybody has to look after, or not yet anywhere."""
        article = "an" if self.file.type[0] in "aeiou" else "a"
        raise UsageError(
            f"board {self.name} is {article} {self.file.type} one, which is always free and healthy",
            hint="this command is for real boards: `panthorlab boards` lists them",
        )

    def trust(self, confirm: Callable[[str], bool]) -> Sequence[str]:
        """Pin the keys by which it proves itself, once `confirm` has agreed. What was pinned, in words; may be nothing.
        Raises UsageError, LabError."""
        del confirm
        self.check_in_lab()
        return ()

    def train(self, boots: int | None, progress: Callable[[str], None]) -> Fitness:
        """See whether its known-good kernel comes up `boots` times (by default, as its file says). Raises UsageError,
        and LabError if it cannot be had at all; a board that fails is reported."""
        del boots, progress
        self.check_in_lab()
        return Fitness(0, 0, None, 0.0)

    def hardware(self) -> Hardware | None:
        """What another lab must know of it; None if it is no thing that a lab could have."""
        return None

    # -- to work -----------------------------------------------------------------------------------------------

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

        `method`: one of `methods`, or `auto`: the board chooses. `fresh`: boot anew in any case; else the running
        kernel may be kept if exchanging its module provably does the same. `counts`: a file of `coverage.counts` in
        which the board counts the instructions that it names, if it `counts`. `time`: the one to live in; None: as its
        file says. `on_step`: is told of every step once it has ended.

        Raises BootError if the kernel did not come up, LabError if the lab is at fault.
        """
