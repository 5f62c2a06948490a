# SPDX-License-Identifier: GPL-2.0-or-later
"""The instruction table, the decoder, the encoder and the disassembler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.gpu.cs.codec import BadInstructionError, assemble, disassemble
from panthorlab.gpu.cs.opcodes import Field, FieldKind, Spec
from panthorlab.gpu.cs.units import CONTROL, DEFERRABLE, SIMPLE
from panthorlab.gpu.cs.v10 import V10
from tests.unit.gpu_cs.standalone import decode, encode

# From the kernel, IGT and Mesa
GOLDEN = {
    0x0144000001001000: ("MOVE", {"dst": 68, "imm": 0x1001000}),
    0x02460000DEADBEEF: ("MOVE32", {"dst": 70, "imm": 0xDEADBEEF}),
    0x1546440000010000: ("STORE_MULTIPLE", {"base": 70, "addr": 68, "mask": 1, "offset": 0}),
    0x0300000000FF0000: ("WAIT", {"wait": 0xFF, "progress": 0}),
    0x2401460000000233: ("FLUSH_CACHE2", {"l2": 3, "lsc": 3, "other": 2, "wait": 0, "flush_id": 70, "signal": 1}),
    0x24005E0000000233: ("FLUSH_CACHE2", {"l2": 3, "lsc": 3, "other": 2, "wait": 0, "flush_id": 94, "signal": 0}),
    0x3000480000000000: ("HEAP_SET", {"addr": 72}),
    0x1900565800000002: ("SET_EXCEPTION_HANDLER", {"type": 2, "addr": 86, "length": 88}),
    0x3100000000000000: ("HEAP_OPERATION", {"operation": 0, "wait": 0, "signal": 0}),
    0x3100000100000000: ("HEAP_OPERATION", {"operation": 1, "wait": 0, "signal": 0}),
    0x3100000300000000: ("HEAP_OPERATION", {"operation": 3, "wait": 0, "signal": 0}),
    0x160000006000FFFF: ("BRANCH", {"cond": 6, "value": 0, "offset": -1}),
    0x3500444610000000: ("SYNC_WAIT64", {"addr": 68, "data": 70, "cond": 1, "reject": 0}),
    0x220000000000000F: ("REQ_RESOURCE", {"compute": 1, "fragment": 1, "tiler": 1, "idvs": 1}),
    0x2200000000000000: ("REQ_RESOURCE", {"compute": 0, "fragment": 0, "tiler": 0, "idvs": 0}),
    0x1700000000000002: ("SET_SB_ENTRY", {"endpoint": 2, "other": 0}),
    0x0900000000000000: ("FINISH_TILING", {"progress": 0}),
    0x0B010A0C00000001: ("FINISH_FRAGMENT", {"first": 10, "last": 12, "signal": 1, "frag_end": 1, "wait": 0}),
    0x20005C5E00000000: ("CALL", {"addr": 92, "length": 94}),
    0x33005C5E00000001: ("SYNC_ADD64", {"addr": 92, "data": 94, "propagate": 1, "scope": 0, "wait": 0, "signal": 0}),
    0x28005C0100000000: ("STORE_STATE", {"addr": 92, "state": 1, "offset": 0, "wait": 0, "signal": 0}),
    0x28005E0000000000: ("STORE_STATE", {"addr": 94, "state": 0, "offset": 0, "wait": 0, "signal": 0}),
    0x2F00000000000000: ("ERROR_BARRIER", {}),
    0: ("NOP", {"ignored": 0}),
}


@pytest.mark.parametrize("word", GOLDEN, ids=lambda word: f"{word:016x}")
def test_golden_words(word: int) -> None:
    mnemonic, values = GOLDEN[word]
    instruction = decode(word)
    assert (instruction.spec.mnemonic, dict(instruction.values)) == (mnemonic, values)
    assert instruction.reserved == 0
    assert encode(mnemonic, **values) == word


def test_every_instruction_has_exactly_one_unit() -> None:
    units = [*SIMPLE, *CONTROL, *DEFERRABLE]
    assert sorted(units) == sorted(spec.mnemonic for spec in V10.table)
    assert sorted(V10.by_opcode) == [
        *range(10),
        11,
        *range(16, 19),
        *range(20, 26),
        *range(32, 35),
        *range(36, 45),
        *range(47, 54),
    ]
    assert len(V10.table) == len(V10.by_opcode) == 39


@pytest.mark.parametrize("spec", V10.table, ids=lambda spec: spec.mnemonic)
def test_fields_do_not_overlap(spec: Spec) -> None:
    covered = 0
    for field in spec.fields:
        assert 0 <= field.low <= field.high < 56
        assert not covered & field.mask, field.name
        covered |= field.mask


def legal(field: Field) -> st.SearchStrategy[int]:
    if field.allowed is not None:
        return st.sampled_from(sorted(field.allowed))
    match field.kind:
        case FieldKind.REG:
            return st.integers(0, 79)  # room for LOAD_MULTIPLE's sixteen
        case FieldKind.PAIR:
            return st.integers(0, 47).map(lambda n: 2 * n)
        case FieldKind.SLOT:
            return st.integers(0, 7)
        case FieldKind.SLOTS:
            return st.integers(0, 255)
        case FieldKind.SIGNED:
            return st.integers(-(1 << (field.width - 1)), (1 << (field.width - 1)) - 1)
        case FieldKind.UNSIGNED:
            return st.integers(0, min(16, (1 << field.width) - 1) if field.name == "count" else (1 << field.width) - 1)


@st.composite
def instructions(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    spec = draw(st.sampled_from(V10.table))
    return spec.mnemonic, {field.name: draw(legal(field)) for field in spec.fields}


@given(instructions())
def test_encode_then_decode(case: tuple[str, dict[str, int]]) -> None:
    mnemonic, values = case
    word = encode(mnemonic, **values)
    instruction = decode(word)
    assert (instruction.spec.mnemonic, dict(instruction.values), instruction.reserved) == (mnemonic, values, 0)
    assert str(instruction).startswith(mnemonic)


@given(
    st.one_of(
        st.integers(0, (1 << 64) - 1),
        st.builds(
            lambda opcode, bits: opcode << 56 | bits,
            st.sampled_from(sorted(V10.by_opcode)),
            st.integers(0, (1 << 56) - 1),
        ),
    )
)
def test_any_word_decodes_or_is_bad(word: int) -> None:
    try:
        instruction = decode(word)
    except BadInstructionError:
        return
    assert encode(instruction.spec.mnemonic, **instruction.values) == word & ~instruction.reserved


@pytest.mark.parametrize(
    ("mnemonic", "values"),
    [
        ("MOVE", {"dst": 1}),  # odd pair
        ("MOVE", {"dst": 96}),
        ("MOVE32", {"dst": 96}),
        ("MOVE32", {"dst": 0, "imm": 1 << 32}),
        ("BRANCH", {"cond": 7}),
        ("BRANCH", {"offset": 1 << 15}),
        ("SYNC_ADD64", {"scope": 1}),
        ("SYNC_WAIT32", {"cond": 2}),
        ("HEAP_OPERATION", {"operation": 2}),
        ("SET_EXCEPTION_HANDLER", {"type": 1}),
        ("SET_SB_ENTRY", {"endpoint": 8}),
        ("WAIT", {"wait": 0x100}),
        ("LOAD_MULTIPLE", {"base": 95, "mask": 3}),
        ("TRACE_POINT", {"base": 95, "count": 2}),
        ("FLUSH_CACHE2", {"l2": 4}),
        ("NOP", {"nonsense": 1}),
    ],
)
def test_values_without_meaning_are_refused(mnemonic: str, values: dict[str, int]) -> None:
    with pytest.raises(BadInstructionError):
        encode(mnemonic, **values)


def test_disassembly_shows_what_is_no_instruction() -> None:
    code = assemble([0x20005C5E00000000, 0xFF00000000000000, 0x0300000100010001, 0x0000000000000000])
    assert list(disassemble(V10, code + b"tail", 0x1000)) == [
        "000000001000: 20005c5e00000000  CALL length=r94, addr=d92",
        "000000001008: ff00000000000000  .quad  ; undefined opcode 255",
        "000000001010: 0300000100010001  WAIT wait=1, progress=1  ; reserved bits 0x1",
        "000000001018: 0000000000000000  NOP",
    ]


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "panthorlab.gpu.cs", *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def test_the_tool_disassembles_words_and_files(tmp_path: Path) -> None:
    file = tmp_path / "code"
    file.write_bytes(assemble([0x1700000000000002]))
    assert "SET_SB_ENTRY endpoint=sb2, other=sb0" in run_tool("disasm", str(file)).stdout
    assert run_tool("disasm", "--va", "0x40", "2F00000000000000", "0").stdout.splitlines() == [
        "000000000040: 2f00000000000000  ERROR_BARRIER",
        "000000000048: 0000000000000000  NOP",
    ]
    missing = run_tool("disasm", str(tmp_path / "absent"))
    assert missing.returncode == 2
    assert "absent: No such file" in missing.stderr
