# SPDX-License-Identifier: GPL-2.0-or-later
"""Misdeeds on request: each one strikes where the table says, and only then; rules are read and counted right."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.layout import Csg, CsgIn, CsgOut, CsOut, GlbIn, GlbOut
from panthorlab.gpu.misbehave import BY_NAME, MISDEEDS, Misbehaviour, Misdeed, describe, parse
from panthorlab.gpu.registers import GpuIrq, McuStatus
from panthorlab.gpu.trace import NoTrace

Bench = Any  # conftest.Bench
START, SUSPEND = Csg.START, Csg.SUSPEND
STORE = (0x0144000001001000, 0x02460000DEADBEEF, 0x1546440000010000, 0x0300000000FF0000)
RESULT_VA = 0x100_1000


def arm(bench: Bench, *rules: str) -> None:
    bench.gpu.chip.misbehaviour.arm(map(parse, rules))


def stored(bench: Bench) -> bool:
    return bool(bench.word(bench.user.pa(RESULT_VA)) == 0xDEADBEEF)


def gpu_raw(bench: Bench) -> int:
    raw: int = bench.read("GPU_INT_RAWSTAT")
    bench.write("GPU_INT_CLEAR", 0xFFFFFFFF)
    return raw


# --- rules


def rules_of(misdeed: Misdeed) -> st.SearchStrategy[str]:
    words = {
        "nth": st.integers(1, 50).map(str),
        "times": st.integers(0, 50).map(str),
        "chance": st.sampled_from(["0.5", "1"]),
    }
    words |= {key: st.sampled_from(values) for key, values in misdeed.choices.items()}
    words |= {"ms": st.sampled_from(["1", "250.5"])} if misdeed.late else {}
    words |= {"exception": st.sampled_from(["0xc1", "12"])} if misdeed.exception is not None else {}
    words |= {"slot": st.integers(0, 7).map(str)} if misdeed.slotted else {}
    return st.fixed_dictionaries({}, optional=words).map(
        lambda given: ",".join([misdeed.name, *(f"{key}={value}" for key, value in given.items())])
    )


@given(st.sampled_from(MISDEEDS).flatmap(rules_of))
def test_a_rule_is_what_it_says(text: str) -> None:
    rule = parse(text)
    assert parse(str(rule)) == rule
    for word in text.split(",")[1:]:
        key, _, value = word.partition("=")
        if key in rule.only:
            assert rule.only[key] == value
        else:
            assert getattr(rule, key) == (int(value, 0) if "x" in value else float(value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no misdeed"),
        ("flush-los", "did you mean flush-lost"),
        ("flush-lost,ms=3", "has no ms"),
        ("flush-lost,nth=0", "between 1"),
        ("flush-lost,nth=x", "whole number"),
        ("flush-lost,nth", "KEY=VALUE"),
        ("flush-lost,nth=1,nth=2", "twice"),
        ("state-late,state=begin", "one of start"),
        ("state-late,chance=2", "between 0"),
        ("mmu-fault,exception=0x100", "between 0 and 255"),
        ("flush-late,slot=1", "has no slot"),
        ("flush-late,ms=nan", "between"),
        ("flush-lost,nth=99999999999999999999", "between"),
    ],
)
def test_a_wrong_rule_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_the_table_for_people_names_every_misdeed_and_key() -> None:
    text = describe()
    assert all(f"{misdeed.name}" in text and misdeed.meaning in text for misdeed in MISDEEDS)


def strikes(*rules: str, occasions: int = 12, seed: int = 0) -> list[int]:
    wrong = Misbehaviour(random.Random(seed), Reporter(io.StringIO(), io.StringIO()), NoTrace())  # noqa: S311
    wrong.arm(map(parse, rules))
    return [n for n in range(1, occasions + 1) if wrong.strikes("flush-lost")]


def test_occasions_are_counted_from_the_nth_on() -> None:
    assert strikes("flush-lost") == [1]
    assert strikes("flush-lost,nth=3,times=2") == [3, 4]
    assert strikes("flush-lost,nth=10,times=0") == [10, 11, 12]
    assert strikes("flush-lost,nth=2", "flush-lost,nth=5") == [2, 5]
    assert strikes("reset-lost") == []


def test_chance_repeats_with_the_seed_and_only_with_it() -> None:
    runs = [tuple(strikes("flush-lost,times=0,chance=0.5", occasions=64, seed=seed)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert 15 < len(runs[0]) < 49


def test_behaving_again_takes_all_rules_back() -> None:
    wrong = Misbehaviour(random.Random(0), Reporter(io.StringIO(), io.StringIO()), NoTrace())  # noqa: S311
    wrong.arm([parse("flush-lost,times=0"), parse("reset-lost")])
    assert wrong.strikes("flush-lost")
    wrong.clear()
    assert not wrong.strikes("flush-lost")
    assert not wrong.strikes("reset-lost")
    assert not wrong.watched


# --- what they do to a driver; `lost` and `late` of a kind differ in whether it comes at all


@pytest.mark.parametrize(
    ("what", "command", "bit"),
    [("flush", 0x33304, GpuIrq.CLEAN_CACHES_COMPLETED), ("reset", 0x101, GpuIrq.RESET_COMPLETED)],
)
def test_completions_are_lost_and_late(bench: Bench, what: str, command: int, bit: int) -> None:
    gpu_raw(bench)
    arm(bench, f"{what}-lost", f"{what}-late,ms=30")
    bench.write("GPU_CMD", command)
    bench.elapse(1)
    assert not gpu_raw(bench) & bit
    bench.write("GPU_CMD", command)
    bench.elapse(0.02)
    late = gpu_raw(bench) & bit
    bench.elapse(0.02)
    assert (late, gpu_raw(bench) & bit) in ((0, bit), (0, bit))
    bench.write("GPU_CMD", command)
    bench.elapse(0.001)
    assert gpu_raw(bench) & bit
    assert bench.reporter.counts["injected"] == 2


def test_the_mcu_survives_a_reset(bench: Bench) -> None:
    for survives in (True, False):
        if survives:
            arm(bench, "mcu-survives-reset")
        bench.write("GPU_CMD", 0x101)
        assert (bench.read("MCU_CONTROL"), bench.read("MCU_STATUS")) == (2 * survives, 0)
        bench.write("L2_PWRON_LO", 1)
        assert bench.read("MCU_STATUS") == 3 * survives, "it starts by itself, and finds no memory: fatal"
    bench.write("MCU_CONTROL", 2)
    assert bench.read("MCU_STATUS") == 3


def test_fatal_ends_with_a_stop(bench: Bench) -> None:
    """The firmware refuses memory of a life that has not ended in HALT and was not loaded again."""
    bench.write("MCU_CONTROL", 0)
    bench.write("MCU_CONTROL", 2)
    assert bench.read("MCU_STATUS") == 3
    bench.reload()
    bench.write("MCU_CONTROL", 2)
    assert bench.read("MCU_STATUS") == 3, "a FATAL MCU must be stopped first"
    bench.write("MCU_CONTROL", 0)
    bench.write("MCU_CONTROL", 2)
    assert bench.read("MCU_STATUS") == 1


@pytest.mark.parametrize("flush", ["AS", "GPU", "L2 off", "none"])
def test_what_the_cache_kept_comes_back_unless_it_is_flushed(bench: Bench, flush: str) -> None:
    arm(bench, "cache-kept")
    bench.write("MCU_CONTROL", 0)
    if flush == "AS":
        bench.as_write(0, "COMMAND", 4)
    elif flush == "GPU":
        bench.write("GPU_CMD", 0x33304)
    elif flush == "L2 off":
        bench.write("L2_PWROFF_LO", 1)
        bench.write("L2_PWRON_LO", 1)
    bench.reload()
    bench.write("MCU_CONTROL", 2)
    assert bench.read("MCU_STATUS") == (3 if flush == "none" else 1)


@pytest.mark.parametrize("field", ["glb-group-num", "csg-input", "cs-output"])
def test_the_interface_is_absurd(bench: Bench, field: str) -> None:
    at = {
        "glb-group-num": bench.layout.glb_control + 0x10,
        "csg-input": bench.layout.csg_control(0) + 4,
        "cs-output": bench.layout.cs_control(0, 0) + 8,
    }[field]

    def boot() -> int:
        bench.write("MCU_CONTROL", 0)
        bench.reload()
        bench.write("MCU_CONTROL", 2)
        value: int = bench.iface(at)
        return value

    usual = boot()
    arm(bench, f"interface,field={field},value=0xfffffffe")
    assert (boot(), boot()) == (0xFFFFFFFE, usual)


def test_control_blocks_follow_the_stride_that_is_told(bench: Bench) -> None:
    arm(bench, "interface,field=glb-group-num,value=3", "interface,field=glb-group-stride,value=0xffffff00")
    bench.write("MCU_CONTROL", 0)
    bench.reload()
    bench.write("MCU_CONTROL", 2)
    layout = bench.layout
    assert bench.iface(layout.csg_control(0) - 2 * 0x100 + 4) == layout.csg_input(2)
    assert bench.iface(layout.glb_control) == layout.version
    assert not bench.reporter.model_errors


def test_power_is_lost_and_late(bench: Bench) -> None:
    arm(bench, "power-lost,core=l2", "power-late,core=l2,ms=5")
    bench.write("L2_PWROFF_LO", 1)
    assert bench.read("L2_READY_LO") == 1
    bench.write("TILER_PWROFF_LO", bench.generation.cores["TILER"])
    assert bench.read("TILER_READY_LO") == 0
    bench.write("L2_PWROFF_LO", 1)
    assert bench.read("L2_READY_LO") == 1
    bench.elapse(0.006)
    assert bench.read("L2_READY_LO") == 0


def test_an_address_space_is_stuck_for_a_time(bench: Bench) -> None:
    arm(bench, "as-stuck,nth=2,ms=10")
    bench.as_write(2, "COMMAND", 3)
    assert bench.as_read(2, "STATUS") == 0
    bench.as_write(2, "COMMAND", 3)
    assert bench.as_read(2, "STATUS") == 1
    assert bench.as_read(1, "STATUS") == 0
    bench.elapse(0.011)
    assert bench.as_read(2, "STATUS") == 0


def test_only_an_address_space_of_users_is_stuck(bench: Bench) -> None:
    arm(bench, "as-stuck,space=user,ms=10")
    bench.as_write(0, "COMMAND", 3)
    assert bench.as_read(0, "STATUS") == 0
    bench.as_write(1, "COMMAND", 3)
    assert bench.as_read(1, "STATUS") == 1


def test_boot_halt_and_stop_go_wrong(bench: Bench) -> None:
    def booted() -> bool:
        bench.elapse(0.01)
        raw = bench.read("JOB_INT_RAWSTAT") >> 31
        bench.write("JOB_INT_CLEAR", 0xFFFFFFFF)
        return bool(raw)

    arm(bench, "halt-lost", "stop-lost", "boot-lost", "boot-late,ms=500")
    request = bench.iface(bench.layout.glb_input + GlbIn.REQ)
    bench.put_iface(bench.layout.glb_input + GlbIn.REQ, request | 1)
    bench.ring_global()
    assert bench.read("MCU_STATUS") == 1
    bench.write("MCU_CONTROL", 0)
    assert bench.read("MCU_STATUS") == 1
    bench.write("MCU_CONTROL", 0)
    assert bench.read("MCU_STATUS") == 0
    bench.write("JOB_INT_CLEAR", 0xFFFFFFFF)
    bench.reload()
    bench.write("MCU_CONTROL", 2)
    assert not booted()
    bench.write("MCU_CONTROL", 0)
    bench.reload()
    bench.write("MCU_CONTROL", 2)
    assert not booted()
    bench.elapse(0.5)
    assert booted()


@pytest.mark.parametrize("loaded", [False, True])
def test_after_a_spoilt_halt_the_firmware_must_be_loaded_anew(bench: Bench, loaded: bool) -> None:
    arm(bench, "halt-spoilt")
    request = bench.iface(bench.layout.glb_input + GlbIn.REQ)
    bench.put_iface(bench.layout.glb_input + GlbIn.REQ, request | 1)
    bench.ring_global()
    assert bench.read("MCU_STATUS") == McuStatus.HALTED
    bench.write("MCU_CONTROL", 0)
    if loaded:
        bench.reload()
    bench.write("MCU_CONTROL", 2)
    assert bench.read("MCU_STATUS") == (McuStatus.ENABLED if loaded else McuStatus.FATAL)


@pytest.mark.parametrize("at_once", [False, True])
def test_what_is_asked_for_behind_a_doorbell_that_is_served_at_once_is_not_seen(bench: Bench, at_once: bool) -> None:
    if at_once:
        arm(bench, "bell-at-once")
    request = bench.iface(bench.layout.glb_input + GlbIn.REQ) ^ 1 << 8
    bench.ring(0)
    bench.put_iface(bench.layout.glb_input + GlbIn.REQ, request)
    bench.pump()
    answered = (bench.iface(bench.layout.glb_output + GlbOut.ACK) ^ request) & 1 << 8 == 0
    assert answered is not at_once
    bench.ring_global()
    assert (bench.iface(bench.layout.glb_output + GlbOut.ACK) ^ request) & 1 << 8 == 0


def test_a_ping_is_lost(bench: Bench) -> None:
    arm(bench, "glb-lost")
    for answered in (False, True):
        request = bench.iface(bench.layout.glb_input + GlbIn.REQ) ^ 1 << 8
        bench.put_iface(bench.layout.glb_input + GlbIn.REQ, request)
        bench.ring_global()
        assert ((bench.iface(bench.layout.glb_output + GlbOut.ACK) ^ request) & 1 << 8 == 0) is answered
        if not answered:
            bench.put_iface(bench.layout.glb_input + GlbIn.REQ, request ^ 1 << 8)


def test_state_requests_are_lost_and_late_on_the_slot_and_in_the_state_that_the_rule_says(bench: Bench) -> None:
    bench.put_ring(*STORE)
    arm(bench, "state-lost,state=start,slot=1", "state-late,state=suspend,ms=40")
    bench.start()
    bench.pump(lambda: stored(bench))
    bench.request(SUSPEND)
    bench.elapse(0.03)
    assert not bench.acknowledged(SUSPEND)
    bench.elapse(0.02)
    assert bench.acknowledged(SUSPEND)
    arm(bench, "state-lost,state=start")
    bench.prepare_group()
    bench.request(START)
    bench.elapse(1)
    assert not bench.acknowledged(START)


def test_events_are_lost_and_late(bench: Bench) -> None:
    def idle_events() -> bool:
        return bool(bench.take_events() & Csg.IDLE)

    arm(bench, "event-lost,event=idle", "event-late,event=idle,ms=30")
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: stored(bench))
    bench.elapse(0.1)
    assert not idle_events()
    bench.put_ring(*STORE, at=32)
    bench.ring(1)
    bench.elapse(0.01)
    assert not idle_events()
    bench.elapse(0.03)
    assert idle_events()


def test_a_late_event_of_a_stopped_mcu_touches_nothing(bench: Bench) -> None:
    arm(bench, "event-late,event=idle,ms=30")
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: stored(bench))
    bench.write("MCU_CONTROL", 0)
    before = bench.iface(bench.layout.csg_output(0) + CsgOut.ACK)
    bench.elapse(0.1)
    assert bench.iface(bench.layout.csg_output(0) + CsgOut.ACK) == before


TILING = (0x0148800000003000, 0x3000480000000000, 0x3100000000000000, 0x0500000000000000, 0x0300000000FF0000)
TILER_OOM = 1 << 26


def test_the_tiler_takes_a_chunk_though_no_parameter_says_so(bench: Bench) -> None:
    arm(bench, "tiler-chunk")
    bench.put_ring(*TILING, *STORE)
    bench.start()
    bench.elapse(0.05)
    assert bench.take_stream_events() == TILER_OOM
    assert not stored(bench)


def test_a_late_event_of_a_group_that_has_left_its_slot_touches_nothing(bench: Bench) -> None:
    arm(bench, "tiler-chunk", "event-late,event=tiler-oom,ms=300")
    bench.put_ring(*TILING, *STORE)
    bench.start()
    bench.elapse(0.05)
    bench.request(SUSPEND)
    bench.elapse(0.05)
    assert bench.acknowledged(SUSPEND)
    before = bench.iface(bench.layout.cs_output(0, 0) + CsOut.ACK)
    bench.elapse(0.5)
    assert bench.iface(bench.layout.cs_output(0, 0) + CsOut.ACK) == before
    assert not bench.take_stream_events()


@pytest.mark.parametrize("state", [SUSPEND, Csg.TERMINATE])
def test_what_a_group_has_to_say_is_said_before_it_has_left_its_slot(bench: Bench, state: int) -> None:
    """Then no slot without a group has an event: the driver takes those of a group when it has left, and no others."""
    arm(bench, "event-late,event=idle,ms=30")
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: stored(bench))
    assert not bench.take_events()
    bench.request(state)
    assert bench.acknowledged(state)
    assert bench.take_events() == Csg.IDLE
    bench.elapse(0.1)
    assert not bench.take_events()


def test_interrupt_messages_are_lost_late_and_doubled(bench: Bench) -> None:
    def messages(seconds: float) -> int:
        before = irq.raised
        bench.elapse(seconds)
        return int(irq.raised - before)

    import os

    irq = next(irq for irq in bench.gpu.irqs if irq.name == "gpu")
    irq.connect(os.eventfd(0, os.EFD_NONBLOCK))
    gpu_raw(bench)
    arm(bench, "irq-lost,line=gpu", "irq-late,line=gpu,ms=20", "irq-twice,line=gpu,ms=20")
    seen = []
    for _ in range(4):
        before = irq.raised
        bench.write("GPU_CMD", 0x33304)
        now = irq.raised - before
        seen.append((now, messages(0.03)))
        gpu_raw(bench)
    assert sorted(seen) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    irq.connect(None)


def test_interrupts_are_raised_again_as_often_as_they_are_cleared(bench: Bench) -> None:
    flushed = GpuIrq.CLEAN_CACHES_COMPLETED
    gpu_raw(bench)
    arm(bench, "irq-storm,line=gpu,ms=0,times=3")
    bench.write("GPU_CMD", 0x33304)
    assert [bool(gpu_raw(bench) & flushed) for _ in range(6)] == [True] * 4 + [False] * 2
    arm(bench, "irq-storm,line=gpu,ms=20,times=1")
    bench.write("GPU_CMD", 0x33304)
    assert gpu_raw(bench) & flushed
    assert not gpu_raw(bench) & flushed
    bench.elapse(0.03)
    assert gpu_raw(bench) & flushed


@pytest.mark.parametrize("ms", [0, 20])
def test_no_firmware_no_storm_of_its_interrupts(bench: Bench, ms: int) -> None:
    """Else nothing that a driver does would end it."""

    def job_raw() -> int:
        raw: int = bench.read("JOB_INT_RAWSTAT")
        bench.write("JOB_INT_CLEAR", raw)
        return raw

    arm(bench, f"irq-storm,line=job,ms={ms},times=0")
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: stored(bench))
    for _ in range(3):
        bench.elapse(0.03)
        assert job_raw()
    bench.write("MCU_CONTROL", 0)
    job_raw()
    bench.elapse(0.03)
    assert not job_raw()


def test_an_access_faults_though_it_is_mapped(bench: Bench) -> None:
    arm(bench, "mmu-fault,requester=lsu,access=write,exception=0xcb")
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: bench.as_read(1, "FAULTSTATUS") != 0)
    assert bench.as_read(1, "FAULTSTATUS") & 0x3FF == 0x3CB
    assert bench.as_read(1, "FAULTADDRESS_LO") == RESULT_VA
    assert not stored(bench)


@pytest.mark.parametrize(("rule", "event"), [("cs-fault,exception=0x58", 1 << 31), ("cs-fatal", 1 << 30)])
def test_a_stream_reports_what_it_has_not_done(bench: Bench, rule: str, event: int) -> None:
    arm(bench, rule)
    bench.put_ring(*STORE)
    bench.start()
    bench.elapse(0.05)
    assert not stored(bench)
    assert bench.take_stream_events() == event
    bench.put_ring(0x2F00000000000000, *STORE, at=32)  # an ERROR_BARRIER ends what a fault leaves out
    bench.ring(1)
    bench.elapse(0.05)
    assert stored(bench) is ("fatal" not in rule)


def test_a_gpu_fault_is_raised_at_a_start(bench: Bench) -> None:
    gpu_raw(bench)
    arm(bench, "gpu-fault,exception=0x8a")
    bench.put_ring(*STORE)
    bench.start()
    assert gpu_raw(bench) & GpuIrq.FAULT
    assert bench.read("GPU_FAULT_STATUS") & 0xFF == 0x8A


COMPUTE = (0x1700000000000002, 0x2200000000000001, 0x0400000000000000, 0x2200000000000000, 0x0300000000040000)
TILING_ALONE = (0x1700000000000002, 0x2200000000000004, 0x0500000000000000, 0x2200000000000000, 0x0300000000040000)


@pytest.mark.parametrize(
    ("stream", "endpoint", "late"),
    [(COMPUTE, "compute", True), (COMPUTE, "tiler", False), (TILING_ALONE, "tiler", True), (STORE, "compute", False)],
)
def test_work_on_an_endpoint_ends_late(bench: Bench, stream: tuple[int, ...], endpoint: str, late: bool) -> None:
    """Who waits for its scoreboard entry waits; other endpoints are not meant."""
    arm(bench, f"work-late,endpoint={endpoint},ms=200")
    bench.put_ring(*stream, *(() if stream is STORE else STORE))
    bench.start()
    bench.elapse(0.05)
    assert stored(bench) is not late
    bench.elapse(0.3)
    assert stored(bench)
    assert bench.reporter.counts["injected"] == late


def test_every_misdeed_is_asked_for_by_the_model() -> None:
    """A row of the table that nothing looks at would be a promise that nobody keeps."""
    from pathlib import Path

    import panthorlab.gpu

    sources = "".join(
        path.read_text() for path in Path(panthorlab.gpu.__path__[0]).rglob("*.py") if path.name != "misbehave.py"
    )
    built = {f"{what}-{how}" for what in ("reset", "flush") for how in ("lost", "late")}
    assert {name for name in BY_NAME if f'"{name}"' not in sources} == built
    assert 'f"{what}-lost"' in sources


def test_nothing_goes_wrong_by_itself(bench: Bench) -> None:
    bench.put_ring(*STORE)
    bench.start()
    bench.pump(lambda: stored(bench))
    assert bench.reporter.counts["injected"] == 0
    assert bench.iface(bench.layout.csg_input(0) + CsgIn.REQ) & 7 == START
