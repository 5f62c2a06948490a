# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m panthorlab.kernel.build.rust_lock`: pin Debian's Rust compiler of today (writes `rust-debs.lock`)."""

from __future__ import annotations

import sys

from panthorlab import debs
from panthorlab.kernel.build import rust

_HEAD = """\
# Debian's rustc {rustc} and bindgen {bindgen} with all they need but the compiler of C, for machines
# whose own are older than a kernel with Rust wants: sha256, size and place below the mirror's root of each package.
# Written by `python -m panthorlab.kernel.build.rust_lock`.
"""


def main() -> int:
    found = rust.resolve(debs.debian_mirror())
    versions = {deb.name.split("_")[0]: deb.name.split("_")[1] for deb in found}
    head = _HEAD.format(rustc=versions["rustc"], bindgen=versions["bindgen"])
    rust.LOCK.write_text(head + debs.format_lock(debs.architecture(), found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
