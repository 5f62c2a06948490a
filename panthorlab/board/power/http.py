# SPDX-License-Identifier: GPL-2.0-or-later
"""Any switch with an HTTP interface, with URLs from the board file."""

from __future__ import annotations

import re
from urllib.parse import quote

from requests.auth import HTTPBasicAuth

from panthorlab.board.power.file import HttpSwitch
from panthorlab.board.power.secrets import from_environment, redact
from panthorlab.board.power.switch import SwitchError
from panthorlab.board.power.web import Web, quoted


class Http:
    """See `Switch`. The password replaces `{password}` in URLs; without that it is sent as basic authentication."""

    def __init__(self, section: HttpSwitch) -> None:
        self._section = section
        password = token = None
        if section.password_env:
            password = from_environment(section.password_env, "password of the power switch")
            redact.hide(password, section.user or "")
        if section.token_env:
            token = from_environment(section.token_env, "token of the power switch")
            redact.hide(token)
        self._fill = {"{user}": quote(section.user or "", safe=""), "{password}": quote(password or "", safe="")}
        basic = None
        if section.user and password and not section.password_in_url:
            basic = HTTPBasicAuth(section.user.encode(), password.encode())  # str would be sent as Latin-1
        self.name = f"HTTP switch {section.on_url.split('?')[0]}"
        self._web = Web(self.name, timeout=section.timeout, retries=section.retries, auth=basic, token=token)

    def turn(self, on: bool) -> None:
        self._web.ask(self._section.method, self._url(self._section.on_url if on else self._section.off_url))

    def state(self) -> bool | None:
        section = self._section
        if section.state_url is None or section.state_on is None:
            return None
        text = self._web.ask("GET", self._url(section.state_url))
        if re.search(section.state_on, text):
            return True
        if section.state_off is not None and not re.search(section.state_off, text):
            raise SwitchError(f"{self.name} tells a state that is neither `state_on` nor `state_off`: {quoted(text)}")
        return False

    def _url(self, template: str) -> str:
        for name, value in self._fill.items():
            template = template.replace(name, value)
        return template
