# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m panthorlab.board.emulated.qemu_lock`: pin the QEMU that the archive has today, in `qemu-debs.lock`."""

from __future__ import annotations

import sys

from panthorlab import debs
from panthorlab.board.emulated import qemu

_HEAD = """\
# Debian's {package} {version} with all it needs, for machines whose own QEMU is older than {minimum}:
# sha256, size and place below the mirror's root of each package.
# Written by `python -m panthorlab.board.emulated.qemu_lock`.
"""


def main() -> int:
    found = qemu.resolve(debs.debian_mirror())
    version = next(deb.name.split("_")[1] for deb in found if deb.name.startswith(f"{qemu.PACKAGE}_"))
    head = _HEAD.format(package=qemu.PACKAGE, version=version, minimum=".".join(map(str, qemu.MINIMUM)))
    qemu.LOCK.write_text(head + debs.format_lock(debs.architecture(), found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
