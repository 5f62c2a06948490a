# SPDX-License-Identifier: GPL-2.0-or-later
"""What reports say of the driver's lines that ran: of all of it, and of the patch's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from panthorlab.outcome import Side

_DOES: Final = {Side.BEFORE: "removes", Side.AFTER: "adds"}
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class PatchCoverage:
    """Lines of the patch with code on one side: those that it removes on before, those that it adds on after. `never`
    ran: FILE:LINE. `outside`: files of the patch whose lines are not measured."""

    lines: int
    ran: int
    never: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """What ran on one side, over all its boots. `suites`: functions and lines that ran, by suite. `patch`: None if it
    is not known what the patch is (finished kernels were given)."""

    functions: int
    function_total: int
    lines: int
    line_total: int
    suites: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    patch: PatchCoverage | None = None


def driver_text(coverage: Coverage) -> str:
    return (
        f"{coverage.functions} of {coverage.function_total} functions and {coverage.lines} of "
        f"{coverage.line_total} lines of panthor ran"
    )


def patch_text(side: Side, patch: PatchCoverage | None) -> str:
    """`14 of 16 lines that the patch adds ran; never: panthor_mmu.c:1541`."""
    if patch is None:
        return "lines of the patch not measured: finished kernels do not tell what was changed"
    outside = f"not measured: {_some(patch.outside)}" if patch.outside else ""
    if not patch.lines:
        return "; ".join(filter(None, [f"the patch {_DOES[side]} no line with code", outside]))
    sentence = f"{patch.ran} of {patch.lines} line{'s' * (patch.lines > 1)} that the patch {_DOES[side]} ran"
    never = f"never: {_some(patch.never)}" if patch.never else ""
    return "; ".join(filter(None, [sentence, never, outside]))


def _some(names: tuple[str, ...]) -> str:
    shown = [PurePosixPath(name).name for name in names[:_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def unproved(coverage: Mapping[Side, Coverage]) -> str:
    """Why a good verdict says nothing of the patch: its lines never ran; empty if some did, or it is not known.

    Those that it adds count; of a patch that only removes some, those.
    """
    for side in (Side.AFTER, Side.BEFORE):
        patch = coverage[side].patch if side in coverage else None
        if patch is not None and patch.lines:
            if patch.ran:
                return ""
            what = "the line" if patch.lines == 1 else f"none of the {patch.lines} lines"
            never = "never ran" if patch.lines == 1 else "ever ran"
            return (
                f"{what} that the patch {_DOES[side]} {never} on {side} ({_some(patch.never)}), so this says "
                "nothing of the patch"
            )
    return ""
