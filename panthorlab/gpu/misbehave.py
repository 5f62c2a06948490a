# SPDX-License-Identifier: GPL-2.0-or-later
"""Fault injection: a table of misdeeds (ways in which the GPU can fail), and rules that say when one happens.

A rule is written `NAME[,KEY=VALUE…]`, for example `flush-lost,nth=2` (the second cache flush from now on never
completes) or `state-late,state=suspend,ms=150,times=0` (every SUSPEND is acknowledged 150 ms late). Without rules
nothing is injected. Rules can be armed and cleared while the guest runs; each time one strikes, the model writes an
`injected` event and an instant in the trace.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from panthorlab.gpu.events import Reporter
from panthorlab.gpu.trace import Trace

FOREVER = 0
MOST_GPUS = 4
"""GPUs of one board."""
_MS = 50.0


@dataclass(frozen=True, slots=True)
class Misdeed:
    """`name` strikes at `occasion`. `choices`: keys that restrict a rule, each with its possible values."""

    name: str
    occasion: str
    meaning: str
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    late: bool = False
    """A rule sets the delay (`ms`)."""
    exception: int | None = None
    """The default exception type, which a rule can change (`exception`); None: the misdeed has none."""
    slotted: bool = False
    """A rule can be restricted to one CSG slot (`slot`)."""
    valued: bool = False
    """A rule sets the `value` (32 bits)."""


_STATES = {"state": ("start", "resume", "suspend", "terminate")}
_GROUP_EVENTS = {"event": ("idle", "sync-update", "progress-timer")}
_EVENTS = {"event": ("idle", "sync-update", "progress-timer", "tiler-oom", "fault", "fatal")}
_LINES = {"line": ("job", "mmu", "gpu")}
_SPACES = {"space": ("firmware", "user")}
_CORES = {"core": ("l2", "tiler", "shader")}
_FIELDS = {
    "field": (
        "glb-version",
        "glb-features",
        "glb-input",
        "glb-output",
        "glb-group-num",
        "glb-group-stride",
        "glb-perfcnt-size",
        "glb-instr-features",
        "csg-features",
        "csg-input",
        "csg-output",
        "csg-suspend-size",
        "csg-protm-suspend-size",
        "csg-stream-num",
        "csg-stream-stride",
        "cs-features",
        "cs-input",
        "cs-output",
    )
}
_ENDPOINTS = {"endpoint": ("compute", "fragment", "tiler")}
_REQUESTERS = {"requester": ("prefetch", "lsu", "mcu", "tiler", "shader"), "access": ("read", "write")}

MISDEEDS: tuple[Misdeed, ...] = (
    Misdeed(
        "mcu-hang", "a group is to be started", "the MCU answers nothing until it is stopped or reset", slotted=True
    ),
    Misdeed("boot-lost", "MCU_CONTROL starts the MCU", "it never says that it has booted"),
    Misdeed("boot-late", "MCU_CONTROL starts the MCU", "it says so late", late=True),
    Misdeed(
        "interface",
        "the MCU boots and writes a field of a control block",
        "the field has another value",
        _FIELDS,
        slotted=True,
        valued=True,
    ),
    Misdeed("halt-lost", "GLB_REQ.HALT", "the MCU does not halt"),
    Misdeed("halt-spoilt", "GLB_REQ.HALT", "the MCU halts, but can only be started again with its memory loaded anew"),
    Misdeed("stop-lost", "MCU_CONTROL stops the MCU", "MCU_STATUS stays as it was"),
    Misdeed(
        "cache-kept",
        "MCU_CONTROL stops the MCU",
        "what it wrote stays in the L2, and comes over memory when it "
        "starts again, unless the caches were flushed, or the GPU was reset",
    ),
    Misdeed("reset-lost", "GPU_CMD resets", "the reset happens, RESET_COMPLETED never comes"),
    Misdeed("reset-late", "GPU_CMD resets", "RESET_COMPLETED comes late", late=True),
    Misdeed("reset-early", "GPU_CMD resets", "RESET_COMPLETED comes at once, the reset later", late=True),
    Misdeed(
        "mcu-survives-reset",
        "GPU_CMD resets",
        "MCU_CONTROL keeps its value: with the L2's power the MCU starts by itself",
    ),
    Misdeed("flush-lost", "GPU_CMD flushes caches", "CLEAN_CACHES_COMPLETED never comes"),
    Misdeed("flush-late", "GPU_CMD flushes caches", "CLEAN_CACHES_COMPLETED comes late", late=True),
    Misdeed("coherency-lost", "COHERENCY_FEATURES is read", "it says that the GPU can be coherent with nobody"),
    Misdeed("power-lost", "cores are switched", "they stay as they are, and no interrupt comes", _CORES),
    Misdeed("power-late", "cores are switched", "it takes time", _CORES, late=True),
    Misdeed("as-stuck", "AS_COMMAND", "AS_STATUS says busy for a time; the command has its effect", _SPACES, late=True),
    Misdeed("state-lost", "a CSG state request is carried out", "it is never acknowledged", _STATES, slotted=True),
    Misdeed(
        "state-late", "a CSG state request is carried out", "it is acknowledged late", _STATES, late=True, slotted=True
    ),
    Misdeed(
        "state-early",
        "START, RESUME; SUSPEND or TERMINATE with heap contexts to be written",
        "it is acknowledged at once; the group begins, or its heap contexts are written, later",
        _STATES,
        late=True,
        slotted=True,
    ),
    Misdeed(
        "bell-at-once",
        "a doorbell register is written",
        "it is served before the write is over: what the driver asks for behind it is not seen",
    ),
    Misdeed("glb-lost", "a global request is served", "it is never acknowledged: ping, timer, configuration"),
    Misdeed("event-lost", "a CSG or CS event is raised", "the driver never learns of it", _EVENTS, slotted=True),
    Misdeed("event-late", "a CSG or CS event is raised", "it is raised late", _EVENTS, late=True, slotted=True),
    Misdeed(
        "event-false",
        "a stream is given a slice",
        "a CSG event is raised with nothing to it",
        _GROUP_EVENTS,
        slotted=True,
    ),
    Misdeed("irq-lost", "an interrupt message is sent", "it is not; the line stays up", _LINES),
    Misdeed("irq-late", "an interrupt message is sent", "it is sent late", _LINES, late=True),
    Misdeed("irq-twice", "an interrupt message is sent", "another one follows, with nothing to it", _LINES, late=True),
    Misdeed(
        "irq-storm",
        "pending interrupts are cleared (line job: while the MCU runs)",
        "they are raised again, with nothing new to them; `ms=0`: before the next access to a register",
        _LINES,
        late=True,
    ),
    Misdeed(
        "mmu-fault",
        "the GPU looks up an address",
        "the access faults, though it is mapped",
        _REQUESTERS,
        exception=0xC3,
    ),
    Misdeed("gpu-fault", "a group is to be started", "GPU_FAULT is raised", exception=0x88, slotted=True),
    Misdeed("cs-fault", "a stream is given a slice", "it reports CS_FAULT before it", exception=0x49, slotted=True),
    Misdeed("cs-fatal", "a stream is given a slice", "it dies of CS_FATAL before it", exception=0x41, slotted=True),
    Misdeed("work-late", "a RUN_* starts work on an endpoint", "it ends late", _ENDPOINTS, late=True, slotted=True),
    Misdeed("tiler-chunk", "tiler work starts", "it takes a heap chunk more than `tiler.chunks_per_job`", slotted=True),
    Misdeed("tiler-oom", "tiler work takes a heap chunk", "the heap counts as empty", slotted=True),
)
BY_NAME: Mapping[str, Misdeed] = {misdeed.name: misdeed for misdeed in MISDEEDS}


@dataclass(frozen=True, slots=True)
class Rule:
    """When `misdeed` happens: at `times` occasions (0: all) starting with the `nth`, counted from when the rule was
    armed, each with probability `chance`. `gpu`: which of several GPUs does it. `slot`: only on that CSG slot. `only`:
    further restrictions, by key."""

    misdeed: Misdeed
    nth: int = 1
    times: int = 1
    chance: float = 1.0
    slot: int | None = None
    ms: float = _MS
    exception: int = 0
    value: int = 0
    gpu: int = 0
    only: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [self.misdeed.name, f"nth={self.nth}", f"times={self.times}"]
        words += [f"chance={self.chance:g}"] if self.chance < 1 else []
        words += [f"gpu={self.gpu}"] if self.gpu else []
        words += [f"slot={self.slot}"] if self.slot is not None else []
        words += [f"ms={self.ms:g}"] if self.misdeed.late else []
        words += [f"exception=0x{self.exception:x}"] if self.misdeed.exception is not None else []
        words += [f"value=0x{self.value:x}"] if self.misdeed.valued else []
        return ",".join([*words, *(f"{key}={value}" for key, value in sorted(self.only.items()))])

    @property
    def seconds(self) -> float:
        """The delay in seconds."""
        return self.ms / 1000


def parse(text: str) -> Rule:
    """Parse a rule. Raises ValueError with a sentence for the user."""
    name, *words = text.split(",")
    misdeed = BY_NAME.get(name)
    if misdeed is None:
        near = difflib.get_close_matches(name, BY_NAME, n=1)
        raise ValueError(
            f"the GPU knows no misdeed {name!r}"
            + (f"; did you mean {near[0]}?" if near else "; `panthorlab gpu misdeeds` lists them")
        )
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key in given:
            raise ValueError(f"{text}: {word!r} is not KEY=VALUE, or comes twice")
        given[key] = value
    only = {key: given.pop(key) for key in tuple(misdeed.choices) if key in given}
    for key, value in only.items():
        if value not in misdeed.choices[key]:
            raise ValueError(f"{text}: {key} must be one of {', '.join(misdeed.choices[key])}")
    exception = misdeed.exception or 0
    if misdeed.exception is not None and "exception" in given:
        exception = int(_number(text, "exception", given.pop("exception"), 0, 0xFF, whole=True))
    slot = None
    if misdeed.slotted and "slot" in given:
        slot = int(_number(text, "slot", given.pop("slot"), 0, 30, whole=True))
    number = 0
    if misdeed.valued:
        number = int(_number(text, "value", given.pop("value", "0"), 0, 0xFFFFFFFF, whole=True))
    rule = Rule(
        misdeed,
        nth=int(_number(text, "nth", given.pop("nth", "1"), 1, 1e9, whole=True)),
        times=int(_number(text, "times", given.pop("times", "1"), 0, 1e9, whole=True)),
        chance=_number(text, "chance", given.pop("chance", "1"), 0, 1),
        slot=slot,
        ms=_number(text, "ms", given.pop("ms", str(_MS)), 0, 1e6) if misdeed.late else _MS,
        exception=exception,
        value=number,
        gpu=int(_number(text, "gpu", given.pop("gpu", "0"), 0, MOST_GPUS - 1, whole=True)),
        only=only,
    )
    if given:
        raise ValueError(f"{text}: {name} has no {', '.join(given)}")
    return rule


def _number(text: str, key: str, value: str, low: float, high: float, *, whole: bool = False) -> float:
    try:
        number = int(value, 0) if whole else float(value)
    except ValueError:
        raise ValueError(f"{text}: {key} must be a {'whole ' if whole else ''}number") from None
    if not low <= number <= high:
        raise ValueError(f"{text}: {key} must be between {low:g} and {high:g}")
    return number


@dataclass(slots=True)
class _Armed:
    rule: Rule
    occasions: int = 0
    strikes: int = 0

    @property
    def spent(self) -> bool:
        return self.rule.times != FOREVER and self.occasions >= self.rule.nth - 1 + self.rule.times


class Misbehaviour:
    """The armed rules. `watched`: the names of their misdeeds, so that any other occasion costs one set look-up."""

    def __init__(self, chance: random.Random, reporter: Reporter, trace: Trace) -> None:
        self._chance, self._reporter, self._trace = chance, reporter, trace
        self._armed: dict[str, list[_Armed]] = {}
        self.watched: set[str] = set()

    def arm(self, rules: Iterable[Rule]) -> None:
        """Arm `rules`; their occasions are counted from now."""
        for rule in rules:
            self._armed.setdefault(rule.misdeed.name, []).append(_Armed(rule))
            self.watched.add(rule.misdeed.name)

    def clear(self) -> None:
        """Disarm all rules. Effects of earlier strikes stay."""
        self._armed.clear()
        self.watched.clear()

    def strikes(self, name: str, slot: int | None = None, **facts: str) -> Rule | None:
        """The rule by which misdeed `name` happens now, if any. Each call counts as one occasion."""
        if name not in self.watched:
            return None
        struck = None
        for armed in tuple(self._armed[name]):
            rule = armed.rule
            if (rule.slot is not None and rule.slot != slot) or any(facts[k] != v for k, v in rule.only.items()):
                continue
            armed.occasions += 1
            if armed.occasions >= rule.nth and struck is None and self._chance.random() < rule.chance:
                struck = rule
                armed.strikes += 1
            if armed.spent:
                self._armed[name].remove(armed)
        if not self._armed[name]:
            del self._armed[name]
            self.watched.discard(name)
        if struck is not None:
            where = "".join(f" {key}={value}" for key, value in facts.items())
            where += f" slot={slot}" if slot is not None else ""
            self._reporter.event("injected", f"{struck}:{where}", misdeed=name)
            self._trace.instant("GPU", f"misbehaves: {name}{where}")
        return struck


def describe() -> str:
    """The table of misdeeds as text for the user."""
    lines = []
    for m in MISDEEDS:
        keys = [f"{key}={'|'.join(values)}" for key, values in m.choices.items()]
        keys += [f"ms={_MS:g}"] if m.late else []
        keys += [f"exception=0x{m.exception:x}"] if m.exception is not None else []
        keys += ["slot=N"] if m.slotted else []
        keys += ["value=0"] if m.valued else []
        lines.append(f"{m.name}{''.join(f',[{key}]' for key in keys)}\n    when {m.occasion}: {m.meaning}")
    lines.append(
        "every one: [nth=1] the first time it may happen, [times=1] how often from then (0: always), "
        "[chance=1] else only so often, drawn from --seed, [gpu=0] which of several GPUs does it"
    )
    return "\n".join(lines) + "\n"
