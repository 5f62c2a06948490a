# SPDX-License-Identifier: GPL-2.0-or-later
"""The MCU and its firmware: boot, halt, the global interface, doorbells, and the CSG slots.

Register MCU_CONTROL starts and stops the MCU; the firmware interface lives in guest memory behind address space 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from panthorlab.gpu.chip import Chip
from panthorlab.gpu.cs.fetch import Fetcher
from panthorlab.gpu.cs.ports import TimerHandle
from panthorlab.gpu.fw import interface
from panthorlab.gpu.fw.group import Group
from panthorlab.gpu.fw.memory import McuMemory, McuMemoryError
from panthorlab.gpu.fw.ports import McuHangError
from panthorlab.gpu.fw.suspend import SuspendBuffer
from panthorlab.gpu.layout import RUNNING, Glb, GlbIn, GlbOut
from panthorlab.gpu.params import stream_params
from panthorlab.gpu.registers import JOB_GLOBAL, GpuIrq, McuStatus

TRACK = "MCU"
PERIOD = 1024  # unit of the firmware's timers, in ticks
GPU_COUNTER = 1 << 31  # timer source bit: set for the GPU clock, clear for the system counter


class Mcu:
    """Keeps no state of suspended groups: that is in guest memory, see `suspend`."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.memory = McuMemory(chip.mmu.spaces[0])
        self.control = 0
        self.status = McuStatus.DISABLED
        self._layout = layout = chip.generation.layout
        self._in, self._out = layout.glb_input, layout.glb_output
        self.fetcher = Fetcher(chip.generation.instructions)
        self.suspend_buffer = SuspendBuffer(layout.streams, chip.generation.instructions)
        self.stream_params = stream_params(chip.params, chip.generation.instructions.scoreboards)
        self.groups = [Group(self, i) for i in range(layout.groups)]
        self.some_blocked = False
        self.progress_seconds = 0.0
        self._rung = 0
        self._halt_level = 0
        self._idle_enabled = False
        self._idle_seconds = 0.0
        self._idle_timer: TimerHandle | None = None
        self._boot_timer: TimerHandle | None = None
        self._was_busy = False
        self._hung = False
        self._cached = b""  # stale copy of the shared section in the L2 (misdeed cache-kept); empty: none

    @property
    def alive(self) -> bool:
        """The MCU runs, and its memory may be accessed."""
        return self.status == McuStatus.ENABLED and not self._hung

    # --- MCU_CONTROL

    def write_control(self, value: int) -> None:
        """Register MCU_CONTROL: 0 disable, 1 enable, 2 auto."""
        self.control = value
        if value == 0:
            if self.chip.misbehaviour.strikes("stop-lost"):
                self._halt_groups()
            else:
                self._keep_cache()
                self.stop()
        elif value in (1, 2):
            if self.status not in (McuStatus.ENABLED, McuStatus.FATAL):  # only a stop or a reset leaves FATAL
                self._boot()
        else:
            self.chip.reporter.unmodelled(f"MCU_CONTROL {value}", f"MCU_CONTROL {value}")

    def stop(self) -> None:
        """Disable the MCU: all groups on slots are lost."""
        self._hung = False
        self._halt_groups()
        self._set_status(McuStatus.DISABLED)

    def reset(self, *, survives: bool = False) -> None:
        """GPU reset. `survives` (misdeed): MCU_CONTROL keeps its value, so the MCU starts when the L2 is powered."""
        if not survives:
            self.control = 0
        self.stop()
        self.clean_cache()
        self.memory.forget()

    def l2_switched(self) -> None:
        """The L2 was powered on or off: its contents are in memory now."""
        self.clean_cache()
        if self.chip.powered["L2"] and self.control and self.status == McuStatus.DISABLED:
            self._boot()

    def clean_cache(self) -> None:
        """The caches were flushed: forget the stale copy of the shared section."""
        self._cached = b""

    def _keep_cache(self) -> None:
        """Misdeed cache-kept: the shared section stays in the L2 and overwrites memory at the next boot."""
        if self.status in (McuStatus.ENABLED, McuStatus.HALTED) and self.chip.misbehaviour.strikes("cache-kept"):
            self._cached = self.memory.read(self._layout.shared, self._layout.shared_size)

    def die(self, why: str) -> None:
        """The firmware accessed unmapped memory, or stale memory at boot. The driver notices only by its time-outs."""
        self.chip.reporter.check("MCU fatal", f"MCU stopped for ever: {why}")
        self._halt_groups()
        self._set_status(McuStatus.FATAL)

    def start_of_group(self, slot: int) -> None:
        """Raises McuHangError if a misdeed wants the MCU to hang now.

        It hangs at a group start: an idle GPU is soon suspended, and about a hang in suspend the driver only warns.
        """
        if rule := self.chip.misbehaviour.strikes("gpu-fault", slot):
            self.chip.gpu_fault(rule.exception, 0)
        if self.chip.misbehaviour.strikes("mcu-hang", slot):
            raise McuHangError(self)

    def hang(self) -> None:
        """Stop answering until the driver stops or resets the MCU. MCU_STATUS still reads ENABLED."""
        self._hung = True
        self._halt_groups()

    def _halt_groups(self) -> None:
        for timer in (self._idle_timer, self._boot_timer):
            if timer is not None:
                timer.cancel()
        self._idle_timer = self._boot_timer = None
        self._was_busy = False
        self._rung = 0
        for group in self.groups:
            group.halt()

    def _set_status(self, status: int) -> None:
        if status == self.status:
            return
        if self.status == McuStatus.ENABLED:
            self.chip.trace.end(TRACK)
        self.status = status
        if status == McuStatus.ENABLED:
            self.chip.trace.begin(TRACK, "enabled")
        self.chip.gpu_irq.set(GpuIrq.MCU_STATUS_CHANGED)

    # --- boot

    def _boot(self) -> None:
        if not self.chip.powered["L2"]:
            self.chip.reporter.check("MCU without L2", "MCU_CONTROL while the L2 is off: the MCU does not start")
            return
        try:
            if self._cached:
                self.memory.write(self._layout.shared, self._cached)
                self.clean_cache()
            if self.memory.get(self._layout.life) == RUNNING:
                self.die("its memory is of a life that ended without HALT, and was not loaded again")
                return
            self._publish_interface()
            self.memory.put(self._layout.life, RUNNING)
        except McuMemoryError as error:
            self.die(str(error))
            return
        self._set_status(McuStatus.ENABLED)
        if self.chip.misbehaviour.strikes("boot-lost"):
            return
        delay = self.chip.params.number("mcu.boot_ms") / 1000
        if rule := self.chip.misbehaviour.strikes("boot-late"):
            delay += rule.seconds
        if delay:
            self._boot_timer = self.chip.loop.call_later(delay, self._booted)
        else:
            self._booted()

    def _booted(self) -> None:
        self.chip.job_irq.set(JOB_GLOBAL)

    def _publish_interface(self) -> None:
        """Write the control blocks (a slow reload zeroes them) and acknowledge requests left in the request words."""
        put, get = self.memory.put, self.memory.get
        interface.publish(self.memory, self._layout, self.suspend_buffer.size, self.chip.misbehaviour)
        for group in self.groups:
            group.boot()
        request = get(self._in + GlbIn.REQ)
        put(self._out + GlbOut.ACK, request & ~Glb.HALT)
        put(self._out + GlbOut.DOORBELL_ACK, get(self._in + GlbIn.DOORBELL_REQ))
        put(self._out + GlbOut.HALT_STATUS, 0)
        self._halt_level = request & Glb.HALT
        self._read_settings(request)

    # --- doorbells

    def ring(self, doorbell: int) -> None:
        """A doorbell register was written. Serve it after the guest's register write has been answered."""
        if not self._rung:
            self.chip.loop.call_soon(self._service)
        self._rung |= 1 << doorbell
        if self.chip.misbehaviour.strikes("bell-at-once"):
            self._service()

    def service_again(self, service: Callable[[], None]) -> None:
        """Call `service` soon, as if the driver had rung a doorbell, unless the MCU has stopped by then."""
        self.chip.loop.call_soon(partial(self._if_enabled, service))

    def _if_enabled(self, service: Callable[[], None]) -> None:
        if self.status == McuStatus.ENABLED:
            service()

    def _service(self) -> None:
        rung, self._rung = self._rung, 0
        if self.status != McuStatus.ENABLED or self._hung:
            return
        # user doorbells first: a STATUS_UPDATE that the driver asks for after a submit must not find the group idle
        active = [group for group in self.groups if group.active]
        for doorbell in range(1, self._layout.groups + 1):
            if rung & 1 << doorbell and not sum(group.ring(doorbell) for group in active):
                self.chip.reporter.counts["user doorbell without a queue"] += 1
        if rung & 1:
            self._service_global()

    def _service_global(self) -> None:
        get, put = self.memory.get, self.memory.put
        # acknowledge the doorbells before reading the requests: a request that comes in between rings again
        ringing = get(self._in + GlbIn.DOORBELL_REQ)
        rung = ringing ^ get(self._out + GlbOut.DOORBELL_ACK)
        if rung:
            put(self._out + GlbOut.DOORBELL_ACK, ringing)
        request = get(self._in + GlbIn.REQ)
        ack = get(self._out + GlbOut.ACK)
        changed = (request ^ ack) & Glb.REQUESTS
        if changed and not self.chip.misbehaviour.strikes("glb-lost"):
            self._serve_requests(request, changed)
            put(self._out + GlbOut.ACK, ack ^ changed)
            if changed & get(self._in + GlbIn.ACK_IRQ_MASK):
                self.chip.job_irq.set(JOB_GLOBAL)
        for group in self.groups:
            if rung & 1 << group.index:
                group.service()
        halt = request & Glb.HALT
        if halt and not self._halt_level and not self.chip.misbehaviour.strikes("halt-lost"):
            self._halt()
        self._halt_level = halt

    def _serve_requests(self, request: int, changed: int) -> None:
        if changed & Glb.NOT_EMULATED:
            self.chip.reporter.unmodelled("GLB request", f"GLB_REQ bits 0x{changed & Glb.NOT_EMULATED:x}")
        if changed & Glb.CFG_ALLOC_EN:
            cores = self.memory.get64(self._in + GlbIn.CORE_EN_MASK)
            self.chip.powered["SHADER"] = cores & self.chip.generation.cores["SHADER"]
            self.chip.powered["TILER"] = self.chip.generation.cores["TILER"]
            self.chip.gpu_irq.set(GpuIrq.POWER_CHANGED | GpuIrq.POWER_CHANGED_ALL)
        self._read_settings(request)

    def _read_settings(self, request: int) -> None:
        clock = self.chip.clock
        if self.chip.params.integer("progress_timer.on"):
            cycles = self.memory.get(self._in + GlbIn.PROGRESS_TIMER) * PERIOD
            self.progress_seconds = cycles / clock.cycle_hz
        timer = self.memory.get(self._in + GlbIn.IDLE_TIMER)
        hz = clock.cycle_hz if timer & GPU_COUNTER else clock.timestamp_hz
        self._idle_seconds = (timer & ~GPU_COUNTER) * PERIOD / hz
        self._idle_enabled = bool(request & Glb.IDLE_EN) and bool(self.chip.params.integer("glb_idle.on"))

    def _halt(self) -> None:
        self._halt_groups()
        self.memory.put(self._out + GlbOut.HALT_STATUS, 0)
        if not self.chip.misbehaviour.strikes("halt-spoilt"):
            self.memory.put(self._layout.life, 0)
        self._set_status(McuStatus.HALTED)

    # --- the groups as a whole

    def wake_blocked(self) -> None:
        """A sync object changed: blocked streams of all groups check their wait again."""
        if self.some_blocked:  # streams may store into sync objects at each few instructions
            woken = [group for group in self.groups if group.active and group.wake_blocked()]
            self.some_blocked = bool(woken)

    def group_changed(self) -> None:
        """A group became idle or busy, was added or removed. GLB IDLE follows some time after all groups are idle."""
        busy = any(group.active and not group.idle for group in self.groups)
        if busy is self._was_busy:
            return
        self._was_busy = busy
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if not busy and self._idle_enabled:
            self._idle_timer = self.chip.loop.call_later(self._idle_seconds, self._all_idle)

    def _all_idle(self) -> None:
        self._idle_timer = None
        ack = self.memory.get(self._out + GlbOut.ACK)
        if not (ack ^ self.memory.get(self._in + GlbIn.REQ)) & Glb.IDLE:
            self.chip.trace.instant(TRACK, "GLB IDLE")
            self.memory.put(self._out + GlbOut.ACK, ack ^ Glb.IDLE)
            self.chip.job_irq.set(JOB_GLOBAL)
