// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unloads the driver of the GPU, which must be a module, and loads it again: after work, while somebody has the GPU
 * open, or once, in whatever state the GPU is.
 *
 * When it is unloaded nothing of it may be left: no device file, interrupt or thread, no clock that runs, no reference to
 * the modules that it needs. A device that is never freed keeps its minor number: then the next one has another name.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "drivers.h"
#include "ktap.h"
#include "options.h"
#include "sentinel.h"

#define MODULES		"/sys/module"
#define FILES		"/lib/modules"
#define NODES		"/dev/dri"
#define CLOCK		"/sys/kernel/debug/clk/panthor-shim-core"	/* the emulated GPU's */
#define NAME_SIZE	256
#define NEEDED_MAX	16u
#define RESCUER		"kworker/R-"
#define WARM_UP		3u	/* rounds before memory is counted: caches fill */
#define LEAK_KB		256	/* in all rounds: so much comes and goes with slabs and per-CPU lists */
#define SETTLE_STEPS	25u
#define SETTLE_US	20000

struct module {
	const char *name;
	char needs[NEEDED_MAX][NAME_SIZE];	/* modules that it holds */
	unsigned int needed;
	char node[NAME_SIZE];			/* "renderD128" */
	unsigned int results, failed, count;
};

static bool here(const char *name)
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

/* Calls @entry for each entry of a directory until it returns something else than 0; 0 if there is no such directory. */
static int each(const char *dir, int (*entry)(const char *name, void *data), void *data)
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

static int render_node(const char *name, void *data)
{
	if (strncmp(name, "renderD", 7))
		return 0;
	snprintf(data, NAME_SIZE, "%s", name);
	return 1;
}

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

static int interrupts(const struct module *m)
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

static int nothing_left(struct module *m)
{
	char node[NAME_SIZE], path[PATH_MAX];
	unsigned int i;
	long users;
	int ret;

	if (here(m->name))
		return fail(0, "%s is still loaded", m->name);
	if (each(NODES, render_node, node) || each("/sys/class/drm", render_node, node))
		return fail(0, "%s is still there", node);
	ret = interrupts(m);
	if (ret)
		return ret < 0 ? ret : fail(0, "%d interrupts are still %s's", ret, m->name);
	for (i = 0; i < m->needed; i++) {
		snprintf(path, sizeof(path), MODULES "/%s/refcnt", m->needs[i]);
		users = number_in(path);
		snprintf(path, sizeof(path), MODULES "/%s/holders", m->needs[i]);
		each(path, one_less, &users);
		if (users)
			return fail(0, "%s has %ld references of nobody's", m->needs[i], users);
	}
	return each("/proc", its_thread, m) ?: clock_stands();
}

/* What the kernel says to it: never by force, and without waiting for who uses it. */
static int delete_module(const struct module *m)
{
	return syscall(SYS_delete_module, m->name, O_NONBLOCK) ? -errno : 0;
}

static int unload(struct module *m)
{
	const int ret = delete_module(m);
	char path[PATH_MAX];

	if (ret) {
		snprintf(path, sizeof(path), MODULES "/%s/refcnt", m->name);
		return fail(ret, "unload %s, which has %ld references", m->name, number_in(path));
	}
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
	if (!each(NODES, render_node, node))
		return fail(0, "%s is loaded, and has made no render node", m->name);
	if (*m->node && strcmp(node, m->node))
		return fail(0, "the GPU was %s and is %s: the device before was not freed", m->node, node);
	return interrupts(m) > 0 ? 0 : fail(0, "loaded, %s has no interrupt", m->name);
}

/* Loaded again in any case: whoever comes next needs it. */
static int unload_and_load(struct module *m)
{
	const int unloaded = unload(m), loaded = here(m->name) ? 0 : load(m);

	return unloaded ?: loaded;
}

/* ---- Work ---- */

static int job(void)
{
	char why[256];

	return sentinel_run(why, sizeof(why)) ? 0 : fail(0, "a job: %s", why);
}

/* Two groups, one of them with a heap; @ready is told when they have worked. */
static void hold(int ready, bool busy)
{
	static struct client client;
	const struct client_config config = {
		.groups = 2, .heaps = 1, .chunks = 1, .chunk_size = 128 << 10, .rounds = 1, .bind = true, .spin = busy,
	};

	if (client_create(&client, &config) || client_run(&client)) {
		dprintf(STDOUT_FILENO, "# %s\n", last_error());
		_exit(1);
	}
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static pid_t start(bool busy)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready))
		return fail(-errno, "pipe");
	pid = fork();
	if (!pid) {
		close(ready[0]);
		hold(ready[1], busy);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) != 1)
		pid = fail(-EIO, "the first job of a process did not work");
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* A job, and a process that is killed with all it has, in the middle of its work. */
static int work(void)
{
	const pid_t pid = start(true);

	if (pid < 0)
		return pid;
	end(pid);
	return job();
}

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

static void result(struct module *m, int ret, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void result(struct module *m, int ret, const char *format, ...)
{
	char name[160];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	m->failed += ret != 0;
	ktap_result(++m->results, !ret, name, last_error());
}

/* ---- reload: unloaded after work, loaded again ---- */

static int reload(struct module *m)
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
	result(m, ret ?: work(), "reload");
	if (!ret) {
		lost = settled_kb() - before;
		out("# info lost_kb=%ld\n", lost);
		if (before < 0 || lost > LEAK_KB)
			ret = fail(0, "%ld KiB lost in %u rounds", lost, m->count);
	}
	result(m, ret, "memory comes back");
	return m->failed ? 1 : 0;
}

/* ---- once: in whatever state the GPU is ---- */

static int once(struct module *m)
{
	ktap_start(1);
	result(m, unload_and_load(m) ?: work(), "unload and load");
	return m->failed ? 1 : 0;
}

/* ---- held: refused while there is anything that could call it ---- */

struct held {
	int fd;
	void *map;
};

static int take_file(struct gpu *gpu, struct held *held)
{
	held->fd = dup(gpu->fd);
	return held->fd < 0 ? fail(-errno, "dup") : 0;
}

static int take_mapping(struct gpu *gpu, struct held *held)
{
	struct gpu_bo bo;
	uint32_t vm;
	int ret = gpu_vm_create(gpu, &vm) ?: gpu_bo_create(gpu, vm, CLIENT_VA, GPU_PAGE, 0, &bo);

	held->map = ret ? NULL : (void *)bo.map;
	return ret;
}

static int take_shared_buffer(struct gpu *gpu, struct held *held)
{
	struct drm_panthor_bo_create create = { .size = GPU_PAGE };
	struct drm_prime_handle prime = { .flags = DRM_CLOEXEC };
	int ret = GPU_IOCTL(gpu, PANTHOR_BO_CREATE, &create);

	prime.handle = create.handle;
	ret = ret ?: GPU_IOCTL(gpu, PRIME_HANDLE_TO_FD, &prime);
	held->fd = ret ? -1 : prime.fd;
	return ret;
}

/* Of a file that is closed again, what outlives it. */
static int take(int (*what)(struct gpu *gpu, struct held *held), struct held *held)
{
	struct gpu gpu;
	int ret = gpu_open(&gpu);

	*held = (struct held){ .fd = -1 };
	if (ret)
		return ret;
	ret = what(&gpu, held);
	gpu_close(&gpu);
	return ret;
}

static void let_go(struct held *held)
{
	if (held->fd >= 0)
		close(held->fd);
	if (held->map)
		munmap(held->map, GPU_PAGE);
}

static int refused(struct module *m)
{
	const int ret = delete_module(m);

	if (!ret)
		return fail(0, "%s was unloaded", m->name);
	return ret == -EWOULDBLOCK || ret == -EBUSY ? 0 : fail(ret, "unload");
}

static int held(struct module *m)
{
	static const struct {
		const char *name;
		int (*take)(struct gpu *gpu, struct held *held);
	} holders[] = {
		{ "file", take_file }, { "mapping", take_mapping },
	};
	const unsigned int count = sizeof(holders) / sizeof(holders[0]);
	struct held held;
	unsigned int i;
	pid_t pid;
	int ret;

	ktap_start(count + 1);
	pid = start(false);
	ret = pid < 0 ? pid : refused(m) ?: job();
	if (pid > 0)
		end(pid);
	result(m, ret ?: job() ?: unload_and_load(m), "a process that works");
	for (i = 0; i < count; i++) {
		ret = take(holders[i].take, &held) ?: refused(m) ?: job();
		let_go(&held);
		result(m, ret ?: unload_and_load(m) ?: job(), "%s", holders[i].name);
	}
	return m->failed ? 1 : 0;
}

/* ---- shared: so does a buffer of which somebody has a dma-buf, whoever made it ---- */

/* Without a reference nobody tries what unloading would come to. */
static int shared(struct module *m)
{
	char path[PATH_MAX];
	struct held held;
	long references = 0;
	int ret;

	ktap_start(1);
	snprintf(path, sizeof(path), MODULES "/%s/refcnt", m->name);
	ret = take(take_shared_buffer, &held);
	if (!ret) {
		references = number_in(path);
		out("# info references=%ld\n", references);
		ret = references > 0 ? refused(m) : fail(0, "nothing keeps %s loaded", m->name);
	}
	let_go(&held);
	result(m, ret ?: unload_and_load(m) ?: job(), "shared buffer");
	return m->failed ? 1 : 0;
}

static int find_module(struct module *m)
{
	const struct gpu_driver *driver = gpu_driver_here();

	if (!driver || !here(driver->name))
		return fail(-ENODEV, "the driver of the GPU is no module, or not loaded");
	m->name = driver->name;
	if (!each(NODES, render_node, m->node))
		return fail(-ENODEV, "%s has no render node", m->name);
	return each(MODULES, note_needed, m);
}

static const struct {
	const char *name;
	int (*run)(struct module *);
} modes[] = { { "reload", reload }, { "held", held }, { "shared", shared }, { "once", once } };

static void usage(FILE *stream)
{
	fputs("usage: gpu-module --mode reload|held|shared|once [--count N]\n", stream);
}

int main(int argc, char **argv)
{
	struct module m = { .count = 10 };
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &m.count, .least = 1, .most = 100000 },
		{ 0 }
	};
	unsigned int i;

	read_options(argc, argv, options, usage);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(mode, modes[i].name))
			continue;
		if (find_module(&m)) {
			ktap_start(1);
			result(&m, -ENODEV, "find the module");
			return 1;
		}
		return modes[i].run(&m);
	}
	bad_usage(usage);
}
