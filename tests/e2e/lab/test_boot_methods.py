# SPDX-License-Identifier: GPL-2.0-or-later
"""Every boot method on the virtual lab, by the same code as for a real board: whole runs, and all suites."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.config import read_board_file
from panthorlab.board.real.file import RealFile
from panthorlab.board.real.methods.choice import choose
from panthorlab.board.real.parts import Booting, Rig
from panthorlab.board.real.rig import open_rig
from panthorlab.board.registry import find_board_file
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Outcome
from panthorlab.run.record import BoardUp, BootStep
from panthorlab.run.record.log import read_run
from tests.e2e.conftest import Cli, Done
from tests.virtual_lab.command import environment
from tests.virtual_lab.control import LabClient

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

BOARD = "virtual-rk"
CLAIMS = ("exit", "sigkill", "sigsegv", "exec", "destroy")
REBOOTING = ("uboot-tftp", "extlinux", "kexec")
METHODS = (*REBOOTING, "module-swap")
BEGUN = ("lease", "console", "method")
READY = ("shell", "kernel", "workloads", "driver", "identity")
STEPS = {
    "uboot-tftp": [*BEGUN, "power", "firmware", "load", "handover", *READY],
    "extlinux": [*BEGUN, "known-good", "load", "handover", *READY],
    "kexec": [*BEGUN, "known-good", "load", "handover", *READY],
    "module-swap": [*BEGUN, "shell", "load", *READY[1:]],
}
SUITES = Path(__file__).parents[3] / "suites"
Kernels = tuple[Kernel, Kernel]
WARN = """
def test_warn(session):
    session.board.shell.put(b"WARNING", "/sys/kernel/debug/provoke-crash/DIRECT")
"""


def validate(cli: Cli, kernels: Kernels, run: Path, method: str, *more: str | Path) -> Done:
    """The run's kernels are these; `run` is made."""
    before, after = kernels
    return cli(
        "validate",
        "--board",
        BOARD,
        "--boot-method",
        method,
        "--before",
        before.key,
        "--after",
        after.key,
        "--output",
        run,
        *more,
    )


def told(run: Path) -> dict[str, BoardUp]:
    """What each boot that came up said of itself, by boot."""
    return {event.boot: event for event in read_run(run) if isinstance(event, BoardUp)}


def methods(run: Path) -> dict[str, str]:
    return {boot: str(event.facts["boot_method"]) for boot, event in told(run).items()}


def steps(run: Path) -> dict[str, list[str]]:
    """The steps of each boot in their order; all of them went well, each after the one before."""
    found: dict[str, list[BootStep]] = {}
    for event in read_run(run):
        if isinstance(event, BootStep):
            found.setdefault(event.boot, []).append(event)
    for boot in found.values():
        assert {(event.outcome, event.message) for event in boot} == {(Outcome.PASS, "")}
        assert all(event.end - event.begin == pytest.approx(event.seconds, abs=0.01) for event in boot)
        assert [event.begin for event in boot] == sorted(event.begin for event in boot)
    return {boot: [event.name for event in events] for boot, events in found.items()}


def skip_without(lab: LabClient, method: str) -> None:
    if method == "uboot-tftp" and not lab.facts["tftp"]:
        pytest.skip("this user may not have port 69")


def expect_counts(result: dict[str, Any], before: int, after: int) -> None:
    """Nearly every iteration of *before* is faulty and none of *after*; `before`, `after`: their number per claim."""
    sides = result["sides"]
    for side, count in (("before", before), ("after", after)):
        found = {key: sides[side][key] for key in ("iterations", "errors", "lost")}
        assert found == {"iterations": count * len(CLAIMS), "errors": 0, "lost": 0}
    assert sides["before"]["faulty"] >= 0.7 * before * len(CLAIMS)
    assert sides["after"]["faulty"] == 0


@pytest.mark.parametrize("method", REBOOTING)
def test_one_boot_of_each_side(cli: Cli, lab: LabClient, module_kernels: Kernels, tmp_path: Path, method: str) -> None:
    """Too few boots and iterations for a verdict, enough to see that each kernel does what it does on qemu-g610."""
    skip_without(lab, method)
    done = validate(
        cli, module_kernels, tmp_path / "run", method, "--suite", "heap-exit-claim", "--boots", "1", "--iterations", "6"
    )
    assert (done.exit, done.json["verdict"]) == (3, "inconclusive"), done.stderr
    expect_counts(done.json, 2, 6)
    assert methods(tmp_path / "run") == {"before1.1": method, "after1.1": method}
    assert done.json["board"]["facts"]["boot_method"] == method
    assert steps(tmp_path / "run") == {"before1.1": STEPS[method], "after1.1": STEPS[method]}
    assert not any("dma-after-shutdown" in note for note in done.json["notes"])
    ids = {event.boot_id for event in told(tmp_path / "run").values()}
    assert len(ids) == 2


@pytest.fixture(scope="module")
def swapped(
    cli: Cli, virtual_lab: LabClient, module_kernels: Kernels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Done, Path, int]]:
    """A run of two pairs of loads, no method asked for; its directory, and how often the board was switched on."""
    variables = environment(virtual_lab.folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PANTHORLAB_PATH", "PANTHORLAB_LAB"):
            patch.setenv(name, variables[name])
        virtual_lab.order("power", board=BOARD, on=False)
        before = virtual_lab.order("state", board=BOARD)["power_ons"]
        run = tmp_path_factory.mktemp("swapped") / "run"
        done = validate(cli, module_kernels, run, "auto", "--suite", "heap-exit-claim", "--iterations", "6")
        yield done, run, virtual_lab.order("state", board=BOARD)["power_ons"] - before


def test_second_load_of_a_pair_exchanges_the_module(swapped: tuple[Done, Path, int], virtual_lab: LabClient) -> None:
    done, run, power_ons = swapped
    first = "uboot-tftp" if virtual_lab.facts["tftp"] else "extlinux"
    assert methods(run) == {
        "before1.1": first,
        "after1.1": "module-swap",
        "after2.1": first,
        "before2.1": "module-swap",
    }
    assert steps(run) == {boot: STEPS[method] for boot, method in methods(run).items()}
    boards = told(run)
    assert boards["before1.1"].boot_id == boards["after1.1"].boot_id
    assert boards["after2.1"].boot_id == boards["before2.1"].boot_id != boards["after1.1"].boot_id
    assert done.json["board"]["facts"]["boot_method"] == (
        f"{first}: before1.1, after2.1; module-swap: after1.1, before2.1"
    )
    assert power_ons <= 3, "once because it was off, and at most once for each boot"
    expect_counts(done.json, 2, 6)


def test_sides_are_told_apart_by_their_module(swapped: tuple[Done, Path, int], module_kernels: Kernels) -> None:
    sides = swapped[0].json["sides"]
    ids = [kernel.modules["panthor"] for kernel in module_kernels]
    assert sides["before"]["build_id"] == sides["after"]["build_id"]
    assert [sides[side]["modules"]["panthor"] for side in ("before", "after")] == ids
    assert f"build-id {ids[0]}" in (swapped[1] / "report.html").read_text()


@pytest.fixture
def rig(swapped: tuple[Done, Path, int], tmp_path: Path) -> Iterator[Rig]:
    """The board as the run has left it: *before* loaded into what was booted as *after*."""
    assert swapped[0].json is not None
    described = read_board_file(find_board_file(BOARD))
    assert isinstance(described, RealFile)
    with open_rig(BOARD, described, run_dir=tmp_path, log_dir=tmp_path, progress=print) as held:
        yield held


def chosen(rig: Rig, kernel: Kernel) -> tuple[str, str]:
    booting = Booting(kernel, "", fresh=False, begins=lambda: None)
    found = choose(rig, booting, method="auto")
    return found.row.name, found.note


def test_more_than_the_module_needs_a_boot(
    rig: Rig, module_kernels: Kernels, virtual_lab: LabClient, tmp_path: Path
) -> None:
    """Kernels that could not be built for the price of a test: what is stored of a real one, with one thing changed."""
    first = "uboot-tftp" if virtual_lab.facts["tftp"] else "extlinux"
    after = module_kernels[1]
    assert chosen(rig, after) == ("module-swap", "")
    more = replace(after, digests={**after.digests, "board.dtb": "0" * 64})
    assert chosen(rig, more) == (first, "no module swap: the two kernels also differ in board.dtb")
    other = replace(after, build_id="0" * 40)
    method, note = chosen(rig, other)
    assert (method, "the running kernel has build-id" in note) == (first, True)
    shutil.copytree(after.path, tmp_path / "kasan", ignore=shutil.ignore_patterns("vmlinux"))
    with (tmp_path / "kasan" / "config").open("a") as config:
        config.write("CONFIG_KASAN=y\n")
    method, note = chosen(rig, replace(after, path=tmp_path / "kasan"))
    assert (method, "the kernel has KASAN" in note) == (first, True)


def test_after_a_warning_the_board_is_booted_anew(
    cli: Cli, lab: LabClient, module_kernels: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    (suites / "test_warn.py").write_text(WARN)
    monkeypatch.setenv("PANTHORLAB_PATH", f"{tmp_path}{os.pathsep}{lab.folder}")
    done = validate(cli, module_kernels, tmp_path / "run", "auto", "--suite", "warn", "--boots", "1")
    first = "uboot-tftp" if lab.facts["tftp"] else "extlinux"
    assert methods(tmp_path / "run") == {"before1.1": first, "after1.1": first}
    assert [note for note in done.json["notes"] if note.startswith("after1.1: no module swap: ")], done.json["notes"]
    assert any("tainted: W: the kernel has warned" in note for note in done.json["notes"])


@pytest.mark.full
@pytest.mark.parametrize("method", METHODS)
def test_whole_claims_are_fixed(cli: Cli, lab: LabClient, module_kernels: Kernels, tmp_path: Path, method: str) -> None:
    """The verdict of qemu-g610, by each method."""
    skip_without(lab, method)
    done = validate(cli, module_kernels, tmp_path / "run", method, "--suite", "heap-exit-claim")
    assert (done.exit, done.json["verdict"]) == (0, "fixed"), done.json["reasons"]
    expect_counts(done.json, 80, 240)


@pytest.mark.full
@pytest.mark.parametrize("method", METHODS)
def test_all_suites_by_plain_pytest(lab: LabClient, module_kernels: Kernels, method: str) -> None:
    """Functional ones, too; a module swap begins with a boot, as nothing of ours runs yet."""
    skip_without(lab, method)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        str(SUITES),
        "--board",
        BOARD,
        "--kernel",
        module_kernels[1].key,
        "--boot-method",
        method,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1800, check=False, cwd=SUITES.parent)
    assert done.returncode == 0, done.stdout + done.stderr
