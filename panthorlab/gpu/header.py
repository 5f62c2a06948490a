# SPDX-License-Identifier: GPL-2.0-or-later
"""A C header with the facts of a generation that programs on the board need. The header of the G610 is
`panthorlab/guest/generation.h`.

An instruction is written `CS_NAME | CS_NAME_FIELD(value) | …`.
"""

from __future__ import annotations

from collections.abc import Iterator

from panthorlab.gpu.cs.opcodes import Spec
from panthorlab.gpu.generation import Generation

_GUARD = "PANTHORLAB_GUEST_GENERATION_H"


def render(generation: Generation) -> str:
    """The text of the header."""
    isa = generation.instructions
    lines = [
        "/* SPDX-License-Identifier: GPL-2.0-or-later */",
        "/*",
        f" * {generation.title}, for programs on the board. Made by `panthorlab gpu header --model {generation.name}`;",
        " * a change belongs into panthorlab/gpu/generations.",
        " */",
        f"#ifndef {_GUARD}",
        f"#define {_GUARD}",
        "",
        "#include <stdint.h>",
        "",
        f"#define GPU_HEAP_CONTEXT_STRIDE\t{generation.layout.heap_context_stride}u",
        "",
        f"#define CS_REGISTERS\t{isa.registers}u",
        f"#define CS_SCOREBOARDS\t{isa.scoreboards}u",
        "",
        "#define CS_OP(op)\t((uint64_t)(op) << 56)",
        "#define CS_FIELD(value, high, low) \\",
        "\t(((uint64_t)(value) & (~0ull >> (63 - (high) + (low)))) << (low))",
    ]
    for spec in isa.table:
        lines += ["", *_instruction(spec)]
    return "\n".join([*lines, "", "#endif"]) + "\n"


def _instruction(spec: Spec) -> Iterator[str]:
    yield f"#define CS_{spec.mnemonic}\tCS_OP(0x{spec.opcode:02x})"
    for field in spec.fields:
        yield f"#define CS_{spec.mnemonic}_{field.name.upper()}(value)\tCS_FIELD(value, {field.high}, {field.low})"
