# SPDX-License-Identifier: GPL-2.0-or-later
"""After a test that has failed: is this boot still good for the tests after it?

A driver that has not got over its test fails all others, too, and what they are for is not tried. But a kernel on which
no job ever works does not get a boot for each of its tests.
"""

from __future__ import annotations

from panthorlab.errors import PanthorlabError
from panthorlab.run.plan import MAX_TEST_ATTEMPTS
from panthorlab.run.session import Session
from panthorlab.run.trouble import works


def wear(session: Session, test: str) -> str:
    """Why the boot is to end after `test` has failed; empty if it may go on. A user's own pytest run has but one."""
    boots = session.job_description.boot.rpartition(".")[2]
    if (
        session.died is not None
        or not boots.isdigit()
        or int(boots) > MAX_TEST_ATTEMPTS
        or "groups" not in session.driver.features
    ):
        return ""
    if session.crashed:
        why = "the kernel has crashed"
    else:
        try:
            if works(session):
                return ""
        except PanthorlabError as error:
            session.note_death()
            if session.died is None:
                session.note(f"whether a job works after {test}: {error}")
            return str(session.died or "")
        why = "no job works"
    session.spent = f"after {test} {why}: the tests after it run in a new boot"
    return session.spent
