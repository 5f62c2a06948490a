# SPDX-License-Identifier: GPL-2.0-or-later
"""Misdeeds of a GPU that says too much, or too early: what it has not done is done later, and exactly once."""

from __future__ import annotations

from typing import Any

import pytest

from panthorlab.gpu.layout import Csg, CsgOut
from panthorlab.gpu.misbehave import parse
from panthorlab.gpu.registers import GpuIrq

Bench = Any  # conftest.Bench
STORE = (0x0144000001001000, 0x02460000DEADBEEF, 0x1546440000010000, 0x0300000000FF0000)
RESULT_VA = 0x100_1000
RESET, RESET_MS = 0x101, 10


def arm(bench: Bench, *rules: str) -> None:
    bench.gpu.chip.misbehaviour.arm(map(parse, rules))


def stored(bench: Bench) -> bool:
    return bool(bench.word(bench.user.pa(RESULT_VA)) == 0xDEADBEEF)


def test_a_group_begins_after_its_start_was_acknowledged(bench: Bench) -> None:
    arm(bench, "state-early,state=start,ms=20")
    bench.put_ring(*STORE)
    bench.start()
    assert bench.acknowledged(Csg.START)
    assert not stored(bench)
    bench.elapse(0.01)
    assert not stored(bench)
    assert not bench.take_events() & Csg.IDLE, "a group that is yet to begin is not idle"
    bench.elapse(0.02)
    assert stored(bench)


@pytest.mark.parametrize("state", [Csg.SUSPEND, Csg.TERMINATE])
def test_a_group_that_is_yet_to_begin_does_so_before_it_leaves(bench: Bench, state: int) -> None:
    arm(bench, "state-early,state=start,ms=20")
    bench.put_ring(*STORE)
    bench.start()
    bench.request(state)
    bench.pump(lambda: bench.acknowledged(state))
    bench.elapse(0.1)
    assert not bench.gpu.mcu.groups[0].active, "it has begun again"
    assert not bench.texts("check")


def test_a_group_that_is_yet_to_begin_goes_with_the_firmware(bench: Bench) -> None:
    arm(bench, "state-early,state=start,ms=20")
    bench.put_ring(*STORE)
    bench.start()
    bench.write("MCU_CONTROL", 0)
    bench.elapse(0.1)
    assert not stored(bench)
    assert not bench.gpu.mcu.groups[0].active


def test_a_reset_comes_after_it_is_said_to_be_over(bench: Bench) -> None:
    bench.write("GPU_INT_CLEAR", 0xFFFFFFFF)
    arm(bench, f"reset-early,ms={RESET_MS}")
    alive = bench.read("MCU_STATUS")
    bench.write("GPU_CMD", RESET)
    assert bench.read("GPU_INT_RAWSTAT") & GpuIrq.RESET_COMPLETED
    assert bench.read("MCU_STATUS") == alive == 1
    bench.elapse(2 * RESET_MS / 1000)
    assert bench.read("MCU_STATUS") == 0
    assert bench.read("L2_READY_LO") == 0


@pytest.mark.parametrize(
    ("event", "bit"), [("idle", Csg.IDLE), ("sync-update", Csg.SYNC_UPDATE), ("progress-timer", Csg.PROGRESS_TIMER)]
)
def test_an_event_comes_out_of_nothing(bench: Bench, event: str, bit: int) -> None:
    bench.put_ring(*STORE)
    arm(bench, f"event-false,event={event}")
    bench.start()
    bench.pump(lambda: stored(bench))
    assert bench.take_events() & bit
    assert bench.reporter.counts["injected"] == 1


def test_false_events_are_of_the_slot_that_the_rule_says(bench: Bench) -> None:
    bench.put_ring(*STORE)
    arm(bench, "event-false,event=progress-timer,slot=1")
    ack = bench.iface(bench.layout.csg_output(0) + CsgOut.ACK) & Csg.PROGRESS_TIMER
    bench.start()
    bench.pump(lambda: stored(bench))
    assert bench.iface(bench.layout.csg_output(0) + CsgOut.ACK) & Csg.PROGRESS_TIMER == ack
