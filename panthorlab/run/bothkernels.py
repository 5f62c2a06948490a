# SPDX-License-Identifier: GPL-2.0-or-later
"""The two kernels of a validation: what the run's log says of them, else found or built now, and put on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from panthorlab.board.board import Board
from panthorlab.errors import BuildError, LabError
from panthorlab.kernel.build.plan import SidePlan, Sides
from panthorlab.kernel.jail.sandbox import UNPROTECTED, sandbox
from panthorlab.kernel.job import cannot_differ
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.patch.report import PatchReport
from panthorlab.kernel.store import load
from panthorlab.outcome import Side
from panthorlab.run import fleet, measure
from panthorlab.run.arms import Arm
from panthorlab.run.hosts.crew import DoBuild
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.progress import ProgressDisplay
from panthorlab.run.record import ArmKernel, BuildFailed, Identical, MailRecord, PatchRecord, Settings, SourceEvent
from panthorlab.run.record.codec import decode
from panthorlab.run.record.log import EventLog, read_events
from panthorlab.run.sides import KernelMaker


def both_kernels(
    run_dir: Path, log: EventLog, settings: Settings, boards: Sequence[Board], progress: ProgressDisplay, build: DoBuild
) -> dict[Side, Kernel] | None:
    """Both kernels of the run, built if they must be; None if *after* does not build, which is then on record."""
    return _Kernels(run_dir, log, settings, boards, progress, build).get()


class _Kernels(KernelMaker):
    def get(self) -> dict[Side, Kernel] | None:
        """See `both_kernels`."""
        known = {Side(event.arm): event.key for event in read_events(self._dir) if isinstance(event, ArmKernel)}
        options = self._settings
        if set(known) == set(Side):
            stored = {side: load(key, self._note) for side, key in known.items()}
            kernels = {side: kernel for side, kernel in stored.items() if kernel is not None}
            if set(kernels) == set(Side):
                return kernels
            self._progress.note("a kernel of this run is no longer in the store")
        if options.before is not None and options.after is not None:
            kernels = {Side.BEFORE: self._resolve(options.before), Side.AFTER: self._resolve(options.after)}
            for kernel in kernels.values():
                fleet.check_release(self._boards, kernel.release)
            if options.swap:
                kernels = {Side.BEFORE: kernels[Side.AFTER], Side.AFTER: kernels[Side.BEFORE]}
            self._note_identical(kernels, None)
            self._record_kernels(kernels, known)
            return kernels
        sandbox()  # before anything is downloaded: without a jail nothing of it will be built
        with self._log.phase("sources and patches"):
            fragments = fleet.fragments_of(self._boards, options.config, coverage=self._measured)
            sides = self._sides(fragments)
        fleet.check_release(self._boards, sides.base.version)
        self._record_sources(sides)
        built = self._build(sides)
        if built is not None:
            self._note_identical(built, sides)  # before the kernels: once they are on record, nobody asks again
            self._record_kernels(built, known)
        return built

    @property
    def _measured(self) -> bool:
        return fleet.measured(self._boards, coverage=self._settings.coverage, time=self._settings.time)

    def _resolve(self, name: str) -> Kernel:
        return resolve_kernel(
            name, log=self._dir / "build.log", progress=self._progress.step, driver=self._settings.driver
        )

    def _record_sources(self, sides: Sides) -> None:
        self._log.append(
            SourceEvent(
                base=sides.base.title,
                version=sides.base.version,
                commit=sides.base.commit,
                patches=tuple(
                    PatchRecord(item.title, _fit(item), item.origin, item.message_id) for item in sides.reports
                ),
                series=tuple(series.described() for series in sides.intake.series),
                mails=tuple(decode(MailRecord, asdict(one.letter)) for one in sides.intake.series if one.letter),
            )
        )
        if self._measured:
            self._log.append(measure.changed_lines(sides))
        for item in sides.reports:
            self._progress.line(f"patch  {item.summary}")
        for note in sides.notes:
            if note.startswith("base:"):
                continue  # it has a line of its own
            self._note(note)

    def _build(self, sides: Sides) -> dict[Side, Kernel] | None:
        log = self._dir / "build.log"
        with self._log.phase("build before"):
            try:
                before = self._build_named(sides.before)
            except BuildError as error:
                raise LabError(f"the base itself does not build: {error}", hint=error.hint or f"see {log}") from error
        with self._log.phase("build after"):
            try:
                after = self._build_named(sides.after, sides.before)
            except BuildError as error:
                self._log.append(BuildFailed(arm=Side.AFTER, arch=sides.after.arch, message=str(error), log=str(log)))
                return None
        return {Side.BEFORE: before, Side.AFTER: after}

    def _build_named(self, plan: SidePlan, before: SidePlan | None = None) -> Kernel:
        """Called as in this run: the store may have had it from a patch of other words and the same content."""
        return replace(self._build_side(plan, before), title=plan.title, patches=plan.patches)

    def _record_kernels(self, kernels: Mapping[Side, Kernel], known: Mapping[Side, str]) -> None:
        """`known`: keys under which this run has already used its kernels; no others may continue it."""
        changed = [side for side, key in known.items() if kernels[side].key != key]
        if changed:
            raise LabError(
                f"the kernel {changed[0]} of this run is gone, and what is built in its place is another one",
                hint="the compiler or a configuration fragment has changed: start a new run",
            )
        for side, kernel in kernels.items():
            if not kernel.jailed:
                self._note(f"{side} was {UNPROTECTED}")
            self._log.append(Arm(side, kernel).on_record())

    def _note_identical(self, kernels: Mapping[Side, Kernel], sides: Sides | None) -> None:
        before, after = kernels[Side.BEFORE], kernels[Side.AFTER]
        why = cannot_differ(sides, before, after) if sides is not None else _same_files(before, after)
        if why:
            self._log.append(Identical(why=why))
            self._progress.note(why)


def _fit(report: PatchReport) -> str:
    reverse = "reverse " if report.reverse else ""
    return f"{reverse}{report.fit}" + (f" ({report.detail})" if report.detail else "")


def _same_files(before: Kernel, after: Kernel) -> str | None:
    same = before.digests and dict(before.digests) == dict(after.digests)
    return "Image, modules and DTBs are byte-identical" if same else None
