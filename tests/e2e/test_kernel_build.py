# SPDX-License-Identifier: GPL-2.0-or-later
"""Real sources, real configs, real kernels, in the user's own cache (so that a second run is fast)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from panthorlab.arch import ARCHES
from panthorlab.errors import BuildError, LabError, PatchError, SourceError
from panthorlab.kernel import store
from panthorlab.kernel.build import config, kconfig
from panthorlab.kernel.build.plan import Sides
from panthorlab.kernel.build.toolchain import find_toolchain
from panthorlab.kernel.driver import PANTHOR
from panthorlab.kernel.elf import build_id
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.job import DEFAULT_FRAGMENTS, build_side, cannot_differ, prepare_kernel, prepare_sides
from panthorlab.kernel.model import Kernel

pytestmark = pytest.mark.e2e

# The fix as it was first sent to the list; trees with it have it as it was merged, which is not the same.
V1 = Path(__file__).parents[1] / "data/kernel/evict-groups-v1.patch"
PATCHES = Path(__file__).parent / "patches"
SCHED = "drivers/gpu/drm/panthor/panthor_sched.c"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernel") / "build.log"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One O= directory for all configs, so that kconfig itself is compiled once."""
    return tmp_path_factory.mktemp("objects")


@pytest.fixture(scope="module")
def default(log: Path) -> tuple[Sides, Kernel, Kernel]:
    sides = prepare_sides(None)
    return sides, build_side(sides.before, log=log), build_side(sides.after, log=log)


def test_default_job(default: tuple[Sides, Kernel, Kernel]) -> None:
    sides, before, after = default
    assert sides.default_job
    assert sides.base.has_fix
    assert before.release == after.release == sides.base.version
    assert before.build_id != after.build_id
    for kernel in (before, after):
        assert kernel.build_id == build_id(kernel.path / "vmlinux")
        assert set(kernel.modules) == {"panthor_pci_shim"}
        assert (kernel.guest / "heap-exit").stat().st_mode & 0o111
        assert PANTHOR.fix is not None
        assert PANTHOR.fix.symbol in (kernel.path / "System.map").read_text(), "only the call goes, not the function"
    assert cannot_differ(sides, before, after) is None


def test_the_second_time_nothing_is_built(default: tuple[Sides, Kernel, Kernel], tmp_path: Path) -> None:
    sides = prepare_sides(None)
    again = build_side(sides.before, log=tmp_path / "log"), build_side(sides.after, log=tmp_path / "log")
    assert again == default[1:]
    assert not (tmp_path / "log").exists()
    assert find_kernel(again[0].key[:16], log=tmp_path / "log") == again[0]


def test_the_first_version_of_the_fix_is_recognised_in_another_form() -> None:
    with pytest.raises(PatchError, match="applied in another form") as caught:
        prepare_sides(None, [str(V1)])
    assert f"{SCHED}:" in str(caught.value)
    with pytest.raises(PatchError, match="reverse applied in another form"):
        prepare_sides(None, [str(V1)], revert=True)


def test_a_comment_cannot_make_a_difference(log: Path) -> None:
    sides = prepare_sides(None, [str(PATCHES / "comment-only.patch")])
    before, after = build_side(sides.before, log=log), build_side(sides.after, log=log)
    assert before.digests["Image"] != after.digests["Image"], "lines have moved"
    assert "same to the compiler" in (cannot_differ(sides, before, after) or "")


@pytest.mark.wide
@pytest.mark.parametrize(
    "fragments",
    [
        DEFAULT_FRAGMENTS,
        (*DEFAULT_FRAGMENTS, "kasan"),
        (*DEFAULT_FRAGMENTS, "prove-locking"),
        (*DEFAULT_FRAGMENTS, "kmemleak"),
        (*DEFAULT_FRAGMENTS, "atomic-sleep"),
        (*DEFAULT_FRAGMENTS, "panthor-module"),
        (*DEFAULT_FRAGMENTS, "failslab"),
        (*DEFAULT_FRAGMENTS, "kasan", "prove-locking", "kmemleak", "atomic-sleep"),
        ("panthor", "rk3588"),
    ],
    ids="+".join,
)
def test_every_option_of_the_fragments_survives(fragments: tuple[str, ...], objects: Path) -> None:
    plan = prepare_kernel(None, fragments=fragments)
    symbols = kconfig.read_symbols(plan.base.path, ARCHES[plan.arch].source)
    request = config.read_fragments(plan.fragments)
    (objects / "allconfig").write_text(config.allconfig(request, symbols))
    argv = ["make", "-s", "-C", str(plan.base.path), f"O={objects}", *plan.toolchain.make_args]
    subprocess.run([*argv, f"KCONFIG_ALLCONFIG={objects}/allconfig", "allnoconfig"], check=True, timeout=600)
    config.check_result(request, (objects / ".config").read_text(), symbols, plan.base.version)


@pytest.mark.wide
def test_a_build_that_is_killed_leaves_nothing_and_can_go_on(tmp_path: Path) -> None:
    """kill -9 of the controller while the compiler runs; then the same build again, to its end."""
    patch = tmp_path / "new.patch"  # one that no earlier run can have built
    stamp = time.time_ns()
    patch.write_text(
        f"--- /dev/null\n+++ b/drivers/gpu/drm/panthor/panthor_e2e.h\n@@ -0,0 +1 @@\n+/* {stamp} */\n"
        f"--- /dev/null\n+++ b/drivers/gpu/drm/panthor/e2e_{stamp}.h\n@@ -0,0 +1 @@\n+/* {stamp} */\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom panthorlab.kernel.job import *\n"
        f"plan = prepare_sides(None, [{str(patch)!r}]).after\n"
        "build_side(plan, log=Path(sys.argv[1]), progress=lambda step, *_: print(step, flush=True))\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "log")]
    controller = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert controller.stdout is not None
    for line in controller.stdout:
        if line.startswith("building"):
            break
    deadline = time.monotonic() + 300
    while not (compilers := _descendants(controller.pid, "cc1")) and time.monotonic() < deadline:
        time.sleep(0.01)  # the controller says what it builds before it starts make
    assert compilers
    objects = [child for child in _descendants(controller.pid) if child != controller.pid]
    os.kill(controller.pid, signal.SIGKILL)
    controller.wait(60)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in objects) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in objects if Path(f"/proc/{pid}").exists()]
    plan = prepare_sides(None, [str(patch)]).after
    assert store.load(plan.key) is None
    assert build_side(plan, log=tmp_path / "log").release == plan.base.version


@pytest.mark.wide
def test_a_build_whose_programs_are_killed_is_the_machine_and_goes_on(tmp_path: Path) -> None:
    """kill -9 of a compiler, of make and of the linker, in turn, in one real build; then to its end."""
    patch = tmp_path / "own.patch"
    text = (PATCHES / "unrelated.patch").read_text()
    patch.write_text(text.replace("6000", str(6001 + time.time_ns() % 100_000)))  # in nobody's store
    sides = prepare_sides(None, [str(patch)])
    log = tmp_path / "log"
    for victim, works_on, says in (
        ("cc1", "/panthor_", "Killed signal terminated program cc1"),
        ("make", "", "signal 9"),
        ("ld", "vmlinux", "137|Killed"),
    ):
        struck = threading.Event()
        killer = threading.Thread(target=_strike, args=(victim, works_on, struck), daemon=True)
        killer.start()
        with pytest.raises(LabError, match=says) as caught:
            build_side(sides.after, log=log, before=sides.before)
        killer.join(60)
        assert struck.is_set(), f"no {victim} was met"
        assert not isinstance(caught.value, BuildError)
        assert store.load(sides.after.key) is None
    assert build_side(sides.after, log=log, before=sides.before).release == sides.base.version


def _strike(victim: str, works_on: str, struck: threading.Event) -> None:
    """kill -9 the first program called `victim`, or `PREFIX-victim`, that our build runs on a certain file: compilers
    are also run to find out what options they know."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        for pid in _descendants(os.getpid()):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                name = words[0].rpartition("/")[2]
                if name in (victim, f"aarch64-linux-gnu-{victim}") and any(works_on in word for word in words[1:]):
                    os.kill(pid, signal.SIGKILL)
                    struck.set()
                    return
            except OSError:
                continue  # it has just ended
        time.sleep(0.001)


def _descendants(root: int, name: str = "") -> list[int]:
    """Process `root` and what comes of it; only those called `name`, if one is given."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:  # it ended while we looked
            continue
        pid = int(path.parent.name)
        parents[pid], names[pid] = int(tail.split()[1]), head.partition("(")[2]
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return [pid for pid in found if not name or names.get(pid) == name]


@pytest.mark.full  # reads the indices of every suite: 75 MB
def test_a_version_that_debian_does_not_carry_names_those_it_does() -> None:
    with pytest.raises(SourceError, match=r"carries no Linux 6\.12\.2") as caught:
        prepare_kernel("debian:6.12.2")
    assert "6.12." in (caught.value.hint or "")


@pytest.mark.full
@pytest.mark.parametrize(
    ("version", "fixed"), [("6.12.73", False), ("6.18.5", False), ("6.19.6", True), ("7.3.4", True)]
)
def test_other_versions_of_the_archive(version: str, fixed: bool, log: Path) -> None:
    sides = prepare_sides(f"debian:{version}")
    assert (sides.base.version, sides.base.has_fix) == (version, fixed)
    before, after = build_side(sides.before, log=log), build_side(sides.after, log=log)
    assert before.build_id != after.build_id
    if not fixed:
        [report] = prepare_sides(f"debian:{version}", [str(V1)]).reports
        assert "panthor_sched.c hunk 1: offset -2" in report.detail


@pytest.mark.full
def test_a_kernel_for_the_rock_5b(log: Path) -> None:
    kernel = build_side(prepare_kernel(None, fragments=("panthor", "rk3588")), log=log)
    for name in ("3588-rock-5b", "3588-orangepi-5-plus", "3588s-orangepi-5", "3588s-rock-5a", "3588-nanopc-t6"):
        assert (kernel.path / f"dtbs/rk{name}.dtb").read_bytes()[:4] == b"\xd0\x0d\xfe\xed"
        assert f"rk{name}.dtb" in kernel.digests


def test_the_compiler_is_part_of_the_key() -> None:
    toolchain = find_toolchain("arm64")
    assert "gcc" in toolchain.version
    assert prepare_kernel(None).toolchain == toolchain
