# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtual lab itself, by nothing but what a real lab offers: HTTP, TCP, SSH. panthorlab is not asked."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko
import pytest
import requests
import yaml

from tests.virtual_lab import command
from tests.virtual_lab.control import LabClient
from tests.virtual_lab.fixtures import known_good
from tests.virtual_lab.relay import Fault

pytestmark = [pytest.mark.e2e, pytest.mark.wide]

BOARD = "virtual-rk"
IAC_BREAK = b"\xff\xf3"
PATIENCE = 180.0


class Line:
    """A TCP port of the console server."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port))
        self.log = b""

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def expect(self, pattern: bytes) -> None:
        """Read on until `pattern` has come; what was before it is dropped."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.log)):
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._connection.recv(65536)
            assert data, f"the console server hung up:\n{self.log.decode(errors='replace')}"
            self.log += data
        self.log = self.log[found.end() :]

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def console(lab: LabClient) -> Iterator[Line]:
    line = Line(lab.board()["telnet_port"])
    yield line
    line.close()


def press(lab: LabClient, what: str) -> str:
    answer = requests.get(f"http://127.0.0.1:{lab.facts['relay']}/1/{what}", timeout=60)
    answer.raise_for_status()
    return answer.text.strip()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def ssh(lab: LabClient) -> Iterator[Callable[[str], str]]:
    """Run commands on whatever answers first, within the deadline; the host key must be the pinned one."""
    facts = lab.board()
    kind, key = facts["host_key"].split()
    client = paramiko.SSHClient()
    entry = paramiko.hostkeys.HostKeyEntry.from_line(f"[127.0.0.1]:{facts['ssh_port']} {kind} {key}")
    assert entry is not None
    client.get_host_keys().add(f"[127.0.0.1]:{facts['ssh_port']}", kind, entry.key)

    def connect() -> bool:
        with suppress(OSError, EOFError, paramiko.ssh_exception.NoValidConnectionsError):
            try:
                client.connect(
                    "127.0.0.1",
                    facts["ssh_port"],
                    "root",
                    key_filename=facts["key_file"],
                    timeout=60,
                    banner_timeout=10,
                    auth_timeout=60,
                    look_for_keys=False,
                    allow_agent=False,
                )
            except (paramiko.BadHostKeyException, paramiko.AuthenticationException):
                raise
            except paramiko.SSHException:
                return False
            return True
        return False

    def run(text: str) -> str:
        _, stdout, stderr = client.exec_command(text, timeout=60)
        output = stdout.read().decode()
        assert stdout.channel.recv_exit_status() == 0, f"{text}: {stderr.read().decode()}"
        return output

    try:
        until(connect)
        yield run
    finally:
        client.close()


def test_power_by_the_relay_and_a_panic_that_pstore_remembers(lab: LabClient, console: Line) -> None:
    assert press(lab, "state") == "off"
    press(lab, "on")
    assert press(lab, "state") == "on"
    power_ons = lab.order("state", board=BOARD)["power_ons"]
    console.expect(rb"U-Boot 20\d\d")
    console.expect(rb"Starting kernel")
    with ssh(lab) as run:
        until(lambda: "renderD128" in run("ls /dev/dri 2>/dev/null || true"))
        assert "panthor_pci_shim" in run("cat /proc/modules")
        boot_id = run("cat /proc/sys/kernel/random/boot_id")
        run("echo the-last-word >/dev/kmsg")
        run("(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")  # nobody would answer
    console.expect(rb"Kernel panic - not syncing: sysrq triggered crash")
    console.expect(rb"U-Boot 20\d\d")
    with ssh(lab) as run:
        assert run("cat /proc/sys/kernel/random/boot_id") != boot_id
        records = run("cat /sys/fs/pstore/dmesg-ramoops-*")
        until(lambda: "renderD128" in run("ls /dev/dri 2>/dev/null || true"))  # the model survived the reset
    assert "the-last-word" in records
    assert "sysrq triggered crash" in records
    assert lab.order("state", board=BOARD)["power_ons"] == power_ons, "a warm reset, or RAM would have been lost"
    press(lab, "off")
    assert lab.order("state", board=BOARD)["pid"] is None


def test_power_by_pdudaemon(lab: LabClient, console: Line) -> None:
    others = re.search(r"(?ms)^# power:.*?(?=^# console)", Path(lab.board()["file"]).read_text())
    assert others is not None
    switch = yaml.safe_load(re.sub("(?m)^# ", "", others[0]))["power"]["pdudaemon"]
    url = f"http://{switch['host']}:{switch['port']}/power/control"
    outlet = f"hostname={switch['pdu']}&port={switch['pdu_port']}"
    assert requests.get(f"{url}/on?{outlet}", timeout=60).ok
    console.expect(rb"U-Boot 20\d\d")
    assert requests.get(f"{url}/off?{outlet}", timeout=60).ok
    until(lambda: press(lab, "state") == "off")


def test_tasmota_speaks_like_tasmota(lab: LabClient) -> None:
    url = f"http://127.0.0.1:{lab.facts['relay']}/cm"
    assert requests.get(url, params={"cmnd": "Power1"}, timeout=60).json() == {"POWER": "OFF"}
    assert requests.get(url, params={"cmnd": "Power1 On"}, timeout=60).json() == {"POWER": "ON"}
    assert lab.order("state", board=BOARD)["power"]
    assert requests.get(url, params={"cmnd": "Power1 Off"}, timeout=60).json() == {"POWER": "OFF"}
    assert requests.get(url, params={"cmnd": "Coffee"}, timeout=60).json() == {"Command": "Unknown"}


def test_break_gets_through_ser2net(lab: LabClient, console: Line) -> None:
    press(lab, "on")
    with ssh(lab):
        console.send(IAC_BREAK)
        console.send(b"h")
        console.expect(rb"sysrq: HELP")


def test_the_reset_line_and_a_board_that_is_frozen(lab: LabClient, console: Line) -> None:
    press(lab, "on")
    console.expect(rb"stop autoboot")
    lab.order("freeze", board=BOARD, frozen=True)
    lab.order("freeze", board=BOARD, frozen=False)
    console.expect(rb"Starting kernel")
    lab.order("reset", board=BOARD)
    console.expect(rb"U-Boot 20\d\d")
    lab.order("slow", board=BOARD, factor=5)
    console.expect(rb"Starting kernel")


def test_two_boards_each_on_its_own_cpu(virtual_lab_of_two: LabClient) -> None:
    names = list(virtual_lab_of_two.facts["boards"])
    assert names == ["virtual-rk", "virtual-rk-2"]
    lines = [Line(virtual_lab_of_two.board(name)["telnet_port"]) for name in names]
    for outlet in (1, 2):
        requests.get(f"http://127.0.0.1:{virtual_lab_of_two.facts['relay']}/{outlet}/on", timeout=60).raise_for_status()
    for line in lines:
        line.expect(rb"Starting kernel")
        line.close()
    states = [virtual_lab_of_two.order("state", board=name) for name in names]
    if len(os.sched_getaffinity(0)) > 1:
        assert states[0]["cpu"] != states[1]["cpu"]
    for state in states:
        assert os.sched_getaffinity(state["pid"]) == {state["cpu"]}


def test_uboot_loads_by_tftp(lab: LabClient, console: Line) -> None:
    if not lab.facts["tftp"]:
        pytest.skip("this user may not have port 69")
    (lab.folder / "tftp" / "Image").write_bytes(os.urandom(1 << 20))
    press(lab, "on")
    console.expect(rb"stop autoboot")
    console.send(b" ")
    for text in (b"dhcp", f"setenv serverip {lab.facts['tftp']}".encode(), b"tftpboot ${kernel_addr_r} Image"):
        console.expect(rb"=> ")
        console.send(text + b"\r")
    console.expect(rb"Bytes transferred = 1048576")


def test_armed_trial_entry_is_taken_once(lab: LabClient, console: Line) -> None:
    """`fw_setenv upgrade_available 1`, as the board file's `boot.extlinux.arm` has it."""
    press(lab, "on")
    with ssh(lab) as run:
        run("cp /boot/known-good/Image /boot/panthorlab/Image")
        run(
            "sed -e 's,/known-good/,/panthorlab/,; s,virtual_lab.known_good,on_trial,' /boot/extlinux/extlinux.conf "
            ">/boot/panthorlab/trial.conf && sync"
        )
        run("fw_setenv upgrade_available 1")
        run("(sleep 1; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &")  # nobody would answer
    console.expect(rb"/panthorlab/trial.conf")
    with ssh(lab) as run:
        assert "on_trial" in run("cat /proc/cmdline")
        run("(sleep 1; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &")  # nobody would answer
    console.expect(rb"Bootlimit \(1\) exceeded")
    with ssh(lab) as run:
        assert "virtual_lab.known_good" in run("cat /proc/cmdline")
        assert run("fw_printenv upgrade_available bootcount").split() == ["upgrade_available=0", "bootcount=0"]


@pytest.mark.parametrize("fault", [Fault.LIES, Fault.SILENT, Fault.ERROR, Fault.DEAD, Fault.TIMEOUT])
def test_the_relay_fails_as_told(lab: LabClient, fault: Fault) -> None:
    lab.order("relay", fault=fault.value)
    url = f"http://127.0.0.1:{lab.facts['relay']}/1"
    match fault:
        case Fault.LIES:
            assert (press(lab, "on"), press(lab, "state")) == ("on", "on")
        case Fault.SILENT:
            assert (press(lab, "on"), press(lab, "state")) == ("on", "off")
        case Fault.ERROR:
            assert requests.get(f"{url}/on", timeout=60).status_code == 500
        case Fault.DEAD:
            with pytest.raises(requests.ConnectionError):
                requests.get(f"{url}/on", timeout=60)
        case Fault.TIMEOUT:
            with pytest.raises(requests.ReadTimeout):
                requests.get(f"{url}/on", timeout=0.5)
    assert not lab.order("state", board=BOARD)["power"]
    lab.heal()
    assert (press(lab, "on"), press(lab, "state")) == ("on", "on")


def _processes_in(folder: Path) -> list[int]:
    """Whose command line or working directory names the lab."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (
                entry.name.isdigit()
                and int(entry.name) != os.getpid()
                and (str(folder) in (entry / "cmdline").read_text() or str(folder) in str((entry / "cwd").readlink()))
            ):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("way", ["down", "kill -9"])
def test_nothing_survives_the_lab(tmp_path: Path, way: str) -> None:
    process = command.start(tmp_path, kernel=known_good(), detached=True)
    lab = LabClient(tmp_path)
    press(lab, "on")
    assert len(_processes_in(tmp_path)) >= 5  # lab, QEMU, GPU model, ser2net, pdudaemon
    if way == "down":
        assert command.main(["--lab", str(tmp_path), "down"]) == 0
    else:
        process.kill()
    process.wait(60)
    until(lambda: not _processes_in(tmp_path))
