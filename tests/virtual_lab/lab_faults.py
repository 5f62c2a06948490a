# SPDX-License-Identifier: GPL-2.0-or-later
"""How a lab is made to go wrong: board, cables, servers, power, and who else is at it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, Final

import paramiko

from panthorlab.board.real.ssh import hostkeys
from panthorlab.kernel.find import find_kernel
from panthorlab.run.record import BootStart, Iteration
from tests.virtual_lab.campaign import SUITE, Edit
from tests.virtual_lab.scene import LIMIT, Scene, SceneError, processes


def _limits(**seconds: float) -> Edit:
    """Shorter time limits, where a fault makes a run wait for their ends."""

    def edit(data: dict[str, Any], _scene: Scene) -> None:
        data["time_limits"] = data.get("time_limits", {}) | seconds

    return edit


SHORT: Final = _limits(power=20, uboot=30, load=30, kernel=30, ssh=40)
PATIENT: Final = _limits(power=60, uboot=240, load=400, kernel=240, ssh=600, probe=300, answer=120, slowness=10)


def impatient_power(data: dict[str, Any], _scene: Scene) -> None:
    data["power"] |= {"timeout": 1, "settle": 1, "retries": 1}


def long_off_time(data: dict[str, Any], _scene: Scene) -> None:
    data["power"]["off_time"] = 10


def without_reset_line(data: dict[str, Any], _scene: Scene) -> None:
    del data["recovery"]["reset"]


def do_not_arm(data: dict[str, Any], _scene: Scene) -> None:
    data["boot"]["extlinux"]["arm"] = ["true"]


def other_work_dir(data: dict[str, Any], _scene: Scene) -> None:
    data["ssh"]["work_dir"] = "/opt/elsewhere"


def noise_at_autoboot(scene: Scene) -> None:
    scene.until_console(rb"Flash: 64 MiB")
    for _ in range(20):
        scene.lab.order("garbage", board=scene.board, size=40)
        time.sleep(0.1)  # all through the countdown of two seconds


def pause_tftp(scene: Scene) -> None:
    scene.lab.order("tftp", paused=True)
    scene.until_failed_boot()
    scene.lab.order("tftp", paused=False)


def truncate(scene: Scene) -> None:
    image = scene.until_file("*/Image")
    os.truncate(image, image.stat().st_size // 2)


def serve_other_kernel(scene: Scene) -> None:
    """Of the same size; it would boot."""
    image = scene.until_file("*/Image")
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 0xFF
    image.write_bytes(data)


_DROPBEAR: Final = "/etc/init.d/dropbear-of-known-good"


def no_ssh_server(scene: Scene) -> None:
    """Only the known-good system starts one."""
    scene.switch_on()
    scene.on_board(f"""printf '%s\\n' '#!/bin/sh' \\
'grep -qw virtual_lab.known_good /proc/cmdline && exec /usr/sbin/dropbear -F -s -W 1048576' 'exec sleep 3600' \\
>{_DROPBEAR} && chmod 755 {_DROPBEAR} && sed -i 's,/usr/sbin/dropbear .*,{_DROPBEAR},' /etc/inittab && sync""")


def ssh_server_again(scene: Scene) -> None:
    scene.restart()
    scene.on_board(f"sed -i 's,{_DROPBEAR},/usr/sbin/dropbear -F -s -W 1048576,' /etc/inittab && sync")


def pin_other_key(scene: Scene) -> None:
    hostkeys.pin(
        scene.lab.folder / "state", scene.board, [paramiko.Ed25519Key.from_private_key_file(scene.facts()["key_file"])]
    )


def pin_right_key(scene: Scene) -> None:
    kind, _, key = scene.facts()["host_key"].partition(" ")
    hostkeys.known_hosts(scene.lab.folder / "state", scene.board).write_text(f"{scene.board} {kind} {key}\n")


def pull_cable(scene: Scene) -> None:
    """Until somebody looks at the console, which works."""
    scene.until_iterating()
    scene.lab.order("network", board=scene.board, plugged=False)
    scene.until_console(rb"sysrq: HELP")
    scene.lab.order("network", board=scene.board, plugged=True)


def pull_cable_for_good(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("network", board=scene.board, plugged=False)


def fill_disk(scene: Scene) -> None:
    scene.switch_on()
    scene.on_board("dd if=/dev/zero of=/fill bs=1M 2>/dev/null; dd if=/dev/zero of=/fill.rest bs=1k 2>/dev/null; sync")


def empty_disk(scene: Scene) -> None:
    scene.on_board("rm -f /fill /fill.rest && sync")


def garbage(scene: Scene) -> None:
    scene.until_iterating()
    for _ in range(20):
        scene.lab.order("garbage", board=scene.board, size=5000)


def console_away(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("console", board=scene.board, running=False)
    have = len(scene.events(Iteration))
    scene.until(lambda: len(scene.events(Iteration)) > have + 5, "iterations without console")
    scene.lab.order("console", board=scene.board, running=True)


def relay(fault: str, times: int | None = None) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        scene.switch_on()
        scene.lab.order("relay", fault=fault, times=times)

    return prepare


def break_down(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("broken", board=scene.board, broken=True)


def switch_off(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("power", board=scene.board, on=False)


def flicker(scene: Scene) -> None:
    scene.until_iterating()
    for on in (False, True):
        scene.lab.order("power", board=scene.board, on=on)


def kill_controller(scene: Scene) -> None:
    scene.until(lambda: any(event.arm == "after" for event in scene.events(Iteration)), "the after kernel's turn")
    assert scene.process is not None
    scene.process.kill()
    scene.process.wait()
    scene.resume()


def kill_all_while_off(scene: Scene) -> None:
    """Also the worker, which would have switched on again."""
    scene.until(lambda: not scene.lab.order("state", board=scene.board)["power"], "the board is off")
    assert scene.process is not None
    scene.process.kill()
    for pid, line in processes(scene.folder):
        scene.notes.append(f"killed {line.split()[2:4]}")
        os.kill(pid, signal.SIGKILL)
    scene.process.wait()
    if scene.lab.order("state", board=scene.board)["power"]:
        raise SceneError("the board is on: it was killed too late")
    scene.resume()


def second_controller(wait: str, status: int, says: str) -> Callable[[Scene], None]:
    def inject(scene: Scene) -> None:
        scene.until(lambda: scene.events(BootStart), "a boot begins")
        other = scene.start(
            "run",
            "--kernel",
            scene.kernels[""],
            "--board",
            scene.board,
            *SUITE,
            "--iterations",
            "1",
            "--wait",
            wait,
            "--output",
            str(scene.folder / "other"),
            name="other",
        )
        found = other.wait(LIMIT)
        scene.notes.append(f"the other: exit {found}")
        if found != status or says not in scene.said("other") + str(scene.result("other")):
            raise SceneError(f"the other run had status {found}: {scene.said('other')}")

    return inject


def clock_jumps(scene: Scene) -> None:
    scene.until_iterating()
    scene.on_board("date -s '2031-01-01 00:00:00' && date -s '2001-01-01 00:00:00'")


def flood_log(scene: Scene) -> None:
    """With more than the kernel's ring buffer of 1 MiB holds, while nobody reads it."""
    scene.until_iterating()
    line = "<6>" + 896 * "x"  # with its newline as large as a block of dd: each is one record
    scene.on_board(
        f"p=$(pidof kmsg-follow) && kill -STOP $p && yes '{line}' | head -n 2000 >/tmp/flood && "
        "dd if=/tmp/flood of=/dev/kmsg bs=900; kill -CONT $p"
    )


def slow(scene: Scene) -> None:
    scene.switch_on()
    scene.lab.order("slow", board=scene.board, factor=10)


def swap_trial_image(data: dict[str, Any], scene: Scene) -> None:
    """For another build of the kernel: one byte of its build-id is another, and it boots."""
    kernel = find_kernel(scene.kernels[""], log=scene.folder / "find.log")
    at = kernel.image.read_bytes().index(bytes.fromhex(kernel.build_id))
    data["boot"]["extlinux"]["arm"] = [
        "/bin/sh",
        "-c",
        f"printf X | dd of=/boot/panthorlab/Image bs=1 seek={at} conv=notrunc && sync && fw_setenv upgrade_available 1",
    ]
