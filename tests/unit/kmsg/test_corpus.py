# SPDX-License-Identifier: GPL-2.0-or-later
"""Every labelled log gives exactly the findings it is labelled with, however it is cut and filtered."""

from __future__ import annotations

import pytest

from panthorlab.kmsg import RecordReader, find, scan, scan_bytes
from tests.unit.kmsg.corpus import FIXTURES, Fixture


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_findings_are_those_of_the_label(fixture: Fixture) -> None:
    found = scan_bytes(fixture.log)
    assert [finding.kind.value for finding in found] == [expected.kind for expected in fixture.findings]
    assert [expected.mismatch(finding) for expected, finding in zip(fixture.findings, found, strict=True)] == [
        None for _ in found
    ]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_prefilter_and_chunks_change_nothing(fixture: Fixture) -> None:
    whole = list(scan([fixture.log]))
    assert list(scan([fixture.log], prefilter=False)) == whole
    for size in (1, 7, 64):
        chunks = [fixture.log[at : at + size] for at in range(0, len(fixture.log), size)]
        assert list(scan(chunks)) == whole
    reader = RecordReader()
    assert list(find(reader.feed(fixture.log) + reader.close())) == whole


def test_there_is_a_corpus() -> None:
    assert len(FIXTURES) > 60
    assert sum(not fixture.findings for fixture in FIXTURES) >= 4
