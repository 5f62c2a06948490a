# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of evidence, each of which must be able to turn a good iteration into an ERROR or a FAIL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panthorlab.kmsg.markers import Window, windows
from panthorlab.kmsg.records import RecordReader
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.judge import Evidence, judge
from panthorlab.run.ktap import Report
from panthorlab.run.workload import Workload

WORK = Workload("heap-exit/exit", ("heap-exit",))
BOOT = "01234567-89ab-cdef-0123-456789abcdef"
GOOD = Report("b-1", WORK.name, True, 0, 0, 8000, "ok", 1, ((True, "job"),), (), BOOT)
BEGIN = f"14,10,1000,-;panthorlab: begin id=b-1 workload=heap-exit/exit boot={BOOT}\n".encode()
END = b"14,%d,3000,-;panthorlab: end id=b-1\n"
FAULT = (
    b"3,11,2000,-;panthor mali-gpu.1.auto: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000\\x0a"
    b"raw fault status: 0x7CD003C3\\x0adecoded fault status: SLAVE FAULT\\x0aexception type 0xC3: TRANSLATION_FAULT_3"
    b"\\x0aaccess type 0x3: WRITE\\x0asource id 0x7CD0\\x0a\n"
)


def window(*lines: bytes) -> Window:
    reader = RecordReader()
    records = [*reader.feed(b"".join(lines)), *reader.close()]
    return next(item for item in windows(records) if item.id == "b-1")


CLEAN = Evidence("b-1", GOOD, window(BEGIN, END % 11), BOOT, ())


def test_whole_and_clean_is_a_pass() -> None:
    event = judge(WORK, CLEAN)
    assert (event.outcome, event.faulty, event.terminations) == (Outcome.PASS, 0, 1)


def test_fault_between_the_markers_is_a_kernel_failure() -> None:
    seen = window(BEGIN, FAULT, END % 12)
    event = judge(WORK, replace(CLEAN, window=seen, findings=seen.findings))
    assert (event.outcome, event.blame, event.faulty) == (Outcome.FAIL, Blame.KERNEL, 1)
    assert event.kinds == ("mmu-fault",)
    assert event.findings[0]["va"] == "0x0000800000003000"


def test_faults_never_outnumber_terminations() -> None:
    seen = window(BEGIN, FAULT, FAULT.replace(b"3,11", b"3,12"), END % 13)
    assert judge(WORK, replace(CLEAN, window=seen, findings=seen.findings)).faulty == 1
    round_of_20 = replace(CLEAN, window=seen, findings=seen.findings, report=replace(GOOD, terminations=20))
    assert judge(WORK, round_of_20).faulty == 2


@pytest.mark.parametrize(
    "hole",
    [
        {"window": None},
        {"boot_id": "fedcba98-7654-3210-fedc-ba9876543210"},
        {"report": replace(GOOD, boot="")},
        {"window": window(BEGIN.replace(b"-cdef-", b"-0000-"), END % 11)},
        {"window": window(BEGIN.partition(b" boot=")[0] + b"\n", END % 11)},
        {"window": window(BEGIN, END % 12)},  # record 11 is missing
        {"window": window(END % 11)},  # no begin marker
        {"report": None},
        {"hazards": ("unmodelled: register 0x3fc",)},
        {"died": ("QEMU died", Blame.LAB)},
    ],
    ids=[
        "no-end-marker",
        "rebooted",
        "report-of-no-boot",
        "log-of-another-boot",
        "log-of-no-boot",
        "sequence-gap",
        "no-begin-marker",
        "report-cut-off",
        "unmodelled",
        "lab-died",
    ],
)
def test_holes_are_errors_never_passes(hole: dict[str, object]) -> None:
    event = judge(WORK, replace(CLEAN, **hole))  # type: ignore[arg-type]
    assert (event.outcome, event.blame) == (Outcome.ERROR, Blame.LAB)
    assert event.message


TIMEOUT = b"3,11,2000,-;panthor mali-gpu.1.auto: [drm] *ERROR* CSG slot 0 progress timeout\n"
LATE = ("late: the host kept the model waiting for 130 ms",)


@pytest.mark.parametrize(
    ("said", "late", "finds", "outcome"),
    [
        ((TIMEOUT,), LATE, WORK.finds, Outcome.ERROR),
        ((TIMEOUT,), (), WORK.finds, Outcome.FAIL),
        ((TIMEOUT,), LATE, ("job-timeout",), Outcome.FAIL),  # what the workload is there to provoke
        ((FAULT,), LATE, WORK.finds, Outcome.FAIL),
        ((FAULT, TIMEOUT.replace(b"3,11", b"3,12")), LATE, WORK.finds, Outcome.ERROR),
        ((FAULT, TIMEOUT.replace(b"3,11", b"3,12")), LATE, (), Outcome.FAIL),  # no host makes a GPU fault
        ((), LATE, WORK.finds, Outcome.PASS),
    ],
)
def test_time_outs_on_an_overloaded_host_are_not_the_kernels(
    said: tuple[bytes, ...], late: tuple[str, ...], finds: tuple[str, ...], outcome: Outcome
) -> None:
    seen = window(BEGIN, *said, END % (11 + len(said)))
    event = judge(replace(WORK, finds=finds), replace(CLEAN, window=seen, findings=seen.findings, late=late))
    assert event.outcome == outcome
    if outcome is Outcome.ERROR:
        assert event.blame is Blame.LAB
        assert "job-timeout while the host was overloaded: late: the host kept" in event.message


def test_memory_right_but_fence_error_is_a_failure() -> None:
    report = replace(GOOD, ok=False, subtests=((False, "job: memory ok, fence status -125"),))
    event = judge(WORK, replace(CLEAN, report=report))
    assert (event.outcome, event.blame, event.program_failed) == (Outcome.FAIL, Blame.KERNEL, True)


def test_next_job_failing_is_a_failure() -> None:
    event = judge(WORK, replace(CLEAN, report=replace(GOOD, ok=False, sentinel="fail")))
    assert event.outcome == Outcome.FAIL
    assert "next process" in event.message


def test_kernel_death_is_the_kernels_even_without_markers() -> None:
    event = judge(WORK, replace(CLEAN, window=None, report=None, died=("kernel panic: oops", Blame.KERNEL)))
    assert (event.outcome, event.blame) == (Outcome.FAIL, Blame.KERNEL)
