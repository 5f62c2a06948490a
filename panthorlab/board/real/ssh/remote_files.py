# SPDX-License-Identifier: GPL-2.0-or-later
"""Files on a board over SSH, by programs that both BusyBox and Debian have, so that errors have an errno.

SFTP, if the server has it, is only used for bulk uploads: it has one error code, "failure", for a full disk, a
read-only file system and a directory in the way.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from posixpath import dirname
from typing import Final, TypeVar

import paramiko

from panthorlab.board.api import Completed, RemoteFileError
from panthorlab.board.real.ssh.ports import Commands
from panthorlab.errors import LabError

T = TypeVar("T")
SLOWEST: Final = 256 << 10
"""Bytes per second below which an upload counts as hung."""
_ENV: Final = {"LC_ALL": "C"}
_BATCH: Final = 40
"""Paths per command: Dropbear takes command lines of at most 9000 bytes."""

PUT: Final = (
    "p=$1 m=$2 n=$3 t=$4;"
    'in_place(){ case $p in /proc/*|/sys/*)return 0;;esac;[ -e "$p" ]&&[ ! -f "$p" ]&&[ ! -d "$p" ];};'
    'fail(){ rm -f "$t";exit 1;};'
    'if in_place;then [ -e "$p" ]||{ echo ": No such file or directory" >&2;exit 1;};'
    'exec dd of="$p" bs=64k conv=notrunc;fi;'
    '[ -d "$p" ]&&{ echo ": Is a directory" >&2;exit 1;};'
    'umask 077;dd of="$t" bs=64k conv=fsync||fail;'
    '[ "$(wc -c <"$t")" -eq "$n" ]||{ echo ": Input/output error" >&2;fail;};'
    'chmod "$m" "$t"&&mv -f "$t" "$p"||fail'
)
"""Parameters: path, mode in octal, size, temporary path. stdin: the contents; if it ends early, nothing has changed."""

GET: Final = (
    'if dd if=/dev/null iflag=nonblock 2>/dev/null;then exec dd if="$1" iflag=nonblock bs=64k;'
    'elif [ -f "$1" ]||[ ! -e "$1" ]||[ -d "$1" ];then exec cat "$1";'
    'else echo ": Operation not supported" >&2;exit 1;fi'
)
"""Parameter: path. Reading what a stream holds now takes `iflag=nonblock`, which BusyBox's dd lacks."""

SUMS: Final = (
    'command -v sha256sum >/dev/null||exit 3;for p;do if [ -f "$p" ];then sha256sum <"$p"||exit 1;else echo -;fi;done'
)
"""Parameters: paths. Prints one line each; exit status 3 if there is no sha256sum."""

FINISH: Final = (
    'while [ $# -gt 0 ];do if [ -d "$3" ];then echo ": Is a directory" >&2;exit 1;fi;'
    'chmod "$1" "$2"||exit 1;[ "$2" = "$3" ]||mv -f "$2" "$3"||exit 1;shift 3;done'
)
"""Parameters: mode, temporary path, path; repeated."""

UNKNOWN: Final = errno.EREMOTEIO
"""Of a message that is none of an errno: then nobody knows what the kernel has said, if it was asked at all."""
_ERRNO: Final = {os.strerror(number): number for number in errno.errorcode} | {
    "Resource busy": errno.EBUSY,
    "Directory nonexistent": errno.ENOENT,
    "nonexistent directory": errno.ENOENT,
    "No error information": errno.EIO,
    "I/O error": errno.EIO,
    "Bad address": errno.EFAULT,
}
"""Error message of a program → errno: first glibc's messages, then those of musl and shells."""


def put(shell: Commands, data: bytes, path: str, *, mode: int, timeout: float) -> None:
    temp = _temp(path)
    argv = _script(PUT, path, f"{mode & 0o7777:o}", str(len(data)), temp)
    try:
        done = shell.run(argv, timeout=timeout, env=_ENV, stdin=data)
    except BaseException:
        if shell.lost is None:
            _run(shell, ["rm", "-f", temp], timeout)
        raise
    if done.status:
        raise _file_error(shell, "write", path, done, needed=len(data))


def get(shell: Commands, path: str, *, timeout: float) -> bytes:
    for _attempt in range(5):
        done = shell.run(_script(GET, path), timeout=timeout, env=_ENV)
        number = _errno_of(done) if done.status else 0
        if number != errno.EPIPE:  # /dev/kmsg was overrun while it was read: start again
            break
    if number not in (0, errno.EAGAIN):
        raise _file_error(shell, "read", path, done)
    return done.stdout


@dataclass(frozen=True)
class _Upload:
    source: Path
    path: str
    mode: int
    size: int
    sha256: str
    temp: str


def put_files(shell: Commands, files: Mapping[Path, str], *, timeout: float) -> tuple[str, ...]:
    deadline = time.monotonic() + timeout
    uploads = [_upload(source, path) for source, path in files.items()]
    wrong: list[_Upload] = []
    right: list[_Upload] = []
    for upload, there in zip(uploads, _sums(shell, [upload.path for upload in uploads], deadline), strict=True):
        (right if there == upload.sha256 else wrong).append(upload)
    _finish(shell, [(upload.mode, upload.path, upload.path) for upload in right], deadline)
    if not wrong:
        return ()
    try:
        _make_directories(shell, wrong, deadline)
        _send(shell, wrong, deadline)
        _verify(shell, wrong, deadline)
        _finish(shell, [(upload.mode, upload.temp, upload.path) for upload in wrong], deadline)
    except BaseException:
        if shell.lost is None:
            for batch in _batches([upload.temp for upload in wrong]):
                _run(shell, ["rm", "-f", "--", *batch], 10.0)
        raise
    done = shell.run(["sync"], timeout=_left(deadline))  # power may be cut at any time from now on
    if done.status:
        raise LabError(f"`sync` on the board failed: {_message(done)}")
    return tuple(upload.path for upload in wrong)


def _upload(source: Path, path: str) -> _Upload:
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            status = os.fstat(file.fileno())
    except OSError as error:
        raise LabError(f"{source}: cannot be read: {error.strerror}") from error
    return _Upload(source, path, status.st_mode & 0o777, status.st_size, digest, _temp(path))


def _make_directories(shell: Commands, uploads: Sequence[_Upload], deadline: float) -> None:
    for batch in _batches(sorted({dirname(upload.path) or "/" for upload in uploads})):
        done = shell.run(["mkdir", "-p", "--", *batch], timeout=_left(deadline), env=_ENV)
        if done.status:
            raise _file_error(shell, "make", batch[0], done)


def _send(shell: Commands, uploads: Sequence[_Upload], deadline: float) -> None:
    """Upload to the temporary paths. Uploads that fail by SFTP are repeated with `put`, which reports the errno."""
    sftp = shell.open_sftp(min(_left(deadline), 30.0))
    try:
        for upload in uploads:
            if sftp is not None:
                try:
                    _send_by_sftp(sftp, upload, deadline)
                    continue
                except TimeoutError:
                    raise
                except (OSError, EOFError, paramiko.SSHException) as error:
                    if shell.lost is not None:
                        raise shell.gone() from error
                    sftp.close()
                    sftp = None
            put(shell, upload.source.read_bytes(), upload.temp, mode=0o600, timeout=_left(deadline))
    except TimeoutError:
        raise LabError(
            f"{upload.path} was not on the board by the deadline: the connection is too slow or the disk hangs"
        ) from None
    finally:
        if sftp is not None:
            sftp.close()


def _send_by_sftp(sftp: paramiko.SFTPClient, upload: _Upload, deadline: float) -> None:
    channel = sftp.get_channel()

    def progress(_sent: int, _size: int) -> None:
        if channel is not None:
            channel.settimeout(_left(deadline))

    progress(0, 0)
    with upload.source.open("rb") as file:
        sftp.putfo(file, upload.temp, upload.size, progress, confirm=False)


def _verify(shell: Commands, uploads: Sequence[_Upload], deadline: float) -> None:
    for upload, there in zip(uploads, _sums(shell, [upload.temp for upload in uploads], deadline), strict=True):
        if there is None:  # no sha256sum on the board
            there = hashlib.sha256(get(shell, upload.temp, timeout=_left(deadline))).hexdigest()
        if there != upload.sha256:
            raise LabError(
                f"{upload.path} reached the board damaged: SHA-256 {there or 'of nothing'}, not {upload.sha256}",
                hint="a failing disk or memory on the board, or a file that was changed while it was sent",
            )


def _finish(shell: Commands, moves: Sequence[tuple[int, str, str]], deadline: float) -> None:
    for batch in _batches(moves, _BATCH // 3):
        words = [word for mode, temp, path in batch for word in (f"{mode:o}", temp, path)]
        done = shell.run(_script(FINISH, *words), timeout=_left(deadline), env=_ENV)
        if done.status:
            raise _file_error(shell, "write", batch[0][2], done)


def _sums(shell: Commands, paths: Sequence[str], deadline: float) -> list[str | None]:
    """SHA-256 of each path on the board, "" if it is no file; None for all if the board has no sha256sum."""
    sums: list[str | None] = []
    for batch in _batches(paths):
        done = shell.run(_script(SUMS, *batch), timeout=_left(deadline), env=_ENV)
        if done.status == 3:
            return [None] * len(paths)
        lines = done.stdout.decode("ascii", "replace").splitlines()
        if done.status or len(lines) != len(batch):
            raise _file_error(shell, "read", batch[0], done)
        sums += [line.split()[0].strip("-") for line in lines]
    return sums


def _script(text: str, *parameters: str) -> list[str]:
    return ["/bin/sh", "-c", text, "sh", *parameters]


def _run(shell: Commands, argv: Sequence[str], timeout: float) -> None:
    """Clean up after an error; failures here are ignored, because the first error is the one to report."""
    try:
        shell.run(argv, timeout=timeout)
    except LabError:
        return


def _temp(path: str) -> str:
    return f"{path}.{secrets.token_hex(4)}~"


def _batches(items: Iterable[T], size: int = _BATCH) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _left(deadline: float) -> float:
    return max(1.0, deadline - time.monotonic())


def _message(done: Completed) -> str:
    """The last error message on stderr; dd also prints statistics there."""
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if ": " in line]
    return lines[-1] if lines else f"exit status {done.status}"


def _errno_of(done: Completed) -> int:
    return done.status if done.status < 0 else _ERRNO.get(_message(done).rpartition(": ")[2].strip(), UNKNOWN)


def _file_error(shell: Commands, verb: str, path: str, done: Completed, *, needed: int = 0) -> RemoteFileError:
    number = _errno_of(done)
    if number < 0:
        return RemoteFileError(f"cannot {verb} {path} on the board: the helper died of signal {-number}", errno=number)
    text = os.strerror(number) if number not in (errno.EIO, UNKNOWN) else _message(done).strip(": ")
    error = RemoteFileError(f"cannot {verb} {path} on the board: {text}", errno=number)
    if number == errno.ENOSPC:
        free = shell.run(["df", "-Pk", "--", dirname(path) or "/"], timeout=10.0, env=_ENV)
        columns = free.stdout.decode("utf-8", "replace").splitlines()[-1:] or [""]
        room = columns[0].split()[3:4]
        error = RemoteFileError(
            f"cannot {verb} {path} on the board: its disk is full: {needed} bytes wanted, "
            f"{room[0] if room else '?'} KiB free in {dirname(path) or '/'}",
            errno=number,
        )
        error.hint = "remove old kernels and logs from the board"
    return error
