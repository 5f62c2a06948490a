// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The driver is put on its GPU without memory. The probe fails, and the next one does not, or a job works.
 */

#define _GNU_SOURCE
#include "gpu-scarce.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drivers.h"
#include "ktap.h"
#include "sentinel.h"


/* What is struck of a probe; the rest is the kernel's, before it calls the driver. As struct call says. */
static const struct part {
	const char *name, *within, *spare;
} parts[] = {
	{ "probe-device", "__devm_drm_dev_alloc", "drm_minor_alloc drm_dev_init" },	/* docs/findings/0052 */
	{ "probe-init", "panthor_device_init", "devfreq_add_device" },			/* docs/findings/0053 */
};

#define PARTS	(sizeof(parts) / sizeof(parts[0]))

/* The files that do it, open already: opening one takes memory, too. */
struct driver {
	int bind, unbind;
	char device[PATH_MAX];
};

static int driver_file(const char *name)
{
	const struct gpu_driver *driver = gpu_driver_here();
	char path[sizeof(PLATFORM_DRIVERS) + 80];
	int fd;

	if (!driver)
		return fail(-ENODEV, "the kernel has no driver for the GPU");
	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/%s", driver->name, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? fail(-errno, "open %s", path) : fd;
}

static int open_driver(struct driver *driver)
{
	const char *number = getenv(GPU_CHOICE);
	char path[PATH_MAX];
	int ret = gpu_device(number && *number ? strtoul(number, NULL, 10) : 0, path);

	if (ret)
		return ret;
	strcpy(driver->device, strrchr(path, '/') + 1);
	driver->bind = driver_file("bind");
	driver->unbind = driver->bind < 0 ? driver->bind : driver_file("unbind");
	return driver->unbind < 0 ? driver->unbind : 0;
}

static int tell(int fd, const char *device)
{
	return pwrite(fd, device, strlen(device), 0) < 0 ? fail(-errno, "%s", device) : 0;
}

/* The kernel makes the file in /dev without asking whether it could; a driver may be bound and have none. */
static bool has_node(void)
{
	struct gpu gpu;
	bool found = gpu_open(&gpu) != -ENODEV;

	gpu_close(&gpu);
	return found;
}

/* A probe whose @nth allocation fails; afterwards the driver is off the GPU. @left: as scarce_disarm() says. */
static int try_probe(struct scarce *s, const struct driver *driver, unsigned int nth, unsigned int *left)
{
	int bound, ret = scarce_arm(s, nth);

	if (ret)
		return ret;
	bound = tell(driver->bind, driver->device);
	ret = scarce_disarm(s, left);
	if (ret)
		return ret;
	ret = scarce_note(s, bound, !*left);
	if (ret)
		return ret;
	if (bound && tell(driver->bind, driver->device))
		return fail(0, "fails without reason after it has failed: %s", strdupa(last_error()));
	if (!bound && !*left && !has_node()) {
		ret = tell(driver->unbind, driver->device);
		ret = ret ?: tell(driver->bind, driver->device);
	}
	ret = ret ?: sentinel_job();
	return ret ?: tell(driver->unbind, driver->device);
}

/* The first that a probe asks for are the driver's own: each of these. Most of the others are for subsystems: some. */
static unsigned int choose(struct scarce *s, unsigned int index)
{
	const unsigned int own = s->most / 2;

	if (index < own)
		return index + 1;
	return own + scarce_choose(s, index - own, s->allocations - own, s->most - own);
}

static int walk_probes(struct scarce *s, const struct driver *driver, const struct part *part)
{
	unsigned int i, nth, left, count;
	int ret = scarce_within(part->within);

	s->struck = s->failed = 0;
	memset(s->errors, 0, sizeof(s->errors));
	ret = ret ?: scarce_spare(s, part->spare);
	ret = ret ?: try_probe(s, driver, SCARCE_NEVER, &left);
	s->allocations = ret ? 0 : SCARCE_NEVER - left;
	count = s->most && s->most < s->allocations ? s->most : s->allocations;
	for (i = 0; !ret && i < count; i++) {
		nth = choose(s, i);
		ret = try_probe(s, driver, nth, &left);
		if (ret)
			ret = fail(0, "allocation %u: %s", nth, strdupa(last_error()));
	}
	scarce_tell(s, part->name);
	return ret;
}

static bool wanted(const struct scarce *s, const struct part *part)
{
	return !*s->only || !strcmp(s->only, part->name);
}

int scarce_probe(struct scarce *s)
{
	struct driver driver;
	unsigned int i, plan = 1;
	int ret, after;

	for (i = 0; i < PARTS; i++)
		plan += wanted(s, &parts[i]);
	ktap_start(plan);
	ret = open_driver(&driver);
	ret = ret ?: tell(driver.unbind, driver.device);
	for (i = 0; i < PARTS; i++)
		if (wanted(s, &parts[i]))
			ktap_check(ret ?: walk_probes(s, &driver, &parts[i]), "%s", parts[i].name);
	ret = ret ?: scarce_within(NULL);
	after = ret ?: tell(driver.bind, driver.device);	/* EBUSY: it is still there */
	ktap_check(after && after != -EBUSY ? after : sentinel_job(), "a job after all of these");
	return ktap_status();
}
