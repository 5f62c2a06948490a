# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot through U-Boot on the console: power cycle, stop autoboot, load by TFTP, check, booti. It does not use the
board's own system, so it works whatever state a kernel has left that in."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from panthorlab.board.panic import KERNEL_START
from panthorlab.board.real.file import Tftp, UBoot
from panthorlab.board.real.methods.device_tree import device_tree
from panthorlab.board.real.parts import Booting, Rig
from panthorlab.board.real.tftp import staged
from panthorlab.board.real.uboot import UBootShell
from panthorlab.board.steps import StepName
from panthorlab.errors import BootError, LabError

KERNEL: Final = "Image"
FDT: Final = "board.dtb"


class UBootTftp:
    """See `BootMethod`."""

    def refuse(self, rig: Rig, _booting: Booting) -> str | None:
        if rig.file.boot.uboot is None or rig.file.boot.tftp is None:
            return "the board file has no `boot.uboot` and `boot.tftp`"
        if rig.file.boot.uboot.fdt == "file" and rig.file.dtb is None:
            return "`boot.uboot.fdt: file` needs the key `dtb`"
        return None

    def start(self, rig: Rig, booting: Booting) -> None:
        boot = rig.file.boot
        if boot.uboot is None or boot.tftp is None:
            raise LabError("uboot-tftp was started though it refuses")
        blob = device_tree(rig.file, booting.kernel) if boot.uboot.fdt == "file" else None
        files = {KERNEL: booting.kernel.image, **({FDT: blob} if blob else {})}
        with staged(boot.tftp, rig.name, files) as names, rig.console.dialogue() as dialogue:
            rig.progress("power cycle")
            with rig.steps(StepName.POWER):
                switched = time.monotonic()
                booting.begins()
                rig.power.cycle()
                limit = rig.file.time_limits.power
                if rig.console.wait_for(lambda _line: True, limit, since=switched) is None:
                    raise LabError(
                        f"the console was silent for {limit:g} s after power on",
                        hint="does the board get power, and is its console connected at the right speed?",
                    )
            with rig.steps(StepName.FIRMWARE):
                shell = UBootShell(dialogue, boot.uboot, rig.file.time_limits)
                shell.stop_autoboot()
            rig.progress("U-Boot's prompt")
            with rig.steps(StepName.LOAD):
                self._load(rig, booting, shell, boot.uboot, boot.tftp, names, blob)
        with rig.steps(StepName.HANDOVER):
            limit = rig.file.time_limits.kernel
            if rig.console.wait_for(lambda line: bool(KERNEL_START.search(line.text)), limit, since=switched) is None:
                raise BootError(
                    f"U-Boot started the kernel, which printed nothing for {limit:g} s. Last on the "
                    f"console:\n{rig.console.tail()}",
                    hint="is `boot.console` right, and the DTB?",
                )
        rig.progress("kernel started")

    def _load(
        self,
        rig: Rig,
        booting: Booting,
        shell: UBootShell,
        uboot: UBoot,
        tftp: Tftp,
        names: Mapping[str, str],
        blob: Path | None,
    ) -> None:
        """Load kernel and device tree into the board's memory, check them, and have U-Boot start the kernel."""
        shell.set("serverip", tftp.server)
        if uboot.network:
            shell.set("autoload", "no")  # dhcp would also load a file
            shell.succeed(uboot.network, timeout=rig.file.time_limits.load)
            shell.set("serverip", tftp.server)  # which dhcp may have set to its own
        if tftp.port != 69:
            shell.set("tftpdstp", str(tftp.port))
        shell.load_tftp(uboot.kernel_address, names[KERNEL], booting.kernel.image)
        fdt = "${fdtcontroladdr}"
        if blob:
            shell.load_tftp(uboot.fdt_address, names[FDT], blob)
            fdt = uboot.fdt_address
        shell.set("bootargs", booting.command_line)
        rig.progress("kernel loaded")
        shell.boot(uboot.kernel_address, uboot.ramdisk_address, fdt)
