# SPDX-License-Identifier: GPL-2.0-or-later
"""Building one side until the cause of a failure is certain, and putting the result into the store.

A build that the machine ended (a signal, no memory, no disk) stays marked as unfinished, so that the next one deletes
files that may be half-written. A failure that no change can explain is retried as a clean build; a crash of a tool, as
it is. Before a patch is blamed, the other side must build in the same tree now: an earlier success, even of the same
process, does not show that the tree is still intact.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from panthorlab.errors import BuildError, ConfigError, LabError
from panthorlab.files import disk_errors
from panthorlab.kernel import gc, store
from panthorlab.kernel.build import guest, programs
from panthorlab.kernel.build.collect import RELEASE, Artefacts, collect
from panthorlab.kernel.build.concern import differences
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.steps import Builder, CrashedError, DoesNotBuildError, make_all, objects_of
from panthorlab.kernel.jail import inside
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.source import trees
from panthorlab.kernel.tools import BUILD_TOOLS, check_host_tools


def build(
    plan: SidePlan,
    *,
    log: Path,
    progress: Progress,
    note: Callable[[str], None] = quiet,
    jobs: int | None = None,
    before: SidePlan | None = None,
    again: bool = False,
) -> Kernel:
    """Build `plan` and publish it: in its private tree, which is locked meanwhile, unless a stored kernel lacks nothing
    but the guest programs. See `job.build_side`.

    `again`: also if the store has it, for the objects in the tree.
    """
    check_host_tools(BUILD_TOOLS)
    with disk_errors():
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", buffering=1, errors="replace") as file:
            attempts = _Attempts(plan, before, file, progress, note, jobs or len(os.sched_getaffinity(0)))
            kernel = attempts.in_the_tree(again=True) if again else attempts.by_the_shortest_way()
    gc.collect_daily(keep=frozenset({kernel.path, plan.base.path.parent}))
    return kernel


@dataclass
class _Attempts:
    """The attempts at one build. `before`: the side without the patch. `cleared`: a clean build was done. `alone`: the
    guest programs may be made without the tree."""

    plan: SidePlan
    before: SidePlan | None
    log: IO[str]
    progress: Progress
    note: Callable[[str], None]
    jobs: int
    cleared: bool = False
    alone: bool = True

    def by_the_shortest_way(self) -> Kernel:
        """The kernel in the store, with as little work and waiting as it takes. Raises as `until_certain`."""
        while self.alone and (core := self._but_for_programs()):
            self.alone = False  # if they cannot be made so, the tree is there to tell whose fault that is
            jobs, log, progress = self.jobs, self.log, self.progress
            if kernel := programs.make(self.plan, core, log=log, progress=progress, note=self._say, jobs=jobs):
                return kernel
        return self.in_the_tree()

    def in_the_tree(self, *, again: bool = False) -> Kernel:
        """The same, with the tree locked. `again`: even if the store has it."""
        with trees.locked(self.plan.base.key, self.progress):
            if again:
                return collect(self.plan, self.until_certain(None))
            if kernel := store.load(self.plan.key, self.note):
                return kernel  # another run built it while we waited
            if not self.alone or self._but_for_programs() is None:
                return collect(self.plan, self.until_certain(store.with_core(self.plan.core_key, self.note)))
        return self.by_the_shortest_way()  # another run built the same with other programs

    def _but_for_programs(self) -> Kernel | None:
        """A stored kernel that lacks nothing but the guest programs."""
        return store.with_core(self.plan.core_key, self.note, shim_key=guest.digest_below(guest.shim()))

    def until_certain(self, core: Kernel | None) -> Artefacts:
        """Raises BuildError only if `before` builds in the same place."""
        try:
            return self._try(core)
        except CrashedError as crash:
            if self.before is None or not crash.due:
                raise
            self._check_before(self.before)
            raise LabError(
                f"{crash}; and again, while {self.before.title} builds: it is this patch that brings it out",
                hint="most likely a bug of the compiler: try another one (CROSS_COMPILE)",
            ) from crash
        except BuildError:
            if self.before is None or not self._check_before(self.before):
                raise
        return self._try(core)  # the failure may have come of what was cleared away

    def _check_before(self, before: SidePlan) -> bool:
        """Raise LabError unless `before` builds in this tree, too. Returns whether that took a clean build."""
        self.progress(f"checking that {before.title} builds in the same place")
        other = _Attempts(before, None, self.log, self.progress, self.note, self.jobs)
        try:
            other._try(None)
        except BuildError as error:
            trees.forget(before.base)
            raise LabError(
                f"{before.title} was built before and does not build now, so nothing can be said of the patch: {error}",
                hint="the tree is unpacked anew next time; if it fails again, the compiler or a library has changed",
            ) from error
        return other.cleared

    def _try(self, core: Kernel | None) -> Artefacts:
        """One build, and a second one if the first failure shows nothing about the source."""
        crashed = False
        while True:
            objects = objects_of(self.plan)
            fresh = not (objects / ".config").exists()
            try:
                return self._once(core)
            except CrashedError as crash:
                if crashed:
                    raise
                crashed = True
                self._say(f"{crash}: once more")
            except DoesNotBuildError as error:
                if error.due or fresh or self.cleared:
                    raise
                self.cleared = True
                self._say(f"{str(error).splitlines()[0]}, which no change explains: once more from nothing")
                shutil.rmtree(objects)

    def _once(self, core: Kernel | None) -> Artefacts:
        plan, objects = self.plan, objects_of(self.plan)
        written = trees.set_changes(plan.base, plan.changes, plan.executable)
        builder = Builder(
            plan,
            objects,
            objects.with_suffix(".work"),
            self.log,
            self.progress,
            self.jobs,
            sandbox(),
            changed=differences(plan, self.before),
        )
        if not (objects / "vmlinux").exists():
            builder.check_compiler()
            core = None  # the modules of a stored kernel are built with its objects
        elif core is not None and (inside.read(objects, RELEASE) or b"").strip() != core.release.encode():
            core = None  # nor would a module of another release be loaded
        with _whole(builder):
            return make_all(builder, written, core)

    def _say(self, text: str) -> None:
        self.note(text)
        self.log.write(f"panthorlab: {text}\n")


@contextlib.contextmanager
def _whole(builder: Builder) -> Iterator[None]:
    """If the last build did not end by itself, objects written during it may be torn although they look new: drop
    them."""
    marker = builder.work / "building"
    if marker.exists():
        started = marker.stat().st_mtime
        builder.progress("clearing up after an interrupted build")
        for path in builder.objects.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= started:
                path.unlink(missing_ok=True)
    marker.touch()
    try:
        yield
    except (BuildError, ConfigError):
        marker.unlink()  # make ended by itself and has removed what it had half written
        raise
    marker.unlink()
