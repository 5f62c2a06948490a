# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of a real board (`type: real`). Its sections are the parts of a lab: console, power, SSH, boot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from panthorlab.board.fields import (
    AbsolutePath,
    Address,
    BoardFile,
    CommandLine,
    Host,
    Port,
    Section,
    TimeLimit,
    VariableName,
    Word,
)
from panthorlab.board.methods import METHODS
from panthorlab.board.onboard import FIRMWARE, FIRMWARE_FILE, WORK_DIR
from panthorlab.board.power.file import PowerSection

if TYPE_CHECKING:
    MethodName: TypeAlias = str
else:
    MethodName = Literal[tuple(METHODS)]
Speed = Annotated[int, Field(ge=1200, le=4_000_000, description="baud; RK3588 boards: 1500000")]


class TtyConsole(Section):
    """A serial adapter of this machine, or a pseudo terminal."""

    transport: Literal["tty"]
    device: AbsolutePath = Field(description="e.g. /dev/serial/by-id/usb-…; also a pty")
    speed: Speed = 1_500_000


class TcpConsole(Section):
    """Raw TCP, e.g. ser2net `tcp`. It cannot send BREAK."""

    transport: Literal["tcp"]
    host: Host
    port: Port


class TelnetConsole(Section):
    """Telnet, e.g. ser2net `telnet(rfc2217)` or conserver; `rfc2217`: set the line's speed through the server."""

    transport: Literal["telnet"]
    host: Host
    port: Port
    rfc2217: bool = False
    speed: Speed = 1_500_000


ConsoleSection: TypeAlias = Annotated[TtyConsole | TcpConsole | TelnetConsole, Field(discriminator="transport")]


class Ssh(Section):
    """How commands get onto the booted board. The host key is pinned: `panthorlab boards trust NAME`."""

    host: Host
    port: Port = 22
    user: Word = "root"
    key_file: str | None = Field(None, description="private key; without it the agent's keys and ~/.ssh are tried")
    password_env: VariableName | None = Field(None, description="environment variable with the password")
    work_dir: AbsolutePath = Field(WORK_DIR, description="where workloads go on the board; needs exec")


class UBoot(Section):
    """The board's U-Boot, used over the console. Needed by `uboot-tftp`, and to recover a board without SSH."""

    prompt: str = Field("=> ", max_length=80)
    interrupt: str = Field(" ", max_length=8, description="what stops autoboot")
    kernel_address: Address = Field(description="`kernel_addr_r`")
    fdt_address: Address = Field(description="`fdt_addr_r`")
    fdt: Literal["file", "firmware"] = Field(
        "file",
        description="`file`: `dtb` of the kernel under test; `firmware`: U-Boot's own (`$fdt_addr`, `$fdtcontroladdr`)",
    )
    ramdisk_address: Address | None = Field(None, description="`ramdisk_addr_r`")
    network: CommandLine = Field("dhcp", description="command that brings the network up; empty: it is up")


class Tftp(Section):
    """Where U-Boot gets files. Exactly one of `root` (a TFTP server's directory) and `serve`."""

    root: AbsolutePath | None = Field(
        None, description="directory that the lab's TFTP server serves; files are written atomically"
    )
    serve: bool = Field(False, description="panthorlab serves the files itself (needs the extra `panthorlab[tftp]`)")
    server: Host = Field(description="address of the TFTP server as the board sees it")
    port: Port = Field(69, description="UDP port as the board sees it")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.root is None) != self.serve:
            raise ValueError("give either `root` (the lab's TFTP server) or `serve: true`")
        return self


class Extlinux(Section):
    """A trial entry on the board's own disk, installed over SSH while the known-good kernel runs."""

    config: AbsolutePath = Field(
        "/boot/extlinux/extlinux.conf", description="the known-good configuration; never changed"
    )
    directory: AbsolutePath = Field(
        "/boot/panthorlab", description="where kernels under test go; same partition as config"
    )
    uboot_directory: AbsolutePath = Field("/panthorlab", description="`directory` as U-Boot sees it on that partition")
    fallback: Literal["bootcount", "watchdog", "none"] = Field(
        description="what brings the known-good kernel back: U-Boot's bootcount/altbootcmd, a watchdog outside the "
        "kernel, or nothing; with `none` untrusted kernels are refused"
    )
    arm: list[str] = Field(
        ["fw_setenv", "upgrade_available", "1"],
        min_length=1,
        description="run on the board to have the next boot, and only that, take the trial entry",
    )


class Kexec(Section):
    """kexec from the running known-good kernel, over SSH, with kexec-tools on the board."""

    program: AbsolutePath = "/usr/sbin/kexec"


class BootSection(Section):
    """How kernels under test are booted. `methods`: the first is the default; others by `--boot-method`."""

    methods: list[MethodName] = Field(min_length=1)
    log_level: Annotated[int, Field(ge=0, le=8)] = Field(5, description="console log level, the same for all kernels")
    console: Word = Field(description="kernel's console=, e.g. ttyS2,1500000n8")
    root: CommandLine = Field(
        description="root file system: e.g. `root=/dev/mmcblk1p2 rw rootwait`; it holds no modules of ours"
    )
    command_line: CommandLine = Field("", max_length=1500, description="more kernel parameters, appended")
    uboot: UBoot | None = None
    tftp: Tftp | None = None
    extlinux: Extlinux | None = None
    kexec: Kexec = Kexec.model_validate({})

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for method in self.methods:
            for section in METHODS[method].sections:
                if getattr(self, section) is None:
                    raise ValueError(f"method {method} needs the section `{section}`")
        if all(METHODS[method].exchanges for method in self.methods):
            raise ValueError(f"{self.methods[0]} needs another method beside it, for the boots its loads are nested in")
        return self


class Firmware(Section):
    """The GPU's firmware on the board's root file system. Checked before a kernel is blamed."""

    path: AbsolutePath = FIRMWARE
    source: str = Field(
        f"Debian package firmware-misc-nonfree, or linux-firmware.git: {FIRMWARE_FILE}",
        description="where it is had, told when it is missing",
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(None, description="if it must be this one")


class Recovery(Section):
    """Recovery steps for a board that hangs, in this order; the power cycle is always last."""

    sysrq: Literal["break", "ssh", "none"] = Field(
        "break", description="how sysrq t, w, l, b get in: BREAK on the console, SSH, not at all"
    )
    reset: list[str] | None = Field(
        None, min_length=1, description="program that pulses the board's reset line; argument list, no shell"
    )
    ramoops: bool = Field(
        False, description="the board keeps pstore over a warm reset; harvested before any power cycle"
    )
    pstore: AbsolutePath = "/sys/fs/pstore"
    health_boots: Annotated[int, Field(ge=1, le=100)] = Field(5, description="boots of `panthorlab boards train`")


class RealTimeLimits(Section):
    """Seconds after which a step counts as hung."""

    power: TimeLimit = Field(30, description="power on → the first byte on the console")
    uboot: TimeLimit = Field(60, description="→ U-Boot's prompt")
    load: TimeLimit = Field(120, description="→ kernel and DTB loaded")
    kernel: TimeLimit = Field(60, description="→ the kernel's first line")
    ssh: TimeLimit = Field(120, description="→ SSH answers")
    probe: TimeLimit = Field(30, description="→ panthor has made its render node")
    answer: TimeLimit = Field(20, description="a running board answers a ping")
    slowness: Annotated[float, Field(ge=1, le=100)] = Field(
        1, description="how much slower than the emulated board programs run; stretches the deadlines of workloads"
    )


class Labgrid(Section):
    """A place of a labgrid coordinator; it replaces `console`, `power` and `ssh` where the place has them."""

    place: Word
    coordinator: str | None = Field(None, description="HOST:PORT; default: $LG_COORDINATOR")


class EmulatedGpu(Section):
    """A board with an emulated GPU in a process of its own (a virtual lab), whose reports of invalid evidence count."""

    events: AbsolutePath = Field(description="`panthorlab gpu serve --events FILE`, on this machine")
    log: AbsolutePath | None = None


class RealFile(BoardFile):
    """A board in a lab."""

    type: Literal["real"]
    unverified: bool = Field(False, description="written from documentation; nobody of the project has seen it work")
    example: bool = Field(False, description="no such board is here: edit what is marked EDIT, then take this out")
    kernel_configs: list[Word] = Field(["rk3588"], description="fragments of kernel_configs/ a kernel for it needs")
    dtb: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]+\.dtb$")] | None = Field(
        None, description="e.g. rockchip/rk3588-rock-5b.dtb"
    )
    since: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] | None = Field(
        None, description='first Linux whose `dtb` has the GPU enabled, e.g. "6.13" (in quotes); older are refused'
    )
    known_good: str | None = Field(
        None, description="release of the kernel the board boots by itself (`uname -r`), if it must be this one"
    )
    console: ConsoleSection | None = None
    power: PowerSection | None = None
    ssh: Ssh | None = None
    boot: BootSection
    firmware: Firmware = Firmware.model_validate({})
    recovery: Recovery = Recovery.model_validate({})
    time_limits: RealTimeLimits = RealTimeLimits.model_validate({})
    labgrid: Labgrid | None = None
    emulated_gpu: EmulatedGpu | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.labgrid is None:
            missing = [name for name in ("console", "power", "ssh") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"without a labgrid place, these sections are needed: {', '.join(missing)}")
        return self
