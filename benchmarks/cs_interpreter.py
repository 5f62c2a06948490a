# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions per second of the command stream interpreter on one core, best of several runs. The address space is the
model's; the firmware is one that takes down what it hears, but for a whole GPU.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.state import StreamState
from panthorlab.gpu.cs.stream import CommandStream
from panthorlab.gpu.generations.g610 import G610
from tests.unit.gpu.conftest import RESULT_VA, RING_IFACE, STREAM_VA, SYNC_VA, Bench
from tests.unit.gpu_cs.standalone import FETCHER, RecordingFirmware, counting_loop, encode

RING, CODE, DATA, PAGE = 0x10000, 0x100000, 0x200000, 4096
REPEAT = 5
COUNTED = 100_000
COUNTER = 2064
"""Where IGT's loop counts, behind its own code."""


def _loop(body: list[int], times: int) -> list[int]:
    return [
        encode("MOVE", dst=10, imm=DATA),
        encode("MOVE32", dst=0, imm=times),
        *body,
        encode("ADD_IMM32", dst=0, src=0, imm=-1),
        encode("BRANCH", cond=1, value=0, offset=-len(body) - 2),
    ]


LOOPS = {
    "register arithmetic": _loop(
        [
            encode("ADD_IMM64", dst=2, src=2, imm=8),
            encode("UMIN32", dst=4, src1=0, src2=2),
            encode("MOVE", dst=6, imm=0x123456789),
        ]
        * 4,
        20000,
    ),
    "load, add, store, wait": _loop(
        [
            encode("LOAD_MULTIPLE", base=20, addr=10, mask=0xF),
            encode("WAIT", wait=1),
            encode("ADD_IMM32", dst=20, src=20, imm=1),
            encode("STORE_MULTIPLE", base=20, addr=10, mask=0xF),
            encode("WAIT", wait=1),
        ],
        20000,
    ),
    "sync objects": _loop(
        [
            encode("SYNC_ADD64", addr=10, data=14, scope=2),
            encode("MOVE", dst=14, imm=0),
            encode("SYNC_WAIT64", addr=10, data=16, cond=0),
        ],
        20000,
    ),
    "IGT's counting loop": counting_loop(DATA, COUNTED),
    "draw calls": _loop(
        [encode("MOVE32", dst=33 + n, imm=n) for n in range(7)] + [encode("RUN_IDVS"), encode("WAIT", wait=4)], 20000
    ),
}


class GpuMemory:
    """An address space of the model, with what is mapped in it."""

    def __init__(self) -> None:
        self._bench = Bench(G610)
        self._bench.enable_space(1, self._bench.user)
        space = self._bench.gpu.chip.mmu.spaces[1]
        self.read, self.write, self.close = space.read, space.write, self._bench.close

    def map(self, va: int, size: int) -> None:
        for page in range(va & -PAGE, va + size, PAGE):
            self._bench.user.map(page)

    def poke(self, va: int, words: list[int]) -> None:
        """Write as the CPU does, mapping what is needed."""
        self.map(va, 8 * len(words))
        for at, word in enumerate(words):
            self._bench.put_quad(self._bench.user.pa(va + 8 * at), word)

    def peek64(self, va: int) -> int:
        return self._bench.quad(self._bench.user.pa(va))


def _client(result: int) -> list[int]:
    """The code of a short job as an IGT-like client writes it."""
    return [
        encode("MOVE", dst=68, imm=result),
        encode("MOVE32", dst=70, imm=0xDEADBEEF),
        encode("STORE_MULTIPLE", base=70, addr=68, mask=1),
        encode("WAIT", wait=0xFF),
        encode("MOVE32", dst=70, imm=0),
        encode("FLUSH_CACHE2", l2=3, lsc=3, other=2, flush_id=70, signal=1),
        encode("WAIT", wait=0xFF),
    ]


def _driver(code: int, sync: int) -> list[int]:
    """What the driver writes into the ring around it."""
    return [
        encode("MOVE32", dst=94),
        encode("FLUSH_CACHE2", l2=3, lsc=3, other=2, flush_id=94),
        encode("MOVE", dst=92, imm=code),
        encode("MOVE32", dst=94, imm=56),
        encode("WAIT", wait=1),
        encode("CALL", addr=92, length=94),
        encode("MOVE", dst=92, imm=sync),
        encode("MOVE", dst=94, imm=1),
        encode("WAIT", wait=0xFF),
        encode("SYNC_ADD64", addr=92, data=94, propagate=1),
        encode("ERROR_BARRIER"),
        *[encode("NOP")] * 5,
    ]


def jobs() -> float:
    """Short jobs as the driver and an IGT-like client write them: 23 instructions each, every one fetched anew."""
    with closing(GpuMemory()) as memory:
        return _jobs(memory)


def _jobs(memory: GpuMemory) -> float:
    firmware = RecordingFirmware()
    memory.map(DATA, 8192)
    memory.poke(CODE, _client(DATA))
    memory.poke(RING, _driver(CODE, DATA + 4096) * 32)
    stream = CommandStream(0, memory, firmware, CsParams(), FETCHER)
    stream.start(RING, 4096, 0, 0)
    retired, began = 0, time.process_time()
    for n in range(1, 5000):
        stream.insert = 128 * n
        retired += stream.run(1000).retired
    elapsed = time.process_time() - began
    if memory.peek64(DATA + 4096) != 4999:
        raise RuntimeError("the jobs did not do what they should")
    return retired / elapsed


def jobs_of_a_group(at_once: int) -> float:
    """The same jobs on a whole GPU, so many for each doorbell."""
    with closing(Bench(G610)) as bench:
        bench.boot()
        bench.make_user_memory()
        bench.put_stream(*_client(RESULT_VA))
        bench.put_ring(*_driver(STREAM_VA, SYNC_VA) * 32)
        bench.put_iface64(RING_IFACE, 0)
        bench.start()
        rounds, began = 2000 // at_once, time.process_time()
        for n in range(1, rounds + 1):
            bench.put_iface64(RING_IFACE, 128 * at_once * n)
            bench.ring(1)
            bench.loop.step(0)
            while bench.loop.due_in() == 0:
                bench.loop.step(0)
        elapsed = time.process_time() - began
        if bench.quad(bench.user.pa(SYNC_VA)) != at_once * rounds:
            raise RuntimeError("the jobs did not do what they should")
        return bench.reporter.counts["instructions"] / elapsed


def loops_of_groups(groups: int) -> float:
    """IGT's loop on a whole GPU, in so many groups at once, each counting in the page of its code, as IGT does."""
    with closing(Bench(G610)) as bench:
        bench.boot()
        bench.make_user_memory()
        counters = [bench.code_va(slot) + COUNTER for slot in range(groups)]
        began = time.process_time()
        bench.start_calls([counting_loop(counter, COUNTED) for counter in counters])
        bench.pump()
        elapsed = time.process_time() - began
        if any(bench.word(bench.user.pa(counter)) != COUNTED for counter in counters):
            raise RuntimeError("the loops did not count to their end")
        return bench.reporter.counts["instructions"] / elapsed


def loop(code: list[int]) -> float:
    with closing(GpuMemory()) as memory:
        return _loop_rate(memory, code)


def _loop_rate(memory: GpuMemory, code: list[int]) -> float:
    firmware = RecordingFirmware()
    memory.map(DATA, 8192)
    memory.poke(CODE, code)
    memory.poke(
        RING,
        [
            encode("MOVE", dst=92, imm=CODE),
            encode("MOVE32", dst=94, imm=8 * len(code)),
            encode("CALL", addr=92, length=94),
        ],
    )
    stream = CommandStream(0, memory, firmware, CsParams(), FETCHER)
    stream.start(RING, 4096, 0, 24)
    retired, began = 0, time.process_time()
    while True:
        result = stream.run(1000)
        retired += result.retired
        if result.state is not StreamState.RUNNING:
            break
    elapsed = time.process_time() - began
    if result.state is not StreamState.IDLE:
        raise RuntimeError(f"the loop ended {result.state.name}: {firmware.events[-1:]}")
    return retired / elapsed


def main() -> int:
    print(f"{'command stream interpreter':28} instructions/s")
    for name, code in LOOPS.items():
        print(f"{name:28} {max(loop(code) for _ in range(REPEAT)):14,.0f}")
    print(f"{'short jobs':28} {max(jobs() for _ in range(REPEAT)):14,.0f}")
    for at_once in (1, 32):
        rate = max(jobs_of_a_group(at_once) for _ in range(REPEAT))
        print(f"{f'{at_once} a doorbell, whole GPU':28} {rate:14,.0f}")
    for groups in (1, 8):
        rate = max(loops_of_groups(groups) for _ in range(REPEAT))
        print(f"{f'counting loop in {groups}, whole GPU':28} {rate:14,.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
