# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers and MMU as the CPU sees them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panthorlab.gpu.cs.ports import Access, BusError, MemoryFault, MemoryStall, Requester
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.mmu.unit import TRANSLATIONS
from panthorlab.gpu.registers import RegisterKind

RAM_BASE, RAM_SIZE = 0x4000_0000, 0x40_0000
VA = 0x8000_0000_3000
RW_PAGE = 0x60000000000E43
READ_ONLY = RW_PAGE | 0x80
Bench = Any  # conftest.Bench


def test_the_register_map_is_sane(generation: Generation) -> None:
    places = list(generation.places())
    assert len({offset for offset, _, _ in places}) == len({name for _, name, _ in places}) == len(places)
    assert all(offset % 4 == 0 for offset, _, _ in places)
    assert max(r.offset for r in generation.spaces.registers) < generation.spaces.stride
    for register in (*generation.registers, *generation.spaces.registers):
        bits = [bit for field in register.fields for bit in range(field.low, field.high + 1)]
        assert len(bits) == len(set(bits)), register.name
        assert all(0 <= bit < 32 for bit in bits), register.name
        assert register.kind is not RegisterKind.CONSTANT or not register.reset & register.reserved, register.name


def test_identity(bench: Bench) -> None:
    """`test_fidelity` holds the numbers of the G610."""
    for register in bench.generation.registers:
        if register.kind is RegisterKind.CONSTANT:
            assert bench.read(register.name) == register.reset
    assert bench.read("LATEST_FLUSH") == 1


def test_unknown_and_read_only_registers_are_reported(bench: Bench) -> None:
    assert bench.gpu.read(0x44C) == 0
    bench.gpu.write(0x44C, 1)
    before = bench.read("GPU_ID")
    bench.write("GPU_ID", 0)
    assert bench.read("GPU_ID") == before
    assert bench.kinds().count("unmodelled") == 3


def test_every_known_register_can_be_read_silently(bench: Bench) -> None:
    for register in bench.generation.registers:
        bench.gpu.read(register.offset)
    spaces = bench.generation.spaces
    for register in spaces.registers:
        bench.gpu.read(spaces.offset(spaces.count - 1, register.offset))
    assert bench.kinds() == []


def test_storage_registers(bench: Bench) -> None:
    for register in bench.generation.registers:
        if register.kind is RegisterKind.STORAGE:
            bench.gpu.write(register.offset, 0x5A5A5A5A & ~register.reserved)
            assert bench.gpu.read(register.offset) == 0x5A5A5A5A & ~register.reserved
            bench.gpu.reset()
            assert bench.gpu.read(register.offset) == register.reset
    assert bench.kinds() == []


def test_power(bench: Bench) -> None:
    assert bench.read("L2_READY_LO") == 1
    allowed = bench.generation.cores["SHADER"]
    assert bench.read("SHADER_READY_LO") == allowed, "the firmware powers the cores that the driver allows"
    bench.write("L2_PWROFF_LO", 1)
    assert bench.read("L2_READY_LO") == 0
    assert bench.read("L2_PWRTRANS_LO") == 0


@pytest.mark.parametrize(("command", "counts"), [(0x1104, 0), (0x23304, 1)])
def test_flush_completes_each_time(bench: Bench, command: int, counts: int) -> None:
    before = bench.read("LATEST_FLUSH")
    for _ in range(2):
        bench.write("GPU_CMD", command)
        assert bench.read("GPU_INT_STAT") == 1 << 17
        bench.write("GPU_INT_CLEAR", 1 << 17)
        assert bench.read("GPU_INT_STAT") == 0
    assert bench.read("LATEST_FLUSH") == before + 2 * counts


def test_latest_flush_wraps_past_zero(bench: Bench) -> None:
    bench.gpu.chip.latest_flush = 0xFFFFFF
    bench.write("GPU_CMD", 0x23304)
    assert bench.read("LATEST_FLUSH") == 1


@pytest.mark.parametrize("command", [0x101, 0x201])
def test_reset(bench: Bench, command: int) -> None:
    bench.write("GPU_CMD", command)
    assert bench.read("GPU_INT_STAT") == 1 << 8
    assert bench.read("GPU_INT_MASK") == 0x20103
    assert (bench.read("MCU_STATUS"), bench.read("L2_READY_LO"), bench.read("JOB_INT_RAWSTAT")) == (0, 0, 0)
    assert not any(space.enabled for space in bench.gpu.chip.mmu.spaces)


def test_slow_reset_and_flush(make_bench: Any) -> None:
    bench = make_bench("reset.delay_ms=2", "flush.delay_ms=2", "mcu.boot_ms=2")
    bench.boot()
    for command, bit in ((0x23304, 17), (0x101, 8)):
        bench.write("GPU_CMD", command)
        assert not bench.read("GPU_INT_RAWSTAT") & 1 << bit
        bench.pump(lambda bit=bit: bool(bench.read("GPU_INT_RAWSTAT") & 1 << bit))


def test_counters_advance(bench: Bench) -> None:
    def read64(name: str) -> int:
        return int(bench.read(f"{name}_HI")) << 32 | int(bench.read(f"{name}_LO"))

    first = [read64(n) for n in ("TIMESTAMP", "CYCLE_COUNT")]
    bench.elapse(0.005)
    ticks, cycles = (read64(n) - f for n, f in zip(("TIMESTAMP", "CYCLE_COUNT"), first, strict=True))
    assert cycles / ticks == pytest.approx(16, rel=0.2)  # 1 GHz over 62.5 MHz
    assert ticks > 0.004 * 62.5e6


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 1 << 20).map(lambda n: ("known", n)),
                st.integers(0, 0x1FFFFC // 4).map(lambda n: ("any", n)),
            ),
            st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 0x101, 0x23304, 0x420001C6])),
        ),
        max_size=40,
    )
)
def test_no_register_access_upsets_the_model(make_bench: Any, accesses: list[tuple[tuple[str, int], int]]) -> None:
    bench = make_bench("writeout.delay_ms=0")
    bench.boot()
    known = [offset for offset, _, _ in bench.generation.places()]
    for (where, number), value in accesses:
        offset = known[number % len(known)] if where == "known" else number * 4
        bench.gpu.write(offset, value)
        assert 0 <= bench.gpu.read(offset) <= 0xFFFFFFFF
    bench.pump()
    bench.close()


# --- the MMU


def space(bench: Bench, index: int = 1) -> Any:
    return bench.gpu.chip.mmu.spaces[index]


def test_update_latches(bench: Bench) -> None:
    other = bench.page()
    bench.as_write(1, "TRANSTAB_LO", other)
    assert space(bench).root == bench.user.root
    epoch = space(bench).epoch
    bench.as_write(1, "COMMAND", 1)
    assert (space(bench).root, space(bench).epoch) == (other, epoch + 1)
    assert bench.as_read(1, "STATUS") == 0


def test_access_across_pages(bench: Bench) -> None:
    data = bytes(range(200))
    for va in (VA, VA + 0x1000):
        bench.user.map(va)
    space(bench).write(VA + 0xF80, data, Requester.LSU)
    assert space(bench).read(VA + 0xF80, 200, Requester.LSU) == data
    assert bench.quad(bench.user.pa(VA + 0x1000)) == int.from_bytes(data[128:136], "little")


def test_a_write_that_faults_writes_nothing(bench: Bench) -> None:
    bench.user.unmap(VA + 0x1000)
    with pytest.raises(MemoryFault) as fault:
        space(bench).write(VA + 0xFF0, b"x" * 32, Requester.LSU)
    assert fault.value.va == VA + 0x1000
    assert bench.quad(bench.user.pa(VA) + 0xFF0) == 0
    assert bench.as_read(1, "FAULTADDRESS_LO") == (VA + 0x1000) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("access", "requester", "entry", "status"),
    [
        (Access.WRITE, Requester.MCU, 0, 0x03C3),
        (Access.READ, Requester.LSU, 0, 0x02C3),
        (Access.READ, Requester.PREFETCH, 0, 0x02C3),
        (Access.WRITE, Requester.LSU, READ_ONLY, 0x03CB),
        (Access.EXECUTE, Requester.SHADER, 0x60000000000E43, 0x01CB),
        (Access.READ, Requester.TILER, 3, 0x02DB),
        (Access.ATOMIC, Requester.LSU, READ_ONLY, 0x00CB),
        (Access.READ, Requester.LSU, 1 << 45 | 0xE43, 0x02E7),
    ],
)
def test_fault_status(bench: Bench, access: Access, requester: Requester, entry: int, status: int) -> None:
    bench.user.entry(VA, entry | (RAM_BASE if entry else 0))
    with pytest.raises(MemoryFault):
        space(bench).look_up(VA + 8, access, requester)
    assert bench.as_read(1, "FAULTSTATUS") == bench.fault(requester, status)
    assert bench.read("MMU_INT_STAT") == 2


def test_unmapped_mode_is_a_bus_error_without_an_interrupt(bench: Bench) -> None:
    bench.disable_space(1)
    with pytest.raises(BusError):
        space(bench).read(VA, 8, Requester.LSU)
    assert bench.read("MMU_INT_RAWSTAT") == 0


@pytest.mark.parametrize(
    ("lockaddr", "start", "end"),
    [
        (0x3F, 0, 1 << 64),
        (0x2F, 0, 1 << 48),
        (0x80000000000E, 0x8000_0000_0000, 0x8000_0000_8000),
        (0x80000000400E, 0x8000_0000_0000, 0x8000_0000_8000),
        (0x800000200014, 0x8000_0020_0000, 0x8000_0040_0000),
    ],
)
def test_lock_regions(bench: Bench, lockaddr: int, start: int, end: int) -> None:
    bench.as_write(1, "LOCKADDR_LO", lockaddr & 0xFFFFFFFF)
    bench.as_write(1, "LOCKADDR_HI", lockaddr >> 32)
    bench.as_write(1, "COMMAND", 2)
    assert space(bench).locked == (start, end)


def test_locked_accesses_stall_until_released(bench: Bench) -> None:
    released: list[int] = []
    bench.lock(1, VA)
    with pytest.raises(MemoryStall):
        space(bench).read(VA, 8, Requester.LSU)
    assert space(bench).read(0x100_0000, 8, Requester.LSU) == bytes(8), "outside the region"
    space(bench).when_released(lambda: released.append(1))
    assert not released
    bench.as_write(1, "COMMAND", 3)
    assert released == [1]
    assert space(bench).read(VA, 8, Requester.LSU) == bytes(8)


@pytest.mark.parametrize("command", [1, 2, 3, 4, 5])
def test_what_releases_a_lock(bench: Bench, command: int) -> None:
    """Not UPDATE: a driver that gives the address space to another VM must unlock it. Nor a LOCK of the same region."""
    bench.lock(1, VA)
    bench.as_write(1, "COMMAND", command)
    assert (space(bench).locked is None) is (command > 2)


def test_a_reset_releases_all_locks(bench: Bench) -> None:
    bench.lock(1, VA)
    bench.write("GPU_CMD", 0x101)
    assert space(bench).locked is None


def test_physical_address_without_ram_is_a_gpu_bus_fault(bench: Bench) -> None:
    bench.user.entry(VA, 0x9_0000_0000 | 0x60000000000E43)
    with pytest.raises(BusError):
        space(bench).read(VA, 8, Requester.LSU)
    assert bench.read("GPU_INT_STAT") == 1
    assert bench.read("GPU_FAULT_STATUS") == 0x80
    assert bench.read("GPU_FAULT_ADDR_HI") == 9
    assert bench.read("MMU_INT_RAWSTAT") == 0


UPDATE, UNLOCK, FLUSH_PT, FLUSH_MEM = 1, 3, 4, 5


@pytest.mark.parametrize("command", [UNLOCK, FLUSH_PT, FLUSH_MEM])
def test_what_flushes_a_region_drops_its_translations_alone(bench: Bench, command: int) -> None:
    beyond = VA + 0x8000  # the smallest region that can be locked
    bench.user.map(beyond)
    for va in (VA, beyond):
        space(bench).read(va, 8, Requester.LSU)
        bench.user.unmap(va)
    bench.lock(1, VA)
    bench.as_write(1, "COMMAND", command)
    with pytest.raises(MemoryFault):
        space(bench).read(VA, 8, Requester.LSU)
    space(bench).write(beyond, b"stale", Requester.LSU, wait=False)


@pytest.mark.parametrize("command", [UPDATE, FLUSH_PT, FLUSH_MEM])
def test_what_flushes_without_a_region_drops_all_translations(bench: Bench, command: int) -> None:
    space(bench).read(VA, 8, Requester.LSU)
    bench.user.unmap(VA)
    bench.as_write(1, "COMMAND", command)
    with pytest.raises(MemoryFault):
        space(bench).read(VA, 8, Requester.LSU)


def test_translations_stay_until_they_are_told_to_go(bench: Bench) -> None:
    """Through flushes of the caches, an UNLOCK without a region, and commands to other address spaces."""
    space(bench).write(VA, b"as it was", Requester.LSU)
    bench.user.unmap(VA)
    bench.write("GPU_CMD", 0x23304)
    bench.as_write(1, "COMMAND", UNLOCK)
    bench.as_write(2, "COMMAND", UPDATE)
    assert space(bench).read(VA, 9, Requester.LSU) == b"as it was"
    bench.user.entry(VA, bench.page() | RW_PAGE)
    assert space(bench).read(VA, 9, Requester.LSU) == b"as it was"
    bench.lock(1, VA)
    bench.as_write(1, "COMMAND", UNLOCK)
    assert space(bench).read(VA, 9, Requester.LSU) == bytes(9)


def test_an_address_space_keeps_so_many_translations_and_no_more(bench: Bench) -> None:
    pages = [VA + (i << 12) for i in range(TRANSLATIONS + 1)]
    for va in pages:
        bench.user.entry(va, bench.user.pa(VA) | RW_PAGE)
        space(bench).read(va, 8, Requester.LSU)
    bench.user.unmap(VA)
    with pytest.raises(MemoryFault):
        space(bench).read(VA, 8, Requester.LSU)


def test_sixteen_kib_tables_are_not_emulated(bench: Bench) -> None:
    bench.as_write(1, "TRANSCFG_LO", 8)
    bench.as_write(1, "COMMAND", 1)
    assert not space(bench).enabled
    assert bench.texts("unmodelled") == ["AS1_TRANSCFG mode 8"]


def test_a_gpu_without_a_clock_is_not_touched(bench: Bench) -> None:
    """Once for each kind of access in the log, and nothing is said by a guest that has no clock driver."""
    bench.gpu.clock(0)
    bench.read("GPU_ID")
    bench.gpu.clock(1)
    bench.read("GPU_ID")
    assert not bench.texts("misuse")
    bench.gpu.clock(2)
    bench.write("MMU_INT_MASK", 0)
    assert bench.read("GPU_ID")
    assert bench.texts("misuse") == [
        "the clock was stopped while the MCU ran",
        "write of 0x0 to MMU_INT_MASK while the clock stood",
        "read of GPU_ID while the clock stood",
    ]
    bench.gpu.clock(1)
    bench.write("MCU_CONTROL", 0)
    bench.gpu.clock(2)
    assert len(bench.texts("misuse")) == 3
