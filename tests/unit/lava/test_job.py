# SPDX-License-Identifier: GPL-2.0-or-later
"""The job as data, and the files it fetches. That LAVA takes it is for the end-to-end test with LAVA's own schema."""

from __future__ import annotations

import io
import shlex
import signal
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from panthorlab.errors import UsageError
from panthorlab.kernel.model import Kernel
from panthorlab.lava.artifacts import OVERLAY, Artifacts, collect
from panthorlab.lava.job import Counted, LavaJob, definition
from panthorlab.lava.main import declared
from panthorlab.outcome import Role
from panthorlab.run.suites import all_suites
from panthorlab.run.workload import Workload

KILLED = Workload("heap-exit/sigkill", ("heap-exit", "--mode", "sig kill"), expect_signal=signal.SIGKILL)


@pytest.fixture
def artifacts(kernel: Kernel) -> Artifacts:
    return collect(kernel, dtb="rockchip/rk3588-rock-5b.dtb", firmware=None)


@pytest.fixture
def job(kernel: Kernel, artifacts: Artifacts) -> LavaJob:
    return LavaJob(
        kernel,
        artifacts,
        ("heap-exit-claim",),
        (Counted(KILLED, 7),),
        "rk3588-rock-5b",
        "https://lab.example/a/",
        "https://lab.example/rootfs.cpio.gz",
        "printk.devkmsg=on",
    )


def actions(job: LavaJob) -> dict[str, Any]:
    return {name: body for action in definition(job)["actions"] for name, body in action.items()}


def steps(job: LavaJob) -> list[list[str]]:
    (only,) = actions(job)["test"]["definitions"]
    return [shlex.split(step) for step in only["repository"]["run"]["steps"]]


def test_ramdisk_or_nfs_root_by_name(job: LavaJob) -> None:
    as_ramdisk = actions(job)
    assert as_ramdisk["boot"]["commands"] == "ramdisk"
    assert as_ramdisk["deploy"]["ramdisk"]["format"] == "cpio.newc"
    assert as_ramdisk["deploy"]["ramdisk"]["compression"] == "gz"
    as_nfs = actions(replace(job, rootfs="https://lab.example/rootfs.tar.xz?x=1.cpio"))
    assert as_nfs["boot"]["commands"] == "nfs"
    assert (as_nfs["deploy"]["nfsrootfs"]["format"], as_nfs["deploy"]["nfsrootfs"]["compression"]) == ("tar", "xz")
    overlay = as_nfs["deploy"]["nfsrootfs"]["overlays"]["panthorlab"]
    assert overlay["url"] == f"https://lab.example/a/{OVERLAY}"
    assert overlay["sha256sum"] == job.artifacts.sha256(OVERLAY)


@pytest.mark.parametrize(
    ("rootfs", "options", "message"),
    [
        ("https://lab.example/rootfs.img", {}, "neither a cpio"),
        ("https://lab.example/r.cpio.gz", {"CONFIG_BLK_DEV_INITRD": "n"}, "BLK_DEV_INITRD"),
        ("https://lab.example/r.tar.gz", {"CONFIG_ROOT_NFS": "n"}, "ROOT_NFS"),
        ("https://lab.example/r.tar.gz", {"CONFIG_DRM_PANTHOR": "y"}, "before an NFS root is there"),
    ],
)
def test_root_file_system_that_cannot_work(job: LavaJob, rootfs: str, options: dict[str, str], message: str) -> None:
    wrong = replace(job.artifacts, options={**job.artifacts.options, **options})
    with pytest.raises(UsageError, match=message):
        definition(replace(job, rootfs=rootfs, artifacts=wrong))


def test_steps(job: LavaJob) -> None:
    """Words with blanks survive the shell; only modules that the board loads are to prove themselves."""
    assert steps(job) == [
        ["/opt/panthorlab/on-board.sh", "start", "/opt/panthorlab/modules/drm_gpuvm.ko",
         "/opt/panthorlab/modules/panthor.ko"],
        ["/opt/panthorlab/on-board.sh", "identity", "ab" * 20, "panthor=" + "cd" * 20],
        ["/opt/panthorlab/on-board.sh", "workload", "heap-exit.sigkill", "7", "--name", "heap-exit/sigkill",
         "--prefix", "heap-exit.sigkill", "--first", "1", "--count", "7", "--timeout-ms", "10000",
         "--expect-signal", "9", "--", "/opt/panthorlab/heap-exit", "--mode", "sig kill"],
    ]  # fmt: skip


def test_no_time_out_is_longer_than_the_jobs(job: LavaJob) -> None:
    many = replace(job, workloads=(Counted(KILLED, 5000),) * 3)
    job = definition(many)["timeouts"]["job"]["minutes"]
    parts = sum(body["timeout"]["minutes"] for body in actions(many).values())
    assert parts < job
    assert actions(many)["test"]["timeout"]["minutes"] > 3 * 5000 * 3 / 60


def test_overlay_holds_what_the_steps_name_and_is_the_same_every_time(
    kernel: Kernel, artifacts: Artifacts, tmp_path: Path
) -> None:
    with tarfile.open(fileobj=io.BytesIO(artifacts.files[OVERLAY])) as archive:
        modes = {entry.name: entry.mode for entry in archive.getmembers()}
    assert modes == {
        "opt/panthorlab/iterate": 0o755, "opt/panthorlab/init": 0o755, "opt/panthorlab/on-board.sh": 0o755,
        "opt/panthorlab/modules/panthor.ko": 0o644, "opt/panthorlab/modules/drm_gpuvm.ko": 0o644,
    }  # fmt: skip
    assert collect(kernel, dtb="rk3588-rock-5b.dtb", firmware=None) == artifacts
    firmware = tmp_path / "mali_csffw.bin"
    firmware.write_bytes(b"firmware")
    more = collect(kernel, dtb="rk3588-rock-5b.dtb", firmware=("/lib/firmware/mali.bin", firmware))
    with tarfile.open(fileobj=io.BytesIO(more.files[OVERLAY])) as archive:
        assert "lib/firmware/mali.bin" in archive.getnames()


def test_kernel_without_the_boards_device_tree(kernel: Kernel) -> None:
    with pytest.raises(UsageError, match=r"without rockchip/rk3588-rock-5a\.dtb") as error:
        collect(kernel, dtb="rockchip/rk3588-rock-5a.dtb", firmware=None)
    assert "--config" in str(error.value.hint)


def test_workloads_of_the_suites() -> None:
    """Those that only run workloads declare them; the others, which need a controller, declare none."""
    found = {name: [item.name for item in declared(file)] for name, file in all_suites().items()}
    modes = ("exit", "sigkill", "sigsegv", "exec", "destroy")
    assert found["heap-exit-claim"] == [f"heap-exit/{mode}" for mode in modes]
    assert len(found["heap-exit-watch"]) > 5
    assert found["probe"] == found["reset"] == []
    roles = {item.role for item in declared(all_suites()["heap-exit-controls"])}
    assert roles == {Role.CONTROL}
