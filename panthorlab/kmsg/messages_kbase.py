# SPDX-License-Identifier: GPL-2.0-or-later
"""What kbase, Arm's own driver, alone says: GPUs with job slots and with command streams (CSF), r7p0 to r54p0.

Register dumps, what follows another message, and what a program is told about its own mistake are no findings.
"""

from __future__ import annotations

from panthorlab.kmsg.patterns import Kind
from panthorlab.kmsg.rows import Row, rows

_STAMP = r"(?:\[\d+\] ?)?"
"""CSF messages begin with a kernel trace time in brackets."""
_FAILED = r"(?:fail(?:ed|ure)|timed?[ -]?out|error)"

ROWS: tuple[Row, ...] = (
    *rows(
        None,
        ("multiple-faults", r"There were multiple GPU faults"),
        ("register-dump", r" *[A-Z][A-Z0-9_]*=0x[0-9a-f]|\t|(?:Current|Desired|Register) state ?:|Cores transitioning"),
        ("mcu-state", r"MCU (?:desired|sw state|status) = "),
        ("debugfs", r"Couldn't (?:create|process) |Unable to create |\S+ sysfs|SysFS"),
        ("oom-notifier", r"OOM notifier: |Unable to register OOM notifier"),
        ("opp", r"No OPPs found in device tree!|Continuing without |Failed to get leakage"),
    ),
    *rows(
        Kind.JOB_TIMEOUT,
        ("progress-timeout", r"Notify the event notification thread, forward progress timeout"),
        ("slot-busy", r"Timeout in waiting for job slot \d+ to become free"),
        ("protected-too-long", r"Group-\d+ of context \d+_\d+ ran in protected mode for too long"),
        ("protected-hang", r"Possible GPU hang in [Pp]rotected mode"),
        ("fence-timeout", r"fence has not yet signalled in \d+ ?ms"),
        ("fence-timeout", r"ctx \d+_\d+: Atom \d+ still waiting for fence "),
        (
            "fence-timeout",
            r"(?:kbase )?(?i:kcpu fence signal) time-?out|Fence signal timeout on KCPU queue\(\d+\).* was ",
        ),
    ),
    *rows(
        None,
        ("fence-detail", r"ctx:\d+_\d+ kcpu queue:\d+ still waiting for fence"),
        ("fence-detail", r"Fence signal timeout on KCPU queue\(\d+\)"),
        ("fence-detail", r"(?i:kcpu queue:\d+ still waiting for fence)"),
    ),
    *rows(
        Kind.GPU_FAULT,
        ("protected-mode", r"GPU fault in protected mode"),
        ("bus-fault", r"fail to handle GPU bus fault"),
    ),
    *rows(
        Kind.GPU_RESET,
        ("reset", r"GPU bus fault triggering gpu-reset"),
        ("jobs-not-killed", r"Issuing GPU soft-reset because jobs failed to be killed"),
        ("reset", r"Resorting to GPU reset for policy change"),
        ("soft-reset-failed", r"Soft-reset failed"),
        ("reset-failed", r"Reset failed to complete"),
        ("reset-failed", r"L2 power up failed after the soft-reset"),
        ("reset-failed", r"Unsuccessful GPU reset detected"),
        ("reset-timeout", r"Timed out waiting for the GPU reset to complete"),
        ("dead-after-reset", r"MCU [Rr]e-init failed even after trying full firmware reload"),
        ("reset-wakeup", r"Wait for MCU wake up failed on GPU reset"),
        (
            "reset-suspend",
            r"Timeout (?:waiting for CSG slots to suspend before reset|for ping request sent to force exit)",
        ),
    ),
    *rows(
        Kind.POWER_ERROR,
        ("mcu-power-on", r"Wait for MCU power on failed"),
        ("cache-clean", rf"{_STAMP}Timeout waiting for CACHE_CLN_INV_L2"),
        ("flush-timeout", r"Flush for (?:GPU page fault due to write access|physical address range) did not complete"),
        ("flush-timeout", r"Invalidat(?:e|ion) (?:after|for) .{0,40} did not complete"),
        ("flush-timeout", r"Failed to (?:flush GPU cache|(?:un)?lock AS \d+)"),
        ("flush-timeout", r"\w+: failed to lock MMU region or flush GPU cache"),
        ("as-stuck", r"AS_ACTIVE_INT bit stuck|Stuck waiting on \S+ bit"),
        ("transition-stuck", r"\w+_PWRTRANS [0-9a-f]+ set for too long"),
        ("gpu-lost", r"Attempting to power on while GPU lost|GPU lost in state |\w+: Cannot power up while GPU lost"),
        ("power-down", r"Wait for (?:power down|pm state change) failed|Failed to turn off GPU clocks"),
        ("power-state", rf"{_STAMP}Wait(?:ing)? for (?:PM|pm) state (?:change )?(?:wait )?failed"),
        ("power-state", r"wait for PM state failed when"),
        ("power-state", r"Wait for update of core_mask from \S+ to \S+ failed"),
        ("power-state", r"Wait for fault handling timed-out in gpu_poweroff"),
        ("power-state", r"PRFCNT_ACTIVE bit stuck|IPA_CONTROL STATUS register stuck"),
        ("mcu-wake-up", rf"{_STAMP}Wait(?:ing)? for MCU (?:to )?(?:wake up|active) failed"),
        ("mcu-sleep", r"Wait for MCU sleep timed out|MCU hasn't halted after automatic sleep"),
        ("suspend", r"Abort suspend as GPU suspension failed"),
        ("clock", r"failed to restore clk rate|failed to set power down rate|failed to enable opp clks"),
        ("clock", r"Failed to (?:restore freq|set suspend freq|prepare and enable clock)"),
        (
            "clock",
            r"(?i:(?:fail(?:ed)?|unable|error|could ?n[o']t|cannot) .{0,24}\b(?:set|setting|chang|scal|enabl"
            r"|disabl|increas|decreas|rais|lower|updat|restor)\w* .{0,24}\b(?:clocks?|clk|freq|frequency|voltage"
            r"|volt|regulators?|opp)\b)",
        ),
        (
            "clock",
            rf"(?i:(?:set\w*|chang\w*|scal\w*|enabl\w*) .{{0,24}}\b(?:clocks?|clk|voltage|regulators?)\b.{{0,24}}"
            rf"\b{_FAILED})",
        ),
        ("power-on", rf"(?i:.{{0,40}}\bpower(?:ing)?[ _-]?(?:on|off|up|down)\b.{{0,40}}\b{_FAILED})"),
        (
            "power-on",
            rf"(?i:(?:{_FAILED}|unable|could ?n[o']t|cannot) .{{0,32}}\bpower(?:ing)?[ _-]?(?:on|off|up|down)\b)",
        ),
        ("register-timeout", r"Timeout reading register 0x"),
    ),
    *rows(
        Kind.FIRMWARE_ERROR,
        ("firmware-fatal", r"GLB_FATAL_STATUS: (?P<what>[\w ]+)"),
        ("firmware-fatal", r"MCU encountered unrecoverable error|Invalid GLB_FATAL_STATUS|GLB_FATAL_STATUS\(OK\)"),
        ("mcu-boot", r"Timed out waiting for fw boot completion|MCU re-init failed|Version check failed"),
        ("mcu-boot", r"Firmware initialization failed|MCU not inactive after PM state wait"),
        ("mcu-stop", r"Firmware failed to stop"),
        ("mcu-register", r"(?:Timeout waiting for|Error reading) MCU register value"),
        (
            "firmware-bad",
            r"Firmware corrupt[,:]|Firmware header version \S+ not understood|Firmware image copy not loaded",
        ),
        ("firmware-bad", r"Incorrect (?:firmware magic|magic value, firmware image)|Failed to load firmware entry"),
        ("firmware-bad", r"Firmware contains interface with unsupported cache mode"),
        ("firmware-bad", r"(?:[\w ]+) entry too short(?: \(size=| to contain)|Size field too small: "),
        ("firmware-missing", r"WA blob missing"),
        (
            "firmware-workaround",
            r"(?:blob not page aligned|WA (?:too small|version|info|signature)|Blob offset out-of-range)",
        ),
        (
            "firmware-workaround",
            r"Unsupported WA flag|Payload out-of-bounds|Failed to (?:allocate for blob|copy payload)",
        ),
        ("firmware-interface", r"Interface (?:address 0x|containing \d+ CSGs)|CSG with \d+ CSs out of range"),
        ("firmware-interface", r"(?:group stride of|interface size of) .{0,24} exceeded by"),
        ("firmware-interface", r"Failed to (?:insert|setup|map) .{0,48}(?:shared iface|shared interface|firmware|MCU)"),
        ("firmware-setup", r"Failed to initiali[sz]e (?:firmware|FW|trace buffers)"),
        ("global-request", rf"{_STAMP}(?:Timeout \(\d+ ms\)|Timed out) waiting for global request"),
        (
            "global-request",
            r"Wait for the (?:pending command|(?:protm|reset) ack command) failed|Existing GLB_IDLE timer",
        ),
        ("global-request", r"Failed to (?:dis|(?:re-)?en)able GLB_IDLE timer|Failed to disable Sleep-on-Idle"),
        ("protected-mode", rf"{_STAMP}Timeout (?:for actual pmode entry|\(\d+ ms\), protm_quit wait skipped)"),
        ("csg-suspend", rf"{_STAMP}(?:LRU idle g|G)roup \d+ of context \d+_\d+ .{{0,16}}failed to suspend"),
        ("csg-suspend", rf"{_STAMP}Suspend request sent on CSG slots .* timed out"),
        ("csg-suspend", rf"{_STAMP}Timeout waiting for the group \d+ to suspend"),
        ("csg-suspend", r"failed to suspend active groups|Scheduler suspension timed out"),
        ("csg-suspend", r"Failed to suspend the scheduler|Scheduler failed to exit from sleep"),
        ("csg-suspend", r"Wait for scheduler to exit sleep state timed ?out"),
        ("csg-start", rf"{_STAMP}slot \d+ timeout \(\d+ ms\) on up-running"),
        ("csg-stop", rf"{_STAMP}term request timeout|{_STAMP}Group-\d+ failed to get a slot for stopping"),
        ("csg-stop", rf"{_STAMP}Wait for MCU active failed"),
        ("ack-timeout", rf"{_STAMP}(?:STATUS_UPDATE request timed out|Timeout \(\d+ ms\) on CSG_REQ)"),
        ("csg-state", r"Unknown CSG slot state|Couldn't use CSG slot \d+ despite being vacant|Unexpected NULL csg_reg"),
        ("coresight", r"Timeout waiting for Core[Ss]ight"),
        (
            "out-of-memory-event",
            r"(?:Queue group to be terminated|Unable to prevent GPU reset), couldn't handle the OoM",
        ),
    ),
    *rows(
        Kind.HEAP_ERROR,
        ("heap-chunk", r"Could not (?:allocate chunk of size|link chunk|find a suitable VA region for the tiler heap)"),
        ("heap-chunk", r"Could not vmap buffer descriptor|No kernel memory for a new tiler heap"),
        ("heap-chunk", r"Failed to (?:link a chunk to a tiler heap|map (?:chunk header|tiler heap)|find tiler heap)"),
        ("heap-chunk", r"Aborting linking chunk to heap|Tiler heap chunk address is unusable"),
        ("heap-gone", r"Heap 0x[0-9a-fA-F]+ does not exist|Tiler heap 0x[0-9a-fA-F]+ (?:no longer exists|was removed)"),
        ("heap-reclaim", r"Reclaim: (?:remove physical backing|shrinking GPU mapping) failed"),
        ("heap-reclaim", r"Chunk region has |Running total tiler .{0,12} lower than expected"),
        ("heap-statistics", r"Invalid Heap statistics provided by firmware"),
    ),
    *rows(
        Kind.PROBE_ERROR,
        (
            "init-failed",
            r"(?:Device|IPA|Performance counter instrumentation|GPU hwcnt virtualizer) initiali[sz]ation failed",
        ),
        ("init-failed", r"Allocate device failed|GPU hwcnt backend metadata creation failed"),
        ("gpu-model", r"HW (?:issues|product) - Unknown (?:GPU )?Product ID"),
        ("registers", r"Can't remap register window|Register window unavailable|Invalid register resource"),
        ("registers", r"Failed to map registers|Insufficient register space"),
        ("irq", r"Can't (?:request|restore original) interrupt|Invalid or No interrupt resources"),
        ("irq", r"Interrupt .{0,24}didn't reach CPU|Interrupt validation failed"),
        ("clock", r"No GPU clock, unexpected|Clock not available for devfreq"),
        ("resource", r"Failed to (?:get|obtain) (?:GPU resets|(?:\w+ )?(?:clock|clk|regulators?)\b)"),
        ("resource", r"Failed to get (?:Protected memory allocator|memory group manger|priority control manager)"),
        ("resource", r"The configured (?:memory group|priority control) manager was not found"),
        (
            "devfreq",
            r"Fail(?:ed)? to (?:add devfreq|init devfreq|init_opp_table|get opp|register (?:OPP|cooling device))",
        ),
        ("devfreq", r"No operating-points-v2 node|OPP (?:has|core mask)"),
        ("coherency", r"ACE coherency not supported|system-coherency needs to be 0"),
        ("probe-deferred", r"Kbase probe Deferred"),
    ),
    *rows(
        Kind.WARNING,
        ("assert", r"(?:Mali)?<ASSERT>|ASSERT(?:ION)?\b"),
        (
            "dump-timeout",
            r"(?i:.{0,60}\bdump(?:ing)?\b.{0,24}\b(?:timed?[ -]?out|did not complete|failed to complete))",
        ),
        ("dump-timeout", r"(?i:(?:timed?[ -]?out|wait\w*|fail\w*) .{0,48}\bdump (?:to )?complet)"),
        ("dump-timeout", r"Wait for the completion of manual sample failed"),
        ("pending-fault", r"(?:Page|Bus) fault is already pending for as"),
        ("fault-workers", r"No fault workers executed"),
        (
            "page-tables",
            r"\w+: (?:update_parent_pgds\(\)|mmu_get_\w+\(\)|kbase_mem_pool_grow\(\)) (?:failed|returned error)",
        ),
        ("page-tables", r"\w+: failed to find (?:parent )?PGD|kbase_mmu_update_pages failure"),
        ("page-tables", r"Failed to (?:apply WA for HW issue when doing MMU flush|update GPU page tables|map dma-buf)"),
        ("page-tables", r"Failed to map memory on GPU|Could not unmap from the GPU|Invalid PTE found"),
        ("allocation", r"Failed to allocate .{0,16}pages|Page allocation failure of"),
        ("fence-error", r"ctx:\d+_\d+ kcpu queue:\d+ faulty fence|fence has got error"),
        ("scheduler", r"Incoherent scheduler state|Inconsistent state of csf cookies|Unknown Scheduler state"),
        ("protected-mode", r"Failed to enable protected mode|PROTM_EXIT interrupt after no pmode group"),
        ("firmware-log", r"CSFFW overflow|Unable to parse CSFFW tracebuffer"),
        ("spurious-irq", r"Spurious interrupt on slot|Unknown IRQ"),
        ("workaround", r"Failed to (?:run WA job|create WA context)|WA complete with [1-9]\d* failures"),
        ("cpu-page-fault", r"Unexpected CPU page fault on User? "),
        ("arbiter", r"(?:GPU_GRANTED|GPU_STOP) when not expected|Still waiting for GPU to be granted"),
    ),
)
