# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens on the controller's own machine: programs of a build are killed or starved, stored files are damaged."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from panthorlab.kernel.job import find_kernel
from tests.virtual_lab.scene import LIMIT, Scene, SceneError

PATCHES = Path(__file__).parents[1] / "e2e" / "patches"


def own_patch(scene: Scene) -> Path:
    """A patch in nobody's store: its kernel has to be built."""
    path = scene.folder / "own.patch"
    if not path.exists():
        text = (PATCHES / "unrelated.patch").read_text()
        path.write_text(text.replace("6000", str(6001 + time.time_ns() % 100_000)))
    return path


def damage_kernel(scene: Scene) -> None:
    """Run on a copy of the kernel with 4 KiB of garbage in its Image."""
    scene.switch_on()
    kernel = find_kernel(scene.kernels[""], log=scene.folder / "find.log")
    copy = scene.folder / "stored" / kernel.key
    shutil.copytree(kernel.path, copy)
    with (copy / "Image").open("r+b") as image:
        image.seek(1 << 20)
        image.write(os.urandom(4096))
    scene.kernels = {**scene.kernels, "": str(copy)}


def damage_log(scene: Scene) -> None:
    """kill -9 of the controller, and one bit of its log; then the log as it was."""
    scene.until_iterating()
    assert scene.process is not None
    scene.process.kill()
    scene.process.wait()
    log = scene.run_dir / "events.jsonl"
    good = log.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    log.write_bytes(bad)
    status = scene.start("resume", str(scene.run_dir), name="damaged").wait(LIMIT)
    scene.notes.append(f"resume of the damaged log: exit {status}")
    if status != 4 or "damaged event log" not in scene.said("damaged"):
        raise SceneError(f"resuming a damaged log had status {status}: {scene.said('damaged')}")
    log.write_bytes(good)
    scene.resume()


def strike(victim: str, how: Callable[[int], None], works_on: str = "") -> Callable[[Scene], None]:
    """Do `how` to the first `victim` or `PREFIX-victim` of the run's build that has such a file on its command line; it
    must end in a lab error. Then resume."""
    def inject(scene: Scene) -> None:
        scene.until(lambda: _strike_one(scene, victim, works_on, how), f"a {victim} runs")
        assert scene.process is not None
        status = scene.process.wait(LIMIT)
        scene.notes.append(f"the build: exit {status}")
        if status != 4:
            raise SceneError(f"the run whose {victim} was struck had status {status}: {scene.said()}")
        scene.resume()

    return inject


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def starve(pid: int) -> None:
    """Its compilers, which inherit it, get a tenth of the memory that they need."""
    resource.prlimit(pid, resource.RLIMIT_AS, (32 << 20, 32 << 20))


def _strike_one(scene: Scene, victim: str, works_on: str, how: Callable[[int], None]) -> bool:
    assert scene.process is not None
    for pid in _descendants(scene.process.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            name = words[0].rpartition("/")[2]
            if (name == victim or name.endswith(f"-{victim}")) and any(works_on in word for word in words[1:]):
                how(pid)
                return True
        except OSError:
            continue  # it has just ended
    return False


def _descendants(root: int) -> Iterator[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return iter(found)
