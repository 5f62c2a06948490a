# SPDX-License-Identifier: GPL-2.0-or-later
"""One CSG slot: state requests for its group, acknowledgements and events. `stopping` has SUSPEND and TERMINATE.

Source: panthor_sched.c (Linux 6.12, 7.3) for what the driver relies on. The firmware never writes input pages.
"""

from __future__ import annotations

from panthorlab.gpu.chip import Chip
from panthorlab.gpu.cs.heap import GroupHeaps
from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.cs.state import SavedStream, StreamState
from panthorlab.gpu.fw import suspend
from panthorlab.gpu.fw.activity import Activity
from panthorlab.gpu.fw.events import SlotEvents
from panthorlab.gpu.fw.memory import McuMemory
from panthorlab.gpu.fw.ports import McuPort
from panthorlab.gpu.fw.queue import Queue
from panthorlab.gpu.fw.stopping import Stopping
from panthorlab.gpu.layout import Cs, Csg, CsgIn, CsgOut, CsIn, CsOut


class Group:
    """One CSG slot. `queues`: the running queues of the group on it, by stream index."""

    def __init__(self, mcu: McuPort, index: int) -> None:
        self.mcu, self.index = mcu, index
        self.chip: Chip = mcu.chip
        self.memory: McuMemory = mcu.memory
        self.track = f"CSG {index}"
        self._layout = layout = self.chip.generation.layout
        self.input, self.output = layout.csg_input(index), layout.csg_output(index)
        self.events = SlotEvents(mcu, index, self.input, self.output)
        self.space = self.chip.mmu.spaces[0]
        self.queues: dict[int, Queue] = {}
        self.active = False
        self.heaps = GroupHeaps()
        self._suspend_buffer = 0
        self._activity = Activity(self)
        self._stopping = Stopping(self, self._stopped)
        self._requested = 0.0
        self._ack_timer: TimerHandle | None = None
        self._early: tuple[TimerHandle, int] | None = None  # a START or RESUME that is only acknowledged yet

    @property
    def _pending(self) -> bool:
        """A state request is not acknowledged yet."""
        return self._stopping.under_way or self._ack_timer is not None

    def _check(self, what: str, text: str) -> None:
        self.chip.reporter.check(what, f"{self.track}: {text}")

    # --- boot, reset

    def boot(self) -> None:
        """Acknowledge the requests left in the request words, so that none looks pending after START."""
        get, put = self.memory.get, self.memory.put
        put(self.output + CsgOut.ACK, get(self.input + CsgIn.REQ) & ~Csg.STATE)
        put(self.output + CsgOut.DOORBELL_ACK, get(self.input + CsgIn.DOORBELL_REQ))
        put(self.output + CsgOut.CS_IRQ_REQ, get(self.input + CsgIn.CS_IRQ_ACK))
        put(self.output + CsgOut.STATUS_STATE, 1)
        for stream in range(self._layout.streams):
            at = self._layout.cs_output(self.index, stream)
            put(at + CsOut.ACK, get(self._layout.cs_input(self.index, stream) + CsIn.REQ) & ~Cs.STATE)
            for field in (CsOut.FAULT, CsOut.FATAL, CsOut.STATUS_BLOCKED_REASON, CsOut.STATUS_SCOREBOARDS):
                put(at + field, 0)

    def halt(self) -> None:
        """The MCU stops: the group on the slot is lost, without side effects."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        if self._early is not None:
            self._early[0].cancel()
            self._early = None
        self._stopping.cancel()
        self.events.forget()
        self._release()

    def _release(self) -> None:
        self._activity.stop()
        for queue in self.queues.values():
            queue.drop()
        self.queues.clear()
        if self.active:
            self.active = False
            self.chip.trace.end(self.track)

    # --- doorbells

    def service(self) -> None:
        """The driver rang the doorbell of this slot."""
        get, put = self.memory.get, self.memory.put
        # acknowledge the doorbell before reading the requests: a request that comes in between rings again
        ringing = get(self.input + CsgIn.DOORBELL_REQ)
        rung = ringing ^ get(self.output + CsgOut.DOORBELL_ACK)
        if rung:
            put(self.output + CsgOut.DOORBELL_ACK, ringing)
        request = get(self.input + CsgIn.REQ)
        ack = get(self.output + CsgOut.ACK)
        done = (request ^ ack) & Csg.TOGGLES
        if done & Csg.STATUS_UPDATE:
            self.publish_status()
        if done:
            # EP_CFG needs nothing: endpoints are not a scarce resource here
            put(self.output + CsgOut.ACK, ack ^ done)
        state = request & Csg.STATE
        if state != ack & Csg.STATE and not self._pending:
            self._request(state)
        for stream in range(self._layout.streams):
            if rung & 1 << stream:
                self._service_stream(stream)
        if done:
            self.chip.job_irq.set(1 << self.index)

    def _service_stream(self, stream: int) -> None:
        queue = self.queues.get(stream)
        request = self.memory.get(self._layout.cs_input(self.index, stream) + CsIn.REQ) & Cs.STATE
        if self._stopping.under_way:
            return
        if queue is not None and request == Cs.STOP:
            queue.publish()
            queue.publish_status()
            queue.acknowledge_state(Cs.STOP)
            queue.drop()
            del self.queues[stream]
            self.queue_changed()
        elif queue is not None:
            queue.answer()
            self.queue_changed()
        elif request == Cs.START and self.active:
            self._start_stream(stream, None)
        elif request == Cs.START:
            self.chip.reporter.counts["doorbell for a stream of an empty slot"] += 1

    def ring(self, doorbell: int) -> int:
        """A user doorbell was rung. Returns the number of queues that use it."""
        listening = [queue for queue in self.queues.values() if queue.doorbell == doorbell]
        for queue in listening:
            queue.poke()
        if listening:
            # The group must count as busy before the slice: a job that ends within one slice would otherwise cause no
            # new edge to IDLE, and the driver would wait for the group for ever.
            self.queue_changed()
        return len(listening)

    # --- START, RESUME

    def _request(self, state: int) -> None:
        self._requested = self.chip.loop.now()
        self._begin_early()
        if state in (Csg.START, Csg.RESUME):
            self.mcu.start_of_group(self.index)
            if self.active:
                self._check("start of a running group", f"{Csg.STATES[state]} while a group runs")
            elif rule := self.chip.misbehaviour.strikes("state-early", self.index, state=Csg.STATES[state].lower()):
                self._early = self.chip.loop.call_later(rule.seconds, self._begin_early), state
            else:
                self._start(state)
            self._acknowledge_later(state)
        elif state in (Csg.SUSPEND, Csg.TERMINATE):
            if self.active:
                self._activity.stop()
                self._stopping.begin(state)
            else:
                self._acknowledge_later(state)
        else:
            self.chip.reporter.unmodelled(f"CSG state {state}", f"{self.track}: CSG_REQ.STATE {state}")

    def _begin_early(self) -> None:
        """Carry out what was acknowledged early, if anything."""
        if self._early is not None:
            timer, state = self._early
            timer.cancel()
            self._early = None
            self._start(state)

    def _start(self, state: int) -> None:
        get = self.memory.get
        space = get(self.input + CsgIn.CONFIG) & 0xF
        self.space = self.chip.mmu.spaces[space % len(self.chip.mmu.spaces)]
        self._suspend_buffer = self.memory.get64(self.input + CsgIn.SUSPEND_BUF)
        name = Csg.STATES[state]
        if not self.space.enabled:
            self._check("start without address space", f"{name} while AS{space} is unmapped")
        saved = self._saved_streams() if state == Csg.RESUME else {}
        self.heaps = GroupHeaps()
        self.active = True
        self._activity.started()
        self.chip.trace.begin(self.track, f"{name} in AS{space}", epoch=self.space.epoch)
        for stream in range(self._layout.streams):
            if get(self._layout.cs_input(self.index, stream) + CsIn.REQ) & Cs.STATE == Cs.START:
                self._start_stream(stream, saved.get(stream))
        if not self.queues:
            self._check("start without streams", f"{name}, and no CS_REQ is START")
        self.mcu.group_changed()
        self.queue_changed()

    def _start_stream(self, stream: int, saved: SavedStream | None) -> None:
        # wake it: no doorbell follows for work that is already in the ring
        self.queues[stream] = Queue(self, stream, saved)
        self.queues[stream].wake()

    def _saved_streams(self) -> dict[int, SavedStream]:
        try:
            streams = self.mcu.suspend_buffer.unpack(
                self.memory.read(self._suspend_buffer, self.mcu.suspend_buffer.size)
            )
        except ValueError as error:
            text = f"{self.track}: RESUME from 0x{self._suspend_buffer:x}: {error}"
            self.chip.reporter.misuse("resume without state", text)
            return {}
        self.memory.write(self._suspend_buffer, suspend.ERASED)
        return streams

    # --- SUSPEND, TERMINATE

    def drained(self) -> None:
        """Endpoint work of a frozen queue ended."""
        self._stopping.drained()

    def _stopped(self, state: int) -> None:
        if state == Csg.SUSPEND:
            streams = {index: queue.stream.save() for index, queue in self.queues.items()}
            self.memory.write(self._suspend_buffer, suspend.pack(streams))
        for queue in self.queues.values():
            queue.acknowledge_state(Cs.STOP)
        self.events.leave()
        self.chip.trace.end(self.track)
        self._release()
        self.memory.put(self.output + CsgOut.STATUS_STATE, 1)
        self.mcu.group_changed()
        self._acknowledge_later(state)

    # --- acknowledgement

    def _acknowledge_later(self, state: int) -> None:
        def acknowledge() -> None:
            self._ack_timer = None
            self._acknowledge(state)

        name = Csg.STATES[state].lower()
        if self.chip.misbehaviour.strikes("state-lost", self.index, state=name):
            return
        delay = self.chip.params.number("ack.delay_ms") / 1000
        if rule := self.chip.misbehaviour.strikes("state-late", self.index, state=name):
            delay += rule.seconds
        if delay:
            self._ack_timer = self.chip.loop.call_later(delay, acknowledge)
        else:
            acknowledge()

    def _acknowledge(self, state: int) -> None:
        ack = self.memory.get(self.output + CsgOut.ACK)
        self.memory.put(self.output + CsgOut.ACK, ack & ~Csg.STATE | state)
        self.chip.reporter.durations[f"acknowledge {Csg.STATES[state]}"].add(self.chip.loop.now() - self._requested)
        if self.chip.trace.on:
            self.chip.trace.instant(self.track, f"acknowledge {Csg.STATES[state]}")
        self.chip.job_irq.set(1 << self.index)
        if self.memory.get(self.input + CsgIn.REQ) & Csg.STATE != state:
            self.mcu.service_again(self.service)  # the driver asked for something else meanwhile

    # --- status and events

    def publish_status(self) -> None:
        """Write the current status words of the group and its streams."""
        for queue in self.queues.values():
            queue.publish_status()
        self.memory.put(self.output + CsgOut.STATUS_STATE, int(self.idle))

    @property
    def idle(self) -> bool:
        """Whether all queues count as idle for the driver. An empty slot is idle."""
        return self._early is None and all(queue.idle for queue in self.queues.values())

    @property
    def working(self) -> bool:
        """Work is on endpoints that only needs time."""
        return any(queue.stream.working for queue in self.queues.values())

    @property
    def retired(self) -> int:
        """Instructions retired so far by the queues that have such endpoint work."""
        return sum(queue.retired for queue in self.queues.values() if queue.stream.working)

    def queue_changed(self) -> None:
        """A queue ran a slice or changed its state."""
        if self.active and not self._stopping.under_way:
            self._activity.changed()

    def sync_update(self) -> None:
        """A sync object that the driver may be waiting for has changed."""
        self.events.raise_event(Csg.SYNC_UPDATE)
        self.mcu.wake_blocked()

    def wake_blocked(self) -> bool:
        """A sync object changed: blocked streams check their wait again. Whether there are any."""
        blocked = [queue for queue in self.queues.values() if queue.state is StreamState.BLOCKED]
        for queue in blocked:
            queue.wake()
        return bool(blocked)

    def progress(self, stream: int) -> int:
        """PROGRESS_WAIT: the progress counter of a stream of this group."""
        queue = self.queues.get(stream)
        return queue.stream.progress if queue is not None else 0
