# SPDX-License-Identifier: GPL-2.0-or-later
"""The private tree: unpacked once, patched in place, and never more touched than it must be."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab.errors import LabError, PatchError, SourceError
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.base import Base
from panthorlab.kernel.source.spec import resolve

D = "drivers/gpu/drm/panthor"
MMU, SCHED = f"{D}/panthor_mmu.c", f"{D}/panthor_sched.c"


@pytest.fixture
def base(tree: Path, cache: Path) -> Base:
    return trees.open_base(resolve(str(tree)), quiet)


def times(base: Base) -> dict[str, tuple[float, bytes, int]]:
    """What `make` sees of each file, and more: two that were written soon after one another have the same time."""
    files = (path for path in base.path.rglob("*") if path.is_file())
    return {
        str(path.relative_to(base.path)): (path.stat().st_mtime_ns, path.read_bytes(), path.stat().st_mode)
        for path in files
    }


def test_base_says_what_it_is(base: Base, tree: Path) -> None:
    assert (base.version, base.has_fix, base.title) == ("6.12.99", False, str(tree))


def test_it_is_unpacked_once(base: Base, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_unpack", lambda *_: pytest.fail("unpacked again"))
    assert trees.open_base(resolve(str(tree)), quiet) == base


def test_the_same_content_is_called_by_the_name_it_was_asked_for(
    base: Base, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_unpack", lambda *_: pytest.fail("unpacked again"))
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(tree), str(copy)], check=True)
    again = trees.open_base(resolve(str(copy)), quiet)
    assert (again.key, again.path, again.title) == (base.key, base.path, str(copy))


def test_only_changed_files_are_written(base: Base) -> None:
    before = times(base)
    assert trees.set_changes(base, {MMU: b"int a;\n", SCHED: trees.read_base(base, SCHED)}) == [MMU]
    after = times(base)
    assert {name for name in before if before[name] != after[name]} == {MMU}


def test_back_to_the_base_with_new_times(base: Base, files: dict[str, bytes]) -> None:
    before = times(base)
    trees.set_changes(base, {MMU: b"int a;\n", "drivers/new/x.c": b"int b;\n", SCHED: None})
    assert not (base.path / SCHED).exists()
    assert (base.path / "drivers/new/x.c").read_bytes() == b"int b;\n"
    assert set(trees.set_changes(base, {})) == {"drivers/new/x.c", MMU, SCHED}
    assert {name: (base.path / name).read_bytes() for name in files} == files
    assert not (base.path / "drivers/new/x.c").exists()
    after = times(base)
    assert after[MMU] > before[MMU], "an object made from the patched file must look old"
    assert trees.set_changes(base, {}) == []


def test_the_base_can_be_read_whatever_is_in_the_tree(base: Base, files: dict[str, bytes]) -> None:
    trees.set_changes(base, {MMU: b"int a;\n", "new.c": b"int b;\n"})
    assert trees.read_base(base, MMU) == files[MMU]
    assert trees.read_base(base, "new.c") is None
    assert trees.read_base(base, D) is None


def test_a_run_that_died_between_writes_is_mended(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trees._write_if_different

    def dies(path: Path, content: bytes | None, *, executable: bool | None) -> bool:
        if path.name == "panthor_sched.c":
            raise KeyboardInterrupt
        return real(path, content, executable=executable)

    monkeypatch.setattr(trees, "_write_if_different", dies)
    with pytest.raises(KeyboardInterrupt):
        trees.set_changes(base, {MMU: b"half\n", SCHED: b"other half\n"})
    monkeypatch.setattr(trees, "_write_if_different", real)
    assert trees.set_changes(base, {}) == [MMU]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "", "a/../../b"])
def test_paths_out_of_the_tree(base: Base, path: str) -> None:
    with pytest.raises(PatchError, match="outside the tree"):
        trees.read_base(base, path)


def test_symbolic_links_are_not_followed(tree: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tree / "link").symlink_to(tmp_path / "outside")
    base = trees.open_base(resolve(str(tree)), quiet)
    with pytest.raises(PatchError, match="symbolic link"):
        trees.set_changes(base, {"link/x.c": b"int a;\n"})
    assert list((tmp_path / "outside").iterdir()) == []


def test_nothing_is_kept_of_what_is_no_kernel(tree: Path, cache: Path) -> None:
    def unpack(into: Path, _progress: Progress) -> None:
        (into / "Makefile").write_text("all:\n")

    with pytest.raises(SourceError, match="not a Linux kernel tree"):
        trees.open_base(SimpleNamespace(key="x", title="x", unpack=unpack), quiet)
    assert [path.name for path in (cache / "trees").iterdir()] == ["x.lock"]


def test_objects_of_an_in_tree_build_are_cleaned_from_the_copy(tree: Path, cache: Path) -> None:
    (tree / ".config").touch()
    text = (tree / "Makefile").read_text().replace("allnoconfig:", "mrproper:\n\t@rm -f .config\nallnoconfig:", 1)
    (tree / "Makefile").write_text(text)
    base = trees.open_base(resolve(str(tree)), quiet)
    assert not (base.path / ".config").exists()
    assert (tree / ".config").exists()


def test_a_second_run_waits_and_says_so(cache: Path) -> None:
    said: list[str] = []
    entered, waiting = threading.Event(), threading.Event()

    def progress(step: str, *_: object) -> None:
        said.append(step)
        waiting.set()

    def second() -> None:
        with trees.locked("k", progress):
            entered.set()

    with trees.locked("k", quiet):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(60)
        assert not entered.is_set()
    assert entered.wait(60)
    thread.join(60)
    assert said == ["waiting for another run that builds from the same tree"]


def test_the_wait_has_a_deadline(cache: Path) -> None:
    with (
        trees.locked("k", quiet),
        pytest.raises(LabError, match="has kept the tree"),
        trees.locked("k", quiet, timeout=0.0),
    ):
        pass


def test_the_lock_dies_with_its_process(cache: Path) -> None:
    (cache / "trees").mkdir(parents=True)
    code = "import fcntl, os, sys; fcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX); os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(cache / "trees/k.lock")], check=True)
    with trees.locked("k", quiet, timeout=0.0):
        pass


def test_a_file_is_no_directory_nor_the_other_way(base: Base) -> None:
    with pytest.raises(PatchError, match="Makefile is a file"):
        trees.read_base(base, "Makefile/x.c")
    with pytest.raises(PatchError, match="a directory of the tree"):
        trees.check_changes(base, {"drivers/gpu": b"x\n"})
    trees.check_changes(base, {"drivers/gpu": None, "drivers/new/x.c": b"x\n"})


def test_what_can_be_run_is_as_it_is_said_and_then_as_it_was(base: Base, files: dict[str, bytes]) -> None:
    def mode(name: str) -> int:
        return (base.path / name).stat().st_mode & 0o111

    content = {MMU: files[MMU], SCHED: b"int a;\n", "scripts/new.sh": b"#!/bin/sh\n"}
    said = {MMU: True, "scripts/new.sh": False}
    assert trees.set_changes(base, content, said) == [MMU, SCHED, "scripts/new.sh"]
    assert [mode(name) for name in content] == [0o111, 0, 0]
    assert trees.set_changes(base, content, said) == []
    assert set(trees.set_changes(base, {})) == set(content)
    assert (mode(MMU), (base.path / MMU).read_bytes()) == (0, files[MMU])


def test_new_scripts_can_be_run(base: Base) -> None:
    trees.set_changes(base, {"scripts/new.sh": b"#!/bin/sh\n", "scripts/new.txt": b"text\n"})
    assert (base.path / "scripts/new.sh").stat().st_mode & 0o777 == 0o755
    assert (base.path / "scripts/new.txt").stat().st_mode & 0o777 == 0o644


States = dict[str, tuple[bytes, bool]]
PLACES = [MMU, SCHED, "new.c", "scripts/new.sh", "scripts/more/new.sh"]
states = st.dictionaries(
    st.sampled_from(PLACES), st.tuples(st.sampled_from([b"", b"int a;\n", b"#!/bin/sh\n"]), st.booleans())
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(walk=st.lists(states, min_size=1, max_size=5))
def test_whichever_way_leads_to_a_state_it_is_that(base: Base, walk: list[States]) -> None:
    """Contents, and what can be run; what a state does not name is deleted."""
    for state in walk:
        content = {name: state[name][0] if name in state else None for name in PLACES}
        before = times(base)
        written = trees.set_changes(base, content, {name: runs for name, (_, runs) in state.items()})
        found = {name: base.path / name for name in PLACES if (base.path / name).exists()}
        assert {name: (path.read_bytes(), bool(path.stat().st_mode & 0o100)) for name, path in found.items()} == state
        after = times(base)
        assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == set(written)
    trees.set_changes(base, {})
    assert {name for name in PLACES if (base.path / name).exists()} == {MMU, SCHED}
