# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling people what came of a night, once: that it begins is on record before anything is sent.

After kill -9 in the middle nobody knows what has arrived; it is not sent again, and the night says so.
"""

from __future__ import annotations

from panthorlab.nightly.model import Night, to_json
from panthorlab.nightly.record import Delivered, NightLog, NightTelling, NightTold
from panthorlab.nightly.state import NightSoFar
from panthorlab.notify.config import NotifySection
from panthorlab.notify.deliver import deliver
from panthorlab.notify.ofnight import of_night


def tell(log: NightLog, night: NightSoFar, said: Night, section: NotifySection | None) -> NightTold:
    """Tell whom `section` names, unless that was begun before. `said`: the night as it is told. What does not arrive
    changes nothing of it, and is on record."""
    if night.telling is not None:
        return log.append(NightTold(night=night.name, interrupted=True))
    log.append(NightTelling(night=night.name))
    done = deliver(of_night(to_json(said)), section) if section is not None else ()
    return log.append(
        NightTold(night=night.name, deliveries=tuple(Delivered(one.channel, one.message) for one in done))
    )
