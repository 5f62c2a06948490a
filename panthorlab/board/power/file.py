# SPDX-License-Identifier: GPL-2.0-or-later
"""The `power:` section of a board file. `driver` selects the kind of switch. Secrets are named, never written."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import unquote

from pydantic import AfterValidator, Field, model_validator

from panthorlab.board.fields import Host, Port, Section, TimeLimit, VariableName, Word


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=1000)]
Expression = Annotated[str, AfterValidator(_expression), Field(min_length=1, max_length=200)]
Argv = Annotated[list[str], Field(min_length=1, max_length=50)]


class _Switch(Section):
    """The fields of all switches."""

    off_time: TimeLimit = Field(
        5,
        description="seconds the board stays off at least: RAM and regulators drain. A switch that cannot tell its "
        "state may do it late: add how late",
    )
    settle: TimeLimit = Field(
        10, description="seconds within which a switch that tells its state must have done what it was told"
    )
    retries: Annotated[int, Field(ge=0, le=10)] = Field(3, description="further tries of a request that failed")
    timeout: TimeLimit = Field(10, description="seconds a single request may take")


class HttpSwitch(_Switch):
    """Any switch with an HTTP interface. `{user}` and `{password}` in its URLs are replaced by their values."""

    driver: Literal["http"]
    on_url: Url = Field(description="requested to switch on")
    off_url: Url = Field(description="requested to switch off")
    method: Literal["GET", "POST", "PUT"] = Field("GET", description="HTTP method of both")
    state_url: Url | None = Field(None, description="GET tells the state; without it the state cannot be read back")
    state_on: Expression | None = Field(
        None, description="regular expression found in the answer of state_url when power is on"
    )
    state_off: Expression | None = Field(
        None, description="the same for off; without it every answer that state_on is not found in means off"
    )
    user: str | None = Field(None, description="HTTP basic authentication: user")
    password_env: VariableName | None = Field(None, description="environment variable with the password")
    token_env: VariableName | None = Field(None, description="environment variable with a bearer token")

    @property
    def password_in_url(self) -> bool:
        return any("{password}" in url for url in (self.on_url, self.off_url, self.state_url or ""))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.on_url == self.off_url or any("toggle" in unquote(url).lower() for url in (self.on_url, self.off_url)):
            raise ValueError(
                "a toggle cannot be used: after a lost answer nobody knows what the next request does; "
                "give URLs that say on and off"
            )
        if (self.state_url is None) != (self.state_on is None):
            raise ValueError("`state_url` and `state_on` need each other")
        if self.state_off is not None and self.state_on is None:
            raise ValueError("`state_off` needs `state_url` and `state_on`")
        if self.password_in_url and self.password_env is None:
            raise ValueError("`{password}` in a URL needs `password_env`")
        if self.password_env and not self.password_in_url and self.user is None:
            raise ValueError("`password_env` needs `user`, or `{password}` in the URLs")
        if self.password_env and self.token_env and not self.password_in_url:
            raise ValueError("`password_env` and `token_env` exclude each other")
        return self


class TasmotaSwitch(_Switch):
    """A plug with Tasmota firmware (https://tasmota.github.io/docs/Commands/)."""

    driver: Literal["tasmota"]
    host: Host
    port: Port = 80
    relay: Annotated[int, Field(ge=1, le=32)] = 1
    user: str = "admin"
    password_env: VariableName | None = None


class PdudaemonSwitch(_Switch):
    """A port of a PDU behind pdudaemon's HTTP listener, which cannot report the state."""

    driver: Literal["pdudaemon"]
    timeout: TimeLimit = Field(60, description="seconds a request may take; pdudaemon itself tries 5 times, 5 s apart")
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
    """Programs of the lab: argument lists, no shell. Status 0 is success; `state` prints `on` or `off`.

    No toggles: `on` must have no effect on a board that is on.
    """

    driver: Literal["command"]
    on: Argv
    off: Argv
    state: Argv | None = None


class ManualSwitch(_Switch):
    """A person who is asked on the terminal. For first tests only, as somebody has to be there."""

    driver: Literal["manual"]
    timeout: TimeLimit = Field(600, description="seconds until the person must have answered")


UNVERIFIED = (ShellySwitch, HomeAssistantSwitch)
"""Drivers that the project has not tested with a real relay; a message says so where they are used."""

PowerSection: TypeAlias = Annotated[
    HttpSwitch | TasmotaSwitch | PdudaemonSwitch | ShellySwitch | HomeAssistantSwitch | CommandSwitch | ManualSwitch,
    Field(discriminator="driver"),
]
