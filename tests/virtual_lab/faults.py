# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong in a lab, as data: how it is brought about, and what panthorlab must make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from panthorlab.outcome import Blame
from tests.virtual_lab.campaign import GOOD, Expected, Fault, says
from tests.virtual_lab.lab_faults import (
    PATIENT,
    SHORT,
    break_down,
    clock_jumps,
    console_away,
    do_not_arm,
    empty_disk,
    fill_disk,
    flicker,
    flood_log,
    garbage,
    impatient_power,
    kill_all_while_off,
    kill_controller,
    long_off_time,
    no_ssh_server,
    noise_at_autoboot,
    other_work_dir,
    pause_tftp,
    pin_other_key,
    pin_right_key,
    pull_cable,
    pull_cable_for_good,
    relay,
    second_controller,
    serve_other_kernel,
    slow,
    ssh_server_again,
    swap_trial_image,
    switch_off,
    truncate,
    without_reset_line,
)
from tests.virtual_lab.machine_faults import (
    damage_kernel,
    damage_log,
    enough_memory_again,
    kill,
    little_memory,
    warn_rarely,
)
from tests.virtual_lab.scene import BOARD, Scene

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
            says(_KERNEL, "panthor has no way out", "crash record"),
            keeps=(("recovery/pstore/dmesg-*", "panthor has no way out"),),
        ),
        after="panic",
        quick=True,
    ),
    Fault("oops", "after writes to nowhere when a process dies", says(_KERNEL, "oops"), after="oops"),
    Fault(
        "hang",
        "after spins with interrupts off",
        replace(
            says(_KERNEL, "answers neither SSH nor the console", "reset line"),
            keeps=(("recovery/pstore/console-*", "panthorlab: "),),
        ),
        after="hang",
    ),
    Fault(
        "hang-power",
        "the same, and the board has no reset line",
        says(_KERNEL, "power cycle"),
        after="hang",
        edits=(without_reset_line,),
    ),
    Fault(
        "lockup",
        "after spins with interrupts on",
        replace(
            says(_KERNEL, "soft lockup", "sysrq-w"),
            keeps=(("recovery/sysrq.txt", "task:heap-exit"), ("recovery/sysrq.txt", "panthor_vm_pool_destroy")),
        ),
        after="lockup",
    ),
    Fault("late-fault", "after faults 20 ms after a VM has gone", says(_KERNEL, "mmu-fault"), after="late-fault"),
    Fault(
        "rare-warning",
        "one warning on after, and one on before when it is asked for it",
        replace(_UNDECIDED, blame=Blame.KERNEL),
        warn_rarely,
        after=GOOD,
        iterations=60,
    ),
    Fault("reset", "after resets the board without a word", says(_KERNEL, "reset by itself"), after="reset"),
    # -- firmware and what it loads
    Fault(
        "prompt-lost", "noise on the line while U-Boot counts down", _NOTHING, noise_at_autoboot, method="uboot-tftp"
    ),
    Fault(
        "tftp-timeout",
        "the TFTP server hangs during the first boot",
        says(_RETRIED, "Image"),
        pause_tftp,
        method="uboot-tftp",
        edits=(SHORT,),
    ),
    Fault(
        "tftp-truncated",
        "half of the Image is there in the first boot",
        says(_RETRIED, "U-Boot got"),
        truncate,
        method="uboot-tftp",
    ),
    Fault(
        "tftp-other-kernel",
        "another kernel of the same size is there in the first boot",
        says(_RETRIED, "is not what was built"),
        serve_other_kernel,
        method="uboot-tftp",
    ),
    Fault(
        "wrong-kernel",
        "firmware boots the known-good kernel again and again",
        says(_LAB, "known-good kernel"),
        method="extlinux",
        edits=(do_not_arm,),
    ),
    Fault(
        "wrong-build",
        "the trial entry is another build",
        says(_LAB, "build-id"),
        method="extlinux",
        edits=(swap_trial_image,),
    ),
    # -- SSH
    Fault(
        "ssh-refused",
        "the system starts no SSH server for that kernel",
        says(_LAB, "SSH"),
        method="uboot-tftp",
        prepare=no_ssh_server,
        undo=ssh_server_again,
        edits=(SHORT,),
    ),
    Fault(
        "host-key",
        "the board shows another host key than the pinned one",
        says(_LAB, "has changed", "boards trust"),
        prepare=pin_other_key,
        undo=pin_right_key,
        quick=True,
    ),
    Fault(
        "network-drops",
        "the cable is pulled for a while in an iteration",
        says(_RETRIED, "SSH"),
        pull_cable,
        iterations=60,
    ),
    Fault(
        "network-gone",
        "the cable is pulled for good in an iteration",
        replace(says(_LAB, "boards train"), quarantined=(BOARD,)),
        pull_cable_for_good,
        iterations=60,
        edits=(SHORT,),
    ),
    Fault(
        "disk-full",
        "no room for the programs on the board",
        says(_LAB, "its disk is full"),
        prepare=fill_disk,
        undo=empty_disk,
        edits=(other_work_dir,),
    ),
    # -- console
    Fault("garbage", "100 kB of noise on the line during iterations", _NOTHING, garbage, iterations=60),
    Fault("console-drops", "ser2net ends during iterations, and comes back", _NOTHING, console_away, iterations=60),
    # -- power
    Fault(
        "relay-lies",
        "the relay says it has switched, and has not",
        says(_LAB, "after power on"),
        prepare=relay("lies"),
        edits=(impatient_power, SHORT),
    ),
    Fault(
        "relay-silent",
        "the relay switches nothing, and tells so",
        says(_LAB, "power is not off"),
        prepare=relay("silent"),
        edits=(impatient_power,),
    ),
    Fault(
        "relay-timeout",
        "the relay does not answer the first requests",
        _NOTHING,
        prepare=relay("timeout", 2),
        edits=(impatient_power,),
    ),
    Fault(
        "relay-mute", "the relay never answers", says(_LAB, "power"), prepare=relay("timeout"), edits=(impatient_power,)
    ),
    Fault("relay-500", "the relay answers 500 to the first requests", _NOTHING, prepare=relay("error", 2)),
    Fault(
        "relay-dead",
        "the relay refuses connections",
        says(_LAB, "power"),
        prepare=relay("dead"),
        edits=(impatient_power,),
        quick=True,
    ),
    Fault(
        "power-cut",
        "somebody switches the board off in an iteration",
        says(_RETRIED, "no power"),
        switch_off,
        iterations=60,
    ),
    Fault(
        "power-flickers",
        "the board is without power for a moment in an iteration",
        says(_RETRIED, "power"),
        flicker,
        iterations=60,
    ),
    # -- the board
    Fault(
        "never-back",
        "the board breaks down in an iteration",
        replace(says(_LAB, "boards train"), quarantined=(BOARD,)),
        break_down,
        undo=Scene.restart,
        iterations=60,
        edits=(SHORT,),
    ),
    Fault(
        "never-back-of-two",
        "one of two boards breaks down in an iteration",
        replace(_NOTHING, quarantined=(BOARD,)),
        break_down,
        undo=Scene.restart,
        iterations=60,
        edits=(SHORT,),
        boards=2,
    ),
    Fault("clock-jumps", "the board's clock jumps in an iteration", _NOTHING, clock_jumps, iterations=60),
    Fault(
        "kmsg-overrun",
        "the log overruns the kernel's buffer in an iteration",
        says(_LAB, "not whole"),
        flood_log,
        iterations=60,
    ),
    Fault("slow", "the board has a tenth of its speed", _NOTHING, prepare=slow, edits=(PATIENT,)),
    # -- the controller
    Fault(
        "killed",
        "kill -9 of the controller in an iteration, then `panthorlab resume`",
        _UNDECIDED,
        kill_controller,
        after=GOOD,
        iterations=60,
    ),
    Fault(
        "killed-while-off",
        "kill -9 of all its processes while they had the board off, then `panthorlab resume`",
        _UNDECIDED,
        kill_all_while_off,
        prepare=Scene.switch_on,
        after=GOOD,
        edits=(long_off_time,),
    ),
    # -- the controller's machine
    Fault(
        "store-damaged",
        "4 KiB of garbage in a stored Image",
        says(_LAB, "Image is not what was stored"),
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
        says(_UNDECIDED, "signal 9"),
        kill("make"),
        prepare=Scene.switch_on,
        builds=True,
    ),
    Fault(
        "compiler-killed",
        "kill -9 of cc1 in a build, then `panthorlab resume`",
        says(_UNDECIDED, "Killed signal terminated program cc1"),
        kill("cc1", "/panthor_"),
        prepare=Scene.switch_on,
        builds=True,
    ),
    Fault(
        "ld-killed",
        "kill -9 of ld in a build, then `panthorlab resume`",
        says(_UNDECIDED, "killed"),
        kill("ld", "vmlinux"),
        prepare=Scene.switch_on,
        builds=True,
    ),
    Fault(
        "build-starved",
        "a build has 32 MiB of memory, then `panthorlab resume`",
        says(_UNDECIDED, "memory"),
        enough_memory_again,
        prepare=little_memory,
        builds=True,
    ),
    Fault(
        "two-controllers",
        "another run wants the board, and will not wait for it",
        _NOTHING,
        second_controller("1", 4, "is leased by"),
        quick=True,
    ),
    Fault("two-in-turn", "another run waits for the board", _NOTHING, second_controller("600", 0, "waiting up to")),
)
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _ALL}
