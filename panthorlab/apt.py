# SPDX-License-Identifier: GPL-2.0-or-later
"""apt without root and without the system's state: where this machine gets Debian from, and private configurations.

A private apt has its own lists and an empty package status. Of the machine's own it takes the mirrors and how to fetch
(proxies, time-outs), and none of its hooks; nothing of the system is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from panthorlab import spawn
from panthorlab.errors import LabError

KEYRINGS = ("/usr/share/keyrings", "/etc/apt/trusted.gpg.d")
TIMEOUT = 300.0
HINT = "check the network, proxy and apt settings: the machine's own `apt-get update` must work"
_ARCHIVES = {"Debian|Debian": "debian", "Debian|Debian-Security": "debian-security"}  # origin and label


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """stdout of one of apt's programs, with `env` added to the environment. Raises LabError."""
    try:
        done = spawn.run(argv, env={**os.environ, "LC_ALL": "C", **(env or {})}, timeout=TIMEOUT)
    except FileNotFoundError as error:
        raise LabError(f"there is no `{argv[0]}` here: not a Debian?") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(argv[:3])}` took longer than {TIMEOUT:g} s", hint=HINT) from error
    if done.returncode:
        errors = done.stderr.decode("utf-8", "replace").strip()
        raise LabError(f"`{' '.join(argv[:3])}` failed: {errors[-500:]}", hint=HINT)
    return done.stdout.decode("utf-8", "replace")


def mirrors() -> dict[str, str]:
    """Where the machine's own apt gets `debian` and `debian-security` from: URIs without a `/` at the end.

    Raises LabError if it knows no mirror of Debian.
    """
    found: dict[str, str] = {}
    for line in run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]).splitlines():
        archive, _, uri = line.rpartition("|")
        if archive in _ARCHIVES and _ARCHIVES[archive] not in found:
            found[_ARCHIVES[archive]] = _plain(uri).rstrip("/")
    if "debian" not in found:
        raise LabError(
            "this machine's apt knows no mirror of Debian",
            hint="on Debian: run `apt-get update`; else name another --base, and put QEMU on PATH",
        )
    found.setdefault("debian-security", found["debian"] + "-security")  # mirrors have them side by side
    return found


def _plain(uri: str) -> str:
    """The first mirror of a `mirror+file:/LIST` source, as cloud images of Debian have them; else the URI itself."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("mirror"):
        return uri
    listing = parts.path.rstrip("/")
    try:
        return next(
            line.split()[0]
            for line in Path(listing).read_text().splitlines()
            if line.strip() and not line.startswith("#")
        )
    except (OSError, StopIteration) as error:
        raise LabError(f"apt's mirror list {listing} cannot be read", hint=HINT) from error


class PrivateApt:
    """A configuration with all its state in `folder`. `env` makes apt's programs use it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lists = folder, folder / "lists"
        self.env = {"APT_CONFIG": str(folder / "apt.conf")}

    def configure(self, sources: Sequence[str], architecture: str | None = None) -> None:
        """Write it anew. `sources`: lines of a sources.list; `architecture`: other than the machine's own."""
        for part in ("lists/partial", "cache/archives/partial", "keys", "empty"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        (self.folder / "sources.list").write_text("".join(f"{line}\n" for line in sources))
        for source in (path for ring in KEYRINGS for path in sorted(Path(ring).glob("debian-archive-*"))):
            if source.suffix in (".asc", ".gpg"):
                shutil.copyfile(source, self.folder / "keys" / source.name)
        (self.folder / "apt.conf").write_text(self._settings(architecture))

    def _settings(self, architecture: str | None) -> str:
        dump = run(["apt-config", "dump", "--no-empty"])
        empty = self.folder / "empty"
        own = {
            "Dir::State": self.folder,
            "Dir::State::status": self.folder / "status",
            "Dir::State::lists": self.lists,
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": empty,
            "Dir::Etc::main": empty / "none",
            "Dir::Etc::parts": empty,
            "Dir::Etc::preferences": empty / "none",
            "Dir::Etc::preferencesparts": empty,
            "Dir::Etc::trusted": empty / "none",
            "Dir::Etc::trustedparts": self.folder / "keys",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::ForceHash": "SHA256",
        }
        if architecture:
            own |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        fetching = [line for line in dump.splitlines() if line.startswith("Acquire::")]
        return "\n".join([*fetching, *(f'{name} "{value}";' for name, value in own.items())]) + "\n"
