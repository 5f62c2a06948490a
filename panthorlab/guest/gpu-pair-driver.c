// SPDX-License-Identifier: GPL-2.0-or-later
/* Taking the driver off one of the GPUs, and putting it back. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers.h"
#include "files.h"
#include "gpu-pair.h"
#include "irqs.h"
#include "sentinel.h"

static int tell_driver(unsigned int gpu, const char *what)
{
	char device[PATH_MAX], path[128];
	const struct gpu_driver *driver = gpu_driver_here();
	int ret = gpu_device(gpu, device);

	if (ret || !driver)
		return ret ?: fail(-ENODEV, "the kernel has no driver for the GPU");
	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/%s", driver->name, what);
	return write_text(path, strrchr(device, '/') + 1);
}

int driver_off(unsigned int gpu)
{
	return tell_driver(gpu, "unbind");
}

int driver_on(unsigned int gpu)
{
	return tell_driver(gpu, "bind");
}

/* Interrupts that the driver has of this GPU. */
int driver_lines(unsigned int gpu)
{
	char device[PATH_MAX];
	const struct gpu_driver *driver = gpu_driver_here();
	int ret = gpu_device(gpu, device);

	if (ret || !driver)
		return ret ?: fail(-ENODEV, "the kernel has no driver for the GPU");
	return device_interrupts(device, driver->name, NULL);
}

int job_on(unsigned int gpu)
{
	char why[192];

	gpu_choose(gpu);
	return sentinel_run(why, sizeof(why)) ? 0 : fail(0, "a job on GPU %u: %s", gpu, why);
}
