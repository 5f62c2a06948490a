# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions of a vmlinux, and where they are left."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import LabError
from panthorlab.kernel.symbols import FunctionSymbol, exits, functions

RET, RETAA, RETAB, NOP, BLR, BR = 0xD65F03C0, 0xD65F0BFF, 0xD65F0FFF, 0xD503201F, 0xD63F0020, 0xD61F0020
START = 0x1000


def branch(by: int, *, link: bool = False) -> int:
    """B or BL, `by` instructions from here."""
    return (0b100101 if link else 0b000101) << 26 | by & 0x3FFFFFF


def function(*words: int, start: int = START, name: str = "f") -> FunctionSymbol:
    return FunctionSymbol(start, name, "x.c", struct.pack(f"<{len(words)}I", *words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((NOP, RET), [1]),
        ((RETAA, NOP, RETAB), [0, 2]),
        ((NOP, branch(-1), branch(1), NOP), []),  # loops, and jumps within
        ((branch(100), branch(-100)), [0, 1]),  # to other functions, forwards and backwards
        ((branch(100, link=True), BLR, BR, NOP), []),  # calls, and a jump table
        ((branch(2), NOP), [0]),  # the first instruction behind it is another function's
    ],
)
def test_a_function_is_left_by_returns_and_by_jumps_to_others(words: tuple[int, ...], expected: list[int]) -> None:
    assert list(exits(function(*words), [])) == [START + 4 * at for at in expected]


def test_a_jump_to_a_cold_part_leaves_nothing_and_none_leaves_one_but_by_return() -> None:
    cold = function(NOP, RET, branch(-300), start=START + 400, name="f.cold")
    assert cold.cold
    assert list(exits(function(branch(100), NOP), [cold])) == []
    assert list(exits(cold, [cold])) == [START + 404]


@given(st.binary(max_size=64), st.integers(0, 1 << 40))
def test_any_code_can_be_read(code: bytes, page: int) -> None:
    start = page * 4
    assert all(start <= at < start + len(code) for at in exits(FunctionSymbol(start, "f", "", code), []))


def test_functions_have_their_source_and_their_code(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    assert compiler, "no gcc; ./scripts/setup installs one"
    inner = "static __attribute__((noinline, used)) int inner(int x) { return x * %d; }\n"
    (tmp_path / "one.c").write_text(inner % 5 + "int outer(int x) { return inner(x); }\n")
    (tmp_path / "two.c").write_text(inner % 3 + "int other(int x) { return inner(x); }\n")
    program = tmp_path / "vmlinux"
    flags = ("-nostdlib", "-static", "-O1", "-Wl,-e,outer")
    subprocess.run([compiler, *flags, "-o", program, "one.c", "two.c"], cwd=tmp_path, check=True, timeout=60)
    found = list(functions(program, lambda name, file: file == "one.c" or name == "other"))
    assert sorted((one.name, one.file) for one in found) == [("inner", "one.c"), ("other", "")]
    assert all(one.address and one.code for one in found)
    image = program.read_bytes()
    assert all(one.code in image for one in found)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF" + b"\2\1\1" + b"\0" * 57, b"x" * 4096])
def test_what_is_no_vmlinux_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(content)
    with pytest.raises(LabError):
        list(functions(tmp_path / "vmlinux", lambda _name, _file: True))
