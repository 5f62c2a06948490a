# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for all modules of the package: none is too long to be one idea, and none imports itself in a circle.

import-linter (pyproject.toml) knows of circles between siblings alone, not of one between a package and what is in it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from panthorlab.paths import PACKAGE

LONGEST = 350


def _modules(package: Path) -> dict[str, Path]:
    """The files of a package by their dotted names; a package is its `__init__`."""
    names = {path: path.relative_to(package.parent).with_suffix("").parts for path in sorted(package.rglob("*.py"))}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


def _imports(name: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules that one imports, wherever it does: at its top, in a function or for its types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - (path.name == "__init__.py")  # packages that a relative import leaves behind
            parents = name.split(".")[: -up or None] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:  # a module of a package, or a name in a module
                found = f"{base}.{alias.name}"
                yield from (one for one in [found if found in modules else base] if one in modules)


def circles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            at = stack.index(node)
            component, stack[at:] = stack[at:], []
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def graph_of(package: Path) -> dict[str, frozenset[str]]:
    modules = _modules(package)
    return {name: frozenset(_imports(name, path, modules)) - {name} for name, path in modules.items()}


def test_no_module_is_longer_than_one_idea() -> None:
    long = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert len(long) > 300
    assert not {name: lines for name, lines in long.items() if lines > LONGEST}, "split it where it has two ideas"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = graph_of(PACKAGE)
    assert sum(map(len, graph.values())) > 1000
    assert circles(graph) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a": "from p import b", "b": "import p.c", "c": "def f(): from .a import g"}, [["p.a", "p.b", "p.c"]]),
        ({"a": "from p import x", "b": "from .a import x"}, []),
        ({"q/__init__": "from p.q.a import x", "q/a": "from p.q import b", "q/b": "from p.q import x"},
         [["p.q", "p.q.a", "p.q.b"]]),
        ({"q/__init__": "from . import a", "q/a": "from .. import q"}, [["p.q", "p.q.a"]]),
        ({"q/__init__": "", "q/a": "from ..b import x", "b": "from .q.a import x"}, [["p.b", "p.q.a"]]),
        ({"q/__init__": "from ..b import x", "b": "from .q import x"}, [["p.b", "p.q"]]),
        ({"a": "if TYPE_CHECKING:\n    from p.b import X", "b": "from p.a import x"}, [["p.a", "p.b"]]),
        ({"a": "import p.b", "b": "import sys", "q/__init__": "", "q/a": "from p import a, b"}, []),
    ],
)  # fmt: skip
def test_circles_are_found(tmp_path: Path, files: dict[str, str], found: list[list[str]]) -> None:
    for name, text in {"__init__": "", **files}.items():
        path = tmp_path / "p" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert circles(graph_of(tmp_path / "p")) == found
