# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds to which something happens: real processes are killed, real files damaged, and nobody is blamed wrongly."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from panthorlab.errors import BuildError, LabError
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.build.steps import objects_of
from panthorlab.kernel.job import build_side
from panthorlab.kernel.model import Kernel
from tests.unit.kernel.conftest import Prepare

D = "drivers/gpu/drm/panthor"
MMU, SCHED, HEADER = f"{D}/panthor_mmu.c", f"{D}/panthor_sched.c", f"{D}/panthor_sched.h"
Trap = Callable[[str, str], None]

WRAPPER = """\
#!/bin/sh
# The compiler, and what befalls it: `trap` has a word of the command line and what to do, once or always.
read -r word action times 2> /dev/null < {trap} || exec {gcc} "$@"
case "$*" in *"$word"*) ;; *) exec {gcc} "$@" ;; esac
test "$times" = always || rm {trap}
case $action in
kill-it) kill -KILL $$ ;;
kill-make)
    for part; do test "$last" = -o && echo torn > "$part"; last=$part; done
    kill -KILL $PPID ;;
*) exec {gcc} -B{folder}/$action/ "$@" ;;
esac
"""


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """Have the compiler, the next time that `word` is in its command line, or always: `kill-it`, `kill-make`, or run
    with a cc1, as or ld that dies of a signal, e.g. `cc1-KILL`."""
    folder = tmp_path / "trap"
    gcc = shutil.which("gcc")
    for program in ("cc1", "as", "ld", "collect2"):
        for name in ("KILL", "SEGV", "BUS", "TERM", "ABRT"):
            path = folder / f"{program}-{name}" / program
            path.parent.mkdir(parents=True)
            path.write_text(f"#!/bin/sh\nkill -{name} $$\n")
            path.chmod(0o755)
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "gcc"
    wrapper.write_text(WRAPPER.format(trap=folder / "set", gcc=gcc, folder=folder))
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")

    def put(word: str, action: str) -> None:
        (folder / "set").write_text(f"{word} {action}\n")

    return put


@pytest.fixture
def sides(prepare: Prepare, patch: Callable[..., Path], trap: Trap) -> Sides:
    return prepare([patch("one.patch", MMU, "return x + 1;", "return x + 2;")])


def after(sides: Sides, log: Path, notes: list[str] | None = None) -> Kernel:
    return build_side(sides.after, log=log, before=sides.before, note=(notes if notes is not None else []).append)


@pytest.mark.parametrize(
    ("word", "action", "says"),
    [
        (MMU, "kill-it", "Killed"),
        (MMU, "kill-make", "signal 9"),
        (SCHED, "kill-make", "signal 9"),
        (MMU, "cc1-KILL", "Killed signal terminated program cc1"),
        (MMU, "cc1-BUS", "Bus error"),
        (MMU, "cc1-TERM", "Terminated"),
        (MMU, "as-KILL", "Killed"),
        ("vmlinux", "collect2-KILL", "Killed"),
        ("vmlinux", "ld-KILL", "terminated with signal 9"),
        ("panthor_pci_shim.ko", "ld-KILL", "terminated with signal 9"),
        ("prog.c", "kill-make", "signal 9"),
        ("prog.c", "cc1-KILL", "Killed"),
    ],
)
@pytest.mark.parametrize("incremental", [True, False])
def test_what_was_killed_is_the_machine_and_the_next_build_goes_on(
    sides: Sides, log: Path, trap: Trap, word: str, action: str, says: str, incremental: bool
) -> None:
    if incremental:
        build_side(sides.before, log=log)
    plan = sides.after
    if incremental and word == SCHED:
        (objects_of(plan) / D / "panthor_sched.o").unlink()
    trap(word, action)
    with pytest.raises(LabError, match=says) as caught:
        after(sides, log)
    assert (caught.value.blame, caught.value.exit_status) == ("lab", 4)
    assert not isinstance(caught.value, BuildError)
    assert store.load(plan.key) is None
    assert after(sides, log).build_id


@pytest.mark.parametrize("action", ["cc1-SEGV", "cc1-ABRT"])
def test_a_compiler_that_crashes_once_is_run_once_more(sides: Sides, log: Path, trap: Trap, action: str) -> None:
    notes: list[str] = []
    trap(MMU, action)
    assert after(sides, log, notes).build_id
    assert "once more" in notes[0]
    assert "internal compiler error" in notes[0]


def test_a_compiler_that_crashes_always_is_the_lab(sides: Sides, log: Path, trap: Trap) -> None:
    trap(SCHED, "cc1-SEGV always")
    with pytest.raises(LabError, match="internal compiler error") as caught:
        after(sides, log)
    assert "this patch" not in str(caught.value)


def test_a_compiler_that_crashes_on_the_patch_alone(sides: Sides, log: Path, trap: Trap, tmp_path: Path) -> None:
    """The trap only springs where the patch is in the source."""
    wrapper = tmp_path / "trap/bin/gcc"
    (wrapper.parent / "gcc.real").symlink_to(shutil.which("gcc", path="/usr/bin:/bin") or "gcc")
    only = 'grep -q "x + 2" "${@: -1}" || exec gcc.real "$@"\ncase "$*"'
    wrapper.write_text(wrapper.read_text().replace('case "$*"', only).replace("#!/bin/sh", "#!/bin/bash"))
    trap(MMU, "cc1-SEGV always")
    with pytest.raises(LabError, match=r"and again, while 6\.12\.99 builds: it is this patch"):
        after(sides, log)
    assert build_side(sides.before, log=log).build_id


def test_a_torn_object_of_an_earlier_version_is_healed(sides: Sides, log: Path) -> None:
    """Without a mark: the failure is in what no patch touches, so all is built once more from nothing."""
    build_side(sides.before, log=log)
    (objects_of(sides.after) / D / "panthor_sched.o").write_bytes(b"torn")
    notes: list[str] = []
    assert after(sides, log, notes).build_id
    assert "from nothing" in notes[0]


def test_a_patch_that_does_not_compile_is_blamed_in_an_increment(
    prepare: Prepare, patch: Callable[..., Path], log: Path
) -> None:
    sides = prepare([patch("bad.patch", MMU, "return x + 1;", "return x + ;")])
    build_side(sides.before, log=log)
    compiled = log.read_text().count("  CC    ")
    with pytest.raises(BuildError, match=r"touched by 'bad\.patch'"):
        after(sides, log)
    assert log.read_text().count("  CC    ") == compiled + 2, "its file, once more without it, and nothing else"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            HEADER,
            "void panthor_sched_suspend(void);",
            "int panthor_sched_report_mmu_fault(void);",
        ),  # fails in an includer
        (MMU, "return x + 1;", "return panthor_gone(x);"),
        (MMU, "\tvm->active_cnt--;\n", '\tasm(".error \\"No space left on device\\"");\n'),
        (MMU, "return x + 1;", "\n#error Killed\n#error internal compiler error: out of memory\n"),
    ],
)
def test_other_ways_in_which_a_patch_does_not_build(
    prepare: Prepare, patch: Callable[..., Path], log: Path, tree: Path, file: str, old: str, new: str
) -> None:
    makefile = tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("build-id=sha1 -o $@ $^", "build-id=sha1,-z,defs -o $@ $^"))
    sides = prepare([patch("bad.patch", file, old, new)])
    build_side(sides.before, log=log)
    notes: list[str] = []
    with pytest.raises(BuildError):
        after(sides, log, notes)
    assert notes == [], "what the patch touches needs no second look"


def test_before_must_have_been_built_in_the_same_tree(sides: Sides, log: Path, prepare: Prepare) -> None:
    """It was, by this process, too; then the tree was damaged, in a header that the patched file includes."""
    build_side(sides.before, log=log)
    header = sides.before.base.path / HEADER
    header.write_text(header.read_text() + "garbage garbage;\n")
    with pytest.raises(LabError, match="nothing can be said of the patch"):
        after(sides, log)
    again = prepare([log.parents[1] / "one.patch"])
    assert after(again, log).build_id, "the tree was unpacked again"


def test_before_is_built_to_blame_a_patch(prepare: Prepare, patch: Callable[..., Path], log: Path) -> None:
    sides = prepare([patch("bad.patch", MMU, "return x + 1;", "return x + ;")])
    with pytest.raises(BuildError, match="does not build"):
        after(sides, log)
    assert (objects_of(sides.before) / "vmlinux").exists()


def test_a_damaged_config_is_made_again(sides: Sides, log: Path) -> None:
    build_side(sides.before, log=log)
    dotconfig = objects_of(sides.after) / ".config"
    good = dotconfig.read_bytes()
    dotconfig.write_bytes(b"\0" * 100)
    after(sides, log)
    assert dotconfig.read_bytes() == good


def test_damaged_notes_of_the_cache_are_made_again(prepare: Prepare, log: Path, cache: Path, sides: Sides) -> None:
    build_side(sides.before, log=log)
    shutil.rmtree(objects_of(sides.before))
    for path in [*cache.glob("trees/steps-*.json"), *cache.glob("trees/*/base.json")]:
        path.write_bytes(b"\xff\0[[[")
    again = prepare([log.parents[1] / "one.patch"])
    assert after(again, log).build_id


def test_a_damaged_kernel_is_built_again(sides: Sides, log: Path) -> None:
    first = after(sides, log)
    (first.path / "Image").write_bytes(b"")
    notes: list[str] = []
    second = after(sides, log, notes)
    assert second.build_id == first.build_id
    assert (second.path / "Image").stat().st_size
    assert "is damaged (Image is empty)" in notes[0]


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """As on a full disk, for an ordinary user: no file may become larger (`ulimit -f`)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1000, 3000, 10000])
def test_a_full_disk_is_named_wherever_it_is_met(sides: Sides, log: Path, size: int) -> None:
    with small_files(size), pytest.raises(LabError, match="the disk is full"):
        after(sides, log)
    assert after(sides, log).build_id


def test_a_full_disk_under_the_log(sides: Sides) -> None:
    with pytest.raises(LabError, match="the disk is full"):
        after(sides, Path("/dev/full"))
