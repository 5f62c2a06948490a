# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that this tool was made for, as mails: both versions of the patch, and what was proposed instead."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Final

import pytest

from panthorlab.kernel.job import FIXES, prepare_kernel
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source.sent import pack

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.full]
MAILS: Final = Path(__file__).parents[1] / "data" / "threads"
LOST: Final = "leaks::test_rounds_lose_no_memory"


@pytest.fixture(scope="module")
def unfixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree from before the patch: the default one without it. On the others of that time the suites die of what was
    fixed later, also without a patch."""
    plan = prepare_kernel(None, [str(FIXES / "evict-groups.patch")], revert=True)
    tree = tmp_path_factory.mktemp("thread") / "linux"
    with tempfile.TemporaryFile(dir=tree.parent) as packed:
        pack(plan.base, packed, quiet)
        packed.seek(0)
        with tarfile.open(fileobj=packed, mode="r:gz") as tar:
            tar.extractall(tree, filter="tar")
    for path, data in plan.changes.items():
        assert data is not None
        (tree / path).write_bytes(data)
    return tree


@pytest.mark.parametrize(
    ("mail", "exit_status", "verdict"),
    [
        ("evict-groups-v1", 0, "fixed"),
        ("evict-groups-v2", 0, "fixed"),
        ("keep-mappings", 1, "regressed"),  # the fault is gone, and the VM of every process stays
    ],
)
def test_versions_and_the_alternative_are_told_apart(
    cli: Cli, unfixed: Path, mail: str, exit_status: int, verdict: str
) -> None:
    suites = ("--suite", "heap-exit-claim", "--suite", "leaks")
    done = cli("validate", MAILS / f"{mail}.mbox", "--base", unfixed, *suites)
    assert (done.exit, done.json["verdict"]) == (exit_status, verdict), done.json["reasons"]
    sides = done.json["sides"]
    assert sides["before"]["faulty"] == sides["before"]["iterations"]
    assert sides["after"]["faulty"] == 0
    lost = next(test for test in done.json["tests"] if test["name"] == LOST)
    assert (lost["verdict"] == "regressed") == (verdict == "regressed")
