# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiler's notes on their way from an O= directory to the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from panthorlab.errors import BuildError
from panthorlab.kernel.build.collect import NOTES, Artefacts, copy_notes

D = "drivers/gpu/drm/panthor"


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    objects = tmp_path / "obj"
    for name in (f"{D}/a.gcno", f"{D}/sub/b.gcno", f"{D}/a.o", "lib/other.gcno", "drivers/gpu/drm/drm_gpuvm.gcno"):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        (objects / name).write_text(name)
    return Artefacts(objects, tmp_path, tmp_path, (), built_as="/mnt/obj")


def test_notes_are_kept_as_debugfs_has_the_counts(artefacts: Artefacts, tmp_path: Path) -> None:
    copy_notes([f"{D}/", "drivers/gpu/drm/drm_gpuvm.c"], artefacts, tmp_path / "kernel")
    root = tmp_path / "kernel" / NOTES / "mnt/obj"
    assert {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()} == {
        name: name for name in (f"{D}/a.gcno", f"{D}/sub/b.gcno", "drivers/gpu/drm/drm_gpuvm.gcno")
    }


def test_a_file_that_was_not_profiled_has_none(artefacts: Artefacts, tmp_path: Path) -> None:
    """It is not compiled in this configuration, or its Makefile forbids it: it is told as not measured."""
    copy_notes(["kernel/fork.c"], artefacts, tmp_path / "kernel")
    assert not (tmp_path / "kernel" / NOTES).exists()


def test_a_link_that_a_build_left_is_not_followed(artefacts: Artefacts, tmp_path: Path) -> None:
    secret = tmp_path / "secret.gcno"
    secret.write_text("secret")
    (artefacts.objects / D / "c.gcno").symlink_to(secret)
    with pytest.raises(BuildError, match="link"):
        copy_notes([f"{D}/"], artefacts, tmp_path / "kernel")
