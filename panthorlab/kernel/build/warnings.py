# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiler warnings of `make W=1` for the sources that a commit touches, and which of them it adds.

`make W=1` itself would compile the whole kernel anew, and the next build without it again. So the recorded command of
each source is run with the flags that the tree's own Makefile gives for W=1, and its output is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from panthorlab.errors import LabError
from panthorlab.files import write_whole
from panthorlab.kernel.build.concern import differences
from panthorlab.kernel.build.plan import SidePlan
from panthorlab.kernel.build.steps import CCACHE, objects_of
from panthorlab.kernel.build.tokens import affected, commands_of
from panthorlab.kernel.jail import inside
from panthorlab.kernel.jail.bubblewrap import ROOT
from panthorlab.kernel.jail.sandbox import Bind, Sandbox, sandbox, tools
from panthorlab.kernel.progress import Progress, quiet
from panthorlab.kernel.source.trees import locked, read_base, set_changes
from panthorlab.paths import cache_dir

_SECONDS = 300.0
_WARNING = re.compile(
    r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? warning: (?P<text>.*?)(?: \[(?P<option>-W[\w=+-]+)\])?$"
)
_MARK = "panthorlab-flags:"
_RULES = ("scripts/Makefile.extrawarn", "scripts/Makefile.warn")  # it was renamed between 6.18 and 7.3
_FLAGS = """\
srctree := {src}
KBUILD_CFLAGS :=
KBUILD_CPPFLAGS :=
include {src}/scripts/Kbuild.include
include {src}/scripts/Makefile.compiler
include {obj}/include/config/auto.conf
include $(firstword $(wildcard $(addprefix {src}/,{rules})))
$(info {mark} $(KBUILD_CPPFLAGS) $(KBUILD_CFLAGS))
all: ;
"""


@dataclass(frozen=True)
class CompilerWarning:
    """`file`: relative to the tree. `option`: that enables it, e.g. `-Wunused-variable`; may be empty."""

    file: str
    line: int
    text: str
    option: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" + (f" [{self.option}]" if self.option else "")

    @property
    def same(self) -> tuple[str, str, str]:
        """Equal for the same warning before and after lines have moved."""
        return self.file, self.text, self.option


def parse(lines: Collection[str], roots: Sequence[str]) -> list[CompilerWarning]:
    """The warnings in a compiler's output. `roots`: directories to cut off the front of file names."""
    found = []
    for line in lines:
        if match := _WARNING.match(line):
            found.append(
                CompilerWarning(
                    _relative(match["file"], roots), int(match["line"]), match["text"], match["option"] or ""
                )
            )
    return found


def _relative(name: str, roots: Sequence[str]) -> str:
    return next((name.removeprefix(f"{root}/") for root in roots if name.startswith(f"{root}/")), name)


def added(before: Collection[CompilerWarning], after: Collection[CompilerWarning]) -> list[CompilerWarning]:
    """The warnings of `after` that `before` does not have, or has less often; a header's count once for all sources."""
    old = Counter(one.same for one in set(before))
    new = []
    for one in sorted(set(after), key=lambda each: (each.file, each.line)):
        if old[one.same]:
            old[one.same] -= 1
        else:
            new.append(one)
    return new


_Flags = tuple[frozenset[str], tuple[str, ...]]


@dataclass
class WarningMeter:
    """The warnings that each of a row of commits adds. What is known of one commit is not compiled for the next again.

    `plan`: the tree as it is now; objects must be there. `uncompiled`: C files of the last commit that this
    configuration does not compile, so that nothing is known about them.
    """

    plan: SidePlan
    progress: Progress = quiet
    uncompiled: tuple[str, ...] = ()
    _known: dict[str, list[CompilerWarning]] = field(default_factory=dict)
    _flags: _Flags | None = None

    def before(self, following: SidePlan) -> None:
        """Compile what `following` will change, as it is now; call it before `following` is built."""
        sources = self._sources(following)
        missing = {name: command for name, command in sources.items() if name not in self._known}
        self._known |= self._compile(self.plan, missing)

    def after(self, built: SidePlan) -> list[CompilerWarning]:
        """The warnings that `built`, which has been built by now, adds to the state before it."""
        sources = self._sources(built)
        direct = {path for path in differences(built, self.plan) if path.endswith(".c")}
        removed = {path for path in direct if built.changes.get(path, b"") is None}
        self.uncompiled = tuple(sorted(direct - set(sources) - removed))
        old = [one for name in {*sources, *removed} for one in self._known.get(name, [])]
        now = self._compile(built, {name: command for name, command in sources.items() if name not in removed})
        self._known = {name: found for name, found in self._known.items() if name not in removed} | now
        self.plan = built
        return added(old, [one for found in now.values() for one in found])

    def _sources(self, other: SidePlan) -> dict[str, list[str]]:
        """The compiled files that differ between `other` and now, or include what does, with their commands."""
        objects, changed = objects_of(other), differences(other, self.plan)
        found: dict[str, list[str]] = {}
        for path in (path for path in changed if path.endswith(".c")):
            for command in commands_of(inside.read(objects, _record(path))):
                found[path] = command
        headers = {path for path in changed if path.endswith(".h")}
        for folder in {PurePosixPath(path).parent for path in headers if path.startswith("drivers/")}:
            own = {path for path in headers if PurePosixPath(path).parent == folder}
            found |= _by_source(affected(objects / folder, own), _roots(other))
        if wide := {path for path in headers if not path.startswith("drivers/")}:
            found |= _by_source(affected(objects, wide), _roots(other))
        return found

    def _compile(self, plan: SidePlan, commands: Mapping[str, Sequence[str]]) -> dict[str, list[CompilerWarning]]:
        if not commands:
            return {}
        with locked(plan.base.key, self.progress), _place(plan) as (box, binds, folder):
            set_changes(plan.base, plan.changes, plan.executable)
            self._flags = self._flags or _extra_flags(plan, box, binds, folder)
            removed, more = self._flags

            def one(item: tuple[str, Sequence[str]]) -> tuple[str, list[CompilerWarning]]:
                name, command = item
                lines: list[str] = []
                out = f"{box.where(binds, 'out')}/{hashlib.sha256(name.encode()).hexdigest()[:16]}.s"
                argv = ["env", "-C", box.where(binds, "obj"), *_noisy(command, removed, more, out)]
                env = {**CCACHE, "CCACHE_DIR": box.where(binds, "ccache")}
                if box.run(argv, binds, on_line=lines.append, timeout=_SECONDS, env=env):
                    raise LabError(
                        f"{name} was compiled, and is not with the flags of W=1: {' '.join(lines[-3:])}",
                        hint="see whether `make W=1` works in this tree",
                    )
                return name, parse(lines, _roots(plan))

            self.progress(f"warnings of {len(commands)} files (W=1)")
            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                return dict(pool.map(one, commands.items()))


def _record(path: str) -> str:
    return str(PurePosixPath(path).parent / f".{PurePosixPath(path).stem}.o.cmd")


def _roots(plan: SidePlan) -> tuple[str, ...]:
    """What may stand before the name of a file in a command of the build, in the jail and without."""
    return str(ROOT / "src"), str(plan.base.path), "../src"


def _by_source(commands: Sequence[list[str]], roots: Sequence[str]) -> dict[str, list[str]]:
    """By the path of the source in the tree, which is a command's last word."""
    return {_relative(command[-1], roots): command for command in commands if command[-1].endswith(".c")}


@contextmanager
def _place(plan: SidePlan) -> Iterator[tuple[Sandbox, tuple[Bind, ...], Path]]:
    box = sandbox()
    with tempfile.TemporaryDirectory(prefix="panthorlab-warnings-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "out").mkdir()
        box.hand_over(folder / "out")
        binds = (
            Bind("src", plan.base.path),
            Bind("obj", objects_of(plan)),
            Bind("in", folder),
            Bind("out", folder / "out", writable=True),
            Bind("ccache", cache_dir(f"ccache{box.suffix}"), writable=True),
            *tools(plan.toolchain.programs),
        )
        yield box, binds, folder


def _extra_flags(plan: SidePlan, box: Sandbox, binds: Sequence[Bind], folder: Path) -> _Flags:
    """The flags that W=1 leaves out, and those that it adds, as the tree's own Makefile says."""
    rules = next((text for name in _RULES if (text := read_base(plan.base, name)) is not None), b"")
    key = hashlib.sha256(repr((rules, plan.toolchain.version, plan.config_key)).encode()).hexdigest()
    memory = cache_dir("compared") / f"flags-{key[:32]}"
    found = _remembered(memory)
    if found is None:
        found = [_flags_of(plan, box, binds, folder, level) for level in ("", "1")]
        write_whole(memory, json.dumps(found))
    plain, noisy = found
    return frozenset(plain) - frozenset(noisy), tuple(flag for flag in noisy if flag not in plain)


def _remembered(memory: Path) -> list[list[str]] | None:
    """What is damaged is asked for again."""
    try:
        found = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    strings = isinstance(found, list) and len(found) == 2 and all(isinstance(flags, list) for flags in found)
    return found if strings and all(isinstance(flag, str) for flags in found for flag in flags) else None


def _flags_of(plan: SidePlan, box: Sandbox, binds: Sequence[Bind], folder: Path, level: str) -> list[str]:
    where = {name: box.where(binds, name) for name in ("src", "obj", "in", "out")}
    (folder / "flags.mk").write_text(_FLAGS.format(**where, rules=" ".join(_RULES), mark=_MARK))
    lines: list[str] = []
    argv = ["env", "-C", where["out"], "make", "-rRs", f"-f{where['in']}/flags.mk", *plan.toolchain.make_args]
    argv += [f"CC={plan.toolchain.prefix}gcc", f"KBUILD_EXTRA_WARN={level}"]
    status = box.run(argv, binds, on_line=lines.append, timeout=_SECONDS)
    told = [line.removeprefix(_MARK).split() for line in lines if line.startswith(_MARK)]
    if status or not told:
        raise LabError(
            f"the flags of W=1 cannot be got from the tree: {' '.join(lines[-3:])}", hint="is it a whole kernel tree?"
        )
    return told[0]


def _noisy(command: Sequence[str], removed: Collection[str], more: Sequence[str], output: str) -> list[str]:
    """`command` with the flags of W=1, that writes nothing but `output`, which nobody needs."""
    words = [
        word for word in command[:-1] if word not in removed and not word.startswith(("-Wp,-M", "-o")) and word != "-c"
    ]
    out = command.index("-o") + 1 if "-o" in command else None
    if out is not None and command[out] in words:
        words.remove(command[out])
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return [*words[:first], *more, *words[first:], "-Wno-error", "-S", "-o", output, command[-1]]
