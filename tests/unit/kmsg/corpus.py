# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the labelled logs of tests/data/kmsg: headers, a blank line, the log as it was pasted.

`FINDING:` headers give, in the order of their lines, every finding the log has: its kind and what must be true of
its fields (`null`: absent; `corrupted=yes|no`; a value may have spaces). No such header: the log has no finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from panthorlab.kmsg import Finding

DATA = Path(__file__).parents[2] / "data" / "kmsg"


@dataclass(frozen=True)
class Expected:
    kind: str
    fields: dict[str, str]

    def mismatch(self, finding: Finding) -> str | None:
        if finding.kind != self.kind:
            return f"kind is {finding.kind}, not {self.kind}"
        values = finding.to_json() | {"corrupted": "yes" if finding.corrupted else "no"}
        for name, wanted in self.fields.items():
            value = "null" if values[name] is None else str(values[name])
            if value != wanted:
                return f"{name} is {value!r}, not {wanted!r}"
        return None


@dataclass(frozen=True)
class PrintCall:
    """A call of a driver's that prints: a row of DRIVER-messages.tsv. `expected`: a kind of finding, or `harmless`."""

    versions: str
    file: str
    function: str
    call: str
    expected: str
    format: str

    def __str__(self) -> str:
        return f"{self.versions}-{self.function}-{self.format[:40]}"


def calls_that_print(driver: str) -> list[PrintCall]:
    rows = (DATA / f"{driver}-messages.tsv").read_text().splitlines()
    return [PrintCall(*row.split("\t")) for row in rows if not row.startswith("#")]


@dataclass(frozen=True)
class Fixture:
    name: str
    title: str
    findings: tuple[Expected, ...]
    log: bytes


def load(path: Path) -> Fixture:
    head, _, log = path.read_bytes().partition(b"\n\n")
    title, findings = "", []
    for line in head.decode().splitlines():
        name, _, value = line.partition(": ")
        if name == "TITLE":
            title = value
        elif name == "FINDING":
            kind, _, rest = value.partition(" ")
            fields = dict(part.split("=", 1) for part in re.split(r" (?=[a-z_]+=)", rest) if part)
            findings.append(Expected(kind, fields))
        elif not name.startswith("# SPDX"):
            raise ValueError(f"{path}: unknown header {line!r}")
    return Fixture(path.stem, title, tuple(findings), log)


FIXTURES = tuple(load(path) for path in sorted((DATA / "logs").glob("*.log")))
