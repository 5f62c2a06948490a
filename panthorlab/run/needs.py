# SPDX-License-Identifier: GPL-2.0-or-later
"""What a suite's test needs of the run, declared by pytest markers and read when it is collected, without a boot.

    pytestmark = [pytest.mark.deep, pytest.mark.kernel("kasan"), pytest.mark.gpu("tiler.chunks_per_job=1")]

stands for all tests of a file, a decorator for one of them; what both say is added up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import pytest

from panthorlab.errors import UsageError
from panthorlab.kernel.build.config import find_fragments, parse_dotconfig, read_fragments
from panthorlab.kernel.driver import FEATURES
from panthorlab.kernel.model import Kernel
from panthorlab.run.kernels import parse_params
from panthorlab.run.overlay_need import needed_by
from panthorlab.run.record import Need

LEAVES: Final = "leaves"
MARKERS: Final = (
    "deep: takes long; runs with --deep, or if its suite is named",
    "kernel(FRAGMENT, …): runs on kernels that have these fragments of kernel_configs/; --deep builds them",
    "gpu('NAME=VALUE', …): runs in a boot of its own whose emulated GPU has these parameters",
    "board(NAME, …): runs on boards that have one of these names, tags, or types (emulated, real)",
    "driver(FEATURE, …): runs on drivers that can do this (probe, vm, groups, …); without it, on those that can do all",
    "leaves(WHY): what the driver holds after it is no fault of the test",
    "latencies(KIND, …): `panthorlab explore` moves only these latencies of the emulated GPU (irq, soon, slice, …)",
)
"""As pytest registers them."""


def name_of(item: pytest.Item) -> str:
    """SUITE::TEST."""
    return f"{item.path.stem.removeprefix('test_')}::{item.name}"


def need_of(item: pytest.Item) -> Need:
    """Raises UsageError, with its place, for a marker that makes no sense."""
    try:
        kernel = _words(item, "kernel")
        find_fragments(kernel)
        gpu = parse_params([f"gpu.{word}" for word in _words(item, "gpu")])
        if next(item.iter_markers("deep"), pytest.mark.deep.mark).args:
            raise UsageError("takes no arguments", hint="write pytest.mark.deep")
        _words(item, LEAVES)
        return Need(
            name_of(item),
            item.get_closest_marker("deep") is not None,
            kernel,
            gpu,
            _words(item, "board"),
            "iterate" in getattr(item, "fixturenames", ()),
            needed_by(item),
            _features(item),
            _words(item, "latencies"),
        )
    except UsageError as error:
        raise UsageError(f"{item.path.name}: {item.name}: a marker: {error}", hint=error.hint) from error


def _words(item: pytest.Item, name: str) -> tuple[str, ...]:
    words: list[str] = []
    for mark in item.iter_markers(name):
        if mark.kwargs or not mark.args or not all(isinstance(word, str) and word for word in mark.args):
            raise UsageError(f"pytest.mark.{name} takes one or more texts", hint=f"see {_usage(name)}")
        words += mark.args
    return tuple(dict.fromkeys(reversed(words)))  # the closest mark is the first: what stands nearer wins


def _features(item: pytest.Item) -> tuple[str, ...]:
    """What the closest marker names: one test of a suite may ask for less than the others."""
    mark = item.get_closest_marker("driver")
    if mark is None:
        return tuple(FEATURES)
    if mark.kwargs or not mark.args or not all(isinstance(name, str) and name in FEATURES for name in mark.args):
        raise UsageError(
            f"pytest.mark.driver takes what a driver can do, not {', '.join(map(repr, mark.args))}",
            hint="; ".join(f"{name}: {meaning}" for name, meaning in FEATURES.items()),
        )
    return tuple(name for name in FEATURES if name in mark.args)


def _usage(name: str) -> str:
    return next(line for line in MARKERS if line.startswith(name)).partition(":")[0]


def lacking(kernel: Kernel, fragments: Iterable[str]) -> tuple[str, ...]:
    """Those of `fragments` that `kernel` was built without, whatever was asked for: its `.config` decides."""
    return without(parse_dotconfig((kernel.path / "config").read_text(errors="replace")), fragments)


def without(values: Mapping[str, str | None], fragments: Iterable[str]) -> tuple[str, ...]:
    """Those of `fragments` that a configuration with these values does not have; `values` as in .config."""
    return tuple(name for name in fragments if not _has(values, name))


def _has(values: Mapping[str, str | None], fragment: str) -> bool:
    return all(
        values.get(option.name) == option.value or (option.optional and option.name not in values)
        for option in read_fragments(find_fragments([fragment])).options
    )
