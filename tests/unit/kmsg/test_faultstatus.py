# SPDX-License-Identifier: GPL-2.0-or-later
"""Golden vectors of FAULTSTATUS and source ids, and the sentences made of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from panthorlab.kmsg import explain, owner_of, parse_objects, scan_bytes, with_owner
from panthorlab.kmsg.faultstatus import decode_fault_status, decode_source, normal_exception

FAULT = b"""\
[    0.677142] panthor x: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x0000800000003000
[    0.677142] raw fault status: 0x7CD003C3
[    0.677142] decoded fault status: SLAVE FAULT
[    0.677142] exception type 0xC3: TRANSLATION_FAULT_3
[    0.677142] access type 0x3: WRITE
[    0.677142] source id 0x7CD0
"""


@pytest.mark.parametrize(
    ("raw", "exception", "access", "source", "decoder", "words"),
    [
        (0x7CD003C3, "TRANSLATION_FAULT_3", "WRITE", 0x7CD0, False, "csf, firmware (MCU)"),
        (0x7DC002C3, "TRANSLATION_FAULT_3", "READ", 0x7DC0, False, "csf, load/store unit"),
        (0x210002C1, "TRANSLATION_FAULT_1", "READ", 0x2100, False, "shader 16, requester 0"),
        (0x660007C9, "PERM_FAULT_1", "WRITE", 0x6600, True, "tiler, requester 0"),
        (0x7C0001DA, "ACCESS_FLAG_2", "EXECUTE", 0x7C00, False, "csf, command prefetch"),
        (0x000000E4, "ADDR_SIZE_FAULT_OUT0", "ATOMIC", 0, False, "shader 0, requester 0"),
        (0x420000EB, "MEM_ATTR_FAULT_3", "ATOMIC", 0x4200, False, "l2 0"),
        (0x6E000000, "OK", "ATOMIC", 0x6E00, False, "mmu"),
    ],
)
def test_golden(raw: int, exception: str, access: str, source: int, decoder: bool, words: str) -> None:
    status = decode_fault_status(raw)
    assert (status.exception, status.access, status.source_id, status.decoder_fault) == (
        exception, access, source, decoder,
    )  # fmt: skip
    assert str(decode_source(status.source_id, status.access)) == words


def test_unknown_numbers_stay_numbers() -> None:
    assert decode_fault_status(0xFF).exception is None
    assert str(decode_source(63 << 9)) == "core 63, requester 0"


@pytest.mark.parametrize(
    ("code", "printed", "name"),
    [
        (0xC1, "TRANSLATION_FAULT at level 1", "TRANSLATION_FAULT_1"),
        (0xC1, "TRANSLATION_FAULT_LEVEL1", "TRANSLATION_FAULT_1"),
        (0x0F, "CS_RESOURCE_TERMINATED", "CS_RES_TERM"),
        (0x48, "CS_BUS_FAULT", "CS_BUS_FAULT"),
        (None, None, None),
        (0x77, None, "0x77"),
    ],
)
def test_one_name_for_an_exception_whoever_prints_it(code: int | None, printed: str | None, name: str | None) -> None:
    assert normal_exception(code, printed) == name


def test_fields_that_contradict_the_raw_status_are_reported_not_mended() -> None:
    (finding,) = scan_bytes(FAULT.replace(b"type 0xC3: TRANSLATION_FAULT_3", b"type 0xC8: PERM_FAULT_0"))
    assert finding.corrupted == "printed fields contradict the raw fault status"
    assert (finding.exception_type, finding.exception) == (0xC8, "PERM_FAULT_0")


def test_lost_fields_come_from_the_raw_status() -> None:
    log = b"\n".join(line for line in FAULT.split(b"\n") if b"type" not in line)
    (finding,) = scan_bytes(log)
    assert (finding.exception, finding.access, finding.exception_type) == ("TRANSLATION_FAULT_3", "WRITE", 0xC3)


def test_explanation() -> None:
    (finding,) = scan_bytes(FAULT)
    assert explain(finding) == (
        "The GPU's firmware (MCU) wrote to 0x0000800000003000 in address space 1: nothing is mapped there (level 3)."
    )
    assert "heap context" in explain(replace(finding, owner="heap context"))


def test_owner_of_an_address() -> None:
    objects = parse_objects(
        [
            "# gpu heap-context va=0x800000003000 size=0x40 heap=0",
            "    # gpu heap-chunk va=0x800000200000 size=0x200000 heap=0",
            "# gpu user-bo va=0x10000 size=0x1000 name=stream",
            "# gpu ring-buffer va=0x20000 size=0x1000",
            "# gpu user-bo va=zero size=1 name=bad",
            "ok 1 job",
        ]
    )
    assert len(objects) == 4
    owners = [owner_of(va, objects) for va in (0x800000003000, "0x000080000000303F", 0x800000003040, 0x8000003FFFFF)]
    assert owners == ["heap context", "heap context", "unknown", "heap chunk"]
    assert [owner_of(va, objects) for va in (0x10FFF, 0x20000, None)] == ["user BO stream", "ring buffer", "unknown"]
    (finding,) = scan_bytes(FAULT)
    assert with_owner(finding, objects).owner == "heap context"
