# SPDX-License-Identifier: GPL-2.0-or-later
"""Building one side: patch the private tree in place, configure, make, and put what comes out into the store."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from panthorlab.errors import BuildError, ConfigError, LabError
from panthorlab.kernel import buildlog, config, gc, inside, kconfig, store, trees
from panthorlab.kernel.collect import Artefacts, collect
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.plan import Progress, SidePlan
from panthorlab.kernel.sandbox import Bind, Sandbox, sandbox, tools
from panthorlab.kernel.toolchain import BUILD_TOOLS, check_host_tools
from panthorlab.kernel.tools import disk_errors, disk_full
from panthorlab.kernel.uapi import install_drm_headers
from panthorlab.paths import PACKAGE, cache_dir

MAKE_SECONDS = 4 * 3600.0
GUEST = PACKAGE / "guest"
# Without these an Image would differ from the next one built from the same source.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970", "KBUILD_BUILD_USER": "panthorlab",
    "KBUILD_BUILD_HOST": "panthorlab", "KBUILD_BUILD_VERSION": "1",
}
# Depend mode: without it a miss would preprocess everything twice.
CCACHE = {"CCACHE_NOHASHDIR": "1", "CCACHE_DEPEND": "1", "CCACHE_MAXSIZE": "2G"}
_TAIL = 4000  # lines of output kept for finding errors


@dataclass
class Builder:
    """Runs the steps of one build. `objects`: the O= directory, shared by all builds of a tree and config.

    `work`: our own directory for its other files. `foreign`: the O= directory is the user's, and only read.
    """

    plan: SidePlan
    objects: Path
    work: Path
    log: IO[str]
    progress: Progress
    jobs: int
    box: Sandbox
    foreign: bool = False

    def __post_init__(self) -> None:
        self.ccache = cache_dir(f"ccache{self.box.suffix}")
        self.inputs = self.work / "in"  # only read by the build
        for path in (self.objects, self.inputs):
            path.mkdir(exist_ok=True, parents=True)
        # A new directory each time: what is in one that a build could write to is not to be trusted any more.
        for left in self.work.glob("out-*"):
            shutil.rmtree(left)
        self.scratch = Path(tempfile.mkdtemp(prefix="out-", dir=self.work))
        shutil.copytree(GUEST / "shim", self.scratch / "shim")
        (self.scratch / "guest").mkdir()
        mine = () if self.foreign else (self.objects,)
        self.box.hand_over(self.ccache, self.scratch, self.scratch / "shim", self.scratch / "guest", *mine)
        self.binds = (
            Bind("src", self.plan.base.path), Bind("obj", self.objects, writable=not self.foreign),
            Bind("ccache", self.ccache, writable=True), Bind("guest", GUEST), Bind("in", self.inputs),
            Bind("out", self.scratch, writable=True), *tools(self.plan.toolchain.programs),
        )

    def where(self, name: str) -> str:
        return self.box.where(self.binds, name)

    def check_compiler(self) -> None:
        """Raise LabError if the compiler does not run in the jail, e.g. a script that calls one from elsewhere."""
        argv, lines = [f"{self.plan.toolchain.prefix}gcc", "--version"], list[str]()
        if self.box.run(argv, self.binds, on_line=lines.append, timeout=60) != 0:
            raise LabError(
                f"{argv[0]} cannot be run where kernels are built: {' '.join(lines[-1:])}",
                hint="install the compiler for every user, below /usr, or whole in a directory of its own (DIR/bin/…)",
            )

    def make(self, step: str, *args: str, expected: int | None = None) -> None:
        """One make of the kernel tree. Raises BuildError, or LabError if the machine failed."""
        base = ["make", "-C", self.where("src"), f"O={self.where('obj')}", f"-j{self.jobs}"]
        self.run(step, [*base, *self.plan.toolchain.make_args, *args], expected=expected)

    def run(self, step: str, argv: Sequence[str], *, expected: int | None = None) -> int:
        """Run one command of the build, counting its steps for the progress. Returns how many there were."""
        steps, tail = 0, deque[str](maxlen=_TAIL)
        self.progress(step, 0, expected)
        self.log.write(f"+ {' '.join(argv)}\n")

        def on_line(line: str) -> None:
            nonlocal steps
            tail.append(line)
            self.log.write(line + "\n")
            if buildlog.is_step(line):
                steps += 1
                self.progress(step, steps, max(expected, steps) if expected else None)

        env = {**REPRODUCIBLE, **CCACHE, "CCACHE_DIR": self.where("ccache")}
        with disk_errors():
            status = self.box.run(argv, self.binds, on_line=on_line, timeout=MAKE_SECONDS, env=env)
            self.log.flush()
        if status != 0:
            raise self._failure(step, status, list(tail))
        return steps

    def _failure(self, step: str, status: int, tail: list[str]) -> BuildError | LabError:
        path = Path(self.log.name)
        if trouble := buildlog.lab_trouble(tail):
            if "space" in trouble or "quota" in trouble:
                return disk_full(trouble)
            return LabError(f"{step} failed for want of memory: {trouble}", hint="build with fewer jobs, or add memory")
        problems = buildlog.find_problems(tail, [self.where("src"), self.where("obj"), "../src", "../../src"])
        if not problems:
            last = "\n".join(tail[-5:])
            return BuildError(f"{self.plan.title}: {step} failed with status {status}:\n{last}", log=path)
        first = problems[0]
        more = f" (and {len(problems) - 1} more errors)" if len(problems) > 1 else ""
        blame = buildlog.culprit(first, self.plan.reports)
        text = f"{self.plan.title} does not build: {first}{more}"
        return BuildError(f"{text}; {blame}" if blame else text, log=path, hint=f"the full log is {path}")


def build(plan: SidePlan, *, log: Path, progress: Progress, jobs: int | None = None) -> Kernel:
    """Build `plan` in its private tree and publish it. The tree is locked meanwhile. See `job.build_side`."""
    check_host_tools(BUILD_TOOLS)
    log.parent.mkdir(parents=True, exist_ok=True)
    with trees.locked(plan.base.key, progress), log.open("a", buffering=1, errors="replace") as file:
        if kernel := store.load(plan.key):
            return kernel  # another run built it while we waited
        objects = objects_of(plan)
        count = jobs or len(os.sched_getaffinity(0))
        written = trees.set_changes(plan.base, plan.changes)
        builder = Builder(plan, objects, objects.with_suffix(".work"), file, progress, count, sandbox())
        if not (objects / "vmlinux").exists():
            builder.check_compiler()
        core = store.with_core(plan.core_key)
        with _whole(builder):
            request = _configure(builder, written)
            dtbs = config.device_trees(request, plan.base.path, plan.arch)
            if core is None:
                _compile(builder, dtbs)
            artefacts = build_extras(builder, dtbs, core)
        kernel = collect(plan, artefacts)
    gc.collect_daily(keep=frozenset({kernel.path, plan.base.path.parent}))
    return kernel


def objects_of(plan: SidePlan) -> Path:
    """The O= directory of a plan: shared by all kernels of the same tree, config and compiler."""
    compiler = hashlib.sha256(f"{plan.toolchain.prefix}{plan.toolchain.version}".encode()).hexdigest()
    name = f"obj-{plan.arch}-{plan.config_key[:16]}-{compiler[:8]}{sandbox().suffix}"
    return plan.base.path.parent / name


@contextlib.contextmanager
def _whole(builder: Builder) -> Iterator[None]:
    """If the last build was killed, objects written during it may be torn although they look new: drop them."""
    marker = builder.work / "building"
    if marker.exists():
        started = marker.stat().st_mtime
        builder.progress("clearing up after an interrupted build")
        for path in builder.objects.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= started:
                path.unlink(missing_ok=True)
    marker.touch()
    try:
        yield
    except (BuildError, ConfigError):
        marker.unlink()  # make ended by itself and has removed what it had half written
        raise
    marker.unlink()


def _configure(builder: Builder, written: Sequence[str]) -> config.Request:
    """Make .config unless it is there already, and check it. A patch may change Kconfig files."""
    plan, dotconfig = builder.plan, builder.objects / ".config"
    request = config.read_fragments(plan.fragments)
    done = builder.work / "configured"
    if done.exists() and dotconfig.exists() and not any("Kconfig" in Path(path).name for path in written):
        return request
    done.unlink(missing_ok=True)
    symbols = kconfig.read_symbols(plan.base.path, plan.arch)
    (builder.inputs / "allconfig").write_text(config.allconfig(request, symbols))
    builder.make("configuring", f"KCONFIG_ALLCONFIG={builder.where('in')}/allconfig", "allnoconfig")
    config.check_result(request, inside.text(builder.objects, ".config"), symbols, plan.base.version)
    done.touch()
    return request


def _compile(builder: Builder, dtbs: Sequence[str]) -> None:
    counts = cache_dir("trees") / f"steps-{builder.plan.config_key[:16]}.json"
    fresh = not (builder.objects / "vmlinux").exists()
    expected = json.loads(counts.read_text()) if fresh and counts.exists() else None
    before = builder.log.tell()
    builder.make(f"building {builder.plan.title}", "Image", "modules", *dtbs, expected=expected)
    if fresh:
        builder.log.flush()
        with Path(builder.log.name).open(errors="replace") as text:
            text.seek(before)
            counts.write_text(str(sum(map(buildlog.is_step, text))))


def build_extras(builder: Builder, dtbs: tuple[str, ...] = (), core: Kernel | None = None) -> Artefacts:
    """The shim module, the UAPI headers of this tree, and the static programs for the board."""
    plan, out, step = builder.plan, builder.where("out"), "building the guest programs"
    values = config.parse_dotconfig(inside.text(builder.objects, ".config"))
    if values.get("PCI") == values.get("MODULES") == "y":  # else no board that needs the shim can boot it
        builder.make(step, f"M={out}/shim", "modules")
    install_drm_headers(plan.base.path, builder.inputs / "uapi")
    guest = ["make", "-C", builder.where("guest"), f"OUT={out}/guest", f"UAPI={builder.where('in')}/uapi"]
    builder.run(step, [*guest, *plan.toolchain.make_args, f"-j{builder.jobs}"])
    jailed = builder.box.jailed and (core is None or core.jailed)
    return Artefacts(builder.objects, builder.scratch / "shim", builder.scratch / "guest", dtbs, core, jailed)
