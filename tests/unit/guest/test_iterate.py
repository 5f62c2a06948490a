# SPDX-License-Identifier: GPL-2.0-or-later
"""`iterate` on the host, with a FIFO for /dev/kmsg and a fake sentinel: markers, judgement, nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from panthorlab.gpu import pci
from tests.unit.guest.conftest import ITERATE

HERE = Path(__file__).parent

RESULT = re.compile(
    r"^(?P<ok>ok|not ok) (?P<number>\d+) (?P<name>\S+) # id=(?P<id>\S+) status=(?P<status>-?\d+) signal=(?P<signal>\d+)"
    r" us=(?P<us>\d+) sentinel=(?P<sentinel>ok|fail|none)(?P<timeout> timeout=1)?$",
    re.MULTILINE,
)
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
GOOD = "KTAP version 1\\n1..1\\nok 1 job\\n"


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    kmsg: str

    @property
    def results(self) -> list[dict[str, str | None]]:
        return [match.groupdict() for match in RESULT.finditer(self.out)]

    @property
    def ok(self) -> bool:
        (only,) = self.results
        assert (self.status == 0) == (only["ok"] == "ok")
        return self.status == 0


class Iterate:
    def __init__(self, program: Path, fifo: Path) -> None:
        self.program, self.fifo = program, fifo

    def __call__(self, *argv: str, options: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Ran:
        kmsg = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        try:
            done = subprocess.run(
                [self.program, "--name", "w/x", "--prefix", "t", *options, "--", *argv],
                stdout=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                timeout=30,
                env={**os.environ, **(env or {})},
                check=False,
            )
            try:
                log = os.read(kmsg, 65536).decode()
            except BlockingIOError:
                log = ""
        finally:
            os.close(kmsg)
        return Ran(done.returncode, done.stdout, log)

    def sh(self, script: str, *options: str, env: dict[str, str] | None = None) -> Ran:
        return self("/bin/sh", "-c", script, options=options, env=env)


@pytest.fixture(scope="module")
def iterate(compile_guest: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterate:
    fifo = tmp_path_factory.mktemp("kmsg") / "kmsg"
    os.mkfifo(fifo)
    devices = fifo.with_name("devices")
    (devices / "0000:00:02.0").mkdir(parents=True)
    (devices / "bind").write_text("")
    (devices / "0000:00:02.0" / "config").write_bytes(bytes(pci.SIZE))
    program = compile_guest(
        "iterate", [*ITERATE, HERE / "fake_sentinel.c"], [f'KMSG_PATH="{fifo}"', f'MARK_DEVICES="{devices}"']
    )
    return Iterate(program, fifo)


def test_the_emulated_gpu_is_told_where_an_iteration_begins_and_ends(iterate: Iterate) -> None:
    config = iterate.fifo.with_name("devices") / "0000:00:02.0" / "config"
    within = config.with_name("within")
    assert iterate.sh(f"cp {config} {within}; printf '{GOOD}'", "--first", "41").ok
    marks = [int.from_bytes(file.read_bytes()[pci.MARK : pci.MARK + 4], "little") for file in (within, config)]
    assert marks == [pci.mark_of("t-41") | pci.MARK_BEGIN, pci.mark_of("t-41")]
    assert len(config.read_bytes()) == pci.SIZE


def test_output_and_markers(iterate: Iterate) -> None:
    ran = iterate.sh(f"printf '{GOOD}'", "--count", "2", "--first", "7")
    assert ran.status == 0
    assert ran.kmsg.splitlines() == [
        f"<6>panthorlab: begin id=t-7 workload=w/x boot={BOOT}",
        "sentinel",
        "<6>panthorlab: end id=t-7",
        f"<6>panthorlab: begin id=t-8 workload=w/x boot={BOOT}",
        "sentinel",
        "<6>panthorlab: end id=t-8",
    ]
    lines = ran.out.splitlines()
    assert lines[:6] == [
        "KTAP version 1",
        "1..2",
        f"# panthorlab begin id=t-7 workload=w/x boot={BOOT}",
        "    KTAP version 1",
        "    1..1",
        "    ok 1 job",
    ]
    assert lines[7] == "# panthorlab end id=t-7"
    assert [(r["number"], r["id"], r["status"], r["signal"]) for r in ran.results] == [
        ("1", "t-7", "0", "0"),
        ("2", "t-8", "0", "0"),
    ]


@pytest.mark.parametrize(
    ("script", "options", "good"),
    [
        ("true", (), True),
        ("exit 3", (), False),
        ("echo chatter", (), True),
        (f"printf '{GOOD}'", (), True),
        (f"printf '{GOOD}'; exit 1", (), False),
        ("printf 'KTAP version 1\\n1..2\\nok 1 a\\n'", (), False),  # one of two never ran
        ("printf 'KTAP version 1\\nok 1 a\\n'", (), False),  # no plan
        ("printf 'KTAP version 1\\n1..1\\nnot ok 1 a\\n'", (), False),
        ("printf 'KTAP version 1\\n1..2\\nok 1 a\\nnot ok 2 b\\n'", (), False),
        ("printf '1..1\\nok 1 a'", (), True),  # the last line has no end
        ("printf 'KTAP version 1\\n1..1\\nok 1 a\\nBail out! b\\n'", (), False),
        (f"printf '{GOOD}' >&2", (), True),
        (f"printf '{GOOD}'; kill -9 $$", ("--expect-signal", "9"), True),
        (f"printf '{GOOD}'; kill -11 $$", ("--expect-signal", "9"), False),
        (f"printf '{GOOD}'; kill -9 $$", (), False),
        (f"printf '{GOOD}'", ("--expect-signal", "9"), False),  # it did not die
        ("kill -9 $$", ("--expect-signal", "9"), False),  # it died without having worked
    ],
)
def test_judgement(iterate: Iterate, script: str, options: tuple[str, ...], good: bool) -> None:
    assert iterate.sh(script, *options).ok is good


def test_sentinel_failure_is_a_failure(iterate: Iterate) -> None:
    ran = iterate.sh(f"printf '{GOOD}'", env={"SENTINEL_FAILS": "1"})
    assert not ran.ok
    assert ran.results[0]["sentinel"] == "fail"
    assert "# sentinel: told to fail" in ran.out


def test_without_sentinel(iterate: Iterate) -> None:
    ran = iterate.sh(f"printf '{GOOD}'", "--no-sentinel")
    assert ran.ok
    assert ran.results[0]["sentinel"] == "none"
    assert "sentinel" not in ran.kmsg


def test_deadline_kills_the_whole_group(iterate: Iterate, tmp_path: Path) -> None:
    ran = iterate.sh(f"sleep 100 & echo $! > {tmp_path}/pid; sleep 100", "--timeout-ms", "1500")
    assert not ran.ok
    assert ran.results[0]["timeout"]
    assert ran.results[0]["signal"] == "9"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_end_marker_waits_for_orphans(iterate: Iterate, tmp_path: Path) -> None:
    """A grandchild that outlives the program, and has let go of its output, still belongs to the iteration."""
    gone = tmp_path / "gone"
    ran = iterate.sh(f"(exec >/dev/null 2>&1; sleep 0.2; echo > {iterate.fifo}; touch {gone}) & printf '{GOOD}'")
    assert ran.ok
    assert gone.exists()
    assert ran.kmsg.splitlines() == [
        f"<6>panthorlab: begin id=t-0 workload=w/x boot={BOOT}",
        "",
        "sentinel",
        "<6>panthorlab: end id=t-0",
    ]


def test_lines_of_a_slow_program_come_while_it_runs(iterate: Iterate) -> None:
    """It ends only when the reader has seen its line, so the line cannot have waited for the end."""
    kmsg = os.open(iterate.fifo, os.O_RDWR | os.O_NONBLOCK)
    argv = [str(iterate.program), "--name", "a", "--prefix", "t", "--", "/bin/sh", "-c", "echo here; read x"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line == b"    here\n":
                process.stdin.write(b"go on\n")
                process.stdin.flush()
                break
        assert b"ok 1 a # id=t-0" in process.stdout.read()
    os.close(kmsg)
    assert process.returncode == 0


def test_long_lines_and_binary_output(iterate: Iterate) -> None:
    ran = iterate.sh("head -c 100000 /dev/zero | tr '\\0' x; printf '\\n\\001\\377\\n'; printf '1..1\\nok 1 a\\n'")
    assert ran.ok
    assert max(len(line) for line in ran.out.splitlines()) < 2000


def test_missing_program(iterate: Iterate) -> None:
    ran = iterate("/no/such/program")
    assert not ran.ok
    assert ran.results[0]["status"] == "127"
    assert "No such file or directory" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--name", "a"],
        ["--name", "a b", "--prefix", "p", "--", "true"],
        ["--name", "a", "--prefix", "", "--", "true"],
        ["--name", "a", "--prefix", "p"],
        ["--name", "a", "--prefix", "p", "--count", "-1", "--", "true"],
        ["--name", "a\nb", "--prefix", "p", "--", "true"],
        ["--name", "a", "--prefix", "p", "--count", "1x", "--", "true"],
        ["--bogus"],
    ],
)
def test_usage(iterate: Iterate, arguments: list[str]) -> None:
    done = subprocess.run([iterate.program, *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr
