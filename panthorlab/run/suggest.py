# SPDX-License-Identifier: GPL-2.0-or-later
"""Which suites exercise a file of the tree most. Suggestions for people: `validate` runs all suites unless told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

PANTHOR: Final = "drivers/gpu/drm/panthor/"
CLAIM: Final = ("heap-exit-claim", "heap-exit-controls", "heap-exit-watch")
SUITES: Final[Mapping[str, tuple[str, ...]]] = {
    f"{PANTHOR}panthor_sched.": (*CLAIM, "scheduler", "job-faults", "job-timeout", "reset", "fence-lock", "tiler-oom"),
    f"{PANTHOR}panthor_mmu.": (
        *CLAIM,
        "vm-bind",
        "later",
        "mmu-faults",
        "mmu-stuck",
        "gpu-after-fault",
        "leaks",
        "handle-races",
        "huge-pages",
        "reclaim",
        "scarce-memory",
    ),
    f"{PANTHOR}panthor_heap.": (*CLAIM, "tiler-oom", "leaks", "handle-races", "scarce-memory"),
    f"{PANTHOR}panthor_gem.": (
        "vm-bind",
        "later",
        "leaks",
        "lost-memory",
        "uapi",
        "handle-races",
        "huge-pages",
        "reclaim",
        "scarce-memory",
    ),
    f"{PANTHOR}panthor_fw.": (
        "firmware-images",
        "firmware-interface",
        "reset",
        "unplug-trouble",
        "gpu-trouble",
        "tracepoints",
    ),
    f"{PANTHOR}panthor_fw_": ("firmware-images", "firmware-interface"),
    f"{PANTHOR}panthor_device.": (
        "probe",
        "unplug",
        "unplug-trouble",
        "runtime-pm",
        "reset",
        "irq-storm",
        "scarce-memory",
    ),
    f"{PANTHOR}panthor_devfreq.": ("probe", "runtime-pm", "unplug-trouble"),
    f"{PANTHOR}panthor_drv.": ("uapi", "later", "handle-races", "vm-bind", "leaks", "probe", "scarce-memory"),
    f"{PANTHOR}panthor_gpu.": ("probe", "gpu-trouble", "runtime-pm", "reset", "irq-storm", "tracepoints"),
    f"{PANTHOR}panthor_hw.": ("probe", "uapi", "tracepoints"),
    f"{PANTHOR}panthor_trace.": ("tracepoints",),
    f"{PANTHOR}panthor_pwr.": ("probe", "runtime-pm", "reset"),
    f"{PANTHOR}panthor_regs.": ("probe", "gpu-trouble", "mmu-faults"),
    f"{PANTHOR}Kconfig": ("probe",),
    f"{PANTHOR}Makefile": ("probe",),
    "include/uapi/drm/panthor_drm.h": ("uapi", "later", "vm-bind", "scheduler"),
    "drivers/gpu/drm/scheduler/": ("scheduler", "job-timeout", "job-faults", "fence-lock", "reset"),
    "include/drm/gpu_scheduler.h": ("scheduler", "job-timeout", "job-faults", "fence-lock"),
    "drivers/gpu/drm/drm_gpuvm.c": ("vm-bind", "leaks", "reclaim"),
    "include/drm/drm_gpuvm.h": ("vm-bind", "leaks"),
    "drivers/gpu/drm/drm_exec.c": ("vm-bind",),
    "drivers/gpu/drm/drm_gem": ("vm-bind", "leaks", "lost-memory", "huge-pages", "reclaim"),
    "drivers/gpu/drm/drm_syncobj.c": ("scheduler", "vm-bind", "fence-lock"),
    "drivers/dma-buf/": ("fence-lock", "scheduler", "later"),
    "drivers/iommu/io-pgtable": ("vm-bind", "mmu-faults", "huge-pages"),
    "drivers/gpu/drm/tyr/": ("probe", "unplug", "unplug-trouble", "firmware-images"),
}
"""By the beginning of a file's path. What of the driver is not named here concerns all suites."""


def suggested(files: Iterable[str]) -> tuple[str, ...]:
    """The suites for a patch that changes `files`, those of the most files first; `all` if there is no telling; none if
    no GPU's driver can notice."""
    counts: dict[str, int] = {}
    for file in files:
        names = next((names for begin, names in SUITES.items() if file.startswith(begin)), ())
        if not names and file.startswith(("drivers/gpu/drm/panthor/", "drivers/gpu/drm/drm_")):
            names = ("all",)
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    if "all" in counts:
        return ("all",)
    return tuple(sorted(counts, key=lambda name: -counts[name]))
