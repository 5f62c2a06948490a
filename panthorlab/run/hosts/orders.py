# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel to be built on another host: the plan as the controller has made it, and what of it lies elsewhere there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from panthorlab.errors import LabError
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.rust import find_rust
from panthorlab.kernel.build.toolchain import Toolchain, find_toolchain, with_rust
from panthorlab.kernel.progress import Progress
from panthorlab.run.hosts.places import HostPaths

LOG = "build.log"


@dataclass(frozen=True)
class BuildOrder:
    """`before`: as of `job.build_side`, with base and fragments of `plan`. `fragments`: name and text of each."""

    plan: SidePlan
    before: SidePlan | None
    fragments: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, plan: SidePlan, before: SidePlan | None) -> BuildOrder:
        return cls(plan, before, tuple((path.name, path.read_bytes()) for path in plan.fragments))

    def toolchain(self, progress: Progress) -> Toolchain:
        """This host's compiler. Raises LabError if it is another one than the controller's: so would be the kernel."""
        wanted = self.plan.toolchain
        found = find_toolchain(self.plan.arch)
        if wanted.rust is not None:
            found = with_rust(found, find_rust(progress))
        if (found.prefix, found.version) != (wanted.prefix, wanted.version):
            here, there = (f"{one.prefix}gcc, {one.version}" for one in (found, wanted))
            raise LabError(
                f"another compiler: {here}; the controller has {there}", hint="install the same on every host"
            )
        return found

    def placed(self, tree: Path, folder: Path, toolchain: Toolchain) -> BuildOrder:
        """As it is on this host, where the base lies in `tree`. Writes the fragments below `folder`."""
        files = []
        for number, (name, text) in enumerate(self.fragments):
            files.append(folder / str(number) / name)
            files[-1].parent.mkdir()
            files[-1].write_bytes(text)

        def of_here(plan: SidePlan) -> SidePlan:
            base = replace(plan.base, path=tree)
            return replace(plan, base=base, fragments=tuple(files), toolchain=toolchain)

        return replace(self, plan=of_here(self.plan), before=self.before and of_here(self.before))

    def places(self, log: Path) -> HostPaths:
        """What both hosts call the files of which messages speak."""
        fragments = {f"fragment-{number}": path for number, path in enumerate(self.plan.fragments)}
        return HostPaths({"log": log, **fragments})
