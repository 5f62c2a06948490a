# SPDX-License-Identifier: GPL-2.0-or-later
"""A switch entity of Home Assistant, by its REST API (https://developers.home-assistant.io/docs/api/rest/).

Written from its documentation; not tested with a real relay.
"""

from __future__ import annotations

from panthorlab.board.power.file import HomeAssistantSwitch
from panthorlab.board.power.secrets import from_environment, redact
from panthorlab.board.power.switch import SwitchError
from panthorlab.board.power.web import Web, quoted


class HomeAssistant:
    """See `Switch`. An entity that is `unavailable` (the plug lost its network) is an error, not off."""

    def __init__(self, section: HomeAssistantSwitch) -> None:
        self.name = f"Home Assistant entity {section.entity}"
        self._entity = section.entity
        self._url = section.url.rstrip("/")
        token = from_environment(section.token_env, "access token of Home Assistant")
        redact.hide(token)
        self._web = Web(self.name, timeout=section.timeout, retries=section.retries, token=token)

    def turn(self, on: bool) -> None:
        domain = self._entity.partition(".")[0]
        service = f"{self._url}/api/services/{domain}/turn_{'on' if on else 'off'}"
        self._web.ask_json("POST", service, data={"entity_id": self._entity})

    def state(self) -> bool | None:
        answer = self._web.ask_json("GET", f"{self._url}/api/states/{self._entity}")
        state = answer.get("state") if isinstance(answer, dict) else None
        if state not in ("on", "off"):
            raise SwitchError(f"{self.name} is neither on nor off: {quoted(str(state))}")
        return bool(state == "on")
