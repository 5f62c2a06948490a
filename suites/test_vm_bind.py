# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps, remaps and unmaps at every alignment: the GPU itself stores through the addresses and shows what is mapped. VMs
as wholes: more than address spaces, the part that is the kernel's own, fresh memory."""

from __future__ import annotations

import pytest

from panthorlab.errors import EvidenceError
from panthorlab.run.faults import STORE_FAULTS, must_have_faulted
from panthorlab.run.session import Session

pytestmark = [pytest.mark.driver("vm", "groups")]


@pytest.mark.parametrize("mode", ["small", "huge"])
def test_part_of_a_mapping_is_unmapped(session: Session, mode: str) -> None:
    session.check("gpu-vm", "--mode", mode, timeout=60)


def test_first_mapping_gets_all_its_page_tables(session: Session) -> None:
    session.check("gpu-vm", "--mode", "tables")


def test_random_operations(session: Session) -> None:
    session.check("gpu-vm", "--mode", "random", "--seed", "1", "--count", "80", timeout=60)


def test_what_is_unmapped_faults(session: Session) -> None:
    """The trigger of the others is real: each store through an address that was unmapped faults at that address."""
    with session.findings_expected(STORE_FAULTS) as found:
        info = session.check("gpu-vm", "--mode", "holes", timeout=60).info
    must_have_faulted(info, found())


def test_more_vms_than_address_spaces(session: Session) -> None:
    session.check("gpu-vm", "--mode", "spaces", "--count", "15", timeout=60)


def test_address_space_is_taken_over_during_a_call(session: Session) -> None:
    result = session.check("gpu-vm", "--mode", "taken", "--count", "10", timeout=60)
    if result.info["taken"] == "0":
        raise EvidenceError("in no round was the mapping call still under way when its address space was taken over")


def test_kernel_addresses_are_kept(session: Session) -> None:
    session.check("gpu-vm", "--mode", "kernel-range")


def test_what_is_read_only_is_not_written(session: Session) -> None:
    with session.findings_expected(STORE_FAULTS) as found:
        info = session.check("gpu-vm", "--mode", "protection").info
    must_have_faulted(info, found())


def test_fresh_memory_is_zero(session: Session) -> None:
    session.check("gpu-vm", "--mode", "zero", "--count", "6")
