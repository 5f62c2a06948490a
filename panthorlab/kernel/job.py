# SPDX-License-Identifier: GPL-2.0-or-later
"""The package's main interface: from the user's input to two finished kernels.

sides = prepare_sides("debian:6.18.5", ["fix.patch"], progress=show)
before, after = build_side(sides.before, log=…), build_side(sides.after, log=…)
reason = cannot_differ(sides, before, after)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from panthorlab.arch import DEFAULT
from panthorlab.errors import UsageError
from panthorlab.files import write_whole
from panthorlab.kernel import store
from panthorlab.kernel.build.plan import SidePlan, Sides
from panthorlab.kernel.driver import ReadFile
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.patch.apply import apply_all
from panthorlab.kernel.patch.basechoice import BaseChoice, choose_base
from panthorlab.kernel.patch.basecommit import repository_of, series_notes
from panthorlab.kernel.patch.mails import PatchText
from panthorlab.kernel.patch.read import read, read_all
from panthorlab.kernel.patch.report import PatchReport
from panthorlab.kernel.patch.series import Intake
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.setting import Setting, open_setting
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.base import Base, Changes
from panthorlab.outcome import Side
from panthorlab.paths import cache_dir

DEFAULT_FRAGMENTS = ("panthor", "qemu-virt")
FIXES = Path(__file__).with_name("fixes")
_SAME, _DIFFERENT = b"same", b"different"


def prepare_sides(
    base_spec: str | None,
    patches: Sequence[str] = (),
    *,
    revert: bool = False,
    swap: bool = False,
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    arch: str = DEFAULT.name,
    progress: Progress = quiet,
    version: int | None = None,
    look: bool = False,
    intake: Intake | None = None,
) -> Sides:
    """Resolve the base, check every patch against it and name the two kernels. Builds nothing, changes no tree.

    `base_spec`: None for the default base, else see `source.spec`. `patches`: see `patch.spec`; none
    means the default job (without and with the VM-eviction fix). Of a git tree without a revision the one is taken that
    suits the series, see `patch.basechoice`. `revert`: the base has the patches; *before* is
    without them. `swap`: exchange the sides. `fragments`: names in kernel_configs/, or paths. `version`: of a series,
    instead of its newest. `look`: only look: nothing is fetched, unpacked or written. `intake`: `patches`, if they
    have been read.

    Raises SourceError, PatchError, UsageError, LabError (no network, no compiler; to look: nothing to look at).
    """
    # First: what is no patch is refused before anything is downloaded.
    intake = intake or _read(patches, base_spec, version)
    choice = BaseChoice(base_spec) if revert else choose_base(base_spec, intake)
    base_spec = choice.spec
    setting = open_setting(base_spec, fragments, arch, progress, look=look)
    about_series = [*choice.notes, *series_notes(intake, base_spec, setting.base.key, setting.base.title)]
    default_job = not patches
    if default_job:
        if setting.driver.fix is None:
            raise UsageError(f"there is no default job for {setting.driver.name}", hint="name a patch")
        if revert and not setting.base.has_fix:
            raise UsageError(
                f"{setting.base.title} lacks the fix, so there is nothing to revert",
                hint="leave out --revert to compare it with the same and the fix, or name a patch",
            )
        revert = setting.base.has_fix
        name = "evict-groups-remove.patch" if revert else "evict-groups.patch"
        texts = read((FIXES / name).read_bytes(), name).patches
        # Removing the call is our patch's forward direction, and still makes *before*.
        reports, changes = _apply(setting, texts, [], reverse=False)
    else:
        reports, changes = _apply(setting, intake.patches, about_series, reverse=revert)
    plain: tuple[Sequence[PatchReport], Changes] = ((), {})
    changed: tuple[Sequence[PatchReport], Changes] = (reports, changes)
    before, after = (changed, plain) if revert else (plain, changed)
    setting = _interested(setting, changes)
    if swap:
        before, after = after, before
    notes = _notes(setting.base, reports, about_series, default_job=default_job, revert=revert, swap=swap)
    return Sides(
        setting.plan(Side.BEFORE, *before), setting.plan(Side.AFTER, *after), tuple(reports), notes, default_job, intake
    )


def _interested(setting: Setting, changes: Changes) -> Setting:
    """What the patches change is of interest wherever it lies, and on both sides."""
    if setting.debug_info:
        setting = replace(setting, debug_info=with_files(setting.debug_info, changes))
    if setting.profiled:
        setting = replace(setting, profiled=with_files(setting.profiled, changes))
    return setting


@dataclass(frozen=True)
class Commits:
    """A series, commit by commit. `base`: without it; `plans`: with the first, the first two, … of `patches`. `read`:
    reads the base. `notes`: one line each, for people."""

    base: SidePlan
    plans: tuple[SidePlan, ...]
    patches: tuple[PatchText, ...]
    read: ReadFile
    base_spec: str | None
    notes: tuple[str, ...]


def prepare_commits(
    base_spec: str | None,
    patches: Sequence[str],
    *,
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    progress: Progress = quiet,
    version: int | None = None,
) -> Commits:
    """As `prepare_sides`, for all states between the two sides."""
    intake = _read(patches, base_spec, version)
    choice = choose_base(base_spec, intake)
    setting = open_setting(choice.spec, fragments, DEFAULT.name, progress)
    notes = (*choice.notes, *series_notes(intake, choice.spec, setting.base.key, setting.base.title))
    reports, _ = _apply(setting, intake.patches, notes, reverse=False)
    changes: dict[str, bytes | None] = {}
    plans = []
    for number, report in enumerate(reports, 1):
        changes |= report.changes
        own = {path: data for path, data in changes.items() if setting.read(path) != data}
        plans.append(setting.plan(Side.AFTER, reports[:number], own))
    return Commits(setting.plan(Side.BEFORE, (), {}), tuple(plans), intake.patches, setting.read, choice.spec, notes)


def with_files(names: Sequence[str], files: Iterable[str]) -> tuple[str, ...]:
    """The same, and the C files that lie in none of its directories."""
    more = (file for file in files if file.endswith(".c") and not file.startswith(tuple(names)))
    return (*names, *sorted(more))


def prepare_kernel(
    base_spec: str | None,
    patches: Sequence[str] = (),
    *,
    revert: bool = False,
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    arch: str = DEFAULT.name,
    progress: Progress = quiet,
    look: bool = False,
) -> SidePlan:
    """One kernel: the base with `patches` (or, with `revert`, without them) and nothing else. `look`: see
    `prepare_sides`."""
    intake = _read(patches, base_spec)
    setting = open_setting(base_spec, fragments, arch, progress, look=look)
    about_series = series_notes(intake, base_spec, setting.base.key, setting.base.title)
    reports, changes = _apply(setting, intake.patches, about_series, reverse=revert)
    return setting.plan(Side.AFTER, reports, changes)


def build_side(
    plan: SidePlan,
    *,
    log: Path,
    progress: Progress = quiet,
    note: Callable[[str], None] = quiet,
    jobs: int | None = None,
    before: SidePlan | None = None,
) -> Kernel:
    """The finished kernel of `plan`: from the store, or built now. `log`: the full build log (appended to).

    `before`: the other side; it is built in the same place before this one is said not to build. `note`: is told, in a
    sentence, what is worth keeping: a damaged kernel of the store, a second attempt.
    Raises BuildError (compiler errors with file:line and the patch at fault), ConfigError, LabError.
    """
    if kernel := store.load(plan.key, note):
        return kernel
    from panthorlab.kernel.build.attempts import build

    return build(plan, log=log, progress=progress, note=note, jobs=jobs, before=before)


def cannot_differ(sides: Sides, before: Kernel, after: Kernel) -> str | None:
    """Why the two kernels cannot behave differently, or None if they can."""
    if before.key == after.key or dict(before.digests) == dict(after.digests):
        return "Image, modules and device trees of the two sides are identical, byte for byte"
    if same_source(sides.before, sides.after):
        return "every changed file is the same to the compiler (comments, blank lines, line numbers)"
    return None


def same_source(before: SidePlan, after: SidePlan) -> bool | None:
    """Whether both sides are the same to the compiler; None if nobody knows, and there are no objects to tell it by."""
    same = known_same(before.key, after.key)
    if same is None:
        from panthorlab.kernel.build.steps import objects_of
        from panthorlab.kernel.build.tokens import same_tokens

        objects = objects_of(before)
        if not objects.is_dir():
            return None
        same = same_tokens(before, after, objects)
        keep_same(before.key, after.key, same=same)
    return same


def known_same(before: str, after: str) -> bool | None:
    """What `same_source` has found of the kernels with these keys; None if it was not asked."""
    memory = _memory(before, after)
    known = memory.read_bytes() if memory.exists() else b""
    return known == _SAME if known in (_SAME, _DIFFERENT) else None


def keep_same(before: str, after: str, *, same: bool) -> None:
    """Have `known_same` say so."""
    write_whole(_memory(before, after), _SAME if same else _DIFFERENT)


def _memory(before: str, after: str) -> Path:
    return cache_dir("compared") / f"{before[:24]}-{after[:24]}"


def _read(patches: Sequence[str], base_spec: str | None, version: int | None = None) -> Intake:
    return read_all(patches, repository_of(base_spec), version)


def _apply(
    setting: Setting, texts: Sequence[PatchText], notes: Sequence[str], *, reverse: bool
) -> tuple[list[PatchReport], Changes]:
    """Apply the patches to the base. Raises PatchError with the result for each patch."""
    reports, changes = apply_all(texts, setting.read, setting.base.title, notes, reverse=reverse)
    trees.check_changes(setting.base, changes)
    return reports, {path: data for path, data in changes.items() if setting.read(path) != data}


def _notes(
    base: Base,
    reports: Sequence[PatchReport],
    about_series: Sequence[str],
    *,
    default_job: bool,
    revert: bool,
    swap: bool,
) -> tuple[str, ...]:
    notes = [f"base: {base.title}"]
    if default_job:
        has = "has the fix; before = the same without it" if base.has_fix else "lacks the fix; after = with it"
        notes.append(f"no patch given: {base.version} {has}")
    else:
        notes += [*(report.summary for report in reports), *about_series]
        notes += ["reverting: before = the base without the patches, after = the base as it is"] if revert else []
    notes += ["sides exchanged"] if swap else []
    return tuple(notes)
