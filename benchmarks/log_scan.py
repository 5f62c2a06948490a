#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast a kernel log is scanned: 32 MiB without and with 241 GPU faults, beside simpler ways of looking.

Prints a table (MiB per second of processor time, best of `--repeat`; findings) and never fails for a figure. The log
is made from a seed: boot-like lines, an eighth of them from DRM drivers, panthor among them.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from panthorlab.kmsg import scan

FAULTS = 241
LINES = (
    "usb 1-1: new high-speed USB device number {} using xhci_hcd",
    "EXT4-fs (mmcblk0p2): mounted filesystem with ordered data mode {}",
    "systemd[1]: Started Session {} of User root.",
    "r8169 0002:21:00.0 enP2p33s0: Link is Up - 1Gbps/Full - flow control rx/tx {}",
    "audit: type=1400 audit(1661086349.{}): avc: denied {{ read }} for comm=Binder",
    "cpu cpu4: EM: created perf domain {}",
    "rockchip-drm display-subsystem: [drm] bound fdd90000.vop (ops vop2_component_ops) {}",
)
DRM_LINES = (
    "panthor fb000000.gpu: [drm] clock rate = {}",
    "panthor fb000000.gpu: [drm] mali-g610 id 0xa867 major 0x0 minor 0x0 status 0x{}",
    "panthor fb000000.gpu: [drm] Features: L2:0x7120306 Tiler:0x809 Mem:0x301 MMU:0x2830 AS:0x{}",
    "[drm] Initialized panthor 1.3.0 for fb000000.gpu on minor {}",
)
PATTERNS = (
    r"Unhandled Page fault in AS\d+ at VA 0x", r"GPU Fault 0x", r"CS_FAULT\.", r"CS_FATAL\.", r"job timeout",
    r"Soft reset timeout", r"FW ping timeout", r"AS_ACTIVE bit stuck", r"Kernel panic", r"BUG: ", r"WARNING: ",
    r"Internal error: ", r"INFO: task ", r"rcu.*stall", r"kmemleak: ", r"Unable to handle kernel",
)  # fmt: skip


def fault(stamp: str, number: int) -> str:
    text = (
        f"panthor fb000000.gpu: [drm] *ERROR* Unhandled Page fault in AS1 at VA 0x{0x800000003000 + 64 * number:016X}",
        "raw fault status: 0x7CD003C3", "decoded fault status: SLAVE FAULT",
        "exception type 0xC3: TRANSLATION_FAULT_3", "access type 0x3: WRITE", "source id 0x7CD0",
    )  # fmt: skip
    return "".join(f"{stamp}{line}\n" for line in text)


def make_log(size: int, faults: int, seed: int = 1) -> bytes:
    random_ = random.Random(seed)  # noqa: S311 - not for secrets
    lines: list[str] = []
    written, clock, done = 0, 0.0, 0
    while written < size:
        clock += random_.random() / 100
        stamp = f"[{clock:12.6f}] "
        if faults and written * faults // size >= done and done < faults:
            lines.append(fault(stamp, done))
            done += 1
        else:
            pool = DRM_LINES if random_.random() < 1 / 8 else LINES
            lines.append(stamp + random_.choice(pool).format(random_.randrange(10**6)) + "\n")
        written += len(lines[-1])
    return "".join(lines).encode()


def chunks(log: bytes, size: int = 1 << 18) -> list[bytes]:
    return [log[start : start + size] for start in range(0, len(log), size)]


def with_prefilter(log: bytes) -> int:
    return sum(1 for _ in scan(chunks(log)))


def without_prefilter(log: bytes) -> int:
    return sum(1 for _ in scan(chunks(log), prefilter=False))


def naive(log: bytes) -> int:
    patterns = [re.compile(pattern.encode()) for pattern in PATTERNS]
    return sum(1 for line in log.split(b"\n") if any(pattern.search(line) for pattern in patterns))


def alternation(log: bytes) -> int:
    pattern = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS).encode())
    return sum(1 for line in log.split(b"\n") if pattern.search(line))


WAYS: tuple[tuple[str, Callable[[bytes], int], float], ...] = (
    ("panthorlab scan (fields, signatures)", with_prefilter, 1),
    ("the same, without the prefilter", without_prefilter, 1 / 8),
    ("one line at a time, 16 regexes (no fields)", naive, 1 / 2),
    ("one line at a time, one alternation (no fields)", alternation, 1 / 2),
)


def measure(way: Callable[[bytes], int], log: bytes, repeat: int) -> tuple[float, int]:
    best, found = float("inf"), 0
    for _ in range(repeat):
        start = time.process_time()
        found = way(log)
        best = min(best, time.process_time() - start)
    return len(log) / best / (1 << 20), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, metavar="MIB")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(f"| {'way':48} | faults |  MiB/s | found |\n|{'-' * 50}|-------:|-------:|------:|")
    for faults in (0, FAULTS):
        for name, way, share in WAYS:
            count = int(faults * share)
            log = make_log(int(options.size * share * (1 << 20)), count)
            rate, found = measure(way, log, options.repeat)
            print(f"| {name:48} | {count:6} | {rate:6.1f} | {found:5} |", flush=True)


if __name__ == "__main__":
    main()
