# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of findings, the Mali drivers, and the lines of kernel reports as tables.

The drivers' messages are in `messages.py`.
"""

from __future__ import annotations

import re
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
"""Kinds whose detector stops after its first report: lockdep turns itself off (debug_locks_off,
lib/debug_locks.c), KASAN reports one error (report_enabled, mm/kasan/report.c)."""

MULTI_SHOT: dict[Kind, str] = {Kind.KASAN: "kasan_multi_shot"}
"""Kernel parameters that make such a detector continue."""

DRIVERS: dict[str, str] = {
    "panthor": "panthor", "pancsf": "pancsf", "panfrost": "panfrost", "mali": "kbase", "mali_kbase": "kbase",
    "tyr": "tyr",
}  # fmt: skip
"""Name that a Mali driver prints before its device -> what a finding calls it."""


DRM_WARN = re.compile(r"drm_WARN(?:_ON(?:_ONCE)?)?\b|matching BO is not heap type")
"""The middle line of a WARN: it belongs to the report that begins with the cut-here line."""


REPORT_END = re.compile(r"---\[ end ")
CALL_TRACE = re.compile(r"\s*(?:Call [tT]race:|Backtrace:|backtrace(?: \(crc [0-9a-f]+\))?:|stack backtrace:)\s*$")
# decode_stacktrace.sh puts `(file.c:12 (discriminator 3)) module` where the kernel has `+0x10/0x20 [module]`.
FRAME = re.compile(
    r"\s*(?:\[<?[0-9a-f]{8,16}>?\]\s*)?(?P<unsure>\? )?(?P<function>[A-Za-z_][\w.$]*)"
    r"(?:\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[(?P<module>\w+))?"
    r"| \([\w.+/-]+\.(?:[chS]|rs):\d+(?: \(discriminator \d+\)| [\w.+/-]+\.(?:[chS]|rs):\d+)*\)"
    r"(?: (?P<decoded_module>\w+))?)"
)
FRAME_ARM = re.compile(
    r"\s*(?:\[<[0-9a-f]{8}>\] \()?(?P<unsure>\? )?(?P<function>[A-Za-z_][\w.$]*)(?:\+0x[0-9a-f]+/0x[0-9a-f]+)?"
    r"(?: \[(?P<module>\w+)\])?\)? from (?:\[<[0-9a-f]{8}>\] \()?[A-Za-z_][\w.$]*\+0x"
)
HANDLER = re.compile(
    r"\s*\[<[0-9a-f]+>\] (?:irq_default_primary_handler threaded \[<[0-9a-f]+>\] )?"
    r"(?P<function>[A-Za-z_]\w*)(?: \[(?P<module>\w+)\])?(?: threaded|\s*$)"
)
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
"""The lines that kernel reports consist of; any other line between them is unrelated."""

SKIPPED_FRAMES = re.compile(
    r"(?:dump_(?:backtrace|stack)|show_stack|print_(?:report|address|circular|usage|deadlock|bad|irq|unlock)|kasan_|__kasan"
    r"|kfence_|__asan|__hwasan|__tsan|kcsan|kmsan|__msan|ubsan|__ubsan|__warn|warn_slowpath|report_bug|bug_handler|handle_bug"
    r"|bug_brk_handler|brk_handler|call_break_hook|call_el1_break_hook|do_el1_|do_debug_exception|el[01]|early_|ret_from_fork"
    r"|die(?:_kernel_fault)?$|oops_|__die|do_mem_abort|do_translation_fault|do_page_fault|__do_kernel_fault|do_bad_area|do_tag_"
    r"|panic$|vpanic|nmi_panic|__might_|___might|__schedule|schedule|preempt_schedule|check_(?:noncircular|prev|deadlock|wait)"
    r"|__lock_acquire|lock_acquire|validate_chain|mark_lock|lockdep_|debug_check|__might_sleep|__switch_to|asm_|exc_|rcu_\w*stall|rcu_sched_"
    r"|watchdog|update_process_times|tick_(?:nohz|sched|periodic|do|handle|program)|__hrtimer|hrtimer_|arch_timer|handle_percpu|generic_handle|gic_|call_on_irq"
    r"|do_interrupt|_raw_spin_|refcount_warn|__list_(?:add|del)(?:_entry)?_valid|__kernel_text|kthread|worker_thread|process_one_work"
    r"|warn_alloc|__alloc_(?:pages|frozen)|alloc_pages|out_of_memory|oom_kill|dump_header"
    r"|process_scheduled_works|rust_helper_|__rustc::|core::panicking::|core::option::|core::result::|kmemleak_|kmem_cache_alloc|__?kmalloc|__kvmalloc|slab_|invoke_syscall|drm_ioctl$|__arm64_sys)"
)
"""Frames of the reporting code or of generic entry code, which do not show where the fault is."""

LOCKDEP_BANNER = re.compile(r"={20,}\s*$")
