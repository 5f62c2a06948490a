# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware images that are wrong in one way each: refused with an error, and the right one works afterwards.

The images are made from the board's own; `panthorlab/gpu/fw/corpus.py` has them, and what a right driver does with
each. Every image is proved to have been read: by what panthor says of it, or by what its probe returns.
"""

from __future__ import annotations

import os
import re

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.gpu.fw import corpus
from panthorlab.run.session import Session

FIRMWARE = "/lib/firmware/arm/mali/arch{major}.{minor}/mali_csffw.bin"
PACK = "/tmp/panthorlab-images"  # noqa: S108 - the board's
SPOKEN = {"probe-error", "firmware-error"}
READ = re.compile(r"panthor .*(?:firmware|CSF FW|interface|\[drm\])", re.IGNORECASE)


@pytest.fixture(scope="module")
def firmware(session: Session) -> bytes:
    gpu_id = int(session.job("info").info["gpu_id"], 16)
    path = FIRMWARE.format(major=gpu_id >> 28, minor=gpu_id >> 24 & 0xF)
    try:
        return session.board.shell.get(path)
    except RemoteFileError as error:
        pytest.skip(f"the board's firmware cannot be read, it may be compressed: {error}")


def spoken_of(session: Session) -> dict[str, str]:
    """What the kernel log has after the mark of each image, up to the next."""
    parts = re.split(r"panthorlab: image (\S+)\n", session.kernel_log())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_wrong_images_are_refused(session: Session, firmware: bytes) -> None:
    images = corpus.images(firmware)
    session.board.shell.put(b"".join(b"%s %d\n" % (name.encode(), len(data)) + data for name, data in images.items()), PACK)
    with session.findings_expected(SPOKEN):
        result = session.check("gpu-bind", "--mode", "images", "--images", PACK, timeout=120)
    said = spoken_of(session)
    wrong = []
    for case in corpus.CASES:
        errno = -int(result.info[f"image.{case.name}"])
        if errno not in case.errnos:
            expected = " or ".join(os.strerror(number) if number else "taken" for number in case.errnos)
            wrong.append(f"{case.name}: {os.strerror(errno) if errno else 'taken'}, expected {expected}")
        elif case.says not in said[case.name] or not READ.search(said[case.name]):
            wrong.append(f"{case.name}: panthor did not say `{case.says}`")
    assert not wrong, "\n".join(wrong)
