# SPDX-License-Identifier: GPL-2.0-or-later
"""Which test runs where: in the plain boots of a run, in a variant of them, or not at all, and then why.

A variant is a boot of its own on each arm: of another kernel of the same sources (a debug kernel), with other
parameters of the emulated GPU, or for what takes long. Nothing of it touches the numbers of the plain boots.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from panthorlab.kernel.driver import PANTHOR, Driver
from panthorlab.run.overlay_need import wanting
from panthorlab.run.record import Need, Planned, Variant
from panthorlab.run.record.plans import Traits

DEBUG: Final = ("kasan", "kmemleak", "prove-locking", "atomic-sleep", "ubsan", "failslab", "swap")
"""Fragments of the debug kernel: all at once, for each of them as a kernel of its own would take as long to build. With
swap the driver can let go of buffers, which is where locks and lifetimes are hardest."""
DEBUG_NAME: Final = "debug"
DEEP_NAME: Final = "deep"
DEBUG_ITERATIONS: Final = 5
"""Iterations of a workload that is on the debug kernel only for its detectors: those speak once, or every time."""
LONGEST_SLUG: Final = 32


@dataclass(frozen=True)
class Offer:
    """What the run can offer. `deep`: it was asked for. `named`: suites that the user named. `lacking`: fragments that
    the plain kernels are without, of all that were asked about. `no_build`: why no other kernel can be built; empty if
    one can. `params`: of all its boots. `boards`: that it runs on. `without`: overlays that are not there.
    `drivers`: of the kernels.
    """

    deep: bool
    lacking: frozenset[str]
    boards: Sequence[Traits]
    named: frozenset[str] = frozenset()
    no_build: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    drivers: Sequence[Driver] = (PANTHOR,)


def label(name: str, variant: str) -> str:
    """The name of a result of a variant; that of the plain boots is as it is."""
    return f"{name} [{variant}]" if variant else name


def slug(variant: str) -> str:
    """For names of boots, which are names of directories and words of kernel log markers."""
    text = re.sub(r"[^A-Za-z0-9_.]+", "-", variant).strip("-")
    if len(text) <= LONGEST_SLUG:
        return text
    return f"{text[: LONGEST_SLUG - 9]}-{hashlib.sha256(variant.encode()).hexdigest()[:8]}"


def plan_variants(needs: Iterable[Need], offer: Offer) -> Planned:
    """Every test of `needs` has its place, or a reason. A test that is not deep also runs on the debug kernel of a
    deep run, whatever it asks for."""
    plain: list[str] = []
    left_out: dict[str, str] = {}
    places: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...], bool], list[str]] = {}
    debug = debug_fragments(offer.lacking, offer.drivers) if offer.deep and not offer.no_build else ()
    for need in needs:
        if why := _why_not(need, offer):
            left_out[need.test] = why
            continue
        kernel = _fragments(need, offer, debug)
        params = tuple(sorted((n, value) for n, value in need.gpu.items() if offer.params.get(n) != value))
        named = need.suite in offer.named
        if not (kernel or params or (need.deep and not named)):
            plain.append(need.test)
        else:
            places.setdefault((kernel, params, not kernel and not params), []).append(need.test)
        if debug and not kernel and not need.deep:
            places.setdefault((debug, params, False), []).append(need.test)
    variants = tuple(
        Variant(
            _name(kernel, params, debug),
            tuple(tests),
            kernel,
            dict(params),
            DEBUG_ITERATIONS if kernel and kernel == debug else None,
        )
        for (kernel, params, _), tests in sorted(places.items(), key=lambda place: _turn(place[0]))
    )
    return Planned(plain=tuple(plain), variants=variants, left_out=left_out)


def debug_fragments(lacking: Collection[str], drivers: Iterable[Driver]) -> tuple[str, ...]:
    """What the debug kernel adds to a plain kernel that lacks `lacking`."""
    excluded = {name for driver in drivers for name in driver.excludes}
    return tuple(name for name in DEBUG if name in lacking and name not in excluded)


def _why_not(need: Need, offer: Offer) -> str:
    if why := need.unsuited(offer.boards):
        return why
    if why := need.too_much_for(offer.drivers):
        return why
    if need.overlay in offer.without:
        return wanting(need.overlay)
    if need.deep and not offer.deep and need.suite not in offer.named:
        return "takes long: run with --deep, or name its suite"
    missing = [name for name in need.kernel if name in offer.lacking]
    for driver in offer.drivers:
        if excluded := [name for name in missing if name in driver.excludes]:
            return f"wants a kernel with {excluded[0]}; {driver.excludes[excluded[0]]}"
    if missing and offer.no_build:
        return f"wants a kernel with {', '.join(missing)}; {offer.no_build}"
    if missing and not offer.deep:
        return f"wants a kernel with {', '.join(missing)}: run with --deep"
    return ""


def _fragments(need: Need, offer: Offer, debug: tuple[str, ...]) -> tuple[str, ...]:
    """What must be added to the plain kernel for it: nothing, the debug kernel, or what it names."""
    return needed([name for name in need.kernel if name in offer.lacking], debug)


def needed(names: Iterable[str], debug: tuple[str, ...]) -> tuple[str, ...]:
    """The fragments of the kernel for what needs those called `names`: a debug kernel that has them all, whose
    fragments are `debug`, or one with these alone."""
    fragments = tuple(sorted(names))
    return debug if fragments and set(fragments) <= set(debug) else fragments


def _name(kernel: tuple[str, ...], params: tuple[tuple[str, str], ...], debug: tuple[str, ...]) -> str:
    words = [DEBUG_NAME if kernel == debug else "+".join(kernel)] if kernel else []
    words += [f"{name}={value}" for name, value in params]
    return ",".join(words) or DEEP_NAME


def _turn(
    place: tuple[tuple[str, ...], tuple[tuple[str, str], ...], bool],
) -> tuple[int, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]]:
    """Debug kernels first, for their boots are the longest."""
    kernel, params, _ = place
    return 0 if kernel else 1, (kernel, params)
