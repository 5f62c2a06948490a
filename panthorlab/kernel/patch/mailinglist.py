# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches from a mailing list, by b4 (0.12 or newer).

Two steps: `b4 mbox` fetches the thread, and newer versions of the series that the list has elsewhere; then, from that
file and without network, `b4 am` makes of one version what a maintainer would apply, with the trailers of the replies.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from panthorlab.errors import LabError, PatchError
from panthorlab.kernel.patch.files import MAX_BYTES
from panthorlab.kernel.patch.mails import Mail, read_mails, split_mails
from panthorlab.kernel.patch.subject import printable
from panthorlab.kernel.patch.whole import enumerated
from panthorlab.kernel.tools import run

B4_SECONDS = 300.0
_ARCHIVES = (
    re.compile(r"^https?://(?:patch\.)?msgid\.link/(?P<id>[^/?#]+)"),
    re.compile(r"^https?://(?:lore|lkml)\.kernel\.org/(?:r/|[^/]+/)?(?P<id>[^/?#]+)"),
    re.compile(r"^https?://[^/]*patchwork[^/]*/project/[^/]+/(?:patch|cover)/(?P<id>[^/?#]+)"),
)
_UNKNOWN = re.compile(r"not known|no messages|not found|\b404\b", re.IGNORECASE)
_INSTALL = "install b4 (Debian, or `pip install panthorlab[b4]`), or save the mails as an mbox and give that file"


@dataclass(frozen=True)
class Fetched:
    """`mbox`: the patches of one version. `notes`: which one and why, what is newer, which trailers came with it."""

    mbox: bytes
    notes: tuple[str, ...]


def message_id(spec: str) -> str | None:
    """The message-id that `spec` is, or names by a link to an archive of the list; None if it is neither."""
    for archive in _ARCHIVES:
        if (match := archive.match(spec)) and _is_id(name := unquote(match["id"])):
            return name
    bare = spec.strip("<>")
    return bare if "/" not in bare and _is_id(bare) else None


def _is_id(name: str) -> bool:
    return re.fullmatch(r"[^\s@<>\x00-\x1f-][^\s@<>\x00-\x1f]*@[^\s@<>\x00-\x1f]+", name) is not None


def fetch(message_id: str, version: int | None) -> Fetched:
    """The version of the series that is the newest in the thread of `message_id`, or `version`.

    Raises LabError if b4 is not installed or cannot reach the list, PatchError for a message that the list does not
    have, or a thread that is no patch's.
    """
    program = find_b4()
    if program is None:
        raise LabError(f"b4 is needed to fetch {message_id} from the mailing list, and is not installed", hint=_INSTALL)
    with tempfile.TemporaryDirectory(prefix="panthorlab-b4-") as name:
        b4 = _B4(program, Path(name), message_id)
        thread = b4.run("mbox", "--no-cache", "-o", "-", message_id)
        newer, searched = _newer(b4, thread)
        mails = _patches(thread + newer, message_id)
        known = sorted({mail.subject.version for mail in mails})
        if not known:
            raise PatchError(f"there is no patch in the thread of {message_id}", hint="is it the mail of a patch?")
        if version is not None and version not in known:
            raise PatchError(
                f"the list has no v{version} of this series",
                hint=f"it has {_listed(known)}; older ones have message-ids of their own",
            )
        taken = version or max((mail.subject.version for mail in _patches(thread, message_id)), default=known[-1])
        (b4.scratch / "all.mbox").write_bytes(thread + newer)
        patches = b4.run("am", "--no-cover", "-o", "-", "-v", str(taken), "-m", "all.mbox", offline=True)
    notes = _notes(message_id, mails, taken, known, asked=version is not None, mbox=patches)
    return Fetched(patches, (*notes, *([] if searched else ["whether there is a newer version could not be asked"])))


def _patches(mbox: bytes, origin: str) -> list[Mail]:
    """The patches and cover letters in an mbox, but no replies."""
    return [mail for mail in read_mails(mbox, origin) if mail.subject.tagged and not mail.reply]


def _newer(b4: _B4, thread: bytes) -> tuple[bytes, bool]:
    """The mails of newer versions that the list has in other threads; and whether it could be asked."""
    # b4 before 0.14 takes the last reply for the series, and then finds nothing: so it is not shown any.
    heads = [mail for mail in split_mails(thread) if _patches(mail, "")]
    if not heads:
        return b"", True
    try:
        found = b4.run("mbox", "--check-newer-revisions", "--no-cache", "-o", "-", "-m", "-", stdin=_mbox(heads))
    except LabError:
        return b"", False
    known = {mail.message_id for mail in read_mails(thread, "")}
    more = [mail for mail in split_mails(found) if read_mails(mail, "")[0].message_id not in known]
    return _mbox(more), "returned an error" not in b4.complaints


def _mbox(mails: Sequence[bytes]) -> bytes:
    return b"".join(b"From mboxrd@z Thu Jan  1 00:00:00 1970\n" + mail.rstrip(b"\n") + b"\n\n" for mail in mails)


def find_b4() -> Path | None:
    """The program: of the PATH, else the one that was installed with this Python."""
    beside = Path(sys.executable).with_name("b4")
    found = shutil.which("b4") or (str(beside) if beside.is_file() else None)
    return Path(found) if found else None


@dataclass
class _B4:
    """Runs b4 in a directory of its own, where it leaves what it would remember: it counts what it gives as applied.

    `complaints`: what the last command wrote to its standard error.
    """

    program: Path
    scratch: Path
    message_id: str
    complaints: str = ""

    def run(self, *argv: str, stdin: bytes = b"", offline: bool = False) -> bytes:
        """Standard output of one command. Raises LabError, PatchError."""
        # it obeys the git repository that it is called in
        env = {"GIT_CEILING_DIRECTORIES": str(self.scratch), "XDG_DATA_HOME": str(self.scratch / "data")}
        env["XDG_CACHE_HOME"] = str(self.scratch / "cache")
        options = ["--no-interactive", *(["--offline-mode"] if offline else [])]
        command = [str(self.program), *options, *argv]
        done = run(command, timeout=B4_SECONDS, cwd=self.scratch, stdin=stdin, env=env, ok=range(256))
        self.complaints = done.stderr.decode(errors="replace")
        if len(done.stdout) > MAX_BYTES:
            raise PatchError(f"the thread of {self.message_id} is larger than {MAX_BYTES >> 20} MiB")
        if done.returncode or not done.stdout.strip():
            raise self._failure(done.returncode)
        return done.stdout

    def _failure(self, status: int) -> PatchError | LabError:
        lines = [line.strip() for line in self.complaints.splitlines() if line.strip()]
        text = "; ".join(lines[-3:]) or f"status {status}"
        if any(_UNKNOWN.search(line) for line in lines):
            return PatchError(
                f"the mailing list does not have {self.message_id}: {text}", hint="is the message-id right?"
            )
        hint = "is the message-id right, and lore.kernel.org reachable?"
        return LabError(f"b4 cannot fetch {self.message_id}: {text}", hint=hint)


def _notes(
    message_id: str, mails: Sequence[Mail], taken: int, known: Sequence[int], *, asked: bool, mbox: bytes
) -> list[str]:
    """What people must know of the choice."""
    why = "as was asked for" if asked else "the only version" if len(known) == 1 else "the newest of its thread"
    others = "" if len(known) == 1 else f"; the list has {_listed(known)}"
    notes = [f"{message_id}: v{taken} is taken, {why}{others}"]
    for newer in (version for version in known if version > taken):
        head = min((mail for mail in mails if mail.subject.version == newer), key=lambda mail: mail.subject.number or 0)
        name = printable(head.message_id or "")
        notes.append(f"there is a newer version: v{newer}, <{name}>; --patch-version {newer} takes it")
    before = {line for mail in mails if mail.subject.version == taken for line in mail.trailers}
    added = dict.fromkeys(line for mail in read_mails(mbox, "b4") for line in mail.trailers if line not in before)
    if added:
        notes.append(f"trailers from replies: {enumerated(list(added))}")
    return notes


def _listed(versions: Sequence[int]) -> str:
    return " and ".join(f"v{version}" for version in versions)
