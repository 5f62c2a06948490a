# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's lines and functions in the DWARF of a vmlinux (versions 4 and 5, as GCC and Clang write them)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

from panthorlab.coverage.files import Wanted, whole
from panthorlab.coverage.model import DRIVER, Function, LineRow, SourceMap
from panthorlab.errors import LabError, UsageError

HINT: Final = "`validate --coverage` builds such kernels, `build --config coverage` one"
_LEAST_ADDRESS: Final = 0x1000  # discarded sections have lower addresses
_NESTED: Final = ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine", "DW_TAG_subprogram")


def read_vmlinux(path: Path, build_id: str, driver: str = DRIVER, others: Collection[str] = ()) -> SourceMap:
    """The lines of the driver's directory, and of `others`: files by their path in the tree.

    Raises UsageError if it has no debug information of the driver, LabError if that is damaged; OSError.
    """
    wanted = Wanted(driver, frozenset(others))
    rows: list[LineRow] = []
    text: list[tuple[int, int]] = []
    functions: dict[tuple[str, int, str], set[int]] = {}
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            dwarf = elf.get_dwarf_info() if elf.get_section_by_name(".debug_info") else None
            for cu in dwarf.iter_CUs() if dwarf else ():
                if wanted.name(_path(cu.get_top_DIE())) is None:
                    continue
                unit = _Unit(dwarf, cu, wanted)
                rows += unit.rows()
                text += unit.sequences
                for key, entry in unit.functions():
                    functions.setdefault(key, set()).add(entry)
    except (ELFError, DWARFError) as error:
        raise LabError(f"{path}: its debug information cannot be read: {error}") from error
    if not any(row.file.startswith(driver) for row in rows):
        raise UsageError(f"{path} has no debug information of {driver}", hint=HINT)
    return SourceMap(
        build_id,
        merged(text),
        tuple(sorted(rows, key=lambda row: (row.start, row.end))),
        tuple(
            Function(name, file, line, tuple(sorted(entries)))
            for (file, line, name), entries in sorted(functions.items())
        ),
    )


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same addresses in ascending ranges that do not touch."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        elif start < end:
            found.append((start, end))
    return tuple(found)


def _path(die: Any) -> str:
    """The source file of a unit."""
    return whole(_text(die, "DW_AT_comp_dir"), _text(die, "DW_AT_name"))


def _text(die: Any, name: str) -> str:
    return die.attributes[name].value.decode("utf-8", "replace") if name in die.attributes else ""


class _Unit:
    """One compilation unit. `sequences`: address ranges of its code, known once `rows` was called."""

    def __init__(self, dwarf: Any, cu: Any, wanted: Wanted) -> None:
        self._dwarf, self._cu, self._top = dwarf, cu, cu.get_top_DIE()
        self.sequences: list[tuple[int, int]] = []
        self._program = dwarf.line_program_for_CU(cu)
        self._files = [wanted.name(path) for path in self._paths()]
        self._names: dict[int, tuple[str, int, str] | None] = {}

    def _paths(self) -> Iterator[str]:
        header = self._program.header
        directories = [name.decode("utf-8", "replace") for name in header["include_directory"]]
        build = _text(self._top, "DW_AT_comp_dir")
        if header["version"] < 5:  # there, the first of each is not written down
            directories.insert(0, build)
            yield _path(self._top)
        for entry in header["file_entry"]:
            name = entry.name.decode("utf-8", "replace")
            yield whole(build, directories[entry.dir_index], name)

    def _file(self, number: int) -> str | None:
        return self._files[number] if number < len(self._files) else None

    def rows(self) -> list[LineRow]:
        """The rows of the wanted files; rows of others (headers of the kernel) are left out."""
        found = []
        previous, start = None, 0
        for entry in self._program.get_entries():
            state = entry.state
            if state is None:
                continue
            if previous is None:
                start = state.address
            elif previous.address >= _LEAST_ADDRESS and previous.line:
                row = self._row(previous, state.address)
                found += [row] if row and (row.statement or row.start < row.end) else []
            previous = state
            if state.end_sequence:
                if start >= _LEAST_ADDRESS:
                    self.sequences.append((start, state.address))
                previous = None
        return found

    def _row(self, state: Any, end: int) -> LineRow | None:
        file = self._file(state.file)
        return LineRow(state.address, end, file, state.line, bool(state.is_stmt)) if file is not None else None

    def functions(self) -> Iterator[tuple[tuple[str, int, str], int]]:
        """(file, line, name) and start address of each function with code in these files, and of each inlined copy."""
        pending = [die for die in self._top.iter_children() if die.tag == "DW_TAG_subprogram"]
        while pending:
            die = pending.pop()
            pending += [child for child in die.iter_children() if child.tag in _NESTED]
            if die.tag == "DW_TAG_lexical_block":
                continue
            entry = self._entry(die)
            if entry is not None and entry >= _LEAST_ADDRESS and (name := self._name(die)) is not None:
                yield name, entry

    def _entry(self, die: Any) -> int | None:
        """Where a function, or its copy, is entered; None if it has no code of its own."""
        attributes = die.attributes
        low = attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in attributes else self._lowest(die)
        entry = attributes.get("DW_AT_entry_pc")
        if entry is None or low is None:
            return None if low is None else int(low)
        return int(entry.value if entry.form in ("DW_FORM_addr", "DW_FORM_addrx") else low + entry.value)

    def _lowest(self, die: Any) -> int | None:
        if "DW_AT_ranges" not in die.attributes:
            return None
        base = self._top.attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in self._top.attributes else 0
        found = []
        lists = self._dwarf.range_lists()
        for entry in lists.get_range_list_at_offset(die.attributes["DW_AT_ranges"].value, cu=self._cu):
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            elif entry.begin_offset < entry.end_offset:
                found.append(entry.begin_offset + (0 if entry.is_absolute else base))
        return found[0] if found else None  # the first is where it is entered, the coldest part comes last

    def _name(self, die: Any) -> tuple[str, int, str] | None:
        """File, line and name of a DIE's function; None for a function of another file."""
        if die.offset not in self._names:
            attributes = die.attributes
            if "DW_AT_name" in attributes and "DW_AT_decl_file" in attributes:
                file = self._file(attributes["DW_AT_decl_file"].value)
                line = attributes["DW_AT_decl_line"].value
                self._names[die.offset] = (file, line, _text(die, "DW_AT_name")) if file is not None else None
            else:
                origin = next(
                    (name for name in ("DW_AT_abstract_origin", "DW_AT_specification") if name in attributes), None
                )
                self._names[die.offset] = self._name(die.get_DIE_from_attribute(origin)) if origin else None
        return self._names[die.offset]
