// SPDX-License-Identifier: GPL-2.0-or-later

#include "irqs.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define INTERRUPTS	"/proc/interrupts"

static bool is_of(const char *device, int irq)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/../msi_irqs", device);
	if (access(path, F_OK))
		return true;
	snprintf(path, sizeof(path), "%s/../msi_irqs/%d", device, irq);
	return !access(path, F_OK);
}

int device_interrupts(const char *device, const char *name, uint64_t *occurred)
{
	FILE *file = fopen(INTERRUPTS, "re");
	unsigned long long times;
	char line[512];
	int count = 0, irq;

	if (!file)
		return fail(-errno, "open " INTERRUPTS);
	while (fgets(line, sizeof(line), file)) {
		if (!strstr(line, name) || sscanf(line, "%d: %llu", &irq, &times) != 2 || !is_of(device, irq))
			continue;
		count++;
		if (occurred)
			*occurred = times;
	}
	fclose(file);
	return count;
}
