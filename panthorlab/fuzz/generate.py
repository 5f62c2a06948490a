# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripts from a seed: equal seeds give equal scripts on any machine."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from panthorlab.fuzz import grammar
from panthorlab.fuzz.call import Call
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
FOLLOWED: Final = 0.5
"""Share of calls after which one comes that their bugs would show in."""
ENDS: Final = ("exit", "kill")
AWAITED_MS: Final = "8000"
"""Longer than the driver's job timeout, because an awaited operation may wait for a job."""
PRELUDE: Final = ("vm_create", "bo_create", "group_create")


def generate(seed: str, misdeeds: Collection[str] = ()) -> tuple[ScriptLine, ...]:
    """The script of `seed`. `misdeeds`: names of the misdeeds of the board's GPU; the script depends on them, too."""
    return _Writer(random.Random(seed), misdeeds).script()  # noqa: S311 - no secret


@dataclass
class _Side:
    """What one of a process's two files has. `waits`: a stream of it may wait for what never comes; `held`: so may a
    mapping."""

    made: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    mapped: Mappings = field(default_factory=Mappings)
    waits: bool = False
    held: bool = False


class _Writer:
    def __init__(self, dice: random.Random, misdeeds: Collection[str]) -> None:
        self._dice = dice
        self._side, self._aside = _Side(), _Side()
        self._rules = [rule for rule in grammar.MISDEEDS if rule.partition(",")[0] in misdeeds]
        self._shared: dict[str, list[str]] = {}
        self._files: dict[str, int] = {}
        self._next = ""
        acts = {**ACT_WEIGHTS, **({MISDEED: grammar.MISDEED_WEIGHT} if self._rules else {})}
        weights = {**{call.name: call.weight for call in CALLS.values()}, **acts}
        self._names, self._weights = list(weights), list(weights.values())

    def script(self) -> tuple[ScriptLine, ...]:
        lines: list[ScriptLine] = []
        for _ in range(self._dice.choice(PROCESSES)):
            lines += [*self._process(), ScriptLine(self._dice.choice(ENDS))]
        return tuple(lines)

    def _process(self) -> list[ScriptLine]:
        self._begin()
        lines = self._prelude()
        length = self._dice.choice(LENGTH)
        while len(lines) < length:
            more = self._line(self._next or self._dice.choices(self._names, self._weights)[0])
            lines += more
            last = more[-1].call if more else ""
            followers = grammar.FOLLOWERS.get(last, ())
            self._next = self._dice.choice(followers) if followers and self._dice.random() < FOLLOWED else ""
            if last == "switch":
                self._side, self._aside = self._aside, self._side
            elif last == "close":
                self._side = _Side()
            if last in ("switch", "close") and not self._side.made:
                lines += self._prelude()
        return lines

    def _begin(self) -> None:
        """Start with a new process, which has nothing yet. Mappings of the CPU and dma-bufs are of both files."""
        self._side, self._aside = _Side(), _Side()
        self._shared, self._files = {}, {}
        self._next = ""

    def _made(self, letter: str) -> list[str]:
        """The slots of a kind that have been made, as far as the script shows."""
        return (self._shared if letter in "mf" else self._side.made).setdefault(letter, [])

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
        side = self._side
        side.waits |= ("stream", "wait") in call.arguments
        if side.waits and (name == "vm_destroy" or ("va", STREAMS_AT) in call.arguments):
            return []  # docs/findings/0024
        # A VM_BIND queue that waits blocks everything after it for as long as the awaited job runs.
        side.held |= name != "submit" and any(word == "wait" for word, _ in call.arguments)
        lines = [call]
        if CALLS[name].awaited and not side.held and self._dice.random() < SYNC:
            syncobj = self._dice.randrange(SLOTS)
            words_left = tuple(pair for pair in call.arguments if pair[0] not in ("async", "beside"))
            lines = [
                ScriptLine(name, call.into, (("async", "1"), *words_left, ("signal", f"s{syncobj}"))),
                ScriptLine("wait", None, (("sync", str(syncobj)), ("ms", AWAITED_MS))),
            ]
        self._learn(call)
        return lines

    def _aim(self, name: str) -> dict[str, str]:
        """Values by which a call hits what is there, a mapping or a buffer object as large as it is; none for other
        calls, or if there is nothing."""
        if name == "unbind" and (used := self._side.mapped.places()):
            vm = self._dice.choice(used)
            begin, end = draw_part(self._dice, self._dice.choice(self._side.mapped.of(vm)))
            return {"vm": vm, "va": f"{begin:#x}", "size": f"{end - begin:#x}"}
        vms = self._made("v")
        if name == "sparse" and vms:
            vm = self._dice.choice(vms)
            return {"vm": vm, "va": self._place(vm)}
        objects = [bo for bo, size in self._side.sizes.items() if size >= PAGE]
        if name == "file_map" and self._files:
            file = self._dice.choice(list(self._files))
            return {"file": file, "size": f"{self._files[file]:#x}"}
        if not objects:
            return {}
        bo = self._dice.choice(objects)
        room = self._side.sizes[bo]
        size = draw_size(self._dice, room)
        offset = draw_offset(self._dice, size, room)
        if name == "bind" and vms:
            vm = self._dice.choice(vms)
            return {"vm": vm, "bo": bo, "va": self._place(vm), "size": f"{size:#x}", "offset": f"{offset:#x}"}
        if name == "export":
            return {"bo": bo}
        if name == "bo_sync":
            return {"bo": bo, "offset": f"{offset:#x}", "size": f"{size:#x}"}
        return {"bo": bo, "size": f"{room:#x}"} if name == "map" else {}

    def _place(self, vm: str) -> str:
        """Where a mapping in this VM touches another one, or none, or what is the kernel's."""
        if self._dice.random() < KERNELS:
            return self._dice.choice([f"e{vm[1:]}", f"e{vm[1:]}-{PAGE:#x}"])
        touched = [begin for mapped in self._side.mapped.of(vm) for begin in draw_part(self._dice, mapped)]
        return f"{self._dice.choice([*BASES, *touched]):#x}"

    def _learn(self, line: ScriptLine) -> None:
        """Update the model of existing objects for a call that succeeds."""
        words, side = dict(line.arguments), self._side
        vm, begin, size = (
            words.get("vm") or "v0",
            *(_number(words.get(name) or usual) for name, usual in (("va", MAPPED_AT), ("size", MAPPED_SIZE))),
        )
        if line.into is not None and line.into not in self._made(line.into[0]):
            return
        if line.call == "bo_create":
            side.sizes[str(line.into)] = _number(words.get("size") or BO_SIZE)
        elif line.call == "export":
            self._files[str(line.into)] = side.sizes.get(words.get("bo") or "b0", 0)
        elif line.call == "import":
            side.sizes[str(line.into)] = self._files.get(words.get("file") or "f0", 0)
        elif line.call in ("vm_create", "vm_destroy"):
            side.mapped.forget(line.into or vm)
        elif line.call in ("bind", "sparse", "unbind") and size > 0 and not (begin | size) % PAGE:
            (side.mapped.unmap if line.call == "unbind" else side.mapped.map)(vm, begin, size)

    def _call(self, call: Call, given: Mapping[str, str]) -> ScriptLine:
        odd = self._odd_fields(call)
        arguments: list[tuple[str, str | None]] = []
        for part in call.fields:
            if part.name in odd:
                arguments.append((part.name, self._value(part.odd)))
            elif part.name in given:
                arguments.append((part.name, given[part.name]))
            elif part.usual and (part.always or self._dice.random() < FIELD):
                arguments.append((part.name, self._value(part.usual)))
        if call.syncs:
            likely = {"signal": SYNC, "wait": SYNC / 3}
            syncs: list[tuple[str, str | None]] = [
                (word, f"s{syncobj}")
                for word, syncobj in zip(likely, self._dice.sample(range(SLOTS), 2), strict=True)
                if self._dice.random() < likely[word]
            ]
            # Only asynchronous mappings may have syncs.
            if syncs and any(part.name == "async" for part in call.fields) and self._dice.random() > BARE:
                arguments = [("async", "1"), *(pair for pair in arguments if pair[0] != "async")]
            arguments += syncs
        if call.beside and self._dice.random() < BESIDE:
            arguments += [("times", str(self._dice.choice((20, 100, 200)))), ("beside", None)]
        elif self._dice.random() < REPEAT:
            arguments.append(("times", str(self._dice.choice((2, 3, 10, 40)))))
        into = f"{call.into}{self._dice.randrange(SLOTS)}" if call.into else None
        made = self._made(call.into)
        if into is not None and into not in made and (not odd or self._dice.random() < TRIED):
            made.append(into)
        return ScriptLine(call.name, into, tuple(arguments))

    def _odd_fields(self, call: Call) -> list[str]:
        if self._dice.random() >= ODD:
            return []
        fields = [part for part in call.fields if part.odd]
        names, weights = [part.name for part in fields], [part.weight for part in fields]
        return self._dice.choices(names, weights, k=2 if self._dice.random() < ODDER else 1) if names else []

    def _value(self, values: Sequence[str]) -> str:
        value = self._dice.choice(values)
        letter, rest = value[:1], value[1:]
        if value in grammar.STREAMS or letter not in grammar.KINDS:
            return value
        if letter != "e" and self._dice.random() < GUESS:
            return self._dice.choice(GUESSES)
        made = self._made("v" if letter == "e" else letter) or [f"{letter}{self._dice.randrange(SLOTS)}"]
        return f"{letter}{self._dice.choice(made)[1:]}{rest}"


def _number(text: str) -> int:
    """The number in `text`; 1, which is no number of pages, for a value that depends on a slot."""
    return int(text, 0) if text.lstrip("-")[:1].isdigit() else 1
