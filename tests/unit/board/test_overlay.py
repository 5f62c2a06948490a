# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program needs is found inside an unpacked root, and nothing outside of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from panthorlab.board.emulated import cpio
from panthorlab.board.emulated.overlay.closure import closure, resolve
from panthorlab.board.emulated.overlay.table import LIBRARIES, RECIPES
from panthorlab.errors import LabError, UsageError
from panthorlab.run.overlays import overlay_dir
from panthorlab.run.progress import ProgressDisplay

PYTHON = str(Path(sys.executable).resolve())


def file(root: Path, path: str, data: bytes = b"x") -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def link(root: Path, path: str, target: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def test_links_are_followed_inside_the_root_whatever_they_say_of_the_host(tmp_path: Path) -> None:
    file(tmp_path, "/usr/lib/real")
    link(tmp_path, "/lib", "usr/lib")
    link(tmp_path, "/usr/lib/absolute", "/lib/real")
    link(tmp_path, "/usr/lib/up", "../../../../../../lib/real")
    link(tmp_path, "/usr/lib/host", "/etc/passwd")
    assert resolve(tmp_path, "/lib/absolute")[-1] == "/usr/lib/real"
    assert resolve(tmp_path, "/lib/up")[-1] == "/usr/lib/real"
    with pytest.raises(FileNotFoundError):
        resolve(tmp_path, "/lib/host")
    link(tmp_path, "/usr/lib/a", "b")
    link(tmp_path, "/usr/lib/b", "a")
    with pytest.raises(LabError, match="circles"):
        resolve(tmp_path, "/lib/a")


def test_the_closure_of_a_real_program_is_what_the_dynamic_linker_loads() -> None:
    listed = subprocess.run(["ldd", PYTHON], capture_output=True, text=True, check=True).stdout
    wanted = {Path(word).resolve() for word in listed.split() if word.startswith("/")}
    libraries = str(next(path for path in wanted if path.name.startswith("libc.so")).parent)
    found = closure(Path("/"), [PYTHON], libraries)
    assert wanted <= {Path(path).resolve() for path in found}
    assert found[PYTHON] is None


def test_no_directory_of_a_merged_usr_becomes_a_link_on_the_board(tmp_path: Path) -> None:
    file(tmp_path, "/usr/bin/tool")
    link(tmp_path, "/bin", "usr/bin")
    assert closure(tmp_path, ["/bin/tool"], "/usr/lib") == {"/usr/bin/tool": None, "/bin/tool": "/usr/bin/tool"}


def test_what_is_missing_is_named_with_who_needs_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="/usr/bin/gone, which the overlay needs"):
        closure(tmp_path, ["/usr/bin/gone"], "/usr/lib")
    (tmp_path / "tool").write_bytes(Path(PYTHON).read_bytes())
    with pytest.raises(LabError, match="which /tool needs, is in none of the packages"):
        closure(tmp_path, ["/tool"], "/usr/lib")
    (tmp_path / "torn").write_bytes(b"\x7fELF\2\1\1" + bytes(30))
    with pytest.raises(LabError, match="damaged"):
        closure(tmp_path, ["/torn"], "/usr/lib")


def test_an_overlay_is_named_or_a_directory(tmp_path: Path) -> None:
    progress = ProgressDisplay(quiet=True)
    assert overlay_dir(None, progress) is None
    assert overlay_dir(str(tmp_path), progress) == tmp_path
    with pytest.raises(UsageError, match="no overlay `mesa-vulcan`") as refused:
        overlay_dir("mesa-vulcan", progress)
    assert "mesa-vulkan" in str(refused.value.hint)


def test_every_recipe_has_a_program_and_says_what_it_is() -> None:
    for recipe in RECIPES.values():
        programs = {program for part in recipe.parts for program in part.programs} | dict(recipe.scripts).keys()
        assert programs
        assert recipe.about
        assert all(target in programs for _, target in recipe.links)
        assert all(part.architecture in LIBRARIES for part in recipe.parts)


def test_every_recipe_makes_what_tells_it() -> None:
    for recipe in RECIPES.values():
        made = {program for part in recipe.parts for program in part.programs} | dict(recipe.links).keys()
        assert recipe.tells
        assert all(any(f"{path}/".startswith(f"{tell}/") for path in made) for tell in recipe.tells)


def test_what_the_board_has_in_another_way_is_left_out() -> None:
    listed = subprocess.run(["ldd", PYTHON], capture_output=True, text=True, check=True).stdout
    names = frozenset(Path(word).name for word in listed.split() if ".so" in word)
    assert closure(Path("/"), [PYTHON], "/nowhere", names) == {PYTHON: None}
    with pytest.raises(LabError, match=r"libc\.so"):
        closure(Path("/"), [PYTHON], "/nowhere", frozenset(name for name in names if not name.startswith("libc.so")))


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_files_of_the_initramfs_are_not_from_1970(tmp_path: Path) -> None:
    archive = cpio.write_newc([cpio.file_entry("/a", b"x")])
    subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "a").stat().st_mtime == cpio.MTIME
