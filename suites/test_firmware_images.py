# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware images that are wrong in one way each: refused with an error, and the right one works afterwards.

The images are made from the board's own; `panthorlab/gpu/fw/corpus.py` has them, and what a right driver does with
each. Every image is proved to have been read: by the time
at which its file was read last, by what the driver says of it, or by what its probe returns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from errno import EINVAL

import pytest

from panthorlab.board.api import RemoteFileError
from panthorlab.gpu.fw import corpus
from panthorlab.gpu.fw.corpus import ImageCase
from panthorlab.gpu.fw.parts import parse
from panthorlab.run.session import Session
from panthorlab.run.trouble import CONSEQUENCES

pytestmark = pytest.mark.driver("probe")
FIRMWARE = "/lib/firmware/arm/mali/arch{major}.{minor}/mali_csffw.bin"
PACK = "/tmp/panthorlab-images"  # noqa: S108 - the board's
SPOKEN = {"probe-error", "firmware-error"}
UNTOLD = {0, EINVAL}
"""What the probe may return for other reasons than that the image was read."""
READ = r"{driver} .*(?:firmware|CSF FW|interface|MCU)"


@pytest.fixture(scope="module")
def firmware(session: Session) -> bytes:
    gpu_id = int(session.gpu_info()["gpu_id"], 16)
    path = FIRMWARE.format(major=gpu_id >> 28, minor=gpu_id >> 24 & 0xF)
    try:
        return session.board.shell.get(path)
    except RemoteFileError as error:
        pytest.skip(f"the board's firmware cannot be read, it may be compressed: {error}")


def wrong_of(session: Session, firmware: bytes, cases: Sequence[ImageCase], *options: str) -> list[str]:
    """What the driver did with each image that it should not have done."""
    good = parse(firmware)
    session.board.shell.put(corpus.pack((case.name, case.make(good)) for case in cases), PACK)
    start = len(session.kernel_log())
    lenient = ("--lenient",) if session.has_config("CONFIG_KASAN") else ()  # which keeps back what was freed
    result = session.check("gpu-bind", "--mode", "images", "--images", PACK, *options, *lenient, timeout=120)
    parts = re.split(r"panthorlab: image (\S+)\n", session.kernel_log()[start:])
    logged = dict(zip(parts[1::2], parts[2::2], strict=True))
    wrong = []
    read, driver = re.compile(READ.format(driver=session.driver.name), re.IGNORECASE), session.driver.name
    for case in cases:
        errno, reaction = -int(result.info[f"image.{case.name}"]), case.of(driver)
        if errno not in reaction.errnos:
            expected = " or ".join(os.strerror(number) if number else "taken" for number in reaction.errnos)
            wrong.append(f"{case.name}: {os.strerror(errno) if errno else 'taken'}, expected {expected}")
        elif reaction.says not in logged[case.name]:
            wrong.append(f"{case.name}: {driver} did not say `{reaction.says}`")
        elif errno in UNTOLD and result.info.get(f"read.{case.name}") != "1" and not read.search(logged[case.name]):
            wrong.append(f"{case.name}: nothing shows that {driver} read it")
    return wrong


def test_wrong_images_are_refused(session: Session, firmware: bytes) -> None:
    with session.findings_expected({*SPOKEN, "mmu-fault"}):  # of an MCU that was let run what should be refused
        wrong = wrong_of(session, firmware, corpus.CASES)
    assert not wrong, "\n".join(wrong)


@pytest.mark.driver("vm", "groups", "recovery")
def test_sections_are_loaded_again(session: Session, firmware: bytes) -> None:
    """An MCU that hangs gets all its sections anew."""
    for case in (case for case in corpus.CASES if case.reload):
        with session.misbehaving("mcu-hang"), session.findings_expected(SPOKEN | CONSEQUENCES):
            before = session.struck("mcu-hang")
            wrong = wrong_of(session, firmware, [case], "--hang")
            assert session.struck("mcu-hang") > before, f"{case.name}: the MCU did not hang"
        assert not wrong, "\n".join(wrong)
