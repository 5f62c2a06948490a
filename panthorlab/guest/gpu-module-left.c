// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What there is of a module: in sysfs, device files, interrupts, threads, references to other modules, a clock.
 */

#define _GNU_SOURCE
#include "gpu-module.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define NODES		"/dev/dri"
#define CLOCK		"/sys/kernel/debug/clk/panthor-shim-core"	/* the emulated GPU's */
#define RESCUER		"kworker/R-"

bool module_here(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), MODULES "/%s/refcnt", name);
	return !access(path, F_OK);
}

/* The number in a file; -1 if it cannot be read. */
static long number_in(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (file) {
		if (fscanf(file, "%ld", &value) != 1)
			value = -1;
		fclose(file);
	}
	return value;
}

long module_references(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), MODULES "/%s/refcnt", name);
	return number_in(path);
}

/* Calls @entry for each entry of a directory until it returns something else than 0, which this returns, too. */
int each(const char *dir, int (*entry)(const char *name, void *data), void *data)
{
	struct dirent *found;
	DIR *stream = opendir(dir);
	int ret = 0;

	while (!ret && stream && (found = readdir(stream)))
		if (*found->d_name != '.')
			ret = entry(found->d_name, data);
	if (stream)
		closedir(stream);
	return ret;
}

static int note_node(const char *name, void *data)
{
	if (strncmp(name, "renderD", 7))
		return 0;
	snprintf(data, NAME_SIZE, "%s", name);
	return 1;
}

bool render_node(char *node)
{
	return each(NODES, note_node, node);
}

/* Of the references to a module, one is each holder's. */
static int one_less(const char *name, void *data)
{
	(void)name;
	--*(long *)data;
	return 0;
}

/* Workers are called after what they did last; rescuers ("kworker/R-panth") belong to a work queue, and are cut off. */
static bool named_after(const char *comm, const char *name)
{
	const size_t size = strlen(RESCUER);

	if (!strncmp(comm, RESCUER, size))
		return !strncmp(comm + size, name, strlen(comm + size) < strlen(name) ? strlen(comm + size) : strlen(name));
	return strncmp(comm, "kworker/", 8) && strstr(comm, name);
}

static int its_thread(const char *name, void *data)
{
	const struct module *m = data;
	char path[PATH_MAX], comm[32] = "", *line = NULL;
	size_t size = 0;
	FILE *file;

	if (strspn(name, "0123456789") != strlen(name))
		return 0;
	snprintf(path, sizeof(path), "/proc/%s/cmdline", name);
	file = fopen(path, "re");
	if (file && getline(&line, &size, file) > 0) {		/* of user space */
		free(line);
		fclose(file);
		return 0;
	}
	free(line);
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/proc/%s/comm", name);
	file = fopen(path, "re");
	if (file) {
		if (!fgets(comm, sizeof(comm), file))
			*comm = 0;
		fclose(file);
	}
	comm[strcspn(comm, "\n")] = 0;
	return named_after(comm, m->name) ? fail(0, "the thread %s is left", comm) : 0;
}

int module_interrupts(const struct module *m)
{
	char line[512], prefix[NAME_SIZE];
	FILE *file = fopen("/proc/interrupts", "re");
	int count = 0;

	if (!file)
		return fail(-errno, "/proc/interrupts");
	snprintf(prefix, sizeof(prefix), "%s-", m->name);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, prefix) != NULL;
	fclose(file);
	return count;
}

static int clock_stands(void)
{
	static const char *const counts[] = { "clk_prepare_count", "clk_enable_count" };
	char path[PATH_MAX];
	unsigned int i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		snprintf(path, sizeof(path), CLOCK "/%s", counts[i]);
		if (number_in(path) > 0)
			return fail(0, "the GPU's clock still runs: %s is %ld", counts[i], number_in(path));
	}
	return 0;
}

int nothing_left(struct module *m)
{
	char node[NAME_SIZE], path[PATH_MAX];
	unsigned int i;
	long users;
	int ret;

	if (module_here(m->name))
		return fail(0, "%s is still loaded", m->name);
	if (render_node(node) || each("/sys/class/drm", note_node, node))
		return fail(0, "%s is still there", node);
	ret = module_interrupts(m);
	if (ret)
		return ret < 0 ? ret : fail(0, "%d interrupts are still %s's", ret, m->name);
	for (i = 0; i < m->needed; i++) {
		users = module_references(m->needs[i]);
		snprintf(path, sizeof(path), MODULES "/%s/holders", m->needs[i]);
		each(path, one_less, &users);
		if (users)
			return fail(0, "%s has %ld references of nobody's", m->needs[i], users);
	}
	return each("/proc", its_thread, m) ?: clock_stands();
}
