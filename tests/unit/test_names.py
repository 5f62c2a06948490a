# SPDX-License-Identifier: GPL-2.0-or-later
"""One word, one thing: no two modules of the package call two types the same (docs/contributor.md, Names)."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

import panthorlab

PACKAGE: Final = Path(panthorlab.__file__).parent
ALLOWED: Final[Mapping[str, str]] = {}
"""Names that may mean two things, each with the reason. There is none, and that is the aim."""


def types(tree: ast.Module) -> Iterator[str]:
    """Public names of classes, and of aliases of types (capitalised names that are assigned), of a module."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case _:
                continue
        if name[0].isupper() and not name.isupper():
            yield name


def duplicates(root: Path) -> dict[str, list[str]]:
    """Modules below `root` by the type names that several of them define."""
    modules = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        for name in types(ast.parse(path.read_bytes())):
            modules[name].append(str(path.relative_to(root)))
    return {name: where for name, where in modules.items() if len(where) > 1}


def test_no_type_name_means_two_things() -> None:
    found = duplicates(PACKAGE)
    assert {name: where for name, where in found.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "what is allowed and no longer there"


@pytest.mark.parametrize(
    "second", ["class Progress: ...", "class Progress(int):\n    pass", "Progress = int", "Progress: object = int"]
)
def test_a_second_one_is_found(tmp_path: Path, second: str) -> None:
    (tmp_path / "a.py").write_text("class Progress: ...\nclass _Part: ...\nLIMIT = 1\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.py").write_text(f"class _Part: ...\nLIMIT = 2\n{second}\n")
    assert duplicates(tmp_path) == {"Progress": ["a.py", "below/b.py"]}
