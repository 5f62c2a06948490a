# SPDX-License-Identifier: GPL-2.0-or-later
"""One queue of a group on a slot: its command stream, its ring pointers, its CS interface block.

A `Queue` lives from START or RESUME to the acknowledgement of SUSPEND or TERMINATE. Timers that fire later do nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.cs.state import SavedStream, StreamState
from panthorlab.gpu.cs.stream import CommandStream
from panthorlab.gpu.fw.ports import GroupPort
from panthorlab.gpu.layout import Cs, Csg, CsgIn, CsgOut, CsIn, CsOut, RingIn, RingOut


class Queue:
    """Implements `cs.ports.Firmware` for its stream."""

    def __init__(self, group: GroupPort, index: int, saved: SavedStream | None) -> None:
        self.group, self.index = group, index
        self.chip, self.memory = group.chip, group.memory
        layout = self.chip.generation.layout
        self.input = layout.cs_input(group.index, index)
        self.output = layout.cs_output(group.index, index)
        self.track = f"{group.track}.{index}"
        get, get64, put = self.memory.get, self.memory.get64, self.memory.put
        config = get(self.input + CsIn.CONFIG)
        self.doorbell = config >> 8 & 0xFF
        self.ring_input = get64(self.input + CsIn.RINGBUF_INPUT)
        self.ring_output = get64(self.input + CsIn.RINGBUF_OUTPUT)
        self.request = get(self.input + CsIn.REQ)
        self.heap_epoch = 0  # epoch of the address space when the heap was bound
        self._heap = 0
        self._alive = True
        self._frozen = False
        self._scheduled = False
        self._timer: TimerHandle | None = None
        self._pause = 0.0
        self._waits_for = 0  # events that the driver must acknowledge before the stream goes on
        self._published = -1
        params = self.chip.params
        self._first = self._budget = params.integer("slice.instructions")
        self._most = max(self._first, params.integer("slice.most"))
        self._pause_first = params.number("spin.first_us") / 1e6
        self._pause_most = params.number("spin.most_us") / 1e6
        self._poll = params.number("sync.poll_ms") / 1e3
        self._refetch = params.number("spin.refetch_ms") / 1e3
        self._refetch_at = 0.0
        self.state = StreamState.RUNNING
        self.retired = 0
        self.stream = CommandStream(
            index,
            group.space,
            self,
            group.mcu.stream_params,
            group.mcu.fetcher,
            heaps=group.heaps,
            clock=self.chip.loop.now,
        )
        extract = get64(self.ring_input + RingIn.EXTRACT_INIT)
        insert = get64(self.ring_input + RingIn.INSERT)
        if saved is not None:
            self.stream.restore(saved, extract)
            self.stream.insert = insert
            self._watch_heap()
        else:
            base, size = get64(self.input + CsIn.RINGBUF_BASE), get(self.input + CsIn.RINGBUF_SIZE)
            self.stream.start(base, size, extract, insert)
        # an unacknowledged event of the slot's previous group must not look like one of this group
        put(self.output + CsOut.ACK, get(self.output + CsOut.ACK) & ~Cs.EVENTS | self.request & Cs.EVENTS)
        self.acknowledge_state(Cs.START)

    # --- driven by the group

    def acknowledge_state(self, state: int) -> None:
        ack = self.memory.get(self.output + CsOut.ACK)
        self.memory.put(self.output + CsOut.ACK, ack & ~Cs.STATE | state)

    def poke(self) -> None:
        """The user doorbell or the CS doorbell was rung: read INSERT again."""
        self.stream.insert = self.memory.get64(self.ring_input + RingIn.INSERT)
        self.wake()

    def answer(self) -> None:
        """The CS doorbell was rung: the driver may have acknowledged an event that the stream waits for."""
        get, get64 = self.memory.get, self.memory.get64
        request = self.request = get(self.input + CsIn.REQ)
        settled = self._waits_for & ~(request ^ get(self.output + CsOut.ACK))
        self._waits_for &= ~settled
        if settled & Cs.TILER_OOM:
            start, end = get64(self.input + CsIn.HEAP_START), get64(self.input + CsIn.HEAP_END)
            self.stream.answer_tiler_oom(start, end)
        if settled & Cs.FAULT:
            self.state = StreamState.RUNNING
            self.stream.acknowledge_fault()
        self.poke()

    def freeze(self) -> None:
        """Run no further slice: the group is being stopped."""
        self._frozen = True
        self._cancel_timer()

    def drop(self) -> None:
        """Remove the stream: its scheduled calls do nothing from now on."""
        self._alive = False
        self.freeze()
        self.stream.stop()

    def publish(self) -> None:
        """Write EXTRACT and ACTIVE for the driver."""
        extract = self.stream.extract
        if extract != self._published:
            self._published = extract
            self.memory.put64(self.ring_output + RingOut.EXTRACT, extract)
            self.memory.put(self.ring_output + RingOut.ACTIVE, 0 if self.state is StreamState.IDLE else 1)
            if self.chip.trace.on:
                self.chip.trace.counter(self.track, "ring", pending=max(0, self.stream.insert - extract))

    def publish_status(self) -> None:
        """Write the status words, which the driver samples after STATUS_UPDATE and SUSPEND."""
        status = self.stream.status()
        put, put64, at = self.memory.put, self.memory.put64, self.output
        put64(at + CsOut.STATUS_CMD_PTR, status.cmd_ptr)
        put(at + CsOut.STATUS_WAIT, status.wait)
        put(at + CsOut.STATUS_REQ_RESOURCE, status.req_resource)
        put64(at + CsOut.STATUS_WAIT_SYNC_PTR, status.wait_sync_ptr)
        put(at + CsOut.STATUS_WAIT_SYNC_VALUE, status.wait_sync_value & 0xFFFFFFFF)
        put(at + CsOut.STATUS_WAIT_SYNC_VALUE_HI, status.wait_sync_value >> 32)
        put(at + CsOut.STATUS_SCOREBOARDS, status.scoreboards)
        put(at + CsOut.STATUS_BLOCKED_REASON, status.blocked_reason)

    @property
    def idle(self) -> bool:
        """Whether the driver wants this state to count as idle (CS_REQ IDLE_EMPTY, IDLE_SYNC_WAIT)."""
        stream = self.stream
        if not stream.idle:
            return False
        if self.state is StreamState.IDLE:
            # after a doorbell the ring may hold work that no slice has seen yet
            return bool(self.request & Cs.IDLE_EMPTY) and stream.insert == stream.extract
        return bool(self.request & Cs.IDLE_SYNC_WAIT)

    # --- slices

    def wake(self, after: int = 0) -> None:
        """Schedule a slice, `after` so many instructions, unless one is scheduled or the stream is frozen, paused or
        dead."""
        if self._alive and self._frozen:
            self.group.drained()
        elif self._alive and not self._scheduled and self.state not in (StreamState.PAUSED, StreamState.DEAD):
            self._cancel_timer()
            self._scheduled = True
            self.chip.loop.add_slice(self._slice, after)

    def _slice(self) -> None:
        self._scheduled = False
        if not self._alive or self._frozen:
            return
        if self.chip.misbehaviour.watched:
            self._tells_falsely()
            if self._breaks_off():
                return
        try:
            result = self.stream.run(self._budget, refetch=self._must_fetch())
        except Exception:
            self.state = StreamState.DEAD
            raise
        self.retired += result.retired
        self._watch_heap()
        self.chip.reporter.counts["instructions"] += result.retired
        before, self.state = self.state, result.state
        self.publish()
        # a stream that only computes gets longer slices: short ones are mostly overhead
        running = self.state is StreamState.RUNNING
        if self.state is not StreamState.SPINNING:  # a shorter slice may not show that it still does
            self._budget = min(2 * self._budget, self._most) if running else self._first
        if running:
            self.wake(result.retired)
        elif self.state is StreamState.SPINNING:
            again = before is StreamState.SPINNING
            self._pause = min(self._pause * 2, self._pause_most) if again else self._pause_first
            self._timer = self.chip.loop.call_later(self._pause, self.wake)
        elif self.state is StreamState.BLOCKED:
            self.group.mcu.some_blocked = True
            self._timer = self.chip.loop.call_later(self._poll, self.wake)
        elif self.state is StreamState.STALLED:
            self.group.space.when_released(self.wake)
        self.group.queue_changed()

    def _tells_falsely(self) -> None:
        """Misdeed event-false: the group reports what has not happened."""
        for bit, event in Csg.EVENT_NAMES.items():
            if self.chip.misbehaviour.strikes("event-false", self.group.index, event=event):
                self.group.events.raise_event(bit)

    def _breaks_off(self) -> bool:
        """Misdeeds cs-fault and cs-fatal: the stream reports an injected error. True: one was injected."""
        for name in ("cs-fault", "cs-fatal"):
            if rule := self.chip.misbehaviour.strikes(name, self.group.index):
                self.stream.break_off(rule.exception, fatal=name == "cs-fatal")
                self.state = self.stream.state
                self.publish()
                self.group.queue_changed()
                return True
        return False

    def _watch_heap(self) -> None:
        if self.stream.heap_address != self._heap:
            self._heap = self.stream.heap_address
            self.heap_epoch = self.group.space.epoch
            if self._heap and self.chip.trace.on:
                self.group.space.watch(self._heap)
                self.chip.trace.instant(self.track, f"heap context 0x{self._heap:x} bound", epoch=self.heap_epoch)

    def _must_fetch(self) -> bool:
        """Whether to fetch the code again. A spinning stream loops in its prefetch buffer and rarely misses it."""
        now = self.chip.loop.now()
        if self.state is StreamState.SPINNING and now < self._refetch_at:
            return False
        self._refetch_at = now + self._refetch
        return True

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- cs.ports.Firmware

    def sync_update(self) -> None:
        self.group.sync_update()

    def wake_group(self) -> None:
        self.group.wake_blocked()

    def raise_fault(self, exception_type: int, data: int, info: int) -> None:
        self._raise(Cs.FAULT, CsOut.FAULT, CsOut.FAULT_INFO, exception_type, data, info)
        self._waits_for |= Cs.FAULT

    def raise_fatal(self, exception_type: int, data: int, info: int) -> None:
        self._raise(Cs.FATAL, CsOut.FATAL, CsOut.FATAL_INFO, exception_type, data, info)
        self._waits_for |= Cs.FATAL

    def _raise(self, bit: int, field: int, info_field: int, exception_type: int, data: int, info: int) -> None:
        self.chip.trace.instant(
            self.track, f"CS_{'FAULT' if bit == Cs.FAULT else 'FATAL'} 0x{exception_type:02X}", info=f"0x{info:x}"
        )
        self.publish()
        self.memory.put(self.output + field, exception_type & 0xFF | data << 8 & 0xFFFFFF00)
        self.memory.put64(self.output + info_field, info)
        self._event(bit)

    def raise_tiler_oom(self) -> None:
        self.chip.trace.instant(self.track, "TILER_OOM")
        at, stream = self.output, self.stream
        self.memory.put(at + CsOut.HEAP_VT_START, stream.heap_vt_start)
        self.memory.put(at + CsOut.HEAP_VT_END, stream.heap_vt_end)
        self.memory.put(at + CsOut.HEAP_FRAG_END, stream.heap_frag_end)
        self.memory.put64(at + CsOut.HEAP_ADDRESS, stream.heap_address)
        self._waits_for |= Cs.TILER_OOM
        self._event(Cs.TILER_OOM)

    def _event(self, bit: int) -> None:
        self.group.events.deliver(Cs.EVENT_NAMES[bit], lambda: self._raise_event(bit), lambda: self._alive)

    def _raise_event(self, bit: int) -> None:
        get, put = self.memory.get, self.memory.put
        ack = get(self.output + CsOut.ACK)
        if (ack ^ get(self.input + CsIn.REQ)) & bit:
            self.chip.reporter.check("double event", f"{self.track}: 0x{bit:x} again before the driver took the first")
        else:
            put(self.output + CsOut.ACK, ack ^ bit)
        mine = 1 << self.index
        group_in, group_out = self.group.input, self.group.output
        request = get(group_out + CsgOut.CS_IRQ_REQ) & ~mine | ~get(group_in + CsgIn.CS_IRQ_ACK) & mine
        put(group_out + CsgOut.CS_IRQ_REQ, request)
        self.chip.job_irq.set(1 << self.group.index)

    def flush_caches(self) -> None:
        self.chip.flush_caches()

    @property
    def latest_flush(self) -> int:
        return self.chip.latest_flush

    def timestamp(self) -> int:
        return self.chip.clock.timestamp()

    def cycle_count(self) -> int:
        return self.chip.clock.cycles()

    def progress(self, queue: int) -> int:
        return self.group.progress(queue)

    def call_later(self, seconds: float, function: Callable[[], None]) -> TimerHandle:
        def call() -> None:
            if self._alive:
                function()

        return self.chip.loop.call_later(seconds, call)

    def misbehaves(self, name: str) -> bool:
        return self.chip.misbehaviour.strikes(name, self.group.index) is not None

    def lateness(self, endpoint: str) -> float:
        rule = self.chip.misbehaviour.strikes("work-late", self.group.index, endpoint=endpoint)
        return rule.seconds if rule else 0.0

    def unmodelled(self, kind: str, text: str) -> None:
        self.chip.reporter.unmodelled(kind, f"{self.track}: {text}")
