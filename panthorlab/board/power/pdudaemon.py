# SPDX-License-Identifier: GPL-2.0-or-later
"""An outlet of a PDU behind pdudaemon's HTTP listener.

From pdudaemon 1.1.1 (httplistener.py, listener.py, pdurunner.py): `GET /power/control/on?hostname=PDU&port=N` queues a
job, one at a time per PDU, and responds when it has ended: 200 `OK - accepted request`, or 500 `Invalid request`, both
for an unknown PDU and for a job that failed in all tries (by default 5, 5 s apart). Older versions, such as Debian
12's 0.0.8, respond 200 for a failed job, too, and drivers may ignore errors of the device or program: 200 is no proof.
"""

from __future__ import annotations

from urllib.parse import urlencode

from panthorlab.board.power.file import PdudaemonSwitch
from panthorlab.board.power.switch import StatusError, SwitchError
from panthorlab.board.power.web import PASSING, Web, base_url


class Pdudaemon:
    """See `Switch`. It cannot report its state."""

    def __init__(self, section: PdudaemonSwitch) -> None:
        self.name = f"pdudaemon {section.host}:{section.port} PDU {section.pdu} outlet {section.pdu_port}"
        self._url = f"{base_url(section.host, section.port)}/power/control/"
        self._query = urlencode({"hostname": section.pdu, "port": section.pdu_port})
        self._pdu = section.pdu
        # No retry after 500: pdudaemon has made its own retries, or does not know the PDU.
        self._web = Web(self.name, timeout=section.timeout, retries=section.retries, passing=PASSING - {500})

    def turn(self, on: bool) -> None:
        try:
            self._web.ask("GET", f"{self._url}{'on' if on else 'off'}?{self._query}")
        except StatusError as error:
            if error.status != 500:
                raise
            raise SwitchError(
                f"{self.name}: pdudaemon refused, or tried in vain, to switch {'on' if on else 'off'}",
                hint=f"its log says which; it must know the PDU as `{self._pdu}` (`pdus` in pdudaemon.conf)",
            ) from None

    def state(self) -> bool | None:
        return None
