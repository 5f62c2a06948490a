# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's tracepoints, while the GPU works, sleeps, is reset and taken away: they tell what happens, and no more.

gpu_power_status unmasks interrupts that are masked without it, also of a GPU that sleeps. Drivers of 6.x have none. A
kernel with lockdep has events in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from panthorlab.run.session import Session
from panthorlab.run.tracepoints import GLOBAL, JOB_IRQ, POWER, DriverEvent, Tracepoints
from panthorlab.run.trouble import CONSEQUENCES, awake, rebind

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


def test_turned_on_at_work_and_off_asleep(session: Session, traced: Tracepoints) -> None:
    with awake(session):
        session.job("store")
        traced.forget()
        traced.turn(POWER, on=True)
    sleep(session)
    told = traced.seen(POWER)
    traced.turn(POWER, on=False)
    expect_power(session, told, SLEEPS - 1)
    sleep(session, 1)


def test_reset(session: Session, traced: Tracepoints) -> None:
    """The GPU does not sleep meanwhile: what is switched on is so after the reset."""
    with awake(session), traced.on(POWER, JOB_IRQ):
        session.job("store")
        traced.forget()
        before = session.struck("reset-late")
        rules = ("cs-fatal,exception=0x41", "reset-late,ms=1,times=0")
        with session.findings_expected({"cs-fatal", *CONSEQUENCES}), session.misbehaving(*rules):
            session.job("store", must_pass=False)
            session.job("store", timeout=60, retries=3)
        assert session.struck("reset-late") > before, "the GPU was not reset"
        expect_power(session, traced.seen(POWER), 1)
        assert any(event.fields["events"] & GLOBAL for event in traced.seen(JOB_IRQ)), "no firmware has started"
    traced.forget()
    sleep(session)
    assert not traced.seen(POWER), "told though it is off"


def test_turned_off_while_no_driver_is_there(session: Session, traced: Tracepoints) -> None:
    traced.forget()
    traced.turn(POWER, on=True)
    try:
        session.check("gpu-bind", "--mode", "off", timeout=60)
    finally:
        traced.turn(POWER, on=False)
        rebind(session)
    traced.forget()
    sleep(session)
    assert not traced.seen(POWER), "told though it is off"


def test_driver_that_comes_while_it_is_on(session: Session, traced: Tracepoints) -> None:
    with traced.on(POWER):
        rebind(session)
        traced.forget()
        sleep(session)
        told = traced.seen(POWER)
    if not told:
        pytest.xfail("docs/findings/0060: nothing is told of a GPU that the driver got when it was on already")
    expect_power(session, told, SLEEPS)


def test_power_changes_all_the_time(session: Session, traced: Tracepoints) -> None:
    """As often as the driver clears the interrupt. It must do its work meanwhile, and end when they do."""
    with traced.on(POWER), session.misbehaving("irq-storm,line=gpu,ms=0,times=200"):
        before = session.struck("irq-storm")
        sleep(session)
        assert session.struck("irq-storm") > before, "no storm"
        assert len(traced.seen(POWER)) >= 100, "the storm was not told"
    sleep(session)
