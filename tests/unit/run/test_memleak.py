# SPDX-License-Identifier: GPL-2.0-or-later
"""Which lost memory is the driver's, from kmemleak's file as kernels write it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import EvidenceError
from panthorlab.run.ktap import Report
from panthorlab.run.memleak import expect_nothing_lost, read_lost
from panthorlab.run.session import ProgramResult, Session

VMA = """\
unreferenced object 0xffff0000c5a3b000 (size 128):
  comm "gpu-vm", pid 231, jiffies 4294894262
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
    00 00 00 50 00 00 00 00 00 10 00 00 00 00 00 00  ...P............
  backtrace (crc 7f3a1b2c):
    [<00000000a1b2c3d4>] kmemleak_alloc+0x34/0x40
    [<00000000b1b2c3d4>] __kmalloc_cache_noprof+0x2ac/0x35c
    [<00000000c1b2c3d4>] panthor_vm_prepare_map_op_ctx+0x1b0/0x5a4
    [<00000000d1b2c3d4>] panthor_ioctl_vm_bind+0x2f4/0x868
    [<00000000e1b2c3d4>] drm_ioctl+0x20c/0x540
"""
MODULE = """\
unreferenced object 0xffff0000c5a3c000 (size 64):
  comm "kworker/u4:1", pid 12, jiffies 4294894999
  hex dump (first 8 bytes):
    00 00 00 00 00 00 00 00                          ........
  backtrace (crc 0):
    kmemleak_alloc+0x34/0x40
    queue_run_job+0x44/0x2b8 [panthor]
    process_one_work+0x1d8/0x4e8
"""
FOREIGN = """\
unreferenced object 0xffff0000c5a3d000 (size 4096):
  comm "swapper/0", pid 1, jiffies 4294892500
  backtrace (crc 0):
    [<00000000a1b2c3d4>] kmemleak_alloc_percpu+0x34/0x40
    [<00000000f1b2c3d4>] pcpu_alloc_noprof+0x3fc/0x8c0
"""


def _printed(text: str) -> list[str]:
    told = [f"# {line}" for line in text.splitlines()]
    return ["KTAP version 1", "1..1", *told, "# info lines_left_out=0", "ok 1 scan"]


def test_objects_are_the_drivers_if_it_made_them() -> None:
    mine, others = read_lost(_printed(VMA + MODULE + FOREIGN))
    assert [finding.line for finding in mine] == [1, 12]
    assert others == 1
    assert "panthor_vm_prepare_map_op_ctx" in mine[0].signature
    assert "queue_run_job" in mine[1].signature


@given(st.lists(st.sampled_from([VMA, MODULE, FOREIGN])))
def test_each_object_counts_once(reports: list[str]) -> None:
    mine, others = read_lost(_printed("".join(reports)))
    assert (len(mine), others) == (len(reports) - reports.count(FOREIGN), reports.count(FOREIGN))


@dataclass
class Asked:
    """What of a session is asked for: `memleak` has printed `text`, and was `ok`."""

    text: str
    ok: bool = True
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def findings_expected(self, _kinds: Any) -> Any:
        yield list

    def program(self, *argv: str, timeout: float) -> ProgramResult:
        assert argv == ("memleak",)
        assert timeout > 5
        report = Report("1", "memleak", self.ok, 0, 0, 1, "none", 0, ((self.ok, "scan"),), tuple(_printed(self.text)))
        return ProgramResult(report, ())

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_what_the_driver_has_lost_fails_the_test_and_what_others_have_is_told() -> None:
    with pytest.raises(AssertionError, match="lost 1 objects, among them"):
        expect_nothing_lost(cast(Session, Asked(FOREIGN + VMA)))
    with pytest.raises(AssertionError, match="lost 8 objects"):
        expect_nothing_lost(cast(Session, Asked(VMA * 8)))
    others = Asked(FOREIGN)
    expect_nothing_lost(cast(Session, others))
    assert others.notes == ["kmemleak reports 1 lost objects that are not the driver's"]


def test_a_detector_that_does_not_work_is_no_proof() -> None:
    with pytest.raises(EvidenceError, match="cannot be asked"):
        expect_nothing_lost(cast(Session, Asked("", ok=False)))
