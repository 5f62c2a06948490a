# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches from everywhere, and everything that is none."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import quopri
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.errors import LabError, PatchError
from panthorlab.kernel.patch.files import MAX_BYTES
from panthorlab.kernel.patch.mailinglist import message_id
from panthorlab.kernel.patch.read import CoverLetterError, read, read_all

DIFF = "--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei – 2\n"


def mail(subject: str, body: str, *, encoding: str = "8bit") -> bytes:
    data = body.encode()
    if encoding == "quoted-printable":
        data = quopri.encodestring(data)
    elif encoding == "base64":
        data = base64.encodebytes(data)
    head = (
        "From 0123456789abcdef Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\n"
        f"Subject: {subject}\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n"
    )
    return head.encode() + data + b"\n"


def test_plain_diff_keeps_its_bytes() -> None:
    [patch] = read(DIFF.encode(), "x.diff").patches
    assert patch.text.encode("latin-1") == DIFF.encode()
    assert patch.title == "x.diff"


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_mail_is_decoded_and_its_subject_is_the_title(encoding: str) -> None:
    body = f"Text.\n---\n x.c | 2 +-\n\n{DIFF}-- \n2.43\n"
    [patch] = read(mail("Re: [PATCH v2 1/1] drm/panthor: Do it", body, encoding=encoding), "m").patches
    assert patch.title == "drm/panthor: Do it"
    assert patch.text.encode("latin-1").startswith(DIFF.encode())


def test_mbox_of_a_series_with_a_cover_letter() -> None:
    mbox = mail("[PATCH 0/2] cover", "no diff here") + mail("[PATCH 1/2] one", DIFF) + mail("[PATCH 2/2] two", DIFF)
    assert [patch.title for patch in read(mbox, "series.mbox").patches] == ["one", "two"]


def test_crlf_from_a_mail_gateway_is_undone() -> None:
    [patch] = read(DIFF.replace("\n", "\r\n").encode(), "crlf.patch").patches
    assert patch.text.encode("latin-1") == DIFF.encode()


def test_a_patch_of_a_crlf_file_is_left_alone() -> None:
    text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\r\n+two\r\n"
    assert read(text.encode(), "x").patches[0].text == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x7fELF\0\0", "binary"),
        (b"Dear all,\nhello\n", "no diff in it"),
        (mail("[PATCH 0/1] only a cover", "text"), "no diff in it"),
    ],
)
def test_what_is_no_patch(data: bytes, said: str) -> None:
    with pytest.raises(PatchError, match=said) as caught:
        read(data, "thing")
    assert "thing" in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_status == 2


def test_too_large_is_refused_without_reading_all_of_it(tmp_path: Path) -> None:
    huge = tmp_path / "huge.patch"
    with huge.open("wb") as file:
        file.truncate(50 << 20)
    with pytest.raises(PatchError, match="larger than 16 MiB"):
        read_all([str(huge)])
    with Path("/dev/zero").open("rb") as endless, pytest.raises(PatchError, match="standard input is larger"):
        read_all(["-"], stdin=endless)
    assert MAX_BYTES == 16 << 20


def test_standard_input() -> None:
    assert read_all(["-"], stdin=io.BytesIO(DIFF.encode())).patches[0].origin == "standard input"


def test_directory_in_order_of_names(tmp_path: Path) -> None:
    for name in ("0002-b.patch", "0001-a.patch", "README"):
        (tmp_path / name).write_text(DIFF)
    assert [patch.title for patch in read_all([str(tmp_path)]).patches] == ["0001-a.patch", "0002-b.patch"]


def test_directory_with_a_quilt_series(tmp_path: Path) -> None:
    for name in ("a.patch", "b.patch"):
        (tmp_path / name).write_text(DIFF)
    (tmp_path / "series").write_text("# first\nb.patch -p1\n\na.patch\n")
    assert [patch.title for patch in read_all([str(tmp_path)]).patches] == ["b.patch", "a.patch"]


def test_series_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "outside.patch").write_text(DIFF)
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "series").write_text("../outside.patch\n")
    with pytest.raises(PatchError, match="not in"):
        read_all([str(tmp_path / "patches")])


def test_directory_without_patches(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="no patches in"):
        read_all([str(tmp_path)])


def test_git_range(git_tree: SimpleNamespace) -> None:
    (git_tree.path / "Kconfig").write_text("changed\n")
    git_tree.git("commit", "-q", "-a", "-m", "subject: change it")
    [patch] = read_all(["v1..main"], git_tree.path).patches
    assert patch.title == "subject: change it"
    assert "+changed" in patch.text


@pytest.mark.parametrize("spec", ["v1..nothing", "--output=/tmp/x..y", "v1..v1"])
def test_git_range_that_is_none(git_tree: SimpleNamespace, spec: str) -> None:
    with pytest.raises(PatchError, match="range"):
        read_all([spec], git_tree.path)
    assert not Path("/tmp/x..y").exists()  # noqa: S108


@pytest.mark.parametrize(
    "spec",
    [
        "20240101120000.1@example.org",
        "<20240101120000.1@example.org>",
        "https://lore.kernel.org/dri-devel/20240101120000.1@example.org/",
        "https://lore.kernel.org/r/20240101120000.1@example.org#t",
        "https://lkml.kernel.org/r/20240101120000.1@example.org",
        "https://lore.kernel.org/all/20240101120000.1%40example.org/T/#u",
    ],
)
def test_message_id_needs_b4(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(LabError, match=r"b4 is needed to fetch 20240101120000\.1@example\.org from") as caught:
        read_all([spec])
    assert "install b4" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("https://lore.kernel.org/all/a%2Fb%40example.org/T/#u", "a/b@example.org"),
        ("https://patch.msgid.link/1@example.org", "1@example.org"),
        ("https://patchwork.kernel.org/project/dri-devel/patch/1@example.org/", "1@example.org"),
        ("https://patchwork.freedesktop.org/series/12345/", None),
        ("https://lore.kernel.org/dri-devel/", None),
        ("-o/etc/passwd@example.org", None),
        ("https://lore.kernel.org/all/-m%2Fx@example.org/", None),
        ("1@example.org\x1b[2J", None),
        ("v1..fix", None),
        ("a b@example.org", None),
    ],
)
def test_what_names_a_mail(spec: str, name: str | None) -> None:
    assert message_id(spec) == name


def test_a_pipe_of_the_shell(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(DIFF,))
    writer.start()
    [patch] = read_all([str(tmp_path / "pipe")]).patches
    assert (patch.title, patch.text) == (str(tmp_path / "pipe"), DIFF.encode().decode("latin-1"))
    writer.join(60)


def test_nothing_of_that_name() -> None:
    with pytest.raises(PatchError, match=r"no such patch: nowhere\.patch"):
        read_all(["nowhere.patch"])


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        (b"\x1f\x8b\x08", "compressed", "gunzip"),
        (b"\xfd7zXZ\x00", "compressed", "unxz"),
        (b"BZh91AY", "compressed", "bunzip2"),
        (b"\x28\xb5\x2f\xfd\x01", "compressed", "unzstd"),
        (b"# v2 git bundle\n", "git bundle", "range"),
        (DIFF.encode("utf-16"), "UTF-16", "git diff"),
        (b"From: a\nContent-Type: text/html\n\n<pre>" + DIFF.encode(), "no diff", "HTML"),
    ],
)
def test_what_is_taken_for_a_patch(data: bytes, said: str, hint: str) -> None:
    with pytest.raises(PatchError, match=said) as caught:
        read(data, "thing")
    assert hint in (caught.value.hint or "")


def test_byte_order_mark() -> None:
    """It must not hide the first file of the patch."""
    assert read(b"\xef\xbb\xbf" + DIFF.encode(), "x").patches[0].text.startswith("--- a/x.c")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "is empty"),
        (DIFF, "the text of one"),
        ("x" * 5000, "the text of one"),
        ("https://example.org/fix.patch", "no such patch"),
        ("https://example.org/v1..v2", "no such patch"),
    ],
)
def test_names_that_are_none(spec: str, said: str, git_tree: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(git_tree.path)
    with pytest.raises(PatchError, match=said) as caught:
        read_all([spec])
    assert caught.value.hint


def test_a_tree_in_the_place_of_a_patch(git_tree: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(git_tree.path.parent)
    with pytest.raises(PatchError, match="is a kernel tree") as caught:
        read_all([f"{git_tree.path.name}@v1"])
    assert "--base" in (caught.value.hint or "")


def write_series(folder: Path, names: list[str], total: int) -> None:
    folder.mkdir()
    (folder / "0000-cover-letter.patch").write_bytes(mail(f"[PATCH 00/{total}] all", "text"))
    for name in names:
        number = int(name.partition("-")[0])
        (folder / name).write_bytes(mail(f"[PATCH {number:02}/{total}] p{number}", DIFF.replace("zwei", str(number))))


def test_directory_of_a_series_with_its_cover_letter(tmp_path: Path) -> None:
    names = [f"{number}-p.patch" for number in range(1, 12)]
    write_series(tmp_path / "series", names, 11)
    wanted = [f"p{number}" for number in range(1, 12)]
    assert [patch.title for patch in read_all([str(tmp_path / "series")]).patches] == wanted
    files = [str(tmp_path / "series" / name) for name in ("0000-cover-letter.patch", *names)]
    assert [patch.title for patch in read_all(files).patches] == wanted
    with pytest.raises(CoverLetterError):
        read_all(files[:1])
    for name in names:
        (tmp_path / "series" / name).unlink()
    with pytest.raises(CoverLetterError):
        read_all([str(tmp_path / "series")])


def test_directory_with_numbers_in_names_alone(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"{number}-p.diff").write_text(DIFF)
    assert [patch.title for patch in read_all([str(tmp_path)]).patches] == ["1-p.diff", "2-p.diff", "10-p.diff"]


def test_quilt_has_the_last_word_about_the_order(tmp_path: Path) -> None:
    write_series(tmp_path / "patches", ["1-p.patch", "2-p.patch"], 2)
    (tmp_path / "patches" / "series").write_text("2-p.patch\n1-p.patch # later\n")
    assert [patch.title for patch in read_all([str(tmp_path / "patches")]).patches] == ["p2", "p1"]


@pytest.mark.parametrize(("line", "said"), [("1-p.patch -R", "to be reversed"), ("3-p.patch", "names 3-p.patch")])
def test_what_quilt_would_do_otherwise(tmp_path: Path, line: str, said: str) -> None:
    write_series(tmp_path / "patches", ["1-p.patch"], 1)
    (tmp_path / "patches" / "series").write_text(f"{line}\n")
    with pytest.raises(PatchError, match=said):
        read_all([str(tmp_path / "patches")])


def commit(tree: SimpleNamespace, subject: str, file: str = "Kconfig") -> None:
    with (tree.path / file).open("a") as opened:
        opened.write(f"# {subject}\n")
    tree.git("add", "-A")
    tree.git("commit", "-q", "-m", subject)


def test_git_range_with_a_diff_in_its_message(git_tree: SimpleNamespace) -> None:
    commit(git_tree, "subject\n\n--- a/Makefile\n+++ b/Makefile\n@@ -1 +1 @@\n-a\n+evil\n")
    [patch] = read_all(["v1..main"], git_tree.path).patches
    assert "evil" not in patch.text.partition("@@")[0]
    assert patch.text.startswith("diff --git a/Kconfig b/Kconfig\n")


@pytest.mark.parametrize(
    "setting",
    [
        "diff.noprefix",
        "diff.mnemonicPrefix",
        "format.attach",
        "log.showSignature",
        "diff.renames=copies",
        "diff.external=/bin/false",
        "color.ui=always",
        "diff.context=0",
        "log.diffMerges=on",
    ],
)
def test_git_range_whatever_the_user_has_configured(git_tree: SimpleNamespace, setting: str) -> None:
    commit(git_tree, "one")
    shown = read_all(["v1..main"], git_tree.path).patches
    name, _, value = setting.partition("=")
    git_tree.git("config", name, value or "true")
    assert read_all(["v1..main"], git_tree.path).patches == shown


def test_git_range_of_a_bare_repository(git_tree: SimpleNamespace, tmp_path: Path) -> None:
    commit(git_tree, "one")
    git_tree.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    assert [patch.title for patch in read_all(["v1..main"], tmp_path / "bare.git").patches] == ["one"]


def test_git_range_with_three_dots_is_the_right_side(git_tree: SimpleNamespace) -> None:
    git_tree.git("branch", "fix")
    commit(git_tree, "of main")
    git_tree.git("checkout", "-q", "fix")
    commit(git_tree, "fix")
    commit(git_tree, "fix 2")
    assert [patch.title for patch in read_all(["main...fix"], git_tree.path).patches] == ["fix", "fix 2"]
    assert [patch.title for patch in read_all(["..main"], git_tree.path).patches] == ["of main"]


def test_git_range_with_a_merge(git_tree: SimpleNamespace) -> None:
    git_tree.git("checkout", "-q", "-b", "fix")
    commit(git_tree, "fix")
    git_tree.git("checkout", "-q", "main")
    commit(git_tree, "of main", "new")
    git_tree.git("merge", "-q", "-m", "both", "fix")
    with pytest.raises(PatchError, match=r"has a merge in it.*both") as caught:
        read_all(["v1..main"], git_tree.path)
    assert "git diff" in (caught.value.hint or "")


def test_git_range_of_empty_commits(git_tree: SimpleNamespace) -> None:
    git_tree.git("commit", "-q", "--allow-empty", "-m", "nothing")
    with pytest.raises(PatchError, match="change no file"):
        read_all(["v1..main"], git_tree.path)
    commit(git_tree, "something")
    assert [patch.title for patch in read_all(["v1..main"], git_tree.path).patches] == ["something"]


def test_a_single_commit_is_told_how_to_be_a_range(git_tree: SimpleNamespace) -> None:
    with pytest.raises(PatchError, match="no such patch: main") as caught:
        read_all(["main"], git_tree.path)
    assert "main^..main" in (caught.value.hint or "")


def test_git_range_from_within_a_hook(
    git_tree: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There GIT_DIR names the repository of the hook, whatever directory git is called for."""
    commit(git_tree, "one")
    (tmp_path / "other").mkdir()
    git_tree.git("init", "-q", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert [patch.title for patch in read_all(["v1..main"], git_tree.path).patches] == ["one"]


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"{DIFF}{text}".encode(errors="replace")))
def test_any_bytes_are_a_patch_or_a_patch_error(data: bytes) -> None:
    with contextlib.suppress(PatchError):
        assert read(data, "x").patches
