# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of one build: configure the patched tree, make it, and the programs for the board. `attempts` runs them and
decides about retries."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from panthorlab.arch import ARCHES
from panthorlab.errors import BuildError, LabError, PanthorlabError
from panthorlab.files import disk_full, write_whole
from panthorlab.kernel.build import config, guest, kconfig, output
from panthorlab.kernel.build.collect import Artefacts
from panthorlab.kernel.build.concern import can_be_due_to
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.trouble import BuildTrouble, TroubleKind, by_status, find_trouble, killed_outright
from panthorlab.kernel.build.uapi import install_drm_headers
from panthorlab.kernel.jail import inside
from panthorlab.kernel.jail.sandbox import Bind, Sandbox, sandbox, tools
from panthorlab.kernel.model import Kernel
from panthorlab.kernel.progress import Progress
from panthorlab.paths import cache_dir

MAKE_SECONDS = 4 * 3600.0
# Without these an Image would differ from the next one built from the same source.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "panthorlab",
    "KBUILD_BUILD_HOST": "panthorlab",
    "KBUILD_BUILD_VERSION": "1",
}
# Depend mode: without it a miss would preprocess everything twice.
CCACHE = {"CCACHE_NOHASHDIR": "1", "CCACHE_DEPEND": "1", "CCACHE_MAXSIZE": "2G"}
# Else functions that are put into others while these are optimised are not counted by themselves.
_APART = "-fno-early-inlining"
_EXTRAS = "building the guest programs"
_TAIL = 4000  # lines of output kept for finding errors

_HINTS = {
    TroubleKind.KILLED: "the kernel's out-of-memory killer says so in `dmesg`; started again, the build goes on",
    TroubleKind.MEMORY: "close other programs, or add memory or swap; started again, the build goes on",
    TroubleKind.MACHINE: "`dmesg` may say more; started again, the build goes on",
    TroubleKind.TOOL: "install it; `panthorlab doctor` names what a build needs",
}


class DoesNotBuildError(BuildError):
    """`due`: the changes may be the cause; otherwise a half-written file is as likely."""

    def __init__(self, message: str, *, log: Path, due: bool, hint: str | None = None) -> None:
        super().__init__(message, log=log, hint=hint)
        self.due = due


class CrashedError(LabError):
    """A compiler or another tool ended itself by a signal, or found itself at fault. `due`: on what was changed."""

    def __init__(self, step: str, trouble: BuildTrouble, *, due: bool) -> None:
        super().__init__(f"{step}: {trouble.kind}: {trouble.line}", hint="bad memory, or a bug of that program")
        self.due = due


@dataclass
class Builder:
    """Runs the steps of one build. `objects`: the O= directory, shared by all builds of a tree and config.

    `work`: our own directory for its other files. `foreign`: the O= directory is the user's, and only read.
    `changed`: the files that may be blamed, see `concern`.
    """

    plan: SidePlan
    objects: Path
    work: Path
    log: IO[str]
    progress: Progress
    jobs: int
    box: Sandbox
    foreign: bool = False
    changed: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ccache = cache_dir(f"ccache{self.box.suffix}")
        self.inputs = self.work / "in"  # only read by the build
        for path in (self.objects, self.inputs):
            path.mkdir(exist_ok=True, parents=True)
        # A new directory each time: what is in one that a build could write to is not to be trusted any more.
        for left in self.work.glob("out-*"):
            shutil.rmtree(left)
        self.scratch = Path(tempfile.mkdtemp(prefix="out-", dir=self.work))
        shutil.copytree(guest.shim(), self.scratch / "shim")
        self.shim_key = guest.digest_below(self.scratch / "shim")  # of what is built, whoever edits the sources now
        (self.scratch / "guest").mkdir()
        mine = () if self.foreign else (self.objects,)
        self.box.hand_over(self.ccache, self.scratch, self.scratch / "shim", self.scratch / "guest", *mine)
        self.binds = (
            Bind("src", self.plan.base.path),
            Bind("obj", self.objects, writable=not self.foreign),
            Bind("ccache", self.ccache, writable=True),
            Bind("guest", guest.SOURCES),
            Bind("in", self.inputs),
            Bind("out", self.scratch, writable=True),
            *tools(self.plan.toolchain.programs),
            *(self.plan.toolchain.rust.binds if self.plan.toolchain.rust else ()),
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
        rust = self.plan.toolchain.rust.make_args(self.where) if self.plan.toolchain.rust else ()
        self.run(step, [*base, *self.plan.toolchain.make_args, *rust, *args], expected=expected)

    def run(self, step: str, argv: Sequence[str], *, expected: int | None = None) -> int:
        """Run one command of the build, counting its steps for the progress. Returns how many there were."""
        steps, tail = 0, deque[str](maxlen=_TAIL)
        self.progress(step, 0, expected)
        self.log.write(f"+ {' '.join(argv)}\n")

        def on_line(line: str) -> None:
            nonlocal steps
            tail.append(line)
            self.log.write(line + "\n")
            if output.is_step(line):
                steps += 1
                self.progress(step, steps, max(expected, steps) if expected else None)

        env = {**REPRODUCIBLE, **CCACHE, "CCACHE_DIR": self.where("ccache"), **profile_environment(self.plan.profiled)}
        status = self.box.run(argv, self.binds, on_line=on_line, timeout=MAKE_SECONDS, env=env)
        self.log.flush()
        if status != 0:
            raise self._failure(step, status, list(tail))
        if trouble := killed_outright(tail):
            raise machine_error(step, trouble)
        return steps

    def _failure(self, step: str, status: int, tail: list[str]) -> PanthorlabError:
        path = Path(self.log.name)
        roots = [self.where("src"), self.where("obj"), "../src", "../../src"]
        problems = output.find_problems(tail, roots)
        trouble = by_status(status, "make") or find_trouble(tail)
        due = can_be_due_to(self.changed, tail, roots, self.objects)
        if trouble is not None and trouble.kind is TroubleKind.CRASHED:
            return CrashedError(step, trouble, due=due)
        # A program that is not there is often only asked for in vain: what the compiler says counts more.
        if trouble is not None and not (trouble.kind is TroubleKind.TOOL and any(item.file for item in problems)):
            return machine_error(step, trouble)
        if not problems:
            last = "\n".join(tail[-5:])
            text = f"{self.plan.title}: {step} failed with status {status}:\n{last}"
            return DoesNotBuildError(text, log=path, due=due)
        first = problems[0]
        more = f" (and {len(problems) - 1} more errors)" if len(problems) > 1 else ""
        blame = output.culprit(first, self.plan.reports)
        text = f"{self.plan.title} does not build: {first}{more}"
        hint = f"the full log is {path}"
        return DoesNotBuildError(f"{text}; {blame}" if blame else text, log=path, hint=hint, due=due)


def objects_of(plan: SidePlan) -> Path:
    """The O= directory of a plan: shared by all kernels of the same tree, config and compiler."""
    compiler = hashlib.sha256(f"{plan.toolchain.prefix}{plan.toolchain.version}".encode()).hexdigest()
    name = f"obj-{plan.arch}-{plan.config_key[:16]}-{compiler[:8]}{sandbox().suffix}"
    return plan.base.path.parent / name


def make_all(builder: Builder, written: Sequence[str], core: Kernel | None) -> Artefacts:
    """The whole kernel; with `core`, only what that lacks. `written`: files that were changed for it.

    Raises BuildError, ConfigError, LabError.
    """
    request = _configure(builder, written)
    dtbs = config.device_trees(request, builder.plan.base.path, ARCHES[builder.plan.arch])
    if core is None:
        _compile(builder, dtbs)
    return build_extras(builder, dtbs, core)


def machine_error(step: str, trouble: BuildTrouble) -> LabError:
    """The LabError for what the machine did to a build."""
    if trouble.kind is TroubleKind.DISK:
        return disk_full(f"{step}: {trouble.line}")
    return LabError(f"{step}: {trouble.kind}: {trouble.line}", hint=_HINTS[trouble.kind])


def _configure(builder: Builder, written: Sequence[str]) -> config.ConfigRequest:
    """Make .config unless the one that we made is there, and check it. A patch may change Kconfig files."""
    plan = builder.plan
    request = config.read_fragments(plan.fragments)
    done = builder.work / "configured"
    known = done.read_text(errors="replace") if done.exists() else ""
    present = inside.read(builder.objects, ".config")
    same = present is not None and known == hashlib.sha256(present).hexdigest()
    if same and not any("Kconfig" in Path(path).name for path in written):
        return request
    done.unlink(missing_ok=True)
    symbols = kconfig.read_symbols(plan.base.path, ARCHES[plan.arch].source)
    (builder.inputs / "allconfig").write_text(config.allconfig(request, symbols))
    builder.make("configuring", f"KCONFIG_ALLCONFIG={builder.where('in')}/allconfig", "allnoconfig")
    made = inside.text(builder.objects, ".config")
    config.check_result(request, made, symbols, plan.base.version)
    write_whole(done, hashlib.sha256(made.encode()).hexdigest())
    return request


def _compile(builder: Builder, dtbs: Sequence[str]) -> None:
    counts = cache_dir("trees") / f"steps-{builder.plan.config_key[:16]}.json"
    fresh = not (builder.objects / "vmlinux").exists()
    expected = _expected(counts) if fresh else None
    before = builder.log.tell()
    options = object_options({"-g": builder.plan.debug_info, _APART: builder.plan.profiled})
    image = ARCHES[builder.plan.arch].image
    builder.make(f"building {builder.plan.title}", image, "modules", *dtbs, *options, expected=expected)
    if fresh:
        builder.log.flush()
        with Path(builder.log.name).open(errors="replace") as text:
            text.seek(before)
            write_whole(counts, str(sum(map(output.is_step, text))))


def object_options(flags: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What make is told to compile directories (`DIR/`, with all below) and C files with a flag of their own.

    Of CFLAGS_KERNEL (built in) and CFLAGS_MODULE (modules), make works out the value for each object by itself.
    """
    value = " ".join(_for_objects(names, flag) for flag, names in flags.items() if names)
    return tuple(f"{name}={value}" for name in ("CFLAGS_KERNEL", "CFLAGS_MODULE")) if value else ()


def profile_environment(names: Sequence[str]) -> dict[str, str]:
    """Environment by which kbuild instruments these directories and C files for gcov. A kernel Makefile with
    `GCOV_PROFILE := n` rightly overrides it."""
    return {"GCOV_PROFILE": _for_objects(names, "y")} if names else {}


def _for_objects(names: Sequence[str], value: str) -> str:
    wanted = " ".join(f"{name}%" if name.endswith("/") else f"{name.removesuffix('.c')}.o" for name in names)
    return f"$(if $(filter {wanted},$@),{value})"


def _expected(counts: Path) -> int | None:
    """How many steps a whole build had last time; only for the progress, so what is damaged is nothing."""
    try:
        steps = json.loads(counts.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return steps if type(steps) is int and steps > 0 else None


def build_extras(builder: Builder, dtbs: tuple[str, ...] = (), core: Kernel | None = None) -> Artefacts:
    """The shim module, the UAPI headers of this tree, and the static programs for the board."""
    plan, out = builder.plan, builder.where("out")
    values = config.parse_dotconfig(inside.text(builder.objects, ".config"))
    if values.get("PCI") == values.get("MODULES") == "y":  # else no board that needs the shim can boot it
        # not through ccache, which does not see that an overlay has changed that an object takes in by .incbin
        builder.make(_EXTRAS, f"CC={plan.toolchain.prefix}gcc", f"M={out}/shim", "modules")
    install_drm_headers(plan.base.path, builder.inputs / "uapi")
    return build_programs(builder, dtbs, core, shim=builder.scratch / "shim")


def build_programs(
    builder: Builder, dtbs: tuple[str, ...] = (), core: Kernel | None = None, *, shim: Path | None = None
) -> Artefacts:
    """The static programs for the board, with the headers in `in/uapi`, and the rest of a kernel: see Artefacts."""
    plan, out = builder.plan, builder.where("out")
    programs = ["make", "-C", builder.where("guest"), f"OUT={out}/guest", f"UAPI={builder.where('in')}/uapi"]
    builder.run(_EXTRAS, [*programs, *plan.toolchain.make_args, f"-j{builder.jobs}"])
    jailed = builder.box.jailed and (core is None or core.jailed)
    return Artefacts(
        builder.objects,
        shim,
        builder.scratch / "guest",
        dtbs,
        core,
        jailed,
        built_as=str(builder.objects) if builder.foreign else builder.where("obj"),
        shim_key=core.shim_key if core is not None and shim is None else builder.shim_key,
    )
