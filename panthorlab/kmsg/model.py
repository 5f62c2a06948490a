# SPDX-License-Identifier: GPL-2.0-or-later
"""A finding: one classified event of a kernel log."""

from __future__ import annotations

from dataclasses import dataclass

from panthorlab.kmsg.patterns import Kind

JSON_FIELDS = (
    "kind", "driver", "device", "timestamp", "as", "va", "raw_status", "exception_type", "exception", "access",
    "source_id", "pid", "comm", "owner", "signature", "line", "text",
)  # fmt: skip
"""Fields of a finding in `scan --json` and in every report, in this order; a stable interface."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The facts that the log gives about one event; None where it gives none.

    `timestamp`: seconds of the kernel's clock. `address_space` is `as` in JSON. `va`, `raw_status` and `source_id`
    are hex strings as printed. `line`: 1-based line where the event begins. `text`: its lines without prefixes.
    `corrupted` says what is wrong with a torn or truncated event; `frames` are the top functions of a report, and
    `seq` the /dev/kmsg number of its first record; these three are not part of the JSON contract.
    """

    kind: Kind
    signature: str
    text: str
    line: int
    driver: str | None = None
    device: str | None = None
    timestamp: float | None = None
    address_space: int | None = None
    va: str | None = None
    raw_status: str | None = None
    exception_type: int | None = None
    exception: str | None = None
    access: str | None = None
    source_id: str | None = None
    pid: int | None = None
    comm: str | None = None
    owner: str | None = None
    corrupted: str | None = None
    frames: tuple[str, ...] = ()
    seq: int | None = None

    def to_json(self) -> dict[str, str | int | float | None]:
        """The JSON object of the contract: exactly `JSON_FIELDS`, in that order."""
        names = {"as": "address_space"}
        values = {name: getattr(self, names.get(name, name)) for name in JSON_FIELDS}
        return {**values, "kind": self.kind.value}
