# SPDX-License-Identifier: GPL-2.0-or-later
"""`RunReport`: everything a report shows. Whoever runs things fills it in; every report is a pure function of it.

Nothing here is interpreted again: numbers and verdicts come from `panthorlab.verdict`, findings are the dictionaries
that `panthorlab scan --json` prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from panthorlab.outcome import Side
from panthorlab.report.coverage import Coverage, driver_text, patch_text, unproved
from panthorlab.verdict.model import BootResult, RunVerdict


@dataclass(frozen=True, slots=True)
class PatchInfo:
    """One patch of the job."""

    title: str
    """Its subject line."""
    state: str = ""
    """In what way it applied, in words: `applies`, `applies with offset`, `already applied, reversed for before`, …"""
    source: str = ""
    """File, message-id or commit it was read from."""
    message_id: str | None = None
    """Of the mail it came in."""


@dataclass(frozen=True, slots=True)
class MailInfo:
    """The mail that an answer to a series goes to. People are (name, address); the name may be empty. `references`: the
    message-ids of the thread above it."""

    message_id: str
    subject: str = ""
    date: str = ""
    sender: tuple[str, str] | None = None
    to: tuple[tuple[str, str], ...] = ()
    cc: tuple[tuple[str, str], ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelInfo:
    """One side's kernel."""

    key: str
    """Key in the store of built kernels."""
    release: str = ""
    """`uname -r`."""
    build_id: str | None = None
    """GNU build-id of vmlinux in hex, as the booted kernel proved it."""
    description: str = ""
    """What it is, in words: `linux-source-6.12 6.12.117-1 without the fix`."""
    config: tuple[str, ...] = ()
    """Names of the config fragments."""
    toolchain: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Build-ids of the modules that were built with it, by name."""
    arch: str = ""
    """Kernel ARCH."""


@dataclass(frozen=True, slots=True)
class FailedBuild:
    """A side's kernel that does not build: what the compiler said, and kernel ARCH."""

    message: str
    arch: str = ""


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What it ran on. `facts` are shown as they are: GPU id, firmware version, QEMU version, clocks, …"""

    name: str
    description: str = ""
    emulated: bool = False
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """Boots that are not the plain ones."""

    name: str
    """As results are labelled that come from them."""
    fragments: tuple[str, ...] = ()
    """Of its kernels, beside those of the plain ones."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Of the emulated GPU, beside those of the run."""
    kernels: Mapping[Side, KernelInfo] = field(default_factory=dict)
    """Empty if they are the plain ones, or were not built."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the run and the wall-clock time it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run. `findings` are in the order they happened.

    A finding has the keys of the JSON contract (`kind`, `va`, `owner`, `signature`, `text`, …) and may have `side`,
    `boot`, `iteration` and `workload`, which tell where it was found; absent ones are None or missing.
    """

    run_dir: Path
    verdict: RunVerdict
    started: datetime
    """With a time zone."""
    seconds: float
    """Wall-clock time of the whole run."""
    board: BoardInfo
    kernels: Mapping[Side, KernelInfo]
    patches: tuple[PatchInfo, ...] = ()
    base: str = ""
    """The kernel source both sides come from, as the user would name it."""
    suites: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    findings: tuple[Mapping[str, object], ...] = ()
    boots: tuple[BootResult, ...] = ()
    notes: tuple[str, ...] = ()
    """Things the reader must know: unmodelled accesses, retries, a board that was slow, …"""
    command: tuple[str, ...] = ()
    """The command line, argv style."""
    version: str = ""
    """Of panthorlab."""
    seed: int | None = None
    claim: str = ""
    """What the run is to find out, where that is not the title of its patches: the default job's fix."""
    base_commit: str = ""
    """Git commit id of the base, if it came from a repository."""

    coverage: Mapping[Side, Coverage] | None = None
    """What of the driver ran on each side that was booted; None if it was not to be measured."""

    failed_builds: Mapping[Side, FailedBuild] = field(default_factory=dict)
    """Sides whose kernel does not build."""
    variants: tuple[VariantInfo, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why tests did not run, by SUITE::TEST."""
    mails: tuple[MailInfo, ...] = ()
    """Of the series that came as mails, in the order in which they were applied."""
    swapped: bool = False
    """*before* is the kernel with the patch."""
    repeat: tuple[str, ...] = ()
    """The command, argv style, by which somebody else has the same run; empty if what was compared is here alone."""

    @property
    def title(self) -> str:
        """What the run is about, in one line."""
        if self.claim:
            return self.claim
        if self.patches:
            more = len(self.patches) - 1
            return self.patches[0].title + (f" and {more} more patch{'es' if more > 1 else ''}" if more else "")
        return self.base or self.run_dir.name

    @property
    def unproved(self) -> str:
        """Why a good verdict says nothing of the patch, if so."""
        return unproved(self.coverage or {})

    @property
    def coverage_lines(self) -> tuple[str, ...]:
        """What ran, a sentence a side; nothing if it was not to be measured."""
        if self.coverage is None:
            return ()
        why = "the run did not reach its end" if self.boots else "no board was booted"
        return tuple(
            f"{side}: {patch_text(side, one.patch)} · {driver_text(one)}" for side, one in self.coverage.items()
        ) or (f"not measured: {why}",)

    def telling_modules(self, side: Side) -> Mapping[str, str]:
        """Build-ids by file name of the modules in which the sides differ, if vmlinux does not tell them apart."""
        before, after = self.kernels.get(Side.BEFORE), self.kernels.get(Side.AFTER)
        if before is None or after is None or before.build_id is None or before.build_id != after.build_id:
            return {}
        return {
            f"{name}.ko": build_id
            for name, build_id in sorted(self.kernels[side].modules.items())
            if before.modules.get(name) != after.modules.get(name)
        }
