# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says around a Mali driver in one line, and messages of Tyr, panfrost and kbase."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kmsg import scan, scan_bytes
from tests.unit.kmsg.corpus import DATA

ROWS = [
    line.split("\t", 3)
    for line in (DATA / "single-messages.tsv").read_text().splitlines()
    if not line.startswith("#")
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[3][:70])
@pytest.mark.parametrize("prefix", ["[    7.000001] ", "May 04 22:10:06 board kernel: ", ""])
def test_line_is_what_it_is(row: list[str], prefix: str) -> None:
    kind, driver, device, line = row
    log = f"{prefix}{line}\n".encode()
    found = scan_bytes(log)
    wanted = [] if kind == "none" else [(kind, driver, device)]
    assert [(it.kind.value, it.driver or "-", it.device or "-") for it in found] == wanted
    assert list(scan([log], prefilter=False)) == found
    for finding in found:
        assert not re.search(r"0x|\d", finding.signature.replace("l2-", "l-"))


@pytest.mark.parametrize("quote", [
    "+\tdev_err(dev, \"{}\\n\");", "  We see \"{}\" on boot", "grep '{}' dmesg.txt", "app[812]: {}",
])  # fmt: skip
def test_what_only_quotes_the_core_is_no_finding(quote: str) -> None:
    for line in (
        "deferred probe pending", "Unknown symbol foo (err -2)", "irq 42: nobody cared",
        "platform fb000000.gpu: deferred probe pending", "vdd_gpu: failed to enable: -110",
    ):  # fmt: skip
        assert scan_bytes(quote.format(line).encode()) == []


@given(st.lists(st.sampled_from(ROWS), max_size=12))
def test_lines_mean_the_same_in_company(rows: list[list[str]]) -> None:
    log = "".join(f"[{10.0 * at:12.6f}] {row[3]}\n" for at, row in enumerate(rows)).encode()
    assert list(scan([log])) == list(scan([log], prefilter=False))
    kinds = [finding.kind.value for finding in scan_bytes(log)]
    assert kinds == [row[0] for row in rows if row[0] != "none"]


def test_a_hung_task_of_which_only_the_second_line_is_left() -> None:
    log = b"""\
[    7.000000] INFO: task Xorg:92 is blocked on a mutex likely owned by task kworker/u33:6:1311.
[    7.000001] task:kworker/u33:6 state:D stack:0     pid:1311
[    7.000002] Call trace:
[    7.000003]  __switch_to+0x10/0x20
[    7.000004]  panthor_gpu_flush_caches+0x10/0x20 [panthor]
"""
    assert [(finding.kind, finding.driver) for finding in scan_bytes(log)] == [("hung-task", "panthor")]
