# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong in a lab, as data: how it is brought about, and what panthorlab must make of it.

A fault of the kernel is one of the *after* kernel alone, and must make it `regressed`. A fault of the lab may end a run
with a lab error, or, after another attempt, leave no trace in the result; never may it be blamed on the kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import paramiko

from panthorlab.board.real.ssh import hostkeys
from panthorlab.errors import LabError
from panthorlab.kernel.find import find_kernel
from panthorlab.kernel.job import build_side, prepare_kernel
from panthorlab.outcome import Blame, Outcome
from panthorlab.run.record import BootEnd, BootStart, Event, Iteration
from tests.virtual_lab.command import FRAGMENTS
from tests.virtual_lab.control import LabClient
from tests.virtual_lab.machine_faults import (
    damage_kernel,
    damage_log,
    enough_memory_again,
    kill,
    little_memory,
    own_patch,
    warn_rarely,
)
from tests.virtual_lab.scene import (
    BOARD,
    LIMIT,
    Scene,
    SceneError,
    blamed,
    complete,
    leftovers,
    processes,
    quarantined,
    unsound,
)

PATCHES: Final = Path(__file__).parents[1] / "e2e" / "patches"
SUITE: Final = ("--suite", "heap-exit-claim", "--boots", "1")
GOOD: Final = "unrelated"
"""A patch that changes the driver and breaks nothing; "" is the base without a patch."""
Edit = Callable[[dict[str, Any], Scene], None]


@dataclass(frozen=True)
class Expected:
    """What must come out. `exits`: one of them. `says`: words that the record or the output has, of the cause. `keeps`:
    files of a boot, and words in them. `quarantined`: boards that must be. `attempts`: so many boots must have failed
    by the lab, at least."""

    exits: tuple[int, ...]
    blame: Blame | None = None
    verdict: str | None = None
    says: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    attempts: int = 0
    keeps: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """For people."""
        what = self.verdict or " or ".join(
            {0: "as undisturbed", 1: "failed", 4: "lab error"}[exit_] for exit_ in self.exits
        )
        return what + (f", blamed on the {self.blame.value}" if self.blame else "")


def _says(expected: Expected, *words: str) -> Expected:
    return replace(expected, says=(*expected.says, *words))


@dataclass(frozen=True)
class Fault:
    """`how`: for people. `prepare`: before the run is started; `inject`: while it runs, in the caller's thread, and
    `undo` when it has ended. `after`: the patch of the after kernel; None for a run of the base kernel alone.
    `builds`: the run builds the kernel of a patch of its own. `mute`: whatever the run says for people fails to be
    written."""

    name: str
    how: str
    expected: Expected
    inject: Callable[[Scene], None] = lambda _scene: None
    prepare: Callable[[Scene], None] = lambda _scene: None
    undo: Callable[[Scene], None] = lambda _scene: None
    after: str | None = None
    iterations: int = 8
    method: str = "auto"
    edits: Sequence[Edit] = ()
    boards: int = 1
    quick: bool = False
    builds: bool = False
    mute: bool = False

    def command(self, scene: Scene) -> list[str]:
        boards = [word for name in scene.boards for word in ("--board", name)]
        common = [
            *boards,
            *SUITE,
            "--iterations",
            str(self.iterations),
            "--boot-method",
            self.method,
            "--output",
            str(scene.run_dir),
        ]
        if self.builds:
            return ["validate", str(own_patch(scene)), "--expect", "no-change", *common]
        if self.after is None:
            return ["run", "--kernel", scene.kernels[""], *common]
        return [
            "validate",
            "--before",
            scene.kernels[""],
            "--after",
            scene.kernels[self.after],
            "--expect",
            "no-change",
            *common,
        ]


@dataclass(frozen=True)
class Result:
    """`happened`: in words. `problems`: what is not as expected; empty if all is well."""

    fault: Fault
    happened: str
    problems: Sequence[str]
    seconds: float
    folder: Path


def build(faults: Iterable[Fault], folder: Path) -> dict[str, str]:
    """Store keys of the kernels that these faults need, by the name of their patch; "" is the base, which all need.
    Logs go to `folder`. Raises PanthorlabError."""
    names = dict.fromkeys(["", *(fault.after for fault in faults if fault.after is not None)])
    keys = {}
    for name in names:
        plan = prepare_kernel(None, [str(PATCHES / f"{name}.patch")] if name else [], fragments=FRAGMENTS)
        keys[name] = build_side(plan, log=folder / "build.log", progress=lambda *_text: None).key
    return keys


def settle(lab: LabClient) -> None:
    """Everything well, nothing leased or quarantined; boards keep what they run."""
    lab.heal()
    for name in lab.facts["boards"]:
        (lab.folder / "state" / f"{name}.json").unlink(missing_ok=True)


def play(fault: Fault, lab: LabClient, folder: Path, kernels: Mapping[str, str]) -> Result:
    """Bring the fault about during a run, and judge what the run made of it. Raises LabError if it cannot be undone."""
    folder.mkdir(parents=True)
    settle(lab)
    boards = list(lab.facts["boards"])[: fault.boards]
    scene = Scene(lab, folder, kernels, boards)
    scene.write_board_files(fault.edits)
    began = time.monotonic()
    status: int | None = None
    try:
        fault.prepare(scene)
        status = _run(fault, scene)
        problems = _judge(fault, scene, status)
    except SceneError as error:
        problems = [f"not tried: {error}"]
    finally:
        _end(scene)
        _undo(fault, scene)
    return Result(fault, _happened(scene, status), problems, time.monotonic() - began, folder)


def _run(fault: Fault, scene: Scene) -> int:
    scene.process = scene.start(*fault.command(scene), mute=fault.mute)
    fault.inject(scene)
    try:
        return scene.process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        raise SceneError(f"the run did not end within {LIMIT:g} s") from None


def _undo(fault: Fault, scene: Scene) -> None:
    """What cannot be undone here would be taken for the next fault's doing."""
    scene.lab.heal()
    try:
        fault.undo(scene)
    except SceneError as error:
        raise LabError(f"{fault.name} cannot be undone: {error}", hint="start the campaign with a new lab") from error


def _end(scene: Scene) -> None:
    """A run that is out of its time."""
    if scene.process is not None and not scene.over:
        os.killpg(scene.process.pid, signal.SIGKILL)
        scene.process.wait()


def _judge(fault: Fault, scene: Scene, status: int) -> list[str]:
    events, expected = scene.events(Event), fault.expected
    told = scene.said() + "\n".join(str(event) for event in events) + str(scene.result())
    problems = [*unsound(events), *leftovers(scene)]
    if status not in expected.exits:
        problems.append(f"exit status {status}")
    verdict = (scene.result() or {}).get("verdict")
    if expected.verdict is not None and verdict != expected.verdict:
        problems.append(f"verdict {verdict}")
    if status in (0, 3):
        problems += complete(events)
    if expected.blame is not Blame.KERNEL:
        problems += [f"blamed on the kernel: {what}" for what in blamed(events, Blame.KERNEL)]
    elif not blamed(events, Blame.KERNEL):
        problems.append("nothing is blamed on the kernel")
    if expected.blame is Blame.LAB and status != 0 and not (blamed(events, Blame.LAB) or "panthorlab:" in told):
        problems.append("nothing is blamed on the lab")
    if len([event for event in events if isinstance(event, BootEnd) and event.blame is Blame.LAB]) < expected.attempts:
        problems.append("no boot failed by the lab")
    problems += [f"does not say `{words}`" for words in expected.says if words not in told]
    for file, words in expected.keeps:
        kept = [path.read_text(errors="replace") for path in scene.run_dir.glob(f"boots/*/{file}")]
        problems += [] if any(words in text for text in kept) else [f"no {file} has `{words}`"]
    for name in scene.boards:
        why = quarantined(scene.lab, name)
        if (name in expected.quarantined) != (why is not None):
            problems.append(f"{name} is {'not ' if why is None else ''}quarantined" + (f": {why}" if why else ""))
    return problems


def _happened(scene: Scene, status: int | None) -> str:
    boots = scene.events(BootEnd)
    bad = [end for end in boots if end.outcome is not Outcome.PASS]
    verdict = (scene.result() or {}).get("verdict")
    first = str(bad[0].reason).splitlines()[0] if bad else ""
    parts = [verdict or f"exit {status}", f"{len(boots)} boots, {len(bad)} failed" + (f": {first}" if first else "")]
    return "; ".join([*parts, *scene.notes])


# -- how things are made to go wrong ----------------------------------------------------------------------------


def _limits(**seconds: float) -> Edit:
    """Shorter time limits, where a fault makes a run wait for their ends."""

    def edit(data: dict[str, Any], _scene: Scene) -> None:
        data["time_limits"] = data.get("time_limits", {}) | seconds

    return edit


_SHORT: Final = _limits(power=20, uboot=30, load=30, kernel=30, ssh=40)
_patient: Final = _limits(power=60, uboot=240, load=400, kernel=240, ssh=600, probe=300, answer=120, slowness=10)


def _impatient_power(data: dict[str, Any], _scene: Scene) -> None:
    data["power"] |= {"timeout": 1, "settle": 1, "retries": 1}


def _long_off_time(data: dict[str, Any], _scene: Scene) -> None:
    data["power"]["off_time"] = 10


def _without_reset_line(data: dict[str, Any], _scene: Scene) -> None:
    del data["recovery"]["reset"]


def _do_not_arm(data: dict[str, Any], _scene: Scene) -> None:
    data["boot"]["extlinux"]["arm"] = ["true"]


def _other_work_dir(data: dict[str, Any], _scene: Scene) -> None:
    data["ssh"]["work_dir"] = "/opt/elsewhere"


def _noise_at_autoboot(scene: Scene) -> None:
    scene.until_console(rb"Flash: 64 MiB")
    for _ in range(20):
        scene.lab.order("garbage", board=scene.board, size=40)
        time.sleep(0.1)  # all through the countdown of two seconds


def _pause_tftp(scene: Scene) -> None:
    scene.lab.order("tftp", paused=True)
    scene.until_failed_boot()
    scene.lab.order("tftp", paused=False)


def _truncate(scene: Scene) -> None:
    image = scene.until_file("*/Image")
    os.truncate(image, image.stat().st_size // 2)


def _serve_other_kernel(scene: Scene) -> None:
    """Of the same size; it would boot."""
    image = scene.until_file("*/Image")
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 0xFF
    image.write_bytes(data)


_DROPBEAR: Final = "/etc/init.d/dropbear-of-known-good"


def _no_ssh_server(scene: Scene) -> None:
    """Only the known-good system starts one."""
    scene.switch_on()
    scene.on_board(f"""printf '%s\\n' '#!/bin/sh' \\
'grep -qw virtual_lab.known_good /proc/cmdline && exec /usr/sbin/dropbear -F -s -W 1048576' 'exec sleep 3600' \\
>{_DROPBEAR} && chmod 755 {_DROPBEAR} && sed -i 's,/usr/sbin/dropbear .*,{_DROPBEAR},' /etc/inittab && sync""")


def _ssh_server_again(scene: Scene) -> None:
    scene.restart()
    scene.on_board(f"sed -i 's,{_DROPBEAR},/usr/sbin/dropbear -F -s -W 1048576,' /etc/inittab && sync")


def _pin_other_key(scene: Scene) -> None:
    hostkeys.pin(
        scene.lab.folder / "state", scene.board, [paramiko.Ed25519Key.from_private_key_file(scene.facts()["key_file"])]
    )


def _pin_right_key(scene: Scene) -> None:
    kind, _, key = scene.facts()["host_key"].partition(" ")
    hostkeys.known_hosts(scene.lab.folder / "state", scene.board).write_text(f"{scene.board} {kind} {key}\n")


def _pull_cable(scene: Scene) -> None:
    """Until somebody looks at the console, which works."""
    scene.until_iterating()
    scene.lab.order("network", board=scene.board, plugged=False)
    scene.until_console(rb"sysrq: HELP")
    scene.lab.order("network", board=scene.board, plugged=True)


def _pull_cable_for_good(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("network", board=scene.board, plugged=False)


def _fill_disk(scene: Scene) -> None:
    scene.switch_on()
    scene.on_board("dd if=/dev/zero of=/fill bs=1M 2>/dev/null; dd if=/dev/zero of=/fill.rest bs=1k 2>/dev/null; sync")


def _empty_disk(scene: Scene) -> None:
    scene.on_board("rm -f /fill /fill.rest && sync")


def _garbage(scene: Scene) -> None:
    scene.until_iterating()
    for _ in range(20):
        scene.lab.order("garbage", board=scene.board, size=5000)


def _console_away(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("console", board=scene.board, running=False)
    have = len(scene.events(Iteration))
    scene.until(lambda: len(scene.events(Iteration)) > have + 5, "iterations without console")
    scene.lab.order("console", board=scene.board, running=True)


def _relay(fault: str, times: int | None = None) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        scene.switch_on()
        scene.lab.order("relay", fault=fault, times=times)

    return prepare


def _break_down(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("broken", board=scene.board, broken=True)


def _switch_off(scene: Scene) -> None:
    scene.until_iterating()
    scene.lab.order("power", board=scene.board, on=False)


def _flicker(scene: Scene) -> None:
    scene.until_iterating()
    for on in (False, True):
        scene.lab.order("power", board=scene.board, on=on)


def _kill_controller(scene: Scene) -> None:
    scene.until(lambda: any(event.arm == "after" for event in scene.events(Iteration)), "the after kernel's turn")
    assert scene.process is not None
    scene.process.kill()
    scene.process.wait()
    scene.resume()


def _kill_all_while_off(scene: Scene) -> None:
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


def _second_controller(wait: str, status: int, says: str) -> Callable[[Scene], None]:
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


def _clock_jumps(scene: Scene) -> None:
    scene.until_iterating()
    scene.on_board("date -s '2031-01-01 00:00:00' && date -s '2001-01-01 00:00:00'")


def _flood_log(scene: Scene) -> None:
    """With more than the kernel's ring buffer of 1 MiB holds, while nobody reads it."""
    scene.until_iterating()
    line = "<6>" + 896 * "x"  # with its newline as large as a block of dd: each is one record
    scene.on_board(
        f"p=$(pidof kmsg-follow) && kill -STOP $p && yes '{line}' | head -n 2000 >/tmp/flood && "
        "dd if=/tmp/flood of=/dev/kmsg bs=900; kill -CONT $p"
    )


def _slow(scene: Scene) -> None:
    scene.switch_on()
    scene.lab.order("slow", board=scene.board, factor=10)


def _swap_trial_image(data: dict[str, Any], scene: Scene) -> None:
    """For another build of the kernel: one byte of its build-id is another, and it boots."""
    kernel = find_kernel(scene.kernels[""], log=scene.folder / "find.log")
    at = kernel.image.read_bytes().index(bytes.fromhex(kernel.build_id))
    data["boot"]["extlinux"]["arm"] = [
        "/bin/sh",
        "-c",
        f"printf X | dd of=/boot/panthorlab/Image bs=1 seek={at} conv=notrunc && sync && fw_setenv upgrade_available 1",
    ]


_KERNEL = Expected((1,), Blame.KERNEL, "regressed")
_LAB = Expected((4,), Blame.LAB)
_NOTHING = Expected((0,))
_UNDECIDED = Expected((3,), verdict="inconclusive")  # as undisturbed: so few iterations prove nothing
_RETRIED = Expected((0,), attempts=1)

_ALL = (
    # -- of the kernel under test
    Fault(
        "panic",
        "after panics when a process dies",
        replace(
            _says(_KERNEL, "panthor has no way out", "crash record"),
            keeps=(("recovery/pstore/dmesg-*", "panthor has no way out"),),
        ),
        after="panic",
        quick=True,
    ),
    Fault("oops", "after writes to nowhere when a process dies", _says(_KERNEL, "oops"), after="oops"),
    Fault(
        "hang",
        "after spins with interrupts off",
        replace(
            _says(_KERNEL, "answers neither SSH nor the console", "reset line"),
            keeps=(("recovery/pstore/console-*", "panthorlab: "),),
        ),
        after="hang",
    ),
    Fault(
        "hang-power",
        "the same, and the board has no reset line",
        _says(_KERNEL, "power cycle"),
        after="hang",
        edits=(_without_reset_line,),
    ),
    Fault(
        "lockup",
        "after spins with interrupts on",
        replace(
            _says(_KERNEL, "soft lockup", "sysrq-w"),
            keeps=(("recovery/sysrq.txt", "task:heap-exit"), ("recovery/sysrq.txt", "panthor_vm_pool_destroy")),
        ),
        after="lockup",
    ),
    Fault("late-fault", "after faults 20 ms after a VM has gone", _says(_KERNEL, "mmu-fault"), after="late-fault"),
    Fault(
        "rare-warning",
        "one warning on after, and one on before when it is asked for it",
        replace(_UNDECIDED, blame=Blame.KERNEL),
        warn_rarely,
        after=GOOD,
        iterations=60,
    ),
    Fault("reset", "after resets the board without a word", _says(_KERNEL, "reset by itself"), after="reset"),
    # -- firmware and what it loads
    Fault(
        "prompt-lost", "noise on the line while U-Boot counts down", _NOTHING, _noise_at_autoboot, method="uboot-tftp"
    ),
    Fault(
        "tftp-timeout",
        "the TFTP server hangs during the first boot",
        _says(_RETRIED, "Image"),
        _pause_tftp,
        method="uboot-tftp",
        edits=(_SHORT,),
    ),
    Fault(
        "tftp-truncated",
        "half of the Image is there in the first boot",
        _says(_RETRIED, "U-Boot got"),
        _truncate,
        method="uboot-tftp",
    ),
    Fault(
        "tftp-other-kernel",
        "another kernel of the same size is there in the first boot",
        _says(_RETRIED, "is not what was built"),
        _serve_other_kernel,
        method="uboot-tftp",
    ),
    Fault(
        "wrong-kernel",
        "firmware boots the known-good kernel again and again",
        _says(_LAB, "known-good kernel"),
        method="extlinux",
        edits=(_do_not_arm,),
    ),
    Fault(
        "wrong-build",
        "the trial entry is another build",
        _says(_LAB, "build-id"),
        method="extlinux",
        edits=(_swap_trial_image,),
    ),
    # -- SSH
    Fault(
        "ssh-refused",
        "the system starts no SSH server for that kernel",
        _says(_LAB, "SSH"),
        method="uboot-tftp",
        prepare=_no_ssh_server,
        undo=_ssh_server_again,
        edits=(_SHORT,),
    ),
    Fault(
        "host-key",
        "the board shows another host key than the pinned one",
        _says(_LAB, "has changed", "boards trust"),
        prepare=_pin_other_key,
        undo=_pin_right_key,
        quick=True,
    ),
    Fault(
        "network-drops",
        "the cable is pulled for a while in an iteration",
        _says(_RETRIED, "SSH"),
        _pull_cable,
        iterations=60,
    ),
    Fault(
        "network-gone",
        "the cable is pulled for good in an iteration",
        replace(_says(_LAB, "boards train"), quarantined=(BOARD,)),
        _pull_cable_for_good,
        iterations=60,
        edits=(_SHORT,),
    ),
    Fault(
        "disk-full",
        "no room for the programs on the board",
        _says(_LAB, "its disk is full"),
        prepare=_fill_disk,
        undo=_empty_disk,
        edits=(_other_work_dir,),
    ),
    # -- console
    Fault("garbage", "100 kB of noise on the line during iterations", _NOTHING, _garbage, iterations=60),
    Fault("console-drops", "ser2net ends during iterations, and comes back", _NOTHING, _console_away, iterations=60),
    # -- power
    Fault(
        "relay-lies",
        "the relay says it has switched, and has not",
        _says(_LAB, "after power on"),
        prepare=_relay("lies"),
        edits=(_impatient_power, _SHORT),
    ),
    Fault(
        "relay-silent",
        "the relay switches nothing, and tells so",
        _says(_LAB, "power is not off"),
        prepare=_relay("silent"),
        edits=(_impatient_power,),
    ),
    Fault(
        "relay-timeout",
        "the relay does not answer the first requests",
        _NOTHING,
        prepare=_relay("timeout", 2),
        edits=(_impatient_power,),
    ),
    Fault(
        "relay-mute",
        "the relay never answers",
        _says(_LAB, "power"),
        prepare=_relay("timeout"),
        edits=(_impatient_power,),
    ),
    Fault("relay-500", "the relay answers 500 to the first requests", _NOTHING, prepare=_relay("error", 2)),
    Fault(
        "relay-dead",
        "the relay refuses connections",
        _says(_LAB, "power"),
        prepare=_relay("dead"),
        edits=(_impatient_power,),
        quick=True,
    ),
    Fault(
        "power-cut",
        "somebody switches the board off in an iteration",
        _says(_RETRIED, "no power"),
        _switch_off,
        iterations=60,
    ),
    Fault(
        "power-flickers",
        "the board is without power for a moment in an iteration",
        _says(_RETRIED, "power"),
        _flicker,
        iterations=60,
    ),
    # -- the board
    Fault(
        "never-back",
        "the board breaks down in an iteration",
        replace(_says(_LAB, "boards train"), quarantined=(BOARD,)),
        _break_down,
        undo=Scene.restart,
        iterations=60,
        edits=(_SHORT,),
    ),
    Fault(
        "never-back-of-two",
        "one of two boards breaks down in an iteration",
        replace(_NOTHING, quarantined=(BOARD,)),
        _break_down,
        undo=Scene.restart,
        iterations=60,
        edits=(_SHORT,),
        boards=2,
    ),
    Fault("clock-jumps", "the board's clock jumps in an iteration", _NOTHING, _clock_jumps, iterations=60),
    Fault(
        "kmsg-overrun",
        "the log overruns the kernel's buffer in an iteration",
        _says(_LAB, "not whole"),
        _flood_log,
        iterations=60,
    ),
    Fault("slow", "the board has a tenth of its speed", _NOTHING, prepare=_slow, edits=(_patient,)),
    # -- the controller
    Fault(
        "killed",
        "kill -9 of the controller in an iteration, then `panthorlab resume`",
        _UNDECIDED,
        _kill_controller,
        after=GOOD,
        iterations=60,
    ),
    Fault(
        "killed-while-off",
        "kill -9 of all its processes while they had the board off, then `panthorlab resume`",
        _UNDECIDED,
        _kill_all_while_off,
        prepare=Scene.switch_on,
        after=GOOD,
        edits=(_long_off_time,),
    ),
    # -- the controller's machine
    Fault(
        "store-damaged",
        "4 KiB of garbage in a stored Image",
        _says(_LAB, "Image is not what was stored"),
        prepare=damage_kernel,
        quick=True,
    ),
    Fault(
        "log-damaged",
        "kill -9 of the controller and a flipped bit of its log; the log restored, and resumed",
        _UNDECIDED,
        damage_log,
        after=GOOD,
        iterations=60,
    ),
    Fault("stderr-full", "nothing can be written to stderr", _UNDECIDED, after=GOOD, mute=True, quick=True),
    Fault(
        "make-killed",
        "kill -9 of make in a build, then `panthorlab resume`",
        _says(_UNDECIDED, "signal 9"),
        kill("make"),
        prepare=Scene.switch_on,
        builds=True,
    ),
    Fault(
        "compiler-killed",
        "kill -9 of cc1 in a build, then `panthorlab resume`",
        _says(_UNDECIDED, "Killed signal terminated program cc1"),
        kill("cc1", "/panthor_"),
        prepare=Scene.switch_on,
        builds=True,
    ),
    Fault(
        "ld-killed",
        "kill -9 of ld in a build, then `panthorlab resume`",
        _says(_UNDECIDED, "killed"),
        kill("ld", "vmlinux"),
        prepare=Scene.switch_on,
        builds=True,
    ),
    Fault(
        "build-starved",
        "a build has 32 MiB of memory, then `panthorlab resume`",
        _says(_UNDECIDED, "memory"),
        enough_memory_again,
        prepare=little_memory,
        builds=True,
    ),
    Fault(
        "two-controllers",
        "another run wants the board, and will not wait for it",
        _NOTHING,
        _second_controller("1", 4, "is leased by"),
        quick=True,
    ),
    Fault("two-in-turn", "another run waits for the board", _NOTHING, _second_controller("600", 0, "waiting up to")),
)
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _ALL}
