/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drivers that may have the GPU, as panthorlab/kernel/driver.py has them: a test compares. To user
 * space all of them are "panthor"; in sysfs each has its own name.
 */
#ifndef PANTHORLAB_GUEST_DRIVERS_H
#define PANTHORLAB_GUEST_DRIVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#define PLATFORM_DRIVERS	"/sys/bus/platform/drivers"

/**
 * struct gpu_driver - A driver of the kernel
 * @name: in sysfs, and before what it says in the kernel log
 * @interrupts: how many it has at least while it has the GPU
 * @jobs: it takes groups and jobs
 */
struct gpu_driver {
	const char *name;
	int interrupts;
	bool jobs;
};

static const struct gpu_driver gpu_drivers[] = {
	{ "panthor", 3, true },
	{ "tyr", 0, false },
};

/* The one that this kernel has; NULL if there is none. */
static inline const struct gpu_driver *gpu_driver_here(void)
{
	char path[sizeof(PLATFORM_DRIVERS) + 32];
	size_t i;

	for (i = 0; i < sizeof(gpu_drivers) / sizeof(gpu_drivers[0]); i++) {
		snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s", gpu_drivers[i].name);
		if (!access(path, F_OK))
			return &gpu_drivers[i];
	}
	return NULL;
}

#endif
