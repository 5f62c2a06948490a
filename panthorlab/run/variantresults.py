# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run's events say of its variants, and of tests that ran nowhere. Pure functions of the record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from panthorlab.outcome import Side
from panthorlab.report.model import KernelInfo, VariantInfo
from panthorlab.run.record import (
    BootStart,
    Event,
    ExtensionEvent,
    KernelFacts,
    Needs,
    Planned,
    VariantFailed,
    VariantIdentical,
    VariantKernel,
    boot_of,
)
from panthorlab.verdict.side import KernelRef


def plan_of(events: Sequence[Event]) -> Planned | None:
    """Where every test runs; None of a run that did not come so far, or of an earlier version."""
    return next((event for event in events if isinstance(event, Planned)), None)


def names(events: Sequence[Event]) -> list[str]:
    """The names of the run's variants, in the order of its plan."""
    plan = plan_of(events)
    return [variant.name for variant in plan.variants] if plan else []


def of_variant(events: Sequence[Event], variant: str) -> list[Event]:
    """The events without what belongs to boots of other variants; "" is for the plain boots."""
    others = {event.boot for event in events if isinstance(event, BootStart) and event.variant != variant}
    return [
        event
        for event in events
        if boot_of(event) not in others and not (variant and isinstance(event, ExtensionEvent))
    ]


def variants_only(events: Sequence[Event]) -> bool:
    """Whether no test runs in plain boots."""
    plan = plan_of(events)
    return plan is not None and not plan.plain


def failed_build(events: Sequence[Event], variant: str) -> VariantFailed | None:
    """Whose kernel does not build, and what the compiler said; None if all did in the end."""
    last = next(
        (
            event
            for event in reversed(events)
            if isinstance(event, VariantFailed | VariantKernel) and event.variant == variant
        ),
        None,
    )
    return last if isinstance(last, VariantFailed) else None


def identical(events: Sequence[Event], variant: str) -> str:
    """Why the kernels of the variant cannot differ; empty if they can."""
    return next((event.why for event in events if isinstance(event, VariantIdentical) and event.variant == variant), "")


def kernel_refs(events: Sequence[Event], variant: str) -> dict[Side, KernelRef]:
    """The kernels of its own, if it has any."""
    return {
        Side(event.arm): KernelRef(event.key, event.build_id)
        for event in events
        if isinstance(event, VariantKernel) and event.variant == variant
    }


def needs(events: Sequence[Event]) -> Needs | None:
    """What the run's tests need, as it was asked for at its start; None of a run of an earlier version."""
    return next((event for event in events if isinstance(event, Needs)), None)


def planned_tests(events: Sequence[Event], variant: str = "") -> frozenset[str]:
    """The tests that must have a result in its boots: those that count have iterations instead, and what wants an
    overlay is left out where a board has none. None is known of a run that did not say what its tests need."""
    plan, asked = plan_of(events), needs(events)
    if plan is None or asked is None or not asked.overlays_known:
        return frozenset()
    own = plan.plain if not variant else next(one.tests for one in plan.variants if one.name == variant)
    return frozenset(own) & {need.test for need in asked.tests if not need.counted and not need.overlay}


def left_out(events: Sequence[Event]) -> Mapping[str, str]:
    """Why tests did not run, by SUITE::TEST."""
    plan = plan_of(events)
    return plan.left_out if plan else {}


def infos(events: Sequence[Event]) -> tuple[VariantInfo, ...]:
    """Those with kernels of their own have them here; the others have the plain ones."""
    kernels: dict[str, dict[Side, KernelInfo]] = defaultdict(dict)
    for event in events:
        if isinstance(event, VariantKernel):
            kernels[event.variant][Side(event.arm)] = kernel_info(event)
    plan = plan_of(events)
    return tuple(
        VariantInfo(one.name, one.fragments, one.params, kernels[one.name]) for one in (plan.variants if plan else ())
    )


def kernel_info(kernel: KernelFacts) -> KernelInfo:
    """A kernel, plain or not, as reports tell it."""
    return KernelInfo(
        key=kernel.key,
        release=kernel.release,
        build_id=kernel.build_id,
        modules=kernel.modules,
        description=kernel.title,
        config=kernel.fragments,
        toolchain=kernel.toolchain,
        arch=kernel.arch,
    )
