# SPDX-License-Identifier: GPL-2.0-or-later
"""`panthorlab lava job`: write a job definition, and the files it fetches."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import yaml

from panthorlab.board.board import Board, Hardware
from panthorlab.board.registry import open_board
from panthorlab.errors import UsageError
from panthorlab.lava.artifacts import collect
from panthorlab.lava.job import PROMPTS, Counted, LavaJob, definition
from panthorlab.run.kernels import resolve_kernel
from panthorlab.run.suites import find_suites
from panthorlab.run.workload import Workload

# Markers must not be rate-limited, and a fault storm must not push out what was not read yet.
KERNEL_ARGS = "printk.devkmsg=on log_buf_len=16M"


def main(options: argparse.Namespace) -> int:
    """The job on stdout, its files in `--artifacts`."""
    board = open_board(options.board)
    hardware, dtb = _hardware(board)
    suites = find_suites(options.suite)
    counted = tuple(Counted(item, item.planned(override=options.iterations)) for item in _workloads(suites))
    with tempfile.TemporaryDirectory(prefix="panthorlab-lava-") as scratch:
        kernel = resolve_kernel(options.kernel, log=Path(scratch) / "build.log")
        board.check_kernel(kernel)
        firmware = None if options.firmware is None else (hardware.firmware, options.firmware)
        artifacts = collect(kernel, dtb=dtb, firmware=firmware)
    folder = options.artifacts.resolve()
    job = LavaJob(
        kernel, artifacts, tuple(suites), counted,
        device_type=options.device_type or PurePosixPath(dtb).stem,
        url_base=options.url_base or folder.as_uri(),
        rootfs=options.rootfs,
        kernel_args=" ".join(filter(None, [
            KERNEL_ARGS, f"loglevel={hardware.log_level}", hardware.command_line,
        ])),
        prompts=tuple(options.prompt) or PROMPTS, login=options.login, tags=tuple(options.tag),
        visibility=options.visibility,
    )  # fmt: skip
    written = definition(job)  # before any file: it may refuse
    artifacts.write(folder)
    sys.stdout.write(yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=10_000))
    return 0


def _hardware(board: Board) -> tuple[Hardware, str]:
    """What LAVA must know of such a board, and its device tree."""
    hardware = board.hardware()
    if hardware is None:
        raise UsageError(
            f"board {board.key} is an {board.file.type} one; LAVA has real ones",
            hint="name the board file of the kind of board that the LAVA lab has",
        )
    if hardware.dtb is None:
        raise UsageError(f"{board.path}: a LAVA job needs the board's `dtb`")
    return hardware, hardware.dtb


def _workloads(suites: dict[str, Path]) -> Iterator[Workload]:
    """What the suites declare. Raises UsageError for one that does more than run workloads."""
    for name, file in suites.items():
        found = list(declared(file))
        if not found:
            raise UsageError(
                f"suite {name} declares no workloads: it needs a controller beside the board, which LAVA has not",
                hint="name suites that do, e.g. --suite heap-exit",
            )
        yield from found


def declared(file: Path) -> Iterator[Workload]:
    """The `Workload`s among a suite's module-level names, alone or in tuples and lists, each once."""
    spec = importlib.util.spec_from_file_location(f"panthorlab_suite_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is no Python file")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where its dataclasses look for it
    spec.loader.exec_module(module)
    seen: dict[str, Workload] = {}
    for value in vars(module).values():
        items: Iterable[object] = value if isinstance(value, tuple | list) else (value,)
        seen |= {item.name: item for item in items if isinstance(item, Workload)}
    yield from seen.values()
