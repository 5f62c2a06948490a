# SPDX-License-Identifier: GPL-2.0-or-later
"""The model's own process, asked which of the latencies that it was given were those of no event."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from panthorlab.board.emulated.exact.wires import ExactWires
from panthorlab.board.emulated.gpu_model import GpuModel
from panthorlab.errors import UsageError

OVERRIDES = "1/irq job/3=112.500,2/soon Mcu._service/1=5.000"


def unreached(folder: Path, **params: str) -> str:
    """What a model says before any event has come."""
    with ExitStack() as made:
        wires = ExactWires(made)
        given = {name.replace("_", "."): value for name, value in params.items()}
        model = GpuModel(model="g610", params=given, run_dir=folder, log_dir=folder, cpu=None, exact=wires.of_model)
        made.callback(model.stop)
        model.wait_listening()
        return model.unreached()


def test_what_did_not_come_is_told_as_it_was_given(tmp_path: Path) -> None:
    assert unreached(tmp_path, exact_override=OVERRIDES) == OVERRIDES


def test_nothing_is_told_where_nothing_was_given_or_it_need_not_come(tmp_path: Path) -> None:
    assert unreached(tmp_path) == ""
    assert unreached(tmp_path, exact_override=OVERRIDES, exact_unreached="allowed") == ""


def test_a_kind_that_no_gpu_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no event is of the kind 'irq tea'; .*irq job.*irq mmu"):
        unreached(tmp_path, exact_override="1/irq tea/3=112.500")
