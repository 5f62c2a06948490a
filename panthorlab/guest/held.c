// SPDX-License-Identifier: GPL-2.0-or-later

#include "held.h"

#include <stdio.h>

#include "util.h"

long held_kib(void)
{
	long held = 0;
	char line[128];
	FILE *file;

	/* The counters are spread over the CPUs until they are asked to be brought up to date. */
	file = fopen("/proc/sys/vm/stat_refresh", "we");
	if (file) {
		fputs("1\n", file);
		fclose(file);
	}
	file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof(line), file)) {
		long kib;

		if (sscanf(line, "SUnreclaim: %ld kB", &kib) == 1 ||
		    sscanf(line, "Shmem: %ld kB", &kib) == 1)
			held += kib;
	}
	if (file)
		fclose(file);
	return held;
}

long held_more(long before, long tolerable, unsigned int settle_ms)
{
	int64_t deadline = now_us() + settle_ms * 1000LL;
	long more;

	while ((more = held_kib() - before) > tolerable && now_us() < deadline)
		sleep_us(1000);
	return more;
}
