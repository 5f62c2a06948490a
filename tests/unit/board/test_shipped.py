# SPDX-License-Identifier: GPL-2.0-or-later
"""The board files that are shipped: they load, say what kernel and U-Boot say, and their device trees are built."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from panthorlab.board.config import board_file_schema, read_board_file
from panthorlab.board.power.file import PowerSection
from panthorlab.board.real.file import RealFile
from panthorlab.board.registry import board_files
from panthorlab.board.yamlfile import models_of
from panthorlab.kernel.build import config
from panthorlab.paths import PACKAGE

SHIPPED = PACKAGE.parent / "board_configs"
TEMPLATE = SHIPPED / "template.yaml.example"
REAL = sorted(file.stem for file in SHIPPED.glob("*.yaml") if yaml.safe_load(file.read_text())["type"] == "real")

# Device tree → (first Linux that has it, first whose DTS enables the GPU). Read off arch/arm64/boot/dts/rockchip of the
# releases v6.11 to v7.1, as U-Boot imported them one by one (dts/upstream, `Subtree merge tag 'v…-dts'`); 6.11 means
# 6.11 or older. All have `stdout-path = "serial2:1500000n8"`.
DEVICE_TREES = {
    "rockchip/rk3588-nanopc-t6.dtb": ("6.11", "6.12"),
    "rockchip/rk3588-orangepi-5-plus.dtb": ("6.11", "6.13"),
    "rockchip/rk3588-rock-5-itx.dtb": ("6.11", "6.11"),
    "rockchip/rk3588-rock-5b-plus.dtb": ("6.16", "6.16"),
    "rockchip/rk3588-rock-5b.dtb": ("6.11", "6.11"),
    "rockchip/rk3588s-orangepi-5.dtb": ("6.11", "6.11"),
    "rockchip/rk3588s-rock-5a.dtb": ("6.11", "6.13"),
}
# U-Boot v2026.10-rc2, include/configs/rk3588_common.h: kernel_addr_r, fdt_addr_r, ramdisk_addr_r
LOAD_ADDRESSES = ("0x02000000", "0x12000000", "0x12180000")
UNVERIFIED = {"nanopc-t6", "orange-pi-5", "orange-pi-5-plus", "rock-5a"}


def real(name: str) -> RealFile:
    board = read_board_file(SHIPPED / f"{name}.yaml")
    assert isinstance(board, RealFile)
    return board


def test_the_boards() -> None:
    assert set(REAL) == UNVERIFIED | {"rock-5b", "rock-5b-plus"}
    assert {name for name in REAL if real(name).unverified} == UNVERIFIED
    assert all(real(name).example for name in REAL), "none of them says where a board is"


@pytest.mark.parametrize("name", REAL)
def test_facts(name: str) -> None:
    board, text = real(name), (SHIPPED / f"{name}.yaml").read_text()
    assert board.dtb in DEVICE_TREES
    assert board.since == DEVICE_TREES[board.dtb][1]
    assert board.console is not None
    assert board.console.transport == "tty"
    assert (board.console.speed, board.boot.console) == (1_500_000, "ttyS2,1500000n8")
    uboot = board.boot.uboot
    assert uboot is not None
    assert (uboot.kernel_address, uboot.fdt_address, uboot.ramdisk_address) == LOAD_ADDRESSES
    assert {"[dts]", "[u-boot]", "EDIT"} <= set(re.findall(r"\[dts\]|\[u-boot\]|EDIT", text))


@pytest.mark.parametrize("name", REAL)
def test_its_device_tree_is_built_with_its_fragments(name: str) -> None:
    board = real(name)
    request = config.read_fragments(config.find_fragments(board.kernel_configs))
    assert board.dtb in request.optional_dtbs, "optional, for kernels that do not have it"


@pytest.mark.parametrize("name", REAL)
def test_panthor_finds_its_firmware_there(name: str) -> None:
    """It is on the root file system, which is not there yet when what is built in probes; perhaps compressed."""
    fragments = config.find_fragments(["panthor", *real(name).kernel_configs])
    options = {option.name: option.value for option in config.read_fragments(fragments).options}
    assert options["DRM_PANTHOR"] == "m"
    assert options["FW_LOADER_COMPRESS_XZ"] == options["FW_LOADER_COMPRESS_ZSTD"] == "y"


def test_schema_accepts_all_shipped_files() -> None:
    checker = jsonschema.Draft202012Validator(board_file_schema())
    checker.check_schema(checker.schema)
    for file in [*SHIPPED.glob("*.yaml"), TEMPLATE]:
        checker.validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "unreal"),
        ("dtb", "x"),
        ("power", {"driver": "tasmota"}),
        ("power", {"driver": "nothing", "host": "h"}),
        ("console", {"transport": "tty", "device": "relative"}),
        ("unknown", 1),
    ],
)
def test_schema_refuses_what_the_model_refuses(key: str, value: object) -> None:
    data = {**yaml.safe_load((SHIPPED / "rock-5b.yaml").read_text()), key: value}
    assert not jsonschema.Draft202012Validator(board_file_schema()).is_valid(data)


def test_the_template_is_a_board_but_not_listed(tmp_path: Path) -> None:
    copy = tmp_path / "mine.yaml"
    copy.write_text(TEMPLATE.read_text())
    assert isinstance(read_board_file(copy), RealFile)
    assert not any("template" in name for name in board_files())


def test_the_template_names_every_key() -> None:
    words = set(re.findall(r"^[ #]*([a-z_0-9]+):", TEMPLATE.read_text(), re.MULTILINE))
    words |= {word for line in re.findall(r"\{(.*?)\}", TEMPLATE.read_text()) for word in re.findall(r"(\w+):", line)}
    keys = {key for model in models_of(RealFile) for key in model.model_fields}
    keys |= {key for member in models_of(PowerSection) for key in member.model_fields}
    missing = keys - words - {"emulated_gpu", "events", "log"}  # for virtual labs only
    assert not missing
