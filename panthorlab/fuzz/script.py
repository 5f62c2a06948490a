# SPDX-License-Identifier: GPL-2.0-or-later
"""A script of the guest program `gpu-fuzz`: its lines, read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from panthorlab.errors import UsageError
from panthorlab.fuzz.grammar import ACTS, CALLS, COMMON, KINDS, STREAMS

MISDEED: Final = "misdeed"
LIMIT: Final = 1000
"""Lines of a script that `gpu-fuzz` takes, without comments."""
WORDS: Final = 16
SLOTS: Final = 16
SYNCS: Final = 2
_NUMBER = r"-?(?:0x[0-9a-f]+|\d+)"
_SLOT = re.compile(r"(?P<letter>[a-z])(?P<number>\d+)")
_VALUE = re.compile(rf"(?:(?P<slot>[a-z]\d+)|{_NUMBER})(?:[+-](?:0x[0-9a-f]+|\d+))*")


@dataclass(frozen=True)
class ScriptLine:
    """One call: `into` is the slot for the object it creates; `arguments` are NAME=VALUE, or NAME and None."""

    call: str
    into: str | None = None
    arguments: tuple[tuple[str, str | None], ...] = ()

    def __str__(self) -> str:
        words = [name if value is None else f"{name}={value}" for name, value in self.arguments]
        return " ".join([self.call, *([self.into] if self.into else []), *words])

    @property
    def rule(self) -> str | None:
        """The misdeed that the line arms; None for other lines."""
        return self.arguments[0][0] if self.call == MISDEED else None


def parse(text: str) -> tuple[ScriptLine, ...]:
    """The lines of a script, without comments. Raises UsageError with the place of the first that is none."""
    lines = []
    for number, written in enumerate(text.splitlines(), 1):
        words = written.partition("#")[0].split()
        if not words:
            continue
        if wrong := _wrong(words):
            raise UsageError(f"line {number} of the script: {wrong}", hint="docs/fuzz.md has the calls and their words")
        lines.append(_line(words))
    if len(lines) > LIMIT:
        raise UsageError(f"a script of {len(lines)} lines", hint=f"{LIMIT} is the most")
    return tuple(lines)


def write(lines: tuple[ScriptLine, ...]) -> str:
    """The text of a script; `parse` gives the same lines."""
    return "".join(f"{line}\n" for line in lines)


def rules(lines: tuple[ScriptLine, ...]) -> tuple[str, ...]:
    """The misdeeds that a script arms."""
    return tuple(line.rule for line in lines if line.rule is not None)


def _line(words: list[str]) -> ScriptLine:
    if words[0] == MISDEED:
        return ScriptLine(MISDEED, None, ((words[1], None),))
    into = next((word for word in words[1:] if _SLOT.fullmatch(word)), None)
    arguments = [word.partition("=") for word in words[1:] if word != into]
    return ScriptLine(words[0], into, tuple((name, value if equals else None) for name, equals, value in arguments))


def _wrong(words: list[str]) -> str:
    """What is wrong with a line; empty if nothing."""
    name, rest = words[0], words[1:]
    if len(rest) > WORDS:
        return f"more than {WORDS} words"
    if name == MISDEED:
        return "" if len(rest) == 1 else "misdeed takes one rule"
    known = {field.name for field in CALLS[name].fields} | COMMON if name in CALLS else ACTS.get(name)
    if known is None:
        return f"there is no call {name}"
    if sum(word.partition("=")[0] in ("signal", "wait") for word in rest) > SYNCS:
        return f"more than {SYNCS} syncs"
    return next((wrong for word in rest if (wrong := _wrong_word(name, known, word))), "")


def _wrong_word(call: str, known: frozenset[str] | set[str], word: str) -> str:
    name, equals, value = word.partition("=")
    if not equals and (slot := _SLOT.fullmatch(word)):
        into = CALLS[call].into if call in CALLS else ""
        return "" if slot["letter"] == into and int(slot["number"]) < SLOTS else f"{call} makes no {word}"
    if name not in known:
        return f"{call} has no {name}"
    if name == "stream":
        return "" if value in STREAMS else f"there is no stream {value}"
    if not equals:
        return ""
    if not (found := _VALUE.fullmatch(value)):
        return f"{value} is no value"
    slot = _SLOT.fullmatch(found["slot"] or "v0")
    return "" if slot and slot["letter"] in KINDS and int(slot["number"]) < SLOTS else f"{value} is no slot"
