# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot method `kexec`: the running known-good kernel starts the kernel under test itself, over SSH, without firmware.

panthor has no shutdown hook, so it is unbound first: a GPU at work would go on writing into the next kernel's memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing

from panthorlab.board.api import Hazard, RemoteFileError, Shell
from panthorlab.board.real.devicetree import has_its, has_memory
from panthorlab.board.real.known_good import bring_up
from panthorlab.board.real.methods.module_swap import work_dir
from panthorlab.board.real.panthor_driver import TINY, PanthorDriver
from panthorlab.board.real.parts import Booting, Rig, SecureShell
from panthorlab.board.steps import StepName
from panthorlab.errors import LabError

LOADED = "/sys/kernel/kexec_loaded"
DISABLED = "/proc/sys/kernel/kexec_load_disabled"
EFI = "/sys/firmware/efi/fw_platform_size"
NO_LPI = re.compile(r"\birqchip\.gicv3_nolpi(?:=(?:1|y|Y|on|true))?(?:\s|$)")
OTHERWISE = "or use another boot method"


class KexecJump:
    """See `BootMethod`."""

    def refuse(self, rig: Rig, _booting: Booting) -> str | None:
        """Brings up the known-good kernel first, to query it."""
        try:
            with closing(bring_up(rig)) as shell:
                return impossible(shell, rig)
        except LabError as error:
            return f"the known-good kernel must answer over SSH and does not ({error}); {OTHERWISE}"

    def start(self, rig: Rig, booting: Booting) -> None:
        """Boot until the running kernel has been told to jump; the new boot-id then shows that the next one runs."""
        with rig.steps(StepName.KNOWN_GOOD):
            known_good = bring_up(rig)
        with closing(known_good) as shell:
            self._start(shell, rig, booting)

    def _start(self, shell: SecureShell, rig: Rig, booting: Booting) -> None:
        limits = rig.file.time_limits
        if reason := impossible(shell, rig):
            raise LabError(f"board {rig.name}: kexec: {reason}")
        driver = PanthorDriver(shell, work_dir(rig), limits.probe)
        rig.progress("uploading the kernel")
        with rig.steps(StepName.LOAD):
            driver.install(booting.kernel)
            image, dtb = _upload(shell, rig, booting)
            rig.progress("loading it by kexec")
            load(shell, rig.file.boot.kexec.program, image, dtb, booting.command_line, limits.load)
        with rig.steps(StepName.HANDOVER):
            try:
                driver.unbind()
            except LabError:
                shell.run([rig.file.boot.kexec.program, "-u"], timeout=TINY)
                raise
            rig.progress("panthor unbound; jumping into the kernel")
            booting.begins()
            try:
                driver.detach([rig.file.boot.kexec.program, "-e"])
            except LabError:
                if shell.ping(limits.answer):
                    raise
                # else the kernel was gone before it could respond


def impossible(shell: Shell, rig: Rig) -> str | None:
    """Why the running kernel cannot start another one, and what to do; None if it can."""
    release = shell.get("/proc/sys/kernel/osrelease").decode("ascii", "replace").strip()
    if not _exists(shell, LOADED):
        return f"the running kernel {release} has no kexec: boot one with CONFIG_KEXEC_FILE {OTHERWISE}"
    try:
        disabled = shell.get(DISABLED).strip() != b"0"
    except RemoteFileError:
        disabled = False  # a kernel without the switch
    if disabled:
        return (
            "kexec is switched off until the next boot (sysctl kernel.kexec_load_disabled=1): look for it in "
            f"/etc/sysctl.d of the board {OTHERWISE}"
        )
    if reason := _interrupts_write(shell):
        return reason
    program = rig.file.boot.kexec.program
    done = shell.run([program, "--version"], timeout=rig.file.time_limits.answer)
    if done.status in (126, 127):
        return f"{program} is not on the board: install kexec-tools there (apt install kexec-tools) {OTHERWISE}"
    return None


def check_quiet(hazards: Iterable[Hazard]) -> None:
    """Raise LabError if an emulated GPU was still active when the kernel handed over: the next kernel's behaviour is
    then no evidence, because a real GPU would have written into its memory."""
    for hazard in hazards:
        if hazard.kind == "dma-after-shutdown":
            raise LabError(hazard.text, hint="was panthor bound again, or another driver at the GPU?")


def _interrupts_write(shell: Shell) -> str | None:
    """A GICv3 with message-signalled interrupts (LPIs) keeps tables in memory and cannot be made to release them. The
    next kernel learns of them only by EFI; without EFI it may use their memory, and is overwritten."""
    if _exists(shell, EFI) or NO_LPI.search(shell.get("/proc/cmdline").decode("utf-8", "replace")):
        return None
    try:
        tree = shell.get("/sys/firmware/fdt")
    except RemoteFileError as error:
        return f"whether the interrupt controller keeps tables in memory cannot be seen ({error}); {OTHERWISE}"
    if not has_its(tree):
        return None
    return (
        "the interrupt controller (GICv3 ITS) goes on using memory of this kernel after kexec, and the board was "
        "not booted by EFI, which would reserve it: boot the known-good kernel with `irqchip.gicv3_nolpi=1` "
        f"{OTHERWISE}"
    )


def _exists(shell: Shell, path: str) -> bool:
    try:
        shell.get(path)
    except RemoteFileError:
        return False
    return True


def load(shell: Shell, program: str, image: str, dtb: str | None, command_line: str, timeout: float) -> None:
    """Load the kernel: by kexec_file_load, else by the older kexec_load, which alone accepts another device tree."""
    line = f"--command-line={command_line}"
    ways = [[program, "-c", f"--dtb={dtb}"]] if dtb else [[program, "-s"], [program, "-c"]]
    complaints = []
    for way in ways:
        argv = [way[0], *way[1:2], "-l", image, *way[2:], line]
        done = shell.run(argv, timeout=timeout)
        if not done.status and shell.get(LOADED).strip() == b"1":
            return
        text = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        complaints.append(f"{' '.join(argv[:3])}: {text or f'status {done.status}'}")
    raise LabError(
        f"kexec did not load the kernel: {'; '.join(complaints)}",
        hint="it needs root, and a kernel that is not locked down (/sys/kernel/security/lockdown)",
    )


def _upload(shell: Shell, rig: Rig, booting: Booting) -> tuple[str, str | None]:
    """Paths on the board of Image and device tree; None: the running kernel's device tree is reused.

    U-Boot writes the memory size into the device tree that it passes on; kexec does not. A DTB file without it would
    boot a kernel without memory, so the running tree is used then.
    """
    folder = work_dir(rig)
    kernel = booting.kernel
    shell.put(kernel.image.read_bytes(), f"{folder}/Image")
    if not rig.file.dtb:
        return f"{folder}/Image", None
    path = kernel.path / "dtbs" / rig.file.dtb.rpartition("/")[2]
    if not path.is_file():
        raise LabError(
            f"kernel {kernel.title} was built without {rig.file.dtb}",
            hint="the board's `kernel_configs` must name a fragment with `#! dtb`",
        )
    data = path.read_bytes()
    if not has_memory(data):
        rig.progress(f"{path.name} says nothing of memory: the running device tree is used again")
        return f"{folder}/Image", None
    shell.put(data, f"{folder}/board.dtb")
    return f"{folder}/Image", f"{folder}/board.dtb"
