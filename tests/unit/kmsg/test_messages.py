# SPDX-License-Identifier: GPL-2.0-or-later
"""Every message panthor can print, 6.12.117 and 7.3.4, is classified or listed as harmless."""

from __future__ import annotations

import re

import pytest

from panthorlab.kmsg import Kind, scan, scan_bytes
from tests.unit.kmsg.corpus import PrintCall, calls_that_print

CALLS = calls_that_print("panthor")
PREFIXES = {
    "drm_err": "panthor fb000000.gpu: [drm] *ERROR* ",
    "drm_warn": "panthor fb000000.gpu: [drm] ",
    "drm_info": "panthor fb000000.gpu: [drm] ",
    "DRM_DEV_ERROR": "panthor fb000000.gpu: [drm:{function} [panthor]] *ERROR* ",
    "dev_err_probe": "panthor fb000000.gpu: error -EINVAL: ",
    "pr_warn": "panthor: ",
    "pr_err": "",
}
SAMPLES = {"pe": "-EIO", "u": "3", "d": "3", "lu": "300000000", "llu": "7"}


def printed(call: PrintCall) -> list[str]:
    """The lines of the message as a kernel prints them, with sample values."""

    def sample(found: re.Match[str]) -> str:
        width, conversion = found[1], found[2]
        if conversion in SAMPLES:
            return SAMPLES[conversion]
        if conversion == "s":
            return "fast" if "reset" in call.format else "L2"
        value = ("0x" if "#" in width else "") + "1f".rjust(int(re.sub(r"\D", "", width) or 0), "0")
        return value.upper().replace("X", "x") if conversion.endswith("X") else value

    text = re.sub(r"%([#0-9]*)(llu|llx|llX|zx|lu|pe|[sduxX])", sample, call.format).replace("\\n", "\n").rstrip("\n")
    if call.call.startswith(("drm_WARN", "WARN")):
        message = f"panthor fb000000.gpu: [drm] {call.call}({text.partition(', ')[2]})"
        return [
            "------------[ cut here ]------------",
            *([message] if call.call.startswith("drm_WARN") else []),
            f"WARNING: CPU: 0 PID: 99 at drivers/gpu/drm/panthor/{call.file}:12 {call.function}+0x10/0x20 [panthor]",
            "Call trace:",
            f" {call.function}+0x10/0x20 [panthor]",
            "---[ end trace 0000000000000000 ]---",
        ]
    return (PREFIXES[call.call].format(function=call.function) + text).split("\n")


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_message_is_classified(call: PrintCall) -> None:
    log = "".join(f"[    1.000000] {line}\n" for line in printed(call)).encode()
    found = scan_bytes(log)
    assert [finding.kind.value for finding in found] == ([] if call.expected == "harmless" else [call.expected])
    assert list(scan([log], prefilter=False)) == found
    if found:
        assert found[0].driver == "panthor"
        assert not re.search(r"0x|\b1f\b", found[0].signature)


def test_the_table_is_the_whole_table() -> None:
    assert sum("6.12" in call.versions for call in CALLS) > 130
    assert sum("7.3" in call.versions for call in CALLS) > 190
    assert {call.expected for call in CALLS} <= {*Kind, "harmless"}


def test_nothing_that_says_failure_is_taken_for_harmless() -> None:
    for call in CALLS:
        if call.expected == "harmless":
            assert call.call in {"drm_info", "drm_warn"}
            assert "fail" not in call.format.lower()
