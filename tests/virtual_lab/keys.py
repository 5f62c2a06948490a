# SPDX-License-Identifier: GPL-2.0-or-later
"""SSH keys of the virtual lab: a host key that stays a board's own for good, and the operator's key."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


@dataclass(frozen=True)
class Keys:
    """Files of `folder`, which is private to the user; made when they are first asked for."""

    folder: Path
    board: str

    @property
    def user_file(self) -> Path:
        """The operator's private key."""
        return self._file("operator")

    @property
    def host_file(self) -> Path:
        """The board's private host key."""
        return self._file(f"host-{self.board}")

    def authorized(self) -> bytes:
        """For the board's authorized_keys."""
        return self._public(self.user_file) + b" virtual-lab\n"

    def known_host(self) -> str:
        """Key type and key as in a known_hosts line."""
        return self._public(self.host_file).decode()

    def host_key(self) -> paramiko.PKey:
        return paramiko.Ed25519Key.from_private_key_file(str(self.host_file))

    def dropbear_host_key(self) -> bytes:
        """The host key as Dropbear keeps it: its type, then seed and public key in one string."""
        key = _load(self.host_file)
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return _string(b"ssh-ed25519") + _string(seed + public)

    def _public(self, file: Path) -> bytes:
        return _load(file).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)

    def _file(self, name: str) -> Path:
        file = self.folder / name
        if not file.exists():
            key = Ed25519PrivateKey.generate()
            temporary = file.with_suffix(".new")
            temporary.touch(mode=0o600)
            temporary.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
            temporary.rename(file)
        return file


def _load(file: Path) -> Ed25519PrivateKey:
    key = serialization.load_ssh_private_key(file.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{file} is no Ed25519 key")
    return key


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
