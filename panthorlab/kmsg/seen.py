# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts about a log's machine: kernel, model, Mali driver, GPU, firmware; and whether it is a kernel log at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from panthorlab.kmsg.lines import cut
from panthorlab.kmsg.patterns import DRIVERS
from panthorlab.kmsg.records import parse_line

MAX_VALUES = 8
"""Maximum number of different values kept per fact, e.g. of several kernels in one log."""
MAX_VALUE = 200
MAX_KNOWN = 256
"""Maximum number of line ends remembered to skip repeats, which come with every report."""

_DRIVER = "|".join(sorted(DRIVERS, key=len, reverse=True))
_BY = rf"(?:^|[\s\]>])(?P<driver>{_DRIVER}) \S{{0,64}}: (?:\[drm\] )?"
# (fact, bytes that its line must contain, pattern; groups: `value` of the fact, `driver` and `version` of the driver)
_FACTS: tuple[tuple[str, bytes, re.Pattern[str]], ...] = (
    ("kernel", b"Linux version ", re.compile(r"Linux version (?P<value>\S+)")),
    (
        "kernel",
        b"Comm: ",
        re.compile(
            r"CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: .{1,40}? (?:Not tainted|Tainted: [A-Z ]*?) +(?P<value>\d+\.\d+\S*)"
        ),
    ),
    ("machine", b"Machine model: ", re.compile(r"Machine model: (?P<value>.+)")),
    ("machine", b"Hardware name: ", re.compile(r"Hardware name: (?P<value>.+)")),
    (
        "driver",
        b"Initialized pan",
        re.compile(rf"\[drm\] Initialized (?P<driver>{_DRIVER}) (?P<version>\d+\.\d+\.\d+)"),
    ),
    (
        "driver",
        b"Initialized tyr",
        re.compile(rf"\[drm\] Initialized (?P<driver>{_DRIVER}) (?P<version>\d+\.\d+\.\d+)"),
    ),
    ("driver", b"Kernel DDK version ", re.compile(rf"{_BY}Kernel DDK version (?P<version>\S+)")),
    ("driver", b"clock rate = ", re.compile(rf"{_BY}(?:bus_)?clock rate = ")),
    ("driver", b"Probed as mali", re.compile(rf"{_BY}Probed as mali")),
    (
        "gpu",
        b" id 0x",
        re.compile(
            rf"{_BY}(?P<value>(?:(?i:mali-))?\S+ id 0x[0-9a-f]+ major 0x[0-9a-f]+ minor 0x[0-9a-f]+ status 0x[0-9a-f]+)"
        ),
    ),
    ("gpu", b"GPU identified as ", re.compile(rf"{_BY}GPU identified as (?P<value>.+)")),
    ("firmware", b"CSF FW ", re.compile(rf"{_BY}CSF FW (?:using interface )?(?P<value>v\d+\.\d+\.\d+)")),
    ("firmware", b"irmware git sha: ", re.compile(rf"{_BY}Firmware git sha: (?P<value>\S+)")),
    ("firmware", b"Mali firmware ", re.compile(rf"{_BY}(?P<value>(?:Loading )?Mali firmware .+)")),
)
_LIKE_A_KERNEL = re.compile(
    r"(?:[a-z][\w-]{1,31} [0-9a-f]{4,16}\.[\w-]+|[a-z][\w-]{1,31} (?:[0-9a-f]{4}:){2}[0-9a-f]{2}\.\d|usb \d+-[\d.]+)"
    r"(?:\[\w+\])?: |Linux version |Booting Linux on |Kernel command line: |Modules linked in:"
    r"|CPU: \d+ (?:UID: \d+ )?PID: \d+"
    r"|(?:raw|decoded) fault status: |-{4,}\[ cut here \]|\s+[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+"
    rf"|(?:{_DRIVER}) \S{{0,64}}: |\[drm\b"
)
"""Lines that hardly anything but a kernel prints, to recognise a log without time stamps."""


@dataclass
class Seen:
    """Feed it the scanner's blocks. `drivers`: name → version (None: it has messages, but none with a version)."""

    kernel: list[str] = field(default_factory=list)
    machine: list[str] = field(default_factory=list)
    drivers: dict[str, str | None] = field(default_factory=dict)
    gpu: list[str] = field(default_factory=list)
    firmware: list[str] = field(default_factory=list)
    looks_like_a_kernel_log: bool = False
    _known: set[bytes] = field(default_factory=set)

    def feed(self, block: bytes) -> None:
        """`block`: whole lines, as `Folder` returns them."""
        if not self.looks_like_a_kernel_log:
            self.looks_like_a_kernel_log = any(_is_kernel_line(line) for line in block.split(b"\n"))
        for fact, anchor, pattern in _FACTS:
            at = block.find(anchor)
            while at >= 0 and self._wants(fact):
                begin, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
                if block[at:end] not in self._known:
                    self._line(fact, pattern, block[begin:end])
                    if len(self._known) < MAX_KNOWN:
                        self._known.add(block[at:end])
                at = block.find(anchor, end)

    def spoke(self, driver: str | None) -> None:
        """Record that a finding names this driver."""
        if driver is not None and driver in DRIVERS.values():
            self.drivers.setdefault(driver, None)
        self.looks_like_a_kernel_log = True

    def to_json(self) -> dict[str, object]:
        """The object `seen` of `scan --json`."""
        return {
            "kernel": self.kernel, "machine": self.machine,
            "drivers": [{"name": name, "version": version} for name, version in self.drivers.items()],
            "gpu": self.gpu, "firmware": self.firmware,
        }  # fmt: skip

    def sentence(self) -> str:
        """For people, one line."""
        parts = [f"{name} {version}" if version else name for name, version in self.drivers.items()]
        parts = [", ".join(parts) or "no Mali driver"]
        for title, values in (("GPU", self.gpu), ("firmware", self.firmware), ("kernel", self.kernel)):
            if values:
                parts.append(f"{title} {', '.join(values)}")
            elif title == "GPU":
                parts.append("no GPU was probed")
        return "; ".join([*parts, *self.machine])

    def _wants(self, fact: str) -> bool:
        return len(self.drivers if fact == "driver" else getattr(self, fact)) < MAX_VALUES

    def _line(self, fact: str, pattern: re.Pattern[str], line: bytes) -> None:
        for record in parse_line(cut(line), 0):
            if record.facility or not (found := pattern.search(record.text, 0, 2048)):
                continue
            groups = found.groupdict()
            if groups.get("driver"):
                name = DRIVERS.get(groups["driver"], groups["driver"])
                self.drivers[name] = groups.get("version") or self.drivers.get(name)
            value = (groups.get("value") or "").strip()[:MAX_VALUE]
            if value and fact != "driver" and value not in (values := getattr(self, fact)):
                values.append(value)


def _is_kernel_line(line: bytes) -> bool:
    return any(
        not record.facility and (not record.bare or bool(_LIKE_A_KERNEL.match(record.text)))
        for record in parse_line(cut(line), 0)
        if record.text.strip()
    )
