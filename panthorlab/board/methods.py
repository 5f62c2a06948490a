# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways to get a kernel to run on a real board, one row each.

From this table derive `--boot-method` and its help, what board files may name and must have for it, how a boot chooses
(`real/methods/choice.py`), and the table in docs/boot-methods.md, which `python -m panthorlab.board.methods` prints. It
is read whenever options are parsed, so a method's own module is imported only when a boot takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AUTO: Final = "auto"
"""Instead of a method: the board's file decides."""
HELP: Final = "how the board gets the kernel to run"


@dataclass(frozen=True)
class Method:
    """A way to boot. `code`: MODULE:CLASS below `real/methods`, a `BootMethod`.

    `starts_from`, `image`, `modules`, `root`: for the documentation, what it starts from, how the Image gets to the
    board, how modules and workloads do, and which root file system there is. `provenance`: one sentence for reports,
    where modules and the root file system come from. `sections`: of `boot` in the board's file, without which it cannot
    be. `exchanges`: it exchanges modules in a kernel that another method has booted.
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
"""What `--boot-method` takes."""


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
