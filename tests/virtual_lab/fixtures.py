# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures for tests against the virtual lab. A conftest.py imports the ones it wants."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual_lab import command
from tests.virtual_lab.control import LabClient


def known_good() -> str | None:
    """The known-good kernel of the tests: a store key, or None for the default one, which is built if need be."""
    return os.environ.get("VIRTUAL_LAB_KERNEL")


@pytest.fixture(scope="session")
def virtual_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabClient]:
    """A lab with one board, from the first test that wants it to the end of the session."""
    yield from _lab(tmp_path_factory.mktemp("lab"), boards=1)


@pytest.fixture(scope="module")
def virtual_lab_of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabClient]:
    """A lab of its own with two boards, each on a CPU of its own."""
    yield from _lab(tmp_path_factory.mktemp("lab-of-two"), boards=2)


@pytest.fixture
def lab(virtual_lab: LabClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabClient]:
    """The lab with everything well, board off; panthorlab finds its boards. Afterwards all faults are undone."""
    for name in ("PANTHORLAB_PATH", "PANTHORLAB_LAB"):
        monkeypatch.setenv(name, command.environment(virtual_lab.folder)[name])
    _settle(virtual_lab)
    yield virtual_lab
    _settle(virtual_lab)


def _settle(client: LabClient) -> None:
    client.heal()
    for name in client.facts["boards"]:
        client.order("power", board=name, on=False)


def _lab(folder: Path, *, boards: int) -> Iterator[LabClient]:
    process = command.start(folder, boards=boards, kernel=known_good())
    try:
        yield LabClient(folder)
    finally:
        command.stop(process)
