# SPDX-License-Identifier: GPL-2.0-or-later
"""Shelly relays of generation 2 and newer, by RPC over HTTP (https://shelly-api-docs.shelly.cloud/gen2/).

Written from its documentation; not tested with a real relay.
"""

from __future__ import annotations

from requests.auth import HTTPDigestAuth

from panthorlab.board.power.file import ShellySwitch
from panthorlab.board.power.secrets import from_environment, redact
from panthorlab.board.power.switch import SwitchError
from panthorlab.board.power.web import Web, base_url, quoted

USER = "admin"  # fixed, according to its documentation


class Shelly:
    """See `Switch`. Digest authentication with SHA-256 (RFC 7616)."""

    def __init__(self, section: ShellySwitch) -> None:
        self.name = f"Shelly {section.host} relay {section.relay}"
        self._relay = section.relay
        self._url = f"{base_url(section.host, section.port)}/rpc"
        auth = None
        if section.password_env:
            password = from_environment(section.password_env, "password of the Shelly relay")
            redact.hide(password, USER)
            auth = HTTPDigestAuth(USER, password)
        self._web = Web(self.name, timeout=section.timeout, retries=section.retries, auth=auth)

    def turn(self, on: bool) -> None:
        self._web.ask_json("GET", f"{self._url}/Switch.Set?id={self._relay}&on={'true' if on else 'false'}")

    def state(self) -> bool | None:
        answer = self._web.ask_json("GET", f"{self._url}/Switch.GetStatus?id={self._relay}")
        output = answer.get("output") if isinstance(answer, dict) else None
        if not isinstance(output, bool):
            raise SwitchError(f"{self.name} did not tell its state: {quoted(str(answer))}")
        return output
