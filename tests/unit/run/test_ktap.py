# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from panthorlab.run.ktap import Begun, Report, info, parse_iterations

OUTPUT = """\
KTAP version 1
1..2
# panthorlab begin id=b-1 workload=heap-exit/exit
    KTAP version 1
    # gpu heap-context va=0x800000003000 size=0x40 heap=0
    ok 1 job
    1..1
ok 1 heap-exit/exit # id=b-1 status=0 signal=0 us=8123 sentinel=ok
# panthorlab end id=b-1
# panthorlab begin id=b-2 workload=heap-exit/exit boot=01234567-89ab-cdef-0123-456789abcdef
    # terminations 20
    not ok 1 job fence -125
not ok 2 heap-exit/exit # id=b-2 status=1 signal=0 us=99 sentinel=fail
# panthorlab end id=b-2
"""


def test_reports_with_subtests_and_weights() -> None:
    begun, first, _, second = list(parse_iterations(OUTPUT.splitlines()))
    assert begun == Begun("b-1", "heap-exit/exit")
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert first.ok
    assert first.us == 8123
    assert first.terminations == 1
    assert first.why == ""
    assert not second.ok
    assert second.terminations == 20
    assert second.why == "not ok: job fence -125; the next process's job did not work"


def test_cut_off_iteration_has_no_report() -> None:
    whole = OUTPUT.splitlines()
    for end in (3, 6, 7, 8):
        assert not [item for item in parse_iterations(whole[:end]) if isinstance(item, Report)]


def test_result_of_another_iteration_is_not_taken() -> None:
    forged = OUTPUT.replace("# id=b-1", "# id=b-7").splitlines()
    reports = [item for item in parse_iterations(forged) if isinstance(item, Report)]
    assert [report.id for report in reports] == ["b-2"]


def test_indented_lines_cannot_pose_as_results() -> None:
    lines = [
        "# panthorlab begin id=a-1 workload=w",
        "    ok 1 w # id=a-1 status=0 signal=0 us=1 sentinel=ok",
        "    # panthorlab end id=a-1",
    ]
    assert list(parse_iterations(lines)) == [Begun("a-1", "w")]


def test_info() -> None:
    assert info(["# info gpu_id=0xa8670005", "# other"]) == {"gpu_id": "0xa8670005"}
