# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot methods of real boards, one row each.

Derived from this table: `--boot-method` and its help, the methods that board files may name and the sections these
require, the choice of a method (`real/methods/choice.py`), and the table in docs/boot-methods.md, which
`python -m panthorlab.board.methods` prints. The table is read whenever options are parsed, so a method's own module is
imported only when a boot uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AUTO: Final = "auto"
"""In place of a method name: the board file decides."""
HELP: Final = "how the board gets the kernel to run"


@dataclass(frozen=True)
class Method:
    """A boot method. `code`: MODULE:CLASS below `real/methods`, a `BootMethod`.

    For the documentation: `starts_from` (the state it starts from), `image` (how the Image gets to the board),
    `modules` (how modules and workloads get there), `root` (the root file system). `provenance`: one sentence for
    reports, where modules and root file system come from. `sections`: required sections of `boot` in the board file.
    `exchanges`: it replaces modules in a kernel that another method has booted.
    """

    name: str
    code: str
    starts_from: str
    image: str
    modules: str
    root: str
    provenance: str
    sections: tuple[str, ...] = ()
    exchanges: bool = False


_OWN_ROOT: Final = "root file system: the board's own (`boot.root`); modules: of the build, copied over SSH"
_ROWS: Final = (
    Method(
        "uboot-tftp", "uboot_tftp:UBootTftp",
        starts_from="a power cycle", image="TFTP, checked by size and CRC-32 in U-Boot",
        modules="SSH, to `ssh.work_dir`", root="the board's own", provenance=_OWN_ROOT, sections=("uboot", "tftp"),
    ),
    Method(
        "extlinux", "extlinux:ExtlinuxTrial",
        starts_from="the known-good system", image="SSH, to the board's disk; a trial entry that is taken once",
        modules="SSH", root="the board's own", provenance=_OWN_ROOT, sections=("extlinux",),
    ),
    Method(
        "kexec", "kexec:KexecJump",
        starts_from="the known-good system", image="SSH, into its memory", modules="SSH", root="the board's own",
        provenance="the Image goes through SSH into the memory of the known-good kernel; root file system as on the "
                   "command line, modules come over SSH once it runs",
    ),
    Method(
        "module-swap", "module_swap:ModuleSwap",
        starts_from="a kernel under test that differs in panthor.ko alone", image="not at all", modules="SSH",
        root="stays", exchanges=True,
        provenance="the running Image and root file system stay; modules of the kernel under test come over SSH",
    ),
)  # fmt: skip
METHODS: Final[Mapping[str, Method]] = {row.name: row for row in _ROWS}
CHOICES: Final = (AUTO, *METHODS)
"""Values of `--boot-method`."""


def as_markdown() -> str:
    """The table of docs/boot-methods.md."""
    lines = [
        "| method | starts from | Image goes by | modules and workloads | root file system |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| `{row.name}` | {row.starts_from} | {row.image} | {row.modules} | {row.root} |" for row in _ROWS]
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())
