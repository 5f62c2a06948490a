# SPDX-License-Identifier: GPL-2.0-or-later
"""The GNU build-id of vmlinux and of modules, which identifies a booted kernel."""

from __future__ import annotations

from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from panthorlab.errors import BuildError


def build_id(path: Path) -> str:
    """Lower-case hex. Raises BuildError if the file has none (LDFLAGS without --build-id) or is no ELF; OSError."""
    try:
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if isinstance(section, NoteSection):
                    for note in section.iter_notes():
                        if note["n_name"] == "GNU" and note["n_type"] == "NT_GNU_BUILD_ID":
                            return str(note["n_desc"]).lower()
    except ELFError as error:
        raise BuildError(f"{path}: cannot be read as ELF: {error}") from error
    raise BuildError(
        f"{path} has no GNU build-id, so a booted kernel could not prove that it is this one",
        hint="the tree or the linker was told not to make one (--build-id=sha1)",
    )
