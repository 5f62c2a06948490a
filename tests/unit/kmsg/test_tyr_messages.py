# SPDX-License-Identifier: GPL-2.0-or-later
"""Every message Tyr can print, 6.18.5 and 7.3.4, is classified or listed as harmless; its functions have names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.kmsg import Kind, scan, scan_bytes
from panthorlab.kmsg.rustnames import readable
from tests.unit.kmsg.corpus import PrintCall, calls_that_print

CALLS = calls_that_print("tyr")
PLACE = re.compile(r"\{(:[^}]*)?\}")
# What Rust's `{:?}` makes of an error that has a name, of one that has none, of a range, of an enum's value.
DEBUG = ("ETIMEDOUT", "Error(-517)", "16..8", "Fatal")


def printed(call: PrintCall, debug: str) -> str:
    """The line of the message as a kernel prints it, with sample values."""

    def sample(found: re.Match[str]) -> str:
        how = found[1] or ""
        if how == ":?":
            return debug
        return "0x1f" if "#" in how else "001f" if "x" in how else "31"

    return f"tyr fb000000.gpu: {PLACE.sub(sample, call.format)}"


@pytest.mark.parametrize("debug", DEBUG)
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_message_is_classified(call: PrintCall, debug: str) -> None:
    log = f"[    1.000000] {printed(call, debug)}\n".encode()
    found = scan_bytes(log)
    assert [finding.kind.value for finding in found] == ([] if call.expected == "harmless" else [call.expected])
    assert list(scan([log], prefilter=False)) == found
    for finding in found:
        assert (finding.driver, finding.device) == ("tyr", "fb000000.gpu")
        assert not re.search(r"0x|\d", finding.signature.replace("l2-", "l-"))


def test_the_table_is_the_whole_table() -> None:
    """As counted in the sources: 48 errors in 7.3.4."""
    assert sum("7.3" in call.versions and call.call == "dev_err" for call in CALLS) == 48
    assert {call.expected for call in CALLS} <= {*Kind, "harmless"}
    assert all(
        call.call == "dev_info" or call.format.startswith("GPU_INT_RAWSTAT")
        for call in CALLS
        if call.expected == "harmless"
    )


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        ("_RNvNtCs4fqI2P2rA04_3tyr2fw4boot", "tyr::fw::boot"),
        ("_RNvMs_NtCs4fqI2P2rA04_3tyr2fwNtB4_8Firmware4boot", "tyr::fw::Firmware::boot"),
        ("_RNvNtCs1_3tyr6driver16issue_soft_reset", "tyr::driver::issue_soft_reset"),
        ("_RNvC3tyr7_123abc", "tyr::123abc"),
        ("panthor_fw_init", "panthor_fw_init"),
        ("_R", "_R"),
    ],
)
def test_names_are_readable(mangled: str, name: str) -> None:
    assert readable(mangled) == name


@pytest.mark.parametrize("hashes", [("4fqI2P2rA04", "a"), ("", "zZ9")])
def test_a_name_is_the_same_in_every_build(hashes: tuple[str, str]) -> None:
    one, other = (readable(f"_RNvXs_NtCs{each}_3tyr6driverNtB4_3AbcNtCs{each}_6kernel6Driver5probe") for each in hashes)
    assert one == other == "tyr::driver::Abc::kernel::Driver::probe"


@given(st.text("_RNvCsB0129tyr", max_size=40))
def test_any_name_ends(text: str) -> None:
    assert readable(f"_R{text}")
