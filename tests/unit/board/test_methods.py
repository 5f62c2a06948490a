# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of boot methods: that its rows work, and that what is said of them elsewhere comes from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from panthorlab.board.methods import AUTO, CHOICES, METHODS, as_markdown
from panthorlab.board.real.file import BootSection
from panthorlab.board.real.methods.choice import make
from panthorlab.errors import UsageError
from panthorlab.options import parse

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
TEMPLATE = ROOT / "board_configs/template.yaml.example"


def _section(name: str) -> object:
    """The section of `boot` that the template shows, also where it is commented out."""
    for begin in ("  ", "  # "):
        if found := re.search(rf"^{begin}{name}:\n((?:{begin}  .*\n)+)", TEMPLATE.read_text(), re.MULTILINE):
            section: object = yaml.safe_load("\n".join(line.removeprefix(begin) for line in found[1].splitlines()))
            return section
    raise AssertionError(f"{TEMPLATE} has no example of boot.{name}")


SECTIONS = {section: _section(section) for row in METHODS.values() for section in row.sections}


@pytest.mark.parametrize("name", METHODS)
def test_each_row_names_a_method(name: str) -> None:
    made = make(METHODS[name])
    assert callable(made.refuse)
    assert callable(made.start)


def test_options_take_them_and_nothing_else() -> None:
    assert (AUTO, *METHODS) == CHOICES
    for name in CHOICES:
        assert parse(["validate", "--boot-method", name]).boot_method == name
    with pytest.raises(UsageError, match="magic"):
        parse(["validate", "--boot-method", "magic"])


def test_a_board_file_takes_them_with_the_sections_they_need() -> None:
    plain = {"console": "ttyS2", "root": "root=/dev/x"}
    for row in METHODS.values():
        methods = [row.name, *(name for name, other in METHODS.items() if row.exchanges and not other.exchanges)]
        needed = {section for name in methods for section in METHODS[name].sections}
        section = BootSection.model_validate({**plain, "methods": methods, **{name: SECTIONS[name] for name in needed}})
        assert section.methods == methods
        for missing in row.sections:
            with pytest.raises(ValueError, match=f"method {row.name} needs the section `{missing}`"):
                BootSection.model_validate(
                    {**plain, "methods": methods, **{name: SECTIONS[name] for name in needed - {missing}}}
                )


def test_one_that_exchanges_modules_needs_another() -> None:
    for row in METHODS.values():
        if row.exchanges:
            with pytest.raises(ValueError, match="needs another method beside it"):
                BootSection.model_validate({"console": "ttyS2", "root": "root=/dev/x", "methods": [row.name]})


def test_the_documentation_has_the_table() -> None:
    text = (DOCS / "boot-methods.md").read_text()
    assert as_markdown() in text, "put in what `python -m panthorlab.board.methods` prints"
    for name in METHODS:
        assert f"\n## {name}\n" in text, f"docs/boot-methods.md has no section on {name}"
