# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.virtual_lab.uboot import ENV_SIZE, ENVIRONMENT, environment_image, parse_environment

NAMES = st.text(st.characters(codec="ascii", exclude_characters="=\0\n#", categories=["L", "N"]), min_size=1)
VALUES = st.text(st.characters(codec="ascii", exclude_characters="\0\n\r\x0b\x0c\x1c\x1d\x1e"), min_size=1, max_size=40)


@given(st.dictionaries(NAMES, VALUES, max_size=10))
def test_the_image_is_what_uboot_reads(variables: dict[str, str]) -> None:
    image = environment_image(variables)
    assert len(image) == ENV_SIZE
    assert int.from_bytes(image[:4], "little") == zlib.crc32(image[4:])
    end = image.index(b"\0\0", 4) if variables else 4
    strings = image[4:end].decode().split("\0") if variables else []
    assert dict(string.split("=", 1) for string in strings) == variables
    assert parse_environment("\n".join(f"{name}={value}" for name, value in variables.items())) == variables


def test_the_boards_environment_boots_known_good_unless_armed() -> None:
    variables = parse_environment(ENVIRONMENT.read_text())
    assert variables["upgrade_available"] == "0"
    assert variables["bootcmd"].endswith("else run boot_known_good; fi")


def test_too_much_and_nonsense_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than"):
        environment_image({"a": "x" * ENV_SIZE})
    with pytest.raises(ValueError, match="line 2 is not"):
        parse_environment("a=1\nb\n")
