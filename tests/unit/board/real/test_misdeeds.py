# SPDX-License-Identifier: GPL-2.0-or-later
"""What a real board is asked to do wrong: nothing of the table, nor anything else, and it says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from panthorlab.board.real.booted import BootedRealBoard
from panthorlab.errors import UsageError
from panthorlab.gpu.misbehave import MISDEEDS


@pytest.mark.parametrize("rule", [*(misdeed.name for misdeed in MISDEEDS), "mcu-hang,times=0", "no-such-misdeed"])
def test_a_real_board_does_nothing_wrong_on_purpose_and_says_what_can(rule: str) -> None:
    rig: Any = SimpleNamespace(name="rock")
    watch: Any = SimpleNamespace()
    board = BootedRealBoard(rig, watch, None)
    assert rule.partition(",")[0] not in board.injections
    with pytest.raises(UsageError, match=f"board rock cannot produce `{rule}`: its GPU is a real one") as refused:
        board.inject(rule)
    assert "emulated board" in str(refused.value.hint)
    assert "\n" not in str(refused.value)
    board.behave()
    assert board.struck() == []
