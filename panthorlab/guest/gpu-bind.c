// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes the driver off its GPU and puts it back, as sysfs can (`unbind`, `bind`): idle, under load, while the GPU goes to
 * sleep, or with one firmware image after the other.
 *
 * It says what came of each step; whether that is right for a firmware image is judged by who made the image. The
 * kernel log has a line "panthorlab: image NAME" before each, so that what the driver says of it can be told apart. A driver
 * that takes no jobs yet works if it tells what the GPU is.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "drivers.h"
#include "gpu-job.h"
#include "irqs.h"
#include "ktap.h"
#include "options.h"
#include "sentinel.h"

#define DEVICES		"/sys/bus/platform/devices"
#define FW_PATH		"/sys/module/firmware_class/parameters/path"
#define FW_ROOT		"/tmp/panthorlab-firmware"
#define NAME_SIZE	256
#define FILE_MAX	(64u << 20)	/* bytes: a pack of images; Arm's have about 300 KiB each */
#define CLIENTS		3u
#define SOON_MS		5
#define SLEEP_TIMEOUT	5000		/* ms until a GPU with nothing to do must have gone to sleep */
#define REVIVE_MS	10000
#define WARM_UP		3u		/* rounds before memory is counted: caches fill */
#define LEAK_KB		512		/* in all rounds: so much comes and goes with slabs and per-CPU lists */

#define DROWSY_MS	30		/* less than a mapping call takes when an address space is slow */

#define STORM_INTERRUPTS	20u

enum use { BUSY, AHEAD, HELD, MAPPING, STORM };

struct bind {
	char device[NAME_SIZE];		/* "fb000000.gpu" */
	const struct gpu_driver *driver;
	int irqs;			/* that it had when it was first seen at work */
	const char *pack;
	char image[NAME_SIZE];		/* where the driver looks for its firmware first */
	unsigned int count, results, failed;
	bool hang, lenient;
};

/* ---- Files ---- */

static int write_file(const char *path, const void *data, size_t size, int flags)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	size_t done = 0;
	int ret = 0;

	if (fd < 0)
		return fail(-errno, "open %s", path);
	while (!ret && done < size) {
		const ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0 && errno != EINTR)
			ret = fail(-errno, "write %s", path);
		else if (n > 0)
			done += n;
	}
	close(fd);
	return ret;
}

/* Contents of a file, to be freed; NULL if it cannot be read. */
static void *read_file(const char *path, size_t *size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data = malloc(FILE_MAX);
	ssize_t n = -1;

	*size = 0;
	while (fd >= 0 && data && *size < FILE_MAX) {
		n = read(fd, data + *size, FILE_MAX - *size);
		if (n <= 0)
			break;
		*size += n;
	}
	if (n) {
		fail(n < 0 ? -errno : -EFBIG, "read %s", path);
		free(data);
		data = NULL;
	}
	if (fd >= 0)
		close(fd);
	return data;
}

/* Number of lines of @path that contain @text. */
static int lines_with(const char *path, const char *text)
{
	char line[512];
	FILE *file = fopen(path, "re");
	int count = 0;

	if (!file)
		return fail(-errno, "open %s", path);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, text) != NULL;
	fclose(file);
	return count;
}

static long free_kb(void)
{
	char line[128];
	FILE *file;
	long kb = -1;

	sync();
	if (write_file("/proc/sys/vm/drop_caches", "3", 1, 0))
		return -1;
	file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %ld", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

/* ---- The device ---- */

static bool bound(const struct bind *b)
{
	char path[sizeof(PLATFORM_DRIVERS) + 2 * NAME_SIZE];

	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/%s", b->driver->name, b->device);
	return !access(path, F_OK);
}

/* Of several GPUs the one that was chosen, or the first; whoever opens one opens that. */
static bool find_of_several(struct bind *b)
{
	char paths[GPU_MOST][PATH_MAX];
	const unsigned int count = gpu_devices(paths);
	const char *word = getenv(GPU_CHOICE);
	const unsigned long number = word ? strtoul(word, NULL, 10) : 0;

	if (count < 2 || number >= count)
		return false;
	gpu_choose(number);
	snprintf(b->device, sizeof(b->device), "%s", strrchr(paths[number], '/') + 1);
	return true;
}

/* Else the one that the driver has, else one whose device tree node it could drive. */
static int find_device(struct bind *b)
{
	char path[sizeof(DEVICES) + 300];
	struct dirent *entry;
	DIR *dir;

	b->driver = gpu_driver_here();
	if (!b->driver)
		return fail(-ENODEV, "the kernel has no driver for the GPU");
	if (find_of_several(b))
		return 0;
	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s", b->driver->name);
	dir = opendir(path);
	if (!dir)
		return fail(-errno, "%s", path);
	while ((entry = readdir(dir)))
		if (entry->d_type == DT_LNK && strcmp(entry->d_name, "module"))
			snprintf(b->device, sizeof(b->device), "%s", entry->d_name);
	closedir(dir);
	if (*b->device)
		return 0;
	dir = opendir(DEVICES);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), DEVICES "/%s/modalias", entry->d_name);
		if (lines_with(path, "mali-valhall-csf") > 0)
			snprintf(b->device, sizeof(b->device), "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return *b->device ? 0 : fail(-ENODEV, "no GPU that %s could drive", b->driver->name);
}

static int tell_driver(const struct bind *b, const char *file)
{
	char path[sizeof(PLATFORM_DRIVERS) + NAME_SIZE];

	snprintf(path, sizeof(path), PLATFORM_DRIVERS "/%s/%s", b->driver->name, file);
	return write_file(path, b->device, strlen(b->device), 0);
}

static int unbind(const struct bind *b)
{
	return bound(b) ? tell_driver(b, "unbind") : 0;
}

/* What the probe returned. */
static int bind(const struct bind *b)
{
	return tell_driver(b, "bind");
}

/* Of the file in the directory `power` of the device. */
static int set_autosuspend(const struct bind *b, unsigned int ms)
{
	char path[sizeof(DEVICES) + NAME_SIZE + 40], text[16];

	snprintf(path, sizeof(path), DEVICES "/%s/power/autosuspend_delay_ms", b->device);
	snprintf(text, sizeof(text), "%u", ms);
	return write_file(path, text, strlen(text), 0);
}

static int job(void)
{
	char why[256];

	return sentinel_run(why, sizeof(why)) ? 0 : fail(0, "a job: %s", why);
}

/* Wait until the GPU sleeps, which it does soon: it is done with all jobs then, and the driver with it. */
static int sleep_soon(const struct bind *b)
{
	struct gpu gpu;
	int ret = set_autosuspend(b, SOON_MS) ?: gpu_open(&gpu);

	if (ret)
		return ret;
	ret = gpu_wait_suspended(&gpu, SLEEP_TIMEOUT);
	gpu_close(&gpu);
	return ret;
}

/* Opening it has the driver tell what the GPU is. */
static int opens(void)
{
	struct gpu gpu;
	int ret = gpu_open(&gpu);

	if (!ret)
		gpu_close(&gpu);
	return ret;
}

/* A GPU that was probed must work, and go to sleep. */
static int works(const struct bind *b)
{
	return b->driver->jobs ? job() ?: sleep_soon(b) : opens();
}

/*
 * The firmware is to hang at a job; after the reset that this takes, the GPU must work. Jobs fail in
 * the meantime: a group that is made while the firmware is loaded again reads sizes of 0 (ENOSPC).
 */
static int revives(const struct bind *b)
{
	const int64_t deadline = now_us() + REVIVE_MS * 1000LL;
	int ret = works(b);

	while (ret && now_us() < deadline)
		ret = works(b);
	return ret;
}

/* Its whole path in sysfs; while it is not there (replug), an empty one. */
static void device_place(const struct bind *b, char *place)
{
	char path[sizeof(DEVICES) + NAME_SIZE + 2];

	snprintf(path, sizeof(path), DEVICES "/%s", b->device);
	if (!realpath(path, place))
		*place = '\0';
}

/* Off the GPU it has no interrupt; at work, as many as the first time. */
static int irq_lines(struct bind *b, bool at_work)
{
	char prefix[NAME_SIZE], place[PATH_MAX];
	int lines;

	snprintf(prefix, sizeof(prefix), "%s-", b->driver->name);
	device_place(b, place);
	lines = device_interrupts(place, prefix, NULL);
	if (at_work && b->irqs < 0 && lines >= b->driver->interrupts)
		b->irqs = lines;
	if (lines < 0 || lines == (at_work ? b->irqs : 0))
		return lines < 0 ? lines : 0;
	return fail(0, "%d interrupts are %s's, expected %d", lines, b->driver->name,
		    !at_work ? 0 : b->irqs < 0 ? b->driver->interrupts : b->irqs);
}

static void result(struct bind *b, int ret, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void result(struct bind *b, int ret, const char *format, ...)
{
	char name[160];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	b->failed += ret != 0;
	ktap_result(++b->results, !ret, name, last_error());
}

/* ---- images: each of a pack in turn as the firmware ---- */

/* One of a pack: "NAME SIZE\n", then SIZE bytes. */
struct image {
	char name[NAME_SIZE];
	size_t size;
	const char *data;
};

/* The image at @at and where the next one is; NULL at the end, or if the pack is broken. */
static const char *next_image(const char *at, const char *end, struct image *image)
{
	const char *line = at < end ? memchr(at, '\n', end - at) : NULL;

	if (!line || sscanf(at, "%100[^ \n] %zu", image->name, &image->size) != 2 ||
	    image->size > (size_t)(end - line - 1))
		return NULL;
	image->data = line + 1;
	return line + 1 + image->size;
}

static int mark(const char *name)
{
	char line[NAME_SIZE + 32];
	const int n = snprintf(line, sizeof(line), "panthorlab: image %.200s\n", name);

	return write_file("/dev/kmsg", line, n, 0);
}

/*
 * Make the kernel look for firmware below @root first. It forgets that at a reboot, so a board that dies of an image
 * comes back with its own.
 */
static int look_below(struct bind *b, const char *root)
{
	struct drm_panthor_gpu_info info;
	struct gpu gpu;
	char *slash;
	int ret;

	ret = gpu_open(&gpu);
	if (ret)
		return ret;
	ret = gpu_query(&gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	gpu_close(&gpu);
	if (ret)
		return ret;
	snprintf(b->image, sizeof(b->image), "%s/arm/mali/arch%u.%u/mali_csffw.bin", root, info.gpu_id >> 28,
		 info.gpu_id >> 24 & 0xf);
	for (slash = strchr(b->image + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(b->image, 0755) && errno != EEXIST)
			return fail(-errno, "mkdir %s", b->image);
		*slash = '/';
	}
	return write_file(FW_PATH, root, strlen(root), 0);
}

/*
 * Renamed into place: a driver that still reads the old one goes on doing so. Last read when 1970 began, so that it
 * shows when it is read, also within the first second of a board that has no clock.
 */
static int install(const struct bind *b, const void *data, size_t size)
{
	const struct timespec times[2] = { { 0 }, { .tv_nsec = UTIME_OMIT } };
	char other[256];
	int ret;

	snprintf(other, sizeof(other), "%.240s.new", b->image);
	ret = write_file(other, data, size, O_CREAT | O_TRUNC);
	if (!ret && utimensat(AT_FDCWD, other, times, 0))
		ret = fail(-errno, "utimensat %s", other);
	if (!ret && rename(other, b->image))
		ret = fail(-errno, "rename %s", other);
	return ret;
}

/* Whether somebody has read it; false, too, where the file system does not note that. */
static bool was_read(const struct bind *b)
{
	struct stat file;

	return !stat(b->image, &file) && (file.st_atim.tv_sec || file.st_atim.tv_nsec);
}

static int try_image(struct bind *b, const struct image *image)
{
	int ret = unbind(b) ?: irq_lines(b, false) ?: install(b, image->data, image->size) ?: mark(image->name);
	int probed;

	if (ret)
		return ret;
	probed = bind(b);
	out("# info image.%s=%d\n# info read.%s=%d\n", image->name, probed, image->name, was_read(b));
	if (!probed != bound(b))
		return fail(0, "bind returned %d, and the driver is%s bound", probed, bound(b) ? "" : " not");
	return probed ? irq_lines(b, false) : irq_lines(b, true) ?: b->hang ? revives(b) : works(b);
}

static int images(struct bind *b)
{
	size_t pack_size, size = 0;
	const char *pack = read_file(b->pack, &pack_size), *end = pack ? pack + pack_size : NULL, *at;
	char *before = read_file(FW_PATH, &size);
	struct image image;
	unsigned int count = 0;
	int ret;

	for (at = pack; (at = next_image(at, end, &image));)
		count++;
	ktap_start(count + 1);
	ret = pack && before ? look_below(b, FW_ROOT) : -EIO;
	for (at = pack; !ret && (at = next_image(at, end, &image));)
		result(b, try_image(b, &image), "%s", image.name);
	result(b, ret ?: unbind(b) ?: write_file(FW_PATH, before, size, 0) ?: mark("none") ?: bind(b) ?: works(b),
	       "the board's own image again");
	return b->failed ? 1 : 0;
}

/* ---- once: one bind, whatever comes of it ---- */

static int once(struct bind *b)
{
	int ret, probed;

	ktap_start(1);
	ret = unbind(b) ?: irq_lines(b, false);
	if (!ret) {
		probed = bind(b);
		out("# info bind=%d\n", probed);
		ret = probed ? irq_lines(b, false) : irq_lines(b, true) ?: works(b);
	}
	result(b, ret, "bind");
	return b->failed ? 1 : 0;
}

/* ---- off: unbound, and left so ---- */

static int off(struct bind *b)
{
	ktap_start(1);
	result(b, unbind(b) ?: irq_lines(b, false), "unbind");
	return b->failed ? 1 : 0;
}

/* A new device may be probed by a worker of the kernel: its interrupts are there before its files. */
static int probed_soon(struct bind *b)
{
	const int64_t deadline = now_us() + REVIVE_MS * 1000LL;
	int ret = irq_lines(b, true);

	while (ret && now_us() < deadline) {
		sleep_us(2000);
		ret = irq_lines(b, true);
	}
	return ret;
}

/* ---- replug: the driver of what the GPU hangs on (the shim's PCI function) goes and comes ---- */

static int replug(struct bind *b)
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
		ret = write_file(path, name, strlen(name), 0);
		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/panthor_pci_shim/bind");
		ret = ret ?: write_file(path, name, strlen(name), 0) ?: probed_soon(b) ?: revives(b);
	}
	result(b, ret, "replug");
	return b->failed ? 1 : 0;
}

/* ---- idle: unbound and bound again ---- */

static int idle(struct bind *b)
{
	long before = 0, lost = 0;
	unsigned int i;
	int ret = 0;

	ktap_start(2);
	for (i = 0; !ret && i < b->count + WARM_UP; i++) {
		if (i == WARM_UP)
			before = free_kb();
		ret = unbind(b) ?: irq_lines(b, false) ?: bind(b) ?: irq_lines(b, true) ?: works(b);
	}
	result(b, ret, "rebind");
	if (!ret) {
		lost = before - free_kb();
		out("# info lost_kb=%ld\n", lost);
		if (before < 0 || (lost > LEAK_KB && !b->lenient))
			ret = fail(0, "%ld KiB lost in %u rounds", lost, b->count);
	}
	result(b, ret, "memory comes back");
	return b->failed ? 1 : 0;
}

/* ---- busy: unbound while processes use the GPU; held: while they only hold what they have on it ---- */

/* What a process begins with: objects, and a job that works, of which @ready is told. */
static void begin(struct client *client, const struct client_config *config, int ready)
{
	if (client_create(client, config) || client_run(client)) {
		dprintf(STDOUT_FILENO, "# %s\n", last_error());
		_exit(1);
	}
	if (write(ready, "r", 1) != 1)
		_exit(1);
}

/* @ready: told when the first job has worked. Then more of them if @busy, until one fails. */
static void client_process(int ready, unsigned int number, bool busy)
{
	static struct client client;
	const struct client_config config = {
		.groups = 2, .heaps = number % 2, .chunks = 1, .chunk_size = 128 << 10, .rounds = 1, .bind = true,
		.loops = busy ? 2000 : 0, .spin = busy && number == 2,
	};

	begin(&client, &config, ready);
	while (busy && !client_run(&client))
		;
	pause();	/* with all its objects, until it is killed */
	_exit(0);
}

/* Keeps mapping calls in the driver: an unplug must wait for one that has begun. */
static void mapping_process(int ready)
{
	static struct client client;
	static const struct client_config config = { .groups = 1, .rounds = 1 };
	struct gpu_bo bo;
	uint64_t va = CLIENT_VA + 0x100000;

	begin(&client, &config, ready);
	while (!gpu_bo_create(&client.gpu, client.vm, va, GPU_PAGE, 0, &bo))
		va += 0x10000;
	pause();
	_exit(0);
}

enum { STREAM = 0, SYNC = 1 };		/* places in the scene */
enum { REG_SYNC = 0, REG_ONE = 2 };	/* of the stream */

/* One job, so that none is left to be run when the GPU is gone, which adds to a sync object for ever. */
static void storm_process(int ready)
{
	static struct scene scene;
	unsigned int loop;
	struct cs cs;

	if (scene_create(&scene, 1))
		_exit(1);
	cs = scene_stream(&scene, STREAM);
	cs_move48(&cs, REG_SYNC, scene_result_va(&scene, SYNC));
	cs_move48(&cs, REG_ONE, 1);
	loop = cs.count;
	cs_sync_add64(&cs, REG_SYNC, REG_ONE);
	cs_branch(&cs, CS_ALWAYS, 0, loop);
	if (scene_submit(&scene, scene.group, 0, &cs, STREAM))
		_exit(1);
	while (!*scene_result(&scene, SYNC))
		sleep_us(100);
	if (write(ready, "r", 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

static void kill_all(const pid_t *pid, unsigned int count)
{
	int status;

	for (unsigned int i = 0; i < count; i++)
		if (pid[i] > 0)
			kill(pid[i], SIGKILL);
	for (unsigned int i = 0; i < count; i++)
		while (pid[i] > 0 && waitpid(pid[i], &status, 0) < 0 && errno == EINTR)
			;
}

/* @count processes, each with a first job that has worked. */
static int start_processes(pid_t *pid, unsigned int count, enum use use)
{
	int ready[2], ret = 0;
	unsigned int i;
	char byte;

	if (pipe(ready))
		return fail(-errno, "pipe");
	for (i = 0; i < count; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			close(ready[0]);
			if (use == MAPPING)
				mapping_process(ready[1]);
			if (use == STORM)
				storm_process(ready[1]);
			client_process(ready[1], i, use != HELD);
		}
	}
	close(ready[1]);
	for (i = 0; i < count; i++)
		if (read(ready[0], &byte, 1) != 1)
			ret = fail(0, "the first job of a process did not work");
	close(ready[0]);
	return ret;
}

/* While it runs, no worker of the kernel does, only interrupts: what they queue meanwhile comes when the GPU is gone. */
static int unbind_first(const struct bind *b)
{
	const struct sched_param first = { .sched_priority = 10 }, usual = { 0 };
	int ret, status;
	pid_t pid;

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		return fail(-errno, "sched_setscheduler");
	ret = unbind(b);
	/* Another address space in between, so that the processor knows no more of what was unmapped. */
	pid = fork();
	if (!pid)
		_exit(0);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	sched_setscheduler(0, SCHED_OTHER, &usual);
	return ret;
}

static int used_rounds(struct bind *b, enum use use)
{
	pid_t pid[CLIENTS] = { 0 };
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	for (i = 0; !ret && i < b->count; i++) {
		ret = start_processes(pid, CLIENTS, use);
		sleep_us(i % 8 * 1500);
		ret = ret ?: (use == AHEAD ? unbind_first(b) : unbind(b)) ?: irq_lines(b, false);
		if (i % 2)	/* who was there before it was unbound leaves before, or after, it is bound again */
			kill_all(pid, CLIENTS);
		ret = ret ?: bind(b) ?: irq_lines(b, true) ?: job();
		if (i % 2 == 0)
			kill_all(pid, CLIENTS);
		ret = ret ?: works(b);
	}
	result(b, ret, "rebind while it is used");
	return b->failed ? 1 : 0;
}

static int busy(struct bind *b)
{
	return used_rounds(b, BUSY);
}

static int ahead(struct bind *b)
{
	return used_rounds(b, AHEAD);
}

static int held(struct bind *b)
{
	return used_rounds(b, HELD);
}

/* ---- events: unbound while the firmware sends one event after the other ---- */

/* Interrupts of the firmware since boot. */
static uint64_t job_interrupts(const struct bind *b)
{
	char place[PATH_MAX];
	uint64_t count = 0;

	device_place(b, place);
	device_interrupts(place, "panthor-job", &count);
	return count;
}

static int storm_round(struct bind *b)
{
	uint64_t before, storm;
	int64_t deadline;
	pid_t pid = -1;
	int ret = start_processes(&pid, 1, STORM);

	before = job_interrupts(b);
	deadline = now_us() + REVIVE_MS * 1000LL;
	while (!ret && (storm = job_interrupts(b) - before) < STORM_INTERRUPTS)
		if (now_us() > deadline)
			ret = fail(0, "only %llu events in %u ms", (unsigned long long)storm, REVIVE_MS);
	ret = ret ?: unbind_first(b) ?: irq_lines(b, false);
	kill_all(&pid, 1);
	return ret ?: bind(b) ?: works(b);
}

static int events(struct bind *b)
{
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	for (i = 0; !ret && i < b->count; i++)
		ret = storm_round(b);
	result(b, ret, "rebind while events come in");
	return b->failed ? 1 : 0;
}

/* ---- drowsy: unbound at the moment when the GPU goes to sleep ---- */

/*
 * The last job ends, and the GPU is to go to sleep DROWSY_MS later. Before, it is unplugged, which takes longer than
 * that if a mapping call does.
 */
static int drowsy_round(struct bind *b, unsigned int round)
{
	pid_t pid = -1;
	int ret = set_autosuspend(b, DROWSY_MS) ?: start_processes(&pid, 1, MAPPING);

	sleep_us(round % 4 * DROWSY_MS * 1000 / 4);
	ret = ret ?: unbind(b) ?: irq_lines(b, false);
	kill_all(&pid, 1);
	return ret ?: bind(b) ?: works(b);
}

static int drowsy(struct bind *b)
{
	unsigned int i;
	int ret = 0;

	ktap_start(1);
	for (i = 0; !ret && i < b->count; i++)
		ret = drowsy_round(b, i);
	result(b, ret, "rebind on the way to sleep");
	return b->failed ? 1 : 0;
}

static const struct {
	const char *name;
	int (*run)(struct bind *);
} modes[] = {
	{ "images", images }, { "once", once }, { "off", off }, { "replug", replug },
	{ "idle", idle }, { "busy", busy }, { "ahead", ahead }, { "held", held },
	{ "drowsy", drowsy }, { "events", events },
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-bind --mode off|once|replug|idle|busy|ahead|held|drowsy|events [--count N]\n"
	      "       gpu-bind --mode images --images PACK [--hang]\n"
	      "  --lenient: no matter how much memory idle loses (KASAN keeps back what is freed)\n", stream);
}

int main(int argc, char **argv)
{
	struct bind b = { .count = 10, .irqs = -1 };
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &b.count, .least = 1, .most = 100000 },
		{ "images", .word = &b.pack },
		{ "hang", .flag = &b.hang },
		{ "lenient", .flag = &b.lenient },
		{ 0 }
	};
	unsigned int i;

	read_options(argc, argv, options, usage);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(mode, modes[i].name) || !strcmp(mode, "images") != !!b.pack)
			continue;
		if (find_device(&b)) {
			ktap_start(1);
			result(&b, -ENODEV, "find the GPU");
			return 1;
		}
		return modes[i].run(&b);
	}
	bad_usage(usage);
}
