# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a board and the model differ, and where they only take their time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.registers import GpuIrq, RegisterKind
from panthorlab.mmio.recording import RegisterAccess
from panthorlab.mmio.replay import GONE, Replay
from panthorlab.mmio.rules import PATIENCE, ROWS, Comparison
from tests.unit.gpu.made_up.m1 import GENERATION as MADE_UP
from tests.unit.mmio.driver import Driver

CONSTANTS = [register for register in G610.registers if register.kind is RegisterKind.CONSTANT]
FLUSH, RESET = 0x30004, 0x101
CLEAN, RESET_DONE = GpuIrq.CLEAN_CACHES_COMPLETED, GpuIrq.RESET_COMPLETED


def test_a_probe_as_the_model_has_it_shows_no_difference() -> None:
    driver = Driver()
    for register in CONSTANTS:
        driver.read(register.name, register.reset)
    driver.boot()
    replay, found = driver.replayed()
    assert found == []
    assert replay.counts.compared > 30


@pytest.mark.parametrize("register", [r for r in CONSTANTS if ROWS.get(r.name) is None], ids=lambda r: r.name)
def test_a_constant_that_is_another_on_the_board_is_found_and_named(register: object) -> None:
    driver = Driver()
    driver.read(register.name, register.reset ^ 0x100)  # type: ignore[attr-defined]
    (found,) = driver.differences()
    assert (found.name, found.number, found.board) == (register.name, 1, register.reset ^ 0x100)  # type: ignore[attr-defined]


def test_fields_are_named() -> None:
    driver = Driver()
    driver.read("TILER_FEATURES", 0x90A)
    (found,) = driver.differences()
    assert [(part.name, part.board, part.model) for part in found.fields] == [
        ("bin_size", 0xA, 9),
        ("max_levels", 9, 8),
    ]


def test_another_generation_is_found_at_its_first_register_that_differs() -> None:
    driver = Driver(MADE_UP)
    driver.read("CSF_ID", MADE_UP.constant("CSF_ID"))
    driver.read("GPU_ID", MADE_UP.constant("GPU_ID"))
    assert driver.differences() == []
    driver = Driver()
    driver.read("GPU_ID", MADE_UP.constant("GPU_ID"))
    found = driver.differences()[0]
    assert found.name == "GPU_ID"
    assert "arch_major" in [part.name for part in found.fields]


@pytest.mark.parametrize("polls", [0, 1, 300])
@pytest.mark.parametrize(
    ("name", "command", "value", "before", "after"),
    [
        ("L2_READY_LO", "L2_PWRON_LO", 1, 0, 1),
        ("L2_PWRTRANS_LO", "L2_PWRON_LO", 1, 1, 0),
        ("AS3_STATUS", "AS3_COMMAND", 4, 1, 0),
    ],
)
def test_a_poll_may_have_any_number_of_reads(
    name: str, command: str, value: int, before: int, after: int, polls: int
) -> None:
    driver = Driver()
    driver.write(command, value)
    driver.read(name, before, times=polls)
    driver.read(name, after)
    driver.write(command, value)
    replay, found = driver.replayed()
    assert (found, replay.counts.undecided) == ([], 0)


def test_what_never_settles_on_the_board_is_a_difference_when_the_driver_gives_up() -> None:
    driver = Driver()
    driver.write("AS3_COMMAND", 4)
    driver.read("AS3_STATUS", 1, times=20)
    driver.write("AS2_COMMAND", 4)
    assert driver.differences() == []
    driver.write("AS3_COMMAND", 4)
    (found,) = driver.differences()
    assert (found.name, found.number, found.board, found.model) == ("AS3_STATUS", 21, 1, 0)
    assert "AS3_COMMAND" in found.why
    assert [(one.name, one.times) for one in found.before][1] == ("AS3_STATUS", 20)


def test_or_when_it_has_waited_long_enough() -> None:
    driver = Driver()
    driver.write("GPU_CMD", FLUSH)
    driver.wait(PATIENCE)
    driver.read("GPU_INT_RAWSTAT", 0)
    (found,) = driver.differences()
    assert [(part.name, part.board) for part in found.fields] == [("clean_caches_completed", 0)]


def test_the_model_catches_up_with_a_board_that_was_faster() -> None:
    driver = Driver(pause=0)
    driver.write("GPU_INT_MASK", CLEAN | RESET_DONE)
    for command, bit in ((FLUSH, CLEAN), (RESET, RESET_DONE)):
        driver.write("GPU_CMD", command)
        driver.read("GPU_INT_STAT", bit)
        driver.read("GPU_INT_RAWSTAT", bit)
        driver.write("GPU_INT_CLEAR", bit)
        driver.read("GPU_INT_RAWSTAT", 0)
    assert driver.differences() == []


def test_the_mask_decides_what_the_status_shows() -> None:
    driver = Driver()
    driver.boot()
    driver.write("JOB_INT_MASK", 0)
    driver.wait(PATIENCE)
    driver.read("JOB_INT_STAT", 4)
    (found,) = driver.differences()
    assert (found.name, found.board, found.model) == ("JOB_INT_STAT", 4, 0)


def test_the_firmware_may_interrupt_when_it_runs_and_not_before() -> None:
    driver = Driver()
    driver.write("JOB_INT_CLEAR", 0xFFFFFFFF)
    driver.read("JOB_INT_RAWSTAT", 0)
    driver.wait(PATIENCE)
    driver.read("JOB_INT_RAWSTAT", 2)
    assert [one.name for one in driver.differences()] == ["JOB_INT_RAWSTAT"]
    driver = Driver()
    driver.boot()
    driver.wait(PATIENCE)
    driver.read("JOB_INT_RAWSTAT", 2)
    driver.read("MMU_INT_RAWSTAT", 2)
    driver.read("AS1_FAULTSTATUS", 0x7C0002C1)
    assert driver.differences() == []


def test_an_mmu_that_says_when_its_commands_are_done_is_another_one() -> None:
    driver = Driver()
    driver.boot()
    driver.write("MMU_INT_CLEAR", 0xFFFFFFFF)
    driver.write("AS0_COMMAND", 4)
    driver.wait(PATIENCE)
    driver.read("MMU_INT_RAWSTAT", 1 << 16)
    (found,) = driver.differences()
    assert [(part.name, part.board, part.model) for part in found.fields] == [("command_completed", 1, 0)]


def test_what_is_left_of_an_earlier_life_is_none_of_the_models() -> None:
    driver = Driver()
    driver.read("GPU_INT_RAWSTAT", GpuIrq.POWER_CHANGED | GpuIrq.MCU_STATUS_CHANGED)
    assert driver.differences() == []


def test_a_reset_that_clears_what_was_pending_is_a_difference() -> None:
    driver = Driver()
    driver.boot()
    driver.read("GPU_INT_RAWSTAT", 0x80600)
    driver.write("GPU_CMD", RESET)
    driver.read("GPU_INT_RAWSTAT", RESET_DONE)
    (found,) = driver.differences()
    assert found.why == GONE
    assert {part.name for part in found.fields} == {"power_changed", "power_changed_all", "mcu_status"}


def test_but_power_may_be_cut_while_the_l2_is_off() -> None:
    driver = Driver()
    driver.boot()
    driver.read("GPU_INT_RAWSTAT", 0x80600)
    driver.write("MCU_CONTROL", 0)
    driver.write("L2_PWROFF_LO", 1)
    driver.read("GPU_INT_RAWSTAT", 0)
    assert driver.differences() == []


def test_the_state_of_the_mcu() -> None:
    driver = Driver()
    driver.boot()
    driver.read("MCU_STATUS", 1)
    driver.read("MCU_STATUS", 2)  # halted: by what is in memory
    driver.write("MCU_CONTROL", 0)
    driver.read("MCU_STATUS", 2, times=5)
    driver.read("MCU_STATUS", 0)
    assert driver.differences() == []
    driver.wait(PATIENCE)
    driver.read("MCU_STATUS", 1)
    assert [one.name for one in driver.differences()] == ["MCU_STATUS"]


@pytest.mark.parametrize("write", [False, True])
def test_a_register_that_the_model_lacks_is_named_by_its_place(write: bool) -> None:
    step = RegisterAccess(0, 0, "t-1", write, 0x48, 0, "panthor_x+0x0")
    (found,) = Replay(G610).differences([step])
    assert (found.name, found.model) == ("0x48", None)


def test_bits_that_are_reserved_are_told() -> None:
    driver = Driver()
    driver.write("MCU_CONTROL", 0x102)
    (found,) = driver.differences()
    assert "reserved" in found.why


def test_wide_accesses_are_two_and_narrow_ones_are_none_of_the_models() -> None:
    wide = RegisterAccess(0, 0, "t-1", False, 0x100, G610.constant("SHADER_PRESENT_LO"), "panthor_x+0x0", 64)
    replay = Replay(G610)
    assert list(replay.differences([wide])) == []
    assert replay.counts.compared == 2
    (found,) = Replay(G610).differences([RegisterAccess(0, 0, "t-1", False, 0x1, 0, "panthor_x+0x0", 8)])
    assert "8 bits" in found.why


def test_time_is_not_compared() -> None:
    driver = Driver()
    for name in ("TIMESTAMP_LO", "CYCLE_COUNT_HI", "LATEST_FLUSH", "GPU_STATUS"):
        driver.read(name, 0x1234)
    replay, found = driver.replayed()
    assert (found, replay.counts.compared, replay.counts.left_out) == ([], 0, 4)


def test_every_row_is_of_a_register() -> None:
    names = {register.name for register in (*G610.registers, *G610.spaces.registers)}
    absent = {name for name in ROWS if name.endswith(("PWRACTIVE_LO", "PWRACTIVE_HI"))}
    assert set(ROWS) - absent <= names
    assert {cause for row in ROWS.values() for cause in row.causes} <= names
    assert all(row.causes for row in ROWS.values() if row.rule is Comparison.SETTLES)


OFFSETS = st.sampled_from([offset for offset, _, _ in G610.places()]) | st.integers(0, 1 << 21)


@given(
    st.lists(
        st.builds(
            RegisterAccess,
            st.integers(0, 10**9),
            st.integers(0, 7),
            st.just("t-1"),
            st.booleans(),
            OFFSETS,
            st.integers(0, 0xFFFFFFFF),
            st.just("f+0x0"),
        ),
        max_size=60,
    )
)
def test_no_sequence_of_accesses_breaks_the_replay(steps: list[RegisterAccess]) -> None:
    replay = Replay(G610)
    for found in replay.differences(sorted(steps, key=lambda step: step.time)):
        assert found.model is None or found.board != found.model
    assert replay.counts.accesses == len(steps)
