# SPDX-License-Identifier: GPL-2.0-or-later
"""panthor on a running board: clients of the GPU, unbinding the driver, unloading and loading its modules.

The guest program `handover` does the work on the board; this module checks conditions before and after each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from panthorlab.board.api import RemoteFileError, Shell
from panthorlab.board.kernel_log import kernel_lines
from panthorlab.board.modules import gpu_order, module_name
from panthorlab.errors import BootError, LabError
from panthorlab.kernel.driver import PANTHOR, WORDS
from panthorlab.kernel.model import Kernel

RENDER_NODE = "/dev/dri/renderD*"
PROGRAMS = ("handover", "init")
TINY = 20.0
"""Timeout in seconds for operations that are instantaneous on a healthy board."""
_POWER = "only a power cycle helps: take a boot method that does one (`--boot-method uboot-tftp`)"


@dataclass(frozen=True)
class GpuClient:
    """A process that has the GPU open."""

    pid: int
    comm: str
    path: str

    def __str__(self) -> str:
        return f"{self.comm} (pid {self.pid}, {self.path})"


@dataclass(frozen=True)
class PanthorDriver:
    """panthor on the board behind `shell`. `work_dir`: where `install` puts programs and modules. `patience`: seconds
    for panthor to be removed or to probe."""

    shell: Shell
    work_dir: str
    patience: float = 30.0

    def install(self, kernel: Kernel) -> None:
        """Install the programs that this class runs on the board."""
        try:
            self.shell.get(f"{self.work_dir}/{PROGRAMS[0]}")
        except RemoteFileError:  # perhaps the directory does not exist yet
            self._make_work_dir()
        for name in PROGRAMS:
            source = kernel.guest / name
            if not source.is_file():
                raise LabError(f"kernel {kernel.title} has no guest program {name}", hint="build it again")
            self.shell.put(source.read_bytes(), f"{self.work_dir}/{name}", mode=0o755)

    # -- state ------------------------------------------------------------------------------------------------------

    def loaded(self) -> dict[str, int]:
        """Loaded modules and how often each is in use."""
        return parse_modules(self.shell.get("/proc/modules").decode("ascii", "replace"))

    def bound(self) -> list[str]:
        """Names of the devices that panthor drives."""
        return self._tell("bound")

    def holders(self) -> list[GpuClient]:
        return [parse_gpu_client(line) for line in self._tell("holders")]

    # -- unbinding, unloading ---------------------------------------------------------------------------------------

    def unbind(self) -> None:
        """Unbind panthor from every GPU. Raises LabError if that takes longer than `patience`."""
        for device in self.bound():
            try:
                done = self._run("unbind", device, timeout=self.patience)
            except LabError as error:
                raise LabError(
                    f"panthor could not be unbound from {device} within {self.patience:g} s: {error}", hint=_POWER
                ) from error
            if done:
                raise LabError(f"panthor could not be unbound from {device}: {done}", hint=_POWER)
        if left := self.bound():
            raise LabError(f"panthor was unbound and still drives {', '.join(left)}", hint=_POWER)

    def unload(self) -> None:
        """Unbind and unload panthor; the modules that it depends on stay. Raises LabError, with the reason."""
        if PANTHOR.name not in self.loaded():
            return
        if holders := self.holders():
            raise LabError(
                f"the GPU is held open by {', '.join(map(str, holders))}",
                hint="end these programs, e.g. `systemctl isolate multi-user.target` on the board",
            )
        self.unbind()
        count = self.loaded().get(PANTHOR.name, 0)
        if count:
            holders = self.holders()
            who = f": held open by {', '.join(map(str, holders))}" if holders else ", and no program has it open"
            raise LabError(f"module panthor is in use {count} times after it was unbound{who}", hint=_POWER)
        if message := self._run("rmmod", PANTHOR.name, timeout=self.patience):
            raise LabError(f"module panthor could not be unloaded: {message}", hint=_POWER)

    # -- loading ----------------------------------------------------------------------------------------------------

    def load(self, kernel: Kernel, *, shim: bool) -> list[str]:
        """Upload and load the modules that `kernel` needs for the GPU and that are not loaded yet; returns their names.
        `shim`: the GPU is emulated. Raises BootError if a module does not load, which is the kernel's fault."""
        there, files = self.loaded(), module_files(kernel)
        missing = [name for name in gpu_order(files, shim=shim) if name not in there]
        for name in missing:
            path = f"{self.work_dir}/{name}.ko"
            self.shell.put(files[name], path)
            if message := self._run("insmod", path, timeout=self.patience):
                raise BootError(f"module {name} could not be loaded: {message}\n{self._words()}")
        return missing

    def wait_probed(self) -> None:
        """Wait until panthor has created its render node. Raises BootError with panthor's messages."""
        seconds = max(1, round(self.patience))
        argv = [f"{self.work_dir}/init", "wait", RENDER_NODE, str(seconds)]
        if self.shell.run(argv, timeout=seconds + TINY).status:
            raise BootError(f"panthor made no render node within {seconds} s\n{self._words()}")
        if not self.bound():
            raise BootError(f"there is a render node, but panthor drives no device\n{self._words()}")

    def detach(self, argv: Sequence[str]) -> None:
        """Start a program that will break the connection; its output goes to the kernel log."""
        if message := self._run("detach", *argv, timeout=TINY):
            raise LabError(f"`{' '.join(argv)}` could not be started on the board: {message}")

    # -- the log ----------------------------------------------------------------------------------------------------

    def mark(self, identity: str) -> int:
        """Write a mark for a new module load to the kernel log; returns the record's sequence number."""
        return int("".join(self._tell("mark", identity)))

    def log_start(self) -> int:
        """Sequence number at which the log of the loaded driver begins: the last `mark` of this boot, or 0."""
        return int("".join(self._tell("log-start")))

    # -- running `handover` -----------------------------------------------------------------------------------------

    def _run(self, *words: str, timeout: float) -> str:
        """Run `handover`; returns its error message, empty on success."""
        done = self.shell.run([f"{self.work_dir}/handover", *words], timeout=timeout)
        text = done.stderr.decode("utf-8", "replace").strip().removeprefix("handover: ")
        return (text or f"status {done.status}") if done.status else ""

    def _tell(self, *words: str) -> list[str]:
        done = self.shell.run([f"{self.work_dir}/handover", *words], timeout=TINY)
        if done.status:
            text = done.stderr.decode("utf-8", "replace").strip() or f"status {done.status}"
            raise LabError(f"`handover {' '.join(words)}` failed on the board: {text}")
        return done.stdout.decode("utf-8", "replace").splitlines()

    def _make_work_dir(self) -> None:
        done = self.shell.run(["mkdir", "-p", self.work_dir], timeout=TINY)
        if done.status:
            message = done.stderr.decode("utf-8", "replace").strip() or f"status {done.status}"
            raise LabError(
                f"{self.work_dir} cannot be made on the board: {message}",
                hint="set `ssh.work_dir` of the board file to a directory that allows writing and exec",
            )

    def _words(self) -> str:
        lines = kernel_lines(self.shell.get("/dev/kmsg"), WORDS)[-40:]
        return "\n".join(lines) or "no word of panthor in the kernel log"


def module_files(kernel: Kernel) -> Mapping[str, bytes]:
    """The modules of a kernel by name."""
    return {module_name(path.name): path.read_bytes() for path in sorted(kernel.modules_dir.glob("*.ko"))}


def parse_modules(text: str) -> dict[str, int]:
    """Name and reference count of each line of /proc/modules (`name size count users state address`)."""
    found = {}
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) >= 3 and words[2].lstrip("-").isdigit():
            found[words[0]] = int(words[2])
    return found


def parse_gpu_client(line: str) -> GpuClient:
    """`PID COMM PATH`; a name may have spaces."""
    pid, _, rest = line.partition(" ")
    comm, _, path = rest.rpartition(" ")
    return GpuClient(int(pid), comm, str(PurePosixPath(path)))
