# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the board tests: a kernel, a program to run on the board, and boards made to order."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from panthorlab.board.emulated.board import EmulatedBoard
from panthorlab.board.emulated.booted import BootedEmulatedBoard
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.store import load, read_record

Boot = Callable[..., BootedEmulatedBoard]


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """The default base as it is; or the finished kernel in the directory `$PANTHORLAB_E2E_KERNEL`."""
    given = os.environ.get("PANTHORLAB_E2E_KERNEL")
    if given:
        return read_record(Path(given, "kernel.json"))
    build: Callable[[Sequence[str]], str] = request.getfixturevalue("build")
    kernel = load(build([]))
    assert kernel is not None
    return kernel


@pytest.fixture(scope="session")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An overlay with the program `/probe` (probe.c)."""
    folder = tmp_path_factory.mktemp("overlay")
    source = Path(__file__).with_name("probe.c")
    subprocess.run(
        [
            "aarch64-linux-gnu-gcc",
            "-static",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(folder / "probe"),
            str(source),
        ],
        check=True,
        timeout=120,
    )
    return folder


def board_file(**sections: object) -> EmulatedFile:
    return EmulatedFile.model_validate({"type": "emulated", **sections})


@pytest.fixture(scope="module")
def plain_board(
    kernel: Kernel, overlay: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BootedEmulatedBoard]:
    """A board without GPU that the tests of a file share."""
    board = EmulatedBoard("plain", board_file(gpu=None))
    with board.boot(kernel, log_dir=tmp_path_factory.mktemp("plain"), overlay=overlay) as booted:
        yield booted


@pytest.fixture
def boot(kernel: Kernel, overlay: Path, tmp_path: Path) -> Iterator[Boot]:
    """Boot a board whose file says what the keywords say; closed at the end of the test."""
    with ExitStack() as boards:

        def start(
            *, name: str = "board", over: Path = overlay, params: Mapping[str, str] | None = None, **sections: object
        ) -> BootedEmulatedBoard:
            board = EmulatedBoard(name, board_file(**sections))
            return boards.enter_context(board.boot(kernel, log_dir=tmp_path / name, overlay=over, params=params))

        yield start
