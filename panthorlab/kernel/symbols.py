# SPDX-License-Identifier: GPL-2.0-or-later
"""Functions in the symbol table of an arm64 vmlinux, with their source file and the places at which they are left."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from panthorlab.errors import LabError

COLD: Final = ".cold"
"""In the name of a part of a function that the compiler has moved away, and that is jumped to."""
_RETURNS: Final = frozenset({0xD65F0BFF, 0xD65F0FFF})  # RETAA, RETAB
_WORD: Final = struct.Struct("<I")


@dataclass(frozen=True)
class FunctionSymbol:
    """`file`: name of its source without directory; empty for a global function. `code`: its instructions."""

    address: int
    name: str
    file: str
    code: bytes

    @property
    def cold(self) -> bool:
        return COLD in self.name


def functions(vmlinux: Path, wanted: Callable[[str, str], bool]) -> Iterator[FunctionSymbol]:
    """The functions whose name and file are `wanted`. Raises LabError if it has no symbols; OSError."""
    try:
        with vmlinux.open("rb") as stream:
            elf = ELFFile(stream)
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                raise LabError(f"{vmlinux} has no symbol table", hint="build the kernel again")
            file = ""
            for symbol in table.iter_symbols():
                kind, bind = symbol["st_info"]["type"], symbol["st_info"]["bind"]
                own = file if bind == "STB_LOCAL" else ""
                if kind == "STT_FILE":  # the local symbols that follow are of this file
                    file = symbol.name
                elif kind == "STT_FUNC" and wanted(symbol.name, own):
                    section = elf.get_section(symbol["st_shndx"])
                    stream.seek(section["sh_offset"] + symbol["st_value"] - section["sh_addr"])
                    yield FunctionSymbol(symbol["st_value"], symbol.name, own, stream.read(symbol["st_size"]))
    except (ELFError, KeyError, TypeError) as error:
        raise LabError(f"{vmlinux} cannot be read: {error}", hint="build the kernel again") from error


def exits(function: FunctionSymbol, parts: Iterable[FunctionSymbol]) -> Iterator[int]:
    """Addresses of the instructions that leave a function for good: returns, and jumps to other functions. `parts`: all
    cold parts, which belong to some function. Arm ARM, C6.2: RET, RETAA, RETAB, B."""
    own = range(function.address, function.address + len(function.code))
    near = [range(part.address, part.address + len(part.code)) for part in parts]
    for at, (word,) in enumerate(_WORD.iter_unpack(function.code[: len(function.code) // 4 * 4])):
        address = function.address + 4 * at
        if word & 0xFFFFFC1F == 0xD65F0000 or word in _RETURNS:
            yield address
        elif word >> 26 == 0b000101:
            offset = word & 0x3FFFFFF
            target = address + 4 * (offset - (1 << 26) * (offset >> 25))
            if not function.cold and target not in own and not any(target in part for part in near):
                yield address
