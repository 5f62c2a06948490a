# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernels of a run's variants: the same sources and patches as its plain ones, built with more config fragments."""

from __future__ import annotations

from collections.abc import Sequence

from panthorlab.errors import BuildError, UsageError
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.job import cannot_differ
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.store import load
from panthorlab.outcome import Side
from panthorlab.run import fleet
from panthorlab.run.arms import Arm
from panthorlab.run.record import VariantFailed, VariantIdentical, VariantKernel
from panthorlab.run.record.log import read_events
from panthorlab.run.sides import KernelMaker


class VariantKernels(KernelMaker):
    """Builds them, or takes them from the store; what they are, or why there are none, is put on record."""

    def get(self, variant: str, fragments: Sequence[str]) -> dict[Side, Kernel]:
        """Both kernels with `fragments` on top, for `variant`. Empty if one cannot be built, or they are the same."""
        known = {
            Side(event.arm): event.key
            for event in read_events(self._dir)
            if isinstance(event, VariantKernel) and event.variant == variant
        }
        stored = {side: kernel for side, key in known.items() if (kernel := load(key, self._note)) is not None}
        if set(stored) == set(Side):
            return stored
        with self._log.phase(f"build {variant}"):
            built = self._build(variant, fragments)
        for side, kernel in built.items():
            self._log.append(VariantKernel(variant=variant, **vars(Arm(side, kernel).on_record())))
        return built

    def _build(self, variant: str, fragments: Sequence[str]) -> dict[Side, Kernel]:
        sandbox()
        built: dict[Side, Kernel] = {}
        side = Side.BEFORE
        try:
            sides = self._sides(fleet.fragments_of(self._boards, [*self._settings.config, *fragments]))
            built[side] = self._build_side(sides.before)
            side = Side.AFTER
            built[side] = self._build_side(sides.after, sides.before)
        except (BuildError, UsageError) as error:  # UsageError: a fragment that this tree does not have
            self._log.append(VariantFailed(variant=variant, arm=side, message=str(error)))
            self._note(f"{variant}: {side} does not build: {str(error).splitlines()[0]}")
            return {}
        if why := cannot_differ(sides, built[Side.BEFORE], built[Side.AFTER]):
            self._log.append(VariantIdentical(variant=variant, why=why))
            return {}
        return built
