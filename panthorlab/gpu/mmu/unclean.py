# SPDX-License-Identifier: GPL-2.0-or-later
"""What was written through an address space and may still be in caches.

No cache holds data. But which pages were written since the caches were last cleaned is known, and a driver that lets
them go without is told of: a board's caches would write to memory that is somebody else's by then.
"""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.events import Reporter


class Unclean:
    """Pages that the address space `index` has written since the caches were cleaned, each with where it was then: a
    page that the driver has moved in between is two."""

    def __init__(self, index: int, reporter: Reporter) -> None:
        self._index, self._reporter = index, reporter
        self._pages: dict[tuple[int, int], None] = {}

    def written(self, va: int, pa: int) -> None:
        """The page at `va`, which is at `pa`."""
        self._pages[va >> 12, pa] = None

    def cleaned(self) -> bool:
        """The caches hold nothing more. Whether they may have held something."""
        held = bool(self._pages)
        self._pages.clear()
        return held

    def finished(
        self, start: int, end: int, but: tuple[int, int], by: str, mapped_to: Callable[[int], int | None]
    ) -> None:
        """The driver has finished changing what is mapped from `start` to before `end`, except within `but`: so `by`
        says. `mapped_to`: the physical address of a page, by the page tables as they are. Each page is told of once.

        Of pages elsewhere nothing is said, nor at UPDATE: they may be those of another change, under way, whose caches
        are yet to be cleaned."""
        changed = [known for known in self._pages if start <= known[0] << 12 < end]
        for page, pa in changed:
            if not but[0] <= page << 12 < but[1] and mapped_to(page << 12) != pa:
                text = f"AS{self._index} 0x{page << 12:x} was written and unmapped, and no cache cleaned before {by}"
                self._reporter.misuse("unmapped unclean", text)
                del self._pages[page, pa]

    def given_away(self) -> None:
        """The address space is that of other page tables from now on."""
        if self._pages:
            text = f"AS{self._index} was given to other page tables, and no cache cleaned of what it wrote"
            self._reporter.misuse("given away unclean", text)
