# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of our own in overlays: when an overlay is made anew for them, and what compiling them gives."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from panthorlab.arch import DEFAULT
from panthorlab.board.emulated.overlay import compile as compiling
from panthorlab.board.emulated.overlay.assemble import recipe_digest
from panthorlab.board.emulated.overlay.table import RECIPES, OwnProgram, Part, Recipe
from panthorlab.errors import LabError

BUILT = OwnProgram("/usr/bin/mine", "mine.c", ())
RECIPE = Recipe((Part(("libc6",), ("/usr/bin/mine",), built=(BUILT,)),))
needs_compiler = pytest.mark.skipif(
    shutil.which(f"{DEFAULT.cross_compile}gcc") is None, reason=f"needs {DEFAULT.compiler_package}"
)


@pytest.fixture(autouse=True)
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "mine.c").write_text('#include "mine.h"\nint main(void) { return number(); }\n')
    (folder / "mine.h").write_text("int number(void);\n")
    (folder / "mine-number.c").write_text('#include "mine-number.h"\nint number(void) { return NUMBER; }\n')
    (folder / "mine-number.h").write_text("#define NUMBER 3\n")
    (folder / "miner.c").write_text("int main(void) { return 1; }\n")  # somebody else's
    monkeypatch.setattr(compiling, "SOURCES", folder)
    return folder


def test_a_source_that_changes_makes_the_overlay_anew(sources: Path) -> None:
    before = recipe_digest(RECIPE)
    assert recipe_digest(RECIPE) == before
    for file in sorted(sources.iterdir()):
        file.write_text(file.read_text() + "\n")
        assert (recipe_digest(RECIPE) != before) == (file.name != "miner.c")
        before = recipe_digest(RECIPE)


def test_an_overlay_without_sources_stays_good() -> None:
    part = replace(RECIPE.parts[0], built=())
    facts = asdict(replace(RECIPE, parts=(part,)))
    del facts["parts"][0]["built"]
    assert recipe_digest(replace(RECIPE, parts=(part,))) == hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@needs_compiler
def test_a_program_for_the_board(tmp_path: Path) -> None:
    compiling.compile_into(tmp_path, BUILT)
    program = tmp_path / "usr/bin/mine"
    assert program.stat().st_mode & 0o111
    with program.open("rb") as file:
        assert ELFFile(file).get_machine_arch() == "AArch64"


@needs_compiler
def test_what_the_compiler_says_is_told(tmp_path: Path, sources: Path) -> None:
    (sources / "mine.c").write_text("int main(void) { return nothing; }\n")
    with pytest.raises(LabError, match=r"(?s)mine\.c cannot be compiled: .*nothing"):
        compiling.compile_into(tmp_path, BUILT)


def test_a_machine_without_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError) as refused:
        compiling.compile_into(tmp_path, BUILT)
    assert DEFAULT.compiler_package in str(refused.value.hint)


def test_sources_of_all_recipes_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for recipe in RECIPES.values():
        for part in recipe.parts:
            for built in part.built:
                assert (compiling.SOURCES / built.source).is_file()
                assert built.path in part.programs
