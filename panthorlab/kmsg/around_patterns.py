# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel messages related to a Mali driver, as tables: device and power management, interrupts, the DRM scheduler,
operating points, clocks, regulators, the module loader (6.12 and 7.3, and older forms where they differ).

Patterns match from the start of the message, after the prefix `panthor fb000000.gpu: ` or `platform fb000000.gpu: `.
"""

from __future__ import annotations

from typing import Final

from panthorlab.kmsg.patterns import DRIVERS, Kind
from panthorlab.kmsg.rows import Row, rows

SUBSYSTEMS: Final = ("platform", "devfreq", "devfreq-event", "amba", "of", "soc", "cooling", "thermal", "opp", "genpd")
"""Prefixes of a device without a driver, or of a class device: bus, class, or prefix of a source file."""

GPU_DEVICE: Final = (
    r"(?!(?:0*[1-5]c00000|2c00000|3d00000|4300000|5000000|5900000|b00000|f?db00000)\.gpu)"  # Qualcomm's Adreno
    r"(?!(?:13[04]000|220[04]000|3800[08]000|53100000|59000000|840000|d420[df]000|f0c0000)\.gpu)"  # Vivante
    r"(?!(?:[24]06400000|fd00000|4ae07de4|7000000|[15]7000000|7ec00000|fec00000|1c40000|1e80000|d00c0000)\.gpu)"
    r"(?:CIXH5000:\d\d|[0-9a-f]{4,16}\.(?:gpu|mali)|(?:[0-9a-f]{4,16}\.)?mali(?!-?dp|dp)(?:[-_.@][\w.@-]{0,32})?)"
)
"""Device name of a Mali GPU. Other GPUs are excluded by their addresses (from the device trees of 7.3: Qualcomm,
Vivante, Apple, Imagination, NVIDIA, Broadcom, and Arm's Utgard; fec00000 and d00c0000 are not in those and have no
source). 1800000, which both a Mali and another GPU use, counts as a Mali's."""

DEVICE: Final[tuple[Row, ...]] = (
    *rows(
        None,
        # a whole line of these that says success, or what will be tried again
        ("pm-trace", r"(?:PM: )?calling \S+ @ \d+|(?:PM: )?\S+ returned 0 after "),
        ("probe-again", r"Driver \w+ requests probe deferral"),
        ("dummy-regulator", r"supply \S+ not found, using dummy regulator"),
    ),
    *rows(
        Kind.POWER_ERROR,
        (
            "pm",
            r"(?:PM: )?(?i:failed to) (?P<what>suspend|resume|freeze|quiesce|thaw|restore|recover|hibernate|power ?off"
            r"|prepare|complete)\b[a-z ]{0,24}: (?:error )?-?\d+",
        ),
        (
            "pm-callback",
            r"(?:PM: )?(?:dpm_run_callback|platform_pm_\w+|suspend_\w+|genpd_\w+)\(\): \S+.{0,40} returns -\d+",
        ),
        ("pm-trace", r"(?:PM: )?\S+ returned -\d+ after \d+ usecs"),
        ("pm-timeout", r"(?:PM: )?\*{2,4} DPM device timeout"),
        ("pm-runtime", r"(?:runtime PM trying to \w+ child|(?i:failed to (?:runtime|rpm)[ -](?:suspend|resume)))"),
        ("pm-runtime", r"(?i:failed to (?:resume|runtime resume|power (?:up|on|off)) (?:the )?(?:device|gpu|domain))"),
        ("pm-domain", r"(?i:failed to (?:set|get) (?:required )?performance state)"),
        ("pm-domain", r"failed to (?:remove from|add notifier for|remove notifier for) PM domain"),
        ("dvfs", r"dvfs failed with \(-?\d+\) error"),
        ("devfreq", r"(?:devfreq_\w+|update_devfreq)\(?\)?: .{0,60}(?i:failed|error|couldn't|could not)"),
        ("devfreq", r"Couldn't update frequency transition information"),
        (
            "devfreq",
            r"(?:(?:Failed|failed) to (?:start|stop|suspend|resume) devfreq|failed to (?:suspend|resume) devfreq)",
        ),
        ("devfreq", r"devfreq_add_device: Unable to (?:find|start) governor|failed to update frequency from"),
        (
            "opp",
            r"_?(?:\w*opp\w*|_set_\w+|_generic_set_\w+|_read_\w+|_get_\w+): "
            r".{0,80}(?i:fail|error|invalid|not (?:supported|found)|couldn't|missing|unable|no (?:supported|regulator)"
            r"|doesn't exist|aren't available|mismatch)",
        ),
        ("opp", r"multiple regulators are not supported|(?:OPP table empty|Empty OPP table)|Missing OPP table"),
        (
            "opp",
            r"Failed to set (?:regulator voltages|required opps|bw|performance state \d+)\b|Failed to \w+ bandwidth",
        ),
        ("opp", r"Couldn't find clock"),
        (
            "regulator",
            r"(?i:failed to (?:enable|disable|set|get|change)) (?:\S+ )?(?i:regulator|supply|supplies|voltage)",
        ),
        (
            "clock",
            r"clk_(?:prepare|enable|prepare_enable|set_rate)\(?\)? ?failed"
            r"|(?i:failed to (?:enable|prepare)) cl(?:oc)?k",
        ),
        ("clock", r"(?:clock_ops|pm_clk\w*|__pm_clk_enable): (?i:failed)"),
        ("power-domain", r"(?i:failed to (?:set|get|enable|disable|power|attach)).{0,40}\bpower.?domain"),
    ),
    *rows(
        Kind.PROBE_ERROR,
        ("deferred", r"deferred probe (?:pending|timeout)"),
        ("deferred", r"ignoring dependency for device, assuming no driver"),
        ("probe-failed", r"probe with driver \w+ failed with error -?\d+|probe of \S+ failed with error -?\d+"),
        ("probe", r"(?:driver_sysfs_add|device_add_groups\(\)) ?failed|Device not ready to probe"),
        ("pm-domain", r"failed to add to PM domain"),
        ("probe", r"error -(?P<what>E[A-Z]+): (?!.*EPROBE_DEFER)|error -\d+: "),
    ),
    *rows(
        Kind.WARNING,
        ("usage-count-underflow", r"Runtime PM usage count underflow"),
        ("unbalanced", r"Unbalanced (?P<what>\w+)!"),
        ("pm-runtime", r"Enabling runtime PM for inactive device|Attempt to enable runtime PM when it is blocked"),
        ("pm-parent", r"(?:PM: )?parent \S+ should not be sleeping"),
        ("drm-sched", r"(?:\[drm\] )?(?:\*ERROR\* )?(?P<what>drm_sched_\w+): (?!scheduler \S+ is not ready)"),
        ("drm-sched", r"entity with out-of-bounds priority|Tearing down scheduler while jobs are pending"),
    ),
)
"""Messages with the GPU's device as prefix, from any subsystem."""

MODULES: Final = {**DRIVERS, "tyr": "tyr", "bifrost_kbase": "kbase", "valhall_kbase": "kbase", "mali_csffw": "kbase"}
"""Name of a kernel module -> its driver."""
MODULE: Final[tuple[Row, ...]] = (
    *rows(
        Kind.PROBE_ERROR,
        ("unknown-symbol", r"Unknown symbol \S+ \(err -?\d+\)"),
        ("symbol-version", r"disagrees about version of symbol \S+|no symbol version for \S+"),
        ("version-magic", r"version magic '.*' should be '"),
        ("module", r"overflow in relocation type|unsupported RELA? ?relocation|section \S+ \(index \d+\) has invalid"),
        ("module", r"\.gnu\.linkonce\.this_module section|module_layout|Exactly one \.gnu"),
        ("module", r"module (?:using GPL-only symbols|tries to import module namespace|uses symbol .* from namespace)"),
        ("module", r"exports duplicate symbol|(?i:invalid module format)|Could not allocate \d+ bytes percpu data"),
        (
            "module",
            r"Symbol \S+ has an invalid section|module is marked as livepatch|gave up waiting for init of module",
        ),
    ),
)
"""Messages of the module loader with the module's name as prefix: the driver is then not loaded."""

_DRIVER: Final = r"(?P<driver>panthor|panfrost|tyr)"
_SUPPLY: Final = r"[\w.-]{0,24}(?:gpu|mali)[\w.-]{0,16}"
_GPU_SCHED: Final = r"\[drm:(?P<what>drm_sched_\w+) \[gpu_sched\]\] \*ERROR\* "
ANYWHERE: Final[tuple[Row, ...]] = (
    *rows(
        Kind.WARNING,
        ("killed-entity", r"(?:\[drm\S*(?: \[gpu_sched\])?\] )?\*ERROR\* Trying to push to a killed entity"),
        ("no-run-queue", r"(?:\[drm\S*(?: \[gpu_sched\])?\] )?\*ERROR\* (?:drm_sched_\w+: )?entity has no rq!"),
        ("no-credits", r"(?:\[drm\S*(?: \[gpu_sched\])?\] )?\*ERROR\* drm_sched_\w+: credits cannot be 0!"),
        ("drm-sched", rf"{_GPU_SCHED}"),
        ("irq-thread", rf"(?:genirq: )?IRQ \d+ device {_DRIVER}-\w+ returned IRQ_WAKE_THREAD"),
        ("irq-thread", rf'(?:genirq: )?exiting task "irq/\d+-{_DRIVER}-\w+"'),
    ),
    *rows(
        Kind.PROBE_ERROR,
        ("irq", rf"(?:genirq: )?(?:Flags mismatch irq|Failed to request resources for) .*\b{_DRIVER}-\w+"),
        ("module", rf"Module {_DRIVER} is blacklisted"),
        ("module", rf"(?:insmod|modprobe|kmod):? .{{0,60}}\b{_DRIVER}(?:'|\.ko).{{0,60}}(?i:(?:module|exec) format)"),
    ),
    *rows(
        Kind.POWER_ERROR,
        (
            "regulator",
            rf"{_SUPPLY}: [Ff]ailed to (?:set (?:voltage|mode|load)|(?:force )?(?:enable|disable)|apply|get the)",
        ),
        ("clock", rf"clk: failed to reparent {_SUPPLY} to "),
        ("pm", rf"PM: Device (?P<device>{GPU_DEVICE}) failed to (?P<what>\w+)[a-z ]{{0,24}}: error -?\d+"),
        (
            "pm-callback",
            r"(?:PM: )?dpm_run_callback\(\): (?P<driver>panthor|panfrost|kbase)_\S+(?: \[\w+\])? returns -\d+",
        ),
        (
            "power-domain",
            r"\S*(?:power|pm-domain|pmdomain|genpd)\S* \S+: (?i:failed to) [\w ]{2,40} (?:on )?domain '(?:pd_)?gpu'",
        ),
    ),
)
"""Messages without the device as prefix. Those of the DRM scheduler do not show which driver is meant."""
