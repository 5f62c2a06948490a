# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens on the controller's own machine: programs of a build are killed or starved, stored files are damaged."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from panthorlab.kernel.find import find_kernel
from panthorlab.run.record import ExtensionEvent, Iteration
from tests.virtual_lab.scene import LIMIT, Scene, SceneError

_WARN = "echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT"
_BUILT_IN = """\
--- a/drivers/base/platform.c
+++ b/drivers/base/platform.c
@@ -1,4 +1,5 @@
 // SPDX-License-Identifier: GPL-2.0
+/* {} */
 /*
  * platform.c - platform 'pseudo' bus for legacy devices
  *
"""
PATCHES = Path(__file__).parents[1] / "e2e" / "patches"


def own_patch(scene: Scene) -> Path:
    """A patch in nobody's store: its kernel has to be built, and vmlinux linked anew."""
    path = scene.folder / "own.patch"
    if not path.exists():
        text = (PATCHES / "unrelated.patch").read_text()
        number = 6001 + time.time_ns() % 100_000
        path.write_text(text.replace("6000", str(number)) + _BUILT_IN.format(number))
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


def warn_rarely(scene: Scene) -> None:
    """The kernel warns once in an iteration of *after*, and once in what *before* is given more because of that."""
    scene.until(lambda: _iterates(scene, "after", 0), "the after kernel iterates")
    scene.on_board(_WARN)
    scene.until(lambda: scene.events(ExtensionEvent), "before is given more")
    done = len(scene.events(Iteration))
    scene.until(lambda: _iterates(scene, "before", done), "before iterates again")
    scene.on_board(_WARN)


def _iterates(scene: Scene, arm: str, since: int) -> bool:
    return any(event.arm == arm for event in scene.events(Iteration)[since:])


def kill(victim: str, works_on: str = "") -> Callable[[Scene], None]:
    """kill -9 of the first `victim` or `PREFIX-victim` of the run's build that has such a file on its command line; it
    must end in a lab error. Then resume."""

    def inject(scene: Scene) -> None:
        scene.until(lambda: _kill_one(scene, victim, works_on), f"a {victim} runs")
        _must_end(scene, f"whose {victim} was killed")
        scene.resume()

    return inject


def little_memory(scene: Scene) -> None:
    """Whatever runs in the jail of builds gets a tenth of the memory that a compiler needs."""
    jail = shutil.which("bwrap")
    if jail is None:
        raise SceneError("there is no bwrap")
    wrapper = scene.programs / "bwrap"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(f'#!/bin/sh\nulimit -v {32 << 10}\nexec {shlex.quote(jail)} "$@"\n')
    wrapper.chmod(0o755)


def enough_memory_again(scene: Scene) -> None:
    """When the build has ended in a lab error; then resume."""
    _must_end(scene, "without memory")
    (scene.programs / "bwrap").unlink()
    scene.resume()


def _must_end(scene: Scene, what: str) -> None:
    assert scene.process is not None
    status = scene.process.wait(LIMIT)
    scene.notes.append(f"the build: exit {status}")
    if status != 4:
        raise SceneError(f"the run {what} had status {status}: {scene.said()}")


def _kill_one(scene: Scene, victim: str, works_on: str) -> bool:
    assert scene.process is not None
    for pid in _descendants(scene.process.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            name = words[0].rpartition("/")[2]
            if (name == victim or name.endswith(f"-{victim}")) and any(works_on in word for word in words[1:]):
                os.kill(pid, signal.SIGKILL)
                return True
        except (FileNotFoundError, ProcessLookupError):
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
