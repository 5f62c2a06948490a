# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place that knows the `junit-xml` package: it writes test cases as XML that GitLab and Jenkins read.

What the package gets wrong is mended here: it breaks on characters that XML forbids beyond ASCII, and it writes a
`disabled` attribute that the schema of Jenkins' xUnit plugin (junit-10.xsd) does not know.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from junit_xml import TestCase, TestSuite  # type: ignore[import-untyped]

from panthorlab.report.text import xml_text


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One test case; at most one of `failure`, `error` and `skipped` is set."""

    classname: str
    name: str
    seconds: float = 0.0
    failure: str = ""
    error: str = ""
    skipped: str = ""
    detail: str = ""
    """More about the failure, error or skip; or the output of a case that passed."""
    kind: str = ""
    """Type of the failure or error."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases that belong together, and facts about them that are no results."""

    name: str
    cases: Sequence[JunitCase]
    properties: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None
    hostname: str = ""


def to_xml(suites: Sequence[Suite]) -> str:
    """The document. Duplicate names within a class get a number: GitLab ignores all but the first."""
    root = ET.Element("testsuites")
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    time = 0.0
    for suite in suites:
        element = _suite(suite)
        for key in totals:
            totals[key] += int(element.get(key, "0"))
        time += float(element.get("time", "0"))
        root.append(element)
    root.attrib.update({key: str(value) for key, value in totals.items()}, time=f"{time:.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(suite: Suite) -> ET.Element:
    seen: dict[tuple[str, str], int] = {}
    cases = [_case(case, seen) for case in suite.cases]
    properties = {xml_text(name): xml_text(value) for name, value in suite.properties.items()}
    element: ET.Element = TestSuite(
        xml_text(suite.name),
        cases,
        properties=properties,
        hostname=xml_text(suite.hostname) or None,
        timestamp=suite.started.isoformat(timespec="seconds") if suite.started else None,
    ).build_xml_doc()
    element.attrib.pop("disabled", None)
    element.set("time", f"{sum(case.seconds for case in suite.cases):.3f}")
    return element


def _case(case: JunitCase, seen: dict[tuple[str, str], int]) -> TestCase:
    classname, name = xml_text(case.classname), xml_text(case.name)
    count = seen[classname, name] = seen.get((classname, name), 0) + 1
    detail = xml_text(case.detail)
    made = TestCase(f"{name} #{count}" if count > 1 else name, classname, case.seconds)
    for text, add in ((case.failure, made.add_failure_info), (case.error, made.add_error_info)):
        if text:
            # GitLab shows the body and not the message, Jenkins both
            add(xml_text(text), f"{xml_text(text)}\n{detail}".rstrip(), xml_text(case.kind) or None)
    if case.skipped:
        made.add_skipped_info(xml_text(case.skipped), detail or None)
    if not (case.failure or case.error or case.skipped):
        made.stdout = detail or None
    return made
