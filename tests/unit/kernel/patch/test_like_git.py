# SPDX-License-Identifier: GPL-2.0-or-later
"""Real `git format-patch` output, mailed and mauled: we leave the files that `git am` leaves, or refuse."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.fit import check
from panthorlab.kernel.patch.mails import read_mails
from panthorlab.kernel.patch.read import read
from panthorlab.kernel.patch.report import Fit

FILES = ("drivers/gpu/drm/panthor/panthor_a.c", "drivers/gpu/drm/panthor/panthor_b.c")
LINES = 24
MAULS = (
    "as it is",
    "crlf",
    "cut",
    "a mail less",
    "turned round",
    "twice",
    "a line less",
    "no trailing blanks",
    "offset",
)


def _git(root: Path, *args: str, ok: bool = True, data: bytes | None = None) -> bytes:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    argv = ["git", "-C", str(root), "-c", "user.name=T", "-c", "user.email=t@example.org", *args]
    done = subprocess.run(argv, check=ok, capture_output=True, timeout=60, env=env, input=data)
    return done.stdout if done.returncode == 0 else b"failed"


def _files(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in FILES}


def _write(root: Path, name: str, lines: list[str]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("".join(f"{line}\n" for line in lines))


def _maul(how: str, mbox: bytes, data: st.DataObject) -> bytes:
    mails = [b"From " + part for part in mbox.split(b"\nFrom ")]
    mails[0] = mails[0].removeprefix(b"From ")
    if how == "crlf":
        return mbox.replace(b"\n", b"\r\n")
    if how == "cut":
        return mbox[: data.draw(st.integers(len(mbox) // 2, len(mbox)))]
    if how == "a line less":
        lines = mbox.splitlines(keepends=True)
        del lines[data.draw(st.sampled_from([at for at, line in enumerate(lines) if line[:1] in b" +-@di"]))]
        return b"".join(lines)
    if how == "no trailing blanks":
        return b"".join(line.rstrip() + b"\n" for line in mbox.splitlines())
    if how == "a mail less":
        del mails[data.draw(st.integers(0, len(mails) - 1))]
    elif how == "turned round":
        mails.reverse()
    elif how == "twice":
        mails.append(mails[-1])
    return b"\n".join(mails)


def _ours(mbox: bytes, files: dict[str, bytes]) -> dict[str, bytes] | None:
    """The files as our answer leaves them; None if it is refused."""
    try:
        patches = read(mbox, "mbox").patches
        for patch in patches:
            report = check(patch, files.get, "the tree")
            if report.fit not in (Fit.APPLIES, Fit.APPLIES_INEXACTLY) or "fuzz" in report.detail:
                return None
            files = files | {path: content for path, content in report.changes.items() if content is not None}
    except PatchError:
        return None
    return files


@settings(max_examples=12)
@given(st.data())
def test_like_git_am(data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(MAULS))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _git(root, "init", "-q")
        texts = {name: [f"{name[-3]}{number}" if number % 5 else "" for number in range(LINES)] for name in FILES}
        for name, lines in texts.items():
            _write(root, name, lines)
        _git(root, "add", "-A")
        _git(root, "commit", "-q", "-m", "base")
        for turn in range(data.draw(st.integers(1, 3))):
            name = data.draw(st.sampled_from(FILES))
            place = data.draw(st.integers(0, len(texts[name]) - 1))
            texts[name][place : place + data.draw(st.integers(0, 2))] = [f"new {turn}"]
            _write(root, name, texts[name])
            _git(root, "commit", "-q", "-a", "-m", f"drm/panthor: change {turn}")
        count = int(_git(root, "rev-list", "--count", "HEAD"))
        whole = _git(root, "format-patch", "--stdout", "-n", f"-{count - 1}")
        wanted = _files(root)
        _git(root, "reset", "-q", "--hard", f"HEAD~{count - 1}")
        if how == "offset":
            for name in FILES:
                _write(root, name, ["top", "of it", *(root / name).read_text().splitlines()])
            _git(root, "commit", "-q", "-a", "-m", "drift")
        mbox = _maul(how, whole, data)
        ours = _ours(mbox, _files(root))
        if how in ("as it is", "crlf", "turned round", "twice", "no trailing blanks"):
            assert ours == wanted, how
        numbers = {mail.subject.number for mail in read_mails(mbox, "m")} if mbox.strip() else set()
        if how == "a mail less" and count > 2:
            assert ours is None
        if ours is None or how in ("turned round", "twice"):  # git am takes them as they come
            return
        if _git(root, "am", "-q", ok=False, data=mbox) == b"failed":
            # Only patch moves a hunk that is for a file's first line; we do, too, and tell by how much.
            assert how == "offset", (how, numbers)
            _git(root, "am", "--abort", ok=False)
            argv = ["patch", "-p1", "-s", "-f", "-F0", "--no-backup-if-mismatch", "-d", str(root)]
            subprocess.run(argv, input=mbox, check=True, capture_output=True, timeout=60)
        assert _files(root) == ours, how
