# SPDX-License-Identifier: GPL-2.0-or-later
"""SUSPEND and TERMINATE of the group on a slot, from the request until it can be acknowledged.

First the group's streams are frozen; a SUSPEND then waits for endpoint work that only needs time; last, the contexts of
the tiler heaps are written out.
"""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.fw.ports import StoppingGroup
from panthorlab.gpu.fw.writeout import HeapWrite, WriteOut, heap_write
from panthorlab.gpu.layout import Csg


class Stopping:
    """One per slot. Calls `done` once for each `begin`, with the requested state, unless cancelled."""

    def __init__(self, group: StoppingGroup, done: Callable[[int], None]) -> None:
        self._group, self._chip, self._done = group, group.chip, done
        self._state: int | None = None  # the requested state, while the group is being stopped
        self._writeout: WriteOut | None = None
        self._drain_timer: TimerHandle | None = None

    @property
    def under_way(self) -> bool:
        """A group is being stopped."""
        return self._state is not None

    def begin(self, state: int) -> None:
        """`state`: SUSPEND or TERMINATE."""
        self._state = state
        self._chip.trace.begin(self._group.track, Csg.STATES[state])
        for queue in self._group.queues.values():
            queue.freeze()
        if state == Csg.SUSPEND and self._group.working:
            seconds = self._chip.params.number("suspend.drain_ms") / 1000
            self._drain_timer = self._chip.loop.call_later(seconds, self._not_drained)
        else:
            self._stopped()

    def cancel(self) -> None:
        """The MCU stops: abandon the request."""
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        if self._writeout is not None:
            self._writeout.cancel()
            self._writeout = None
        if self._state is not None:
            self._state = None
            self._chip.trace.end(self._group.track, result="cancelled")

    def drained(self) -> None:
        """Endpoint work of a frozen queue ended."""
        if self._drain_timer is not None and not self._group.working:
            self._drain_timer.cancel()
            self._stopped()

    def _not_drained(self) -> None:
        text = "work on endpoints did not end before SUSPEND; it goes on after RESUME"
        self._chip.reporter.check("drain", f"{self._group.track}: {text}")
        self._stopped()

    def _stopped(self) -> None:
        self._drain_timer = None
        group, chip = self._group, self._chip
        for queue in group.queues.values():
            queue.publish()
        group.publish_status()
        writes = self._heap_writes()
        if not writes:
            self._finish()
            return
        params = chip.params
        late = self._late()
        delay = params.number("writeout.delay_ms") + chip.random.uniform(0, params.number("writeout.jitter_ms"))
        if late is not None:
            # deliberately wrong; own track in the trace, since the next group may be on the slot by then
            WriteOut(chip, f"{group.track} after its acknowledgement", group.space, writes).start(delay / 1000 + late)
            self._finish()
        else:
            self._writeout = WriteOut(chip, group.track, group.space, writes, self._finish)
            self._writeout.start(delay / 1000)

    def _heap_writes(self) -> list[HeapWrite]:
        params = self._chip.params
        if self._state is None or params.word("writeout.on") not in ("both", Csg.STATES[self._state].lower()):
            return []
        return [
            heap_write(
                params,
                self._chip.generation.layout.heap_context_stride,
                queue.index,
                queue.stream.heap_address,
                queue.stream.heap_context_bytes(),
                queue.heap_epoch,
            )
            for queue in self._group.queues.values()
            if queue.stream.heap_address
        ]

    def _late(self) -> float | None:
        """By how many seconds more the write-out comes, after the acknowledgement; None: before it, as it must."""
        state = Csg.STATES[self._state or 0].lower()
        if rule := self._chip.misbehaviour.strikes("state-early", self._group.index, state=state):
            return rule.seconds
        return 0.0 if self._chip.params.integer("ack.first") else None

    def _finish(self) -> None:
        self._writeout = None
        state, self._state = self._state, None
        if state is not None:
            self._done(state)
