# SPDX-License-Identifier: GPL-2.0-or-later
"""Config fragments: read, merge over allnoconfig, and check that the result has every option that was asked for.

A fragment has `CONFIG_X=value`, `# CONFIG_X is not set`, the same behind `#? ` (only where the tree has the option),
`#! dtb NAME` (build that device tree too; `#? dtb NAME`: where the tree has its source), `#! debug-info DIR` (compile
the C files of that directory with debug information, which changes no instruction), `#! profile DIR` (compile them so
that they count for gcov what runs, which needs CONFIG_GCOV_KERNEL), comments and empty lines. Later fragments override
earlier ones.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panthorlab.arch import Arch
from panthorlab.errors import ConfigError, UsageError
from panthorlab.kernel.build.kconfig import Symbol, why_lost
from panthorlab.paths import data_dirs, find_data, hint_here

_SET = re.compile(r'^CONFIG_(\w+)=("(?:[^"\\]|\\.)*"|[ymn]|-?\d+|0[xX][0-9a-fA-F]+)\s*$')
_UNSET = re.compile(r"^# CONFIG_(\w+) is not set\s*$")
_DTB = re.compile(r"^#[!?] dtb ([\w.-]+/[\w.-]+\.dtb)\s*$")
_OF_DIRECTORY = re.compile(r"^#! (?P<what>debug-info|profile) (?P<directory>(?:\w[\w.-]*/)*\w[\w.-]*)\s*$")


@dataclass(frozen=True)
class Option:
    """One request. `value`: as in .config, or None for "is not set". `optional`: only where the tree has it."""

    name: str
    value: str | None
    optional: bool
    file: Path
    line: int

    def __str__(self) -> str:
        return f"# CONFIG_{self.name} is not set" if self.value is None else f"CONFIG_{self.name}={self.value}"


@dataclass(frozen=True)
class ConfigRequest:
    """All that a stack of fragments asks for."""

    options: tuple[Option, ...]
    dtbs: tuple[str, ...]
    optional_dtbs: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, str | None]:
        """What is asked for, by the option's name."""
        return {option.name: option.value for option in self.options}


def find_fragments(names: Sequence[str]) -> tuple[Path, ...]:
    """Files of fragments, by name in kernel_configs/ or by path. Raises UsageError with a suggestion."""
    return tuple(_find_fragment(name) for name in names)


def _find_fragment(name: str) -> Path:
    file = f"{name.removesuffix('.config')}.config"
    found = find_data("kernel_configs", file) if "/" not in name else None
    path = found or Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    if here := hint_here("kernel_configs", file, "--config"):
        raise UsageError(f"no such config fragment: {name}", hint=here)
    known = sorted({file.stem for folder in data_dirs("kernel_configs") for file in folder.glob("*.config")})
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}; or give a path"
    raise UsageError(f"no such config fragment: {name}", hint=hint)


def debug_info(fragments: Sequence[Path]) -> tuple[str, ...]:
    """The directories of the tree whose debug information is asked for, as `DIR/`. They are no part of `fragments_key`:
    .config, and so the O= directory, is the same with and without."""
    return _directories(fragments, "debug-info")


def profiled(fragments: Sequence[Path]) -> tuple[str, ...]:
    """The directories of the tree that are to count for gcov, as `DIR/`."""
    return _directories(fragments, "profile")


def _directories(fragments: Sequence[Path], what: str) -> tuple[str, ...]:
    lines = (line for file in fragments for line in file.read_text(errors="replace").splitlines())
    found = (match for line in lines if (match := _OF_DIRECTORY.match(line)))
    return tuple(sorted({f"{match['directory']}/" for match in found if match["what"] == what}))


def fragments_key(fragments: Sequence[Path]) -> str:
    """Content key of a stack of fragments; comments do not count."""
    request = read_fragments(fragments)
    lines = sorted(f"{option.optional:d}{option}" for option in request.options)
    lines += [*sorted(request.dtbs), *(f"? {name}" for name in sorted(request.optional_dtbs))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_fragments(fragments: Sequence[Path]) -> ConfigRequest:
    """Parse and merge. Raises ConfigError with file:line for a line that is none of the above."""
    options: dict[str, Option] = {}
    dtbs: dict[str, bool] = {}
    for file in fragments:
        for option in parse_fragment(file.read_text(errors="replace"), file, dtbs):
            options.pop(option.name, None)
            options[option.name] = option
    return ConfigRequest(
        tuple(options.values()),
        tuple(name for name, must in dtbs.items() if must),
        tuple(name for name, must in dtbs.items() if not must),
    )


def parse_fragment(text: str, file: Path, dtbs: dict[str, bool]) -> Iterable[Option]:
    """The options of one fragment, in order; its device trees are added to `dtbs`, with whether they must exist."""
    for number, raw in enumerate(text.splitlines(), 1):
        optional = raw.startswith("#? ")
        line = raw.removeprefix("#? ").strip()
        if match := _DTB.match(raw):
            dtbs[match[1]] = dtbs.get(match[1], False) or not optional
        elif _OF_DIRECTORY.match(raw):
            continue
        elif match := _SET.match(line):
            yield Option(match[1], None if match[2] == "n" else match[2], optional, file, number)
        elif match := _UNSET.match(line):
            yield Option(match[1], None, optional, file, number)
        elif optional or line.startswith("#!") or (line and not line.startswith("#")):
            raise ConfigError(
                f"not a config line: {raw[:80]!r}",
                file=file,
                line=number,
                hint="CONFIG_X=y, CONFIG_X=m, CONFIG_X=value, or # CONFIG_X is not set",
            )


def device_trees(request: ConfigRequest, tree: Path, arch: Arch) -> tuple[str, ...]:
    """The device trees to build from `tree`: what must be, and what of the optional has its source there."""
    folder = tree / arch.boot_directory / "dts"
    return (*request.dtbs, *(name for name in request.optional_dtbs if (folder / name).with_suffix(".dts").is_file()))


def allconfig(request: ConfigRequest, symbols: Mapping[str, Symbol]) -> str:
    """The text for KCONFIG_ALLCONFIG on a tree that defines `symbols`."""
    return "".join(f"{option}\n" for option in applicable(request, symbols))


def applicable(request: ConfigRequest, symbols: Mapping[str, Symbol]) -> list[Option]:
    """The options without the optional ones that this tree does not have."""
    return [
        option
        for option in request.options
        if not option.optional or (option.name in symbols and symbols[option.name].depends)
    ]


def parse_dotconfig(text: str) -> dict[str, str]:
    """Values in a .config by name; options that are not set are left out."""
    return {match[1]: match[2] for match in re.finditer(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE)}


def check_result(request: ConfigRequest, dotconfig: str, symbols: Mapping[str, Symbol], version: str) -> None:
    """Raise ConfigError naming every requested option that is not in the result, and what it lacks."""
    values = parse_dotconfig(dotconfig)
    lost = [option for option in applicable(request, symbols) if values.get(option.name) != option.value]
    if not lost:
        return
    lines = []
    for option in lost:
        became = f"CONFIG_{option.name}={values[option.name]}" if option.name in values else "not set"
        reason = why_lost(option.name, symbols, values)
        lines.append(f"{option} ({option.file.name}:{option.line}) became {became}: {reason}")
        if option.name not in symbols:
            close = difflib.get_close_matches(option.name, symbols, 1)
            lines[-1] += f"; did you mean CONFIG_{close[0]}?" if close else ""
    first = lost[0]
    raise ConfigError(
        f"Linux {version} does not give what was asked for:\n  " + "\n  ".join(lines),
        file=first.file,
        line=first.line,
        hint="ask for what it depends on too, or mark the line `#? ` if it is only for trees that have the option",
    )
