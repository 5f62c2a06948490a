# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/fidelity.md against the model's own tables: each fact has one row, and each row that is no `absent` one a fact.

Whether a field of the interface has an effect is read from the model's source: a name that nothing uses has none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

import pytest

from panthorlab.gpu import layout, registers
from panthorlab.gpu.cs import state
from panthorlab.gpu.cs.work import WORK
from panthorlab.gpu.fw import interface
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.misbehave import BY_NAME as MISDEEDS
from panthorlab.gpu.paramtable import PARAMS
from panthorlab.gpu.registers import RegisterKind
from panthorlab.options import parse
from panthorlab.run.suites import find_suites
from tests.unit.gpu.fidelity import BLOCKS, CODE, FACTS, NAMES, PAGE, ROOT, WORDS, Row, complaints, page

GUEST = ROOT / "panthorlab" / "guest"
LEGEND = "How to read the tables"
STATUSES = ("emulated", "constant", "stored", "acked", "timed", "ignored", "absent")


def test_facts_were_found() -> None:
    """An empty table of facts would agree with anything."""
    for facts in (*FACTS.values(), *NAMES.values()):
        assert len(list(facts)) > 1
    assert sum(len(facts) for facts in FACTS.values()) > 300


@pytest.mark.parametrize(("section", "column"), [*FACTS, *NAMES], ids=lambda word: word)
def test_each_fact_has_a_row_and_each_row_a_fact(section: str, column: str) -> None:
    facts = FACTS.get((section, column)) or NAMES[section, column]
    assert complaints(page(), section, column, facts) == []


@pytest.mark.parametrize(("section", "column"), FACTS, ids=lambda word: word)
def test_numbers_are_those_of_the_model(section: str, column: str) -> None:
    facts = FACTS[section, column]
    for row in page():
        if row.section == section and column in row.cells and row.status != "absent":
            assert [int(word, 0) for word in row.cells[column].split()] == [facts[name] for name in row.names]


def test_every_table_is_checked() -> None:
    """A row in a table that no test knows would be free to say anything."""
    checked = {*FACTS, *NAMES, ("What the model reports", "when")}
    for row in page():
        if row.section != LEGEND:
            assert any(section == row.section and column in row.cells for section, column in checked), row


# --- what the model does with it


@cache
def _used() -> frozenset[tuple[str, str]]:
    """(class, name) of every `Class.NAME` in the model, but where they are declared."""
    found = set()
    for file in (ROOT / "panthorlab" / "gpu").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add((node.value.id, node.attr))
    return frozenset(found)


def _statuses(sections: Iterable[str]) -> Iterator[tuple[Row, str]]:
    for row in page():
        if row.section in sections and row.status not in ("", "absent"):
            for name in row.names:
                yield row, name


def test_statuses_are_defined() -> None:
    assert {row.status for row in page()} - {""} == set(STATUSES)


def test_registers_do_what_the_page_says() -> None:
    kinds = {register.name: register for register in (*G610.registers, *G610.spaces.registers)}
    for row, name in _statuses(["GPU control", "Address spaces"]):
        register = kinds[name]
        allowed = {RegisterKind.CONSTANT: ("constant",), RegisterKind.STORAGE: ("stored",)}.get(
            register.kind, ("emulated", "stored")
        )
        assert row.status in allowed, name
        if row.status == "constant":
            assert int(row.cells["model"].split()[1], 0) == register.reset, name


@pytest.mark.parametrize("section", [*BLOCKS, *WORDS, "Interrupt bits", "Blocked reasons"])
def test_what_has_no_effect_is_not_called_emulated(section: str) -> None:
    owner = {**BLOCKS, **WORDS, "Interrupt bits": registers.GpuIrq, "Blocked reasons": state.BlockedReason}[section]
    acked = {layout.Glb.__name__: layout.Glb.REQUESTS, layout.Csg.__name__: layout.Csg.TOGGLES}.get(owner.__name__, 0)
    for row, name in _statuses([section]):
        if not hasattr(owner, name):  # JOB_GLOBAL
            continue
        if (owner.__name__, name) in _used():
            assert row.status in ("emulated", "constant"), name
        elif getattr(owner, name) & acked:
            assert row.status == "acked", name
        else:
            assert row.status == "ignored", name


def test_constants_of_the_control_blocks() -> None:
    first = {
        "Global control": interface.global_fields(G610.layout),
        "CSG control": interface.group_fields(G610.layout, 0, 0),
        "CS control": interface.stream_fields(G610.layout, 0, 0),
    }
    for section, fields in first.items():
        told = {offset: value for _, offset, value in fields}
        for row, name in _statuses([section]):
            if row.status == "constant":
                assert int(row.cells["model"].split()[1], 0) == told[getattr(BLOCKS[section], name)], name


def test_work_that_only_takes_time() -> None:
    timed = {name for name, make in WORK.items() if make.__name__ in ("_run", "_finish_tiling")}
    assert {name for row, name in _statuses(["Instructions"]) if row.status == "timed"} == timed


def test_defaults_of_parameters() -> None:
    defaults = {param.name: param.default for param in PARAMS}
    for row in page():
        if row.section == "Parameters":
            for name in row.names:
                default, told = defaults[name], row.cells["default"]
                assert (f"0x{default:02x}" if told.startswith("0x") else str(default)) == told, name


# --- what the model reports


def _reported(functions: Iterable[str]) -> Iterator[str]:
    """The first argument of each report, as the page has it: what varies at the end is an ellipsis."""
    for file in (ROOT / "panthorlab" / "gpu").rglob("*.py"):
        if file.name in ("events.py", "codec.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in functions:
                what = node.args[0]
                if isinstance(what, ast.Constant):
                    yield str(what.value)
                elif isinstance(what, ast.JoinedStr) and isinstance(what.values[0], ast.Constant):
                    yield str(what.values[0].value) + "…"


def test_reports_have_rows() -> None:
    here = [row for row in page() if row.section == "What the model reports" and "when" in row.cells]
    assert {name for row in here for name in row.names} == set(_reported(("unmodelled", "misuse", "check", "_check")))
    kinds = {
        name for row in page() if row.section == "What the model reports" and "means" in row.cells for name in row.names
    }
    assert kinds >= set(_reported(("event", "once")))


# --- sources, names in the text, links, commands


def test_sources_are_those_of_the_legend() -> None:
    legend = {name for row in page() if row.section == LEGEND for name in row.names}
    assert len(legend) > 10
    for row in page():
        if "source" in row.cells:
            words = row.cells["source"].split()
            assert words, (row.section, row.names)
            assert set(words) <= legend, (row.section, row.names, words)


def test_parameters_and_misdeeds_in_the_text_exist() -> None:
    known = {param.name for param in PARAMS}
    families = {name.partition(".")[0] for name in known}
    for code in CODE.findall(PAGE.read_text()):
        family, dot, rest = code.partition("=")[0].partition(".")
        if dot and family in families and rest not in ("md", "py", "c", "h"):
            assert f"{family}.{rest}" in known, code
    for code in CODE.findall(PAGE.read_text().partition("### Time-outs of the driver")[2].partition("###")[0]):
        if re.fullmatch(r"[a-z]+(-[a-z]+)+", code):
            assert code in MISDEEDS, code


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE.read_text()):
        file, _, anchor = target.partition("#")
        page_there = PAGE.parent / file if file else PAGE
        assert page_there.is_file(), target
        assert not anchor or anchor in anchors(page_there.read_text()), target


def test_the_page_can_be_found() -> None:
    for file in ("README.md", "docs/contributor.md", "docs/gpu.md"):
        text = (ROOT / file).read_text()
        assert "fidelity.md" in text, file


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text().partition("## Questions")[2], re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [line.split("#")[0].split("|")[-1].strip() for line in lines if "panthorlab" in line.split("#")[0]]


def test_each_question_has_a_command() -> None:
    questions = re.split(r"^### ", PAGE.read_text().partition("## Questions")[2], flags=re.MULTILINE)[1:]
    assert len(questions) > 8
    for question in questions:
        assert "```sh\n" in question, question[:40]


@pytest.mark.parametrize("command", commands())
def test_an_owner_can_run_it(command: str) -> None:
    """The options are panthorlab's, the suite exists, and so do program, mode and options of the guest."""
    program, *arguments = command.split()
    assert program == "panthorlab"
    options = parse(arguments)
    find_suites(getattr(options, "suite", []))
    assert all((ROOT / patch).is_file() for patch in getattr(options, "patch", []) if patch.startswith("benchmarks/"))
    words = [word for word in getattr(options, "command", []) if word != "--"]
    if not words:
        return
    at = words.index("--mode") if "--mode" in words else len(words)
    name = words[at - 1] if at < len(words) else words[0]
    sources = "".join(file.read_text() for file in GUEST.glob(f"{name}*.c"))
    assert sources, name
    assert at == len(words) or f'"{words[at + 1]}"' in sources, command


# --- the test itself


def test_a_missing_row_is_noticed() -> None:
    for (section, column), facts in FACTS.items():
        name = next(iter(facts))
        rows = [replace(row, names=tuple(n for n in row.names if n != name)) for row in page()]
        assert complaints(rows, section, column, facts) == [f"{name} has no row"]


def test_a_new_fact_is_noticed() -> None:
    for (section, column), facts in {**FACTS, **NAMES}.items():
        assert complaints(page(), section, column, {*facts, "NEW_THING"}) == ["NEW_THING has no row"]


def test_a_row_too_many_is_noticed() -> None:
    for (section, column), facts in FACTS.items():
        like = next(row for row in page() if row.section == section and column in row.cells)
        rows = [*page(), replace(like, names=("NO_SUCH_THING",))]
        assert "NO_SUCH_THING does not exist" in complaints(rows, section, column, facts)
        name = next(iter(facts))
        rows = [*page(), replace(like, names=(name,), cells={**like.cells, "model": "absent"})]
        wrong = complaints(rows, section, column, facts)
        assert f"{name} exists, and is said to be absent" in wrong
        assert f"{name} has 2 rows" in wrong
