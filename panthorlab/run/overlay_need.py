# SPDX-License-Identifier: GPL-2.0-or-later
"""Which overlay a suite's test needs, declared by a marker, and whether a board has what that overlay has.

    pytestmark = pytest.mark.overlay("mesa-vulkan")

An emulated board has it from `--overlay`, be it panthorlab's own or a directory that holds the same programs; a real
one from its distribution, so it is asked when it has booted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from panthorlab.board.api import Shell
from panthorlab.board.emulated.overlay.table import RECIPES
from panthorlab.errors import UsageError

MARKER: Final = "overlay(NAME): runs on boards that have the programs of this overlay (`panthorlab overlay`)"
ASK_TIMEOUT: Final = 30.0


def needed_by(item: pytest.Item) -> str:
    """The overlay that a test needs, by its name; empty if none. Raises UsageError for a marker that makes no sense."""
    mark = item.get_closest_marker("overlay")
    if mark is None:
        return ""
    if mark.kwargs or len(mark.args) != 1 or mark.args[0] not in RECIPES:
        raise UsageError(f"{item.path.name}: {item.name}: pytest.mark.overlay takes one of {', '.join(RECIPES)}")
    return str(mark.args[0])


def is_in(folder: Path | None, name: str) -> bool:
    """Whether what is laid over the root file system has what tells the overlay `name`."""
    return folder is not None and all(
        (folder / path.lstrip("/")).exists() or (folder / path.lstrip("/")).is_symlink() for path in RECIPES[name].tells
    )


def is_on(shell: Shell, name: str) -> bool:
    """The same of a booted board."""
    return all(shell.run(["test", "-e", path], timeout=ASK_TIMEOUT).status == 0 for path in RECIPES[name].tells)


def advice(name: str, tests: int) -> str:
    """The reason of tests that did not run for want of an overlay."""
    did = "1 test did" if tests == 1 else f"{tests} tests did"
    return f"{did} not run: {wanting(name)}"


def wanting(name: str) -> str:
    """The reason of that, and what to do."""
    return f"the board needs {RECIPES[name].about}; add --overlay {name}"
