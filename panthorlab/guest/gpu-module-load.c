// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The module of the GPU's driver: which one it is, unloading it, and loading it again.
 */

#define _GNU_SOURCE
#include "gpu-module.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "drivers.h"
#include "util.h"

#define FILES		"/lib/modules"

static int note_needed(const char *name, void *data)
{
	struct module *m = data;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), MODULES "/%s/holders/%s", name, m->name);
	if (access(path, F_OK))
		return 0;
	if (m->needed == NEEDED_MAX)
		return fail(-E2BIG, "%s needs more than %u modules", m->name, NEEDED_MAX);
	snprintf(m->needs[m->needed++], NAME_SIZE, "%s", name);
	return 0;
}

int find_module(struct module *m)
{
	const struct gpu_driver *driver = gpu_driver_here();

	if (!driver || !module_here(driver->name))
		return fail(-ENODEV, "the driver of the GPU is no module, or not loaded");
	m->name = driver->name;
	if (!render_node(m->node))
		return fail(-ENODEV, "%s has no render node", m->name);
	return each(MODULES, note_needed, m);
}

/* What the kernel says to it: never by force, and without waiting for who uses it. */
int module_delete(const struct module *m)
{
	return syscall(SYS_delete_module, m->name, O_NONBLOCK) ? -errno : 0;
}

static int unload(struct module *m)
{
	const int ret = module_delete(m);

	if (ret)
		return fail(ret, "unload %s, which has %ld references", m->name, module_references(m->name));
	return nothing_left(m);
}

static int load(struct module *m)
{
	char path[PATH_MAX], node[NAME_SIZE];
	int fd, ret = 0;

	snprintf(path, sizeof(path), FILES "/%s.ko", m->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		ret = fail(-errno, "load %s", path);
	if (fd >= 0)
		close(fd);
	if (ret)
		return ret;
	if (!render_node(node))
		return fail(0, "%s is loaded, and has made no render node", m->name);
	if (*m->node && strcmp(node, m->node))
		return fail(0, "the GPU was %s and is %s: the device before was not freed", m->node, node);
	return module_interrupts(m) > 0 ? 0 : fail(0, "loaded, %s has no interrupt", m->name);
}

/* Loaded again in any case: whoever comes next needs it. */
int unload_and_load(struct module *m)
{
	const int unloaded = unload(m), loaded = module_here(m->name) ? 0 : load(m);

	return unloaded ?: loaded;
}
