/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that the kernel holds, as /proc/meminfo tells it.
 */
#ifndef PANTHORLAB_GUEST_HELD_H
#define PANTHORLAB_GUEST_HELD_H

/* KiB: the kernel's own objects, page tables of the GPU among them, and the pages of buffer objects. */
long held_kib(void);

/* KiB more than @before. While it is more than @tolerable, waits @settle_ms for what is freed later. */
long held_more(long before, long tolerable, unsigned int settle_ms);

#endif
