# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings of the emulated board (6.12.117), against the model as it is and against models that are wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.registers import GpuIrq, RegisterKind
from panthorlab.mmio.main import read
from panthorlab.mmio.recording import RegisterAccess
from panthorlab.mmio.replay import RegisterDifference, Replay
from panthorlab.mmio.rules import ROWS
from tests.unit.gpu.made_up.m1 import GENERATION as MADE_UP

DATA = Path(__file__).parents[2] / "data" / "mmio"
TIED = {"AS_PRESENT", "MMU_FEATURES", "SHADER_PRESENT_LO", "TILER_PRESENT_LO", "L2_PRESENT_LO"}
"""Registers that a generation has by its other parts."""


@cache
def steps(name: str) -> tuple[RegisterAccess, ...]:
    return tuple(read(DATA / f"{name}.jsonl").steps)


PROBE = steps("probe-and-job")
NAMES = {offset: name for offset, name, _ in G610.places()}
CONSTANTS = sorted(
    {
        register.name
        for register in G610.registers
        if register.kind is RegisterKind.CONSTANT and register.name not in ROWS
    }
    & {NAMES[step.offset] for step in PROBE if not step.write}
)


def differences(generation: Generation, recorded: Iterable[RegisterAccess]) -> list[RegisterDifference]:
    return list(Replay(generation).differences(recorded))


def test_the_model_differs_from_itself_in_nothing() -> None:
    replay = Replay(G610)
    assert list(replay.differences(PROBE)) == []
    assert replay.counts.compared > 150
    assert {"GPU_ID", "L2_READY_LO", "AS0_STATUS", "AS1_STATUS", "JOB_INT_STAT", "GPU_INT_RAWSTAT"} <= set(
        replay.counts.registers
    )


@pytest.mark.parametrize("name", [name for name in CONSTANTS if name not in TIED])
def test_a_model_with_another_constant_is_found_at_that_register(name: str) -> None:
    registers = tuple(r._replace(reset=r.reset ^ 0x1) if r.name == name else r for r in G610.registers)
    found = differences(replace(G610, registers=registers), PROBE)
    assert {one.name for one in found} == {name}
    assert found[0].board ^ 1 == found[0].model


def test_another_generation_is_another_gpu_from_the_first_access_on() -> None:
    found = differences(MADE_UP, PROBE)
    assert (found[0].name, found[0].number) == ("GPU_ID", 1)
    assert found[0].model == MADE_UP.constant("GPU_ID")


def test_a_model_with_fewer_address_spaces_lacks_what_the_driver_writes() -> None:
    few = replace(
        G610,
        spaces=replace(G610.spaces, count=1),
        registers=tuple(r._replace(reset=1) if r.name == "AS_PRESENT" else r for r in G610.registers),
    )
    found = differences(few, PROBE)
    assert found[0].name == "AS_PRESENT"
    assert found[1].model is None  # a register of AS 1


def test_a_flush_that_was_lost_is_found_where_the_driver_gave_up() -> None:
    """Recorded while the emulated GPU lost a flush on purpose; the replay has one that does not."""
    (found,) = differences(G610, steps("lost-flush"))
    assert (found.number, found.name) == (181, "GPU_INT_RAWSTAT")
    assert [(part.name, part.board, part.model) for part in found.fields] == [("clean_caches_completed", 0, 1)]
    assert found.board ^ GpuIrq.CLEAN_CACHES_COMPLETED == found.model
    assert (found.before[-2].name, found.before[-2].step.write) == ("GPU_CMD", True)


@given(st.data())
def test_a_wrong_answer_of_a_constant_is_found_wherever_it_is(data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([n for n, step in enumerate(PROBE) if NAMES[step.offset] in CONSTANTS]))
    wrong = replace(PROBE[at], value=PROBE[at].value ^ 1 << data.draw(st.integers(0, 31)))
    (found,) = differences(G610, [*PROBE[:at], wrong, *PROBE[at + 1 :]])
    assert found.number == at + 1


@given(st.integers(0, len(PROBE) - 1), st.integers(1, 50))
def test_a_poll_that_took_longer_makes_no_difference(at: int, times: int) -> None:
    """Each answer again: nothing that is read has changed by having been read."""
    again = () if PROBE[at].write else (PROBE[at],) * times
    assert differences(G610, [*PROBE[:at], *again, *PROBE[at:]]) == []


@given(st.integers(1, 1000))
def test_a_board_of_another_speed_makes_no_difference(slowness: int) -> None:
    assert differences(G610, [replace(step, time=step.time * slowness // 100) for step in PROBE]) == []
