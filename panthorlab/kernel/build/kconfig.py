# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough of the Kconfig language to say why an option was lost: definitions, dependencies, who selects it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from panthorlab.kernel.jail import inside

_SOURCE = re.compile(r'^\s*(o?r?source)\s+"([^"]+)"')
_CONFIG = re.compile(r"^\s*(?:menu)?config\s+(\w+)\s*$")
_DEPENDS = re.compile(r"^\s*depends\s+on\s+(.+)$")
_SELECT = re.compile(r"^\s*select\s+(\w+)(?:\s+if\s+(.+))?$")
_PROMPT = re.compile(r'^\s*(?:(?:bool|tristate|string|int|hex)\s+["\']|prompt\s)')
_TOKEN = re.compile(r"\s*(\|\||&&|!=|<=|>=|[()!=<>]|\"[^\"]*\"|'[^']*'|\$\([^)]*\)|[\w.-]+)")
DEEPEST, MOST_BYTES = 50, 64 << 20
"""How deep files may name files, and how much is read of them, each for at least 1 KiB: 6.12 has 1,900, of 3 MB.
Those of a hostile tree could name one another twice each, for ever."""
_ORDER = {"n": 0, "m": 1, "y": 2}


@dataclass
class Symbol:
    """One option. `where`: first definition, `file:line`. `depends`: one list of conditions per definition."""

    name: str
    where: str
    depends: list[list[str]] = field(default_factory=list)
    selected_by: list[str] = field(default_factory=list)
    prompt: bool = False


def read_symbols(tree: Path, srcarch: str) -> dict[str, Symbol]:
    """Every option that `Kconfig` of the tree reaches with this SRCARCH."""
    symbols: dict[str, Symbol] = {}
    _Reader(tree, srcarch, symbols).read("Kconfig", ())
    return symbols


class _Reader:
    """Walks `source` statements, keeping the conditions of the enclosing `if` and `menu` blocks."""

    def __init__(self, tree: Path, srcarch: str, symbols: dict[str, Symbol]) -> None:
        self._tree, self._srcarch, self._symbols = tree, srcarch, symbols
        self._reading: set[str] = set()
        self._left = MOST_BYTES

    def read(self, file: str, outer: tuple[str, ...]) -> None:
        if file in self._reading or len(self._reading) >= DEEPEST or self._left <= 0:
            return
        content = inside.read(self._tree, file, self._left)
        self._left -= 1024 + len(content or b"")
        if content is None:
            return
        self._reading.add(file)
        blocks: list[list[str]] = []
        current: Symbol | None = None
        for number, line in _statements(content.decode(errors="replace")):
            word = line.split(None, 1)[0]
            if match := _CONFIG.match(line):
                current = self._define(match[1], f"{file}:{number}", [*outer, *(c for block in blocks for c in block)])
            elif match := _SOURCE.match(line):
                current = None
                name = match[2].replace("$(SRCARCH)", self._srcarch).replace("$(ARCH)", self._srcarch)
                name = str(Path(file).parent / name) if match[1].startswith("r") or match[1] == "orsource" else name
                self.read(name, (*outer, *(c for block in blocks for c in block)))
            elif word in ("if", "menu", "choice"):
                current = None
                blocks.append([line.split(None, 1)[1]] if word == "if" else [])
            elif word in ("endif", "endmenu", "endchoice"):
                current = None
                if blocks:
                    blocks.pop()
            elif word == "comment":
                current = None
            else:
                self._attribute(line, current, blocks)
        self._reading.discard(file)

    def _attribute(self, line: str, current: Symbol | None, blocks: list[list[str]]) -> None:
        if match := _DEPENDS.match(line):
            if current is not None:
                current.depends[-1].append(match[1])
            elif blocks:
                blocks[-1].append(match[1])
        elif current is not None and (match := _SELECT.match(line)):
            self._symbol(match[1], "").selected_by.append(current.name)
        elif current is not None and _PROMPT.match(line):
            current.prompt = True

    def _define(self, name: str, where: str, conditions: list[str]) -> Symbol:
        symbol = self._symbol(name, where)
        symbol.where = symbol.where or where
        symbol.depends.append(conditions)
        return symbol

    def _symbol(self, name: str, where: str) -> Symbol:
        return self._symbols.setdefault(name, Symbol(name, where))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Non-empty lines with continuations joined and help texts left out, with their 1-based numbers."""
    lines = iter(enumerate(text.splitlines(), 1))
    help_indent: int | None = None
    in_help = False
    for number, raw in lines:
        line = raw.expandtabs()
        if in_help:
            if not line.strip():
                continue
            indent = len(line) - len(line.lstrip())
            help_indent = indent if help_indent is None else help_indent
            if indent >= help_indent and indent > 0:
                continue
            in_help, help_indent = False, None
        while line.rstrip().endswith("\\"):
            line = line.rstrip()[:-1] + next(lines, (0, ""))[1].expandtabs()
        line = re.sub(r"\s#[^\"]*$", "", line).strip()
        if not line or line.startswith("#"):
            continue
        if line in ("help", "---help---"):
            in_help = True
            continue
        yield number, line


def evaluate(expression: str, values: Mapping[str, str]) -> str:
    """`y`, `m` or `n`: Kconfig's three-valued logic. Options not in `values` are `n`."""
    tokens = _TOKEN.findall(expression)
    result, rest = _either(tokens, values)
    return result if not rest else "n"


def _either(tokens: list[str], values: Mapping[str, str]) -> tuple[str, list[str]]:
    left, tokens = _both(tokens, values)
    while tokens[:1] == ["||"]:
        right, tokens = _both(tokens[1:], values)
        left = max(left, right, key=_ORDER.__getitem__)
    return left, tokens


def _both(tokens: list[str], values: Mapping[str, str]) -> tuple[str, list[str]]:
    left, tokens = _term(tokens, values)
    while tokens[:1] == ["&&"]:
        right, tokens = _term(tokens[1:], values)
        left = min(left, right, key=_ORDER.__getitem__)
    return left, tokens


def _term(tokens: list[str], values: Mapping[str, str]) -> tuple[str, list[str]]:
    if not tokens:
        return "n", []
    head, rest = tokens[0], tokens[1:]
    if head == "!":
        value, rest = _term(rest, values)
        return {"y": "n", "m": "m", "n": "y"}[value], rest
    if head == "(":
        value, rest = _either(rest, values)
        return value, rest[1:]
    if len(rest) > 1 and rest[0] in ("=", "!=", "<", ">", "<=", ">="):
        left, right = _value(head, values), _value(rest[1], values)
        return ("y" if _compare(left, rest[0], right) else "n"), rest[2:]
    value = _value(head, values)
    return (value if value in _ORDER else "n"), rest


def _value(token: str, values: Mapping[str, str]) -> str:
    if token[0] in "\"'":
        return token[1:-1]
    if token in _ORDER or token.isdigit() or token.startswith("$"):
        return token
    return values.get(token, "n").strip('"')


def _compare(left: str, operator: str, right: str) -> bool:
    if operator in ("=", "!="):
        return (left == right) == (operator == "=")
    try:
        a, b = int(left, 0), int(right, 0)
    except ValueError:
        return False
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]


def why_lost(name: str, symbols: Mapping[str, Symbol], values: Mapping[str, str]) -> str:
    """Why option `name` is not what was asked for, given the values (`y`, `m`, …) of the others."""
    symbol = symbols.get(name)
    if symbol is None or not symbol.depends:
        return "this tree has no such option"
    if not symbol.prompt:
        who = ", ".join(sorted(set(symbol.selected_by))[:6])
        return f"it cannot be set by hand ({symbol.where})" + (f"; selected by {who}" if who else "")
    unmet = []
    for conditions in symbol.depends:
        failing = [text for text in conditions if evaluate(text, values) == "n"]
        if not failing:
            break
        unmet.append(" && ".join(f"{text} ({_shown(text, values)})" for text in failing))
    else:
        return f"depends on {' or '.join(unmet)}, which is not met ({symbol.where})"
    selectors = [other for other in symbol.selected_by if values.get(other, "n") != "n"]
    if selectors:
        return f"it is selected by {', '.join(selectors)} ({symbol.where})"
    return f"its dependencies are met, so another option excludes it ({symbol.where})"


def _shown(expression: str, values: Mapping[str, str]) -> str:
    names = dict.fromkeys(token for token in _TOKEN.findall(expression) if re.fullmatch(r"[A-Z]\w*", token))
    return ", ".join(f"{name}={values.get(name, 'n')}" for name in names)
