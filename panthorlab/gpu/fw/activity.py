# SPDX-License-Identifier: GPL-2.0-or-later
"""How the firmware detects that a running group became idle, or that its endpoint work makes no progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.fw.ports import WatchedGroup
from panthorlab.gpu.layout import Csg


class Activity:
    """Raises CSG IDLE and PROGRESS_TIMER. One object per slot; call `stop` when a group leaves the slot."""

    def __init__(self, group: WatchedGroup) -> None:
        self._group = group
        self._chip = group.chip
        self._was_idle = True
        self._idle_timer: TimerHandle | None = None
        self._progress_timer: TimerHandle | None = None

    def started(self) -> None:
        """A group was put on the slot. It is not idle until its streams have run."""
        self._was_idle = False

    def stop(self) -> None:
        """Cancel events that have not been raised yet."""
        self._was_idle = True
        self._cancel_idle()
        self._cancel_progress()

    def changed(self) -> None:
        """After a slice: check whether the group or its endpoints became idle or busy."""
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

    # --- PROGRESS_TIMER: endpoint work made no progress for the time that the driver set in the global interface

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
