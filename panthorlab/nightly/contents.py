# SPDX-License-Identifier: GPL-2.0-or-later
"""What the files are that a night's kernels are tested with: a branch that has not moved is tested again once they are
others, for what was said of it was said by something else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from panthorlab.board.emulated.overlay import contents
from panthorlab.board.registry import find_board_file
from panthorlab.files import digest, sha256
from panthorlab.kernel.build.config import find_fragments
from panthorlab.nightly.plan import KernelPlan, NightlyPlan
from panthorlab.run.dependence import parts
from panthorlab.run.suites import find_suites


def with_contents(plan: NightlyPlan) -> NightlyPlan:
    """The plan, with each kernel's `asked` also of the texts of its suites, boards, fragments and known lists, of an
    overlay that is a directory, and of all in this panthorlab that boards run, or that is their GPU. One of the
    overlays that are made by their name is as its name says. Raises UsageError, OSError."""
    ours = sorted((name, digest(files.items())) for name, files in parts().items() if name != "panthorlab's own side")
    suites = _texts(find_suites(plan.suites).values())
    overlay = contents.digest(Path(plan.overlay)) if plan.overlay and Path(plan.overlay).is_dir() else ""
    shared = [ours, suites, _texts(plan.known), overlay]
    return replace(plan, kernels=tuple(_with(kernel, shared) for kernel in plan.kernels))


def _with(kernel: KernelPlan, shared: list[object]) -> KernelPlan:
    own = [_texts(map(find_board_file, kernel.boards)), _texts(find_fragments(kernel.fragments))]
    return replace(kernel, asked=digest([kernel.asked, *shared, *own]))


def _texts(files: Iterable[Path]) -> list[str]:
    return [sha256(file) for file in files]
