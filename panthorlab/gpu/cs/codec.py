# SPDX-License-Identifier: GPL-2.0-or-later
"""Decoder, encoder and disassembler of instruction words, all driven by the given instruction set."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from panthorlab.gpu.cs.opcodes import Field, FieldKind, InstructionSet, Spec


class BadInstructionError(ValueError):
    """The word is not an instruction, or a field has an undefined value (CS_FATAL 0x49)."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A decoded word. `values` has every field of `spec`, sign-extended where the field is signed."""

    spec: Spec
    word: int
    values: Mapping[str, int]

    @property
    def reserved(self) -> int:
        """The set bits that no field covers."""
        return self.word & self.spec.reserved

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    def __str__(self) -> str:
        operands = ", ".join(
            _operand(field, self.values[field.name])
            for field in self.spec.fields
            if self.spec.mnemonic != "NOP" or self.word
        )
        extra = f"  ; reserved bits 0x{self.reserved:x}" if self.reserved else ""
        return f"{self.spec.mnemonic} {operands}".rstrip() + extra


def decode(isa: InstructionSet, word: int) -> Instruction:
    """Decode the 64-bit `word`. Raises BadInstructionError."""
    spec = isa.by_opcode.get(word >> 56)
    if spec is None:
        raise BadInstructionError(f"0x{word:016x}: undefined opcode {word >> 56}")
    values = {}
    for field in spec.fields:
        value = (word & field.mask) >> field.low
        if field.kind is FieldKind.SIGNED and value >> (field.width - 1):
            value -= 1 << field.width
        values[field.name] = value
    _check(isa, spec, values)
    return Instruction(spec, word, values)


def encode(isa: InstructionSet, mnemonic: str, **values: int) -> int:
    """Encode an instruction; omitted fields are 0. Raises BadInstructionError, or KeyError for an unknown mnemonic."""
    spec = isa.by_mnemonic[mnemonic]
    word = spec.opcode << 56
    full = {field.name: values.pop(field.name, 0) for field in spec.fields}
    if values:
        raise BadInstructionError(f"{mnemonic} has no field {', '.join(values)}")
    for field in spec.fields:
        value = full[field.name]
        half = 1 << (field.width - 1)
        low, high = (-half, half) if field.kind is FieldKind.SIGNED else (0, 2 * half)
        if not low <= value < high:
            raise BadInstructionError(f"{mnemonic}: {field.name} = {value} does not fit into {field.width} bits")
        word |= (value << field.low) & field.mask
    _check(isa, spec, full)
    return word


def assemble(words: Iterable[int]) -> bytes:
    """The bytes of instruction words as they are in memory."""
    return b"".join(word.to_bytes(8, "little") for word in words)


def disassemble(isa: InstructionSet, code: bytes, va: int = 0) -> Iterator[str]:
    """One line of text per word; `va`: address of the code. A word that is not an instruction is shown as data."""
    for (word,) in struct.iter_unpack("<Q", code[: len(code) & ~7]):
        try:
            text = str(decode(isa, word))
        except BadInstructionError as error:
            text = f".quad  ; {str(error).partition(': ')[2]}"
        yield f"{va:012x}: {word:016x}  {text}"
        va += 8


def _operand(field: Field, value: int) -> str:
    if field.kind in (FieldKind.REG, FieldKind.PAIR, FieldKind.SLOT):
        return f"{field.name}={field.kind.value}{value}"
    if field.kind is FieldKind.SIGNED or value < 10:
        return f"{field.name}={value}"
    return f"{field.name}=0x{value:x}"


def _legal(isa: InstructionSet, field: Field, value: int) -> bool:
    if field.allowed is not None:
        return value in field.allowed
    if field.kind is FieldKind.REG:
        return value < isa.registers
    if field.kind is FieldKind.PAIR:
        return value < isa.registers and value % 2 == 0
    if field.kind is FieldKind.SLOTS:
        return value < 1 << isa.scoreboards
    return field.kind is not FieldKind.SLOT or value < isa.scoreboards


def _check(isa: InstructionSet, spec: Spec, values: Mapping[str, int]) -> None:
    for field in spec.fields:
        if not _legal(isa, field, values[field.name]):
            raise BadInstructionError(f"{spec.mnemonic}: {field.name} = {values[field.name]} has no meaning")
    if spec.mnemonic.endswith("_MULTIPLE") and values["base"] + values["mask"].bit_length() > isa.registers:
        raise BadInstructionError(f"{spec.mnemonic}: mask reaches past the last register")
    if spec.mnemonic == "TRACE_POINT" and values["base"] + values["count"] > isa.registers:
        raise BadInstructionError(f"{spec.mnemonic}: count reaches past the last register")
