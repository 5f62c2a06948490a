# SPDX-License-Identifier: GPL-2.0-or-later
"""Random scripts on real kernels: a bug is found, made short, and shown again; the kernel without it bears the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BUGS = Path(__file__).resolve().parents[2] / "benchmarks" / "bugs"
pytestmark = [pytest.mark.e2e, pytest.mark.full]


@pytest.mark.parametrize(
    ("bug", "place"),
    [("55-heap-pool-null", "panthor_heap_destroy"), ("06-bo-offset-alignment", "panthor_gpuva_sm_step_map")],
)
def test_a_bug_is_found_made_short_and_shown_again(
    cli: Callable[..., Any], tmp_path: Path, bug: str, place: str
) -> None:
    built = cli("build", BUGS / f"{bug}.patch", "--output", tmp_path / "build")
    assert built.exit == 0, built.stderr
    with_bug, without = built.json["after"]["key"], built.json["before"]["key"]
    done = cli("fuzz", "--kernel", with_bug, "--seconds", "60", "--output", tmp_path / "fuzz")
    assert done.exit == 1, done.stderr
    finding = done.json["finding"]
    assert place in finding["signature"]
    assert finding["repeats"]
    assert 0 < len(finding["script"]) <= 10

    script = tmp_path / "fuzz" / "finding.script"
    again = cli("fuzz", "--kernel", with_bug, "--script", script, "--output", tmp_path / "again")
    assert again.exit == 1
    assert again.json["finding"]["signature"] == finding["signature"]
    borne = cli("fuzz", "--kernel", without, "--script", script, "--output", tmp_path / "borne")
    assert borne.exit == 0, borne.json
    suite = tmp_path / "fuzz" / "test_found.py"
    for kernel, status in ((with_bug, 1), (without, 0)):
        run = cli("run", "--kernel", kernel, "--suite", suite, "--boots", "1", "--output", tmp_path / f"run-{status}")
        assert run.exit == status, run.stderr


def test_a_script_that_is_none_is_refused_before_anything_is_booted(cli: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "wrong.script"
    script.write_text("vm_create v0\nvm_create b0\n")
    done = cli("fuzz", "--kernel", "0", "--script", script, "--output", tmp_path / "run")
    assert done.exit == 2
    assert "line 2 of the script" in done.json["error"]
    assert not (tmp_path / "run").exists()
