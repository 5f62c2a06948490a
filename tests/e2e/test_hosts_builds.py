# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds on other hosts: a scheduler and workers on loopback, each with a cache of its own, and a tiny kernel; one of
them is killed in the middle, others fail. And a real kernel, once."""

from __future__ import annotations

import difflib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from panthorlab.errors import BuildError, UsageError
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan, Sides
from panthorlab.kernel.job import build_side, cannot_differ, prepare_kernel, prepare_sides
from panthorlab.kernel.model import Kernel
from panthorlab.paths import cache_path
from panthorlab.run.hosts.address import SchedulerAccess
from panthorlab.run.hosts.session import Hosts, session
from tests.loopback_hosts import PROGRAMS, LoopbackHosts, loopback_hosts
from tests.unit.kernel.conftest import DRIVER, FRAGMENT, MMU, write_guest, write_tree

from . import tiny_host
from .conftest import HOUR, PATCHES, Cli
from .kernel_history import Made
from .running import Running

pytestmark = pytest.mark.e2e
RESOURCES = "boot=1 build=1"
PATIENCE = 200.0
LINK = "\t@echo '  LD      vmlinux'\n"
WAIT = "\t@until [ -e /mnt/guest/go ]; do sleep 0.1; done\n"
"""Until the test lets a host go on: where the guest programs are, builds can look."""


@dataclass
class Lab:
    """`plan` prepares a build of the tiny kernel; `hosts` are those of `lab`."""

    lab: LoopbackHosts
    hosts: Hosts
    folder: Path
    fragment: Path
    tree: Path
    notes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def go(self, number: int) -> None:
        (self.folder / f"guest{number}" / "go").touch()

    def kernel(self) -> SidePlan:
        return prepare_kernel(str(self.tree), fragments=[str(self.fragment)])

    def sides(self, old: str, new: str) -> Sides:
        text = MMU.replace(old, new)
        assert text != MMU
        patch = self.folder / "one.patch"
        patch.write_text(difference(MMU, text))
        return prepare_sides(str(self.tree), [str(patch)], fragments=[str(self.fragment)])

    @property
    def log(self) -> Path:
        return self.folder / "build.log"

    def build(self, plan: SidePlan, before: SidePlan | None = None) -> Kernel:
        return self.hosts.build(plan, log=self.log, progress=self._step, note=self.notes.append, before=before)

    def _step(self, step: str, _done: int | None = None, _total: int | None = None, /) -> None:
        if self.over.is_set():
            raise KeyboardInterrupt
        self.steps.append(step)

    def busy(self) -> list[int]:
        """The workers that have a build."""
        keys = self.hosts.client.processing()
        names = list(self.lab.processes)
        return [names.index(address) for address, found in keys.items() if found]


OpenLab = Callable[..., AbstractContextManager[Lab]]


def difference(old: str, new: str) -> str:
    name = f"{DRIVER}/panthor_mmu.c"
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}"))


def until(condition: Callable[[], object], what: object = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def open_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenLab:
    """A lab of two hosts that build, with variables of their own."""

    @contextmanager
    def opened(own: Sequence[dict[str, str]] = ({}, {}), *, waits: bool = False) -> Iterator[Lab]:
        fragment = tmp_path / "tiny.config"
        fragment.write_text(FRAGMENT)
        tree = write_tree(tmp_path / "linux")
        if waits:
            makefile = tree / "Makefile"
            makefile.write_text(makefile.read_text().replace(LINK, WAIT + LINK))
        for number in range(len(own)):
            write_guest(tmp_path / f"guest{number}")
        write_guest(tmp_path / "guest")
        monkeypatch.setattr("panthorlab.kernel.build.guest.SOURCES", tmp_path / "guest")
        monkeypatch.setenv("CROSS_COMPILE", "")
        envs = {number: {tiny_host.GUEST: str(tmp_path / f"guest{number}"), **more} for number, more in enumerate(own)}
        (tmp_path / "hosts").mkdir()
        preload = Path(tiny_host.__file__)
        with loopback_hosts(tmp_path / "hosts", len(own), envs, resources=RESOURCES, preload=preload) as lab:
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
            with session(SchedulerAccess(lab.address, 60.0)) as hosts:
                assert hosts.builds == len(own)
                made = Lab(lab, hosts, tmp_path, fragment, tree)
                try:
                    yield made
                finally:
                    made.over.set()

    return opened


def left_of(cache: Path) -> list[str]:
    """Command lines of what a host's builds have started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(cache) in line and "bwrap" in line:
            found.append(line)
    return found


def test_a_host_that_is_killed_in_a_build_loses_that_alone(open_lab: OpenLab) -> None:
    with ThreadPoolExecutor(1) as pool, open_lab(waits=True) as lab:
        plan = lab.kernel()
        building = pool.submit(lab.build, plan)
        until(lambda: any(left_of(cache) for cache in lab.lab.caches), lab.steps)
        (number,) = lab.busy()
        address = list(lab.lab.processes)[number]
        lab.lab.processes[address].send_signal(signal.SIGKILL)
        lab.go(1 - number)
        kernel = building.result(PATIENCE)
        assert kernel == store.load(plan.key)
        assert any("died" in note and address in note for note in lab.notes), lab.notes
        until(lambda: not left_of(lab.lab.caches[number]))
        assert "LD      vmlinux" in lab.log.read_text()


def test_both_sides_are_built_on_one_host_as_they_would_be_here(
    open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_lab() as lab:
        sides = lab.sides("return x + 1;", "return x + 2;")
        before, after = lab.build(sides.before), lab.build(sides.after, sides.before)
        text = lab.log.read_text()
        assert text.count("CC      drivers/gpu/drm/panthor/panthor_mmu.o") == 2
        assert text.count("CC      drivers/gpu/drm/panthor/panthor_sched.o") == 1, "after is an increment of before"
        assert cannot_differ(sides, before, after) is None
        assert not list(sides.base.path.parent.glob("obj-*")), "nothing is built here"
        assert lab.notes == []
        kept = [len(list((cache / "panthorlab/kernels").glob("[0-9a-f]*"))) for cache in lab.lab.caches]
        assert sorted(kept) == [0, 2]
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        again = lab.sides("return x + 1;", "return x + 2;")
        here = build_side(again.before, log=tmp_path / "here.log"), build_side(again.after, log=tmp_path / "here.log")
    assert [kernel.files for kernel in here] == [before.files, after.files]


def test_a_patch_that_does_not_build_is_told_as_here(
    open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_lab() as lab:
        sides = lab.sides("return x + 1;", "return x + ;")
        lab.build(sides.before)
        with pytest.raises(BuildError, match=r"panthor_mmu\.c:19: error: .*touched by 'one\.patch'") as there:
            lab.build(sides.after, sides.before)
        assert lab.notes == [], "no host is blamed"
        assert store.load(sides.after.key) is None
        assert there.value.log == lab.log
        assert "panthor_mmu.c:19:" in lab.log.read_text(), "it is here, too"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        again = lab.sides("return x + 1;", "return x + ;")
        with pytest.raises(BuildError) as here:
            build_side(again.after, log=lab.log, before=again.before)
    assert (str(there.value), there.value.hint) == (str(here.value), here.value.hint)


def test_a_comment_is_known_to_change_nothing_though_nothing_was_built_here(open_lab: OpenLab) -> None:
    with open_lab() as lab:
        sides = lab.sides("\tvm->destroyed = 1;", "\t/* of two\n\t * lines */\n\tvm->destroyed = 1;")
        before, after = lab.build(sides.before), lab.build(sides.after, sides.before)
        assert not list(sides.base.path.parent.glob("obj-*"))
    other = replace(before, digests={"Image": "as the real driver, with line numbers in its messages"})
    assert "comments" in (cannot_differ(sides, other, after) or "")


def test_a_configuration_that_cannot_be_had_is_told_with_the_users_file(open_lab: OpenLab) -> None:
    with open_lab() as lab:
        makefile = lab.tree / "Makefile"
        makefile.write_text(makefile.read_text().replace("@cat $(K", "@grep -v ARM64 $(K"))
        with pytest.raises(UsageError, match=rf"{lab.fragment}:2: Linux 6\.12\.99 does not give"):
            lab.build(lab.kernel())


OTHER = {"CROSS_COMPILE": "/usr/bin/"}
"""The variable of a host whose compiler is called otherwise, and so may be another one."""


def test_what_a_host_lacks_says_nothing_of_the_kernel(open_lab: OpenLab) -> None:
    with open_lab((OTHER, {})) as lab:
        names = list(lab.lab.processes)
        plan = lab.kernel()
        lab.hosts.trees[plan.base.key] = names[0]  # so it is asked first
        assert lab.build(plan) == store.load(plan.key)
        (note,) = lab.notes
        assert f"{names[0]}): another compiler: /usr/bin/gcc" in note
        assert lab.hosts.trees[plan.base.key] == names[1]


def test_what_no_host_can_build_is_built_here(open_lab: OpenLab, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_lab((OTHER, OTHER)) as lab:
        plan = lab.kernel()
        assert lab.build(plan) == store.load(plan.key)
        *refusals, last = lab.notes
        assert len(refusals) == 2
        assert last == "6.12.99 is built here"
        assert list(plan.base.path.parent.glob("obj-*"))


def compiling(lab: LoopbackHosts) -> list[int]:
    """The hosts that have begun to compile a real kernel."""
    objects = "panthorlab/trees/*/obj-*/kernel/*.o"
    return [number for number, cache in enumerate(lab.caches) if any(cache.glob(objects))]


@pytest.mark.wide
def test_a_real_kernel_is_the_same_though_a_host_is_killed_in_the_middle(
    history: Made, cli: Cli, tmp_path: Path
) -> None:
    asked = ("build", PATCHES / "unrelated.patch", "--base", f"{history.repository}@{history.commits[0]}")
    here = cli(*asked, "--output", tmp_path)
    keys = [here.json[side]["key"] for side in ("before", "after")]
    kernels = [kernel for key in keys if (kernel := store.load(key))]
    assert len(kernels) == 2
    mine = tmp_path / "mine"
    (mine / "panthorlab").mkdir(parents=True)
    for name in [*PROGRAMS, "ccache", "trees", "sources", "apt", "downloads"]:
        if cache_path(name).exists():
            (mine / "panthorlab" / name).symlink_to(cache_path(name))
    (tmp_path / "hosts").mkdir()
    shared = [*PROGRAMS, "ccache"]
    with loopback_hosts(tmp_path / "hosts", 2, resources=RESOURCES, shared=shared) as lab:
        remote = (*asked, "--hosts", lab.address, "--output", tmp_path / "there")
        there = Running(tmp_path / "there", remote, {"XDG_CACHE_HOME": str(mine)})
        there.until(lambda: compiling(lab), timeout=HOUR)
        (busy,) = compiling(lab)
        list(lab.processes.values())[busy].send_signal(signal.SIGKILL)
        assert there.wait(HOUR) == 0, there.stderr
    assert "died; the build starts again on" in there.stderr
    assert "is built here" not in there.stderr
    assert compiling(lab) == [0, 1]
    assert [there.json[side]["key"] for side in ("before", "after")] == keys
    stored = [json.loads((mine / "panthorlab/kernels" / key / "kernel.json").read_text()) for key in keys]
    assert [one["digests"] for one in stored] == [dict(kernel.digests) for kernel in kernels]
    assert not left_of(tmp_path)
