# SPDX-License-Identifier: GPL-2.0-or-later
"""New guest programs for a stored kernel that lacks nothing else. Of its tree they need the headers for user space
alone, and these are read as they are in the base, with the changes of the kernel, whatever is patched and built there
now. So this waits for nobody who builds kernels, but only for who makes such programs, lest two make the same.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from panthorlab.errors import BuildError, PatchError
from panthorlab.files import disk_errors
from panthorlab.kernel import store
from panthorlab.kernel.build import uapi
from panthorlab.kernel.build.collect import collect
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.steps import Builder, CrashedError, build_programs
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import trees
from panthorlab.paths import cache_dir

_DRM: Final = f"{uapi.UAPI}/drm"


def make(
    plan: SidePlan, core: Kernel, *, log: IO[str], progress: Progress, note: Callable[[str], None], jobs: int
) -> Kernel | None:
    """The kernel of `plan` in the store: `core` with new programs. None if these cannot be made so, which is told to
    `note` and shows nothing of plan or machine. Raises LabError for what the machine did."""
    with trees.programs_locked(plan.base.key, progress):
        if kernel := store.load(plan.key, note):
            return kernel  # another run made them while we waited
        with disk_errors():
            work = Path(tempfile.mkdtemp(prefix="new-", dir=cache_dir("programs")))
        try:
            return _make(plan, core, work, log, progress, jobs)
        except trees.TakenAwayError:
            note("the tree was taken out of the cache: the guest programs are made in it, when it is there again")
        except (BuildError, CrashedError) as error:
            note(f"the guest programs cannot be made by themselves, so they are made in the tree: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return None


def _make(plan: SidePlan, core: Kernel, work: Path, log: IO[str], progress: Progress, jobs: int) -> Kernel:
    work.chmod(0o755)  # the build's user reads what is in it
    # A tree and objects with nothing in them: of the real ones nobody can be sure now.
    for name in ("src", "obj"):
        (work / name).mkdir()
    apart = replace(plan, base=replace(plan.base, path=work / "src"))
    builder = Builder(apart, work / "obj", work / "work", log, progress, jobs, sandbox())
    with trees.kept(plan.base):
        names = trees.names_in_base(plan.base, _DRM, "*.h")
        names |= {Path(path).name for path in plan.changes if path.endswith(".h") and Path(path).parent == Path(_DRM)}
        uapi.install(names, lambda name: _header(plan, name), builder.inputs / "uapi")
    return collect(plan, build_programs(builder, core=core))


def _header(plan: SidePlan, name: str) -> bytes | None:
    """What the kernel of `plan` has in include/uapi; of what is behind a link, nothing."""
    path = f"{uapi.UAPI}/{name}"
    try:
        return plan.changes[path] if path in plan.changes else trees.read_base(plan.base, path)
    except PatchError:
        return None
