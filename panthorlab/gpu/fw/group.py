# SPDX-License-Identifier: GPL-2.0-or-later
"""One CSG slot: START, RESUME, SUSPEND, TERMINATE of the group on it, its events, its acknowledgements.

Source: panthor_sched.c (Linux 6.12, 7.3) for what the driver relies on. The firmware never writes input pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from panthorlab.gpu.chip import Chip
from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.ports import Timer
from panthorlab.gpu.cs.state import SavedStream, StreamState
from panthorlab.gpu.fw import layout, suspend
from panthorlab.gpu.fw.layout import Cs, Csg, CsgIn, CsgOut, CsIn, CsOut
from panthorlab.gpu.fw.memory import McuMemory
from panthorlab.gpu.fw.queue import Queue
from panthorlab.gpu.fw.writeout import HeapWrite, WriteOut

if TYPE_CHECKING:
    from panthorlab.gpu.fw.mcu import Mcu

class Group:
    """One of the eight slots."""

    def __init__(self, mcu: Mcu, index: int) -> None:
        self.mcu, self.index = mcu, index
        self.chip: Chip = mcu.chip
        self.memory: McuMemory = mcu.memory
        self.track = f"CSG {index}"
        self.input, self.output = layout.csg_input(index), layout.csg_output(index)
        self.space = self.chip.mmu.spaces[0]
        self.queues: dict[int, Queue] = {}
        self.active = False
        self.suspend_buffer = 0
        self.heaps = GroupHeaps()
        self._stopping: int | None = None  # the request that is being worked on
        self._requested = 0.0
        self._writeout: WriteOut | None = None
        self._drain_timer: Timer | None = None
        self._idle_timer: Timer | None = None
        self._progress_timer: Timer | None = None
        self._ack_timer: Timer | None = None
        self._was_idle = True

    def _check(self, what: str, text: str) -> None:
        self.chip.reporter.check(what, f"{self.track}: {text}")

    # --- boot, reset

    def boot(self) -> None:
        """Acknowledge whatever the request words still hold, so that nothing looks pending after START."""
        get, put = self.memory.get, self.memory.put
        put(self.output + CsgOut.ACK, get(self.input + CsgIn.REQ) & ~Csg.STATE)
        put(self.output + CsgOut.DOORBELL_ACK, get(self.input + CsgIn.DOORBELL_REQ))
        put(self.output + CsgOut.CS_IRQ_REQ, get(self.input + CsgIn.CS_IRQ_ACK))
        put(self.output + CsgOut.STATUS_STATE, 1)
        for stream in range(layout.STREAMS):
            at = layout.cs_output(self.index, stream)
            put(at + CsOut.ACK, get(layout.cs_input(self.index, stream) + CsIn.REQ) & ~Cs.STATE)
            for field in (CsOut.FAULT, CsOut.FATAL, CsOut.STATUS_BLOCKED_REASON, CsOut.STATUS_SCOREBOARDS):
                put(at + field, 0)

    def halt(self) -> None:
        """The MCU stops: whatever is on the slot is gone, without side effects."""
        for timer in (self._drain_timer, self._idle_timer, self._progress_timer, self._ack_timer):
            if timer is not None:
                timer.cancel()
        if self._writeout is not None:
            self._writeout.cancel()
            self._writeout = None
        self._release()
        self._stopping = None

    def _release(self) -> None:
        for queue in self.queues.values():
            queue.drop()
        self.queues.clear()
        if self.active:
            self.active = False
            self.chip.trace.end(self.track)
        self._was_idle = True

    # --- the doorbell

    def service(self) -> None:
        """The driver rang for this slot."""
        get, put = self.memory.get, self.memory.put
        # acknowledge the doorbell before reading the requests: one that comes in between rings again
        ringing = get(self.input + CsgIn.DOORBELL_REQ)
        rung = ringing ^ get(self.output + CsgOut.DOORBELL_ACK)
        if rung:
            put(self.output + CsgOut.DOORBELL_ACK, ringing)
        request = get(self.input + CsgIn.REQ)
        ack = get(self.output + CsgOut.ACK)
        done = (request ^ ack) & Csg.TOGGLES
        if done & Csg.STATUS_UPDATE:
            self.publish_status()
        state = request & Csg.STATE
        if state != ack & Csg.STATE and self._stopping is None:
            self._request(state)
        for stream in range(layout.STREAMS):
            if rung & 1 << stream:
                self._service_stream(stream)
        if done:
            # EP_CFG needs nothing: endpoints are not a scarce resource here
            put(self.output + CsgOut.ACK, get(self.output + CsgOut.ACK) ^ done)
            self.chip.job_irq.set(1 << self.index)

    def _service_stream(self, stream: int) -> None:
        queue = self.queues.get(stream)
        request = self.memory.get(layout.cs_input(self.index, stream) + CsIn.REQ) & Cs.STATE
        if queue is not None and request == Cs.STOP and self._stopping is None:
            queue.freeze()
            queue.publish()
            queue.publish_status()
            queue.acknowledge_state(Cs.STOP)
            queue.drop()
            del self.queues[stream]
            self.queue_changed()
        elif queue is not None:
            queue.answer()
        elif request == Cs.START and self.active and self._stopping is None:
            self._start_stream(stream, None)
        elif request == Cs.START and not self.active:
            self.chip.reporter.counts["doorbell for a stream of an empty slot"] += 1

    def ring(self, doorbell: int) -> bool:
        """A user doorbell; whether a queue listens to it."""
        heard = False
        for queue in self.queues.values():
            if queue.doorbell == doorbell:
                queue.poke()
                heard = True
        return heard

    # --- state requests

    def _request(self, state: int) -> None:
        self._requested = time.monotonic()
        if state in (Csg.START, Csg.RESUME):
            if self.active:
                self._check("start of a running group", f"{Csg.STATES[state]} while a group runs")
            else:
                self._start(state)
            self._acknowledge_later(state)
        elif state in (Csg.SUSPEND, Csg.TERMINATE):
            if self.active:
                self._stop(state)
            else:
                self._acknowledge_later(state)
        else:
            self.chip.reporter.unmodelled(f"CSG state {state}", f"{self.track}: CSG_REQ.STATE {state}")

    def _start(self, state: int) -> None:
        get, get64 = self.memory.get, self.memory.get64
        self.space = self.chip.mmu.spaces[get(self.input + CsgIn.CONFIG) & 7]
        self.suspend_buffer = get64(self.input + CsgIn.SUSPEND_BUF)
        if not self.space.enabled:
            self._check("start without address space", f"{Csg.STATES[state]} while AS{self.space.index} is unmapped")
        saved = self._saved_streams() if state == Csg.RESUME else {}
        self.heaps = GroupHeaps()
        self.active = True
        self._was_idle = False
        self.chip.trace.begin(self.track, f"{Csg.STATES[state]} in AS{self.space.index}", epoch=self.space.epoch)
        for stream in range(layout.STREAMS):
            request = get(layout.cs_input(self.index, stream) + CsIn.REQ) & Cs.STATE
            if request == Cs.START:
                self._start_stream(stream, saved.get(stream))
        if not self.queues:
            self._check("start without streams", f"{Csg.STATES[state]}, and no CS_REQ is START")
        self.queue_changed()

    def _start_stream(self, stream: int, saved: SavedStream | None) -> None:
        self.queues[stream] = Queue(self, stream, saved)
        self.queues[stream].wake()

    def _saved_streams(self) -> dict[int, SavedStream]:
        try:
            streams = suspend.unpack(self.memory.read(self.suspend_buffer, suspend.SIZE))
        except ValueError as error:
            self._check("resume without state", f"RESUME from 0x{self.suspend_buffer:x}: {error}")
            return {}
        self.memory.write(self.suspend_buffer, suspend.ERASED)
        return streams

    def _stop(self, state: int) -> None:
        self._stopping = state
        self.chip.trace.begin(self.track, Csg.STATES[state])
        for queue in self.queues.values():
            queue.freeze()
        if state == Csg.SUSPEND and any(q.stream.working for q in self.queues.values()):
            self._drain_timer = self.chip.loop.call_later(
                self.chip.params.number("suspend.drain_ms") / 1000, self._not_drained)
        else:
            self._stopped()

    def drained(self) -> None:
        """A frozen queue's endpoint work made progress."""
        if self._drain_timer is not None and not any(q.stream.working for q in self.queues.values()):
            self._drain_timer.cancel()
            self._stopped()

    def _not_drained(self) -> None:
        self._check("drain", "work on endpoints did not end before SUSPEND")
        self._stopped()

    def _stopped(self) -> None:
        self._drain_timer = None
        for queue in self.queues.values():
            queue.publish()
        self.publish_status()
        params = self.chip.params
        writes = self._heap_writes()
        if not writes:
            self._finish()
            return
        delay = params.number("writeout.delay_ms") + self.chip.random.uniform(0, params.number("writeout.jitter_ms"))
        track, done = self.track, self._finish
        if params.integer("ack.first"):
            # another group may be started on this slot before the write: keep the rows of the trace apart
            track, done = f"{self.track} after its acknowledgement", self._nothing
        writeout = WriteOut(self.chip, track, self.space, writes, done)
        writeout.start(delay / 1000)
        if params.integer("ack.first"):
            self._finish()
        else:
            self._writeout = writeout

    def _nothing(self) -> None:
        return

    def _heap_writes(self) -> list[HeapWrite]:
        params = self.chip.params
        when = params.word("writeout.on")
        if when != "both" and when != Csg.STATES[self._stopping or 0].lower():
            return []
        size, offset = params.integer("writeout.size"), params.integer("writeout.offset")
        writes = []
        for queue in self.queues.values():
            context = queue.stream.heap_address
            if context:
                data = queue.stream.heap_context_bytes().ljust(64, b"\0")[offset:offset + size]
                writes.append(HeapWrite(queue.index, context + offset, data))
        return writes

    def _finish(self) -> None:
        self._writeout = None
        state, self._stopping = self._stopping, None
        if state is None:
            return
        if state == Csg.SUSPEND:
            streams = {index: queue.stream.save() for index, queue in self.queues.items()}
            self.memory.write(self.suspend_buffer, suspend.pack(streams))
        for queue in self.queues.values():
            queue.acknowledge_state(Cs.STOP)
        self.chip.trace.end(self.track)
        self._cancel_idle_timers()
        self._release()
        self.memory.put(self.output + CsgOut.STATUS_STATE, 1)
        self.mcu.group_changed()
        self._acknowledge_later(state)

    def _acknowledge_later(self, state: int) -> None:
        delay = self.chip.params.number("ack.delay_ms")
        if not delay:
            self._acknowledge(state)
            return

        def acknowledge() -> None:
            self._stopping = None
            self._acknowledge(state)

        self._stopping = state
        self._ack_timer = self.chip.loop.call_later(delay / 1000, acknowledge)

    def _acknowledge(self, state: int) -> None:
        ack = self.memory.get(self.output + CsgOut.ACK)
        self.memory.put(self.output + CsgOut.ACK, ack & ~Csg.STATE | state)
        self.chip.reporter.durations[f"acknowledge {Csg.STATES[state]}"].add(time.monotonic() - self._requested)
        if self.chip.trace.on:
            self.chip.trace.instant(self.track, f"acknowledge {Csg.STATES[state]}")
        self.chip.job_irq.set(1 << self.index)
        if self.memory.get(self.input + CsgIn.REQ) & Csg.STATE != state:
            self.chip.loop.call_soon(self.service)  # the driver has changed its mind meanwhile

    # --- status and events

    def publish_status(self) -> None:
        """Status words of the group and its streams, as of now."""
        for queue in self.queues.values():
            queue.publish_status()
        self.memory.put(self.output + CsgOut.STATUS_STATE, int(self.idle))

    @property
    def idle(self) -> bool:
        """Nothing to do, as the driver defines it. An empty slot is idle."""
        return all(queue.idle for queue in self.queues.values())

    def sync_update(self) -> None:
        """A sync object that the driver may be waiting for has changed."""
        self._event(Csg.SYNC_UPDATE)
        self.mcu.wake_blocked()

    def wake_blocked(self) -> None:
        """A sync object changed: let blocked streams look again."""
        for queue in self.queues.values():
            if queue.state is StreamState.BLOCKED:
                queue.wake()

    def progress(self, stream: int) -> int:
        """PROGRESS_WAIT: the progress counter of a stream of this group."""
        queue = self.queues.get(stream)
        return queue.stream.progress if queue is not None else 0

    def _event(self, bit: int) -> None:
        ack = self.memory.get(self.output + CsgOut.ACK)
        if not (ack ^ self.memory.get(self.input + CsgIn.REQ)) & bit:
            self.memory.put(self.output + CsgOut.ACK, ack ^ bit)
            self.chip.job_irq.set(1 << self.index)

    def queue_changed(self) -> None:
        """After a slice: the group may have become idle or busy."""
        if self._stopping is not None or not self.active:
            return
        self._watch_progress()
        idle = self.idle
        if idle is self._was_idle:
            return
        self._was_idle = idle
        self._cancel(self._idle_timer)
        if idle:
            self._later("idle.delay_us", 1e6, self._became_idle)
        self.mcu.group_changed()

    def _later(self, param: str, divisor: float, call: Callable[[], None]) -> None:
        delay = self.chip.params.number(param) / divisor
        if delay:
            self._idle_timer = self.chip.loop.call_later(delay, call)
        else:
            call()

    def _became_idle(self) -> None:
        self.chip.trace.instant(self.track, "IDLE")
        self._event(Csg.IDLE)

    def _watch_progress(self) -> None:
        """PROGRESS_TIMER: endpoint work that makes none for the time that the driver set in the global interface."""
        works = any(queue.stream.working for queue in self.queues.values())
        if works and self._progress_timer is None and self.mcu.progress_seconds:
            look = partial(self._look_at_progress, self._retired())
            self._progress_timer = self.chip.loop.call_later(self.mcu.progress_seconds, look)
        elif not works and self._progress_timer is not None:
            self._progress_timer.cancel()
            self._progress_timer = None

    def _retired(self) -> int:
        return sum(queue.retired for queue in self.queues.values() if queue.stream.working)

    def _look_at_progress(self, before: int) -> None:
        self._progress_timer = None
        if self._retired() != before:
            self._watch_progress()
        elif self.active and self._stopping is None:
            self.chip.trace.instant(self.track, "PROGRESS_TIMER")
            self._event(Csg.PROGRESS_TIMER)

    def _cancel_idle_timers(self) -> None:
        self._cancel(self._idle_timer)
        self._cancel(self._progress_timer)
        self._progress_timer = None

    @staticmethod
    def _cancel(timer: Timer | None) -> None:
        if timer is not None:
            timer.cancel()
