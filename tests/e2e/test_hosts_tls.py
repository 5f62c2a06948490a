# SPDX-License-Identifier: GPL-2.0-or-later
"""The certificates and units of docs/hosts.md as they stand there: with them boots run, and strangers run nothing."""

from __future__ import annotations

import re
import shlex
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client
from distributed.security import Security

from panthorlab import spawn
from panthorlab.run.hosts.session import slots
from tests.loopback_hosts import DEADLINE, cache_of_its_own, free_port

from .conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.wide]
TEXT = (Path(__file__).parents[2] / "docs/hosts.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TLS_ALERT = b"\x15"
HOST = "127.0.0.2"
"""What others reach; they do not reach 127.0.0.1."""
EXAMPLE = "scheduler.example:8786"


def made(folder: Path) -> Path:
    """The recipe's certificates."""
    (recipe,) = [block for block in BLOCKS if block.startswith("openssl")]
    folder.mkdir()
    subprocess.run(["bash", "-eu"], cwd=folder, input=recipe.encode(), capture_output=True, check=True)
    return folder


def command(word: str) -> list[str]:
    """What the unit of that `dask` program runs."""
    found = re.findall(rf"^ExecStart=(\S+/dask {word} (?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
    assert len(found) == 1
    return shlex.split(found[0].replace("\\\n", " "))


@dataclass(frozen=True)
class Machine:
    """Where the units' files are, instead of in /etc and /var/lib."""

    certificates: Path
    state: Path

    @contextmanager
    def runs(self, word: str, address: str) -> Iterator[Path]:
        """Within, it runs the unit's `dask WORD`; gives its output."""
        own = {
            "/opt/panthorlab/bin": str(Path(sys.executable).parent),
            "/etc/panthorlab": str(self.certificates),
            "/var/lib/panthorlab": str(self.state),
            EXAMPLE: address,
            "%H": "host",
            "%i": "1",
        }
        argv = command(word)
        for name, value in own.items():
            argv = [argument.replace(name, value) for argument in argv]
        if word == "scheduler":
            argv[argv.index("--port") + 1] = address.rpartition(":")[2]
        log = self.state / f"{word}.log"
        with log.open("wb") as output:
            env = cache_of_its_own(self.state) if word == "worker" else None
            process = spawn.spawn([*argv, "--host", HOST], stdout=output, stderr=subprocess.STDOUT, env=env)
        try:
            yield log
        finally:
            spawn.end(process, gently=5)


@contextmanager
def scheduler(folder: Path, name: str) -> Iterator[tuple[Machine, str]]:
    """With certificates of an authority of its own."""
    (folder / name).mkdir()
    machine, address = Machine(made(folder / f"{name}-tls"), folder / name), f"{HOST}:{free_port()}"
    with machine.runs("scheduler", address) as log:
        until(lambda: "Scheduler at" in log.read_text(), log)
        yield machine, address


def until(condition: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def taking(machine: Machine, address: str) -> list[str]:
    """The workers that take boots."""
    files = {"tls_ca_file": "ca.pem", "tls_client_cert": "me.pem", "tls_client_key": "me.key"}
    security = Security(
        **{name: str(machine.certificates / file) for name, file in files.items()}, require_encryption=True
    )
    with Client(f"tls://{address}", security=security, timeout=DEADLINE, set_as_default=False) as client:
        return list(slots(client))


def as_me(certificates: Path) -> tuple[str | Path, ...]:
    return (
        *("--hosts-tls-ca", certificates / "ca.pem"),
        *("--hosts-tls-cert", certificates / "me.pem"),
        *("--hosts-tls-key", certificates / "me.key"),
    )


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    host, _, port = address.rpartition("//")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        yield connection


def greeting(address: str, certificates: Path | None) -> bytes:
    """The first byte for whoever has these; empty if the connection is ended instead."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificates is not None:
        context.load_cert_chain(certificates / "me.pem", certificates / "me.key")
    with connected(address) as plain:
        try:  # in TLS 1.3 what the other side thinks of a certificate comes with the first bytes
            with context.wrap_socket(plain) as connection:
                return connection.recv(1)
        except (ssl.SSLError, ConnectionError):
            return b""


def plain_greeting(address: str) -> bytes:
    """The same for whoever speaks no TLS."""
    with connected(address) as connection:
        try:
            connection.sendall(b"identity" * 100)
            return connection.recv(1)
        except ConnectionError:
            return b""


def assert_only_for_this_machine(log: Path) -> None:
    """The pages that the program serves over HTTP; of their address it tells only the port rightly."""
    port = re.findall(r"dashboard at:.*:(\d+)", log.read_text())[0]
    with connected(f"127.0.0.1:{port}"):
        pass
    with pytest.raises(ConnectionRefusedError), connected(f"{HOST}:{port}"):
        pass


@contextmanager
def host(machine: Machine, address: str) -> Iterator[str]:
    """A worker of that scheduler; gives its address."""
    with machine.runs("worker", address) as log:
        until(lambda: taking(machine, address), log)
        yield taking(machine, address)[0]


def test_boots_run_as_the_page_says(cli: Cli, build: Callable[[Sequence[str]], str], tmp_path: Path) -> None:
    asked = ("run", "--kernel", build([]), "--suite", "probe", "--boots", "1", "--output", tmp_path / "run")
    with scheduler(tmp_path, "lab") as (lab, address), host(lab, address):
        done = cli(*asked, "--hosts", f"tls://{address}", *as_me(lab.certificates))
        assert done.exit == 0, done.stderr


def test_strangers_are_told_nothing_and_run_nothing(cli: Cli, tmp_path: Path) -> None:
    with ExitStack() as stack:
        lab, address = stack.enter_context(scheduler(tmp_path, "lab"))
        stranger, elsewhere = stack.enter_context(scheduler(tmp_path, "stranger"))
        worker = stack.enter_context(host(lab, address))
        for place in (address, worker):
            assert greeting(place, lab.certificates)
            assert not greeting(place, stranger.certificates)
            assert not greeting(place, None)
            assert plain_greeting(place) in (b"", TLS_ALERT)
        for program in ("scheduler", "worker"):  # even without dashboard there are some pages, for anybody
            assert_only_for_this_machine(lab.state / f"{program}.log")

        for reached, certificates in ((address, stranger.certificates), (elsewhere, lab.certificates)):
            refused = cli("run", "--kernel", "none", "--hosts", f"tls://{reached}", *as_me(certificates))
            assert refused.exit == 4
            assert "cannot be reached" in refused.stderr

        (tmp_path / "other").mkdir()
        lost = stack.enter_context(Machine(lab.certificates, tmp_path / "other").runs("worker", elsewhere))
        until(lambda: lost.read_text().count("Waiting to connect") > 3, lost)
        assert "Registered to" not in lost.read_text()
        assert taking(stranger, elsewhere) == []
