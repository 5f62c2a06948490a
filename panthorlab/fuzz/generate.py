# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts from a seed: equal seeds give equal scripts on any machine."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from panthorlab.fuzz import grammar
from panthorlab.fuzz.grammar import (
    ACT_VALUES,
    ACT_WEIGHTS,
    ACTS,
    BO_SIZE,
    CALLS,
    GUESSES,
    MAPPED_AT,
    MAPPED_SIZE,
    STREAMS_AT,
    Call,
)
from panthorlab.fuzz.mappings import BASES, PAGE, Mappings, draw_offset, draw_part, draw_size
from panthorlab.fuzz.script import MISDEED, ScriptLine

LENGTH: Final = range(6, 40)
"""Approximate number of lines per process."""
PROCESSES: Final = range(2, 7)
"""Processes per script: the checks after each script take as long as some of them."""
SLOTS: Final = 4
"""Slots of each kind that scripts use: few, so that calls hit the same objects."""
FIELD, GUESS, REPEAT, BESIDE, SYNC = 0.25, 0.06, 0.05, 0.05, 0.4
ODD, ODDER = 0.3, 0.1
"""Share of calls with an odd field, and of those with a second one: most are rejected for the first alone."""
BARE: Final = 0.15
"""Share of syncs on mappings that are not asynchronous, and so are rejected."""
KERNELS: Final = 0.15
"""Share of otherwise valid mappings with addresses in the kernel's range, in whole or in part."""
TRIED: Final = 0.5
"""Share of objects that should be rejected and are used nevertheless: some bugs show only then."""
AIMED: Final = 0.75
"""Share of valid mappings and unmappings that are placed where something is or could be mapped."""
ENDS: Final = ("exit", "kill")
AWAITED_MS: Final = "8000"
"""Longer than the driver's job timeout, because an awaited operation may wait for a job."""
PRELUDE: Final = ("vm_create", "bo_create", "group_create")


def generate(seed: str, misdeeds: Collection[str] = ()) -> tuple[ScriptLine, ...]:
    """The script of `seed`. `misdeeds`: names of the misdeeds of the board's GPU; the script depends on them, too."""
    return _Writer(random.Random(seed), misdeeds).script()  # noqa: S311 - no secret


class _Writer:
    def __init__(self, dice: random.Random, misdeeds: Collection[str]) -> None:
        self._dice = dice
        self._rules = [rule for rule in grammar.MISDEEDS if rule.partition(",")[0] in misdeeds]
        self._forget()
        acts = {**ACT_WEIGHTS, **({MISDEED: grammar.MISDEED_WEIGHT} if self._rules else {})}
        weights = {**{call.name: call.weight for call in CALLS.values()}, **acts}
        self._names, self._weights = list(weights), list(weights.values())

    def script(self) -> tuple[ScriptLine, ...]:
        lines: list[ScriptLine] = []
        for _ in range(self._dice.choice(PROCESSES)):
            lines += [*self._process(), ScriptLine(self._dice.choice(ENDS))]
        return tuple(lines)

    def _process(self) -> list[ScriptLine]:
        self._forget()
        lines = self._prelude()
        length = self._dice.choice(LENGTH)
        while len(lines) < length:
            lines += self._line(self._dice.choices(self._names, self._weights)[0])
            if lines[-1].call == "close":
                self._forget()
                lines += self._prelude()
        return lines

    def _forget(self) -> None:
        """Start with a new DRM file, which has no objects yet."""
        self._made: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}
        self._mapped = Mappings()
        self._waits = self._held = False

    def _prelude(self) -> list[ScriptLine]:
        """The first lines of most processes: creation of the objects that later calls need."""
        return [line for name in PRELUDE if self._dice.random() < 0.8 for line in self._line(name)]

    def _line(self, name: str) -> list[ScriptLine]:
        if name == MISDEED:
            return [ScriptLine(MISDEED, None, ((self._dice.choice(self._rules), None),))]
        if name in ACTS:
            words = sorted(ACTS[name])
            return [ScriptLine(name, None, tuple((word, self._dice.choice(ACT_VALUES[word])) for word in words))]
        call = self._call(CALLS[name], self._aim(name) if self._dice.random() < AIMED else {})
        self._waits |= ("stream", "wait") in call.arguments
        if self._waits and (name == "vm_destroy" or ("va", STREAMS_AT) in call.arguments):
            return []  # docs/findings/0024
        # A VM_BIND queue that waits blocks everything after it for as long as the awaited job runs.
        self._held |= name != "submit" and any(word == "wait" for word, _ in call.arguments)
        lines = [call]
        if CALLS[name].awaited and not self._held and self._dice.random() < SYNC:
            syncobj = self._dice.randrange(SLOTS)
            words_left = tuple(pair for pair in call.arguments if pair[0] not in ("async", "beside"))
            lines = [
                ScriptLine(name, call.into, (("async", "1"), *words_left, ("signal", f"s{syncobj}"))),
                ScriptLine("wait", None, (("sync", str(syncobj)), ("ms", AWAITED_MS))),
            ]
        self._learn(call)
        return lines

    def _aim(self, name: str) -> dict[str, str]:
        """Values by which a mapping or unmapping hits existing ones; none for other calls, or if there are none."""
        if name == "unbind" and (used := self._mapped.places()):
            vm = self._dice.choice(used)
            begin, end = draw_part(self._dice, self._dice.choice(self._mapped.of(vm)))
            return {"vm": vm, "va": f"{begin:#x}", "size": f"{end - begin:#x}"}
        vms = self._made.get("v")
        if name == "bind" and vms and (objects := [bo for bo, size in self._sizes.items() if size >= PAGE]):
            vm, bo = self._dice.choice(vms), self._dice.choice(objects)
            size = draw_size(self._dice, self._sizes[bo])
            touched = [begin for mapped in self._mapped.of(vm) for begin in draw_part(self._dice, mapped)]
            places = [f"{place:#x}" for place in (*BASES, *touched)]
            if self._dice.random() < KERNELS:
                places = [f"e{vm[1:]}", f"e{vm[1:]}-{PAGE:#x}"]
            offset = draw_offset(self._dice, size, self._sizes[bo])
            return {"vm": vm, "bo": bo, "va": self._dice.choice(places), "size": f"{size:#x}", "offset": f"{offset:#x}"}
        return {}

    def _learn(self, line: ScriptLine) -> None:
        """Update the model of existing objects for a call that succeeds."""
        words = dict(line.arguments)
        vm, begin, size = (
            words.get("vm") or "v0",
            *(_number(words.get(name) or usual) for name, usual in (("va", MAPPED_AT), ("size", MAPPED_SIZE))),
        )
        if line.call == "bo_create" and line.into in self._made["b"]:
            self._sizes[line.into] = _number(words.get("size") or BO_SIZE)
        elif line.call in ("vm_create", "vm_destroy"):
            self._mapped.forget(line.into or vm)
        elif line.call in ("bind", "unbind") and size > 0 and not (begin | size) % PAGE:
            (self._mapped.map if line.call == "bind" else self._mapped.unmap)(vm, begin, size)

    def _call(self, call: Call, given: Mapping[str, str]) -> ScriptLine:
        odd = self._odd_fields(call)
        arguments: list[tuple[str, str | None]] = []
        for field in call.fields:
            if field.name in odd:
                arguments.append((field.name, self._value(field.odd)))
            elif field.name in given:
                arguments.append((field.name, given[field.name]))
            elif field.usual and (field.always or self._dice.random() < FIELD):
                arguments.append((field.name, self._value(field.usual)))
        if call.syncs:
            likely = {"signal": SYNC, "wait": SYNC / 3}
            syncs: list[tuple[str, str | None]] = [
                (word, f"s{syncobj}")
                for word, syncobj in zip(likely, self._dice.sample(range(SLOTS), 2), strict=True)
                if self._dice.random() < likely[word]
            ]
            # Only asynchronous mappings may have syncs.
            if syncs and any(field.name == "async" for field in call.fields) and self._dice.random() > BARE:
                arguments = [("async", "1"), *(pair for pair in arguments if pair[0] != "async")]
            arguments += syncs
        if call.beside and self._dice.random() < BESIDE:
            arguments += [("times", str(self._dice.choice((20, 100, 200)))), ("beside", None)]
        elif self._dice.random() < REPEAT:
            arguments.append(("times", str(self._dice.choice((2, 3, 10, 40)))))
        into = f"{call.into}{self._dice.randrange(SLOTS)}" if call.into else None
        made = self._made.setdefault(call.into, [])
        if into is not None and into not in made and (not odd or self._dice.random() < TRIED):
            made.append(into)
        return ScriptLine(call.name, into, tuple(arguments))

    def _odd_fields(self, call: Call) -> list[str]:
        if self._dice.random() >= ODD:
            return []
        fields = [field for field in call.fields if field.odd]
        names, weights = [field.name for field in fields], [field.weight for field in fields]
        return self._dice.choices(names, weights, k=2 if self._dice.random() < ODDER else 1) if names else []

    def _value(self, values: Sequence[str]) -> str:
        value = self._dice.choice(values)
        letter, rest = value[:1], value[1:]
        if value in grammar.STREAMS or letter not in grammar.KINDS:
            return value
        if letter != "e" and self._dice.random() < GUESS:
            return self._dice.choice(GUESSES)
        made = self._made.get("v" if letter == "e" else letter) or [f"{letter}{self._dice.randrange(SLOTS)}"]
        return f"{letter}{self._dice.choice(made)[1:]}{rest}"


def _number(text: str) -> int:
    """The number in `text`; 1, which is no number of pages, for a value that depends on a slot."""
    return int(text, 0) if text.lstrip("-")[:1].isdigit() else 1
