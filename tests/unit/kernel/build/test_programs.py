# SPDX-License-Identifier: GPL-2.0-or-later
"""New guest programs for kernels that are built: by real processes, which wait for no build of a kernel, make nothing
twice, are killed, and never take a tree as it is patched for another kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panthorlab.errors import BuildError
from panthorlab.kernel import gc, store
from panthorlab.kernel.build import attempts
from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.job import build_side
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.source import trees
from tests.unit.kernel.conftest import Prepare

UAPI = "include/uapi/drm/panthor_drm.h"
USES = "#include <drm/panthor_drm.h>\n#ifndef VALUE\n#define VALUE 1\n#endif\nint main(void) { return VALUE; }\n"
SECONDS = 120

BUILDS = """\
import sys
from pathlib import Path
from panthorlab.kernel.build import guest
from panthorlab.kernel.jail.sandbox import without_jail
from panthorlab.kernel.job import build_side, prepare_sides
tree, sources, fragment, patch, log = sys.argv[1:]
without_jail()
guest.SOURCES = Path(sources)
plan = prepare_sides(tree, [patch], fragments=[fragment]).after
print(build_side(plan, log=Path(log), progress=lambda step, *_: print(step, flush=True)).key)
"""

PATCHES = """\
import sys
from pathlib import Path
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.spec import resolve
base = trees.open_base(resolve(sys.argv[1]), quiet)
with trees.locked(base.key, quiet):
    trees.set_changes(base, {sys.argv[2]: b"#define VALUE 99\\n"})
    print("patched", flush=True)
    for line in sys.stdin:
        trees.set_changes(base, {sys.argv[2]: None})
        trees.set_changes(base, {sys.argv[2]: line.encode()})
"""


@contextmanager
def running(code: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Another process of panthorlab's, which is ended at last."""
    argv = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], text: str) -> str:
    """The next line of its output with this in it."""
    assert process.stdout is not None
    return next(line for line in process.stdout if text in line)


@pytest.fixture
def seven(patch: Callable[..., Path]) -> Path:
    """A patch of a header that the guest programs include."""
    return patch("seven.patch", UAPI, "};\n", "};\n#define VALUE 7\n")


@pytest.fixture
def sides(prepare: Prepare, seven: Path, log: Path, guest: Path) -> Sides:
    """Both kernels are built, and since then the programs are others."""
    for side in (prepare([seven]).before, prepare([seven]).after):
        build_side(side, log=log)
    (guest / "prog.c").write_text(USES)
    return prepare([seven])


def says(kernel: Kernel) -> int:
    return subprocess.run([kernel.guest / "init"], timeout=SECONDS, check=False).returncode


def test_they_wait_for_no_kernel_nor_take_what_is_patched_for_it(sides: Sides, tree: Path, log: Path) -> None:
    with running(PATCHES, tree, UAPI) as other:
        until(other, "patched")
        assert [says(build_side(side, log=log)) for side in (sides.before, sides.after)] == [1, 7]


def test_they_need_no_objects_and_the_rest_is_that_of_the_kernel(sides: Sides, prepare: Prepare, log: Path) -> None:
    core = store.with_core(sides.after.core_key)
    objects = objects_of(sides.after)
    objects.rename(objects.with_name("elsewhere"))
    made = build_side(sides.after, log=log)
    assert core is not None
    assert (made.key, made.release, made.digests) == (sides.after.key, core.release, core.digests)
    assert made.modules == core.modules
    assert not objects.exists()


def test_a_new_shim_is_built_in_the_tree(prepare: Prepare, seven: Path, sides: Sides, guest: Path, log: Path) -> None:
    (guest / "shim/shim.c").write_text("int another;\n")
    plan = prepare([seven]).after
    old = store.with_core(plan.core_key)
    made = build_side(plan, log=log)
    assert old is not None
    assert made.modules != old.modules
    assert made.shim_key not in ("", old.shim_key)


def test_of_a_kernel_that_does_not_say_which_shim_it_has_it_is_made_anew(sides: Sides, log: Path) -> None:
    """As versions before have stored them."""
    for kernel in list(store.kernels()):
        store.write_record(type(kernel)(**{**vars(kernel), "shim_key": "", "files": {}}), sides.after.core_key)
    assert build_side(sides.after, log=log).shim_key
    assert log.read_text().count("CC [M]") == 3


def test_programs_that_do_not_compile_are_judged_in_the_tree(
    prepare: Prepare, seven: Path, sides: Sides, guest: Path, log: Path
) -> None:
    (guest / "prog.c").write_text("#include <drm/panthor_drm.h>\n#ifdef VALUE\n#error no\n#endif\nint main(void) {}\n")
    sides = prepare([seven])
    notes: list[str] = []
    with pytest.raises(BuildError, match="does not build"):
        build_side(sides.after, log=log, before=sides.before, note=notes.append)
    assert "cannot be made by themselves" in notes[0]
    assert says(build_side(sides.before, log=log)) == 0


@pytest.fixture
def held(guest: Path, tmp_path: Path) -> Path:
    """While this file is there, making programs stops half-way. What was begun is in `made` beside it."""
    hold, made = tmp_path / "hold", tmp_path / "made"
    hold.touch()
    stop = f"echo torn > $(OUT)/init; echo >> {made}; while test -e {hold}; do sleep 0.1; done"
    makefile = guest / "Makefile"
    makefile.write_text(makefile.read_text().replace("\tgcc", f"\t@echo half-way; {stop}\n\tgcc"))
    return hold


@pytest.fixture
def build(tree: Path, guest: Path, fragment: Path, seven: Path, log: Path) -> tuple[str | Path, ...]:
    return BUILDS, tree, guest, fragment, seven, log


def test_two_at_once_make_them_once(
    sides: Sides, prepare: Prepare, seven: Path, held: Path, build: tuple[str | Path, ...]
) -> None:
    key = prepare([seven]).after.key
    code, *arguments = build
    with running(str(code), *arguments) as first, running(str(code), *arguments) as second:
        said = sorted(until(process, "guest programs").strip() for process in (first, second))
        assert said == [
            "building the guest programs",
            "waiting for another run that makes guest programs for the same tree",
        ]
        held.unlink()
        for process in (first, second):
            assert until(process, key)
            assert process.wait(SECONDS) == 0
    assert held.with_name("made").read_text() == "\n"


def test_of_a_run_that_is_killed_nothing_is_taken(
    sides: Sides, prepare: Prepare, seven: Path, held: Path, build: tuple[str | Path, ...], log: Path, cache: Path
) -> None:
    plan = prepare([seven]).after
    code, *arguments = build
    with running(str(code), *arguments) as process:
        until(process, "building the guest programs")
        while "half-way" not in log.read_text():
            assert process.poll() is None
        process.kill()
        process.wait(SECONDS)
    assert store.load(plan.key) is None
    held.unlink()
    assert says(build_side(plan, log=log)) == 7
    (left,) = (cache / "programs").iterdir()
    assert left in {item.path for item in gc.items() if item.junk}


def test_who_has_waited_for_the_tree_makes_the_programs_without_it(
    sides: Sides, prepare: Prepare, seven: Path, log: Path, guest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run has built the same kernel with other programs meanwhile."""
    plan, real = sides.after, store.with_core
    answers = iter([None])
    monkeypatch.setattr(store, "with_core", lambda *given, **named: next(answers, real(*given, **named)))
    monkeypatch.setattr(attempts, "collect", lambda *_: pytest.fail("built in the tree"))
    assert says(build_side(plan, log=log)) == 7


def test_a_tree_that_is_taken_away_is_not_read(sides: Sides) -> None:
    base = sides.base
    with trees.kept(base):
        pass
    with pytest.raises(trees.TakenAwayError), trees.kept(base):
        trees.forget(base)
    with pytest.raises(trees.TakenAwayError), trees.kept(base):
        pytest.fail("it is not there")


def test_the_base_is_read_whatever_another_process_does_to_the_tree(
    sides: Sides, tree: Path, files: dict[str, bytes]
) -> None:
    base = sides.base
    with running(PATCHES, tree, UAPI) as other:
        until(other, "patched")
        assert other.stdin is not None
        for number in range(300):
            other.stdin.write(f"#define VALUE {number}\n")
            other.stdin.flush()
            assert trees.read_base(base, UAPI) == files[UAPI]
            assert "panthor_drm.h" in trees.names_in_base(base, "include/uapi/drm", "*.h")
