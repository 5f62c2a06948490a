# SPDX-License-Identifier: GPL-2.0-or-later
"""The `power:` section of a board file. `driver` decides which switch it is. Secrets are named, never written."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from panthorlab.board.fields import Host, Port, Seconds, Section, VariableName, Word

Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=1000)]
Argv = Annotated[list[str], Field(min_length=1, max_length=50)]


class _Switch(Section):
    """What all switches have."""

    off_time: Seconds = Field(5, description="seconds the board stays off at least: RAM and regulators drain")
    settle: Seconds = Field(1, description="seconds after switching until the switch is asked for its state")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(3, description="further tries of a request that failed")
    timeout: Seconds = Field(10, description="seconds a single request may take")


class HttpSwitch(_Switch):
    """Any switch with an HTTP interface."""

    driver: Literal["http"]
    on_url: Url = Field(description="requested to switch on")
    off_url: Url = Field(description="requested to switch off")
    method: Literal["GET", "POST", "PUT"] = Field("GET", description="HTTP method of both")
    state_url: Url | None = Field(None, description="GET tells the state; without it the state cannot be read back")
    state_on: str | None = Field(None, description="regular expression: the answer of state_url when power is on")
    user: str | None = Field(None, description="HTTP basic authentication: user")
    password_env: VariableName | None = Field(None, description="environment variable with the password")
    token_env: VariableName | None = Field(None, description="environment variable with a bearer token")


class TasmotaSwitch(_Switch):
    """A plug with Tasmota firmware (https://tasmota.github.io/docs/Commands/)."""

    driver: Literal["tasmota"]
    host: Host
    port: Port = 80
    relay: Annotated[int, Field(ge=1, le=32)] = 1
    user: str = "admin"
    password_env: VariableName | None = None


class PdudaemonSwitch(_Switch):
    """A port of a PDU behind pdudaemon's HTTP listener, which cannot tell the state."""

    driver: Literal["pdudaemon"]
    host: Host = "localhost"
    port: Port = 16421
    pdu: Word = Field(description="`hostname` of the PDU in pdudaemon.conf")
    pdu_port: Annotated[int, Field(ge=0, le=999)] = Field(description="outlet of that PDU")


class ShellySwitch(_Switch):
    """A Shelly relay, generation 2 or newer (RPC `Switch.Set`). Unverified: written from its documentation."""

    driver: Literal["shelly"]
    host: Host
    port: Port = 80
    relay: Annotated[int, Field(ge=0, le=15)] = 0
    password_env: VariableName | None = None


class HomeAssistantSwitch(_Switch):
    """A switch entity of Home Assistant (REST API). Unverified: written from its documentation."""

    driver: Literal["home-assistant"]
    url: Url
    entity: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
    token_env: VariableName


class CommandSwitch(_Switch):
    """Programs of the lab: argument lists, no shell. Status 0 is success; `state` prints `on` or `off`."""

    driver: Literal["command"]
    on: Argv
    off: Argv
    state: Argv | None = None


class ManualSwitch(_Switch):
    """A person, who is asked on the terminal."""

    driver: Literal["manual"]


PowerSection: TypeAlias = Annotated[
    HttpSwitch | TasmotaSwitch | PdudaemonSwitch | ShellySwitch | HomeAssistantSwitch | CommandSwitch | ManualSwitch,
    Field(discriminator="driver"),
]
