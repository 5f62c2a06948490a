# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs as `panthorlab lava job` writes them, checked by LAVA's own schema code (Debian's lava-common)."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from panthorlab import debs
from panthorlab.kernel import store
from panthorlab.kernel.model import Kernel
from panthorlab.paths import cache_dir

pytestmark = pytest.mark.e2e

LAVA_COMMON = debs.Deb(
    "pool/main/l/lava/lava-common_2023.01-2_all.deb",
    45260,
    "fb91e37f3d45b1183a7af91ee1e19e9314b95cd3f05658ebfd71da312b1a6876",
)
KEY = "5a" * 32
WriteJob = Callable[..., tuple[int, str, str]]
BOARD = """
type: real
dtb: rockchip/rk3588-rock-5b.dtb
console: {transport: tcp, host: localhost, port: 5000}
power: {driver: manual}
ssh: {host: localhost}
boot:
  methods: [kexec]
  console: ttyS2,1500000n8
  root: root=/dev/mmcblk1p2 rw rootwait
  command_line: panic=10
"""


@pytest.fixture(scope="module")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any], None]]:
    """`lava_common.schemas.validate`, unpacked and not installed."""
    root = tmp_path_factory.mktemp("lava")
    debs.unpack(debs.download([LAVA_COMMON], debs.debian_mirror(), cache_dir("debs"), lambda _line: None), root)
    folder = str(root / "usr/lib/python3/dist-packages")
    sys.path.insert(0, folder)
    yield importlib.import_module("lava_common.schemas").validate
    sys.path.remove(folder)


@pytest.fixture
def write_job(tmp_path: Path) -> WriteJob:
    """`panthorlab lava job` for a kernel in miniature, which a store of its own holds."""
    path = tmp_path / "cache/panthorlab/kernels" / KEY
    files = {
        "Image": "image", "dtbs/rk3588-rock-5b.dtb": "dtb", "guest/iterate": "program", "guest/init": "init",
        "modules/panthor.ko": "\0depends=\0", "config": "CONFIG_BLK_DEV_INITRD=y\nCONFIG_ROOT_NFS=y\n",
    }  # fmt: skip
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    store.write_record(
        Kernel(KEY, path, "arm64", "6.12.117", "ab" * 20, "6.12.117 + “fix”: 1 patch", modules={"panthor": "cd" * 20}),
        core_key=KEY,
    )
    (tmp_path / "rock.yaml").write_text(BOARD)

    def write(*options: str) -> tuple[int, str, str]:
        argv = [
            sys.executable,
            "-m",
            "panthorlab",
            "lava",
            "job",
            "--board",
            str(tmp_path / "rock.yaml"),
            "--kernel",
            KEY[:8],
            "--artifacts",
            str(tmp_path / "artifacts"),
            *options,
        ]
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, check=False)
        return done.returncode, done.stdout, done.stderr

    return write


JOBS = {
    "ramdisk": ("--suite", "heap-exit", "--rootfs", "https://lab.example/rootfs.cpio.gz"),
    "nfs": ("--suite", "heap-exit-claim", "--suite", "heap-exit-watch", "--rootfs", "https://lab.example/r.tar.xz",
            "--iterations", "1000", "--tag", "fast", "--prompt", "root@rock:", "--login", "root",
            "--url-base", "https://lab.example/jobs/1", "--device-type", "rock", "--visibility", "personal"),
}  # fmt: skip


@pytest.mark.parametrize("options", JOBS.values(), ids=JOBS)
def test_lava_takes_the_job_and_finds_its_files(
    validate: Callable[[Any], None], write_job: WriteJob, tmp_path: Path, options: tuple[str, ...]
) -> None:
    status, out, err = write_job(*options)
    assert (status, err) == (0, "")
    job = yaml.safe_load(out)
    validate(job)
    deploy = job["actions"][0]["deploy"]
    overlay = deploy.get("ramdisk", deploy.get("nfsrootfs"))["overlays"]["panthorlab"]
    for part in (deploy["kernel"], deploy["dtb"], overlay):
        data = (tmp_path / "artifacts" / part["url"].rpartition("/")[2]).read_bytes()
        assert part["sha256sum"] == hashlib.sha256(data).hexdigest()
    if "--url-base" not in options:
        assert deploy["kernel"]["url"] == (tmp_path / "artifacts/Image").as_uri()
        assert job["device_type"] == "rk3588-rock-5b"


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no kernel": lambda job: job["actions"][0]["deploy"].pop("kernel"),
    "no commands": lambda job: job["actions"][1]["boot"].pop("commands"),
    "a time-out longer than the job's": lambda job: job["actions"][2]["test"].update(timeout={"hours": 99}),
    "an overlay without path": lambda job: job["actions"][0]["deploy"]["ramdisk"]["overlays"]["panthorlab"].pop("path"),
    "an unknown key": lambda job: job.update(colour="red"),
    "a step that is no text": lambda job: job["actions"][2]["test"]["definitions"][0]["repository"]["run"].update(
        steps=[1]),
}  # fmt: skip


def test_lava_refuses_broken_jobs(validate: Callable[[Any], None], write_job: WriteJob) -> None:
    """What its schema code is worth: the same job, broken in one place, is not taken."""
    _, out, _ = write_job(*JOBS["ramdisk"])
    for what, spoil in BREAKS.items():
        broken = yaml.safe_load(out)
        spoil(broken)
        with pytest.raises(Exception, match=r"\S") as error:
            validate(broken)
        assert type(error.value).__module__.startswith("voluptuous"), f"{what}: {error.value!r}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--suite", "probe", "--rootfs", "https://lab.example/r.cpio.gz"), "suite probe declares no workloads"),
        (("--suite", "heap-exit", "--rootfs", "https://lab.example/r.img"), "neither a cpio"),
    ],
)
def test_job_that_cannot_be(write_job: WriteJob, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    status, out, err = write_job(*options)
    assert (status, out) == (2, "")
    assert message in err
    assert not (tmp_path / "artifacts").exists()
