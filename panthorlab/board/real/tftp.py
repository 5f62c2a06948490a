# SPDX-License-Identifier: GPL-2.0-or-later
"""Files for U-Boot: copied to the directory of the lab's TFTP server, or served by this process while needed."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from panthorlab.board.real.file import Tftp
from panthorlab.errors import LabError

_READY_TIMEOUT = 10.0


@contextmanager
def staged(section: Tftp, board: str, files: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """Offer `files` by TFTP for the duration of the context; the value maps each key to the file's TFTP name.

    Each boot has its own directory, so that files of an earlier boot cannot be confused with it. Raises LabError.
    """
    if section.root is not None:
        with _in_directory(Path(section.root), board, files) as names:
            yield names
        return
    with (
        tempfile.TemporaryDirectory(prefix="panthorlab-tftp-") as folder,
        _in_directory(Path(folder), board, files) as names,
        _served(section, Path(folder)),
    ):
        yield names


@contextmanager
def _in_directory(root: Path, board: str, files: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    try:
        base = root / "panthorlab" / board
        base.mkdir(parents=True, exist_ok=True)
        for left in base.iterdir():  # of a killed run: only the run that has the board is here
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=base))
    except OSError as error:
        raise LabError(
            f"cannot write to the TFTP directory {root}: {error.strerror}",
            hint="`boot.tftp.root` must be what the TFTP server serves, and writable",
        ) from error
    try:
        folder.chmod(0o755)  # TFTP servers run as nobody
        for name, source in files.items():
            _copy(source, folder / name)
        yield {name: str((folder / name).relative_to(root)) for name in files}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """Copy atomically: a server must never send half a file."""
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, part)
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        raise LabError(f"cannot copy {source} to {target}: {error.strerror}", hint="is the disk full?") from error


@contextmanager
def _served(section: Tftp, root: Path) -> Iterator[None]:
    try:
        import tftpy
    except ImportError as error:
        raise LabError("`boot.tftp.serve` needs the package tftpy", hint="pip install 'panthorlab[tftp]'") from error
    server = tftpy.TftpServer(str(root))
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            server.listen("", section.port, timeout=5)
        except BaseException as error:  # re-raised below, in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=serve, name="tftp", daemon=True)
    thread.start()
    try:
        if not server.is_running.wait(_READY_TIMEOUT) or failed:
            why = failed[0] if failed else "time-out"
            raise LabError(
                f"the TFTP server cannot listen on UDP port {section.port}: {why}",
                hint="ports below 1024 need privilege: take another, or a TFTP server of the lab (`root`)",
            )
        yield
    finally:
        server.stop(now=True)
        thread.join(_READY_TIMEOUT)
