# SPDX-License-Identifier: GPL-2.0-or-later
"""Plugs with Tasmota firmware, by web requests (https://tasmota.github.io/docs/Commands/)."""

from __future__ import annotations

from urllib.parse import quote

from panthorlab.board.power.file import TasmotaSwitch
from panthorlab.board.power.secrets import from_environment, redact
from panthorlab.board.power.switch import NeedsPersonError, SwitchError
from panthorlab.board.power.web import Web, base_url, quoted


class Tasmota:
    """See `Switch`. `GET /cm?cmnd=Power1%20On` answers `{"POWER1":"ON"}`, or `{"POWER":"ON"}` with a single relay."""

    def __init__(self, section: TasmotaSwitch) -> None:
        self.name = f"Tasmota plug {section.host} relay {section.relay}"
        self._command = f"Power{section.relay}"
        self._keys = {f"POWER{section.relay}"} | ({"POWER"} if section.relay == 1 else set())
        self._url = f"{base_url(section.host, section.port)}/cm?cmnd="
        self._login = ""
        if section.password_env:
            password = from_environment(section.password_env, "password of the Tasmota plug")
            redact.hide(password, section.user)
            self._login = f"&user={quote(section.user, safe='')}&password={quote(password, safe='')}"
        self._web = Web(self.name, timeout=section.timeout, retries=section.retries)

    def turn(self, on: bool) -> None:
        self._ask(f"{self._command} {'On' if on else 'Off'}")

    def state(self) -> bool | None:
        return self._ask(self._command)

    def _ask(self, command: str) -> bool:
        answer = self._web.ask_json("GET", f"{self._url}{quote(command)}{self._login}")
        answer = answer if isinstance(answer, dict) else {}
        # Wrong password: status 401, and 200 before version 8.2.3.
        if "WARNING" in answer:
            raise NeedsPersonError(
                f"{self.name} wants another user or password: {quoted(str(answer['WARNING']))}",
                hint="look at `user` and `password_env` in the board file",
            )
        if "Command" in answer:
            raise NeedsPersonError(
                f"{self.name} does not know `{command}`: {quoted(str(answer['Command']))}",
                hint="has the plug a relay with that number? Look at `relay` in the board file",
            )
        for key in self._keys & set(answer):
            value = answer[key]
            if value in ("ON", "OFF"):
                return bool(value == "ON")
        raise SwitchError(f"{self.name} did not tell its state: {quoted(str(answer))}")
