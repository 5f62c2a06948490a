# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's tracepoints, while the GPU works and sleeps: they tell what happens, and no more.

gpu_power_status unmasks interrupts that are masked without it, also of a GPU that sleeps. Drivers of 6.x have none. A
kernel with lockdep has events in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from panthorlab.run.session import Session
from panthorlab.run.tracepoints import GLOBAL, JOB_IRQ, POWER, DriverEvent, Tracepoints

pytestmark = [pytest.mark.driver("vm", "groups", "power", "recovery"), pytest.mark.kernel("prove-locking")]
SLEEPS = 4
"""How often the GPU sleeps and wakes again."""
JOBS = 8


@pytest.fixture
def traced(session: Session) -> Tracepoints:
    return Tracepoints(session)


def sleep(session: Session, count: int = SLEEPS) -> None:
    """Jobs, and sleep after each."""
    session.job("suspend-loop", "--count", str(count), timeout=60)


def lit(events: Sequence[DriverEvent]) -> int:
    """How many of these changes of power found the L2 on."""
    return sum(event.fields["l2_bitmap"] != 0 for event in events)


def expect_power(session: Session, events: Sequence[DriverEvent], wakes: int) -> None:
    """Each time that the GPU wakes, its L2 is switched on, and the firmware has the cores, of those that there are."""
    info = session.gpu_info()
    cores = int(info["shader_present"], 0)
    assert lit(events) >= wakes, f"{wakes} times awake, {lit(events)} times told: {events}"
    assert any(event.fields["shader_bitmap"] for event in events), f"no core was ever on: {events}"
    strange = [event for event in events if event.fields["shader_bitmap"] & ~cores]
    assert not strange, f"cores that the GPU has not: {strange}"


def gpu_interrupts(session: Session) -> int:
    """How often panthor's interrupt `gpu` has come, on all CPUs."""
    text = session.board.shell.get("/proc/interrupts").decode("ascii", "replace")
    lines = [line.split() for line in text.splitlines() if line.endswith("panthor-gpu")]
    assert lines, "no interrupt is called panthor-gpu"
    return sum(int(word) for line in lines for word in line[1:] if re.fullmatch(r"\d+", word))


def test_power_is_told_each_time_that_the_gpu_wakes(session: Session, traced: Tracepoints) -> None:
    """Of a GPU that sleeps when it is turned on; when it is off again the interrupts are, too."""
    sleep(session)
    before = gpu_interrupts(session)
    sleep(session)
    usual = gpu_interrupts(session) - before
    with traced.on(POWER):
        sleep(session)
        told = traced.seen(POWER)
        expect_power(session, told, SLEEPS)
    traced.forget()
    before = gpu_interrupts(session)
    sleep(session)
    now = gpu_interrupts(session) - before
    assert not traced.seen(POWER), "told though it is off"
    assert now <= usual + SLEEPS / 2, f"{now} interrupts, {usual} before it was ever on"


def test_each_job_has_its_interrupt(session: Session, traced: Tracepoints) -> None:
    with traced.on(JOB_IRQ):
        for _ in range(JOBS):
            session.job("store")
        told = traced.seen(JOB_IRQ)
    of_slots = [event for event in told if event.fields["events"] & ~GLOBAL]
    assert len(of_slots) >= JOBS, f"{JOBS} jobs, {len(of_slots)} interrupts of slots: {told}"
    assert all(event.fields["events"] for event in told), f"an interrupt of nothing: {told}"
    assert any(event.fields["duration_ns"] > 0 for event in told), f"none has taken any time: {told}"
    with traced.on(JOB_IRQ):
        sleep(session)
        told = traced.seen(JOB_IRQ)
    started = sum(bool(event.fields["events"] & GLOBAL) for event in told)
    assert started >= SLEEPS, f"the firmware has started {SLEEPS} times and told {started} times: {told}"
    traced.forget()
    session.job("store")
    assert not traced.seen(JOB_IRQ), "told though it is off"
