# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernels of one job share, from the user's input: base, config and compiler; and the store keys that these,
with changes of the base, give."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from panthorlab.kernel.build import config, guest, rust
from panthorlab.kernel.build.key import FORMAT, content, digest
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.toolchain import Toolchain, find_toolchain, with_rust
from panthorlab.kernel.driver import Driver, ReadFile, requested
from panthorlab.kernel.patch.report import PatchReport
from panthorlab.kernel.progress import Progress
from panthorlab.kernel.source import trees
from panthorlab.kernel.source.base import Base, Changes
from panthorlab.kernel.source.spec import Source, resolve
from panthorlab.outcome import Side

_VERSION_NAMED = re.compile(r"(?:debian:|kernel\.org:|linux-source-)v?(\d.*)")


@dataclass(frozen=True)
class Setting:
    """What all kernels of a job share. `read`: reads the base."""

    base: Base
    driver: Driver
    read: ReadFile
    fragments: tuple[Path, ...]
    config_key: str
    arch: str
    toolchain: Toolchain
    guest: str
    debug_info: tuple[str, ...]
    profiled: tuple[str, ...]

    def plan(self, side: Side, reports: Sequence[PatchReport], changes: Changes) -> SidePlan:
        """The base with `changes`, which `reports` make; its key is of these and all else that it is made of."""
        core = digest(
            [
                FORMAT,
                self.base.key,
                sorted((path, content(data)) for path, data in changes.items()),
                self.config_key,
                self.arch,
                self.toolchain.prefix,
                self.toolchain.version,
                *([self.debug_info] if self.debug_info else []),
                *(["profiled", self.profiled] if self.profiled else []),
            ]
        )
        return SidePlan(
            side=side,
            key=digest([core, self.guest]),
            core_key=core,
            title=_title(self.base, reports),
            base=self.base,
            changes=changes,
            reports=tuple(reports),
            fragments=self.fragments,
            config_key=self.config_key,
            arch=self.arch,
            toolchain=self.toolchain,
            debug_info=self.debug_info,
            profiled=self.profiled,
        )


def own_tree(source: Source, progress: Progress) -> tuple[Base, ReadFile]:
    """The private tree of `source`, and what reads its files whatever is patched in it now."""
    base = trees.open_base(source, progress)
    return base, partial(trees.read_base, base)


def open_setting(
    base_spec: str | None,
    fragments: Sequence[str],
    arch: str,
    progress: Progress,
    *,
    look: bool = False,
    opened: Callable[[Source, Progress], tuple[Base, ReadFile]] = own_tree,
) -> Setting:
    """`look`: only look, see `prepare_sides`. `opened`: gives the base of a source, and what reads its files."""
    files = config.find_fragments(fragments)
    key = config.fragments_key(files)
    wanted = config.read_fragments(files).values
    driver = requested(wanted)
    toolchain = find_toolchain(arch)
    if (named := _VERSION_NAMED.fullmatch(base_spec or "")) and driver.too_old(named[1]):
        raise driver.missing(named[0], named[1])
    source = resolve(base_spec, progress, look=look, series=driver.series)
    base, read = trees.look(source) if look else opened(source, progress)
    if not driver.is_in(read):
        raise driver.missing(base.title, base.version)
    if wanted.get("RUST") == "y":
        toolchain = with_rust(toolchain, rust.find_rust(progress, look=look))
    return Setting(
        base,
        driver,
        read,
        files,
        key,
        arch,
        toolchain,
        guest.digest(),
        debug_info=config.debug_info(files),
        profiled=config.profiled(files),
    )


def _title(base: Base, reports: Sequence[PatchReport]) -> str:
    if not reports:
        return base.version
    if len(reports) > 1:
        return f"{base.version} {'without' if reports[0].reverse else 'with'} {len(reports)} patches"
    return f"{base.version} {'without' if reports[0].reverse else 'with'} “{reports[0].title}”"
