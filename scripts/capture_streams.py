#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Capture command streams of Debian's unmodified Mesa as data for the unit tests: no GPU, no kernel, no root.

    scripts/capture_streams.py [--scene NAME]… [FOLDER]
    scripts/capture_streams.py --kernel K [--scene NAME]… [FOLDER]

Mesa's no-op shim (package mesa-drm-shim) answers panthor's ioctls with the values of a Mali-G610 and runs nothing. The
arm64 packages are fetched by hash and unpacked, never installed; QEMU's user mode runs them, Debian's own too. Mesa's
debug switches `trace` and `dump` have its own decoder print the streams, and the memory that they are in. Kept are, as
numbers: the words of each stream with what Mesa says of them, and the memory that the interpreter reads when it runs
them. One file a scene; tests/unit/gpu_cs/captured.py reads them, and says what is in them.

The shim never writes what a stream is to write, so PanVK finds its device lost after its first submission: of such a
scene that one is kept whole. Of others there are only the words with their text: the Gallium driver's dumps have no
addresses, and what later submissions find in memory depends on what the earlier ones have done.

With --kernel the other scenes run, on an emulated board: whole frames of clients that need a compositor, or more than
one submission. Of these, too, there are words with their text.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from on_board import booted, find_kernel  # noqa: E402

from panthorlab import debs  # noqa: E402
from panthorlab.board.emulated.overlay.assemble import RECORD, find  # noqa: E402
from panthorlab.errors import LabError, PanthorlabError  # noqa: E402
from panthorlab.kernel.model import Kernel  # noqa: E402
from panthorlab.paths import cache_dir  # noqa: E402
from panthorlab.run.clients import COMPUTE, GLMARK, under_weston  # noqa: E402
from panthorlab.run.clients import GL as GL_ENV  # noqa: E402
from tests.unit.gpu_cs.captured import DATA, Captured, Code, Line, Run, render  # noqa: E402
from tests.unit.gpu_cs.mesa_dump import Dump, parse_dump  # noqa: E402
from tests.unit.gpu_cs.standalone import PagedMemory  # noqa: E402

GPU = "a867"
LAST_MOVE = 2  # opcodes up to it have nothing but numbers
ALIKE = 12
TIMEOUT = 240.0
LIBRARIES = "usr/lib/aarch64-linux-gnu"
VULKAN = ("mesa-drm-shim", "mesa-vulkan-drivers", "vulkan-tools", "vkmark")
GL = ("mesa-drm-shim", "libegl-mesa0", "libgles2", "mesa-utils-bin")
GGML = ("mesa-drm-shim", "mesa-vulkan-drivers", "libggml0", "libggml0-backend-vulkan")
GGML_TEST = "/usr/libexec/aarch64-linux-gnu/ggml/test-backend-ops"
VKMARK = ("/usr/bin/vkmark", "--winsys", "headless", "-s", "64x64", "-b")


@dataclass(frozen=True)
class Scene:
    """`argv`: a program and its arguments. `debug`: the variable that makes Mesa tell what it submits. `whole`: the
    first submission is kept with its memory, to be run; else the words of all of them."""

    packages: tuple[str, ...]
    argv: tuple[str, ...]
    debug: str = "PANVK_DEBUG"
    release: str = "trixie"
    whole: bool = True


SCENES = {
    **{
        f"vkmark-{name}": Scene(VULKAN, (*VKMARK, f"{name}:duration=0.02"))
        for name in ("clear", "cube", "desktop", "effect2d", "shading", "texture", "vertex")
    },
    "eglinfo": Scene(
        GL, ("/usr/bin/eglinfo.aarch64-linux-gnu", "-B", "-p", "surfaceless"), "PAN_MESA_DEBUG", whole=False
    ),
    # Barriers, events and a dispatch of a graph of two nodes: the only client here that Debian has for compute.
    "ggml-add": Scene(
        GGML,
        (GGML_TEST, "test", "-b", "Vulkan0", "-o", "ADD", "-p", r"type=f32,ne=\[10,5,4,3\],nr=\[1,1,1,1\]"),
        release="sid",
        whole=False,
    ),
}


@dataclass(frozen=True)
class BoardScene:
    """`argv` on an emulated board with the programs of `overlay`."""

    overlay: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


BOARD_SCENES = {
    **{
        f"glmark-{name}": BoardScene(
            "mesa-gl",
            under_weston(GLMARK, "-s", "64x64", "-b", f"{name}:duration=0.05"),
            {**GL_ENV, "PAN_MESA_DEBUG": "trace"},
        )
        for name in ("build", "desktop")
    },
    **{
        f"vkmark-{name}-frames": BoardScene(
            "mesa-vulkan", (*VKMARK, f"{name}:duration=0.05"), {"PANVK_DEBUG": "trace,dump"}
        )
        for name in ("desktop", "texture")
    },
    "vk-compute": BoardScene("mesa-compute", (COMPUTE, "--rounds", "2"), {"PANVK_DEBUG": "trace,dump"}),
}


def unpacked(release: str, architecture: str, packages: tuple[str, ...], root: Path) -> dict[str, str]:
    """Unpack the packages and all they need into `root`; their versions by name."""
    mirror, home = debs.debian_mirror(), cache_dir("overlays", f"apt-{release}-{architecture}")
    found = debs.PackageResolver(home, mirror, [release], architecture).resolve(*packages)
    store = cache_dir("overlays", "packages")
    debs.unpack(debs.download(found, mirror, store, lambda text: print(text, file=sys.stderr)), root)
    names = (deb.name.split("_") for deb in found)
    return {name: version for name, version, *_ in names}


def dumps(scene: Scene, emulator: Path, root: Path, scratch: Path) -> list[Dump]:
    """What Mesa tells while the scene runs. How it ends does not matter: PanVK aborts one client, another waits
    for what no GPU does, until it is killed."""
    libraries = root / LIBRARIES
    target = {
        "LD_PRELOAD": str(libraries / "libpanfrost_noop_drm_shim.so"),
        "LD_LIBRARY_PATH": str(libraries),
        "PAN_GPU_ID": GPU,
        "VK_DRIVER_FILES": str(root / "usr/share/vulkan/icd.d/panfrost_icd.json"),
    }
    argv = [str(emulator), "-L", str(root)]
    argv += [part for name, value in target.items() for part in ("-E", f"{name}={value}")]
    argv += [str(root / scene.argv[0].lstrip("/")), *scene.argv[1:]]
    env = {**os.environ, scene.debug: "trace,dump", "PANDECODE_DUMP_FILE": str(scratch / "dump")}
    with (scratch / "said").open("w+") as said:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(argv, env=env, stdout=said, stderr=said, timeout=TIMEOUT, check=False)
        files = sorted(scratch.glob("dump*"))
        if not files:
            said.seek(0)
            raise LabError(f"{scene.argv[0]} submitted nothing, but said: {said.read()[-500:]}")
    return [parse_dump(file.read_text()) for file in files]


class Recorder(PagedMemory):
    """Maps whatever is touched, and keeps which lines of 64 bytes were read as data, and which pages were mapped."""

    def __init__(self, memory: dict[int, bytes]) -> None:
        super().__init__()
        for va, data in memory.items():
            self.poke(va, data)
        self.touched: set[int] = set()
        self.before_access = self._note

    def _note(self, va: int, size: int, _requester: object) -> None:
        self.map(va, size)
        self.touched.update(range(va // 64, (va + size - 1) // 64 + 1))


def code_at(memory: dict[int, bytes], va: int, size: int, text: tuple[str, ...] = ()) -> Code:
    for start, data in memory.items():
        if start <= va and va + size <= start + len(data):
            words = [int.from_bytes(data[at : at + 8], "little") for at in range(va - start, va - start + size, 8)]
            return Code(
                va, tuple(Line(word, said) for word, said in zip(words, text or [""] * len(words), strict=True))
            )
    raise LabError(f"what Mesa dumped has nothing at 0x{va:x}")


def few(lines: Iterable[Line]) -> tuple[Line, ...]:
    kept: dict[tuple[int, int], dict[Line, None]] = {}
    for line in lines:
        alike = kept.setdefault((line.word >> 56, line.word >> 48 if line.word >> 56 > LAST_MOVE else 0), {})
        if len(alike) < ALIKE:
            alike[line] = None
    return tuple(line for alike in kept.values() for line in alike)


def board_dumps(scene: BoardScene, kernel: Kernel) -> tuple[str, list[Dump]]:
    """Mesa's version, and what it tells of the scene on the board."""
    overlay = find(scene.overlay, lambda text: print(text, file=sys.stderr))
    record = json.loads((overlay.parent / RECORD).read_text())
    mesa = next(deb.split("_")[1] for deb in record["packages"] if re.match("(libegl-mesa0|mesa-vulkan-drivers)_", deb))
    with booted(kernel, overlay=overlay) as (board, _):
        env = {**scene.env, "PANDECODE_DUMP_FILE": "/tmp/streams"}  # noqa: S108 - the board's
        done = board.shell.run(scene.argv, timeout=TIMEOUT, env=env)
        if done.status:
            raise LabError(f"{scene.argv[0]} ended with status {done.status}: {done.stderr[-500:]!r}")
        listed = board.shell.run(["/bin/sh", "-c", "ls /tmp/streams*"], timeout=TIMEOUT)
        files = listed.stdout.decode().split()
        return mesa, [parse_dump(board.shell.get(file).decode()) for file in files]


def told_words(dump: Dump) -> list[Line]:
    """Of a dump that was cut off when the client was killed, what there is of it."""
    listed = [listing for listing in dump.listings if not listing.initial and dump.has(listing)]
    codes = [code_at(dump.memory, listing.va, 8 * len(listing.text), listing.text) for listing in listed]
    return [*dump.words, *(line for code in codes for line in code.lines)]


def captured(name: str, scene: Scene, mesa: str, told: list[Dump]) -> Captured:
    """The first submission with what the interpreter needs of it, or words alone: each once, and of those that differ
    in what they move into a register or in where they branch to, a few."""
    head = (mesa, " ".join(scene.argv), datetime.datetime.now(datetime.UTC).date().isoformat())
    if not scene.whole:
        return Captured(*head, words=few(line for dump in told for line in told_words(dump)))
    whole = next(dump for dump in told if dump.memory)
    setups = {listing.queue: listing.moved(90) for dump in told for listing in dump.listings if listing.initial}
    listings = [listing for listing in whole.listings if not listing.initial]
    streams = tuple(
        (listing.queue, code_at(whole.memory, listing.va, 8 * len(listing.text), listing.text)) for listing in listings
    )
    places = {handler for listing in listings for handler in listing.handlers()}
    handlers = tuple(code_at(whole.memory, va, size) for va, size in sorted(places))
    trial = Captured(*head, setups, streams, handlers)
    memory = Recorder(whole.memory)
    before = {page: bytes(data) for page, data in memory.pages.items()}
    run = Run(trial, memory)
    run.finish()
    for fault in run.troubles():
        raise LabError(f"{name} does not run in the model: {fault}")
    own = {line for code in (*(code for _, code in streams), *handlers) for line in code.lines64()}
    theirs = {line for line in memory.touched if not run.own(line)}
    data = {
        line * 64: before[line // 64][line % 64 * 64 : line % 64 * 64 + 64]
        for line in sorted(theirs - own)
        if line // 64 in before
    }
    kept = {va: part for va, part in data.items() if any(part)}
    pages = tuple(sorted({line // 64 for line in theirs}))
    return Captured(*head, setups, streams, handlers, pages=pages, data=kept)


def keep(folder: Path, name: str, result: Captured) -> None:
    file = folder / f"mesa-{result.mesa.partition('-')[0]}-{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(result))
    print(json.dumps({"file": str(file), "words": len(result.all_words()), "bytes": file.stat().st_size}))


def capture_by_shim(names: Iterable[str], folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="streams-") as scratch:
        emulator = Path(scratch, "qemu")
        unpacked("trixie", debs.architecture(), ("qemu-user",), emulator)
        roots: dict[tuple[str, ...], tuple[Path, str]] = {}
        for name in names:
            scene = SCENES[name]
            if scene.packages not in roots:
                root = Path(scratch, f"root-{len(roots)}")
                versions = unpacked(scene.release, "arm64", scene.packages, root)
                roots[scene.packages] = root, versions["mesa-drm-shim"]
            root, mesa = roots[scene.packages]
            place = Path(scratch, name)
            place.mkdir()
            keep(
                folder, name, captured(name, scene, mesa, dumps(scene, emulator / "usr/bin/qemu-aarch64", root, place))
            )


def capture_on_board(names: Iterable[str], folder: Path, kernel: Kernel) -> None:
    for name in names:
        scene = BOARD_SCENES[name]
        mesa, told = board_dumps(scene, kernel)
        words = few(line for dump in told for line in told_words(dump))
        client = " ".join(scene.argv[-4:])
        keep(folder, name, Captured(mesa, client, datetime.datetime.now(datetime.UTC).date().isoformat(), words=words))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scene", action="append", choices=[*SCENES, *BOARD_SCENES], help="only this one, may be repeated"
    )
    parser.add_argument("--kernel", metavar="K", help="those on an emulated board, with this kernel")
    parser.add_argument("folder", nargs="?", type=Path, default=DATA, help="default: %(default)s")
    options = parser.parse_args()
    scenes = options.scene or (BOARD_SCENES if options.kernel else SCENES)
    try:
        if options.kernel:
            capture_on_board(scenes, options.folder, find_kernel(options.kernel))
        else:
            capture_by_shim(scenes, options.folder)
    except PanthorlabError as error:
        print(f"capture-streams: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
