# SPDX-License-Identifier: GPL-2.0-or-later
"""Every message that means trouble, as tables: Mali drivers (panthor 6.10 to 7.3, kbase, panfrost) and kernel reports.

A row's `name` is the stable part of a finding's signature: never change one without need. Patterns match from the
start of the message, after the prefix `panthor fb000000.gpu: [drm] *ERROR* `. The first row that matches wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a finding is about."""

    MMU_FAULT = "mmu-fault"
    GPU_FAULT = "gpu-fault"
    CS_FAULT = "cs-fault"
    CS_FATAL = "cs-fatal"
    JOB_TIMEOUT = "job-timeout"
    GPU_RESET = "gpu-reset"
    POWER_ERROR = "power-error"
    FIRMWARE_ERROR = "firmware-error"
    HEAP_ERROR = "heap-error"
    PROBE_ERROR = "probe-error"
    WARNING = "warning"
    OOPS = "oops"
    PANIC = "panic"
    KASAN = "kasan"
    LOCKDEP = "lockdep"
    HUNG_TASK = "hung-task"
    STALL = "stall"
    LEAK = "leak"


ONCE_PER_BOOT = frozenset({Kind.LOCKDEP, Kind.KASAN})
"""Kinds whose detector falls silent after its first report: lockdep turns itself off (debug_locks_off,
lib/debug_locks.c), KASAN reports one error (report_enabled, mm/kasan/report.c)."""

MULTI_SHOT: dict[Kind, str] = {Kind.KASAN: "kasan_multi_shot"}
"""Kernel parameters that make such a detector go on."""

DRIVERS: dict[str, str] = {
    "panthor": "panthor", "pancsf": "pancsf", "panfrost": "panfrost", "mali": "kbase", "mali_kbase": "kbase",
}  # fmt: skip
"""Name that a Mali driver prints before its device -> what a finding calls it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a Mali driver. `kind` None: known to be harmless."""

    kind: Kind | None
    name: str
    pattern: re.Pattern[str]


def _rows(kind: Kind | None, *rows: tuple[str, str]) -> list[Message]:
    return [Message(kind, name, re.compile(pattern)) for name, pattern in rows]


MESSAGES: tuple[Message, ...] = (
    *_rows(
        None,
        ("clock-rate", r"(?:bus_)?clock rate = "),
        ("gpu-id", r"(?i:mali-)\S+ id 0x|\S+ id 0x[0-9a-f]+ major "),
        ("features", r"(?i:features: )|shader_present=|using only 1st core group"),
        ("firmware-version", r"CSF FW (?:using interface )?v\d|Firmware git sha: "),
        ("protected-mode", r"Firmware protected mode entry (?:not be|is not) supported, ignoring"),
        ("huge-pages", r"Using Transparent Hugepage|Can't use Transparent Hugepage \(-?\d+\)"),
        ("power-registers", r"(?:GPU_FEATURES|PWR_STATUS|(?:L2|TILER|SHADER)_(?:PRESENT|PWRTRANS|READY)): +0x"),
        ("reset-done", r"Reset complete|GPU reset done"),
    ),
    *_rows(
        Kind.JOB_TIMEOUT,
        ("job-timeout", r"job timeout(?=: ?$|: pid=|\s*$)(?:: pid=(?P<pid>-?\d+), comm=(?P<comm>.*), seqno=\d+)?"),
        ("progress-timeout", r"CSG slot \d+ progress timeout"),
        ("sched-timeout", r"gpu sched timeout, js="),
        ("progress-timeout", r"(?:\[\d+\] )?Iterator PROGRESS_TIMER timeout notification"),
        ("job-too-long", r"JS: Job (?:Hard-Stopped|has been on the GPU for too long)"),
        ("soft-stop", r"Soft-stop failed"),
    ),
    *_rows(
        Kind.CS_FAULT,
        ("job-fault", r"js fault, js=\d+, status=(?P<exception>\w+)"),
        ("job-fault", r"error detected from slot \d+, job status 0x[0-9a-f]+ \((?P<exception>[^)]*)\)"),
        ("job-fault", r"t6xx: GPU fault 0x[0-9a-f]+ from job slot \d+"),
    ),
    *_rows(
        Kind.GPU_RESET,
        ("dead-after-reset", r"Failed to boot MCU after reset, making device unusable"),
        ("fast-reset-failed", r"(?:FW )?(?i:fast) reset failed"),
        ("slow-reset-failed", r"FW slow reset failed"),
        ("soft-reset-timeout", r"Soft reset timeout|gpu soft reset timed out|Failed to soft-reset GPU"),
        ("hard-reset-timeout", r"gpu hard reset timed out|Failed to hard-reset the GPU"),
        ("pwr-reset-timeout", r"RESET timed out \(0x[0-9a-f]+\)"),
        ("pwr-reset-refused", r"RESET_SOFT not allowed"),
        ("pwr-reset-pending", r"Reset already pending"),
        ("soft-reset", r"Preparing to soft-reset GPU"),
        ("reset", r"Resetting GPU(?= \(|[\s.]*$)"),
        ("reset", r"Sending reset to GPU|Reset interrupt didn't reach CPU"),
    ),
    *_rows(
        Kind.POWER_ERROR,
        ("flush-timeout", r"Flush (?:caches timeout|for GPU page table update did not complete)|Cache clean timed out"),
        ("as-stuck", r"AS_ACTIVE bit stuck|Wait for AS_ACTIVE bit failed"),
        ("power-timeout", r"timeout waiting on \S+:[0-9a-f]+ (?:power transition|readiness)"),
        ("power-timeout", r"timeout waiting on \S+ power domain transition"),
        ("power-irq", r"PWR_IRQ: (?P<what>COMMAND_NOT_ALLOWED|COMMAND_INVALID)"),
        ("power-irq-mask", r"Couldn't mask power IRQ for at least one device"),
        ("domain-transition", r"\S+ domain power in transition|Invalid power domain transition command"),
        ("domain-retract", r"\S+ domain retract pending|Retracting \S+ domain timeout"),
        ("domain-delegate", r"Delegating \S+ domain (?:not allowed|timeout)"),
        ("l2-power", r"Power (?:off|on) L2 domain not allowed"),
        ("power-up", r"error powering up gpu \w+|(?:shader|tiler|l2) power transition timeout"),
        ("power-timeout", r"Power transition timed out unexpectedly"),
    ),
    *_rows(
        Kind.FIRMWARE_ERROR,
        ("firmware-missing", r"Direct firmware load for \S+ failed with error -\d+"),
        ("firmware-missing", r"Failed to load firmware image"),
        ("firmware-bad", r"Firmware too small|Firmware entry too long|Firmware image is truncated"),
        ("firmware-bad", r"Invalid firmware magic"),
        ("firmware-bad", r"Firmware (?:corrupted|contains interface with unsupported flags|build info corrupt)"),
        ("firmware-bad", r"Firmware(?:'s git sha is not NULL| entry is(?:n't| not) 32[- ]bit aligned)"),
        ("firmware-bad", r"Unsupported (?:non-optional entry type|firmware binary header version)"),
        ("firmware-bad", r"Shared interface region not found|Interface at 0x[0-9a-f]+ must be shared"),
        ("firmware-interface", r"Invalid (?:stream|group|global) control interface input/output VA"),
        ("firmware-interface", r"Expecting identical CSG? slots|Invalid number of control groups"),
        ("firmware-dead", r"Firmware version is 0\. Firmware may have failed to boot"),
        ("mcu-boot", r"Failed to boot MCU"),
        ("mcu-stop", r"Failed to stop MCU"),
        ("mcu-suspend", r"Failed to cleanly suspend MCU"),
        ("mcu-halt", r"Timed out waiting for MCU to halt"),
        ("ping-timeout", r"FW ping timeout, scheduling a reset"),
        ("csg-update-timeout", r"CSG \d+ update request timedout"),
        ("csg-suspend", r"CSG suspend failed, escalating to termination"),
        ("csg-state", r"Invalid state on CSG \d+ \(state=\d+\)"),
        ("ack-timeout", r"(?:\[\d+\] ?)?Timeout \(\d+ ms\) (?:waiting|executing)"),
    ),
    *_rows(
        Kind.HEAP_ERROR,
        ("heap-extend", r"Failed to extend the tiler heap"),
        ("heap-extend", r"Failed to (?:allocate|initialise) .{0,40}(?:heap|chunk)"),
    ),
    *_rows(
        Kind.PROBE_ERROR,
        ("probe-failed", r"probe with driver \w+ failed with error -?\d+|probe of \S+ failed with error -?\d+"),
        ("devfreq", r"Couldn't (?:set OPP regulators|retrieve/enable sram supply|set recommended OPP)"),
        ("devfreq", r"Couldn't initialize GPU devfreq|Cannot read speed-bin"),
        ("workqueues", r"Failed to allocate the workqueues|Failed to create scheduler"),
        ("power-domains", r"(?:init|attach) power domains failed, ret=|failed to get pm-domain"),
        ("irq", r"failed to request \w+ irq"),
        ("address-spaces", r"Not enough AS \("),
        ("unsupported", r"Custom ASN hash not supported|Coherency not supported"),
        ("probe", r"error -(?P<what>E[A-Z]+): |error -\d+: "),
        ("probe", r"get (?:'\w+'|bus_|)(?: ?clock|reset) failed|Failed to read shader-present nvmem cell"),
        ("probe", r"Fatal error during GPU init|(?:clk|devfreq|reset) init failed|failed to (?:get|enable) regulators"),
    ),
    *_rows(
        Kind.WARNING,
        ("unmap-failed", r"failed to unmap range "),
        ("bo-label", r"Not enough memory to allocate BO label"),
        ("reclaim-state", r"invalid GEM reclaim state"),
    ),
)
"""Messages of one line. Those of several lines (MMU fault, CS fault, GPU bus fault) are in `gpu_messages.py`."""

DRM_WARN = re.compile(r"drm_WARN(?:_ON(?:_ONCE)?)?\b|matching BO is not heap type")
"""The middle line of a WARN: it belongs to the report that begins with the cut-here line."""


REPORT_END = re.compile(r"---\[ end ")
CALL_TRACE = re.compile(r"\s*(?:Call [tT]race:|Backtrace:|backtrace(?: \(crc [0-9a-f]+\))?:|stack backtrace:)\s*$")
# decode_stacktrace.sh puts `(file.c:12 (discriminator 3)) module` where the kernel has `+0x10/0x20 [module]`.
FRAME = re.compile(
    r"\s*(?:\[<?[0-9a-f]{8,16}>?\]\s*)?(?P<unsure>\? )?(?P<function>[A-Za-z_][\w.$]*)"
    r"(?:\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(?P<module>\w+))?"
    r"| \([\w.+/-]+\.[chS]:\d+(?: \(discriminator \d+\)| [\w.+/-]+\.[chS]:\d+)*\)(?: (?P<decoded_module>\w+))?)"
)
FRAME_ARM = re.compile(
    r"\s*(?:\[<[0-9a-f]{8}>\] \()?(?P<unsure>\? )?(?P<function>[A-Za-z_][\w.$]*)(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?"
    r"(?: \[(?P<module>\w+)\])?\)? from (?:\[<[0-9a-f]{8}>\] \()?[A-Za-z_][\w.$]*\+0x"
)
HANDLER = re.compile(r"\s*\[<[0-9a-f]+>\] (?P<function>[A-Za-z_]\w*)(?: \[(?P<module>\w+)\])?(?: threaded|\s*$)")
"""An interrupt's handler: `[<00000000d2a3f1c0>] panthor_job_irq_raw_handler [panthor] threaded …`."""
PROGRAM_COUNTER = re.compile(r"(?:pc : |RIP: (?:\d+:)?|PC is at |epc : )(?P<function>[A-Za-z_][\w.]*)\+0x")
WHO = re.compile(
    r"CPU: \d+ (?:UID: \d+ )?PID: (?P<pid>\d+) Comm: (?P<comm>.{1,40}?) (?:Tainted|Not tainted|Kdump|\d+\.\d+)"
)
WHO_SHORT = re.compile(r", CPU#\d+: (?P<comm>.{1,40})/(?P<pid>\d+)$")

BODY = re.compile(
    r"""\s*(?:
    # registers, code, addresses
      \[<?[0-9a-f]{8,16}>?\] | [xr]\d{1,2}\s*: | (?:pc|lr|sp|pstate|fp|epc|ra)\s*: | R[A-Z0-9]{1,2}P?: | [CDEF][RSL]\w*:
    | Code: | PGD | pgd | user\ pgtable | swapper\ pgtable | \#PF:
    | \[\#\d+\] | Register\ \w+\ information: | Flags: | Control: | status: | [gt]p\ : | [ast]\d{1,2}\s*:
    | Exception\ stack | Stack | stack\ pointer | physical
    | (?:ESR|EC|SET|EA|FSC|ISV|CM|GCS)\ = | Mem\ abort | Data\ abort | Insufficient | Internal\ error | kernel\ BUG
    # who and where
    | CPU: | Modules\ linked | Unloaded | last\ un | Hardware\ name
    | Workqueue: | INFO:\ task\ .{1,80}\ blocked\ on\ an?\ | handlers: | Tainted | Not\ tainted | Process\ .
    | Call\ [tT]race | </?[A-Z]+> | task: | comm\ " | "echo\ 0 | Sched_ext | in_atomic | preempt_count | Preemption
    | irq\ event | (?:hard|soft)irqs\ . | RCU\ nest
    # KASAN, slab, kmemleak, UBSAN, reference counts, lists
    | (?:Read|Write)\ . | The\ (?:buggy|following) | Allocated\ by | Freed\ by | Last\ potentially | Second\ to\ last
    | page: | page_type | head: | raw: | flags: | Memory\ (?:state|Limit) | >?[0-9a-f]{16}: | \^ | slab | Object\ .
    | hex\ dump | backtrace | [0-9a-f]{2}(?:\ [0-9a-f]{2}){7} | index\ . | shift\ . | load\ of | member\ access
    | refcount_t | list_(?:add|del)
    # lockdep
    | which\ . | but\ task | the\ existing | other\ info | Possible\ . | CPU\d
    | lock\( | <Interrupt> | \*\*\* | \#\d+: | ->\ \#
    | stack\ backtrace | \S+/\d+\ (?:is|just|already) | \d+\ locks?\ held | no\ locks | locks\ held | Showing\ all
    | and\ this\ task | chain\ exists | holding | a\ HARDIRQ | \{ | ___ | at\ : | \.\.\.
    # stalls, panics, and what ends them
    | rcu: | Task\ dump | Sending\ NMI | NMI\ backtrace | \(detected | \(t=
    | SMP:\ . | Rebooting | Kernel\ Offset | PHYS_OFFSET
    | CPU\ features | Disabling | [Nn]ote: | ={10,} | -{10,}
    )""",
    re.VERBOSE,
)
"""Lines that kernel reports are made of; anything else between them comes from somebody else."""

SKIPPED_FRAMES = re.compile(
    r"(?:dump_(?:backtrace|stack)|show_stack|print_(?:report|address|circular|usage|deadlock|bad|irq|unlock)|kasan_|__kasan"
    r"|kfence_|__asan|__hwasan|__tsan|kcsan|kmsan|__msan|ubsan|__ubsan|__warn|warn_slowpath|report_bug|bug_handler|handle_bug"
    r"|bug_brk_handler|brk_handler|call_break_hook|call_el1_break_hook|do_el1_|do_debug_exception|el[01]|early_|ret_from_fork"
    r"|die(?:_kernel_fault)?$|oops_|__die|do_mem_abort|do_translation_fault|do_page_fault|__do_kernel_fault|do_bad_area|do_tag_"
    r"|panic$|vpanic|nmi_panic|__might_|___might|__schedule|schedule|preempt_schedule|check_(?:noncircular|prev|deadlock|wait)"
    r"|__lock_acquire|lock_acquire|validate_chain|mark_lock|lockdep_|debug_check|__might_sleep|__switch_to|asm_|exc_|rcu_\w*stall|rcu_sched_"
    r"|watchdog|update_process_times|tick_(?:nohz|sched|periodic|do|handle|program)|__hrtimer|hrtimer_|arch_timer|handle_percpu|generic_handle|gic_|call_on_irq"
    r"|do_interrupt|_raw_spin_|refcount_warn|__list_(?:add|del)(?:_entry)?_valid|__kernel_text|kthread|worker_thread|process_one_work"
    r"|process_scheduled_works|kmemleak_|kmem_cache_alloc|__?kmalloc|__kvmalloc|slab_|invoke_syscall|drm_ioctl$|__arm64_sys)"
)
"""Frames that say how a report was made, or how everything gets called, not where the trouble is."""

LOCKDEP_BANNER = re.compile(r"={20,}\s*$")
