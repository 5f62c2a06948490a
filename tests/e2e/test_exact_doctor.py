# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab doctor --exact`: 0 where a seed is a run, also with two CPUs; and a planted nondeterminism is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

# Python runs this before anything else. How often it ran is the state of the host on which the run must not depend.
PLANTED = """
import sys
from pathlib import Path

def boots():
    runs = Path(__file__).with_name("runs")
    with runs.open("a") as file:
        file.write("x")
    return runs.stat().st_size

def late_interrupt():
    from panthorlab.gpu.latency import Latencies
    own, count, late = Latencies.next, 0, boots() * 100e-6
    def draw(self, kind):
        nonlocal count
        count += kind.startswith("irq")
        return own(self, kind) + (late if count == 60 else 0)
    Latencies.next = draw

def late_message():
    from panthorlab.board.emulated.exact.shell import ExactShell
    own, count, late = ExactShell._send, 0, boots() * 0.001
    def send(self, frame, timeout):
        nonlocal count
        count += 1
        self._exact.sleep(late if count == 20 else 0)
        return own(self, frame, timeout)
    ExactShell._send = send

if "WHERE" in sys.orig_argv:
    WHAT()
"""


@pytest.mark.parametrize("board", ["qemu-g610-smp", pytest.param("qemu-g610", marks=pytest.mark.full)])
def test_a_seed_is_a_run(board: str, run_dir: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor", "--exact", "--kernel", f"{run_dir}:after", "--board", board, "--iterations", 2,
               "--output", tmp_path / "doctor")  # fmt: skip
    assert done.exit == 0, done.stderr
    (seed,) = done.json["seeds"]
    (boot,) = seed["boots"]
    assert boot["same"]
    assert boot["digest"]
    assert boot["events"] > 1000


@pytest.mark.parametrize(
    ("what", "where", "kind"),
    [
        ("late_interrupt", "panthorlab.gpu", "interrupt"),
        pytest.param("late_message", "pytest", "message of the host", marks=pytest.mark.full),
    ],
)
def test_what_depends_on_the_host_is_named(
    what: str, where: str, kind: str, run_dir: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plant := tmp_path / "plant").mkdir()
    (plant / "sitecustomize.py").write_text(PLANTED.replace("WHERE", where).replace("WHAT", what))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(plant), os.environ.get("PYTHONPATH")])))
    done = cli("doctor", "--exact", "--kernel", f"{run_dir}:after", "--iterations", 2, "--output", tmp_path / "doctor")
    assert done.exit == 4, done.stderr
    difference = done.json["seeds"][0]["boots"][0]["difference"]
    assert difference["kind"] == kind
    assert difference["alone"] != difference["busy"]
    assert difference["instruction"] > 0
    assert difference["before"]
