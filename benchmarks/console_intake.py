#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the console of a real board is taken in, findings on: read, logged, split, watched, scanned.

The log of `log_scan.py` goes through a pseudo terminal, a socket (raw TCP as ser2net speaks it), and telnet; another
process writes it. Findings and the panic at the end must come out, or there is no figure.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import log_scan

from panthorlab.board.panic import PanicWatcher
from panthorlab.board.real.console.console import open_console
from panthorlab.board.real.file import ConsoleSection, TcpConsole, TelnetConsole, TtyConsole
from panthorlab.errors import LabError
from panthorlab.kmsg import LogScanner

FAULTS = 241
END = "Kernel panic - not syncing: end of the benchmark"
LIMIT = 120.0


def _write(fd: int, lab: int, data: bytes, go: int) -> None:
    """The board: a process of its own, which starts when told to, and has nothing of the lab's."""
    if os.fork() == 0:
        try:
            os.close(lab)
            os.read(go, 1)
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left[:65536]) :]
            os.read(go, 1)
        finally:
            os._exit(0)


@contextmanager
def pseudo_terminal(log: bytes, go: int) -> Iterator[ConsoleSection]:
    board, lab = os.openpty()
    tty.setraw(lab)
    _write(board, lab, log, go)
    yield TtyConsole(transport="tty", device=os.ttyname(lab))
    os.close(board)
    os.close(lab)


@contextmanager
def raw_tcp(log: bytes, go: int) -> Iterator[ConsoleSection]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _accept(server, log, go)
        yield TcpConsole(transport="tcp", host="127.0.0.1", port=server.getsockname()[1])


@contextmanager
def telnet(log: bytes, go: int) -> Iterator[ConsoleSection]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        _accept(server, b"\xff\xfb\x00\xff\xfd\x00" + log.replace(b"\xff", b"\xff\xff"), go)
        yield TelnetConsole(transport="telnet", host="127.0.0.1", port=server.getsockname()[1])


def _accept(server: socket.socket, log: bytes, go: int) -> None:
    if os.fork() == 0:
        try:
            connection, _ = server.accept()
            os.read(go, 1)
            connection.sendall(log)
            os.read(go, 1)
        finally:
            os._exit(0)


TRANSPORTS = {"raw TCP": raw_tcp, "telnet": telnet, "pseudo terminal": pseudo_terminal}


@dataclass(frozen=True)
class Rate:
    """MiB per second: of time on the clock, in which the writer has its part, and of our processor time."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.processor:.0f} MiB/s (clock: {self.wall:.0f})"


def measure(transport: str, size: int) -> Rate:
    """Raises LabError if something got lost."""
    log = log_scan.make_log(size, FAULTS).replace(b"\n", b"\r\n") + f"[99999.000000] {END}\r\n".encode()
    go, start = os.pipe()
    try:
        with tempfile.TemporaryDirectory() as scratch, TRANSPORTS[transport](log, go) as section:
            watcher, scanner, found = PanicWatcher(), LogScanner(), 0

            def scan(data: bytes) -> None:
                nonlocal found
                found += len(scanner.feed(data))

            console = open_console(section, Path(scratch, "log"), listeners=[watcher])
            try:
                with console.tap(scan):
                    begin, used = time.monotonic(), time.process_time()
                    os.write(start, b"g")
                    console.wait_for(lambda line: line.text.endswith(END.encode()), LIMIT)
                    seconds, used = time.monotonic() - begin, time.process_time() - used
            finally:
                console.close()
            found += len(scanner.close())
            if found != FAULTS + 1 or watcher.panic is None or console.log.read_bytes() != log or console.error:
                raise LabError(f"{transport}: {found} findings of {FAULTS + 1}, panic {watcher.panic}, {console.error}")
    finally:
        os.write(start, b"e")
        os.close(start)
        os.close(go)
        os.wait()
    mib = len(log) / (1 << 20)
    return Rate(mib / seconds, mib / used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, metavar="MIB")
    options = parser.parse_args()
    for transport in TRANSPORTS:
        print(f"{transport:20} {measure(transport, options.size << 20)}", flush=True)


if __name__ == "__main__":
    main()
