# SPDX-License-Identifier: GPL-2.0-or-later
"""`--coverage` on real kernels: what ran, what did not, and of a patch which lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from panthorlab.board.boardtime import TimeName
from panthorlab.board.emulated import coverage_plugin
from panthorlab.board.emulated.exact import wires
from panthorlab.board.emulated.exact.plugin import Extras, arguments
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.board.registry import open_board
from panthorlab.coverage import counts
from panthorlab.coverage.dwarf import read_vmlinux
from panthorlab.coverage.lines import executed
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.store import find
from panthorlab.run import measure
from panthorlab.run.arms import ALONE
from panthorlab.run.meter import open_meter

from .conftest import PATCHES, Cli, Done

pytestmark = [pytest.mark.e2e, pytest.mark.wide]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coverage") / "run"


@pytest.fixture(scope="module")
def measured(cli: Cli, output: Path) -> Done:
    """One boot a side; few iterations: what runs in `exit` runs in the first."""
    return cli("validate", PATCHES / "partly-runs.patch", "--coverage", "--suite", "heap-exit-claim", "--iterations",
               "3", "--boots", "1", "--expect", "no-change", "--output", output)  # fmt: skip


@pytest.fixture(scope="module")
def functions(measured: Done, output: Path) -> Mapping[str, Mapping[str, Any]]:
    tables = json.loads((output / "coverage/functions.json").read_text())
    assert set(tables) == {"before", "after"}, measured.stderr
    return {one["name"]: one for one in tables["after"]["functions"]}


def test_what_a_process_that_ends_needs_has_run(functions: Mapping[str, Mapping[str, Any]]) -> None:
    destroyed = functions["panthor_vm_destroy"]
    assert destroyed["calls"] > 0
    assert destroyed["suites"].keys() == {"heap-exit-claim"}
    assert functions["panthor_device_init"]["suites"].keys() == {"(boot)"}


def test_what_cannot_have_run_has_not(functions: Mapping[str, Mapping[str, Any]]) -> None:
    for name in ("panthor_device_unplug", "panthor_device_reset_work", "panthor_fw_unplug"):
        assert (functions[name]["calls"], functions[name]["lines_ran"]) == (0, 0), name
        assert functions[name]["lines"] > 0


def test_the_patch_has_its_lines_told_apart(measured: Done) -> None:
    assert measured.json["exit"] in (0, 3), measured.stderr
    before, after = (measured.json["coverage"][side]["patch"] for side in ("before", "after"))
    assert (before["lines"], before["ran"]) == (1, 1)
    never = ["drm_gpuvm.c:2352", "panthor_mmu.c:1561"]
    assert (after["lines"], after["ran"], after["never"], after["outside"]) == (5, 3, never, [])
    assert after["text"] == f"3 of 5 lines that the patch adds ran; never: {', '.join(never)}"


def test_the_tracefile_is_of_the_same_lines(measured: Done, output: Path) -> None:
    lines = (output / "coverage/after.lcov").read_text().splitlines()
    figures = measured.json["coverage"]["after"]
    driver = lines[lines.index(next(line for line in lines if line.startswith("SF:drivers/gpu/drm/panthor/"))) :]
    assert sum(int(line[3:]) for line in driver if line.startswith("LH:")) == figures["lines"]
    assert sum(int(line[3:]) for line in driver if line.startswith("LF:")) == figures["line_total"]
    assert "SF:drivers/gpu/drm/drm_gpuvm.c" in lines, "a patch's own files are measured wherever they lie"
    mmu = lines[lines.index("SF:drivers/gpu/drm/panthor/panthor_mmu.c") :]
    assert "DA:1561,0" in mmu[: mmu.index("end_of_record")]


def test_debug_information_changes_no_instruction(measured: Done, cli: Cli) -> None:
    """The Image is that of a kernel built without, but for the 20 bytes of its build-id."""
    plain = find(cli("build").json["base"]["key"]).image.read_bytes()
    image = find(measured.json["sides"]["before"]["kernel"]).image.read_bytes()
    places = [at for at, (one, other) in enumerate(zip(plain, image, strict=True)) if one != other]
    assert places
    assert places[-1] - places[0] < 20


def test_a_kernel_that_cannot_be_measured_is_refused(
    cli: Cli, module_kernels: tuple[Kernel, Kernel], tmp_path: Path
) -> None:
    done = cli("run", "--kernel", module_kernels[1].key, "--coverage", "--output", tmp_path / "run")
    assert done.exit == 2
    assert "a module cannot be measured" in done.json["error"]
    assert "--config gcov" in done.json["hint"]


def test_a_command_is_measured_too(measured: Done, tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "panthorlab",
        "run",
        "--kernel",
        measured.json["sides"]["after"]["kernel"],
        "--coverage",
        "--json",
        "--output",
        str(tmp_path / "run"),
        "--",
        "gpu-job",
        "--mode",
        "info",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    suites = json.loads(done.stdout)["coverage"]["suites"]
    assert list(suites) == ["(boot)", "command", "(afterwards)"]
    assert suites["(boot)"]["lines"] > suites["command"]["lines"] > 50


def test_exact_time_measures_without_being_asked(measured: Done, cli: Cli, tmp_path: Path) -> None:
    kernel, host = measured.json["sides"]["after"]["kernel"], measured.json["coverage"]["after"]
    done = cli("run", "--kernel", kernel, "--time", "exact", "--suite", "heap-exit-claim", "--iterations", "2",
               "--boots", "1", "--output", tmp_path / "run")  # fmt: skip
    assert done.exit == 0, done.stderr
    exact = done.json["coverage"]
    assert (exact["function_total"], exact["line_total"]) == (host["function_total"], host["line_total"])
    assert exact["lines"] == pytest.approx(host["lines"], rel=0.1), "how long things take decides some of it"
    assert list(exact["suites"]) == ["(boot)", "heap-exit-claim"]
    tables = json.loads((tmp_path / "run/coverage/functions.json").read_text())["after"]["functions"]
    functions = {one["name"]: one for one in tables}
    assert functions["panthor_vm_destroy"]["calls"] > 0
    assert functions["panthor_device_unplug"]["lines_ran"] == 0


def test_both_plugins_count_the_same(measured: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one boot in exact time: inline, and by a call for each instruction."""
    kernel = find(measured.json["sides"]["after"]["kernel"])
    text = read_vmlinux(kernel.path / "vmlinux", kernel.build_id).text
    inline, called = (counts.create(tmp_path / name, text) for name in ("inline", "called"))

    def both(qemu: Qemu, *, page: int, sync: int, extras: Extras) -> list[str]:
        return [*arguments(qemu, page=page, sync=sync, extras=extras), *coverage_plugin.arguments(qemu.version, called)]

    monkeypatch.setattr(wires, "arguments", both)
    board = open_board("qemu-g610").boot(kernel, log_dir=tmp_path / "logs", counts=inline, time=TimeName.EXACT)
    with board as booted:
        assert booted.facts()["time"] == TimeName.EXACT
        assert not booted.shell.run([f"{booted.work_dir}/heap-exit", "--mode", "exit"], timeout=60).status
    values = list(counts.read(inline).values)
    assert sum(map(bool, values)) > 5000
    assert values == list(counts.read(called).values)


WORK = (
    ("heap-exit", "--mode", "exit"),
    ("gpu-job", "--mode", "suspend-loop", "--count", "2"),
    ("gpu-uapi", "--mode", "arguments"),
)


@pytest.mark.full  # a configuration of its own: the whole kernel is compiled
def test_a_kernel_that_counts_by_itself_agrees_with_qemu(cli: Cli, tmp_path: Path) -> None:
    """The same boot in both ways: the same functions, and of the lines with code in both all but a few in a hundred."""
    done = cli("build", "--config", "coverage", "--config", "gcov", "--output", tmp_path / "build")
    assert done.exit == 0, done.stderr
    kernel, board, run_dir = find(done.json["base"]["key"]), open_board("qemu-g610"), tmp_path / "run"
    source = read_vmlinux(kernel.path / "vmlinux", kernel.build_id)
    (tmp_path / "map.json").write_text(source.to_json())
    by_qemu = open_meter(tmp_path / "map.json", tmp_path / "qemu")
    by_gcov = open_meter(measure.prepare(run_dir, ALONE, kernel, [board]), run_dir)
    with board.boot(kernel, log_dir=tmp_path / "boot", counts=by_qemu.counts) as booted:
        by_gcov.check(booted.shell)
        for program, *arguments in WORK:
            assert booted.shell.run([f"{booted.work_dir}/{program}", *arguments], timeout=120).status == 0, program
        by_gcov.end(booted.shell)
        assert by_qemu.counts is not None
        seen = executed(source, counts.read(by_qemu.counts))
    measure.conclude_boot(run_dir)
    functions = json.loads((run_dir / "coverage/functions.json").read_text())["after"]["functions"]
    assert {(one["file"], one["name"]): one["calls"] > 0 for one in functions} == {
        (one.file, one.name): count > 0 for one, count in seen.functions.items()
    }
    lines, differing = 0, []
    for record in (run_dir / "coverage/after.lcov").read_text().splitlines():
        if record.startswith("SF:"):
            file = seen.lines.get(record[3:], {})
        elif record.startswith("DA:"):
            line, count = map(int, record[3:].split(","))
            lines += line in file
            differing += [line] if line in file and bool(file[line]) != bool(count) else []
    assert lines > 2500
    assert len(differing) < lines * 0.02, differing


@pytest.mark.full
def test_a_kernel_that_counts_by_itself_tells_the_same_lines_of_the_patch(
    cli: Cli, measured: Done, tmp_path: Path
) -> None:
    done = cli("validate", PATCHES / "partly-runs.patch", "--coverage", "--config", "gcov", "--suite",
               "heap-exit-claim", "--iterations", "3", "--boots", "1", "--expect", "no-change",
               "--output", tmp_path / "run")  # fmt: skip
    assert done.json is not None, done.stderr
    for side in ("before", "after"):
        assert done.json["coverage"][side]["patch"] == measured.json["coverage"][side]["patch"]
