# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests need, and where each of them runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from panthorlab.kernel.driver import FEATURES, Driver
from panthorlab.run.record.base import Event


class Traits(Protocol):
    """Of a `Board`, what decides which tests are for it."""

    @property
    def traits(self) -> frozenset[str]: ...

    @property
    def takes_params(self) -> bool: ...


@dataclass(frozen=True)
class Need:
    """What one test needs. `test`: SUITE::TEST. `kernel`: config fragments. `gpu`: parameters of the emulated GPU by
    name. `board`: one of these names, tags or types; any if empty. `counted`: it runs iterations.
    `overlay`: whose programs it runs. `driver`: what the kernel's must be able to do, of driver.FEATURES.
    `latencies`: kinds of event of the emulated GPU whose latencies are worth moving; all if empty."""

    test: str
    deep: bool = False
    kernel: tuple[str, ...] = ()
    gpu: Mapping[str, str] = field(default_factory=dict)
    board: tuple[str, ...] = ()
    counted: bool = False
    overlay: str = ""
    driver: tuple[str, ...] = tuple(FEATURES)
    latencies: tuple[str, ...] = ()

    @property
    def suite(self) -> str:
        """As it is named on the command line."""
        return self.test.partition("::")[0].replace("_", "-")

    def unsuited(self, boards: Sequence[Traits]) -> str:
        """Why it cannot run on `boards`; empty if it can."""
        if self.board and not all(board.traits & set(self.board) for board in boards):
            return f"is for boards that are {' or '.join(self.board)}"
        if self.gpu and not all(board.takes_params for board in boards):
            return "sets parameters of the emulated GPU"
        return ""

    def too_much_for(self, drivers: Iterable[Driver]) -> str:
        """What one of `drivers` cannot do that it needs, in words; empty if there is nothing."""
        for driver in drivers:
            if missing := [name for name in self.driver if name not in driver.features]:
                return f"wants a driver that can do {', '.join(missing)}, which {driver.name} cannot yet"
        return ""


@dataclass(frozen=True)
class Variant:
    """`name`: as results are labelled. `fragments`: of its kernel beside those of the plain one. `params`: of the GPU
    beside those of the run. `tests`: SUITE::TEST. `at_most`: iterations of what does not ask for such a kernel."""

    name: str
    tests: tuple[str, ...]
    fragments: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    at_most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Planned(Event, event="planned"):
    """Where every test runs. `plain`: tests of the plain boots. `left_out`: why each other test runs nowhere."""

    plain: tuple[str, ...]
    variants: tuple[Variant, ...]
    left_out: Mapping[str, str]
