# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way a stream can go wrong: what is reported, once, and how it goes on."""

from __future__ import annotations

import pytest

from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.state import StreamState
from tests.unit.gpu_cs.standalone import Rig, encode

IDLE, BLOCKED, PAUSED, DEAD, STALLED = (
    StreamState.IDLE,
    StreamState.BLOCKED,
    StreamState.PAUSED,
    StreamState.DEAD,
    StreamState.STALLED,
)
E = encode
DATA = Rig.DATA
NOWHERE = 0x5555_0000_0000


def reports(rig: Rig) -> list[tuple[int | str, ...]]:
    return [event for event in rig.firmware.events if event[0] in ("fault", "fatal")]


ACCESSES = {
    "load": E("LOAD_MULTIPLE", base=4, addr=0, mask=3),
    "store": E("STORE_MULTIPLE", base=4, addr=0, mask=3),
    "sync add": E("SYNC_ADD64", addr=0, data=4),
    "sync set": E("SYNC_SET32", addr=0, data=4),
    "sync wait": E("SYNC_WAIT64", addr=0, data=4, cond=1),
    "store state": E("STORE_STATE", addr=0),
    "heap set": E("HEAP_SET", addr=0),
}


@pytest.mark.parametrize("access", ACCESSES)
def test_an_access_to_nowhere_is_a_cs_fault_and_the_driver_sees_the_job_end_with_an_error(access: str) -> None:
    rig = Rig()
    rig.submit(E("MOVE", dst=0, imm=NOWHERE), ACCESSES[access], E("MOVE", dst=0, imm=DATA), E("STORE_STATE", addr=0))
    rig.submit(E("MOVE", dst=0, imm=DATA + 8), E("STORE_STATE", addr=0), at=Rig.CODE + 0x1000)
    assert rig.run() is PAUSED
    assert reports(rig) == [("fault", 0x48, 0, NOWHERE)]
    assert len(rig.memory.faults) == 1
    assert rig.stream.extract == 40
    assert rig.stream.run(1000).retired == 0  # until acknowledged
    assert rig.seqno == 0
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE
    assert (rig.seqno, rig.seqno_status) == (2, 1)
    assert rig.memory.peek64(DATA) == 0  # skipped
    assert rig.memory.peek64(DATA + 8) != 0  # after the ERROR_BARRIER all is well again
    assert len(reports(rig)) == 1


def test_resume_at_the_next_instruction() -> None:
    rig = Rig(CsParams(resume="next"))
    rig.submit(
        E("MOVE", dst=0, imm=NOWHERE),
        E("STORE_MULTIPLE", base=4, addr=0, mask=3),
        E("MOVE", dst=0, imm=DATA),
        E("STORE_STATE", addr=0, state=3),
        E("SYNC_ADD64", addr=0, data=2),
    )
    assert rig.run() is PAUSED
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE
    assert rig.memory.peek64(DATA) == 1  # the error status
    assert rig.memory.peek32(DATA + 8) == 0  # no propagation was asked for
    assert (rig.seqno, rig.seqno_status) == (1, 1)


def test_an_error_barrier_in_the_callee_ends_the_error() -> None:
    rig = Rig()
    rig.submit(
        E("MOVE", dst=0, imm=NOWHERE),
        E("STORE_MULTIPLE", base=4, addr=0, mask=3),
        E("MOVE", dst=0, imm=DATA),
        E("STORE_STATE", addr=0),
        E("ERROR_BARRIER"),
        E("STORE_STATE", addr=0, offset=8),
    )
    assert rig.run() is PAUSED
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE
    assert (rig.seqno_status, rig.memory.peek64(DATA)) == (0, 0)
    assert rig.memory.peek64(DATA + 8)


def test_skipping_passes_over_what_is_no_instruction() -> None:
    rig = Rig()
    rig.submit(E("MOVE", dst=0, imm=NOWHERE), E("HEAP_SET", addr=0), 0xFF << 56)
    assert rig.run() is PAUSED
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE


def test_a_store_to_a_read_only_page_faults() -> None:
    rig = Rig()
    rig.memory.read_only.add(DATA >> 12)
    rig.submit(
        E("MOVE", dst=0, imm=DATA),
        E("LOAD_MULTIPLE", base=4, addr=0, mask=3),
        E("STORE_MULTIPLE", base=4, addr=0, mask=3),
    )
    assert rig.run() is PAUSED
    assert reports(rig) == [("fault", 0x48, 0, DATA)]


@pytest.mark.parametrize("unmap", [Rig.CODE, Rig.RING])
def test_a_fetch_from_nowhere_is_fatal(unmap: int) -> None:
    rig = Rig()
    rig.submit(E("NOP"))
    rig.memory.unmap(unmap, 4096)
    assert rig.run() is DEAD
    assert reports(rig) == [("fatal", 0x48, 0, unmap)]
    assert rig.run() is DEAD
    rig.stream.acknowledge_fault()
    assert rig.run() is DEAD
    assert len(rig.memory.faults) == 1


def test_a_fetch_of_the_next_page_faults_there() -> None:
    rig = Rig()
    rig.memory.map(Rig.CODE, 4096)
    rig.job(Rig.CODE, 8192)
    assert rig.run() is DEAD
    assert reports(rig) == [("fatal", 0x48, 0, Rig.CODE + 4096)]


def test_a_called_buffer_beyond_the_address_space_is_fatal() -> None:
    rig = Rig()
    rig.push(
        E("MOVE", dst=0, imm=0),
        E("ADD_IMM64", dst=0, src=0, imm=-8),
        E("MOVE32", dst=2, imm=16),
        E("CALL", addr=0, length=2),
    )
    assert rig.run() is DEAD
    assert reports(rig) == [("fatal", 0x48, 0, (1 << 64) - 8)]


@pytest.mark.parametrize("word", [0xFF << 56, 10 << 56, 45 << 56, E("MOVE", dst=0) | 1 << 48, 22 << 56 | 7 << 28])
def test_undefined_opcodes_and_bad_fields_are_fatal(word: int) -> None:
    rig = Rig()
    rig.submit(E("NOP"), word)
    assert rig.run() is DEAD
    assert reports(rig) == [("fatal", 0x49, 0, Rig.CODE + 8)]
    assert rig.stream.status().cmd_ptr == Rig.CODE + 8


def test_exception_data_is_a_parameter() -> None:
    rig = Rig(CsParams(exception_data=0xC))
    rig.push(0xFF << 56)
    assert rig.run() is DEAD
    assert reports(rig)[0][2] == 0xC


@pytest.mark.parametrize(("bits", "size"), [("32", 4), ("64", 8)])
def test_an_error_is_inherited_through_a_sync_object(bits: str, size: int) -> None:
    producer = Rig()
    consumer = Rig(memory=producer.memory, index=1)
    address = [E("MOVE", dst=4, imm=DATA + 64), E("MOVE", dst=6, imm=1)]
    consumer.submit(
        *address,
        E("MOVE", dst=6, imm=0),
        E(f"SYNC_WAIT{bits}", addr=4, data=6, cond=1),
        E("MOVE", dst=0, imm=DATA),
        E("STORE_STATE", addr=0),
    )
    assert consumer.run() is BLOCKED
    producer.submit(
        E("MOVE", dst=0, imm=NOWHERE),
        E("LOAD_MULTIPLE", base=2, addr=0, mask=1),
        *address,
        E(f"SYNC_ADD{bits}", addr=4, data=6, propagate=1),
    )
    assert producer.run() is PAUSED
    producer.stream.acknowledge_fault()
    assert producer.run() is IDLE
    assert producer.memory.peek32(DATA + 64 + size) == 1
    assert consumer.run() is PAUSED
    assert reports(consumer) == [("fault", 0x4B, 0, DATA + 64)]
    consumer.stream.acknowledge_fault()
    assert consumer.run() is IDLE
    assert (consumer.seqno, consumer.seqno_status, consumer.memory.peek64(DATA)) == (1, 1, 0)


def test_a_wait_may_reject_the_error() -> None:
    rig = Rig()
    rig.memory.poke(DATA, (5).to_bytes(8, "little") + b"\1")
    rig.submit(E("MOVE", dst=0, imm=DATA), E("SYNC_WAIT64", addr=0, data=2, cond=1, reject=1))
    assert rig.run() is IDLE


def test_a_sync_without_propagation_is_skipped_and_leaves_the_status_alone() -> None:
    rig = Rig()
    rig.submit(
        E("MOVE", dst=0, imm=NOWHERE),
        E("LOAD_MULTIPLE", base=2, addr=0, mask=1),
        E("MOVE", dst=4, imm=DATA),
        E("SYNC_ADD64", addr=4, data=6),
    )
    assert rig.run() is PAUSED
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE
    assert rig.memory.peek(DATA, 16) == bytes(16)


def test_a_deferred_operation_that_faults_releases_its_slot() -> None:
    rig = Rig(CsParams(compute_seconds=1.0))
    rig.submit(
        E("MOVE", dst=0, imm=NOWHERE),
        E("RUN_COMPUTE"),
        E("SYNC_SET64", addr=0, data=2, wait=1, signal=3),
        E("WAIT", wait=8),
    )
    assert rig.run() is BLOCKED
    rig.firmware.advance(1)
    assert rig.run() is PAUSED
    assert reports(rig) == [("fault", 0x48, 0, NOWHERE)]
    assert rig.stream.status().scoreboards == 0
    rig.stream.acknowledge_fault()
    assert rig.run() is IDLE
    assert (rig.seqno, rig.seqno_status) == (1, 1)


def test_a_stalled_access_is_repeated_and_nothing_is_reported() -> None:
    rig = Rig()
    rig.submit(E("MOVE", dst=0, imm=DATA), E("MOVE", dst=2, imm=1), E("SYNC_ADD64", addr=0, data=2))
    rig.memory.locked.add(DATA >> 12)
    assert rig.run() is STALLED
    assert rig.run() is STALLED
    assert rig.stream.status().cmd_ptr == Rig.CODE + 16
    rig.memory.locked.clear()
    assert rig.run() is IDLE
    assert rig.memory.peek64(DATA) == 1
    assert not reports(rig)


def test_every_access_of_a_job_may_stall_once_with_the_same_result() -> None:
    """Each access the stream makes, one after another, meets a LOCKed region the first time."""

    def submit(rig: Rig) -> None:
        rig.memory.poke(DATA + 64, (3).to_bytes(4, "little"))
        rig.submit(
            E("MOVE", dst=0, imm=DATA),
            E("MOVE", dst=2, imm=1),
            E("SYNC_ADD64", addr=0, data=2, propagate=1),
            E("HEAP_SET", addr=0),
            E("LOAD_MULTIPLE", base=10, addr=0, mask=0x101, offset=64),
            E("STORE_MULTIPLE", base=10, addr=0, mask=0x101, offset=128),
            E("RUN_IDVS"),
            E("SYNC_SET32", addr=0, data=2, wait=1, signal=3),
            E("MOVE", dst=4, imm=DATA + 4096),
            E("HEAP_SET", addr=4),
            E("STORE_STATE", addr=0, state=3, offset=32),
            E("WAIT", wait=8),
        )

    plain = Rig()
    submit(plain)
    assert plain.run() is IDLE
    accesses = 0
    while True:
        rig = Rig()
        submit(rig)
        seen = 0

        def stall(va: int, size: int, requester: object, nth: int = accesses, rig: Rig = rig) -> None:
            nonlocal seen
            seen += 1
            rig.memory.locked = {va >> 12} if seen == nth + 1 else set()

        rig.memory.before_access = stall
        state = rig.run()
        if seen <= accesses:
            break
        assert state is STALLED
        assert rig.run() is IDLE
        assert rig.memory.pages == plain.memory.pages
        accesses += 1
    assert accesses >= 12


def test_a_disabled_address_space_is_a_bus_error_and_raises_no_mmu_fault() -> None:
    rig = Rig()
    rig.submit(E("BRANCH", cond=6, offset=-1))
    assert rig.run() is StreamState.SPINNING
    rig.memory.disabled = True
    assert rig.run() is DEAD
    assert reports(rig) == [("fatal", 0x48, 0, Rig.CODE)]
    assert not rig.memory.faults
