# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lane gets which slot: each board its own, and what a dead board leaves behind goes to the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from panthorlab.run.plan import Slot
from panthorlab.run.poll import POLL


class Work:
    """The open slots of a run. Thread-safe. Boards leave it when they die, but never the last one."""

    def __init__(self, slots: Sequence[Slot], boards: Sequence[str], stop: threading.Event) -> None:
        self._pending: dict[str, list[Slot]] = {board: [] for board in boards}
        self._running: list[Slot] = []
        self._stop = stop
        self._changed = threading.Condition()
        for slot in slots:
            self._pending[slot.board if slot.board in self._pending else self._idlest()].append(slot)

    def take(self, board: str) -> Slot | None:
        """The next slot for `board`, which is to be given back by `finish` or `leave`; None when no more can come.

        Waits as long as another board has work that it could still leave behind.
        """
        with self._changed:
            while not self._stop.is_set():
                own = self._pending.get(board)
                if own is None:
                    return None
                if own:
                    slot = own.pop(0)
                    self._running.append(slot)
                    return slot
                elsewhere = any(slot.board != board for slot in self._running)
                if not elsewhere and not any(self._pending.values()):
                    return None
                self._changed.wait(POLL)
        return None

    def finish(self, slot: Slot) -> None:
        """`slot` is complete, or nobody can do anything more for it."""
        with self._changed:
            self._running.remove(slot)
            self._changed.notify_all()

    def leave(self, board: str, slot: Slot | None, moved: Callable[[Slot], None]) -> bool:
        """`board` is dead: what it had, with `slot` that it was at, goes to the others; `moved` is told of each before
        anybody can take it. False if there is no other board: then nothing has changed."""
        with self._changed:
            if set(self._pending) == {board}:
                return False
            left = self._pending.pop(board)
            if slot is not None:
                self._running.remove(slot)
                left.insert(0, slot)
            for orphan in left:
                new = replace(orphan, board=self._idlest(), fresh=True)
                moved(new)
                self._pending[new.board].append(new)
            self._changed.notify_all()
            return True

    def _idlest(self) -> str:
        return min(self._pending, key=lambda board: len(self._pending[board]))
