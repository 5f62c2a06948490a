# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run's events say of its variants, and of tests that ran nowhere. Pure functions of the event log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from panthorlab.outcome import Side
from panthorlab.report.model import KernelInfo, VariantInfo
from panthorlab.verdict.side import KernelRef

Events = Sequence[Mapping[str, Any]]


def _of(events: Events, name: str) -> Iterable[Mapping[str, Any]]:
    return (event for event in events if event["event"] == name)


def names(events: Events) -> list[str]:
    """The names of the run's variants, in the order of its plan."""
    plan = next(iter(_of(events, "planned")), {"variants": ()})
    return [str(variant["name"]) for variant in plan["variants"]]


def of_variant(events: Events, variant: str) -> list[Mapping[str, Any]]:
    """The events without what belongs to boots of other variants; "" is for the plain boots."""
    others = {event["boot"] for event in _of(events, "boot-start") if event.get("variant", "") != variant}
    return [event for event in events
            if event.get("boot") not in others and not (variant and event["event"] == "extension")]


def variants_only(events: Events) -> bool:
    """Whether no test runs in plain boots."""
    plan = next(iter(_of(events, "planned")), None)
    return plan is not None and not plan["plain"]


def failed_build(events: Events, variant: str) -> tuple[Side, str] | None:
    """Which side's kernel does not build, and what the compiler said; None if both did in the end."""
    last = next((event for event in reversed(events)
                 if event["event"] in ("variant-failed", "variant-kernel") and event["variant"] == variant), None)
    failed = last is not None and last["event"] == "variant-failed"
    return (Side(last["side"]), str(last["message"])) if failed and last is not None else None


def identical(events: Events, variant: str) -> str:
    """Why the kernels of the variant cannot differ; empty if they can."""
    return next((str(e["why"]) for e in _of(events, "variant-identical") if e["variant"] == variant), "")


def kernel_refs(events: Events, variant: str) -> dict[Side, KernelRef]:
    """The kernels of its own, if it has any."""
    return {
        Side(event["side"]): KernelRef(event["key"], event["build_id"])
        for event in _of(events, "variant-kernel") if event["variant"] == variant
    }


def needs(events: Events) -> Sequence[Mapping[str, Any]] | None:
    """What the run's tests need, as it was asked for at its start; None of a run of an earlier version."""
    return next((event["tests"] for event in _of(events, "needs")), None)


def planned_tests(events: Events, variant: str = "") -> frozenset[str]:
    """The tests that must have a result in its boots: those that count have iterations instead, and what wants an
    overlay is left out where a board has none. None is known of a run that did not say what its tests need."""
    plan = next(iter(_of(events, "planned")), None)
    if plan is None:
        return frozenset()
    own = plan["plain"] if not variant else next(v["tests"] for v in plan["variants"] if v["name"] == variant)
    asked = needs(events) or ()
    due = {need["test"] for need in asked if not need["counted"] and "overlay" in need and not need["overlay"]}
    return frozenset(own) & due


def left_out(events: Events) -> dict[str, str]:
    """Why tests did not run, by SUITE::TEST."""
    return dict(next(iter(_of(events, "planned")), {"left_out": {}})["left_out"])


def infos(events: Events) -> tuple[VariantInfo, ...]:
    """Those with kernels of their own have them here; the others have the plain ones."""
    kernels: dict[str, dict[Side, KernelInfo]] = defaultdict(dict)
    for event in _of(events, "variant-kernel"):
        kernels[event["variant"]][Side(event["side"])] = kernel_info(event)
    plan = next(iter(_of(events, "planned")), {"variants": ()})
    return tuple(
        VariantInfo(one["name"], tuple(one["fragments"]), one["params"], kernels[one["name"]])
        for one in plan["variants"]
    )


def kernel_info(event: Mapping[str, Any]) -> KernelInfo:
    """Of a kernel, plain or not, as reports tell it."""
    return KernelInfo(
        key=event["key"],
        release=event["release"],
        build_id=event["build_id"],
        modules=event.get("modules", {}),
        description=event["title"],
        config=tuple(event["fragments"]),
        toolchain=event.get("toolchain", ""),
    )
