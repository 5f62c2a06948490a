// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Huge pages for buffer objects. A driver that asks for them has them of a mount of its own; for the
 * others the kernel has a policy for all memory without a file of its own, and can be asked.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gpu-vm.h"
#include "util.h"

#define POLICY_FILE	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static char before[32];

static int policy_set(const char *policy)
{
	size_t size = strlen(policy);
	int fd = open(POLICY_FILE, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return fail(-errno, POLICY_FILE);
	ret = write(fd, policy, size) == (ssize_t)size ? 0 : fail(-errno, POLICY_FILE);
	close(fd);
	return ret;
}

/* The one in brackets: always within_size advise [never] deny force */
static int policy_get(void)
{
	FILE *file = fopen(POLICY_FILE, "re");
	int found;

	if (!file)
		return fail(-errno, POLICY_FILE);
	found = fscanf(file, "%*[^[][%31[a-z_]]", before);
	fclose(file);
	return found == 1 ? 0 : fail(-EPROTO, POLICY_FILE);
}

int huge_pages_ask(void)
{
	return policy_get() ?: policy_set("within_size");
}

int huge_pages_end(void)
{
	return before[0] ? policy_set(before) : 0;
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
