# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters for hardware behaviour unknown outside Arm, and for all latencies: name, default, unit, meaning.

`panthorlab gpu serve --param NAME=VALUE` (and `--param gpu.NAME=VALUE` of the other commands) sets one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from panthorlab.gpu.coherency import PROTOCOLS
from panthorlab.gpu.kinds import check_kinds, check_overrides, check_targets
from panthorlab.gpu.latency import STRATEGIES
from panthorlab.gpu.misbehave import MOST_GPUS

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. Its type is that of `default`; numbers must lie in [low, high], words in `choices`, other texts
    pass `check`, which raises ValueError."""

    name: str
    default: Value
    unit: str
    meaning: str
    low: float = 0
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    check: Callable[[str], object] | None = None

    def parse(self, text: str) -> Value:
        """Parse a value. Raises ValueError with a sentence for the user."""
        if self.check is not None:
            self.check(text)
            return text
        if isinstance(self.default, str):
            if text not in self.choices:
                raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}, not {text!r}")
            return text
        try:
            value = int(text, 0) if isinstance(self.default, int) else float(text)
        except ValueError:
            kind = "a whole number" if isinstance(self.default, int) else "a number"
            raise ValueError(f"{self.name} must be {kind}, not {text!r}") from None
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.name} must be between {self.low:g} and {self.high:g}, not {text}")
        return value


PARAMS: tuple[Param, ...] = (
    Param(
        "count",
        1,
        "GPUs",
        "on the board's bus, all of the same model and with these parameters, each with a socket of its own",
        low=1,
        high=MOST_GPUS,
    ),
    Param(
        "coherency",
        "none",
        "",
        "with the CPU's caches: the protocol that COHERENCY_FEATURES offers, and whether the GPU is described as "
        "dma-coherent. `none`: as RK3588",
        choices=tuple(PROTOCOLS),
    ),
    # --- exact time
    Param(
        "exact.latency",
        next(iter(STRATEGIES)),
        "",
        "in exact time, how long the GPU takes for what it does by itself (interrupts, firmware, streams), drawn from "
        "--seed: " + "; ".join(f"{name}: {strategy.meaning}" for name, strategy in STRATEGIES.items()),
        choices=tuple(STRATEGIES),
    ),
    Param(
        "exact.vary",
        "always",
        "",
        "where these latencies are drawn: `iterations` is within iterations of workloads only, and 20 µs elsewhere, so "
        "that the first iteration of a boot finds the same machine with every seed",
        choices=("always", "iterations"),
    ),
    Param(
        "exact.kinds",
        "",
        "",
        "of which kinds of event they are drawn (beginnings of their names, separated by commas), 20 µs for others; "
        "empty: of all. Kinds: `irq LINE` (an interrupt is under way), `soon SERVICE` (the firmware), `slice QUEUE` (a "
        "command stream)",
        check=check_kinds,
    ),
    Param(
        "exact.length",
        64,
        "events",
        "how many events `pct` expects in an iteration: its change points lie among these",
        low=1,
        high=10**6,
    ),
    Param(
        "exact.plain",
        0,
        "",
        "the number of an iteration in which all latencies are 20 µs, but for exact.override; 0: of none",
        high=10**9,
    ),
    Param(
        "exact.override",
        "",
        "",
        "latencies of single events, WINDOW/KIND/NUMBER=MICROSECONDS,…: in the WINDOWth iteration of the boot (0: "
        "outside iterations), of the NUMBERth event of this kind; `panthorlab explore` finds them",
        check=check_overrides,
    ),
    Param(
        "exact.unreached",
        "error",
        "",
        "whether by the end of a boot the event of an exact.override may not have come: by `error`, such a boot counts "
        "for nothing, as it is not what was asked for; `allowed` is for who tries which events there are",
        choices=("error", "allowed"),
    ),
    Param(
        "exact.target",
        "",
        "",
        "events that come where a block of the driver begins, WINDOW/KIND/NUMBER=ADDRESS:BEGINS,…: at the BEGINSth "
        "begin of the block after the event's latency was set, if that is before the latency is over; strategy `aimed` "
        "of `panthorlab explore` sets them",
        check=check_targets,
    ),
    # --- the heap context write-out: the subject of the seed race
    Param(
        "writeout.on",
        "both",
        "",
        "requests that make the firmware write the heap contexts back. That TERMINATE is among them is "
        "inferred: the fix of the race only helps that path",
        choices=("both", "terminate", "suspend", "none"),
    ),
    Param(
        "writeout.delay_ms",
        5.0,
        "ms",
        "from the request to the first write; real firmware: unknown, µs to ms. 5 ms expose the race also on a busy "
        "host; above 100 ms the driver gives up and resets",
        high=4000,
    ),
    Param(
        "writeout.patience_ms",
        40.0,
        "ms",
        "the delay is meant in the guest's time: how much longer it may take while a busy host keeps a guest that "
        "is ready to run from running. 0: count by the wall clock",
        high=90,
    ),
    Param("writeout.jitter_ms", 0.0, "ms", "added to the delay, uniformly from 0, drawn from --seed", high=4000),
    Param("writeout.size", 32, "bytes", "how much of the 64-byte heap context is written", low=4, high=64),
    Param("writeout.offset", 0, "bytes", "where in the heap context the write starts", high=60),
    Param(
        "writeout.source",
        "mcu",
        "",
        "who is blamed in AS_FAULTSTATUS: the MCU itself (0x7CD0) or the load/store unit of the command "
        "streams (0x7DC0)",
        choices=("mcu", "lsu"),
    ),
    Param(
        "writeout.stall_ms",
        20.0,
        "ms",
        "how long a write that faulted holds its request back when nobody disables the address space; 0: not at all",
        high=90,
    ),
    Param(
        "writeout.lock_ms",
        50.0,
        "ms",
        "how long a write into a LOCKed region waits for the UNLOCK before it is dropped",
        high=90,
    ),
    # --- acknowledgements
    Param(
        "ack.first",
        0,
        "",
        "1: acknowledge SUSPEND and TERMINATE before the write-out. Deliberately wrong: it shows that the "
        "order decides",
        high=1,
    ),
    Param(
        "ack.delay_ms", 0.0, "ms", "from the end of the work to the acknowledgement of a CSG state change", high=4000
    ),
    Param(
        "mcu.boot_ms", 0.0, "ms", "from MCU_CONTROL to the global interface interrupt; the driver waits 1000", high=4000
    ),
    Param("reset.delay_ms", 0.0, "ms", "from GPU_CMD reset to RESET_COMPLETED; the driver waits 100", high=4000),
    Param("flush.delay_ms", 0.0, "ms", "from GPU_CMD flush to CLEAN_CACHES_COMPLETED; the driver waits 100", high=4000),
    # --- work
    Param(
        "run.time_us",
        0.0,
        "µs",
        "how long every RUN_* instruction occupies its endpoint; 0: done when issued",
        high=1e8,
    ),
    Param("run.compute_us", 0.0, "µs", "added to run.time_us by RUN_COMPUTE and RUN_COMPUTE_INDIRECT", high=1e8),
    Param("run.tiling_us", 0.0, "µs", "added to run.time_us by RUN_TILING, RUN_IDVS and RUN_FULLSCREEN", high=1e8),
    Param("run.fragment_us", 0.0, "µs", "added to run.time_us by RUN_FRAGMENT", high=1e8),
    Param(
        "tiler.chunks_per_job",
        0,
        "chunks",
        "how many heap chunks every RUN_IDVS and RUN_TILING consumes; 0: the heap is not touched",
        high=1024,
    ),
    Param("suspend.drain_ms", 20.0, "ms", "how long SUSPEND waits for work on endpoints to end", high=80),
    Param(
        "progress_timer.on",
        1,
        "",
        "1: raise CSG PROGRESS_TIMER when endpoint work makes none for the time that the driver set; 0: never",
        high=1,
    ),
    Param("idle.delay_us", 0.0, "µs", "from the moment a group has nothing to do to the CSG IDLE event", high=1e6),
    Param(
        "glb_idle.on",
        0,
        "",
        "1: raise GLB IDLE when no group had work for the time that the driver set (800 µs). 0: never; CSG IDLE "
        "makes the driver tick, too. With 1 even fixed kernels were seen to fault in 4 % of single-client exits: "
        "the event re-queues the tick that closing the file waits for",
        high=1,
    ),
    Param(
        "cs.resume",
        "skip",
        "",
        "where a command stream goes on after CS_FAULT was acknowledged: at the next ERROR_BARRIER (what "
        "propagates errors still has effect before), or at the next instruction",
        choices=("skip", "next"),
    ),
    Param(
        "cs.exception_data", 0, "", "EXCEPTION_DATA of CS_FAULT and CS_FATAL; its encoding is unknown", high=0xFFFFFF
    ),
    Param("cs.endpoint_fault", 0x44, "", "exception type of CS_FAULT when the tiler's own access faults", high=0xFF),
    Param(
        "cs.sync_error",
        1,
        "",
        "what an error-propagating SYNC_ADD or SYNC_SET writes into the status word",
        low=1,
        high=0xFFFFFFFF,
    ),
    Param("cs.endpoint_slot", 0, "", "scoreboard slot of endpoint work before the first SET_SB_ENTRY", high=7),
    Param("cs.other_slot", 0, "", "scoreboard slot of loads and stores before the first SET_SB_ENTRY", high=7),
    # --- the interpreter's share of the machine
    Param(
        "slice.instructions",
        64,
        "instructions",
        "one slice of one command stream; the guest's register accesses are answered between slices",
        low=1,
        high=100000,
    ),
    Param(
        "slice.most",
        2048,
        "instructions",
        "the length to which the slices of a stream double while it needs one right after the other",
        low=1,
        high=100000,
    ),
    Param("slice.burst_ms", 2.0, "ms", "a stream that never waits may interpret so long without a pause", high=1000),
    Param(
        "slice.share",
        0.8,
        "",
        "then it pauses until it has used only this share of the time: the guest runs on the same CPU",
        low=0.01,
        high=1,
    ),
    Param(
        "spin.first_us",
        100.0,
        "µs",
        "pause of a stream that spins on itself; doubles up to spin.most_us as long as nothing happens",
        low=1,
        high=1e6,
    ),
    Param("spin.most_us", 2000.0, "µs", "longest pause of a spinning stream", low=1, high=1e6),
    Param(
        "spin.refetch_ms",
        500.0,
        "ms",
        "how often a spinning stream fetches its instructions again; in between they come from its prefetch "
        "buffer, wherever their memory is mapped by then",
        high=1e6,
    ),
    Param(
        "sync.poll_ms",
        10.0,
        "ms",
        "how often a stream that waits for a sync object looks again by itself: the CPU may have written it",
        low=0.1,
        high=1000,
    ),
    # --- clocks
    Param(
        "clock.hz",
        1_000_000_000,
        "Hz",
        "GPU core clock, as the device tree says: CYCLE_COUNT and the progress timer",
        low=1000,
        high=10**11,
    ),
    Param(
        "timestamp.hz",
        62_500_000,
        "Hz",
        "system counter: TIMESTAMP; equal to CNTFRQ of the guest (QEMU's virt with a cortex-a57: 62.5 MHz)",
        low=1000,
        high=10**11,
    ),
    # --- the MMU
    Param(
        "mmu.va_overflow",
        "size",
        "",
        "exception for an address above the input range: ADDR_SIZE_FAULT_IN (E0) or TRANSLATION_FAULT_0 (C0)",
        choices=("size", "translation"),
    ),
)
