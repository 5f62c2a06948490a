# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a stream contains ends in a modelled state; how it is cut into slices, or suspended, changes nothing."""

from __future__ import annotations

import struct
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from panthorlab.gpu.cs.opcodes import Field, FieldKind
from panthorlab.gpu.cs.params import CsParams
from panthorlab.gpu.cs.ports import Requester
from panthorlab.gpu.cs.state import SavedStream, StreamState, saved_size
from panthorlab.gpu.cs.v10 import V10
from tests.unit.gpu_cs.standalone import Rig, decode, encode

DATA = Rig.DATA
POINTERS = (DATA, DATA + 0x1000, DATA + 0xFFC, Rig.SYNC + 256)
HEAP = DATA + 0x8000  # only HEAP_SET uses this page: SUSPEND writes it, so its content depends on when that happens
TICK = 1 / 1024  # exact in binary: a suspended job ends at exactly the same time as one that was not
TIMED = CsParams(compute_seconds=2 * TICK, tiling_seconds=4 * TICK, fragment_seconds=TICK)


@st.composite
def programs(draw: st.DrawFn) -> list[int]:
    """Sensible code: addresses mostly valid, branches forward, waits for lower slots only: no deadlock."""
    words = [encode("MOVE", dst=2 * n, imm=address) for n, address in enumerate((*POINTERS, HEAP))]
    address = st.sampled_from([0, 2, 4, 6])
    value = st.integers(10, 29)
    pair = st.sampled_from([10, 12, 14, 16])
    slot = st.integers(0, 3)
    mask = st.integers(0, 0xF)
    offset = st.integers(-16, 64).map(lambda n: 4 * n)
    step = st.one_of(
        st.builds(lambda d, i: encode("MOVE", dst=d, imm=i), pair, st.integers(0, (1 << 48) - 1)),
        st.builds(lambda d, i: encode("MOVE32", dst=d, imm=i), value, st.integers(0, (1 << 32) - 1)),
        st.builds(lambda d, s, i: encode("ADD_IMM32", dst=d, src=s, imm=i), value, value, st.integers(-9, 9)),
        st.builds(lambda d, s, i: encode("ADD_IMM64", dst=d, src=s, imm=i), pair, pair, st.integers(-9, 9)),
        st.builds(lambda d, a, b: encode("UMIN32", dst=d, src1=a, src2=b), value, value, value),
        st.builds(
            lambda m, b, a, o: encode(m, base=b, addr=a, offset=o, mask=0x8003),
            st.sampled_from(["LOAD_MULTIPLE", "STORE_MULTIPLE"]),
            st.integers(10, 20),
            address,
            offset,
        ),
        st.builds(
            lambda m, a, d, w, s, p: encode(m, addr=a, data=d, wait=w & (1 << s) - 1, signal=s, propagate=p),
            st.sampled_from(["SYNC_ADD32", "SYNC_ADD64", "SYNC_SET32", "SYNC_SET64"]),
            address,
            pair,
            mask,
            slot,
            st.integers(0, 1),
        ),
        st.builds(
            lambda a, o, w, s: encode("STORE_STATE", addr=a, offset=o, state=3, wait=w & (1 << s) - 1, signal=s),
            address,
            offset,
            mask,
            slot,
        ),
        st.builds(
            lambda f, w, s: encode("FLUSH_CACHE2", flush_id=f, l2=3, lsc=3, wait=w & (1 << s) - 1, signal=s),
            value,
            mask,
            slot,
        ),
        st.builds(
            lambda c, v, o: encode("BRANCH", cond=c, value=v, offset=o), st.integers(0, 6), value, st.integers(0, 3)
        ),
        st.builds(lambda e, o: encode("SET_SB_ENTRY", endpoint=e, other=o), slot, slot),
        st.builds(
            lambda m, p: encode(m, progress=p),
            st.sampled_from(["RUN_COMPUTE", "RUN_IDVS", "RUN_FRAGMENT", "FINISH_TILING"]),
            st.integers(0, 1),
        ),
        st.builds(lambda w: encode("WAIT", wait=w), mask),
        st.builds(lambda o: encode("HEAP_OPERATION", operation=o), st.sampled_from([0, 1, 3])),
        st.just(encode("HEAP_SET", addr=8)),
        st.just(encode("ERROR_BARRIER")),
        st.just(encode("HEAP_SET", addr=30)),  # d30 is 0 or what the program made of it
        st.builds(lambda d: encode("PROGRESS_LOAD", dst=d), pair),
        st.builds(lambda d: encode("LOAD_MULTIPLE", base=10, addr=d, mask=1), st.just(32)),  # address 0: faults
    )
    words += draw(st.lists(step, max_size=40))
    return [*words, *[encode("NOP")] * 3]


def outcome(rig: Rig) -> tuple[object, ...]:
    """What the rest of the world can see of a finished stream, however long it took."""
    pages = {page: bytes(data) for page, data in rig.memory.pages.items() if page != HEAP >> 12}
    return (
        pages,
        rig.stream.extract,
        rig.stream.progress,
        rig.stream.heap_address,
        rig.stream.heap_context_bytes(),
        [e for e in rig.firmware.events if e[0] != "wake_group"],
    )


def finish(rig: Rig, budget: int = 100_000) -> None:
    for _ in range(2000):
        match rig.stream.run(budget).state:
            case StreamState.IDLE | StreamState.DEAD:
                return
            case StreamState.PAUSED:
                rig.stream.acknowledge_fault()
            case StreamState.BLOCKED:
                rig.firmware.advance_to_timer()
            case _:
                pass
    raise AssertionError(f"never ended: {rig.stream.state.name} {rig.stream.status()}")


def reference(words: list[int]) -> Rig:
    rig = Rig(TIMED)
    rig.submit(*words)
    finish(rig)
    return rig


@given(programs(), st.lists(st.integers(1, 7), min_size=1, max_size=20))
def test_slices_of_any_length_give_the_same(words: list[int], budgets: list[int]) -> None:
    rig = Rig(TIMED)
    rig.submit(*words)
    n = 0
    while rig.stream.state not in (StreamState.IDLE, StreamState.DEAD) or n == 0:
        result = rig.stream.run(budgets[n % len(budgets)])
        assert result.retired <= budgets[n % len(budgets)]
        if result.state is StreamState.PAUSED:
            rig.stream.acknowledge_fault()
        elif result.state is StreamState.BLOCKED:
            rig.firmware.advance_to_timer()
        n += 1
        assert n < 2000
    assert outcome(rig) == outcome(reference(words))


@given(programs(), st.integers(1, 60), st.integers(1, 5))
def test_suspend_and_resume_after_any_instruction_give_the_same(words: list[int], first: int, every: int) -> None:
    rig = Rig(TIMED)
    rig.submit(*words)
    budget = first
    for _ in range(400):
        state = rig.stream.run(budget).state
        budget = every
        if state in (StreamState.IDLE, StreamState.DEAD):
            break
        if state is StreamState.BLOCKED:
            rig.firmware.advance_to_timer()
        if state is StreamState.PAUSED:
            rig.stream.acknowledge_fault()
            continue
        suspend_and_resume(rig)
    assert outcome(rig) == outcome(reference(words))


def suspend_and_resume(rig: Rig) -> None:
    data = rig.stream.save().to_bytes()
    assert len(data) <= saved_size(V10)
    insert = rig.stream.insert
    if rig.stream.heap_address:
        rig.memory.write(rig.stream.heap_address, rig.stream.heap_context_bytes(), Requester.MCU)
    rig.stream.stop()
    assert rig.firmware.timers == 0
    rig.stream = rig.new_stream()
    saved = SavedStream.from_bytes(data + b"the rest of the buffer", V10)
    assert saved.to_bytes() == data
    rig.stream.restore(saved, saved.extract)
    rig.stream.insert = insert


words = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.builds(lambda spec, bits: spec.opcode << 56 | bits, st.sampled_from(V10.table), st.integers(0, (1 << 56) - 1)),
    st.builds(
        lambda spec, random: _legal_word(spec.mnemonic, spec.fields, random),
        st.sampled_from(V10.table),
        st.randoms(use_true_random=False),
    ),
)


def _legal_word(mnemonic: str, fields: tuple[Field, ...], random: Random) -> int:
    values = {}
    draw = random.randrange
    for field in fields:
        if field.allowed is not None:
            values[field.name] = sorted(field.allowed)[draw(len(field.allowed))]
        elif field.kind in (FieldKind.REG, FieldKind.PAIR):
            values[field.name] = 2 * draw(10)
        elif field.kind is FieldKind.SIGNED:
            values[field.name] = draw(-8, 8)
        else:
            values[field.name] = draw(min(8, 1 << field.width))
    return encode(mnemonic, **values)


@given(
    st.lists(words, max_size=24),
    st.sampled_from([CsParams(), TIMED, CsParams(chunks_per_tiling=2, resume="next")]),
    st.lists(
        st.sampled_from(["run", "step", "time", "suspend", "ack", "refuse", "grant", "lock", "unlock", "disable"]),
        max_size=12,
    ),
)
def test_whatever_is_in_memory_ends_in_a_modelled_state(code: list[int], params: CsParams, actions: list[str]) -> None:
    rig = Rig(params)
    rig.push(*[encode("MOVE", dst=2 * n, imm=address) for n, address in enumerate((*POINTERS, Rig.CODE, 64))])
    rig.submit(*code)
    for action in [*actions, "run", "run"]:
        match action:
            case "run":
                assert rig.stream.run(300).retired <= 300
            case "step":
                assert rig.stream.run(1).retired <= 1
            case "time":
                rig.firmware.advance(TICK)
            case "suspend":
                suspend_in_any_state(rig)
            case "ack":
                rig.stream.acknowledge_fault()
            case "refuse":
                rig.stream.answer_tiler_oom(0, 0)
            case "grant":
                rig.stream.answer_tiler_oom(DATA + 0x4000 | 1, DATA + 0x4000 | 1)
            case "lock":
                rig.memory.locked.add(DATA >> 12)
            case "unlock":
                rig.memory.locked.clear()
            case "disable":
                rig.memory.disabled = True
    assert all(0 <= register < 1 << 32 for register in rig.stream.save().registers)
    fatal = [event for event in rig.firmware.events if event[0] == "fatal"]
    assert all(event[1] in (0x40, 0x48, 0x49, 0x4A) for event in fatal)
    faults = [event for event in rig.firmware.events if event[0] == "fault"]
    assert all(event[1] in (0x44, 0x48, 0x4B, 0x60) for event in faults)


def suspend_in_any_state(rig: Rig) -> None:
    insert = rig.stream.insert
    saved = SavedStream.from_bytes(rig.stream.save().to_bytes(), V10)
    rig.stream.stop()
    rig.stream = rig.new_stream()
    rig.stream.restore(saved, saved.extract)
    rig.stream.insert = insert


@given(st.binary(max_size=200), st.integers(0, 1500), st.integers(0, 255))
def test_a_damaged_suspend_buffer_is_refused_or_runs_into_a_modelled_state(junk: bytes, at: int, byte: int) -> None:
    rig = Rig(TIMED)
    rig.submit(
        encode("RUN_COMPUTE"),
        encode("MOVE", dst=0, imm=DATA),
        encode("STORE_STATE", addr=0, wait=1, signal=2),
        encode("WAIT", wait=4),
    )
    rig.run()
    good = rig.stream.save().to_bytes()
    damaged = bytearray(good)
    damaged[at % len(damaged)] = byte
    for data in (junk, bytes(damaged), good[: at % len(good)]):
        try:
            saved = SavedStream.from_bytes(data, V10)
            rig.stream.restore(saved, saved.extract)
        except ValueError:
            continue
        rig.stream.insert = 128
        for _ in range(5):
            rig.run(500)
            rig.firmware.advance(0.01)


def test_resuming_elsewhere_forgets_what_was_called() -> None:
    rig = Rig()
    rig.submit(encode("BRANCH", cond=6, offset=-1))
    rig.submit(encode("MOVE", dst=0, imm=DATA), encode("STORE_STATE", addr=0), at=Rig.CODE + 0x1000)
    assert rig.run() is StreamState.SPINNING
    saved = rig.stream.save()
    rig.stream.stop()
    rig.stream.restore(saved, 128)
    rig.stream.insert = 256
    assert rig.run() is StreamState.IDLE
    assert rig.memory.peek64(DATA)
    assert rig.seqno == 1


def test_a_dead_stream_stays_dead_when_resumed() -> None:
    rig = Rig()
    rig.push(0xFF << 56)
    assert rig.run() is StreamState.DEAD
    suspend_in_any_state(rig)
    assert rig.run() is StreamState.DEAD
    assert len(rig.firmware.events) == 1


def test_a_resumed_job_takes_only_the_time_that_was_left() -> None:
    rig = Rig(CsParams(compute_seconds=1.0))
    rig.push(encode("RUN_COMPUTE"))
    rig.run()
    rig.firmware.advance(0.75)
    suspend_in_any_state(rig)
    assert rig.run() is StreamState.BLOCKED
    rig.firmware.advance(0.26)
    assert rig.run() is StreamState.IDLE


def test_saved_registers_are_exact() -> None:
    rig = Rig()
    rig.push(*[encode("MOVE32", dst=n, imm=0xFFFFFF00 + n) for n in range(V10.registers)])
    rig.run()
    data = rig.stream.save().to_bytes()
    assert struct.unpack_from(f"<{V10.registers}I", data, 16) == tuple(0xFFFFFF00 + n for n in range(V10.registers))


def test_the_programs_of_these_tests_use_most_instructions() -> None:
    """So that the properties above are not vacuous."""
    seen: set[str] = set()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(programs())
    def collect(program: list[int]) -> None:
        seen.update(decode(word).spec.mnemonic for word in program)

    collect()
    assert len(seen) >= 20
