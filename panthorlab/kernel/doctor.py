# SPDX-License-Identifier: GPL-2.0-or-later
"""What building kernels needs on this machine, as a list of checks that `panthorlab doctor` prints."""

from __future__ import annotations

import shutil
from pathlib import Path

from panthorlab.arch import DEFAULT
from panthorlab.checks import Check, check
from panthorlab.errors import LabError
from panthorlab.kernel import upkeep
from panthorlab.kernel.build import rust
from panthorlab.kernel.build.toolchain import find_toolchain
from panthorlab.kernel.jail import bubblewrap
from panthorlab.kernel.jail.sandbox import sandbox
from panthorlab.kernel.tools import BUILD_TOOLS, check_host_tools, run

HEADERS = {"/usr/include/openssl/ssl.h": "libssl-dev", "/usr/include/libelf.h": "libelf-dev"}


def _compiler() -> str:
    return find_toolchain(DEFAULT.name).version


def _static_libc() -> str:
    """The programs for the board are static: their C library must be there as an archive."""
    places = (Path("/usr", DEFAULT.triplet, "lib/libc.a"), Path(DEFAULT.libraries, "libc.a"))
    found = [path for path in places if path.exists()]
    if not found:
        raise LabError(f"no static C library for {DEFAULT.name}")
    return str(found[0])


def _host_tools() -> str:
    check_host_tools(BUILD_TOOLS)
    return ", ".join(BUILD_TOOLS)


def _rust() -> str:
    """What would compile a kernel with Rust; whoever wants none lacks nothing."""
    found, refused = rust.installed()
    if found:
        return found.version
    if shutil.which("dpkg") is None:
        return f"{'; '.join(refused)}: kernels with Rust (--driver tyr) cannot be built; {rust.INSTALL}"
    here = rust.find_rust(look=True)
    if here.rustc.exists():
        return f"Debian's, in the cache: {here.version}"
    size = sum(deb.size for deb in rust.pinned_packages()) / 1e6
    return f"Debian's will be downloaded for the first kernel with Rust: {size:.0f} MB"


def _headers() -> str:
    missing = [package for header, package in HEADERS.items() if not Path(header).exists()]
    if missing:
        raise LabError("missing headers", hint=f"apt-get install {' '.join(missing)}")
    return ", ".join(HEADERS.values())


def _jail() -> str:
    sandbox()
    done = run([bubblewrap.PROGRAM, "--version"], timeout=30)
    return done.stdout.decode(errors="replace").strip()


def _sources() -> str:
    missing = [tool for tool in ("git", "tar", "xz") if shutil.which(tool) is None]
    if missing:
        raise LabError(f"not found: {', '.join(missing)}", hint="apt-get install git tar xz-utils")
    if shutil.which("apt-get") is None:
        return "no apt: name a directory, a git tree or kernel.org:VERSION with --base"
    return "Debian's archive by apt, directories, git trees, kernel.org"


def _stored() -> str:
    """Whether the cache has what was put into it."""
    wrong = upkeep.damaged()
    if wrong:
        raise LabError("damaged: " + "; ".join(f"{item.name}: {item.why}" for item in wrong))
    kernels, trees = upkeep.counts()
    return f"kernels: {kernels}, trees: {trees}; all as they were stored"


def checks() -> tuple[Check, ...]:
    return (
        check("cross compiler", _compiler),
        check("static C library", _static_libc, f"apt-get install {DEFAULT.libc_package}"),
        check("build tools", _host_tools),
        check("Rust compiler", _rust),
        check("host headers", _headers),
        check("jail for builds", _jail),
        check("kernel sources", _sources),
        check("stored kernels", _stored, "`panthorlab doctor --repair` removes them; they are built again when needed"),
    )
