# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot method `module-swap`: two kernels that differ only in panthor.ko share one boot; only the module is replaced.

It is used only if that is proved sufficient, in two steps: the booted build and the wanted one must differ only in the
module (`swappable`), and the kernel on the board must be of their Image and undamaged (`unfit`).
"""

from __future__ import annotations

from contextlib import ExitStack

from panthorlab.board.api import Shell
from panthorlab.board.identity import read_identity
from panthorlab.board.modules import vermagic
from panthorlab.board.onboard import WORK_DIR
from panthorlab.board.real.command_line import MARK, marked
from panthorlab.board.real.panthor_driver import PanthorDriver, module_files
from panthorlab.board.real.parts import Booting, Rig, SecureShell
from panthorlab.board.steps import StepName
from panthorlab.errors import LabError, UsageError
from panthorlab.kernel import store
from panthorlab.kernel.driver import PANTHOR as DRIVER
from panthorlab.kernel.model import Kernel

PANTHOR = DRIVER.name
PANTHOR_FILE = f"{PANTHOR}.ko"
DETECTORS = ("KASAN", "KCSAN", "KMSAN", "KFENCE", "LOCKDEP", "PROVE_LOCKING", "DEBUG_KMEMLEAK", "DEBUG_OBJECTS")
"""Detectors with state across module loads: they report once per boot, or blame one module for another's objects."""
SPLATS = {
    1: ("F", "a module was loaded by force"),
    3: ("R", "a module was unloaded by force"),
    4: ("M", "the machine reported a hardware error"),
    5: ("B", "memory management found a bad page"),
    7: ("D", "the kernel has oopsed"),
    9: ("W", "the kernel has warned (WARN)"),
    14: ("L", "a CPU was locked up"),
    15: ("K", "the kernel was patched live"),
}
"""Taint bits after which a kernel's behaviour proves nothing about the next module; the others are harmless here."""


class ModuleSwap:
    """See `BootMethod`. Uses one connection, because a login takes longer than replacing the module."""

    def __init__(self) -> None:
        self._shell: SecureShell | None = None

    def refuse(self, rig: Rig, booting: Booting) -> str | None:
        """With `fresh` only the build is checked, because the board has not been booted yet."""
        if reason := unsuited(booting.kernel):
            return reason
        if booting.fresh:
            return None
        try:
            with ExitStack() as held:
                shell = rig.connect(rig.file.time_limits.answer)
                held.callback(shell.close)
                if reason := unfit(shell, booting.kernel) or more_changed(shell, booting.kernel):
                    return reason
                held.pop_all()
        except LabError as error:
            return f"what runs on the board cannot be examined ({error}); boot it by another method"
        self._shell = shell
        return None

    def start(self, rig: Rig, booting: Booting) -> SecureShell:
        """Replace the module (or load it, if none is loaded) and wait until panthor has probed."""
        examined, self._shell = self._shell, None
        with rig.steps(StepName.SHELL):
            shell = examined or rig.connect(rig.file.time_limits.ssh)
        with ExitStack() as held:
            held.callback(shell.close)
            if examined is None and (reason := unsuited(booting.kernel) or unfit(shell, booting.kernel)):
                raise LabError(f"board {rig.name}: module-swap: {reason}")
            self._start(shell, rig, booting)
            held.pop_all()
        return shell

    def _start(self, shell: Shell, rig: Rig, booting: Booting) -> None:
        kernel = booting.kernel
        driver = PanthorDriver(shell, work_dir(rig), rig.file.time_limits.probe)
        rig.progress("exchanging panthor")
        with rig.steps(StepName.LOAD):
            driver.install(kernel)
            exchange(driver, kernel, fresh=booting.fresh, shim=rig.file.emulated_gpu is not None)
        rig.progress("GPU probed")


def work_dir(rig: Rig) -> str:
    """Directory for programs on the board. The SSH section may come from a labgrid place."""
    return rig.file.ssh.work_dir if rig.file.ssh else WORK_DIR


def exchange(driver: PanthorDriver, kernel: Kernel, *, fresh: bool, shim: bool) -> None:
    """Replace the loaded panthor by that of `kernel`, wait for its probe, and start a new log.

    `fresh`: this is the first load of the boot. If the right module is already loaded it may then stay, and the log of
    the boot is its log, unless another module was loaded before. A built-in panthor came with the boot.
    """
    wanted = kernel.modules.get(PANTHOR)
    present = read_identity(driver.shell, [PANTHOR]).get(PANTHOR)
    stays = fresh and present == wanted
    if present is not None and not stays:
        driver.unload()
        if reason := splat(driver.shell):
            raise LabError(f"unloading panthor hurt the running kernel: {reason}", hint="boot it anew")
    if wanted is not None and not (fresh and (stays or present is None)):
        driver.mark(wanted)
    driver.load(kernel, shim=shim)
    driver.wait_probed()


def swappable(running: Kernel, wanted: Kernel) -> str | None:
    """Why replacing panthor.ko does not turn `running` into `wanted`; None if it does. Pure, except that it reads files
    of the store."""
    if reason := unsuited(running) or unsuited(wanted):
        return reason
    for what, one, other in (
        ("architectures", running.arch, wanted.arch),
        ("releases", running.release, wanted.release),
        ("build-ids", running.build_id, wanted.build_id),
        ("Images", running.digests.get("Image"), wanted.digests.get("Image")),
        ("configurations", _config(running), _config(wanted)),
        ("vermagics of panthor.ko", _vermagic(running), _vermagic(wanted)),
    ):
        if one != other:
            return f"the {what} of the two kernels differ"
    files = sorted({*running.digests, *wanted.digests} - {PANTHOR_FILE})
    differing = [name for name in files if running.digests.get(name) != wanted.digests.get(name)]
    return f"the two kernels also differ in {', '.join(differing)}" if differing else None


def unsuited(kernel: Kernel) -> str | None:
    """Why panthor of this kernel cannot be replaced on any board; None if it can."""
    if PANTHOR not in kernel.modules:
        return "panthor is built into this kernel; build with `--config panthor-module`"
    found = [name for name in DETECTORS if f"CONFIG_{name}=y" in _config(kernel).splitlines()]
    if found:
        return f"the kernel has {', '.join(found)}, which remembers what earlier loads did; use another boot method"
    return None


def unfit(shell: Shell, kernel: Kernel) -> str | None:
    """Why `kernel`'s panthor must not be loaded into the kernel that runs on the board."""
    ids = read_identity(shell, [name for name in kernel.modules if name != PANTHOR])
    if ids["vmlinux"] != kernel.build_id:
        return (
            f"the running kernel has build-id {ids['vmlinux']}, {kernel.title} has {kernel.build_id}; "
            "boot it by another method first"
        )
    wrong = [name for name, found in ids.items() if name != "vmlinux" and found != kernel.modules[name]]
    if wrong:
        return f"the loaded {', '.join(wrong)} differ from those of {kernel.title}; boot it by another method first"
    release = shell.get("/proc/sys/kernel/osrelease").decode("ascii", "replace").strip()
    if _vermagic(kernel).split(" ", 1)[0] != release:
        return f"panthor.ko is made for {_vermagic(kernel) or 'no release'}, and {release} is running"
    return splat(shell)


def more_changed(shell: Shell, kernel: Kernel) -> str | None:
    """Why the booted build differs from `kernel` in more than panthor.ko; None if it does not. The running system shows
    Image and loaded modules, but not e.g. the device tree, so the build is identified by its mark."""
    found = marked(shell.get("/proc/cmdline").decode("utf-8", "replace"))
    if found is None:
        return "what runs is not a kernel under test; boot it by another method first"
    try:
        booted = store.find(found.removeprefix(MARK))
    except UsageError:
        return "the kernel that was booted is no longer in the store, so it cannot be compared; boot it anew"
    return swappable(booted, kernel)


def splat(shell: Shell) -> str | None:
    """The event after which the running kernel's behaviour is no evidence any more; None if there was none."""
    text = shell.get("/proc/sys/kernel/tainted").decode("ascii", "replace").strip()
    found = taints(int(text))
    return f"the running kernel is tainted: {'; '.join(found)}; boot it anew by another method" if found else None


def taints(mask: int) -> list[str]:
    """The bits of /proc/sys/kernel/tainted that matter, in words."""
    return [f"{letter}: {words}" for bit, (letter, words) in SPLATS.items() if mask >> bit & 1]


def _config(kernel: Kernel) -> str:
    """The configuration without lines that name no option, such as the comment with the compiler."""
    text = (kernel.path / "config").read_text("utf-8", "replace")
    return "\n".join(line for line in text.splitlines() if line.startswith("CONFIG_"))


def _vermagic(kernel: Kernel) -> str:
    return vermagic(module_files(kernel).get(PANTHOR, b""))
