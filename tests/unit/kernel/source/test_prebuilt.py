# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels by URL: what is refused before anything is asked for, and servers and tarballs that misbehave."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from panthorlab.errors import LabError, PanthorlabError, UsageError
from panthorlab.kernel import gc
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source import download, prebuilt
from panthorlab.kernel.source.prebuilt import Prebuilt, fetch, parse

SHA = "0" * 64


class Server(ThreadingHTTPServer):
    """Gives `data`; with `dribble`, a byte a time and no end."""

    daemon_threads = True
    data = b""
    asked = 0
    dribble = False
    over: threading.Event


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(self.server.data)
            while self.server.dribble and not self.server.over.wait(0.01):
                self.wfile.write(b".")
        except OSError:
            return  # the client gave up: wanted

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.over = threading.Event()
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()


Publish = Callable[[bytes], Prebuilt]


@pytest.fixture
def publish(server: Server) -> Publish:
    def give(data: bytes) -> Prebuilt:
        server.data = data
        digest = hashlib.sha256(data).hexdigest()
        return parse(f"http://127.0.0.1:{server.server_port}/out/linux%20built.tar#sha256={digest}")

    return give


def packed(*members: tuple[str, bytes | str]) -> bytes:
    """A tarball of files, and of links where the content is a string."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return raw.getvalue()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("https://x.example/k.tar.xz", "not pinned"),
        ("https://x.example/k.tar.xz#sha256=0", "not pinned"),
        (f"https://x.example/k.tar.xz#md5={SHA}", "not pinned"),
        (f"http://x.example/k.tar.xz#sha256={SHA}", "only https"),
        (f"http://127.0.0.1.x.example/k.tar.xz#sha256={SHA}", "only https"),
        (f"ftp://x.example/k.tar.xz#sha256={SHA}", "only https"),
        (f"file:///k.tar.xz#sha256={SHA}", "only https"),
        (f"https://me:pw@x.example/k.tar.xz#sha256={SHA}", "user or password"),
        (f"https://x.example/Image#sha256={SHA}", "no tarball"),
        (f"https://[::1/k.tar#sha256={SHA}", "Invalid IPv6"),
    ],
)
def test_what_cannot_be_trusted_is_refused(name: str, why: str, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        find_kernel(name, log=tmp_path / "log")
    assert "pw" not in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_tree_is_fetched_once(server: Server, publish: Publish, cache: Path) -> None:
    kernel = publish(packed(("linux/vmlinux", b"elf"), ("linux/.config", b"CONFIG_X=y\n")))
    tree = fetch(kernel, quiet)
    assert (tree / "vmlinux").read_bytes() == b"elf"
    assert fetch(kernel, quiet) == tree
    assert server.asked == 1
    assert list((cache / "downloads").iterdir()) == [], "the tarball is not kept beside its tree"
    assert tree in [item.path for item in gc.items()]


def test_what_comes_out_must_be_a_kernel(publish: Publish, server: Server, tmp_path: Path) -> None:
    kernel = publish(packed(("linux/vmlinux", b"elf")))
    with pytest.raises(UsageError, match=r"is not a finished kernel build: it has no System\.map"):
        find_kernel(f"{kernel.url}#sha256={kernel.sha256}", log=tmp_path / "log")


def test_another_file_is_refused(server: Server, publish: Publish, cache: Path) -> None:
    kernel = publish(packed(("linux/vmlinux", b"elf")))
    server.data = packed(("linux/vmlinux", b"evil"))
    with pytest.raises(LabError, match="its sha256 is not"):
        fetch(kernel, quiet)
    assert [path.name for path in (cache / "prebuilt").iterdir()] == [f"{kernel.sha256}.lock"]


def test_sizes_are_limited(publish: Publish, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = publish(packed(("linux/vmlinux", b"\0" * 100_000)))
    monkeypatch.setattr(prebuilt, "LARGEST_TREE", 50_000)
    with pytest.raises(LabError, match="tar"):
        fetch(kernel, quiet)
    monkeypatch.setattr(prebuilt, "LARGEST", 50_000)
    (cache / "downloads" / f"{kernel.sha256}.tar").unlink()
    with pytest.raises(UsageError, match="is larger than"):
        fetch(kernel, quiet)
    assert [path for path in (cache / "prebuilt").iterdir() if path.is_dir()] == []


def test_a_server_that_trickles_is_given_up(server: Server, tmp_path: Path) -> None:
    server.dribble = True
    url = f"http://127.0.0.1:{server.server_port}/k.tar"
    chunks = download.CHUNK
    try:
        download.CHUNK = 1
        with pytest.raises(LabError, match="did not end in time"):
            download.download(url, tmp_path / "k.tar", SHA, quiet, seconds=0.2)
    finally:
        download.CHUNK = chunks


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([("linux/../../../escaped", b"x")], id="parent"),
        pytest.param([("linux/out", "/tmp"), ("linux/out/escaped", b"x")], id="through a link"),  # noqa: S108 - hostile
        pytest.param([("linux/source", "/")], id="sources elsewhere"),
        pytest.param([("linux/source", "../../..")], id="sources above"),
    ],
)
def test_no_tarball_leaves_its_directory(
    publish: Publish, cache: Path, tmp_path: Path, members: list[tuple[str, bytes | str]]
) -> None:
    kernel = publish(packed(("linux/vmlinux", b"elf"), *members))
    with pytest.raises(PanthorlabError):
        fetch(kernel, quiet)
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()  # noqa: S108
    assert [path for path in (cache / "prebuilt").iterdir() if path.is_dir()] == []
