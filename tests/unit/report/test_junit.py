# SPDX-License-Identifier: GPL-2.0-or-later
"""JUnit XML, read back with an XML parser and held against what GitLab and Jenkins accept."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab.outcome import Blame, Outcome, Role, Side
from panthorlab.report import junit
from panthorlab.report.junitxml import JunitCase, Suite, to_xml
from panthorlab.report.model import RunReport
from panthorlab.verdict import Expect, TestResult

MakeReport = Callable[..., RunReport]

# junit-10.xsd of Jenkins' xUnit plugin: element → (required attributes, optional attributes, children)
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name"}, {"time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
    "system-err": (set(), set(), set()),
}
SUREFIRE_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def _check(element: ET.Element) -> None:
    required, optional, children = SCHEMA[element.tag]
    assert required <= set(element.keys()) <= required | optional, (element.tag, element.attrib)
    if element.tag in ("testsuite", "testsuites"):
        assert SUREFIRE_TIME.fullmatch(element.get("time", ""))
        cases = list(element.iter("testcase"))
        assert element.get("tests") == str(len(cases))
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if key in element.attrib:
                assert element.get(key) == str(sum(1 for case in cases if case.find(tag) is not None))
    for child in element:
        assert child.tag in children, (element.tag, child.tag)
        _check(child)


def _read(xml: str) -> ET.Element:
    root = ET.fromstring(xml.encode())  # noqa: S314 - our own output
    _check(root)
    # GitLab takes only the first of cases with one class and name, and shows them by class name
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    assert all(classname and name for classname, name in names)
    return root


def _case(root: ET.Element, name: str) -> ET.Element:
    return next(case for case in root.iter("testcase") if case.get("name") == name)


def test_a_fix_has_no_failure_and_its_before_faults_are_properties(make_report: MakeReport) -> None:
    root = _read(junit.render(make_report()))
    assert not [*root.iter("failure"), *root.iter("error")]
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties["before.exit"] == "100/100 faulty, 95 % 96–100%"
    assert properties["verdict"] == "fixed"
    assert properties["after.build_id"] == "a0" * 20
    # what remains in a watch workload is to be seen, and not blamed on the patch
    residual = _case(root, "clients").find("skipped")
    assert residual is not None
    assert "148/150 before, 22/150 after" in residual.get("message", "")
    assert _case(root, "exit").get("classname") == "panthorlab.qemu-g610.claim"


def test_a_regression_is_a_failure_with_its_fault(make_report: MakeReport) -> None:
    root = _read(junit.render(make_report((("exit", Role.CLAIM, (0, 240), (240, 240)),))))
    assert root.get("failures") == "2"  # the verdict and the workload
    failure = _case(root, "exit").find("failure")
    assert failure is not None
    assert "240 × mmu-fault: AS1 VA 0x0000800000003000" in (failure.text or "")
    assert "raw fault status: 0x7CD003C3" in (failure.text or "")
    assert (failure.text or "").startswith(failure.get("message", "?"))  # GitLab shows only the text


@pytest.mark.parametrize(
    ("rows", "changes", "tag"),
    [
        ((("exit", Role.CLAIM, (200, 200), (0, 200)),), {}, "skipped"),  # inconclusive: no pass, not the lab's fault
        ((("exit", Role.CLAIM, (0, 200), (0, 200)),), {"expect": Expect.NO_CHANGE}, None),
        ((("exit", Role.CLAIM, (200, 200), (0, 400)),), {"interrupted": "Ctrl-C"}, "error"),
        ((("exit", Role.CLAIM, (200, 200), (5, 400)),), {}, "failure"),
        ((("exit", Role.CLAIM, (200, 200), (200, 200)),), {}, "failure"),
        ((), {}, "skipped"),
    ],
)
def test_the_verdict_as_a_case(
    make_report: MakeReport, rows: tuple[object, ...], changes: dict[str, object], tag: str | None
) -> None:
    case = _case(_read(junit.render(make_report(rows, **changes))), "verdict")
    assert [child.tag for child in case if child.tag != "system-out"] == ([tag] if tag else [])


def test_suite_tests(make_report: MakeReport) -> None:
    def results(name: str, before: Outcome, after: Outcome, boots: int = 2) -> list[TestResult]:
        return [
            TestResult(
                f"suites/test_gpu.py::{name}",
                side,
                outcome,
                None if outcome is Outcome.PASS else Blame.KERNEL,
                "why",
                f"{side}-{boot}",
            )
            for side, outcome in ((Side.BEFORE, before), (Side.AFTER, after))
            for boot in range(boots)
        ]

    tests = (
        *results("test_same", Outcome.PASS, Outcome.PASS),
        *results("test_worse", Outcome.PASS, Outcome.FAIL),
        *results("test_both", Outcome.FAIL, Outcome.FAIL),
        *results("test_skip[a.b]", Outcome.SKIP, Outcome.SKIP),
        *results("test_gone", Outcome.PASS, Outcome.SKIP),
        *results("test_doubt", Outcome.PASS, Outcome.FAIL, 1),
    )
    root = _read(junit.render(make_report((("exit", Role.CLAIM, (100, 100), (0, 240)),), tests=tests)))
    found = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert found["test_same"] == []
    assert found["test_worse"] == ["failure"]
    assert found["test_both"] == found["test_doubt"] == ["skipped"]
    assert found["test_skip[a.b]"] == ["skipped"]
    assert found["test_gone"] == ["error"]
    assert _case(root, "test_same").get("classname") == "panthorlab.qemu-g610.test.suites.test_gpu"


NASTY = "\x00\x08\x0b\x1b[31mred\x1b[0m\ufffe\uffff\ud800\U0001fffe <&>\"' ]]> é 補丁 \x85\x9f"


def test_text_that_xml_forbids(make_report: MakeReport) -> None:
    for rows in ((), (("exit", Role.CLAIM, (0, 240), (240, 240)),)):
        xml = junit.render(make_report(rows, text=NASTY))
        _read(xml)
        assert "<&>" not in xml
        assert "補丁" in xml


@given(text=st.text(st.characters(codec=None)))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_text_makes_a_document(text: str) -> None:
    cases = [
        JunitCase("c", text or "n", failure=text),
        JunitCase("c", text or "n", error=text, detail=text),
        JunitCase("c", "skip", skipped=text, kind=text),
        JunitCase("c", "pass", detail=text),
    ]
    xml = to_xml([Suite("s", cases, {text: text})])
    root = ET.fromstring(xml.encode())  # noqa: S314 - our own output
    _check(root)
    assert len(list(root.iter("testcase"))) == 4


def test_cases_of_one_name_are_numbered() -> None:
    root = _read(to_xml([Suite("s", [JunitCase("c", "n"), JunitCase("c", "n", failure="f"), JunitCase("d", "n")])]))
    assert [case.get("name") for case in root.iter("testcase")] == ["n", "n #2", "n"]
