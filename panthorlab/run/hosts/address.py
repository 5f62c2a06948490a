# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the scheduler is, and whether the way to it can be trusted: whoever reaches it can run code on its workers."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from panthorlab.errors import UsageError

INSTALL: Final = "pip install 'panthorlab[hosts]', here and on every host"
EXAMPLE: Final = "tls://scheduler.example:8786"
LEASE: Final = 180.0
TLS_FILES: Final = {"ca": "tls_ca_file", "cert": "tls_client_cert", "key": "tls_client_key"}
"""`--hosts-tls-…`, and what distributed's `Security` calls it."""
_ADDRESS: Final = re.compile(r"(?P<scheme>[a-z+]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]/:@\s]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class SchedulerAccess:
    """A scheduler and the files that open it. `tls`: by distributed's names; those that are not there are taken from
    distributed's own configuration. `lease`: seconds after which its workers end the boots of a controller that they do
    not hear of."""

    address: str
    lease: float
    tls: Mapping[str, str] = field(default_factory=dict)

    @property
    def encrypted(self) -> bool:
        return self.address.startswith("tls://")


def access_of(options: argparse.Namespace) -> SchedulerAccess | None:
    """What `--hosts` and its companions say; None without it. Raises UsageError."""
    tls = {name: getattr(options, f"hosts_tls_{word}") for word, name in TLS_FILES.items()}
    given = {name: _file(path) for name, path in tls.items() if path is not None}
    if options.hosts is None:
        if given or options.hosts_insecure or options.hosts_lease:
            raise UsageError("--hosts-… says how to reach --hosts, which is not given", hint=f"--hosts {EXAMPLE}")
        return None
    address = _whole(options.hosts, encrypted=bool(given))
    _check(address, given, insecure=options.hosts_insecure)
    return SchedulerAccess(address, options.hosts_lease or LEASE, given)


def _whole(text: str, *, encrypted: bool) -> str:
    """The address with its scheme, which follows from the TLS files if it is left out."""
    address = text if "://" in text else f"{'tls' if encrypted else 'tcp'}://{text}"
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        raise UsageError(
            f"--hosts {text}: this is no address of a scheduler", hint=f"as `dask scheduler` says it: {EXAMPLE}"
        )
    if found["scheme"] not in ("tcp", "tls"):
        raise UsageError(f"--hosts {text}: only tls:// and tcp:// can be used", hint=f"for instance {EXAMPLE}")
    return address


def _check(address: str, tls: Mapping[str, str], *, insecure: bool) -> None:
    found = _ADDRESS.fullmatch(address)
    assert found is not None  # noqa: S101 - `_whole` made it
    if found["scheme"] == "tls":
        return
    if tls:
        raise UsageError(f"--hosts {address} is not encrypted: the TLS files would not be used", hint="write tls://…")
    if not (insecure or _is_loopback(found["host"])):
        raise UsageError(
            f"--hosts {address}: whoever reaches this scheduler, or reads along, can run code on its workers",
            hint="use TLS (docs/hosts.md), or --hosts-insecure if nobody else is in that network",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _file(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", hint="docs/hosts.md says how certificates are made")
    return str(path.resolve())
