// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Huge pages for buffer objects. A driver that asks for them has them of a mount of its own; for the
 * others the kernel has a policy for all memory without a file of its own, and can be asked.
 */

#include <errno.h>
#include <stdio.h>

#include "files.h"
#include "gpu-vm.h"
#include "util.h"

#define POLICY_FILE	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static char before[32];

/* The one in brackets: always within_size advise [never] deny force */
static int policy_get(void)
{
	char text[128];
	int ret = read_text(POLICY_FILE, text, sizeof(text));

	return ret ?: sscanf(text, "%*[^[][%31[a-z_]]", before) == 1 ? 0 : fail(-EPROTO, POLICY_FILE);
}

int huge_pages_ask(void)
{
	return policy_get() ?: write_text(POLICY_FILE, "within_size");
}

int huge_pages_end(void)
{
	return before[0] ? write_text(POLICY_FILE, before) : 0;
}

long huge_pages_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "ShmemHugePages: %ld kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib < 0 ? fail(-ENODATA, "ShmemHugePages in /proc/meminfo") : kib;
}
