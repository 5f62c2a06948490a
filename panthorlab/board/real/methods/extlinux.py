# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot a trial entry that is installed on the board's own disk over SSH. The known-good entry is never changed, and the
trial entry is used once: after a hang the board boots the known-good kernel."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Final

from panthorlab.board.panic import FIRST_WORDS, KERNEL_START
from panthorlab.board.real.file import Extlinux
from panthorlab.board.real.known_good import bring_up, restart, running, unsuitable
from panthorlab.board.real.methods.device_tree import device_tree
from panthorlab.board.real.parts import Booting, Rig, SecureShell
from panthorlab.board.steps import StepName
from panthorlab.errors import LabError

TRIAL: Final = "trial.conf"
_ARM_TIMEOUT: Final = 30.0
_LOOK: Final = 10.0


def trial_config(section: Extlinux, command_line: str, *, fdt: str | None) -> str:
    """The extlinux configuration with the kernel under test as its only entry. Paths are U-Boot's."""
    folder = PurePosixPath(section.uboot_directory)
    lines = ["default panthorlab", "label panthorlab", f"\tkernel {folder / 'Image'}"]
    if fdt is not None:
        lines.append(f"\tfdt {folder / fdt}")
    return "\n".join([*lines, f"\tappend {command_line}", ""])


class ExtlinuxTrial:
    """See `BootMethod`."""

    def refuse(self, rig: Rig, _booting: Booting) -> str | None:
        section = rig.file.boot.extlinux
        if section is None:
            return "the board file has no `boot.extlinux`"
        if section.fallback == "none":
            return (
                "`boot.extlinux.fallback: none`: nothing would bring the known-good kernel back after a hang. Set "
                "up U-Boot's bootcount or a watchdog (docs/rock-5b.md), or use uboot-tftp"
            )
        return None

    def start(self, rig: Rig, booting: Booting) -> None:
        section = rig.file.boot.extlinux
        assert section is not None  # noqa: S101 - refuse() has looked
        with rig.steps(StepName.KNOWN_GOOD):
            shell = bring_up(rig)
        with closing(shell):
            with rig.steps(StepName.LOAD):
                _install(rig, section, booting, shell)
                rig.progress("trial entry installed")
                _arm(section, shell)
            with rig.steps(StepName.HANDOVER):
                since = time.monotonic()
                booting.begins()
                restart(rig, shell)  # which hangs up
                _await_kernel(rig, since)
        rig.progress("kernel started")


def _await_kernel(rig: Rig, since: float) -> None:
    """Wait for the kernel under test. Raises LabError if nothing runs, or the known-good system, which may be silent on
    the console, runs again."""
    limits = rig.file.time_limits
    limit = limits.power + limits.uboot + limits.load + limits.kernel
    deadline = time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        if rig.console.wait_for(lambda line: bool(KERNEL_START.search(line.text)), min(_LOOK, left), since=since):
            return
        restarted = rig.console.wait_for(lambda line: bool(FIRST_WORDS.search(line.text)), 0, since=since)
        if restarted and (runs := running(rig, _LOOK)) is not None:
            with closing(runs):
                if unsuitable(runs, rig) is None:
                    raise LabError(
                        f"board {rig.name} booted its known-good kernel, not the trial entry. Last on the "
                        f"console:\n{rig.console.tail()}",
                        hint="`boot.extlinux.arm` must have the next boot take it; docs/rock-5b.md",
                    )
    raise LabError(
        f"no kernel began to run within {limit:g} s of the restart. Last on the console:\n{rig.console.tail()}",
        hint="does U-Boot read the trial entry?",
    )


def _install(rig: Rig, section: Extlinux, booting: Booting, shell: SecureShell) -> None:
    """Install the files, the configuration last, so that it never names a missing file."""
    folder = PurePosixPath(section.directory)
    fdt = device_tree(rig.file, booting.kernel)
    files = {booting.kernel.image: str(folder / "Image")}
    if fdt is not None:
        files[fdt] = str(folder / fdt.name)
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, TRIAL)
        config.write_text(trial_config(section, booting.command_line, fdt=fdt.name if fdt else None))
        shell.put_files(files, timeout=rig.file.time_limits.load)
        shell.put_files({config: str(folder / TRIAL)}, timeout=rig.file.time_limits.load)
    if shell.run(["sync"], timeout=rig.file.time_limits.load).status:
        raise LabError(f"board {rig.name}: `sync` failed; is its disk well?")


def _arm(section: Extlinux, shell: SecureShell) -> None:
    done = shell.run(section.arm, timeout=_ARM_TIMEOUT)
    if done.status:
        raise LabError(
            f"`{' '.join(section.arm)}` ended with status {done.status}: "
            f"{(done.stderr or done.stdout).decode('utf-8', 'replace').strip()}",
            hint="`boot.extlinux.arm` must have the next boot take the trial entry; docs/rock-5b.md",
        )
