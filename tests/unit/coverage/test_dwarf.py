# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines and functions in what real compilers write."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from panthorlab.coverage.dwarf import merged, read_vmlinux
from panthorlab.coverage.model import DRIVER, SourceMap, from_json
from panthorlab.errors import LabError, UsageError

HEADER = """\
/* a comment: no code */
static inline int in_header(int x)
{
	return x * 3 + 1;	/* header */
}
"""
SOURCE = """\
#include "panthor_x.h"
#include "other.h"
#define MACRO 1
struct declared { int member; };
extern int outside(int);

static inline __attribute__((always_inline)) int copied(int x)
{
	return outside(x) ^ 5;	/* copied */
}

int first(int x)
{
	/* nothing */
	if (x > 1)
		return copied(in_header(x));
	return foreign(x);
}

int second(int x)
{
	for (int i = 0; i < x; i++)
		x += copied(i);
	return x;
}

static int unused(int x)
{
	return x + 1;
}
"""
FOREIGN = "static inline int foreign(int x) { return x ? x - 2 : 4; }\n"
MAIN = "int outside(int x) { return x; }\nint first(int);\nint main(int c, char **v) { (void)v; return first(c); }\n"
ABOVE = "panthor_x.c"


def line_of(marker: str, text: str = SOURCE) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if marker in line)


@pytest.fixture(scope="module", params=["-gdwarf-4", "-gdwarf-5"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with the driver's files at their place in a tree, one of another driver, and one without DWARF."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.fail("no host C compiler; ./scripts/setup installs one")
    tree = tmp_path_factory.mktemp("tree")
    driver = tree / DRIVER
    (tree / "include").mkdir()
    driver.mkdir(parents=True)
    (tree / "drivers/gpu/drm/lima").mkdir(parents=True)
    (driver / "panthor_x.h").write_text(HEADER)
    (driver / "panthor_x.c").write_text(SOURCE)
    (tree / "include/other.h").write_text(FOREIGN)
    (tree / "drivers/gpu/drm/lima/panthor_x.c").write_text(MAIN)
    (tree / "plain.c").write_text("int plain(void) { return 7; }\n")
    objects: list[str] = []
    for source, options in (
        (DRIVER + ABOVE, [request.param]),
        ("drivers/gpu/drm/lima/" + ABOVE, [request.param]),
        ("plain.c", []),
    ):
        objects.append(f"{len(objects)}.o")
        command = [compiler, "-O2", "-w", *options, "-Iinclude", "-c", "-o", objects[-1], source]
        subprocess.run(command, cwd=tree, check=True, timeout=60)
    subprocess.run([compiler, "-no-pie", "-o", "program", *objects], cwd=tree, check=True, timeout=60)
    return tree / "program"


@pytest.fixture(scope="module")
def source(program: Path) -> SourceMap:
    return read_vmlinux(program, "ab" * 20)


def test_only_lines_with_code_of_the_drivers_own_files(source: SourceMap) -> None:
    assert set(source.lines) <= {DRIVER + "panthor_x.c", DRIVER + "panthor_x.h"}
    lines = set(source.lines[DRIVER + "panthor_x.c"])
    assert {line_of("/* copied */"), line_of("x += copied"), line_of("if (x > 1)")} <= lines
    for nothing in ("#define", "struct declared", "extern", "/* nothing */", "static int unused"):
        assert line_of(nothing) not in lines


def test_a_line_copied_into_two_functions_has_an_address_in_each(source: SourceMap) -> None:
    functions = {function.name: function for function in source.functions}
    assert set(functions) == {"first", "second", "copied", "in_header"}
    assert len(functions["copied"].entries) == 2
    assert functions["in_header"].file == DRIVER + "panthor_x.h"
    assert functions["copied"].line == line_of("int copied")
    addresses = source.lines[DRIVER + "panthor_x.c"][line_of("/* copied */")].code
    assert len({owner(source, address) for address in addresses}) == 2


def owner(source: SourceMap, address: int) -> str:
    starts = {function.entries[0]: function.name for function in source.functions if len(function.entries) == 1}
    return starts[max(start for start in starts if start <= address)]


def test_the_text_is_the_drivers_alone(program: Path, source: SourceMap) -> None:
    symbols = {
        name: int(address, 16) for address, _, name in (
            line.split() for line in subprocess.run(
                ["nm", "--defined-only", program], capture_output=True, text=True, check=True, timeout=60,
            ).stdout.splitlines())
    }  # fmt: skip

    def measured(name: str) -> bool:
        return any(start <= symbols[name] < end for start, end in source.text)

    assert measured("first")
    assert measured("second")
    assert not measured("main")
    assert not measured("plain")
    assert all(any(start <= row.start <= row.end <= end for start, end in source.text) for row in source.rows)


def test_other_files_are_measured_if_they_are_asked_for(program: Path, source: SourceMap) -> None:
    lima, header = "drivers/gpu/drm/lima/panthor_x.c", "include/other.h"
    more = read_vmlinux(program, "ab" * 20, others=[lima, header, "ima/panthor_x.c", "no/such.c"])
    assert set(more.lines) == {*source.lines, lima, header}
    assert {function.name for function in more.functions} - {function.name for function in source.functions} == {
        "main",
        "outside",
        "foreign",
    }
    assert sum(end - start for start, end in more.text) > sum(end - start for start, end in source.text)


def test_a_map_survives_its_file(source: SourceMap) -> None:
    assert from_json(source.to_json()) == source
    with pytest.raises(ValueError, match="map"):
        from_json('{"text": []}')


def test_a_program_without_debug_information_of_the_driver_is_refused(program: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, program], check=True, timeout=60)
    for file, driver in ((stripped, DRIVER), (program, "drivers/gpu/drm/none/")):
        with pytest.raises(UsageError, match="no debug information"):
            read_vmlinux(file, "", driver)


def test_what_is_no_elf_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"no ELF at all")
    with pytest.raises(LabError, match="cannot be read"):
        read_vmlinux(tmp_path / "vmlinux", "")


def test_ranges_that_touch_are_one() -> None:
    assert merged([(8, 12), (0, 4), (4, 8), (20, 24), (22, 23), (30, 30)]) == ((0, 12), (20, 24))
