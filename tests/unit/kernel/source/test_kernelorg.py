# SPDX-License-Identifier: GPL-2.0-or-later
"""Release tarballs from a server of our own that can cut, damage and refuse."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from panthorlab.errors import LabError, SourceError
from panthorlab.kernel.progress import quiet
from panthorlab.kernel.source import download, kernelorg
from panthorlab.kernel.source.spec import resolve

NAME = "linux-6.18.5.tar.xz"


class Server(ThreadingHTTPServer):
    """Serves `files`; the first `cuts` answers stop half-way, `ranges` says whether it resumes."""

    files: dict[str, bytes]
    cuts = 0
    ranges = True
    seen: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.seen.append((self.path, wanted))
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.server.cuts > 0 and self.path.endswith(".xz"):
            self.server.cuts -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def server(tree: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    subprocess.run(["tar", "-cJf", tmp_path / NAME, "-C", tree.parent, tree.name], check=True, timeout=60)
    data = (tmp_path / NAME).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    sums = f"-----BEGIN PGP SIGNED MESSAGE-----\n\n{'0' * 64}  other.tar.xz\n{digest}  {NAME}\n"
    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.seen = {f"/v6.x/{NAME}": data, "/v6.x/sha256sums.asc": sums.encode()}, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv(kernelorg.BASE_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    server.server_close()
    thread.join(60)


def unpack(into: Path) -> list[tuple[str, int | None, int | None]]:
    said: list[tuple[str, int | None, int | None]] = []
    into.mkdir()
    resolve("kernel.org:6.18.5").unpack(into, lambda step, done=None, total=None, /: said.append((step, done, total)))
    return said


def test_release(server: Server, files: dict[str, bytes], tmp_path: Path, cache: Path) -> None:
    said = unpack(tmp_path / "out")
    assert (tmp_path / "out/Makefile").read_bytes() == files["Makefile"]
    size = len(server.files[f"/v6.x/{NAME}"])
    assert (f"downloading {NAME}", size, size) in said
    assert list((cache / "downloads").iterdir()) == [], "the tarball is not kept beside its tree"


def test_second_time_without_the_server(server: Server) -> None:
    first = resolve("kernel.org:6.18.5")
    server.seen.clear()
    assert resolve("kernel.org:v6.18.5").key == first.key
    assert server.seen == []


def test_broken_connections_are_resumed(
    server: Server, tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK", 64)
    server.cuts = 2
    unpack(tmp_path / "out")
    assert (tmp_path / "out/Makefile").read_bytes() == files["Makefile"]
    ranges = [wanted for path, wanted in server.seen if path.endswith(".xz")]
    assert ranges[0] is None
    assert all(wanted and int(wanted[6:-1]) > 0 for wanted in ranges[1:])


def test_a_server_that_cannot_resume(server: Server, tmp_path: Path, files: dict[str, bytes]) -> None:
    server.cuts, server.ranges = 1, False
    unpack(tmp_path / "out")
    assert (tmp_path / "out/Makefile").read_bytes() == files["Makefile"]


def test_what_an_earlier_run_left_is_continued(server: Server, tmp_path: Path, cache: Path) -> None:
    data = server.files[f"/v6.x/{NAME}"]
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / f"{NAME}.part").write_bytes(data[:10])
    unpack(tmp_path / "out")
    assert (f"/v6.x/{NAME}", "bytes=10-") in server.seen


def test_damaged_download_is_never_used(server: Server, tmp_path: Path, cache: Path) -> None:
    source = resolve("kernel.org:6.18.5")
    server.files[f"/v6.x/{NAME}"] = b"something else"
    (tmp_path / "out").mkdir()
    with pytest.raises(LabError, match="its sha256 is not"):
        source.unpack(tmp_path / "out", quiet)
    assert list((cache / "downloads").iterdir()) == []
    assert list((tmp_path / "out").iterdir()) == []


def test_no_such_release(server: Server) -> None:
    with pytest.raises(SourceError, match=r"kernel\.org has no release 6\.18\.99"):
        resolve("kernel.org:6.18.99")


@pytest.mark.parametrize("version", ["7.3-rc1", "six", "6.18.5/../x"])
def test_versions_that_are_no_releases(version: str, cache: Path) -> None:
    with pytest.raises(SourceError, match="has no release"):
        resolve(f"kernel.org:{version}")


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernelorg.BASE_VARIABLE, "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(LabError, match="cannot read") as caught:
        resolve("kernel.org:6.18.5")
    assert "debian:VERSION" in (caught.value.hint or "")
