# SPDX-License-Identifier: GPL-2.0-or-later
"""What the firmware notices about a running group by itself: it became idle, its endpoints make no progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.fw.ports import WatchedGroup
from panthorlab.gpu.layout import Csg


class Activity:
    """Raises CSG IDLE and PROGRESS_TIMER. Lives as long as its slot; `stop` when the group leaves it."""

    def __init__(self, group: WatchedGroup) -> None:
        self._group = group
        self._chip = group.chip
        self._was_idle = True
        self._idle_timer: TimerHandle | None = None
        self._progress_timer: TimerHandle | None = None

    def started(self) -> None:
        """A group was put on the slot; until its streams have run it is not idle."""
        self._was_idle = False

    def stop(self) -> None:
        """Drop what has not been raised yet."""
        self._was_idle = True
        self._cancel_idle()
        self._cancel_progress()

    def changed(self) -> None:
        """After a slice: the group may have become idle or busy, its endpoints too."""
        self._watch_progress()
        idle = self._group.idle
        if idle is self._was_idle:
            return
        self._was_idle = idle
        self._cancel_idle()
        if idle:
            delay = self._chip.params.number("idle.delay_us") / 1e6
            if delay:
                self._idle_timer = self._chip.loop.call_later(delay, self._became_idle)
            else:
                self._became_idle()
        self._group.mcu.group_changed()

    def _became_idle(self) -> None:
        self._idle_timer = None
        self._raise(Csg.IDLE, "IDLE")

    def _raise(self, event: int, name: str) -> None:
        self._chip.trace.instant(self._group.track, name)
        self._group.events.raise_event(event)

    # --- PROGRESS_TIMER: endpoint work that makes none for the time that the driver set in the global interface

    def _watch_progress(self) -> None:
        works = self._group.working
        seconds = self._group.mcu.progress_seconds
        if works and self._progress_timer is None and seconds:
            self._watch_for(seconds, self._look_at_progress)
        elif not works:
            self._cancel_progress()

    def _watch_for(self, seconds: float, look: Callable[[int], None]) -> None:
        self._progress_timer = self._chip.loop.call_later(seconds, partial(look, self._group.retired))

    def _look_at_progress(self, before: int) -> None:
        self._progress_timer = None
        if self._group.retired != before:
            self._watch_progress()
        else:
            self._raise(Csg.PROGRESS_TIMER, "PROGRESS_TIMER")

    def _cancel_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _cancel_progress(self) -> None:
        if self._progress_timer is not None:
            self._progress_timer.cancel()
            self._progress_timer = None
