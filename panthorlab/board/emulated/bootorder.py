# SPDX-License-Identifier: GPL-2.0-or-later
"""What an emulated board is to boot, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from panthorlab.board.emulated.exact.settings import ExactSettings
from panthorlab.board.emulated.file import EmulatedFile
from panthorlab.board.emulated.machine import SHIFT
from panthorlab.board.emulated.qemu import Qemu
from panthorlab.errors import UsageError
from panthorlab.gpu.params import Params
from panthorlab.kernel.model import Kernel

SHIM: Final = "panthor_pci_shim.ko"
SEVERAL: Final = b"gpus="
"""What modinfo says of a shim that can have several."""


@dataclass(frozen=True)
class Order:
    """What to boot, and how. `params`: all; `of_model`: the GPU model's own. `counts`: where to count instructions.
    `exact_wanted`: exact time, if it was requested; `why_not`: why it is not possible, empty if it is."""

    name: str
    file: EmulatedFile
    kernel: Kernel
    qemu: Qemu
    log_dir: Path
    overlay: Path | None
    params: Mapping[str, str]
    of_model: Mapping[str, str]
    counts: Path | None
    exact_wanted: ExactSettings | None
    why_not: str

    @property
    def exact(self) -> ExactSettings | None:
        return None if self.why_not else self.exact_wanted

    @property
    def gpus(self) -> int:
        """How many GPUs are on its bus. Raises UsageError."""
        if self.file.gpu is None:
            return 0
        try:
            count = Params.parse([f"count={self.of_model.get('count', '1')}"]).integer("count")
        except ValueError as error:
            raise UsageError(f"gpu.{error}", hint="`panthorlab gpu params` lists them") from None
        if count > 1 and SEVERAL not in (self.kernel.modules_dir / SHIM).read_bytes():
            raise UsageError(
                f"kernel {self.kernel.title} was built with a shim module that knows but one GPU", hint="build it again"
            )
        return count

    @property
    def facts(self) -> dict[str, object]:
        """Facts for the report that are known before the start."""
        return {
            **self._facts_of_time,
            "board": self.name,
            "qemu": self.qemu.version,
            "qemu_origin": self.qemu.origin,
            "gpu_params": dict(self.params),
        }

    @property
    def _facts_of_time(self) -> dict[str, object]:
        """Facts for the report about the board's clock."""
        if self.why_not:
            return {"time": "host", "time_wanted": "exact", "time_why": self.why_not}
        if self.exact_wanted is None:
            return {"time": "host"}
        return {"time": "exact", "instruction_ns": 1 << SHIFT, "seed": self.params.get("seed", "0")}
