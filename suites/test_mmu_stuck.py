# SPDX-License-Identifier: GPL-2.0-or-later
"""The MMU does not answer: the driver resets the GPU, and neither frees what it still uses nor starts what has no
address space. `test_deep_mmu_stuck.py` has more of it.

Warnings of kernels before 7.0 are allowed, and a VM that stays: they leave page tables and the table of mappings at
odds when a flush fails (docs/findings/0003-stuck-mmu-page-tables.md). An oops is not.
"""

from __future__ import annotations

from panthorlab.run.fuzz import LEFT, must_be_borne
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES, kernel_version, with_warnings

STUCK = """
vm_create v0
heap_create h0 vm=v0 chunks=4 max=5
group_create g0 vm=v0
submit group=g0 stream=loop
sleep ms=20
misdeed as-stuck,space=user,ms=3000
"""

# The addresses of the first heap's objects are given back though they cannot be unmapped. Who gets the memory that
# described them, the next heap's, must not find it in use.
HEAPS = f"""{STUCK}\
heap_destroy heap=h0
heap_create h1 vm=v0 chunks=4 max=5
heap_create h2 vm=v0 chunks=4 max=5
heap_destroy heap=h1
heap_create h3 vm=v0 chunks=4 max=5
heap_destroy heap=h2
vm_create v1
heap_create h4 vm=v1 chunks=4 max=5
exit
"""

# What the kernel maps for itself, and cannot: it must let go of all that it has got for that.
HEAP = f"""{STUCK}\
heap_create h1 vm=v0 chunks=4 max=5
exit
"""


def bear(session: Session, script: str) -> None:
    before = session.struck("as-stuck")
    left = {LEFT} if session.driver.name != "panthor" or kernel_version(session) < (7, 0) else set()
    must_be_borne(session, script, but=with_warnings(session, *left), deadline=20)
    assert session.struck("as-stuck") > before, "no address space was stuck"


def test_heap_goes(session: Session) -> None:
    bear(session, HEAPS)


def test_heap_comes(session: Session) -> None:
    bear(session, HEAP)


def test_group_gets_no_address_space(session: Session) -> None:
    """Enabling the address space fails, so its group must not be started; after the reset it must."""
    stuck = "as-stuck,space=user,ms=100000"
    with session.misbehaving(stuck), session.findings_expected(with_warnings(session, *CONSEQUENCES)) as found:
        result = session.check("gpu-sched", "--mode", "patient", timeout=90)
        kinds = {finding.kind.value for finding in found()}
        session.job("store", timeout=60, retries=3)
    assert "power-error" in kinds, f"the driver said nothing of it: {sorted(kinds)}"
    assert result.info["fence_status"] == "1", f"the job ended with {result.info['fence_status']}"


def test_vm_whose_queue_has_failed_is_lost(session: Session) -> None:
    """What its queue has not done, later mappings may count upon: the VM must say that it is lost, and take no more."""
    before = session.struck("as-stuck")
    with session.findings_expected(with_warnings(session, *CONSEQUENCES)):
        with session.misbehaving("as-stuck,nth=20,ms=60000,space=user"):
            session.check("gpu-vm", "--mode", "lost", timeout=60)
            assert session.struck("as-stuck") > before, "no address space was stuck"
        session.job("store", timeout=60, retries=3)
