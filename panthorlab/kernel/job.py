# SPDX-License-Identifier: GPL-2.0-or-later
"""The package's front door: from what the user typed to two finished kernels.

    sides = prepare_sides("debian:6.18.5", ["fix.patch"], progress=show)
    before, after = build_side(sides.before, log=…), build_side(sides.after, log=…)
    reason = cannot_differ(sides, before, after)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import Progress, SidePlan, Sides, quiet

DEFAULT_FRAGMENTS = ("panthor", "qemu-virt")


def prepare_sides(
    base_spec: str | None, patches: Sequence[str] = (), *, revert: bool = False, swap: bool = False,
    fragments: Sequence[str] = DEFAULT_FRAGMENTS, arch: str = "arm64", progress: Progress = quiet,
) -> Sides:
    """Resolve the base, check every patch against it and name the two kernels. Builds nothing, changes no tree.

    `base_spec`: None for the default base, else see `sources.resolve`. `patches`: see `patchfile.read_patches`; none
    means the default job (without and with the VM-eviction fix). `fragments`: names in kernel_configs/, or paths.

    Raises SourceError, PatchError, UsageError, LabError (no network, no compiler).
    """
    raise NotImplementedError


def prepare_kernel(
    base_spec: str | None, patches: Sequence[str] = (), *, fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    arch: str = "arm64", progress: Progress = quiet,
) -> SidePlan:
    """One kernel: the base with `patches` and nothing else."""
    raise NotImplementedError


def build_side(plan: SidePlan, *, log: Path, progress: Progress = quiet, jobs: int | None = None) -> Kernel:
    """The finished kernel of `plan`: from the store, or built now. `log`: the full build log (appended to).

    Raises BuildError (compiler errors with file:line and the patch at fault), ConfigError, LabError.
    """
    raise NotImplementedError


def cannot_differ(sides: Sides, before: Kernel, after: Kernel) -> str | None:
    """Why the two kernels cannot behave differently, or None if they can."""
    raise NotImplementedError


def find_kernel(name: str, *, arch: str = "arm64") -> Kernel:
    """A kernel by store key (a unique prefix will do) or by build directory (O= of a finished build)."""
    raise NotImplementedError
