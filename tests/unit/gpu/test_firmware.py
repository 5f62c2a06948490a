# SPDX-License-Identifier: GPL-2.0-or-later
"""The firmware as the driver sees it: boot, life of a group, events, and the heap context write-out."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import pytest

from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.layout import Csg, CsgIn, CsgOut, CsIn, CsOut, GlbIn, GlbOut
from panthorlab.gpu.misbehave import parse
from panthorlab.gpu.trace import ChromeTrace, Trace
from tests.unit.gpu_cs.standalone import encode

START, RESUME, SUSPEND, TERMINATE = Csg.START, Csg.RESUME, Csg.SUSPEND, Csg.TERMINATE
STREAM_VA, RESULT_VA = 0x100_0000, 0x100_1000
SYNC_VA, RING_VA, HEAP_VA = 0x8000_0000_0000, 0x8000_0000_1000, 0x8000_0000_3000
RING_IFACE, SUSPEND_BUF = 0x0408_0000, 0x0410_0000
STORE = (0x0144000001001000, 0x02460000DEADBEEF, 0x1546440000010000, 0x0300000000FF0000)
HEAP_SET = (0x0148800000003000, 0x3000480000000000)
SPIN = (0x160000006000FFFF,)
SIGNAL = (0x015C800000000000, 0x015E000000000001, 0x0300000000FF0000, 0x33005C5E00000001, 0x2F00000000000000)
BAD_STORE = (0x0144000077000000, *STORE[1:])
Bench = Any  # conftest.Bench


def stored(bench: Bench) -> bool:
    return bool(bench.word(bench.user.pa(RESULT_VA)) == 0xDEADBEEF)


# --- sync objects


@pytest.mark.parametrize("scope", [0, 2])
def test_who_waits_for_a_sync_object_is_woken_each_time_another_stream_stores(make_bench: Any, scope: int) -> None:
    """Stores while nobody waits come between; the stream would look by itself only after a second."""
    bench = make_bench("sync.poll_ms=1000")
    bench.boot()
    bench.make_user_memory()
    bench.prepare_group(streams=2)
    bench.put_iface64(bench.layout.cs_input(0, 1) + CsIn.RINGBUF_BASE, STREAM_VA)
    at = encode("MOVE", dst=0, imm=RESULT_VA)
    values = (1, 1, 2, 2, 3)
    stores = [(at, encode("MOVE32", dst=2, imm=n), encode("SYNC_SET32", addr=0, data=2, scope=scope)) for n in values]
    bench.put_stream(*(word for words in stores for word in words))
    bench.request(START, toggles=0x10)
    seen = bench.user.pa(RESULT_VA) + 0x100
    inserted = 0
    for step, value in enumerate(values, 1):
        if value > bench.word(bench.user.pa(RESULT_VA)):
            wait = (
                at,
                encode("MOVE32", dst=2, imm=value - 1),
                encode("SYNC_WAIT32", addr=0, data=2, cond=1),
                encode("MOVE", dst=0, imm=RESULT_VA + 0x100),
                encode("MOVE32", dst=2, imm=value),
                encode("SYNC_SET32", addr=0, data=2, scope=2),
            )
            bench.put_ring(*wait, at=inserted)
            inserted += 8 * len(wait)
            bench.ring(1)
            bench.elapse(0.1)
            assert bench.word(seen) == value - 1, "it waits"
        bench.put_iface64(RING_IFACE + 0x2000, 24 * step)
        bench.ring(1)
        bench.pump(lambda expected=value: bench.word(seen) == expected, seconds=0.3)
        bench.elapse(0.1)


# --- boot


def test_interface_is_what_the_driver_checks(bench: Bench) -> None:
    layout = bench.layout
    end = layout.shared + layout.shared_size
    version, _, at_in, at_out, groups, stride, _, features = [bench.iface(layout.shared + 4 * i) for i in range(8)]
    assert (version, at_in, at_out, features) == (
        layout.version,
        layout.glb_input,
        layout.glb_output,
        layout.instr_features,
    )
    assert groups == layout.groups
    for group in range(groups):
        csg = layout.csg_control(0) + group * stride
        _, group_in, group_out, suspend_size, protm_size, streams, stream_stride = [
            bench.iface(csg + 4 * i) for i in range(7)
        ]
        assert (group_in, group_out) == (layout.csg_input(group), layout.csg_output(group))
        assert suspend_size > 0
        assert protm_size > 0
        assert streams == layout.streams
        for stream in range(streams):
            at = csg + layout.stream_control + stream * stream_stride
            features, at_in, at_out = (bench.iface(at + 4 * i) for i in range(3))
            assert features == layout.cs_features
            assert layout.shared <= at_in <= at_in + 0x58 <= end
            assert layout.shared <= at_out <= at_out + 0xD8 <= end
    blocks = sorted(
        [layout.glb_input, layout.glb_output]
        + [f(g) for f in (layout.csg_input, layout.csg_output) for g in range(groups)]
        + [f(g, s) for f in (layout.cs_input, layout.cs_output) for g in range(groups) for s in range(layout.streams)]
    )
    assert min(b - a for a, b in itertools.pairwise(blocks)) >= 0x58


def test_mcu_does_not_boot_without_l2(make_bench: Any) -> None:
    bench = make_bench()
    bench.write("MCU_CONTROL", 2)
    bench.pump()
    assert bench.read("MCU_STATUS") == 0
    assert "check" in bench.kinds()


def test_mcu_that_finds_no_memory_faults_on_as0(make_bench: Any) -> None:
    bench = make_bench()
    bench.write("L2_PWRON_LO", 1)
    bench.enable_space(0, bench.mcu)
    bench.write("MCU_CONTROL", 2)
    bench.pump()
    assert bench.read("MCU_STATUS") == 3
    assert bench.read("MMU_INT_RAWSTAT") == 1
    assert bench.as_read(0, "FAULTSTATUS") >> 16 == bench.generation.spaces.source_ids[Requester.MCU]


def test_ping(bench: Bench) -> None:
    request = bench.iface(bench.layout.glb_input + GlbIn.REQ) ^ 1 << 8
    bench.put_iface(bench.layout.glb_input + GlbIn.REQ, request)
    bench.write("JOB_INT_CLEAR", 0xFFFFFFFF)
    bench.ring_global()
    assert (bench.iface(bench.layout.glb_output + GlbOut.ACK) ^ request) & 1 << 8 == 0
    assert bench.read("JOB_INT_RAWSTAT") == 1 << 31


def test_a_doorbell_without_news_raises_no_interrupt(bench: Bench) -> None:
    bench.write("JOB_INT_CLEAR", 0xFFFFFFFF)
    bench.ring_global((1 << bench.layout.groups) - 1)
    assert bench.read("JOB_INT_RAWSTAT") == 0


@pytest.mark.parametrize("cleared_late", [False, True])
def test_halt_and_fast_boot(bench: Bench, cleared_late: bool) -> None:
    """6.12 clears HALT after the halt; 7.x before the next boot: here, even later."""
    at = bench.layout.glb_input + GlbIn.REQ
    for _ in range(2):
        bench.put_iface(at, bench.iface(at) | 1)
        bench.ring_global()
        assert bench.read("MCU_STATUS") == 2
        if not cleared_late:
            bench.put_iface(at, bench.iface(at) & ~1)
        bench.write("MCU_CONTROL", 0)
        assert bench.read("MCU_STATUS") == 0
        bench.power_up()
        assert bench.read("MCU_STATUS") == 1
        bench.put_iface(at, bench.iface(at) & ~1)
        bench.ring_global()
        assert bench.read("MCU_STATUS") == 1


def test_stale_words_of_a_fast_boot_raise_no_events(bench: Bench) -> None:
    bench.put_iface(bench.layout.csg_input(0) + CsgIn.REQ, 0xF0000023)
    bench.put_iface(bench.layout.cs_input(0, 0) + CsIn.REQ, 0xCC000001)
    bench.write("MCU_CONTROL", 0)
    bench.put_iface(bench.layout.life, 0)  # as if it had been halted
    bench.power_up()
    assert bench.iface(bench.layout.csg_output(0) + CsgOut.ACK) == 0xF0000020
    assert bench.iface(bench.layout.cs_output(0, 0) + CsOut.ACK) == 0xCC000000


# --- life of a group


def test_start_runs_what_is_in_the_ring_without_a_doorbell(bench: Bench) -> None:
    bench.put_ring(*STORE, *SIGNAL)
    bench.start()
    bench.pump(lambda: stored(bench))
    bench.pump(lambda: bench.quad(bench.user.pa(SYNC_VA)) == 1)
    bench.pump(lambda: bench.take_events() == Csg.SYNC_UPDATE | Csg.IDLE)
    assert bench.quad(bench.mcu.pa(RING_IFACE + 0x1000)) == 8 * len(STORE + SIGNAL)


def test_user_doorbell_and_status(bench: Bench) -> None:
    bench.put_ring()
    bench.start()
    bench.pump()
    assert bench.take_events() == Csg.IDLE
    bench.request(START, Csg.STATUS_UPDATE)
    assert bench.iface(bench.layout.csg_output(0) + CsgOut.STATUS_STATE) == 1
    bench.put_ring(*STORE, *SPIN)
    bench.pump()
    assert not stored(bench), "nothing is fetched without a doorbell"
    bench.ring(1)
    bench.pump(lambda: stored(bench))
    bench.request(START, Csg.STATUS_UPDATE)
    assert bench.iface(bench.layout.csg_output(0) + CsgOut.STATUS_STATE) == 0
    assert not bench.take_events() & Csg.IDLE


def test_each_job_by_user_doorbell_ends_in_an_idle_event(bench: Bench) -> None:
    """Also one that is done within a single slice: without the event the driver never suspends the GPU."""
    bench.put_ring()
    bench.start()
    bench.pump()
    assert bench.take_events() == Csg.IDLE
    bench.put_ring(*STORE)
    bench.ring(1)
    bench.pump(lambda: stored(bench))
    bench.pump()
    assert bench.take_events() == Csg.IDLE


def test_hung_mcu_answers_nothing_until_it_is_stopped(bench: Bench) -> None:
    bench.put_ring(*STORE)
    bench.gpu.mcu.hang()
    bench.prepare_group()
    bench.request(START)
    assert not bench.acknowledged(START)
    assert not stored(bench)
    assert bench.read("MCU_STATUS") == 1, "a hung MCU does not know that it hangs"
    bench.write("MCU_CONTROL", 0)
    bench.boot()
    bench.start()
    bench.pump(lambda: stored(bench))


def test_armed_hang_waits_for_the_next_start_of_a_group(bench: Bench) -> None:
    bench.put_ring(*STORE)
    bench.start()
    bench.gpu.chip.misbehaviour.arm([parse("mcu-hang")])
    bench.request(SUSPEND)
    bench.pump(lambda: bench.acknowledged(SUSPEND))
    bench.write("MCU_CONTROL", 0)
    bench.boot()
    bench.prepare_group()
    bench.request(START)
    bench.pump()
    assert not bench.acknowledged(START), "it survives suspends and boots: it strikes when there is work"
    assert bench.reporter.counts["injected"] == 1
    bench.write("MCU_CONTROL", 0)
    bench.boot()
    bench.start()
    assert bench.acknowledged(START), "and strikes once"
    assert not bench.reporter.model_errors


def test_status_update_right_after_a_submit_is_not_idle(bench: Bench) -> None:
    """The driver's tick may follow its submit so closely that both doorbells are served together."""
    bench.put_ring()
    bench.start()
    bench.pump()
    bench.put_ring(*SPIN)
    bench.ring(1)
    bench.request(START, Csg.STATUS_UPDATE)
    assert bench.iface(bench.layout.csg_output(0) + CsgOut.STATUS_STATE) == 0


def test_terminate_interrupts_a_spinning_stream(bench: Bench) -> None:
    bench.put_ring(*SPIN)
    bench.start()
    bench.pump()
    bench.request(TERMINATE)
    assert bench.acknowledged(TERMINATE)
    assert bench.read("JOB_INT_RAWSTAT") & 1


def test_state_survives_the_soft_reset_of_runtime_suspend(bench: Bench) -> None:
    bench.put_ring(*HEAP_SET, 0x0246000012345678, *STORE[:1])
    bench.start()
    bench.pump()
    bench.request(SUSPEND)
    bench.pump(lambda: bench.acknowledged(SUSPEND))
    bench.write("GPU_CMD", 0x101)
    assert bench.read("GPU_INT_RAWSTAT") & 1 << 8
    bench.write("GPU_INT_CLEAR", 1 << 8)
    assert bench.read("GPU_INT_MASK") == 0x20103
    for page in range(bench.layout.shared_size // 0x1000):  # slow reload: the section is zeroed
        for word in range(0, 0x1000, 8):
            bench.put_quad(bench.mcu.pa(bench.layout.shared + page * 0x1000) + word, 0)
    bench.power_up()
    bench.enable_space(1, bench.user)
    bench.put_iface64(RING_IFACE + 8, 32)  # EXTRACT_INIT := what SUSPEND left in EXTRACT
    bench.put_ring(*STORE[2:], at=32)
    bench.start(RESUME)
    bench.pump(lambda: bench.word(bench.user.pa(RESULT_VA)) == 0x12345678)
    bench.request(TERMINATE)
    bench.pump(lambda: bench.acknowledged(TERMINATE))
    assert [t.rsplit(" ", 1)[-1] for t in bench.texts("write-out")] == ["written", "written"]
    assert bench.texts("check") == []


def test_resume_from_a_buffer_that_holds_nothing(bench: Bench) -> None:
    bench.put_ring(*STORE)
    bench.start(RESUME)
    bench.pump(lambda: stored(bench))
    assert any("holds" in t or "no group was suspended" in t for t in bench.texts("misuse"))


def test_requests_on_an_empty_slot_are_acknowledged_and_nothing_else(bench: Bench) -> None:
    for state in (SUSPEND, TERMINATE):
        bench.prepare_group()
        bench.request(state)
        assert bench.acknowledged(state)
    assert "write-out" not in bench.kinds()


def test_status_and_priority_are_acknowledged_while_suspend_is_pending(make_bench: Any) -> None:
    bench = make_bench("writeout.delay_ms=30")
    bench.boot()
    bench.make_user_memory()
    bench.put_ring(*HEAP_SET)
    bench.start()
    bench.pump()
    bench.request(SUSPEND)
    bench.request(SUSPEND, Csg.EP_CFG | Csg.STATUS_UPDATE)
    request = bench.iface(bench.layout.csg_input(0) + CsgIn.REQ)
    ack = bench.iface(bench.layout.csg_output(0) + CsgOut.ACK)
    assert (request ^ ack) & (Csg.EP_CFG | Csg.STATUS_UPDATE) == 0
    assert not bench.acknowledged(SUSPEND)
    bench.request(TERMINATE)  # the driver escalates
    bench.pump(lambda: bench.acknowledged(TERMINATE))


def test_glb_idle_comes_after_the_idle_timer(make_bench: Any) -> None:
    bench = make_bench("glb_idle.on=1")
    bench.boot()
    bench.make_user_memory()
    bench.put_ring(*STORE)
    bench.start()

    def raised() -> bool:
        request = bench.iface(bench.layout.glb_input + GlbIn.REQ)
        ack = bench.iface(bench.layout.glb_output + GlbOut.ACK)
        return bool((request ^ ack) & 1 << 26)

    bench.pump(lambda: stored(bench))
    bench.elapse(0.0007)
    assert not raised()
    bench.elapse(0.0002)
    assert raised()


# --- exceptions


def test_fault_is_latched_reported_and_acknowledged(bench: Bench) -> None:
    bench.put_ring(*BAD_STORE, 0x2F00000000000000, *STORE)
    bench.start()
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)
    assert bench.as_read(1, "FAULTSTATUS") == bench.fault(Requester.LSU, 0x03C1)
    assert bench.as_read(1, "FAULTADDRESS_LO") == 0x77000000
    assert bench.iface(bench.layout.cs_output(0, 0) + CsOut.FAULT) == 0x48
    assert bench.iface(bench.layout.cs_output(0, 0) + CsOut.FAULT_INFO) == 0x77000000
    bench.pump()
    assert not stored(bench), "the stream waits for the acknowledgement"
    assert bench.take_stream_events() == 1 << 31
    bench.pump(lambda: stored(bench))
    bench.write("MMU_INT_CLEAR", 2)
    after = bench.as_read(1, "FAULTSTATUS")
    assert after == bench.fault(Requester.LSU, 0x03C1), "6.12 reads it after clearing the interrupt"


def test_first_fault_stays_latched(bench: Bench) -> None:
    bench.put_ring(*BAD_STORE, 0x2F00000000000000, 0x0144000078000000, *STORE[1:])
    bench.start()
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)
    bench.take_stream_events()
    bench.pump(lambda: bench.reporter.counts["mmu-fault already latched"] == 1)
    assert bench.as_read(1, "FAULTADDRESS_LO") == 0x77000000


def test_fatal_leaves_the_stream_dead(bench: Bench) -> None:
    bench.put_ring(0xEE00000000000000, *STORE)
    bench.start()
    bench.pump(lambda: bench.iface(bench.layout.cs_output(0, 0) + CsOut.FATAL) == 0x49)
    assert bench.take_stream_events() == 1 << 30
    bench.pump()
    assert not stored(bench)
    bench.request(TERMINATE)
    assert bench.acknowledged(TERMINATE)


def test_tiler_oom_hand_shake(make_bench: Any) -> None:
    bench = make_bench("tiler.chunks_per_job=1", "writeout.delay_ms=1")
    bench.boot()
    bench.make_user_memory()
    bench.put_ring(*HEAP_SET, 0x3100000000000000, 0x0500000000000000, 0x0300000000FF0000, *STORE)
    bench.start()
    at, at_in = bench.layout.cs_output(0, 0), bench.layout.cs_input(0, 0)
    bench.pump(lambda: bool((bench.iface(at + CsOut.ACK) ^ bench.iface(at_in + CsIn.REQ)) & 1 << 26))
    vt_start, vt_end, frag_end = (
        bench.iface(at + f) for f in (CsOut.HEAP_VT_START, CsOut.HEAP_VT_END, CsOut.HEAP_FRAG_END)
    )
    assert frag_end <= vt_end < vt_start, "the driver checks this"
    assert bench.iface(at + CsOut.HEAP_ADDRESS) == HEAP_VA & 0xFFFFFFFF
    assert not stored(bench)
    chunk = 0x8000_0020_0000
    for page in range(32):
        bench.user.map(chunk + page * 0x1000)
    for field in (CsIn.HEAP_START, CsIn.HEAP_END):
        bench.put_iface64(bench.layout.cs_input(0, 0) + field, chunk | 0x20000 >> 12)
    assert bench.take_stream_events() == 1 << 26
    bench.pump(lambda: stored(bench))


def test_progress_timer(make_bench: Any) -> None:
    bench = make_bench("run.time_us=1e6")
    bench.boot()
    bench.make_user_memory()
    bench.put_iface(bench.layout.glb_input + GlbIn.PROGRESS_TIMER, 10)  # 10240 cycles at 1 GHz
    bench.put_iface(bench.layout.glb_input + GlbIn.REQ, bench.iface(bench.layout.glb_input + GlbIn.REQ) ^ 2)
    bench.ring_global()
    bench.put_ring(0x0400000000000000, 0x0300000000FF0000)
    bench.start()
    bench.pump(lambda: bool(bench.take_events() & Csg.PROGRESS_TIMER))


# --- the write-out


def heap_bench(make_bench: Any, *assignments: str, trace: Trace | None = None) -> Bench:
    bench = make_bench(*assignments, trace=trace)
    bench.boot()
    bench.make_user_memory()
    bench.put_ring(*HEAP_SET, *SPIN)
    bench.start()
    bench.pump(lambda: bench.gpu.mcu.groups[0].queues[0].stream.heap_address == HEAP_VA)
    return bench


@pytest.mark.parametrize("state", [SUSPEND, TERMINATE])
def test_context_is_written_before_the_acknowledgement(make_bench: Any, state: int) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=5")
    context = bench.user.pa(HEAP_VA)
    bench.gpu.mcu.groups[0].queues[0].stream._m.heap.count(0)
    bench.request(state)
    bench.elapse(0.0049)
    assert not bench.acknowledged(state)
    assert bench.word(context) == 0
    bench.elapse(0.0002)
    assert bench.acknowledged(state)
    assert bench.word(context) == 1
    assert bench.texts("write-out") == ["CSG 0.0 AS1 0x800000003000: written"]


def lose_heap(bench: Bench) -> None:
    """As the driver does it: out of the page table, and of the TLB."""
    bench.user.unmap(HEAP_VA)
    bench.lock(1, HEAP_VA)
    bench.as_write(1, "COMMAND", 3)


def test_unmapped_context_faults_and_holds_the_acknowledgement(make_bench: Any) -> None:
    """The race: the heap is gone before the write-out; the address space is still enabled."""
    bench = heap_bench(make_bench, "writeout.delay_ms=1", "writeout.stall_ms=80")
    bench.request(TERMINATE)
    lose_heap(bench)
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)
    assert bench.as_read(1, "FAULTSTATUS") == bench.fault(Requester.MCU, 0x03C3)
    assert bench.as_read(1, "FAULTADDRESS_LO") == HEAP_VA & 0xFFFFFFFF
    assert bench.as_read(1, "FAULTADDRESS_HI") == HEAP_VA >> 32
    bench.write("MMU_INT_CLEAR", 2)
    bench.lock(1, 0, 64)
    bench.as_write(1, "COMMAND", 5)
    bench.pump()
    assert not bench.acknowledged(TERMINATE), "until the address space is disabled"
    assert bench.read("MMU_INT_RAWSTAT") == 0, "the stalled write is not tried again"
    bench.disable_space(1)
    bench.pump(lambda: bench.acknowledged(TERMINATE))


class Kept(io.StringIO):
    def close(self) -> None: ...


def test_the_race_can_be_seen_in_the_trace(make_bench: Any) -> None:
    file = Kept()
    trace = ChromeTrace(file)
    bench = heap_bench(make_bench, "writeout.delay_ms=1", trace=trace)
    bench.request(TERMINATE)
    lose_heap(bench)
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)
    bench.disable_space(1)
    bench.pump(lambda: bench.acknowledged(TERMINATE))
    trace.close()
    events = json.loads(file.getvalue())
    track = {e["tid"]: e["args"]["name"] for e in events if e["name" if "name" in e else "ph"] == "thread_name"}
    story = [(track[e["tid"]], e["name"]) for e in events if e["ph"] in "Bi" and track[e["tid"]][:3] in ("AS ", "CSG")]
    wanted = [
        ("CSG 0.0", "heap context 0x800000003000 bound"),
        ("CSG 0", "TERMINATE"),
        ("AS 1", "LOCK 0x800000000000+0x8000"),
        ("AS 1", "0x800000003000 unmapped"),
        ("AS 1", f"FAULT AS1 0x800000003000 0x{bench.fault(Requester.MCU, 0x03C3):08X}"),
        ("CSG 0", "heap context 0x800000003000: fault 0xC3"),
        ("CSG 0", "acknowledge TERMINATE"),
    ]
    assert [line for line in story if line in wanted] == wanted


def test_the_trace_tells_when_timestamp_was_zero(make_bench: Any) -> None:
    file = Kept()
    trace = ChromeTrace(file)
    bench = make_bench(trace=trace)
    before = bench.loop.now()
    seconds = (bench.read("TIMESTAMP_HI") << 32 | bench.read("TIMESTAMP_LO")) / 62_500_000
    after = bench.loop.now()
    trace.close()
    zero = next(event["args"] for event in json.loads(file.getvalue()) if event.get("name") == "TIMESTAMP is 0")
    assert zero["hz"] == 62_500_000
    assert before - 1e-6 <= zero["us"] / 1e6 + seconds <= after


def test_stall_is_bounded(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=1", "writeout.stall_ms=10")
    bench.request(TERMINATE)
    lose_heap(bench)
    bench.pump(lambda: bench.acknowledged(TERMINATE), 0.5)
    assert any("given up" in t for t in bench.texts("check"))


def test_disabled_address_space_drops_the_write(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=3")
    bench.request(TERMINATE)
    bench.disable_space(1)
    bench.pump(lambda: bench.acknowledged(TERMINATE))
    assert bench.read("MMU_INT_RAWSTAT") == 0
    assert bench.texts("write-out")[-1].endswith("address space disabled")


@pytest.mark.parametrize("command", [3, 4, 5])
def test_locked_region_holds_the_write_and_is_walked_afterwards(make_bench: Any, command: int) -> None:
    """7.x unmaps between LOCK and UNLOCK; 6.12's FLUSH_PT and FLUSH_MEM release the lock, too."""
    bench = heap_bench(make_bench, "writeout.delay_ms=1")
    bench.lock(1, HEAP_VA)
    bench.request(TERMINATE)
    bench.elapse(0.01)
    assert bench.texts("write-out") == []
    lose_heap(bench)
    bench.as_write(1, "COMMAND", command)
    assert bench.read("MMU_INT_RAWSTAT") == 2


def test_soft_reset_cancels_the_write(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=5")
    bench.request(TERMINATE)
    bench.write("GPU_CMD", 0x101)
    bench.elapse(0.02)
    assert "write-out" not in bench.kinds()
    assert bench.read("MMU_INT_RAWSTAT") == 0


@pytest.mark.parametrize(
    ("on", "state", "written"),
    [
        ("both", SUSPEND, 1),
        ("both", TERMINATE, 1),
        ("suspend", SUSPEND, 1),
        ("suspend", TERMINATE, 0),
        ("terminate", SUSPEND, 0),
        ("terminate", TERMINATE, 1),
        ("none", SUSPEND, 0),
        ("none", TERMINATE, 0),
    ],
)
def test_writeout_on(make_bench: Any, on: str, state: int, written: int) -> None:
    bench = heap_bench(make_bench, f"writeout.on={on}", "writeout.delay_ms=0")
    bench.request(state)
    bench.pump(lambda: bench.acknowledged(state))
    assert len(bench.texts("write-out")) == written


def test_acknowledgement_first_is_wrong_on_purpose(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "ack.first=1", "writeout.delay_ms=3")
    bench.request(TERMINATE)
    assert bench.acknowledged(TERMINATE)
    lose_heap(bench)  # a correct driver may do so now
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)


@pytest.mark.parametrize(("state", "name"), [(SUSPEND, "suspend"), (TERMINATE, "terminate")])
def test_heap_contexts_are_written_after_an_early_acknowledgement(make_bench: Any, state: int, name: str) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=0")
    bench.gpu.chip.misbehaviour.arm([parse(f"state-early,state={name},ms=3")])
    bench.request(state)
    assert bench.acknowledged(state)
    assert not bench.texts("write-out")
    lose_heap(bench)  # a correct driver may do so now
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)
    assert bench.texts("injected")


def test_size_offset_source(make_bench: Any) -> None:
    bench = heap_bench(
        make_bench, "writeout.size=8", "writeout.offset=16", "writeout.source=lsu", "writeout.delay_ms=0"
    )
    for i in range(8):
        bench.put_quad(bench.user.pa(HEAP_VA) + 8 * i, 0xFFFFFFFFFFFFFFFF)
    bench.request(SUSPEND)
    bench.pump(lambda: bench.acknowledged(SUSPEND))
    quads = [bench.quad(bench.user.pa(HEAP_VA) + 8 * i) for i in range(8)]
    assert quads == [0xFFFFFFFFFFFFFFFF] * 2 + [0] + [0xFFFFFFFFFFFFFFFF] * 5
    lose_heap(bench)
    bench.put_iface64(RING_IFACE + 8, bench.quad(bench.mcu.pa(RING_IFACE + 0x1000)))
    bench.start(RESUME)
    bench.request(TERMINATE)
    bench.pump(lambda: bench.read("MMU_INT_RAWSTAT") == 2)
    assert bench.as_read(1, "FAULTSTATUS") == bench.fault(Requester.LSU, 0x03C3)
    assert bench.as_read(1, "FAULTADDRESS_LO") == (HEAP_VA + 16) & 0xFFFFFFFF


def test_no_heap_no_write(bench: Bench) -> None:
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: stored(bench))
    bench.request(TERMINATE)
    assert bench.acknowledged(TERMINATE)
    assert bench.texts("write-out") == []


def test_heap_binding_does_not_outlive_start(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=0")
    bench.request(TERMINATE)
    bench.pump(lambda: bench.acknowledged(TERMINATE))
    bench.put_ring()
    bench.start()
    bench.request(TERMINATE)
    assert bench.acknowledged(TERMINATE)
    assert len(bench.texts("write-out")) == 1


def test_vanished_ring_pointers_kill_the_mcu_not_the_model(bench: Bench) -> None:
    bench.put_ring(*STORE, *SPIN)
    bench.start()
    bench.pump(lambda: stored(bench))
    bench.mcu.unmap(RING_IFACE)
    bench.as_write(0, "COMMAND", 4)
    bench.ring(1)
    bench.pump(lambda: bench.read("MCU_STATUS") == 3)
    assert bench.as_read(0, "FAULTSTATUS") == bench.fault(Requester.MCU, 0x02C3)
    assert bench.read("MMU_INT_RAWSTAT") == 1


def test_delay_does_not_count_while_the_host_starves_the_guest(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=5", "writeout.patience_ms=20")
    starved = iter([0.0, 0.003, 0.003])  # at the request, when the delay is over, when the rest of it is over
    bench.gpu.chip.guest_waited = lambda: next(starved)
    bench.request(TERMINATE)
    bench.elapse(0.0051)
    assert not bench.acknowledged(TERMINATE), "3 of the 5 ms were not the guest's"
    bench.elapse(0.003)
    assert bench.acknowledged(TERMINATE)


def test_patience_with_a_starved_guest_is_bounded(make_bench: Any) -> None:
    bench = heap_bench(make_bench, "writeout.delay_ms=5", "writeout.patience_ms=20")
    hours = iter(range(10**6))
    bench.gpu.chip.guest_waited = lambda: next(hours) * 3600.0
    bench.request(TERMINATE)
    bench.elapse(0.0255)
    assert bench.acknowledged(TERMINATE)
