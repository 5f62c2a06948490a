# SPDX-License-Identifier: GPL-2.0-or-later
"""Board files: what is wrong with them is said with its place and a suggestion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from panthorlab.board.config import board_file_schema, read_board_file
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.machine import (
    Wires,
    command_line,
    detector_words,
    machine_facts,
    qemu_arguments,
    slowness,
)
from panthorlab.board.fields import memory_bytes
from panthorlab.board.registry import board_files, find_board_file, open_board
from panthorlab.errors import ConfigError, UsageError
from panthorlab.paths import PACKAGE

SHIPPED = PACKAGE.parent / "board_configs"


def write(folder: Path, text: str) -> Path:
    file = folder / "b.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("", "1:1", "must be a mapping", None),
        ("- a\n", "1:1", "must be a mapping", None),
        ("description: x\n", "1:1", "`type` is missing", "one of: emulated"),
        ("type: emulatd\n", "1:7", "unknown board type `emulatd`", "did you mean `emulated`?"),
        ("type: [a]\n", "1:7", "unknown board type", "one of: emulated"),
        ("type: emulated\nmachin:\n  cpu: max\n", "2:1", "unknown key `machin`", "did you mean `machine`?"),
        ("type: emulated\nmachine:\n  cpus: 2\n", "3:3", "unknown key `machine.cpus`", "did you mean `vcpus`?"),
        ("type: emulated\nmachine:\n  xyzzy: 2\n", "3:3", "unknown key `machine.xyzzy`", "known here: cpu, vcpus"),
        ("type: emulated\ngpu: {model: g720}\n", "2:14", "`gpu.model`: input should be 'g610'", None),
        ("type: emulated\ngpu:\n  params: {a: x}\n", "3:11", "`gpu.params`: there is no parameter 'a'; `panth", None),
        ("type: emulated\ngpu:\n  params: {run.time_us: x}\n", "3:11", "`gpu.params`: ", None),
        ("type: emulated\ngpu:\n  modle: g610\n", "3:3", "unknown key `gpu.modle`", "did you mean `model`?"),
        ("type: emulated\narch: arm\n", "2:7", "`arch`: input should be 'arm64'", "did you mean `arm64`?"),
        ("type: emulated\nmachine:\n  vcpus: 99\n", "3:10", "`machine.vcpus`", None),
        ("type: emulated\nmachine:\n  vcpus: two\n", "3:10", "`machine.vcpus`", None),
        ("type: emulated\nmachine:\n  memory: 1T\n", "3:11", "must be a size like 512M or 1G", None),
        ("type: emulated\nmachine:\n  memory: 1M\n", "3:11", "between 128M and 64G", None),
        ("type: emulated\ngpu:\n  params: {a: 3}\n", "3:15", "`gpu.params.a`", None),
        ("type: emulated\nboot:\n  command_line: |\n    a\n    b\n", "3:17", "one line of printable ASCII", None),
        ("type: emulated\ntype: emulated\n", "2:1", "`type` is given twice", None),
        ("type: emulated\na: &x 1\nb: *x\n", "3:4", "aliases are not supported", None),
        ("type: emulated\n\tx: 1\n", "2:1", "not valid YAML", None),
        ("type: emulated\nmachine: !!python/object:os.system {}\n", "2:10", "not a plain value", None),
        ("type: emulated\ndescription: !!timestamp 2001-99-99\n", "2:14", "not a plain value", None),
        (
            "type: emulated\ndescription: !mine x\n",
            "2:14",
            "not a plain value: could not determine a constructor",
            None,
        ),
        ("type: emulated\ntags: x\n", "2:7", "`tags`", None),
        ("type: emulated\nboot: quiet\n", "2:7", "`boot`: must be a mapping", None),
        ("type: emulated\ntags: [a, 5]\n", "2:11", "`tags.1`: input should be a valid string", "write it in quotes"),
        (
            "type: emulated\ntime_limits: {boot: true}\n",
            "2:21",
            "`time_limits.boot`: input should be a valid number",
            None,
        ),
    ],
)
def test_errors(tmp_path: Path, text: str, place: str, message: str, hint: str | None) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_board_file(file)
    assert str(caught.value).startswith(f"{file}:{place}: ")
    assert message in str(caught.value)
    if hint:
        assert caught.value.hint is not None
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"type: emulated\ndescription: caf\xc3\xa9 caf\xe9\n", "2:22", "byte 0xe9 is no UTF-8"),
        (b"type: emulated\n# \x07\n", "2:3", "character U+0007 is not allowed"),
        ("type: emulated\n# é\0\n".encode(), "2:4", "character U+0000 is not allowed"),
        ("type: emulated\n# é\0\n".encode("utf-16"), "2:4", "character U+0000 is not allowed"),
    ],
)
def test_what_is_no_text_is_told_with_its_place(tmp_path: Path, content: bytes, place: str, message: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_board_file(file)
    assert str(caught.value) == f"{file}:{place}: not valid YAML: {message}"


REAL = """\
type: real
console:
  transport: tty
  device: /dev/ttyUSB0
power:
  driver: tasmota
  host: plug
ssh: {host: rock}
boot:
  methods: [kexec]
  console: ttyS2
  root: root=/dev/mmcblk1p2
"""


def test_a_small_real_board(tmp_path: Path) -> None:
    assert read_board_file(write(tmp_path, REAL)).type == "real"


@pytest.mark.parametrize(
    ("line", "instead", "place", "message", "hint"),
    [
        (
            "driver: tasmota",
            "driver: tasmotta",
            "6:11",
            "unknown `power.driver`: `tasmotta`",
            "did you mean `tasmota`?",
        ),
        (
            "driver: tasmota",
            "driver: xyzzy",
            "6:11",
            "unknown `power.driver`: `xyzzy`",
            "one of: http, tasmota, pdudaemon",
        ),
        ("  driver: tasmota\n", "", "6:3", "`power.driver` is missing", "one of: http, tasmota"),
        ("driver: tasmota", "driver: [tasmota]", "6:11", "unknown `power.driver`", "did you mean `tasmota`?"),
        ("transport: tty", "transport: ttty", "3:14", "unknown `console.transport`: `ttty`", "did you mean `tty`?"),
        ("  device: /dev", "  devise: /dev", "4:3", "unknown key `console.devise`", "did you mean `device`?"),
        ("  device: /dev/ttyUSB0\n", "", "3:3", "`console.device` is missing", None),
        ("/dev/ttyUSB0", "ttyUSB0", "4:11", "`console.device`", None),
        ("  host: plug\n", "  host: plug\n  relais: 2\n", "8:3", "unknown key `power.relais`", "did you mean `relay`?"),
        ("  host: plug\n", "  host: plug\n  xyzzy: 2\n", "8:3", "unknown key `power.xyzzy`", "known here: off_time"),
        ("  host: plug\n", "  host: plug\n  pdu: 2\n", "8:3", "unknown key `power.pdu`", None),
        ("  host: plug\n", "  host: plug\n  relay: 99\n", "8:10", "`power.relay`: input should be less than", None),
        ("power:\n  driver: tasmota\n  host: plug", "power: off", "5:8", "`power`", None),
        (
            "driver: tasmota\n  host: plug",
            "driver: http\n  on_url: http://h/a\n  off_url: http://h/a",
            "6:3",
            "`power`: a toggle cannot be used",
            None,
        ),
        ("[kexec]", "[kexek]", "10:13", "`boot.methods.0`", "did you mean `kexec`?"),
        ("[kexec]", "[uboot-tftp]", "10:3", "method uboot-tftp needs the section `uboot`", None),
        ("ssh: {host: rock}", "ssh: {hots: rock}", "8:7", "unknown key `ssh.hots`", "did you mean `host`?"),
        ("ssh: {host: rock}\n", "", "1:1", ":1:1: without a labgrid place, these sections are needed: ssh", None),
        ("ssh: {host: rock}", "ssh: root@rock", "8:6", "`ssh`: must be a mapping", None),
        ("driver: tasmota\n  host: plug", "off", "6:3", "`power`: must be a mapping", None),
        ("type: real\n", "type: real\nknown_good: 6.12\n", "2:13", "`known_good`", "write it in quotes"),
        (
            "[kexec]",
            "[kexec]\n  extlinux: {fallback: none, arm: [a, 1]}",
            "11:39",
            "`boot.extlinux.arm.1`: input should be",
            "write it in quotes",
        ),
    ],
)
def test_errors_of_real_boards(
    tmp_path: Path, line: str, instead: str, place: str, message: str, hint: str | None
) -> None:
    assert line in REAL
    file = write(tmp_path, REAL.replace(line, instead))
    with pytest.raises(ConfigError) as caught:
        read_board_file(file)
    assert message in str(caught.value)
    assert f"{file}:{place}: " in str(caught.value)
    if hint:
        assert hint in f"{caught.value.hint}"


def test_all_errors_are_named_in_order(tmp_path: Path) -> None:
    file = write(tmp_path, "type: emulated\nboot: {log_level: 99}\nmachine:\n  vcpus: 0\nfoo: 1\n")
    with pytest.raises(ConfigError) as caught:
        read_board_file(file)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{file}:").split(": ")[0] for line in lines] == ["2:19", "4:10", "5:1"]


def test_each_error_keeps_its_own_suggestion(tmp_path: Path) -> None:
    file = write(tmp_path, "type: emulated\nboot: {log_levl: 1}\nmachin: {}\n")
    with pytest.raises(ConfigError) as caught:
        read_board_file(file)
    first, second = str(caught.value).splitlines()
    assert first.endswith("`boot.log_levl` (did you mean `log_level`?)")
    assert second.endswith("`machin` (did you mean `machine`?)")
    assert caught.value.hint is None


def test_unreadable_and_too_large(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_board_file(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="larger than"):
        read_board_file(write(tmp_path, "type: emulated\n" + "#" * 300_000))
    with pytest.raises(ConfigError, match="larger than"):
        read_board_file(Path("/dev/zero"))


def test_deep_nesting_is_an_error_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        read_board_file(write(tmp_path, "type: " + "[" * 20000))


@given(st.text(max_size=80) | st.binary(max_size=80))
def test_any_bytes_give_a_config_error_or_a_board(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "b.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError):
        read_board_file(file)


def test_shipped_boards_say_the_defaults(tmp_path: Path) -> None:
    shipped = read_board_file(SHIPPED / "qemu-g610.yaml")
    plain = read_board_file(write(tmp_path, "type: emulated\n"))
    named = {"description": shipped.description, "tags": shipped.tags}
    assert plain.model_copy(update=named) == shipped
    for file in SHIPPED.glob("*.yaml"):
        read_board_file(file)


def test_board_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_board("qemu-g610").name == "qemu-g610"
    with pytest.raises(UsageError, match="no board `qemu-g61`") as caught:
        find_board_file("qemu-g61")
    assert caught.value.hint == "did you mean `qemu-g610`?"
    (tmp_path / "board_configs").mkdir()
    mine = tmp_path / "board_configs/mine.yaml"
    mine.write_text("type: emulated\n")
    assert open_board(str(mine)).name == "mine"
    assert open_board("board_configs/mine.yaml").name == "mine"
    with pytest.raises(UsageError, match="no board `mine`") as caught:
        find_board_file("mine")
    assert caught.value.hint is not None
    assert "--board ./board_configs/mine.yaml" in caught.value.hint
    monkeypatch.setenv("PANTHORLAB_PATH", ".")
    assert board_files()["mine"] == mine


def test_a_board_of_the_current_directory_is_nobodys_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile checkout may have one of the same name, whose power switch is any program."""
    (tmp_path / "board_configs").mkdir()
    (tmp_path / "board_configs/qemu-g610.yaml").write_text("type: emulated\n")
    monkeypatch.chdir(tmp_path)
    assert find_board_file("qemu-g610") == SHIPPED / "qemu-g610.yaml"


def test_schema_describes_the_shipped_board() -> None:
    schema = board_file_schema()
    assert json.loads(json.dumps(schema)) == schema
    shipped = yaml.safe_load((SHIPPED / "qemu-g610.yaml").read_text())
    assert set(shipped) <= set(schema["$defs"]["EmulatedFile"]["properties"])


def test_qemu_is_told_what_the_board_file_says(tmp_path: Path) -> None:
    text = "type: emulated\nmachine: {cpu: max, vcpus: 2, memory: 2G}\nboot: {log_level: 1, command_line: 'a=1  b'}\n"
    board = read_board_file(write(tmp_path, text))
    assert isinstance(board, EmulatedFile)
    assert " kasan_multi_shot" in command_line(board, detector_words("CONFIG_A=y\nCONFIG_KASAN=y\n"))
    assert slowness("CONFIG_PROVE_LOCKING=y\n") > slowness("# CONFIG_KASAN is not set\n") == 1.0
    assert not detector_words("# CONFIG_KASAN is not set\nCONFIG_KASAN_INLINE=y\n")
    line = command_line(board)
    assert line.split()[-2:] == ["a=1", "b"]
    assert {"loglevel=1", "printk.devkmsg=on", "panic=-1", "init_on_free=1", "console=ttyAMA0"} <= set(line.split())
    arguments = qemu_arguments(board, image=Path("/k/Image"), initrd=Path("/r/i"), wires=Wires(5, 6, 7, ["gpu.sock"]))
    assert arguments[arguments.index("-append") + 1] == line
    assert arguments[arguments.index("-smp") + 1] == "2"
    assert "memory-backend-memfd,id=ram,size=2G,share=on" in arguments
    assert json.loads(arguments[-1])["socket"]["path"] == "gpu.sock"
    assert machine_facts(board)["memory"] == "2G"
    assert memory_bytes("2G") == 2 << 30
