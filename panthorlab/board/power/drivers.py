# SPDX-License-Identifier: GPL-2.0-or-later
"""Selects the driver for a `power:` section."""

from __future__ import annotations

from panthorlab.board.power import file
from panthorlab.board.power.command import ExternalCommand
from panthorlab.board.power.home_assistant import HomeAssistant
from panthorlab.board.power.http import Http
from panthorlab.board.power.manual import Manual
from panthorlab.board.power.pdudaemon import Pdudaemon
from panthorlab.board.power.shelly import Shelly
from panthorlab.board.power.switch import Switch
from panthorlab.board.power.tasmota import Tasmota


def make_switch(section: file.PowerSection, board: str) -> Switch:
    """The driver for `section` of the file of `board`. Raises LabError if a secret is missing."""
    match section:
        case file.HttpSwitch():
            return Http(section)
        case file.TasmotaSwitch():
            return Tasmota(section)
        case file.PdudaemonSwitch():
            return Pdudaemon(section)
        case file.ShellySwitch():
            return Shelly(section)
        case file.HomeAssistantSwitch():
            return HomeAssistant(section)
        case file.CommandSwitch():
            return ExternalCommand(section)
        case file.ManualSwitch():
            return Manual(section, board)
