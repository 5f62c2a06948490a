# SPDX-License-Identifier: GPL-2.0-or-later
"""A generation as a value: what it must agree with itself on, what the model takes from it, and its reserved bits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab.gpu.cs import codec
from panthorlab.gpu.cs.opcodes import InstructionSet
from panthorlab.gpu.fw import image
from panthorlab.gpu.generation import Doorbells, Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.generations.table import GENERATIONS
from panthorlab.gpu.registers import RegisterKind, bits
from tests.unit.gpu.conftest import RESULT_VA, Bench
from tests.unit.gpu.generations import every_generation
from tests.unit.gpu.made_up.m1 import GENERATION as M1

WRITTEN = (RegisterKind.STORAGE, RegisterKind.WRITE, RegisterKind.BOTH)
STORE = (0x0144000001001000, 0x02460000DEADBEEF, 0x1546440000010000, 0x0300000000FF0000)


def stored(bench: Bench) -> bool:
    return bench.word(bench.user.pa(RESULT_VA)) == 0xDEADBEEF


# --- the value


def test_generations_have_names_of_their_own() -> None:
    assert len({generation.name for generation in every_generation()}) == len(every_generation()) > len(GENERATIONS)


def test_the_made_up_one_has_nothing_in_common_with_the_shipped_one() -> None:
    """What is the same in both could be a constant of the model, and nobody would notice."""
    for one, other in (
        (G610.layout, M1.layout),
        (G610.spaces, M1.spaces),
        (G610.doorbells, M1.doorbells),
        (G610.instructions, M1.instructions),
    ):
        for name, value in vars(one).items():
            if name not in ("fields", "by_opcode", "by_mnemonic"):
                assert vars(other)[name] != value, name
    assert G610.cores.keys() == M1.cores.keys()
    assert all(G610.cores[core] != M1.cores[core] for core in G610.cores)
    assert G610.firmware_path != M1.firmware_path
    assert G610.power is not M1.power
    places = {register.name: register.offset for register in G610.registers}
    same = {register.name for register in M1.registers if places.get(register.name) == register.offset}
    assert same == {"GPU_ID"}, "that is where every driver looks first"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cores": MappingProxyType({**G610.cores, "SHADER": 1})}, "SHADER_PRESENT_LO must be 0x1"),
        ({"spaces": replace(G610.spaces, count=4)}, "AS_PRESENT must be 0xf"),
        ({"spaces": replace(G610.spaces, pa_bits=48)}, "48 physical address bits"),
        ({"spaces": replace(G610.spaces, base=0x2000)}, "MMU_INT_RAWSTAT"),
        ({"doorbells": Doorbells(0x80000, 0x40000)}, "DOORBELL_6 is at 0x200000"),
        ({"doorbells": Doorbells(0x80001, 0x10000)}, "DOORBELL_0 is at 0x80001"),
        ({"layout": replace(G610.layout, cs_features=0x0007087F)}, "96 registers and 8 scoreboards"),
        ({"layout": replace(G610.layout, streams=40)}, "overlap"),
        ({"layout": replace(G610.layout, streams=40)}, "at most 32 streams"),
        ({"layout": replace(G610.layout, groups=32)}, "at most 31 slots"),
        ({"spaces": replace(G610.spaces, count=17)}, "at most 16 address spaces"),
        ({"layout": replace(G610.layout, shared_size=0x8000)}, "outside of the shared section"),
        ({"registers": (*G610.registers, G610.registers[3]._replace(name="OTHER"))}, "OTHER and TILER_FEATURES"),
    ],
)
def test_a_generation_that_does_not_agree_with_itself_is_refused(change: Mapping[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(G610, **change)


def test_an_instruction_set_that_is_ambiguous_is_refused() -> None:
    table = G610.instructions.table
    with pytest.raises(ValueError, match="comes twice"):
        InstructionSet("twice", 96, 8, 8, (*table, replace(table[0], mnemonic="OTHER")))


def test_fields_of_a_register() -> None:
    first, second = bits("low 3:0, flag 31")
    assert (first.mask, second.mask) == (0xF, 1 << 31)
    assert (first.of(0xABCD), second.of(0x80000001)) == (0xD, 1)
    assert G610.registers[0]._replace(fields=(first, second)).reserved == 0x7FFFFFF0
    assert G610.registers[0]._replace(fields=()).reserved == 0, "one number"


# --- what follows from it


def test_the_image_has_the_shared_section_of_the_generation(generation: Generation) -> None:
    _, _, start, end = image.SECTION.unpack_from(image.build(generation.layout), image.HEADER.size)[:4]
    assert (start, end - start) == (generation.layout.shared, generation.layout.shared_size)


def test_the_path_is_where_panthor_looks() -> None:
    assert G610.firmware_path == "/lib/firmware/arm/mali/arch10.8/mali_csffw.bin"
    assert M1.firmware_path == "/lib/firmware/arm/mali/arch13.4/mali_csffw.bin"


def test_two_gpus_in_one_process_understand_their_own_words() -> None:
    """The same word, another instruction: what one has decoded is nothing to the other."""
    word = codec.encode(G610.instructions, "MOVE32", dst=70, imm=1)
    assert codec.encode(M1.instructions, "MOVE32", dst=70, imm=1) != word
    with pytest.raises(codec.BadInstructionError):
        codec.decode(M1.instructions, word)
    for generation in (G610, M1, G610):
        bench = Bench(generation)
        bench.boot()
        bench.make_user_memory()
        bench.put_ring(*STORE)
        bench.start()
        bench.pump(partial(stored, bench))
        bench.close()


@pytest.mark.parametrize("slot", ["last slot", "last stream", "last address space"])
def test_the_last_of_each_kind_works(bench: Bench, slot: str) -> None:
    """A number that is a constant somewhere would leave out the last ones of a GPU that has more."""
    layout, spaces = bench.layout, bench.generation.spaces
    if slot == "last slot":
        group = layout.groups - 1
        assert bench.gpu.mcu.groups[-1].input == layout.csg_input(group)
        assert bench.iface(layout.csg_control(group) + 4) == layout.csg_input(group)
        bench.ring(layout.groups)
        bench.pump()
        assert bench.reporter.counts["user doorbell without a queue"] == 1
        with pytest.raises(StopIteration):
            next(name for _, name, _ in bench.generation.places() if name == f"DOORBELL_{layout.groups + 1}")
    elif slot == "last stream":
        at = layout.cs_control(layout.groups - 1, layout.streams - 1)
        assert bench.iface(at) == layout.cs_features
        assert bench.iface(at + 8) == layout.cs_output(layout.groups - 1, layout.streams - 1)
    else:
        bench.enable_space(spaces.count - 1, bench.user)
        assert bench.gpu.chip.mmu.spaces[-1].enabled
        assert len(bench.gpu.chip.mmu.spaces) == spaces.count
    assert bench.texts("unmodelled") == []


def test_cores_are_switched_in_the_way_of_the_generation() -> None:
    bench = Bench(M1)
    try:
        bench.write("PWR_TOGETHER", 1)
        assert {core: bench.read(f"{core}_READY_LO") for core in M1.cores} == dict(M1.cores)
        bench.write("PWR_TOGETHER", 0)
        assert bench.gpu.chip.powered == dict.fromkeys(M1.cores, 0)
    finally:
        bench.close()


@pytest.mark.parametrize("command", [["serve", "--socket", "x"], ["firmware", "-o", "x"]])
def test_a_model_that_there_is_not_is_refused(command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "panthorlab.gpu", *command, "--model", "m1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "'g610'" in ended.stderr


# --- reserved bits


def reserved_of(bench: Bench) -> list[str]:
    return [text for text in bench.texts("unmodelled") if "reserved" in text]


def test_a_reserved_bit_that_is_written_is_reported_and_the_rest_has_its_effect(bench: Bench) -> None:
    bench.write("GPU_INT_MASK", 0x20103 | 1 << 30)
    assert bench.read("GPU_INT_MASK") == 0x20103 | 1 << 30
    at = next(register.offset for register in bench.generation.registers if register.name == "GPU_INT_MASK")
    assert reserved_of(bench) == [
        f"write of 0x40020103 to register 0x{at:x} (GPU_INT_MASK): bits 0x40000000 are reserved"
    ]
    bench.write("GPU_CMD", 0x8002_3304)
    assert bench.read("GPU_INT_RAWSTAT") & 1 << 17, "the flush has happened"
    assert len(reserved_of(bench)) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 20), st.integers(0, 0xFFFFFFFF))
def test_a_write_is_reported_if_and_only_if_a_bit_of_it_is_reserved(make_bench: Any, number: int, value: int) -> None:
    bench = make_bench()
    writable = [
        (offset, name, register.reserved)
        for offset, name, register in bench.generation.places()
        if register is not None and register.kind in WRITTEN
    ]
    offset, name, reserved = writable[number % len(writable)]
    bench.gpu.write(offset, value & ~reserved)
    assert reserved_of(bench) == [], name
    bench.gpu.write(offset, value)
    assert len(reserved_of(bench)) == bool(value & reserved), name
    bench.close()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        # 6.12.117, 6.18.5, 7.3.4; Tyr (7.3.4)
        ("GPU_INT_CLEAR", (0x20103, 0x100, 0x600)),
        ("GPU_INT_MASK", (0, 0x20103, 0x20703)),
        ("GPU_CMD", (0x101, 0x23304, 0x3304, 0x1104)),
        ("COHERENCY_PROTOCOL", (0, 31)),
        ("L2_PWRON_LO", (1,)),
        ("L2_PWRON_HI", (0,)),
        ("L2_PWROFF_LO", (1,)),
        ("L2_PWROFF_HI", (0,)),
        ("MCU_CONTROL", (0, 1, 2)),
        ("JOB_INT_CLEAR", (0xFFFFFFFF, 1 << 31)),
        ("JOB_INT_MASK", (0, 0xFFFFFFFF)),
        ("MMU_INT_CLEAR", (0xFFFF, 2)),
        ("MMU_INT_MASK", (0, 0xFFFF, 0xFFFFFFFD)),
        ("TRANSTAB_LO", (0, 0xFFFFF000)),
        ("TRANSTAB_HI", (0, 0xFF)),
        ("MEMATTR_LO", (0, 0x4C4C4C4C)),
        ("TRANSCFG_LO", (1, 0x420001C6, 0x620001C6)),
        ("TRANSCFG_HI", (0,)),
        ("LOCKADDR_LO", (0x3F, 0x0E, 0x80000014, 0xFFFFC00E)),
        ("LOCKADDR_HI", (0, 0x8000)),
        ("COMMAND", range(6)),
    ],
)
def test_what_drivers_write_has_no_reserved_bit(name: str, values: tuple[int, ...]) -> None:
    register = next(r for r in (*G610.registers, *G610.spaces.registers) if r.name == name)
    assert [value for value in values if value & register.reserved] == []
    assert not 1 & ~sum(field.mask for field in G610.doorbells.fields)
