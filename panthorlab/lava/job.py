# SPDX-License-Identifier: GPL-2.0-or-later
"""A LAVA job definition (docs.lavasoftware.org: "Job definition"), as data: a pure function of what it is to run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from panthorlab.board.onboard import WORK_DIR
from panthorlab.errors import UsageError
from panthorlab.kernel.driver import DRIVERS
from panthorlab.kernel.model import Kernel
from panthorlab.lava.artifacts import IMAGE, OVERLAY, SCRIPT, Artifacts
from panthorlab.run.iterations import OVERHEAD
from panthorlab.run.workload import Workload

DEPLOY_MINUTES: Final = 15
BOOT_MINUTES: Final = 10
START_SECONDS: Final = 120  # modules, render node, identity
# An iteration takes 20 to 500 ms on an RK3588; this much, on average, is a board that hangs.
ITERATION_SECONDS: Final = 3.0
PROMPTS: Final = ("/ #", "root@(.*):[/~]#")
_COMPRESSIONS: Final = {".gz": "gz", ".xz": "xz", ".bz2": "bz2", ".zst": "zstd"}


@dataclass(frozen=True)
class Counted:
    """A workload and how many iterations of it the job runs."""

    workload: Workload
    count: int

    @property
    def case(self) -> str:
        """The workload's name as LAVA allows test cases to be called; also the prefix of its iterations' ids."""
        return self.workload.name.replace("/", ".")

    @property
    def seconds(self) -> float:
        """After which it counts as hung."""
        work = self.workload
        return self.count * min(work.deadline, ITERATION_SECONDS) + work.deadline + OVERHEAD


@dataclass(frozen=True)
class LavaJob:
    """One job. `url_base`: where the artifacts will be. `rootfs`: URL of a cpio (ramdisk) or tar (NFS root)."""

    kernel: Kernel
    artifacts: Artifacts
    suites: tuple[str, ...]
    workloads: tuple[Counted, ...]
    device_type: str
    url_base: str
    rootfs: str
    kernel_args: str
    prompts: tuple[str, ...] = PROMPTS
    login: str | None = None
    tags: tuple[str, ...] = ()
    visibility: str = "public"
    priority: str = "medium"


def definition(job: LavaJob) -> dict[str, Any]:
    """The job, ready for YAML. Raises UsageError for a root file system that this kernel or LAVA cannot use."""
    root = _root(job)
    test_seconds = START_SECONDS + sum(item.seconds for item in job.workloads)
    test_minutes = math.ceil(test_seconds / 60)
    document: dict[str, Any] = {
        "job_name": f"panthorlab {' '.join(job.suites)}: {job.kernel.title} ({job.kernel.build_id[:12]})"[:200],
        "device_type": job.device_type,
        "visibility": job.visibility,
        "priority": job.priority,
        "timeouts": {
            "job": {"minutes": DEPLOY_MINUTES + BOOT_MINUTES + test_minutes + 5},
            "action": {"minutes": 10},
            "connection": {"minutes": 2},
        },
        "context": {"extra_kernel_args": job.kernel_args},
        "metadata": {
            "panthorlab.kernel": job.kernel.key,
            "panthorlab.build-id": job.kernel.build_id,
            "panthorlab.title": job.kernel.title,
            "panthorlab.suites": list(job.suites),
        },
    }
    if job.tags:
        document["tags"] = list(job.tags)
    document["actions"] = [
        {"deploy": {
            "timeout": {"minutes": DEPLOY_MINUTES}, "to": "tftp", "os": "debian",
            "kernel": {**_file(job, IMAGE), "type": "image"},
            "dtb": _file(job, job.artifacts.dtb),
            root: _rootfs(job, root),
        }},
        {"boot": {
            "timeout": {"minutes": BOOT_MINUTES}, "method": "u-boot",
            "commands": "nfs" if root == "nfsrootfs" else "ramdisk", "prompts": list(job.prompts), **_login(job),
        }},
        {"test": {
            "timeout": {"minutes": test_minutes},
            "definitions": [{
                "from": "inline", "name": "panthorlab", "path": "inline/panthorlab.yaml",
                "repository": {
                    "metadata": {
                        "format": "Lava-Test Test Definition 1.0", "name": "panthorlab",
                        "description": f"suites {', '.join(job.suites)} of panthorlab",
                    },
                    "run": {"steps": list(_steps(job))},
                },
            }],
        }},
    ]  # fmt: skip
    return document


def _root(job: LavaJob) -> str:
    """`ramdisk` or `nfsrootfs`. Raises UsageError."""
    suffixes = PurePosixPath(urlsplit(job.rootfs).path).suffixes
    options = job.artifacts.options
    if ".cpio" in suffixes:
        if options.get("CONFIG_BLK_DEV_INITRD") != "y":
            raise UsageError("a cpio root file system needs a kernel with CONFIG_BLK_DEV_INITRD=y")
        return "ramdisk"
    if ".tar" not in suffixes:
        raise UsageError(
            f"--rootfs {job.rootfs}: neither a cpio (ramdisk) nor a tar (NFS root)",
            hint="the name must say what it is: *.cpio.gz, *.tar.xz, …",
        )
    if options.get("CONFIG_ROOT_NFS") != "y":
        raise UsageError("an NFS root needs a kernel with CONFIG_ROOT_NFS=y", hint="the fragment rk3588 has it")
    built_in = next((driver for driver in DRIVERS if options.get(f"CONFIG_{driver.symbol}") == "y"), None)
    if built_in is not None:
        raise UsageError(
            f"{built_in.name} is built in, and would look for its firmware before an NFS root is there",
            hint="use a cpio root file system, or a kernel with the fragment panthor-module",
        )
    return "nfsrootfs"


def _url(job: LavaJob, name: str) -> str:
    return f"{job.url_base.rstrip('/')}/{name}"


def _file(job: LavaJob, name: str) -> dict[str, Any]:
    return {"url": _url(job, name), "sha256sum": job.artifacts.sha256(name)}


def _rootfs(job: LavaJob, root: str) -> dict[str, Any]:
    suffix = PurePosixPath(urlsplit(job.rootfs).path).suffix
    compression = {"compression": _COMPRESSIONS[suffix]} if suffix in _COMPRESSIONS else {}
    overlay = {**_file(job, OVERLAY), "compression": "gz", "format": "tar", "path": "/"}
    return {
        "url": job.rootfs,
        **compression,
        "format": "tar" if root == "nfsrootfs" else "cpio.newc",
        "overlays": {"panthorlab": overlay},
    }


def _login(job: LavaJob) -> dict[str, Any]:
    return {"auto_login": {"login_prompt": "login:", "username": job.login}} if job.login else {}


def _steps(job: LavaJob) -> Sequence[str]:
    """Lines of shell; every word that is not ours is quoted."""
    script = f"{WORK_DIR}/{SCRIPT}"
    identity = [job.kernel.build_id, *(f"{name}={value}" for name, value in sorted(_built(job).items()))]
    lines = [[script, "start", *job.artifacts.modules], [script, "identity", *identity]]
    lines += [[script, "workload", item.case, str(item.count), *iterate_arguments(item)] for item in job.workloads]
    return [shlex.join(line) for line in lines]


def _built(job: LavaJob) -> Mapping[str, str]:
    loaded = {PurePosixPath(path).stem for path in job.artifacts.modules}
    return {name: build_id for name, build_id in job.kernel.modules.items() if name in loaded}


def iterate_arguments(item: Counted) -> list[str]:
    """What `iterate` is told, as `panthorlab.run.iterations` tells it; ids are CASE-1 … CASE-COUNT."""
    work = item.workload
    return [
        "--name", work.name, "--prefix", item.case, "--first", "1", "--count", str(item.count),
        "--timeout-ms", str(round(work.deadline * 1000)),
        *(["--expect-signal", str(int(work.expect_signal))] if work.expect_signal else []),
        *([] if work.sentinel else ["--no-sentinel"]),
        "--", f"{WORK_DIR}/{work.argv[0]}", *work.argv[1:],
    ]  # fmt: skip
