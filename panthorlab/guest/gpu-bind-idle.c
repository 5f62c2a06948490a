// SPDX-License-Identifier: GPL-2.0-or-later
/* Modes once, off, replug and idle: nobody uses the GPU meanwhile. */

#define _GNU_SOURCE
#include "gpu-bind.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "held.h"
#include "ktap.h"
#include "util.h"

#define OBJECTS_KIB	128		/* of what is in slabs, which are asked for what they only keep in stock */
#define WARM_UP		3u		/* rounds before memory is counted: caches fill */
#define LEAK_KB		512		/* in all rounds: so much comes and goes with slabs and per-CPU lists */

/* ---- once: one bind, whatever comes of it ---- */

int bind_once(struct bind *b)
{
	int ret, probed;

	ktap_start(1);
	ret = driver_unbind(b) ?: driver_lines(b, false);
	if (!ret) {
		probed = driver_bind(b);
		out("# info bind=%d\n", probed);
		ret = probed ? driver_lines(b, false) : driver_lines(b, true) ?: works(b);
	}
	ktap_check(ret, "bind");
	return ktap_status();
}

/* ---- off: unbound, and left so ---- */

int bind_off(struct bind *b)
{
	ktap_start(1);
	ktap_check(driver_unbind(b) ?: driver_lines(b, false), "unbind");
	return ktap_status();
}

/* ---- replug: the driver of what the GPU hangs on (the shim's PCI function) goes and comes ---- */

/* A new device may be probed by a worker of the kernel: its interrupts are there before its files. */
static int probed_soon(struct bind *b)
{
	const int64_t deadline = now_us() + REVIVE_MS * 1000LL;
	int ret = driver_lines(b, true);

	while (ret && now_us() < deadline) {
		sleep_us(2000);
		ret = driver_lines(b, true);
	}
	return ret;
}

int bind_replug(struct bind *b)
{
	char path[sizeof(DEVICES) + NAME_SIZE + 2], parent[PATH_MAX], *name;
	int ret = 0;

	ktap_start(1);
	snprintf(path, sizeof(path), DEVICES "/%s", b->device);
	if (!realpath(path, parent))
		ret = fail(-errno, "%s", path);
	if (!ret) {
		*strrchr(parent, '/') = 0;
		name = strrchr(parent, '/') + 1;
		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/panthor_pci_shim/unbind");
		ret = write_text(path, name);
		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/panthor_pci_shim/bind");
		ret = ret ?: write_text(path, name) ?: probed_soon(b) ?: revives(b);
	}
	ktap_check(ret, "replug");
	return ktap_status();
}

/* ---- idle: unbound and bound again ---- */

static long free_kb(void)
{
	char line[128];
	FILE *file;
	long kb = -1;

	sync();
	if (write_text("/proc/sys/vm/drop_caches", "3"))
		return -1;
	file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

int bind_idle(struct bind *b)
{
	long before = 0, objects = 0, lost, more;
	unsigned int i;
	int ret = 0;

	ktap_start(2);
	for (i = 0; !ret && i < b->count + WARM_UP; i++) {
		if (i == WARM_UP) {
			before = free_kb();
			objects = held_kib();
		}
		ret = driver_unbind(b) ?: driver_lines(b, false) ?: driver_bind(b) ?: driver_lines(b, true) ?: works(b);
	}
	ktap_check(ret, "rebind");
	if (!ret) {
		more = held_more(objects, OBJECTS_KIB, SETTLE_MS);
		lost = before - free_kb();
		out("# info lost_kb=%ld objects_kb=%ld\n", lost, more);
		if (before < 0 || ((lost > LEAK_KB || more > OBJECTS_KIB) && !b->lenient))
			ret = fail(0, "%ld KiB lost in %u rounds, %ld of them objects", lost, b->count, more);
	}
	ktap_check(ret, "memory comes back");
	return ktap_status();
}
