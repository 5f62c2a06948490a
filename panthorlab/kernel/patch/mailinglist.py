# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches from a mailing list, by b4."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from panthorlab.errors import LabError, PatchError
from panthorlab.kernel.patch.files import MAX_BYTES
from panthorlab.kernel.tools import run

_LORE = re.compile(
    r"^https?://(?:lore\.kernel\.org|lkml\.kernel\.org|patch\.msgid\.link|msgid\.link)/(?:r/|[^/]+/)?"
    r"(?P<id>[^/?#]+@[^/?#]+)"
)


def message_id(spec: str) -> str | None:
    """The message-id that `spec` is, or names by a link to an archive of the list; None if it is neither."""
    if match := _LORE.match(spec):
        return match["id"]
    return spec.strip("<>") if re.fullmatch(r"<?[^\s@/]+@[^\s@/]+>?", spec) else None


def fetch(message_id: str, version: int | None) -> bytes:
    """The mbox of the series that `message_id` belongs to: its newest version, or `version`.

    Raises LabError if b4 is not installed or cannot reach the list, PatchError for a thread that is no patch's.
    """
    if shutil.which("b4") is None:
        raise LabError(
            f"b4 is needed to fetch {message_id} from the mailing list, and is not installed",
            hint="install b4 (Debian), or save the mails as an mbox and give that file",
        )
    argv = ["b4", "--no-interactive", "am", "--no-cover", "-o", "-"]
    argv += [*(["--use-version", str(version)] if version is not None else []), message_id]
    try:
        with tempfile.TemporaryDirectory() as nowhere:  # b4 obeys the git repository that it is called in
            done = run(argv, timeout=300, cwd=Path(nowhere), env={"GIT_CEILING_DIRECTORIES": nowhere})
    except LabError as error:
        raise LabError(str(error), hint="is the message-id right, and lore.kernel.org reachable?") from error
    if len(done.stdout) > MAX_BYTES:
        raise PatchError(f"the thread of {message_id} is larger than {MAX_BYTES >> 20} MiB")
    return done.stdout
