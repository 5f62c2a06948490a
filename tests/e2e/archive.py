# SPDX-License-Identifier: GPL-2.0-or-later
"""A mailing list's archive on the loopback, as b4 speaks to lore.kernel.org: threads by message-id, and a search."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@contextmanager
def archive(threads: Mapping[str, bytes], newer: bytes = b"") -> Iterator[str]:
    """Serve `threads` by the message-ids of their mails, and `newer` to whoever searches. Yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(self._thread(), body=False)

        def do_GET(self) -> None:
            self._answer(self._thread())

        def do_POST(self) -> None:
            self._answer(newer)

        def _thread(self) -> bytes:
            return next((mbox for name, mbox in threads.items() if f"/{name}" in unquote(self.path)), b"")

        def _answer(self, mbox: bytes, *, body: bool = True) -> None:
            data = gzip.compress(mbox) if mbox else b"not found"
            self.send_response(200 if mbox else 404)
            self.send_header("Content-Type", "application/gzip" if mbox else "text/plain")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(60)


def configure(home: Path, address: str) -> None:
    """Make b4 in `home` ask `address` instead of lore.kernel.org."""
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text(
        f"[user]\n\tname = T\n\temail = t@example.org\n[b4]\n\tmidmask = {address}/all/%s\n"
        f'\tsearchmask = "{address}/all/?x=m&t=1&q=%s"\n'
    )
