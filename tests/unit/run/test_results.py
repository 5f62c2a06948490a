# SPDX-License-Identifier: GPL-2.0-or-later
"""From events to verdict: what an interrupted, resumed or lab-struck run amounts to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from panthorlab.arch import ARCHES, ARM64, Arch, ArchName
from panthorlab.kernel.model import Kernel
from panthorlab.outcome import Outcome, Side
from panthorlab.report import kcidb
from panthorlab.run import results
from panthorlab.run.arms import Arm
from panthorlab.verdict.model import Verdict

from .recorded import doubts_of, extension_of, judge, plan, report, typed

START: dict[str, Any] = {
    "event": "run-start", "time": 0.0, "suites": ["heap-exit-claim"], "command": ["panthorlab"],
    "options": {"expect": "fix", "boots": 2, "board": "b", "seed": 1},
}  # fmt: skip


def boot(
    side: str, slot: int, attempt: int, count: int, faulty: int, *, end: str | None = "PASS"
) -> list[dict[str, Any]]:
    """One boot with `count` iterations of which the first `faulty` are faulty."""
    where = {"boot": f"{side}{slot}.{attempt}", "slot": f"{side}{slot}", "side": side}
    events: list[dict[str, Any]] = [
        {"event": "boot-start", **where},
        {"event": "board", "name": "b", "facts": {}, **where},
        {"event": "quota", "workload": "w", "role": "claim", "planned": 120, "side_total": 240, **where},
    ]
    for number in range(count):
        bad = number < faulty
        events.append({
            "event": "iteration", "id": f"{where['boot']}-{number}", "workload": "w", "role": "claim",
            "outcome": "FAIL" if bad else "PASS", "blame": "kernel" if bad else None, "terminations": 1,
            "faulty": int(bad), "kinds": ["mmu-fault"] if bad else [], "signatures": ["m"] if bad else [],
            "declared": ["mmu-fault"], "program_failed": False, "message": "", "findings": [], **where,
        })  # fmt: skip
    if end is not None:
        blame = None if end == "PASS" else "lab"
        events.append({
            "event": "boot-end", "complete": end == "PASS", "booted": True, "outcome": end, "blame": blame,
            "reason": "" if end == "PASS" else "QEMU died", **where,
        })  # fmt: skip
    return events


def whole() -> list[dict[str, Any]]:
    """A fix as good as can be."""
    events: list[dict[str, Any]] = [START, *KERNELS]
    for slot in (1, 2):
        events += boot("before", slot, 1, 120, 119) + boot("after", slot, 1, 120, 0)
    return events


END: dict[str, Any] = {"event": "run-end"}
KERNELS: list[dict[str, Any]] = [
    {"event": "kernel", "side": side, "key": side, "build_id": "ab"} for side in ("before", "after")
]


def test_whole_run_is_fixed() -> None:
    events: list[dict[str, Any]] = [START, *KERNELS]
    for slot in (1, 2):
        events += boot("before", slot, 1, 120, 119) + boot("after", slot, 1, 120, 0)
    verdict = judge([*events, END])
    assert (verdict.verdict, verdict.exit) == (Verdict.FIXED, 0)


def test_iterations_of_a_boot_the_lab_ended_are_kept() -> None:
    events: list[dict[str, Any]] = [START, *KERNELS]
    events += boot("before", 1, 1, 120, 119) + boot("before", 2, 1, 120, 119) + boot("after", 1, 1, 120, 0)
    events += boot("after", 2, 1, 50, 0, end="ERROR") + boot("after", 2, 2, 70, 0)
    verdict = judge([*events, END])
    assert verdict.verdict == Verdict.FIXED
    assert verdict.after.iterations == 240


def test_iterations_before_kill_9_are_kept_but_a_short_run_is_no_fix() -> None:
    events: list[dict[str, Any]] = [START, *KERNELS]
    events += boot("before", 1, 1, 120, 119) + boot("before", 2, 1, 120, 119) + boot("after", 1, 1, 120, 0)
    events += boot("after", 2, 1, 50, 0, end=None)
    assert next(item for item in results.boots(typed(events)) if item.id == "after2.1").outcome == Outcome.DONE
    assert judge([*events, END]).verdict not in (Verdict.FIXED, Verdict.CLEAN)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ([], 130),  # kill -9
        ([{"event": "stopped", "reason": "interrupted", "hint": "go on", "exit": 130}], 130),
        ([{"event": "stopped", "reason": "the time limit of 9 s was reached", "hint": "go on", "exit": 4}], 4),
        ([END, {"event": "resumed"}], 130),
    ],
)
def test_run_that_did_not_reach_its_end_is_an_error_whatever_it_has(ending: list[dict[str, Any]], status: int) -> None:
    events: list[dict[str, Any]] = [START, *KERNELS]
    for slot in (1, 2):
        events += boot("before", slot, 1, 120, 119) + boot("after", slot, 1, 120, 0)
    verdict = judge([*events, *ending])
    assert (verdict.verdict, verdict.exit) == (Verdict.ERROR, status)


def test_run_that_was_resumed_to_its_end_forgets_that_it_was_stopped() -> None:
    events: list[dict[str, Any]] = [START, *KERNELS]
    for slot in (1, 2):
        events += boot("before", slot, 1, 120, 119) + boot("after", slot, 1, 120, 0)
    stopped = {"event": "stopped", "reason": "interrupted", "hint": "", "exit": 130}
    assert judge([*events, stopped, {"event": "resumed"}, END]).verdict == Verdict.FIXED


def test_facts_of_several_boards_are_told_apart_where_they_differ(tmp_path: Path) -> None:
    where = {"boot": "x", "slot": "x", "side": "after"}
    boards = [
        {"event": "board", "name": name, "facts": {"cpu": "a76", "serial": name * 2}, **where} for name in ("a", "b")
    ]
    events = [{**START, "options": {**START["options"], "board": "a, b"}}, *boards, {**END, "time": 1.0}]
    shown = report(tmp_path, events, judge(events)).board
    assert shown.name == "a, b"
    assert shown.facts == {"cpu": "a76", "a: serial": "aa", "b: serial": "bb"}
    alone = report(tmp_path, [events[0], events[-1]], judge(events)).board
    assert (alone.name, alone.facts) == ("a, b", {})


def test_boot_that_never_proved_its_kernel_counts_for_nothing() -> None:
    events = [event for event in boot("after", 1, 1, 120, 0, end="ERROR") if event["event"] != "board"]
    assert not results.boots(typed([START, *KERNELS, *events]))[0].usable


def test_kernel_that_dies_in_its_first_workload_is_regressed_not_a_lab_error() -> None:
    events = [START, *KERNELS]
    for slot in (1, 2):
        before = boot("before", slot, 1, 120, 119)
        other = [{**event, "workload": "v", "id": event.get("id", "") + "v"} for event in before if "workload" in event]
        events += [*before[:-1], *other, before[-1]]
        died = boot("after", slot, 1, 1, 0)
        died[-1] |= {"complete": False, "outcome": "FAIL", "blame": "kernel", "reason": "hangs after an oops"}
        died[-2] |= {"outcome": "FAIL", "blame": "kernel", "kinds": ["oops"], "signatures": ["oops:x"]}
        events += died
    assert judge([*events, END]).verdict == Verdict.REGRESSED


def test_each_boots_method_is_told_and_why_it_was_not_a_quicker_one() -> None:
    events: list[dict[str, Any]] = [START, *KERNELS, {"event": "source", "base": "", "patches": []}]
    for side, slot, method, why in (
        ("before", 1, "extlinux", ""),
        ("after", 1, "module-swap", ""),
        ("after", 2, "extlinux", ""),
        ("before", 2, "extlinux", "no module swap: tainted: W"),
    ):
        events += boot(side, slot, 1, 120, 0)
        next(event for event in reversed(events) if event["event"] == "board")["facts"] = {
            "boot_method": method,
            "why_this_method": why,
            "type": "real",
        }
    board, notes = results._board(typed(events), "b"), results._notes(typed(events))
    methods = "extlinux: before1.1, after2.1, before2.1; module-swap: after1.1"
    assert board.facts == {"type": "real", "boot_method": methods}
    assert notes == ("before2.1: no module swap: tainted: W",)
    assert results._board(typed(events[:10]), "b").facts["boot_method"] == "extlinux"


FOUND = {"kind": "mmu-fault", "signature": "m", "timestamp": 2.5}


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "old log"])
def test_a_fault_right_after_each_end_marker_of_a_recorded_run_is_no_fix(marked: bool) -> None:
    events: list[dict[str, Any]] = []
    for event in whole():
        events.append(event)
        if event["event"] == "iteration" and event["side"] == "after":
            own = {key: event[key] for key in ("boot", "slot", "side")}
            marker = {"marker": {"id": event["id"], "workload": "w", "delay": 0.0042}, "expected": False}
            events.append({"event": "stray", "finding": FOUND, **own, **(marker if marked else {})})
    verdict = judge([*events, END])
    assert (verdict.verdict, verdict.exit) == (Verdict.NOT_FIXED, 1)
    where = "4 ms after the end of after1.1-0 (w)" if marked else "at 2.500 s, after which marker is not on record"
    assert f"240 faults outside iterations on after (the first: mmu-fault {where}" in verdict.reasons[0]


def test_what_a_test_provoked_is_not_counted() -> None:
    provoked = {
        "event": "stray",
        "finding": FOUND,
        "boot": "after1.1",
        "side": "after",
        "expected": True,
        "marker": {"id": "p-1", "workload": "gpu-job/bad-store", "delay": 0.1},
    }
    assert judge([*whole(), provoked, END]).verdict == Verdict.FIXED
    assert judge([*whole(), {**provoked, "expected": False}, END]).verdict == Verdict.REDUCED


def rare() -> list[dict[str, Any]]:
    """The same with one warning on *after*."""
    events = whole()
    odd = next(event for event in events if event["event"] == "iteration" and event["side"] == "after")
    odd |= {"kinds": ["warning"], "signatures": ["warning:x"], "outcome": "FAIL", "blame": "kernel"}
    return events


def test_before_is_given_more_once_and_judged_with_it() -> None:
    more = extension_of(rare())
    assert dict(more.iterations) == {"w": 718 - 240}
    assert not extension_of(whole())
    extended = [*rare(), {"event": "extension", "iterations": dict(more.iterations), "boots": 0, "why": list(more.why)}]
    assert not extension_of(extended)
    assert plan(extended).iterations == {Side.BEFORE: {"w": 718}, Side.AFTER: {"w": 240}}
    short = judge([*extended, *boot("before", 3, 1, 100, 100), END])
    assert (short.verdict, short.exit) == (Verdict.ERROR, 4)
    verdict = judge([*extended, *boot("before", 3, 1, 478, 476), END])
    assert verdict.verdict == Verdict.FIXED
    assert any("too seldom to blame the patch (p 0.5)" in reason for reason in verdict.reasons), verdict.reasons


def test_without_the_iterations_it_wants_nothing_is_fixed() -> None:
    verdict = judge([*rare(), END])
    assert verdict.verdict == Verdict.INCONCLUSIVE
    assert "before would need 718 iterations of w to tell, it has 240" in verdict.reasons[0]


def test_a_run_keeps_its_list_of_known_findings() -> None:
    known = [{"pattern": "w@warning:.*", "source": "fails.txt:1", "about": ""}]
    start = {**START, "options": {**START["options"], "known": known}}
    verdict = judge([start, *rare()[1:], END])
    assert verdict.verdict == Verdict.FIXED
    assert any(reason.startswith("known (fails.txt:1)") for reason in verdict.reasons)


def test_a_build_that_failed_is_forgotten_once_the_resumed_run_has_built_it() -> None:
    failed: dict[str, Any] = {"event": "build-failed", "message": "no", "side": "after"}
    assert judge([START, failed, END]).verdict is Verdict.REGRESSED
    start, *rest = whole()
    assert judge([start, failed, {"event": "resumed"}, *rest, END]).verdict is Verdict.FIXED
    assert judge([*whole(), failed, END]).verdict is Verdict.REGRESSED


def with_test(*letters: str) -> list[dict[str, Any]]:
    """The whole run with a test in its boots, before1, after1, before2, after2: `P`assed or `F`ailed."""
    events = []
    for event in whole():
        events.append(event)
        if event["event"] == "board":
            failed = letters[("before1", "after1", "before2", "after2").index(event["slot"])] == "F"
            events.append(
                {
                    "event": "test",
                    "suite": "s",
                    "test": "t",
                    "outcome": "FAIL" if failed else "PASS",
                    "blame": "kernel" if failed else None,
                    "message": "",
                    "seconds": 0.1,
                    "boot": event["boot"],
                    "side": event["side"],
                }
            )
    return events


def test_tests_in_doubt_are_run_again_unless_the_run_is_decided() -> None:
    assert doubts_of(with_test("P", "F", "P", "P")) == {"": ("s::t",)}
    assert doubts_of(with_test("F", "F", "P", "F")) == {"": ("s::t",)}
    assert doubts_of(with_test("P", "P", "P", "P")) == {}
    assert doubts_of(with_test("P", "F", "P", "F")) == {}, "it is regressed"
    assert judge([*with_test("P", "F", "P", "P"), END]).verdict is Verdict.INCONCLUSIVE


def test_what_is_asked_after_a_suite_is_not_run_again_by_itself() -> None:
    def needs(name: str) -> dict[str, Any]:
        return {"event": "needs", "time": 0.0, "tests": [{"test": name, "counted": False, "overlay": ""}]}

    doubtful = with_test("P", "F", "P", "P")
    assert doubts_of([*doubtful[:1], needs("s::t"), *doubtful[1:]]) == {"": ("s::t",)}
    assert doubts_of([*doubtful[:1], needs("s::other"), *doubtful[1:]]) == {}


def test_a_planned_test_without_a_result_was_not_passed() -> None:
    def need(name: str, *, counted: bool = False, overlay: str = "") -> dict[str, Any]:
        return {"test": name, "counted": counted, "overlay": overlay}

    def planned(*needs: dict[str, Any]) -> list[dict[str, Any]]:
        plain = [need["test"] for need in needs]
        return [
            {"event": "needs", "tests": list(needs)},
            {"event": "planned", "plain": plain, "variants": [], "left_out": {}},
        ]

    done = with_test("P", "P", "P", "P")
    assert judge([*done, *planned(need("s::t")), END]).verdict is Verdict.FIXED
    others = need("s::counted", counted=True), need("s::overlay", overlay="igt")
    assert judge([*done, *planned(need("s::t"), *others), END]).verdict is Verdict.FIXED
    missed = judge([*done, *planned(need("s::t"), need("s::u"), need("s::v")), END])
    assert missed.verdict is Verdict.ERROR
    assert "test s::u and 1 more: planned, and never ran" in missed.reasons


def _architectures(events: list[dict[str, Any]]) -> list[str | None]:
    data = kcidb.to_json(report(Path("/run"), events, judge(events)))
    return [build.get("architecture") for build in data["builds"]]


def test_a_report_says_what_the_kernels_of_the_run_were_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(ARM64, name=cast(ArchName, "riscv"), kcidb="riscv64")
    monkeypatch.setitem(cast(dict[str, Arch], ARCHES), "riscv", row)
    kernels = [{**kernel, "arch": "riscv"} for kernel in KERNELS]
    failed = {"event": "build-failed", "side": "after", "message": "no", "arch": "riscv"}
    assert _architectures([START, *kernels]) == ["riscv64", "riscv64"]
    assert _architectures([START, kernels[0], failed]) == ["riscv64", "riscv64"]
    monkeypatch.undo()
    assert _architectures([START, *kernels]) == [None, None], "another panthorlab's table had it"
    assert _architectures([START, *KERNELS]) == ["arm64", "arm64"], "the only one before runs said it"


def test_an_arm_has_its_kernels_architecture_on_record(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    kernel = Kernel("k", tmp_path, "riscv", "7.0", "ab", "7.0")
    assert Arm("kernel", kernel).on_record().arch == "riscv"
