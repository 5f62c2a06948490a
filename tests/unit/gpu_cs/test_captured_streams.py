# SPDX-License-Identifier: GPL-2.0-or-later
"""Command streams of unmodified Mesa (`tests/data/streams`): the decoder knows every word, and reads it as Mesa's own
decoder does; and the interpreter runs them to what Mesa itself takes for the end."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.cs.params import CsParams
from tests.unit.gpu_cs.captured import DATA, Captured, Code, Line, Run, parse, render
from tests.unit.gpu_cs.mesa_dump import parse_dump
from tests.unit.gpu_cs.mesa_text import mesa_text
from tests.unit.gpu_cs.standalone import decode, encode

FILES = sorted(DATA.glob("*.txt"))
MANY = 300  # different words
USED = {
    "ADD_IMM32", "ADD_IMM64", "BRANCH", "FINISH_FRAGMENT", "FINISH_TILING", "FLUSH_CACHE2", "HEAP_OPERATION",
    "HEAP_SET", "LOAD_MULTIPLE", "MOVE", "MOVE32", "REQ_RESOURCE", "RUN_COMPUTE", "RUN_FRAGMENT", "RUN_IDVS",
    "SET_EXCEPTION_HANDLER", "SET_SB_ENTRY", "STORE_MULTIPLE", "SYNC_ADD32", "SYNC_ADD64", "SYNC_SET32", "SYNC_WAIT32",
    "SYNC_WAIT64", "WAIT",
}  # fmt: skip
TIMES = CsParams(compute_seconds=0.002, tiling_seconds=0.001, fragment_seconds=0.003)


@cache
def load(file: Path) -> Captured:
    return parse(file.read_text())


RUNNABLE = [file for file in FILES if load(file).streams]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_word_is_decoded_and_encoded(file: Path) -> None:
    for line in load(file).all_words():
        instruction = decode(line.word)
        assert instruction.reserved == 0, f"{instruction}: {line}"
        assert encode(instruction.spec.mnemonic, **instruction.values) == line.word


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_decoder_agrees_with_mesas(file: Path) -> None:
    told = [line for line in load(file).all_words() if line.text]
    assert told
    assert [(f"{line.word:016x}", mesa_text(decode(line.word))) for line in told] == [
        (f"{line.word:016x}", line.text.replace("MOVE48 ", "MOVE ")) for line in told
    ]


def test_what_the_corpus_is_of() -> None:
    """It says nothing of instructions that are not in it."""
    words = {line.word for file in FILES for line in load(file).all_words()}
    assert len(words) > MANY
    assert {decode(word).spec.mnemonic for word in words} >= USED


@pytest.mark.parametrize("params", [CsParams(), TIMES], ids=["at once", "with time"])
@pytest.mark.parametrize("file", RUNNABLE, ids=lambda file: file.stem)
def test_the_interpreter_runs_them_to_their_end(file: Path, params: CsParams) -> None:
    """Nothing is loaded from, or stored to, where Mesa has no memory; and each stream ended, as Mesa looks for it."""
    run = Run(load(file), params=params)
    assert run.troubles(), "they have not run yet"
    run.finish()
    assert run.troubles() == []


@pytest.mark.parametrize("slice_of", [1, 7, 4096])
@pytest.mark.parametrize("file", RUNNABLE, ids=lambda file: file.stem)
def test_the_order_of_slices_does_not_matter(file: Path, slice_of: int) -> None:
    run = Run(load(file), params=TIMES)
    run.finish(slice_of)
    assert run.troubles() == []


@pytest.mark.parametrize("file", RUNNABLE, ids=lambda file: file.stem)
def test_a_frame_is_one_pass_of_the_heap(file: Path) -> None:
    run = Run(load(file))
    run.finish()
    mnemonics = {decode(line.word).spec.mnemonic for _, code in load(file).streams for line in code.lines}
    passes = int("RUN_FRAGMENT" in mnemonics)
    vertex = run.queues[0].stream
    assert (vertex.heap_vt_start, vertex.heap_vt_end, vertex.heap_frag_end) == (passes, passes, passes)


# Of PanVK: the size of a context of the tiler and of a frame's descriptor behind it, the register of its template.
CONTEXT_SIZE, FRAME_SIZE, TEMPLATE = 128, 56, 48


@pytest.mark.parametrize("name", ["clear", "cube"])
def test_the_frame_stays_as_it_was_written(name: str) -> None:
    """PanVK clears the end of the tiler's context with stores whose registers have gaps, while the other queue writes
    the descriptor of the frame behind it. If memory had the same gaps, its sample locations would be lost."""
    captured = load(next(file for file in RUNNABLE if file.stem.endswith(f"-{name}")))
    run = Run(captured)
    tiler = run.memory.peek64(captured.setups[1] + 24)
    fragment = next(code for queue, code in captured.streams if queue == 1)
    moved = (decode(line.word) for line in fragment.lines if line.text.startswith(f"MOVE d{TEMPLATE},"))
    template = run.memory.peek(next(moved)["imm"], FRAME_SIZE)
    assert int.from_bytes(template[16:24], "little"), "sample locations"
    run.finish()
    assert run.memory.peek(tiler + CONTEXT_SIZE, FRAME_SIZE) == template


@pytest.mark.parametrize("file", RUNNABLE, ids=lambda file: file.stem)
def test_a_word_that_is_lost_is_noticed(file: Path) -> None:
    """Without its SYNC_ADDs no stream counts as ended: so the checks above look at what the streams do."""
    whole = load(file)
    streams = tuple(
        (
            queue,
            Code(code.va, tuple(Line(0) if line.text.startswith("SYNC_ADD32.error") else line for line in code.lines)),
        )
        for queue, code in whole.streams
    )
    run = Run(
        Captured(
            whole.mesa, whole.client, whole.date, whole.setups, streams, whole.handlers, (), whole.pages, whole.data
        )
    )
    run.finish()
    assert any("Mesa finds" in trouble for trouble in run.troubles())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_says_what_it_was_read_as(file: Path) -> None:
    assert render(load(file)) == file.read_text()


TOLD = """\
Init subqueue 1 binary

main_cs@fffed000{
  MOVE d90, #0xFFFE4140
} // main_cs@fffed000

CS 0 on subqueue 2 binaries

main_cs@ffd9c000{
  MOVE d66, #0xFFFFD000
  MOVE32 r68, #0x10
  SET_EXCEPTION_HANDLER d66, r68
  BRANCH.ne r69, #1 // label_ffd9c0a0
label_ffd9c098:
  WAIT #ff
} // main_cs@ffd9c000

Buffer: memory_ffffd000 gpu ffffd000

000000  01 00 00 00 00 00 00 03 02 00 00 00 00 00 00 03
*
000030  00 00 00 00 00 00 00 0A

  00 00 ff 00 00 00 00 03      WAIT #ff
"""


def test_what_mesa_prints_is_read() -> None:
    dump = parse_dump(TOLD)
    made, stream = dump.listings
    assert (made.queue, made.va, made.initial, made.moved(90)) == (1, 0xFFFED000, True, 0xFFFE4140)
    assert (stream.queue, stream.va, stream.initial) == (2, 0xFFD9C000, False)
    assert stream.text[-2:] == ("BRANCH.ne r69, #1", "WAIT #ff")
    assert list(stream.handlers()) == [(0xFFFFD000, 0x10)]
    line = bytes.fromhex("01000000000000030200000000000003")
    assert dump.memory == {0xFFFFD000: line * 3 + bytes(7) + b"\n"}
    assert dump.words == [Line(0x0300000000FF0000, "WAIT #ff")]


@given(st.text(alphabet="@{}:#0123456789ABCDEFabcdef \nmain_csBufergpInt*", max_size=200))
def test_whatever_is_printed_is_read(text: str) -> None:
    parse_dump(text)
