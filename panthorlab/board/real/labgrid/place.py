# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsing `labgrid-client show`, and translating a place's resources to board file sections. Pure functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from panthorlab.board.power.file import CommandSwitch, HttpSwitch, PdudaemonSwitch, PowerSection, ShellySwitch
from panthorlab.board.real.file import ConsoleSection, RealFile, Ssh, TcpConsole, TelnetConsole
from panthorlab.errors import LabError

CONSOLES: Final = frozenset({"NetworkSerialPort"})  # what exporters make of USBSerialPort and RawSerialPort, too
SERVICES: Final = frozenset({"NetworkService"})
SWITCHES: Final = frozenset({
    "NetworkPowerPort", "PDUDaemonPort", "TasmotaPowerPort", "NetworkUSBPowerPort", "NetworkSiSPMPowerPort",
    "NetworkYKUSHPowerPort", "YKUSHPowerPort", "NetworkSysfsGPIO",
})  # fmt: skip
PDUDAEMON_PORT: Final = 16421

_PLACE = re.compile(r"^Place '(.*)':$")
_ALIASES = re.compile(r"^  aliases: (.*)$")
_ACQUIRED = re.compile(r"^  acquired: (.*)$")
_RESERVED = re.compile(r"^  reservation: (.*)$")
_RESOURCE = re.compile(r"^(?:Matching|Acquired) resource '(.*)' \((.*)\):$")
_ORPHAN = re.compile(r"^Orphaned resource '.*' \((.*)\)$")
# The last word of "power for place NAME is on". The script is constant; what it runs comes as arguments.
_LAST_WORD = 'said=$("$@") && echo "${said##* }"'


@dataclass(frozen=True)
class Resource:
    """One resource. `path`: EXPORTER/GROUP/CLASS/NAME. `name`: its name in the place. `available`: as reported by its
    exporter. `proxy`: the only host through which it can be reached, if any."""

    name: str
    path: str
    cls: str
    available: bool
    params: Mapping[str, Any]
    proxy: str | None

    def __str__(self) -> str:
        return f"{self.cls} `{self.name}` ({self.path})"


@dataclass(frozen=True)
class Place:
    """A place. `holder`: HOST/USER who has acquired it. `orphans`: acquired resources whose exporter has gone."""

    name: str
    aliases: frozenset[str]
    holder: str | None
    reservation: str | None
    resources: tuple[Resource, ...]
    orphans: tuple[str, ...]


@dataclass(frozen=True)
class PlaceSsh:
    """Address of the SSH server; the board file has the credentials."""

    host: str
    port: int
    user: str


@dataclass(frozen=True)
class PlaceResources:
    """Resources of a place as sections of a board file; None: not in the place, the board file's own section counts."""

    place: str
    console: ConsoleSection | None
    power: PowerSection | None
    ssh: PlaceSsh | None

    def onto(self, file: RealFile) -> RealFile:
        """The board file with the place's sections instead of its own. Raises LabError if one is in neither."""
        ssh = file.ssh
        if self.ssh is not None:
            known = {} if ssh is None else ssh.model_dump()
            ssh = Ssh.model_validate({**known, "host": self.ssh.host, "port": self.ssh.port, "user": self.ssh.user})
        sections = {"console": self.console or file.console, "power": self.power or file.power, "ssh": ssh}
        missing = [name for name, section in sections.items() if section is None]
        if missing:
            raise LabError(
                f"labgrid place {self.place} has no resource for: {', '.join(missing)}",
                hint="add a match to the place (`labgrid-client add-match`), or the section to the board file",
            )
        return file.model_copy(update=sections)


def parse_show(text: str) -> Place:
    """The output of `labgrid-client -p PLACE show`. Raises ValueError if it is something else."""
    name, holder, reservation, aliases = None, None, None, frozenset[str]()
    resources: list[Resource] = []
    orphans: list[str] = []
    heading: tuple[str, str] | None = None
    body: list[str] = []

    def finish() -> None:
        if heading is not None:
            resources.append(_resource(*heading, "\n".join(body)))

    for line in text.splitlines():
        if heading is not None and line.startswith("  "):
            body.append(line)
            continue
        finish()
        heading, body = None, []
        if found := _RESOURCE.match(line):
            heading = (found[1], found[2])
        elif found := _ORPHAN.match(line):
            orphans.append(found[1])
        elif found := _PLACE.match(line):
            name = found[1]
        elif found := _ALIASES.match(line):
            aliases = frozenset(found[1].split(", "))
        elif found := _ACQUIRED.match(line):
            holder = None if found[1] == "None" else found[1]
        elif found := _RESERVED.match(line):
            reservation = found[1]
    finish()
    if name is None:
        raise ValueError("it names no place")
    return Place(name, aliases, holder, reservation, tuple(resources), tuple(orphans))


def _resource(name: str, path: str, body: str) -> Resource:
    """From a heading and the Python literal under it. Raises ValueError."""
    try:
        data = ast.literal_eval(body.strip())
        params = dict(data["params"])
        extra = params.pop("extra", None) or {}
        return Resource(
            name,
            path,
            str(data["cls"]),
            bool(data["avail"]),
            params,
            str(extra.get("proxy")) if extra.get("proxy_required") else None,
        )
    except (SyntaxError, ValueError, TypeError, KeyError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(f"resource {path} is unreadable: {error}") from error


def translate(place: Place, control: Sequence[str]) -> PlaceResources:
    """The place's resources as sections. `control`: argv of a `labgrid-client` that may use the place, without command.

    Raises LabError for resources that are gone, ambiguous, unreachable, or invalid.
    """
    if place.orphans:
        raise LabError(
            f"labgrid place {place.name}: the exporter of {', '.join(place.orphans)} has gone",
            hint="start the exporter again; `labgrid-client resources` lists what is exported",
        )
    console = _pick(place, CONSOLES, "console")
    service = _pick(place, SERVICES, "ssh")
    # A GPIO may be a reset line or a boot-mode pin: it is power only without another switch, or if named `power`.
    switch = _pick(place, SWITCHES - {"NetworkSysfsGPIO"}, "power") or _pick(place, {"NetworkSysfsGPIO"}, "power")
    return PlaceResources(
        place.name,
        None if console is None else _console(place, console),
        None if switch is None else _power(switch, control),
        None if service is None else _ssh(place, service),
    )


def _pick(place: Place, classes: Iterable[str], role: str) -> Resource | None:
    """The only resource of these classes, or the one named `role` if there are several."""
    found = [resource for resource in place.resources if resource.cls in classes]
    if len(found) > 1:
        named = [resource for resource in found if resource.name == role]
        if len(named) != 1:
            raise LabError(
                f"labgrid place {place.name} has {len(found)} resources that could be its {role}: "
                f"{'; '.join(map(str, found))}",
                hint=f"name the right one: labgrid-client -p {place.name} add-named-match {found[0].path} {role}",
            )
        found = named
    if not found:
        return None
    if not found[0].available:
        raise LabError(
            f"labgrid place {place.name}: {found[0]} is not available, its exporter says",
            hint="unplugged? a device that does not answer? the exporter's log says more",
        )
    return found[0]


def _direct(place: Place, resource: Resource) -> Resource:
    """The resource, if this machine can reach it. Raises LabError."""
    if resource.proxy is not None:
        raise LabError(
            f"labgrid place {place.name}: {resource} can be reached only through an SSH proxy on {resource.proxy}, "
            "which panthorlab cannot use",
            hint=f"run panthorlab on {resource.proxy}, or export the resource without `isolated`",
        )
    return resource


def _senseless(place: Place, resource: Resource, error: ValueError | KeyError) -> LabError:
    text = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
    return LabError(
        f"labgrid place {place.name}: {resource} has parameters that make no sense: {text}",
        hint="mend the exporter's configuration",
    )


def _console(place: Place, resource: Resource) -> ConsoleSection:
    params = _direct(place, resource).params
    try:
        where = {"host": params["host"], "port": params["port"]}
        if params.get("protocol", "rfc2217") == "raw":
            return TcpConsole.model_validate({"transport": "tcp", **where})
        speed = params.get("speed", 115200)
        return TelnetConsole.model_validate({"transport": "telnet", "rfc2217": True, "speed": speed, **where})
    except (ValueError, KeyError) as error:
        raise _senseless(place, resource, error) from error


def _ssh(place: Place, resource: Resource) -> PlaceSsh:
    params = _direct(place, resource).params
    try:
        ssh = Ssh.model_validate({
            "host": params["address"], "port": params.get("port", 22), "user": params["username"],
        })  # fmt: skip
    except (ValueError, KeyError) as error:
        raise _senseless(place, resource, error) from error
    return PlaceSsh(ssh.host, ssh.port, ssh.user)


def _power(resource: Resource, control: Sequence[str]) -> PowerSection:
    """Our own driver if there is one for the resource; else labgrid's, through its client program."""
    if resource.proxy is None:
        try:
            own = _own_switch(resource)
        except (ValueError, KeyError, TypeError):
            own = None  # e.g. a password in the URL: labgrid understands its own parameters
        if own is not None:
            return own
    power = [*control, "power", "--name", resource.name]
    state = None if resource.cls == "PDUDaemonPort" else ["sh", "-c", _LAST_WORD, "sh", *power, "get"]
    return CommandSwitch.model_validate({
        "driver": "command", "on": [*power, "on"], "off": [*power, "off"], "state": state, "timeout": 60,
    })  # fmt: skip


def _own_switch(resource: Resource) -> PowerSection | None:
    params = resource.params
    if resource.cls == "PDUDaemonPort":
        where = urlsplit(params["host"] if "//" in params["host"] else f"//{params['host']}")
        return PdudaemonSwitch.model_validate({
            "driver": "pdudaemon", "host": where.hostname, "port": where.port or PDUDAEMON_PORT,
            "pdu": params["pdu"], "pdu_port": int(params["index"]),
        })  # fmt: skip
    if resource.cls != "NetworkPowerPort":
        return None
    host, index = params["host"], str(int(params["index"]))
    if params["model"] == "simplerest":
        on, off, state = (host.replace("{index}", index).replace("{value}", value) for value in ("1", "0", ""))
        if "{" in on or "}" in on or on == off:
            return None
        return HttpSwitch.model_validate({
            "driver": "http", "on_url": on, "off_url": off, "state_url": state.rstrip("/"), "state_on": "^1$",
        })  # fmt: skip
    where = urlsplit(host)
    if params["model"] == "shelly_gen2" and where.scheme == "http" and where.path in ("", "/"):
        return ShellySwitch.model_validate({
            "driver": "shelly", "host": where.hostname, "port": where.port or 80, "relay": int(index),
        })  # fmt: skip
    return None
