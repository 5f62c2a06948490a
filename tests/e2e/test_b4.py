# SPDX-License-Identifier: GPL-2.0-or-later
"""b4: threads as it reads them from a local mbox (the same patches in the same order, or a refusal of ours), and
series that it fetches from an archive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from panthorlab.errors import LabError, PatchError
from panthorlab.kernel.patch.mails import PatchText, diff_content
from panthorlab.kernel.patch.read import read, read_all
from panthorlab.kernel.patch.series import Intake
from tests.e2e.archive import archive, configure

pytestmark = pytest.mark.e2e

DATA = Path(__file__).parents[1] / "data" / "patches"
THREADS = DATA.with_name("threads")
V1, V2 = ((THREADS / f"evict-groups-{version}.mbox").read_bytes() for version in ("v1", "v2"))
# listprefix-reply: b4 takes the reply for the patch, which is the fault that the case is about. fwd: it finds none.
SAME = (
    "PATCHv1v2.mbox",
    "RFC-nover.mbox",
    "fixup-after.mbox",
    "other-lang-reply.mbox",
    "threadpad.mbox",
    "v1v2-retitled.mbox",
)


def b4(mbox: Path, scratch: Path) -> tuple[PatchText, ...]:
    program = Path(sys.executable).with_name("b4")
    env = {**os.environ, "HOME": str(scratch), "XDG_DATA_HOME": str(scratch), "XDG_CACHE_HOME": str(scratch)}
    argv = [
        str(program),
        "--no-interactive",
        "--offline-mode",
        "am",
        "--no-cache",
        "--no-cover",
        "-m",
        str(mbox),
        "-o",
        "-",
    ]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=120, env=env, cwd=scratch)
    return read(done.stdout, "b4").patches


@pytest.mark.parametrize("name", SAME)
def test_like_b4(name: str, tmp_path: Path) -> None:
    ours, theirs = read_all([str(DATA / name)]).patches, b4(DATA / name, tmp_path)
    assert [(patch.title, diff_content(patch)) for patch in ours] == [
        (patch.title, diff_content(patch)) for patch in theirs
    ]


Fetch = Callable[..., Intake]


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Read what an archive has with b4 as installed; nothing may be left in the home directory."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def call(spec: str, *, newer: bytes = b"", version: int | None = None, thread: bytes = V1) -> Intake:
        with archive({"v1-": thread, "v2-": V2}, newer) as address:
            configure(home, address)
            try:
                return read_all([spec], version=version)
            finally:
                assert [path.name for path in home.iterdir()] == [".gitconfig"]

    return call


@pytest.mark.parametrize(
    "spec", ["v1-0@seed.example.org", "https://lore.kernel.org/dri-devel/v1-3%40seed.example.org/T/"]
)
def test_the_thread_that_is_named(fetch: Fetch, spec: str) -> None:
    intake = fetch(spec, newer=V2)
    [patch] = intake.patches
    assert "if (ptdev->scheduler) {" in patch.text, "v1"
    assert patch.message_id == "v1-0@seed.example.org"
    assert "Reviewed-by: Boris Brezillon" in patch.message, "of a reply"
    notes = "\n".join(intake.notes)
    assert "v1 is taken, the newest of its thread; the list has v1 and v2" in notes
    assert "there is a newer version: v2, <v2-0@seed.example.org>; --patch-version 2 takes it" in notes
    assert "trailers from replies: Reviewed-by: Boris Brezillon <boris.brezillon@collabora.com>" in notes


def test_the_newer_version_if_it_is_asked_for(fetch: Fetch) -> None:
    intake = fetch("v1-0@seed.example.org", newer=V2, version=2)
    assert "if (ptdev->scheduler) {" not in intake.patches[0].text
    assert "v2 is taken, as was asked for" in intake.notes[0]


def test_both_versions_in_one_thread(fetch: Fetch) -> None:
    answer = V2.replace(b"MIME-Version", b"In-Reply-To: <v1-0@seed.example.org>\nMIME-Version", 1)
    intake = fetch("v1-0@seed.example.org", thread=V1 + answer)
    assert intake.patches[0].message_id == "v2-0@seed.example.org"
    assert "v2 is taken, the newest of its thread" in intake.notes[0]


def test_what_the_list_does_not_have(fetch: Fetch) -> None:
    with pytest.raises(PatchError, match="does not have nobody@"):
        fetch("nobody@example.org")
    with pytest.raises(PatchError, match="the list has no v7"):
        fetch("v1-0@seed.example.org", version=7)
    words = V1.replace(b"diff --git", b"(cut)").replace(b"--- a/", b"(cut)").replace(b"[PATCH]", b"")
    with pytest.raises(PatchError, match="no patch in the thread"):
        fetch("v1-0@seed.example.org", thread=words)


def test_a_list_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    configure(tmp_path / "home", "http://127.0.0.1:9")
    with pytest.raises(LabError, match="b4 cannot fetch") as caught:
        read_all(["v1-0@seed.example.org"])
    assert "reachable" in (caught.value.hint or "")
