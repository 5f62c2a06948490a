# SPDX-License-Identifier: GPL-2.0-or-later
"""What gcov tells, of programs that were compiled and have run, and of hostile reports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from panthorlab.coverage.files import Wanted
from panthorlab.coverage.gcov import read_report
from panthorlab.coverage.lines import Executed, lines_of, nothing_of, together
from panthorlab.coverage.model import DRIVER, Function
from panthorlab.errors import LabError
from panthorlab.kernel.build import gcov

DRV, HEADER, MAIN = DRIVER + "panthor_drv.c", DRIVER + "panthor_x.h", "main.c"
SOURCES = {
    HEADER: """static inline int inlined(int x)
{
	return x + 1;
}
""",
    DRV: """#include "panthor_x.h"
extern int other(int);
static int tiny(int x)
{
	if (x > 3)
		return other(x);
	return 2;
}

static int never(int x)
{
	return other(x) + 1;
}

int panthor_ioctl(int x)
{
	int ret = tiny(x);

	if (x > 100)
		ret += never(x);
	return inlined(ret);
}
""",
    MAIN: f"""#include "{HEADER}"
extern int panthor_ioctl(int);
int other(int x) {{ return x; }}

int main(int argc, char **argv)
{{
	int i, sum = 0;

	for (i = 0; i < argc + 4; i++)
		sum += panthor_ioctl(i);
	return inlined(sum) ? 0 : 1;
}}
""",
}


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An O= directory beside its sources, compiled as kernels are that count."""
    monkeypatch.setenv("CROSS_COMPILE", "")
    for name, text in SOURCES.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder = tmp_path / "obj"
    (folder / DRIVER).mkdir(parents=True)
    flags = ["-O2", "-fno-early-inlining", "-fprofile-arcs", "-ftest-coverage", "-I../src"]
    for name in (DRV, MAIN):
        argv = ["gcc", *flags, "-c", f"../src/{name}", "-o", name.replace(".c", ".o")]
        subprocess.run(argv, cwd=folder, check=True, timeout=60)
    argv = ["gcc", "--coverage", "main.o", DRV.replace(".c", ".o"), "-o", "program"]
    subprocess.run(argv, cwd=folder, check=True, timeout=60)
    return folder


@pytest.fixture
def reports(objects: Path) -> Callable[[], list[str]]:
    """gcov's reports of the driver and of the rest, with what was counted so far."""

    def read() -> list[str]:
        notes = [objects / name.replace(".c", ".gcno") for name in (DRV, MAIN)]
        return gcov.run("arm64", {note: note.with_suffix(".gcda") for note in notes})

    return read


def measured(texts: list[str], *others: str) -> Executed:
    return together(read_report(text, Wanted(others=frozenset(others))) for text in texts)


def test_what_ran_of_a_program(objects: Path, reports: Callable[[], list[str]]) -> None:
    subprocess.run(["./program"], cwd=objects, check=True, timeout=60)
    found = measured(reports())
    assert {(one.name, one.line): count for one, count in found.functions.items()} == {
        ("inlined", 1): 6,
        ("tiny", 3): 5,
        ("never", 10): 0,
        ("panthor_ioctl", 15): 5,
    }
    drv = found.lines[DRV]
    assert (drv[5], drv[6], drv[12], drv[17], drv[20], drv[21]) == (5, 1, 0, 5, 0, 5)
    assert found.lines[HEADER][3] == 6, "of all that include it"
    assert (found.functions_ran, found.function_total) == (3, 4)
    assert lines_of(found)[Function("never", DRV, 10, ())] == (10, 12)


def test_code_of_which_nothing_ran_has_the_same_lines(objects: Path, reports: Callable[[], list[str]]) -> None:
    subprocess.run(["./program"], cwd=objects, check=True, timeout=60)
    found = measured(reports())
    nothing = nothing_of(found)
    assert nothing.lines_ran == nothing.functions_ran == 0
    assert (nothing.line_total, nothing.function_total) == (found.line_total, found.function_total)
    assert together([nothing, found]) == found


def test_only_the_driver_and_what_is_named_is_measured(objects: Path, reports: Callable[[], list[str]]) -> None:
    subprocess.run(["./program"], cwd=objects, check=True, timeout=60)
    assert measured(reports()).lines.keys() == {DRV, HEADER}
    assert measured(reports(), "main.c").lines.keys() == {DRV, HEADER, "main.c"}


def test_counts_of_another_build_are_refused(objects: Path, reports: Callable[[], list[str]]) -> None:
    subprocess.run(["./program"], cwd=objects, check=True, timeout=60)
    counts = objects / DRV.replace(".c", ".gcda")
    counts.write_bytes(counts.read_bytes()[:8] + b"\0\0\0\0" + counts.read_bytes()[12:])
    with pytest.raises(LabError, match=r"cannot read what was counted: .*stamp mismatch"):
        reports()


@pytest.mark.parametrize("damage", ["torn", "noise", "nothing"])
def test_damaged_counts_are_refused(objects: Path, reports: Callable[[], list[str]], damage: str) -> None:
    subprocess.run(["./program"], cwd=objects, check=True, timeout=60)
    counts = objects / DRV.replace(".c", ".gcda")
    data = counts.read_bytes()
    counts.write_bytes({"torn": data[: len(data) // 2], "noise": b"noise" * 9, "nothing": b""}[damage])
    with pytest.raises(LabError, match="cannot read what was counted"):
        reports()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"files": []}',
        json.dumps({"current_working_directory": "/", "files": [{"file": "a.c", "lines": [{"line_number": -1}]}]}),
    ],
)
def test_what_is_no_report_is_said(text: str) -> None:
    with pytest.raises(LabError, match="no report of gcov"):
        read_report(text, Wanted())


def test_lines_of_several_functions_count_together() -> None:
    lines = [{"line_number": 7, "count": count, "function_name": name} for name, count in (("a", 2), ("b", 3))]
    functions = [{"name": name, "start_line": 7, "execution_count": 1} for name in "ab"]
    report = {"current_working_directory": "/mnt/obj", "files": [{"file": DRV, "lines": lines, "functions": functions}]}
    assert read_report(json.dumps(report), Wanted()).lines == {DRV: {7: 5}}
