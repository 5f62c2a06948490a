# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run keeps of its patches, so that it can be resumed."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from panthorlab.errors import PatchError
from panthorlab.kernel.patch.files import MAX_BYTES
from panthorlab.run.intake import keep_patches


def test_what_cannot_be_read_twice_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"from stdin")))
    (tmp_path / "x.patch").write_bytes(b"from a file")
    os.mkfifo(tmp_path / "fifo")  # as the shell's <(git diff)
    writer = threading.Thread(target=(tmp_path / "fifo").write_text, args=("from a pipe",))
    writer.start()
    kept = keep_patches(["-", str(tmp_path / "x.patch"), str(tmp_path / "fifo")], tmp_path / "run").names
    writer.join(60)
    assert [Path(name).read_text() for name in kept] == ["from stdin", "from a file", "from a pipe"]
    assert all(Path(name).is_relative_to(tmp_path / "run") for name in kept)


def test_the_rest_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patches").mkdir()
    kept = keep_patches(["patches", "v1..fix"], tmp_path / "run").names
    assert kept == (str(tmp_path / "patches"), "v1..fix")


def test_too_large_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    with (tmp_path / "huge.patch").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PatchError, match="larger than 16 MiB"):
        keep_patches([str(tmp_path / "huge.patch")], tmp_path / "run")
    assert not (tmp_path / "run").exists()
