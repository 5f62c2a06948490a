# SPDX-License-Identifier: GPL-2.0-or-later
"""Make a failing sequence as short as it gets (Zeller's ddmin): pure, whatever the items are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Element = TypeVar("Element")


def shrink(
    items: Sequence[Element],
    fails: Callable[[tuple[Element, ...]], bool],
    ahead: Callable[[Sequence[tuple[Element, ...]]], None] = lambda _parts: None,
) -> tuple[Element, ...]:
    """A part of `items`, in their order, that still fails, and of which no single item can be left out.

    `items` themselves must fail; `fails` is not asked for them, nor twice for the same part. `ahead` is told what
    `fails` will be asked for next, as long as none of it fails: it may try several at once.
    """
    known: dict[tuple[int, ...], bool] = {}
    kept = tuple(range(len(items)))

    def first_failing(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
        for turn, part in enumerate(parts):
            if part not in known:
                coming = (other for other in parts[turn:] if other not in known)
                ahead([tuple(items[place] for place in other) for other in coming])
                known[part] = fails(tuple(items[place] for place in part))
            if known[part]:
                return part
        return None

    pieces = min(2, len(kept))
    while pieces:
        size = -(-len(kept) // pieces)
        cuts = [kept[:start] + kept[start + size :] for start in range(0, len(kept), size)]
        found = first_failing(cuts)
        if found is not None:
            kept, pieces = found, min(max(2, pieces - 1), len(found))
        elif size == 1:
            break
        else:
            pieces = min(len(kept), pieces * 2)
    return tuple(items[place] for place in kept)
