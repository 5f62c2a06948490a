# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON contract, the HTML page and the KCIDB dictionary."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from kcidb_io.schema import V5_3

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.report import console, html, json_report, junit, kcidb
from panthorlab.report.faults import FIELDS, headline, owner, telling
from panthorlab.report.model import FailedBuild, RunReport
from panthorlab.verdict import BootResult, TestResult, Verdict

MakeReport = Callable[..., RunReport]
XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&lt;"


def test_json_keeps_the_contract(make_report: MakeReport) -> None:
    data = json.loads(json_report.render(make_report()))
    assert {
        "verdict",
        "exit",
        "sides",
        "p_fewer",
        "p_more",
        "missable_rate",
        "workloads",
        "residual",
        "findings",
        "run",
    } <= data.keys()
    assert (data["verdict"], data["exit"], data["run"]) == ("fixed", 0, "/home/user/runs/2026-11-23-1")
    assert set(data["sides"]) == {"before", "after"}
    same = {"kernel", "build_id", "boots", "iterations", "faulty", "interval"}
    assert same <= data["sides"]["after"].keys()
    after = data["sides"]["after"]
    assert (after["iterations"], after["faulty"], after["boots"]) == (1200, 0, 2)
    assert after["build_id"] == "a0" * 20
    assert data["sides"]["before"]["interval"][0] > 0.8
    for workload in data["workloads"]:
        assert {"name", "role", "verdict", "sides", "p_fewer", "p_more", "missable_rate", "reasons"} <= workload.keys()
        assert same <= workload["sides"]["before"].keys()
    assert {w["name"]: w["verdict"] for w in data["residual"]} == {"clients": "reduced", "vm-destroy": "not-fixed"}
    boots = next(w for w in data["workloads"] if w["name"] == "exit")["sides"]["before"]["per_boot"]
    assert [(b["boot"], b["faulty"], b["iterations"]) for b in boots] == [("before-0", 50, 50), ("before-1", 50, 50)]


def test_sides_that_differ_in_a_module_alone_are_told_apart(make_report: MakeReport) -> None:
    report = make_report(module_build=True)
    assert report.telling_modules(Side.AFTER) == {"panthor.ko": "f" * 40}
    sides = json_report.to_json(report)["sides"]
    assert sides["before"]["build_id"] == sides["after"]["build_id"]
    assert [sides[side]["modules"]["panthor"][0] for side in ("before", "after")] == ["e", "f"]
    text = console.render(report)
    assert f"build-id {'b0' * 4} · panthor.ko {'e' * 16}" in text
    assert f"panthor.ko {'f' * 16}" in text
    assert f"build-id {'f' * 40}" in html.render(report)
    assert "gpu_sched.ko" not in html.render(report), "which is the same on both sides"
    assert [build["misc"]["modules"]["panthor"][0] for build in kcidb.to_json(report)["builds"]] == ["e", "f"]
    assert f'"after.panthor.ko.build_id" value="{"f" * 40}"' in junit.render(report)
    assert not make_report().telling_modules(Side.AFTER), "vmlinux tells them apart"


def test_counts_of_each_board_are_told(make_report: MakeReport) -> None:
    report = make_report(boards=("rock-5b", "rock-5<b>"))
    data = json.loads(json_report.render(report))
    before = next(w for w in data["workloads"] if w["name"] == "exit")["sides"]["before"]
    assert [(b["board"], b["faulty"], b["iterations"]) for b in before["per_board"]] == [
        ("rock-5<b>", 50, 50), ("rock-5b", 50, 50)
    ]  # fmt: skip
    assert [b["board"] for b in before["per_boot"]] == ["rock-5b", "rock-5<b>"]
    page = html.render(report)
    assert "before rock-5&lt;b&gt; 50/50 (50/50) rock-5b 50/50 (50/50); after" in page
    one = html.render(make_report())
    assert "before 50/50, 50/50; after" in one


def test_json_findings_have_all_fields(make_report: MakeReport) -> None:
    finding = json.loads(json_report.render(make_report()))["findings"][0]
    assert set(FIELDS) <= finding.keys()
    assert finding["pid"] is None
    assert (finding["as"], finding["va"], finding["source_id"]) == (1, "0x0000800000003000", "0x7CD0")
    assert (finding["side"], finding["workload"]) == ("before", "exit")


def test_json_of_a_run_without_evidence(make_report: MakeReport) -> None:
    data = json.loads(json_report.render(make_report(())))
    assert (data["p_fewer"], data["p_more"], data["missable_rate"]) == (None, None, 1.0)
    assert data["sides"]["before"]["interval"] == [0.0, 1.0]


class _Page(HTMLParser):
    """What a browser would make of it: tags, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_is_well_formed_and_says_everything(make_report: MakeReport) -> None:
    page = _Page(html.render(make_report()))
    assert page.open == []
    for needed in ("fixed", "100/100", "22/150", "a0" * 20, "raw fault status: 0x7CD003C3", "heap-context", "v1.patch"):
        assert needed in page.text
    assert not [tag for tag, attrs in page.tags if attrs.keys() & {"src", "href"} or tag in ("script", "link", "img")]


def test_html_escapes_every_text(make_report: MakeReport) -> None:
    rows = ((XSS, Role.CLAIM, (0, 240), (240, 240)), (XSS + "w", Role.WATCH, (1, 1), (1, 1)))
    tests = tuple(TestResult(XSS, side, Outcome.FAIL, Blame.KERNEL, XSS) for side in Side)
    page = _Page(html.render(make_report(rows, text=XSS, tests=tests, interrupted=XSS)))
    assert page.open == []
    assert page.text.count("<script>alert(1)</script>") > 10
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img"}
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    policy = next(attrs for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_kcidb_ids_paths_and_status(make_report: MakeReport) -> None:
    tests = tuple(TestResult("suites/test_gpu.py::test[a b]", side, Outcome.PASS) for side in Side)
    data = json.loads(kcidb.render(make_report(tests=tests)))
    assert data["version"] == {"major": 5, "minor": 3}
    builds = {build["id"] for build in data["builds"]}
    assert {build["checkout_id"] for build in data["builds"]} == {data["checkouts"][0]["id"]}
    assert {test["build_id"] for test in data["tests"]} == builds
    assert len({test["id"] for test in data["tests"]}) == len(data["tests"])
    assert all(re.fullmatch(r"panthorlab:[^\0]+", test["id"]) for test in data["tests"])
    assert all(re.fullmatch(r"[.a-zA-Z0-9_-]+", test["path"]) for test in data["tests"])
    status = {(test["build_id"].rsplit("-", 1)[1], test["path"]): test["status"] for test in data["tests"]}
    assert status["before", "panthor.claim.exit"] == "FAIL"
    assert status["after", "panthor.claim.exit"] == "PASS"
    assert status["after", "panthor.watch.clients"] == "FAIL"
    assert status["after", "panthor.test.suites.test_gpu.test_a_b"] == "PASS"


def test_kcidb_is_valid_in_its_own_schema(make_report: MakeReport) -> None:
    tests = tuple(
        TestResult("suites/test_é.py::test[ü b]", side, Outcome.FAIL, Blame.KERNEL, "\x1b[1m") for side in Side
    )
    worse = (("exit", Role.CLAIM, (0, 240), (240, 240)),)
    reports = make_report(), make_report(()), make_report(worse, tests=tests), make_report(text="\x1b[31mé\x00")
    for report in reports:
        V5_3.validate(json.loads(kcidb.render(report)))
    with pytest.raises(jsonschema.ValidationError):
        V5_3.validate(kcidb.to_json(make_report()) | {"checkouts": [{"id": "no origin"}]})


def test_compiler_and_commit_are_told_everywhere(make_report: MakeReport) -> None:
    made, commit = make_report(), "0123456789" * 4
    kernels = {side: replace(kernel, toolchain=f"gcc for {side}") for side, kernel in made.kernels.items()}
    report = replace(made, kernels=kernels, base_commit=commit)
    data = json_report.to_json(report)
    assert (data["base_commit"], data["sides"]["after"]["toolchain"]) == (commit, "gcc for after")
    assert [build["compiler"] for build in kcidb.to_json(report)["builds"]] == ["gcc for before", "gcc for after"]
    assert kcidb.to_json(report)["checkouts"][0]["git_commit_hash"] == commit
    for text in (html.render(report), junit.render(report)):
        assert commit in text
        assert "gcc for before" in text


def test_the_telling_finding_is_the_new_one(make_report: MakeReport) -> None:
    fixed = telling(make_report())
    assert fixed is not None
    assert (fixed["side"], fixed["workload"]) == ("before", "exit")
    regressed = telling(make_report((("exit", Role.CLAIM, (0, 240), (240, 240)),)))
    assert regressed is not None
    assert regressed["side"] == "after"
    assert telling(make_report(())) is None


def test_findings_in_words() -> None:
    assert headline({"kind": "oops", "text": "Unable to handle kernel NULL pointer\nMem abort info:"}) == (
        "oops: Unable to handle kernel NULL pointer"
    )
    assert headline({}) == "finding:"
    assert owner({"va": "0x1000"}) == "unknown object"
    assert owner({"kind": "job-timeout", "comm": "heap-exit", "pid": 71}) == "heap-exit 71"


def test_names_that_are_no_text_break_no_report(make_report: MakeReport) -> None:
    """File names are bytes; those that are not UTF-8 have surrogates in Python."""
    report = replace(make_report(text="caf\udce9.patch"), run_dir=Path("/runs/caf\udce9"))
    for render in (json_report.render, kcidb.render, html.render, junit.render):
        render(report).encode()
    assert json.loads(json_report.render(report))["run"] == "/runs/caf\udce9"


def test_a_side_that_does_not_build_is_a_failed_build(make_report: MakeReport) -> None:
    failed = FailedBuild("x.c:1: error: \x1b[31mno", "arm64")
    report = replace(make_report(()), kernels={}, failed_builds={Side.AFTER: failed})
    data = json.loads(kcidb.render(report))
    V5_3.validate(data)
    (build,) = data["builds"]
    assert (build["status"], build["id"].rsplit("-", 1)[1]) == ("FAIL", "after")
    assert "x.c:1: error: no" in build["comment"]


def test_kcidb_has_error_for_what_the_lab_did(make_report: MakeReport) -> None:
    made = make_report()
    boots = (
        BootResult("a", Side.AFTER, "rock", Outcome.ERROR, Blame.LAB, booted=False, message="no \x1b[1mserver"),
        BootResult("b", Side.AFTER, "rock", Outcome.FAIL, Blame.KERNEL, booted=False),
        BootResult("c", Side.AFTER, "rock", Outcome.FAIL, Blame.KERNEL),
        BootResult("d", Side.AFTER, "rock", Outcome.FAIL, Blame.LAB),
        BootResult("e", Side.AFTER, "rock", Outcome.PASS),
    )
    lost = replace(made.verdict, verdict=Verdict.ERROR, reasons=("all boots were lost",))
    data = kcidb.to_json(replace(made, boots=boots, verdict=lost))
    V5_3.validate(data)
    assert len({test["id"] for test in data["tests"]}) == len(data["tests"])
    booted = [test for test in data["tests"] if test["path"] == "boot"]
    assert [test["status"] for test in booted] == ["ERROR", "FAIL", "PASS", "ERROR", "PASS"]
    assert booted[0]["comment"] == "no server"
    (whole,) = [test for test in data["tests"] if test["path"] == "panthor.run"]
    assert (whole["status"], whole["comment"]) == ("ERROR", "all boots were lost")
    assert whole["build_id"] in [build["id"] for build in data["builds"]]
    assert "panthor.run" not in [test["path"] for test in kcidb.to_json(made)["tests"]]


def test_kcidb_of_a_run_without_kernels_is_an_error_and_not_nothing(make_report: MakeReport) -> None:
    made = make_report(())
    lost = replace(made.verdict, verdict=Verdict.ERROR, reasons=("the disk is full",))
    data = kcidb.to_json(replace(made, kernels={}, boots=(), verdict=lost))
    V5_3.validate(data)
    (build,) = data["builds"]
    assert (build["status"], build["comment"]) == ("ERROR", "the disk is full")
    assert data["tests"] == []


def test_what_ran_in_exact_time_can_be_had_again(make_report: MakeReport) -> None:
    report = make_report()
    in_host_time = [console.render(report), html.render(report)]
    assert all("panthorlab replay" not in text for text in in_host_time)
    facts = {"time": "exact", "digests": {"before-0": "ab" * 32}}
    exact = replace(report, board=replace(report.board, facts=facts))
    finding = telling(exact)
    assert finding is not None
    command = f"panthorlab replay {report.run_dir}:{finding['iteration']}"
    assert command in console.render(exact)
    assert "panthorlab replay" in html.render(exact)
    assert "ab" * 32 in html.render(exact)
