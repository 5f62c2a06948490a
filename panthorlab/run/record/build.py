# SPDX-License-Identifier: GPL-2.0-or-later
"""Events of sources, patches and kernels, before anything boots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panthorlab.arch import DEFAULT
from panthorlab.run.record.base import Event
from panthorlab.run.record.codec import Count


@dataclass(frozen=True)
class PatchRecord:
    """One patch of the job: `state`, how it fitted; `source`, where it was read from."""

    title: str
    state: str
    source: str
    message_id: str | None = None


@dataclass(frozen=True)
class RecipientRecord:
    """Somebody a mail was from or for."""

    name: str
    address: str


@dataclass(frozen=True)
class MailRecord:
    """The mail that an answer to a series goes to, see `kernel.patch.letter`."""

    message_id: str
    subject: str
    date: str
    sender: RecipientRecord | None = None
    to: tuple[RecipientRecord, ...] = ()
    cc: tuple[RecipientRecord, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SourceEvent(Event, event="source"):
    """What the kernels of the run are built from. `commit`: of the base, if it came from a git repository. `mails`: of
    the series that came as mails, in the order in which they are applied."""

    base: str
    patches: tuple[PatchRecord, ...]
    version: str = ""
    commit: str = ""
    series: tuple[Mapping[str, object], ...] = ()
    mails: tuple[MailRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KernelFacts(Event):
    """A kernel as a log has it. `key`: in the store. `modules`: build-ids by name. `patches`: their titles. `arch`:
    kernel ARCH; logs of before there was a choice do not say it."""

    key: str
    build_id: str
    release: str
    title: str
    fragments: tuple[str, ...]
    modules: Mapping[str, str] = field(default_factory=dict)
    toolchain: str = ""
    path: str = ""
    patches: tuple[str, ...] = ()
    arch: str = DEFAULT.name


@dataclass(frozen=True, kw_only=True)
class ArmKernel(KernelFacts, event="kernel"):
    """The kernel of an arm: from here on the run has that arm."""

    arm: str


@dataclass(frozen=True, kw_only=True)
class VariantKernel(KernelFacts, event="variant-kernel"):
    """The kernel that an arm has in the boots of a variant."""

    variant: str
    arm: str


@dataclass(frozen=True, kw_only=True)
class BuildFailed(Event, event="build-failed"):
    """The kernel of an arm does not build; `message`: what the compiler said, `log`: where the rest of that is. `arch`:
    as of `KernelFacts`."""

    message: str
    arm: str = ""
    log: str = ""
    arch: str = DEFAULT.name


@dataclass(frozen=True, kw_only=True)
class VariantFailed(Event, event="variant-failed"):
    """The same of a variant's kernel."""

    variant: str
    arm: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Identical(Event, event="identical"):
    """The kernels of the run cannot differ, and why."""

    why: str


@dataclass(frozen=True, kw_only=True)
class VariantIdentical(Event, event="variant-identical"):
    """The kernels of a variant cannot differ, and why."""

    variant: str
    why: str


@dataclass(frozen=True, kw_only=True)
class PatchLinesEvent(Event, event="patch-lines"):
    """Lines that the patches change, by file: `removed` as numbered before them, `added` as after them."""

    removed: Mapping[str, tuple[Count, ...]]
    added: Mapping[str, tuple[Count, ...]]
