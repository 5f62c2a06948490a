# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores that must fault: a test of them fails if one did not, if none was tried, and if something else did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kmsg import Kind
from panthorlab.kmsg.model import Finding
from panthorlab.run.faults import must_have_faulted

VA = st.integers(0, 2**48 - 1)


def fault(va: int | None, kind: str = "mmu-fault") -> Finding:
    """As the kernel prints it: sixteen digits."""
    return Finding(Kind(kind), kind, kind, 1, va=None if va is None else f"0x{va:016X}")


def told(*stored: int) -> dict[str, str]:
    """As the guest tells it, among other things."""
    return {"can": "1"} | {f"fault{va:x}": f"0x{va:x}" for va in stored}


@given(st.sets(VA, min_size=1), st.sets(VA))
def test_every_store_has_faulted(stored: set[int], others: set[int]) -> None:
    must_have_faulted(told(*stored), map(fault, stored | others))
    must_have_faulted(told(*stored), map(fault, stored), alone=True)


@given(st.sets(VA, min_size=1), st.data())
def test_one_that_has_not_faulted_fails(stored: set[int], data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(sorted(stored)))
    for alone in (False, True):
        with pytest.raises(AssertionError, match=f"no fault at {lost:#x}$"):
            must_have_faulted(told(*stored), map(fault, stored - {lost}), alone=alone)


def test_no_store_fails() -> None:
    with pytest.raises(AssertionError, match="no store was tried"):
        must_have_faulted(told(), [fault(0x1000)])


def test_a_fault_elsewhere_fails_a_test_that_wants_none() -> None:
    with pytest.raises(AssertionError, match="faults at 0x2000, where nothing was stored"):
        must_have_faulted(told(0x1000), [fault(0x1000), fault(0x2000)], alone=True)


def test_other_findings_are_no_faults_of_the_mmu() -> None:
    with pytest.raises(AssertionError, match="no fault at 0x1000"):
        must_have_faulted(told(0x1000), [fault(0x1000, "cs-fault"), fault(None)])
