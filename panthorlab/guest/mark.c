// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "mark.h"

#ifndef MARK_DEVICES
#define MARK_DEVICES	"/sys/bus/pci/drivers/panthor_pci_shim"
#endif
#define MARK		0x58u		/* in the function's configuration space */
#define MARK_BEGIN	(1u << 31)

static int config_fd = -1;

void mark_open(void)
{
	char path[sizeof(MARK_DEVICES) + 280];
	const struct dirent *entry;
	DIR *devices = opendir(MARK_DEVICES);

	if (!devices)
		return;
	while (config_fd < 0 && (entry = readdir(devices))) {
		if (*entry->d_name < '0' || *entry->d_name > '9')
			continue;	/* bind, unbind, … : devices are 0000:00:02.0 */
		snprintf(path, sizeof(path), MARK_DEVICES "/%s/config", entry->d_name);
		config_fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	closedir(devices);
}

/* FNV-1a, as mark_of() in panthorlab/gpu/pci.py. */
static uint32_t hash(const char *id)
{
	uint32_t value = 2166136261u;

	for (; *id; id++)
		value = (value ^ (unsigned char)*id) * 16777619u;
	return value;
}

void mark_iteration(const char *id, bool begin)
{
	uint32_t value = (hash(id) & ~MARK_BEGIN) | (begin ? MARK_BEGIN : 0);

	if (config_fd < 0)
		return;
	/* The device may be gone by now: then there is nobody to tell, and who waits for it hears nothing. */
	if (pwrite(config_fd, &value, sizeof(value), MARK) != sizeof(value)) {
		close(config_fd);
		config_fd = -1;
	}
}
