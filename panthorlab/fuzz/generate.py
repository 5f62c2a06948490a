# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts from a seed: the same seed, the same script, on any machine."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Final

from panthorlab.fuzz import grammar
from panthorlab.fuzz.grammar import ACT_VALUES, ACT_WEIGHTS, ACTS, CALLS, GUESSES, Call, Field
from panthorlab.fuzz.script import MISDEED, Line

LENGTH: Final = range(6, 40)
"""Lines of one process, about."""
PROCESSES: Final = range(2, 7)
"""Of one script: what is asked after each script costs as much time as some of them."""
SLOTS: Final = 4
"""Slots of each kind that scripts use: few, so that calls meet."""
FIELD, ODD, GUESS, REPEAT, BESIDE, SYNC = 0.25, 0.15, 0.06, 0.05, 0.05, 0.4
ENDS: Final = ("exit", "kill")
AWAITED_MS: Final = "200"
PRELUDE: Final = ("vm_create", "bo_create", "group_create")


def generate(seed: str, misdeeds: Collection[str] = ()) -> tuple[Line, ...]:
    """The script of `seed`. `misdeeds`: names of what the board's GPU can do wrong on request; it is part of what the
    same script needs."""
    return _Writer(random.Random(seed), misdeeds).script()  # noqa: S311 - no secret


class _Writer:
    def __init__(self, dice: random.Random, misdeeds: Collection[str]) -> None:
        self._dice = dice
        self._rules = [rule for rule in grammar.MISDEEDS if rule.partition(",")[0] in misdeeds]
        self._made: dict[str, list[str]] = {}
        acts = {**ACT_WEIGHTS, **({MISDEED: grammar.MISDEED_WEIGHT} if self._rules else {})}
        weights = {**{call.name: call.weight for call in CALLS.values()}, **acts}
        self._names, self._weights = list(weights), list(weights.values())

    def script(self) -> tuple[Line, ...]:
        lines: list[Line] = []
        for _ in range(self._dice.choice(PROCESSES)):
            lines += [*self._process(), Line(self._dice.choice(ENDS))]
        return tuple(lines)

    def _process(self) -> list[Line]:
        self._made = {}
        lines = self._prelude()
        length = self._dice.choice(LENGTH)
        while len(lines) < length:
            lines += self._line(self._dice.choices(self._names, self._weights)[0])
            if lines[-1].call == "close":
                self._made = {}
                lines += self._prelude()
        return lines

    def _prelude(self) -> list[Line]:
        """Most processes begin with what the calls after it need."""
        return [line for name in PRELUDE if self._dice.random() < 0.8 for line in self._line(name)]

    def _line(self, name: str) -> list[Line]:
        if name == MISDEED:
            return [Line(MISDEED, None, ((self._dice.choice(self._rules), None),))]
        if name in ACTS:
            words = sorted(ACTS[name])
            return [Line(name, None, tuple((word, self._dice.choice(ACT_VALUES[word])) for word in words))]
        if CALLS[name].awaited and self._dice.random() < SYNC:
            syncobj = self._dice.randrange(SLOTS)
            call = self._call(CALLS[name])
            words_left = tuple(pair for pair in call.arguments if pair[0] not in ("async", "beside"))
            call = Line(name, call.into, (("async", "1"), *words_left, ("signal", f"s{syncobj}")))
            return [call, Line("wait", None, (("sync", str(syncobj)), ("ms", AWAITED_MS)))]
        return [self._call(CALLS[name])]

    def _call(self, call: Call) -> Line:
        arguments: list[tuple[str, str | None]] = [
            (field.name, self._value(field)) for field in call.fields
            if (field.usual or self._dice.random() < ODD) and (field.always or self._dice.random() < FIELD)
        ]
        if call.syncs:
            syncs: list[tuple[str, str | None]] = [(word, f"s{syncobj}") for word, syncobj in
                          zip(("signal", "wait"), self._dice.sample(range(SLOTS), 2), strict=True)
                          if self._dice.random() < SYNC / (1 if word == "signal" else 3)]
            # Mappings have syncs only if they are asynchronous.
            if syncs and any(field.name == "async" for field in call.fields) and self._dice.random() > ODD:
                arguments = [("async", "1"), *(pair for pair in arguments if pair[0] != "async")]
            arguments += syncs
        if call.beside and self._dice.random() < BESIDE:
            arguments += [("times", str(self._dice.choice((20, 100, 200)))), ("beside", None)]
        elif self._dice.random() < REPEAT:
            arguments.append(("times", str(self._dice.choice((2, 3, 10, 40)))))
        into = f"{call.into}{self._dice.randrange(SLOTS)}" if call.into else None
        if into is not None and into not in self._made.setdefault(call.into, []):
            self._made[call.into].append(into)
        return Line(call.name, into, tuple(arguments))

    def _value(self, field: Field) -> str:
        odd = field.odd and (not field.usual or self._dice.random() < ODD)
        value = self._dice.choice(field.odd if odd else field.usual)
        letter, rest = value[:1], value[1:]
        if field.name == "stream" or letter not in grammar.KINDS:
            return value
        if letter != "e" and self._dice.random() < GUESS:
            return self._dice.choice(GUESSES)
        made = self._made.get("v" if letter == "e" else letter) or [f"{letter}{self._dice.randrange(SLOTS)}"]
        return f"{letter}{self._dice.choice(made)[1:]}{rest}"
