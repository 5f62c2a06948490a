# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that goes wrong in a lab (tests/virtual_lab/faults.py), one at a time: never a wrong verdict, nothing
left behind. `benchmarks/faults.py` prints the same as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.virtual_lab.campaign import Fault, build, play
from tests.virtual_lab.control import LabClient
from tests.virtual_lab.faults import FAULTS

pytestmark = [pytest.mark.e2e, pytest.mark.wide]


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=name, marks=[] if fault.quick else [pytest.mark.full]) for name, fault in FAULTS.items()],
)
def test_fault(fault: Fault, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    lab: LabClient = request.getfixturevalue("virtual_lab" if fault.boards == 1 else "virtual_lab_of_two")
    result = play(fault, lab, tmp_path / fault.name, build([fault], tmp_path))
    assert not result.problems, f"{result.happened}\nlogs: {result.folder}"
