# SPDX-License-Identifier: GPL-2.0-or-later
"""The C header of a generation: words that C makes with it are those of the encoder, and the guest has the G610's."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from panthorlab.gpu.cs import codec
from panthorlab.gpu.cs.opcodes import Field, FieldKind, Spec
from panthorlab.gpu.generation import Generation
from panthorlab.gpu.generations.g610 import G610
from panthorlab.gpu.header import render
from tests.unit.gpu.generations import every_generation
from tests.unit.guest.conftest import GUEST

ROUNDS = 20


def test_the_guest_has_the_header_of_the_g610() -> None:
    assert (GUEST / "generation.h").read_text() == render(G610), "panthorlab gpu header > panthorlab/guest/generation.h"


def value_of(field: Field, chance: random.Random) -> int:
    """A legal value; nothing that would reach past the last register."""
    if field.allowed is not None:
        return chance.choice(sorted(field.allowed))
    if field.kind is FieldKind.SIGNED:
        return chance.randrange(-(1 << field.width - 1), 1 << field.width - 1)
    most = {FieldKind.REG: 64, FieldKind.PAIR: 64, FieldKind.SLOT: 8, FieldKind.SLOTS: 256}.get(
        field.kind, 1 << field.width
    )
    value = chance.randrange(min(most, 16) if field.name == "count" else most)
    return value & ~1 if field.kind is FieldKind.PAIR else value


def expression(spec: Spec, values: dict[str, int]) -> str:
    fields = "".join(f" | CS_{spec.mnemonic}_{name.upper()}({value}ll)" for name, value in values.items())
    return f"CS_{spec.mnemonic}{fields}"


@pytest.mark.parametrize("generation", every_generation(), ids=lambda generation: generation.name)
def test_words_are_those_of_the_encoder(
    generation: Generation, compile_guest: Callable[..., Path], tmp_path: Path
) -> None:
    chance, isa = random.Random(generation.name), generation.instructions  # noqa: S311
    cases = [
        (spec, {field.name: value_of(field, chance) for field in spec.fields})
        for spec in isa.table
        for _ in range(ROUNDS)
    ]
    (tmp_path / "made.h").write_text(render(generation))
    words = "".join(f"\t{expression(*case)},\n" for case in cases)
    source = tmp_path / "words.c"
    source.write_text(f"""#include <stdio.h>
#include "{tmp_path}/made.h"
static const uint64_t words[] = {{\n{words}}};
int main(void)
{{
	printf("%u %u %u\\n", CS_REGISTERS, CS_SCOREBOARDS, GPU_HEAP_CONTEXT_STRIDE);
	for (unsigned int i = 0; i < sizeof(words) / sizeof(*words); i++)
		printf("%llx\\n", (unsigned long long)words[i]);
}}
""")
    program = compile_guest(f"words-{generation.name}", [source])
    sizes, *lines = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60).stdout.split("\n")
    assert sizes == f"{isa.registers} {isa.scoreboards} {generation.layout.heap_context_stride}"
    assert [int(line, 16) for line in lines if line] == [
        codec.encode(isa, spec.mnemonic, **values) for spec, values in cases
    ]
