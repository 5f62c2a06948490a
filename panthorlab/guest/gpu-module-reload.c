// SPDX-License-Identifier: GPL-2.0-or-later
/* Modes reload, after work, and once, in whatever state the GPU is. */

#include "gpu-module.h"

#include <errno.h>
#include <stdio.h>

#include "ktap.h"
#include "util.h"

#define WARM_UP		3u	/* rounds before memory is counted: caches fill */
#define LEAK_KB		256	/* in all rounds: so much comes and goes with slabs and per-CPU lists */
#define SETTLE_STEPS	25u
#define SETTLE_US	20000

/* What the kernel has for itself and can not give back, in KiB: slabs and vmalloc. */
static long kernel_kb(void)
{
	static const char *const kinds[] = { "SUnreclaim: %ld", "VmallocUsed: %ld" };
	FILE *file = fopen("/proc/meminfo", "re");
	long sum = 0, kb;
	unsigned int i;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (sscanf(line, kinds[i], &kb) == 1)
				sum += kb;
	if (file)
		fclose(file);
	return sum ?: fail(-ENODATA, "/proc/meminfo");
}

/* The least of some time: what is freed after a grace period counts no more. */
static long settled_kb(void)
{
	long least = kernel_kb();
	unsigned int i;

	for (i = 0; i < SETTLE_STEPS; i++) {
		long kb;

		sleep_us(SETTLE_US);
		kb = kernel_kb();
		least = kb < least ? kb : least;
	}
	return least;
}

int module_reload(struct module *m)
{
	long before = 0, lost = 0;
	unsigned int i;
	int ret = 0;

	ktap_start(2);
	for (i = 0; !ret && i < m->count + WARM_UP; i++) {
		if (i == WARM_UP)
			before = settled_kb();
		ret = work() ?: unload_and_load(m);
	}
	ktap_check(ret ?: work(), "reload");
	if (!ret) {
		lost = settled_kb() - before;
		out("# info lost_kb=%ld\n", lost);
		if (before < 0 || lost > LEAK_KB)
			ret = fail(0, "%ld KiB lost in %u rounds", lost, m->count);
	}
	ktap_check(ret, "memory comes back");
	return ktap_status();
}

int module_once(struct module *m)
{
	ktap_start(1);
	ktap_check(unload_and_load(m) ?: work(), "unload and load");
	return ktap_status();
}
