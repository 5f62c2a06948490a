# SPDX-License-Identifier: GPL-2.0-or-later
"""Every failure that Tyr, panfrost and kbase tell is classified; other drivers and prose with their words are not."""

from __future__ import annotations

import re

import pytest

from panthorlab.kmsg import Kind, scan, scan_bytes
from panthorlab.kmsg.gpu_messages import split_prefix
from panthorlab.kmsg.messages import tables
from tests.unit.kmsg.corpus import DATA

LINES = [
    tuple(line.split("\t", 2))
    for line in (DATA / "driver-messages.tsv").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("driver", "expected", "line"), LINES, ids=[line[:60] for _, _, line in LINES])
def test_line_is_classified(driver: str, expected: str, line: str) -> None:
    log = f"[    1.000000] {line}\n".encode()
    found = scan_bytes(log)
    assert [finding.kind.value for finding in found] == ([] if expected == "harmless" else [expected])
    assert list(scan([log], prefilter=False)) == found
    for finding in found:
        assert finding.driver == driver
        assert not re.search(r"0x|\d{3}", finding.signature)


@pytest.mark.parametrize("host", ["tyr", "mali", "panthor"])
def test_a_machine_with_the_name_of_a_driver_is_none(host: str) -> None:
    assert not scan_bytes(f"Nov  1 12:00:00 {host} sshd[100]: GPU reset failed.\n".encode())
    [found] = scan_bytes(f"Nov  1 12:00:00 {host} kernel: panthor fb000000.gpu: [drm] *ERROR* job timeout\n".encode())
    assert (found.kind, found.driver, found.device) == (Kind.JOB_TIMEOUT, "panthor", "fb000000.gpu")


def test_every_row_has_a_line() -> None:
    """No row of a driver's own table may be one that nothing is known to match."""
    messages = [prefixed.message for _, _, line in LINES if (prefixed := split_prefix(line))]
    rows = [row for table in tables().values() for row in table]
    unseen = [row for row in rows if not any(map(re.compile(row.pattern).match, messages))]
    assert not unseen
