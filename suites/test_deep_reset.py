# SPDX-License-Identifier: GPL-2.0-or-later
"""The GPU is reset while the driver is about something else than a job: mappings of a VM's queue, a heap that grows,
groups that leave their slots, the way to sleep. It bears each, and the next process's job works.

No driver tells of a reset that goes well, but the firmware is started then. What keeps the GPU awake, a stream without
an end or the setting, sees to it that nothing else starts it.
"""

from __future__ import annotations

from collections.abc import Collection

import pytest

from panthorlab.run.fuzz import LEFT, must_be_borne
from panthorlab.run.session import Session
from panthorlab.run.trouble import awake, wrong_warnings

pytestmark = [pytest.mark.driver("vm", "groups", "heaps", "power", "recovery"), pytest.mark.deep]

BROKEN = "cs-fatal,exception=0x41"
"""CS_UNRECOVERABLE: the driver must reset the GPU."""

# The calls go on for longer than the reset, which the firmware takes 40 ms for, and are through before the process
# ends: what is mapped after that, no kernel lets go (docs/findings/0022).
MAPPINGS = f"""
vm_create v0
bo_create b0 size=0x400000 vm=v0
group_create g0 vm=v0
group_create g1 vm=v0
misdeed boot-late,ms=40,times=0
misdeed {BROKEN}
bind vm=v0 bo=b0 va=0x40000000 size=0x400000 async times=150 beside
unbind vm=v0 va=0x40100000 size=0x100000 async times=150 beside
submit group=g0 stream=store
sleep ms=100
submit group=g1 stream=store signal=s0
wait sync=0 ms=2000
sleep ms=1000
unbind vm=v0 va=0x40000000 size=0x400000 async signal=s1
wait sync=1 ms=2000
"""

# The command that does not end is a mapping's own, and others wait behind it in the queue.
STUCK_MAPPING = """
vm_create v0
bo_create b0 size=0x400000 vm=v0
group_create g0 vm=v0
submit group=g0 stream=loop
sleep ms=20
misdeed boot-late,ms=1,times=0
misdeed as-stuck,space=user,nth=5,ms=400
bind vm=v0 bo=b0 va=0x40000000 size=0x400000 async times=40 beside
unbind vm=v0 va=0x40100000 size=0x100000 async times=40 beside
sleep ms=600
"""

# The tiler on slot 0 wants a chunk, and the driver does not know yet, when the stream on slot 1 breaks off.
GROWTH = f"""
vm_create v0
heap_create h0 vm=v0 chunks=1 max=20
group_create g0 vm=v0
group_create g1 vm=v0
misdeed tiler-chunk,times=0
misdeed event-late,event=tiler-oom,ms=80,times=0
misdeed boot-late,ms=1,times=0
misdeed {BROKEN},slot=1
submit group=g0 stream=tiles
sleep ms=20
submit group=g1 stream=store
sleep ms=200
"""

# More groups than slots: at every tick some must leave, and take longer than until the next one.
TICK = "\n".join(
    (
        "vm_create v0",
        *(f"group_create g{number} vm=v0" for number in range(12)),
        "misdeed state-late,state=suspend,ms=60,times=0",
        "misdeed boot-late,ms=1,times=0",
        *(f"submit group=g{number} stream=loop" for number in range(12)),
        "sleep ms=150",
        f"misdeed {BROKEN}",
        "sleep ms=300",
    )
)

# The only job is over with the stream that breaks off: the driver may let the GPU sleep before the reset is over.
SLEEP = f"""
vm_create v0
group_create g0 vm=v0
submit group=g0 stream=loop
sleep ms=20
misdeed boot-late,ms=200,times=0
misdeed {BROKEN}
suspended ms=3000
"""


# A job keeps the GPU awake until it is reset, a mapping does not. When the command has been stuck for 100 ms, the
# driver resets the GPU, and the firmware takes 300 ms for it; meanwhile the GPU has had nothing to do for long enough.
SLEEP_BY_MAPPING = """
vm_create v0
bo_create b0 size=0x400000 vm=v0
group_create g0 vm=v0
misdeed boot-late,ms=300,times=0
submit group=g0 stream=store signal=s0
wait sync=0 ms=2000
misdeed as-stuck,space=user,nth=1,ms=130
bind vm=v0 bo=b0 va=0x40000000 size=0x400000
suspended ms=3000
"""
IDLE_MS = 270


def borne(session: Session, script: str, *triggers: str, but: Collection[str] = ()) -> None:
    """`triggers`: misdeeds that must have struck; each script has a reset, which boot-late shows."""
    names = ("boot-late", *triggers)
    before = {name: session.struck(name) for name in names}
    must_be_borne(session, script, but={"cs-fatal", *but})
    missed = [name for name in names if session.struck(name) == before[name]]
    assert not missed, f"no occasion for {', '.join(missed)}"


def require(session: Session, *misdeeds: str) -> None:
    if missing := [name for name in ("boot-late", *misdeeds) if not session.can_inject(name)]:
        pytest.skip(f"this board cannot do wrong on purpose: {', '.join(missing)}")


def test_while_mappings_are_made(session: Session) -> None:
    require(session, "cs-fatal")
    with awake(session):
        borne(session, MAPPINGS, "cs-fatal")


def test_because_of_a_mapping(session: Session) -> None:
    """Page tables and the table of mappings may be at odds then (docs/findings/0003)."""
    require(session, "as-stuck")
    borne(session, STUCK_MAPPING, "as-stuck", but={"warning", LEFT})


def test_while_a_heap_grows(session: Session) -> None:
    require(session, "tiler-chunk", "event-late", "cs-fatal")
    with awake(session):
        borne(session, GROWTH, "tiler-chunk", "event-late", "cs-fatal")


def test_while_groups_leave_their_slots(session: Session) -> None:
    """6.12 and 6.18 warn of groups that wait for a slot meanwhile (docs/findings/0025), and are right otherwise."""
    require(session, "state-late", "cs-fatal")
    with session.findings_expected({"warning"}) as found:
        borne(session, TICK, "state-late", "cs-fatal", but={"warning"})
    wrong = wrong_warnings(session, found())
    assert not wrong, "\n".join(wrong)


def test_on_the_way_to_sleep(session: Session) -> None:
    require(session, "cs-fatal")
    borne(session, SLEEP, "cs-fatal")


def test_sleep_is_due_during_it(session: Session) -> None:
    """Page tables may be as in `test_because_of_a_mapping`."""
    require(session, "as-stuck")
    with awake(session, IDLE_MS):
        borne(session, SLEEP_BY_MAPPING, "as-stuck", but={"warning", LEFT})
