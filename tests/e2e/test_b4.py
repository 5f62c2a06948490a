# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads as `b4 am` reads them from a local mbox: the same patches in the same order, or a refusal of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from panthorlab.kernel.patch.mails import PatchText, diff_content
from panthorlab.kernel.patch.read import read, read_all

pytestmark = pytest.mark.e2e

DATA = Path(__file__).parents[1] / "data" / "patches"
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
