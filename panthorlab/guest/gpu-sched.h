/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_SCHED_H
#define PANTHORLAB_GUEST_GPU_SCHED_H

#include "sched-lab.h"

/* As in uAPI 1.5; the headers of 1.0 do not have the last. */
enum { PRIORITY_LOW = 0, PRIORITY_MEDIUM = 1, PRIORITY_HIGH = 2, PRIORITY_REALTIME = 3 };

int sched_interrupts(uint64_t *count);

int sched_others_pass(struct lab *lab, unsigned int g, unsigned int count, uint32_t syncobj);
int sched_lower_waits(void);
int sched_comes_back(struct lab *lab, uint32_t syncobj, unsigned int index, uint32_t value);

int sched_fair(void);
int sched_spaces(void);
int sched_priority(void);
int sched_realtime(void);
int sched_wake(void);
int sched_tick(void);
int sched_evict(void);

int sched_sync_only(void);
int sched_blocked(void);
int sched_places(void);
int sched_ring(void);
int sched_deferred(void);
int sched_shared(void);
int sched_timeline(void);
int sched_errors(void);
int sched_destroy(void);
int sched_close(void);
int sched_vm_destroy(void);

int sched_long(void);
int sched_patient(void);
int sched_handles(void);
int sched_walk(void);
int sched_names(void);
int sched_asleep(void);

#endif
