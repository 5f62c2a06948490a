# SPDX-License-Identifier: GPL-2.0-or-later
"""Which boot method a boot takes: the one asked for, or the quickest that is provably enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from panthorlab.board.real.file import AUTO
from panthorlab.board.real.methods.extlinux import ExtlinuxTrial
from panthorlab.board.real.methods.kexec import Kexec
from panthorlab.board.real.methods.module_swap import ModuleSwap
from panthorlab.board.real.methods.uboot_tftp import UBootTftp
from panthorlab.board.real.parts import Booting, BootMethod, Rig
from panthorlab.errors import UsageError

SWAP: Final = ModuleSwap.name
METHODS: Final[Mapping[str, Callable[[], BootMethod]]] = {
    UBootTftp.name: UBootTftp, ExtlinuxTrial.name: ExtlinuxTrial, Kexec.name: Kexec, SWAP: ModuleSwap,
}


@dataclass(frozen=True)
class Chosen:
    """`method`, and why not a quicker one (`note`, empty if there is nothing to tell)."""

    method: BootMethod
    note: str = ""


def choose(rig: Rig, booting: Booting, *, method: str) -> Chosen:
    """The method for this boot; `method` is `auto` or one of the board's. Raises UsageError if none will do.

    A module swap needs a kernel that runs already, so a fresh boot takes the first other method; so does a kernel to
    which more has changed than the module, and one that the module swap refuses for what it finds on the board.
    """
    offered = [name for name in rig.file.boot.methods if name != SWAP]
    names = offered if method in (AUTO, SWAP) else [method]
    note = ""
    if not booting.fresh and SWAP in rig.file.boot.methods and method in (AUTO, SWAP):
        swap = METHODS[SWAP]()
        why_not = swap.refuse(rig, booting)
        if why_not is None:
            return Chosen(swap)
        note = f"no module swap: {why_not}"
    refusals = []
    for name in names:
        candidate = METHODS[name]()
        why_not = candidate.refuse(rig, booting)
        if why_not is None:
            return Chosen(candidate, note)
        refusals.append(f"{name}: {why_not}")
    raise UsageError(f"board {rig.name} cannot boot this kernel. {'; '.join(refusals)}")
