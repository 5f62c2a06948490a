// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mode cases: whatever was let go is there again when it is used, wherever it is mapped and whatever was done with it
 * meanwhile. Each case has a file of its own, and buffers of sizes that no other one has.
 */

#include "gpu-evict.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktap.h"

#define HUGE_PAGES	1024u	/* 4 MiB */
#define HUGE_STEP	64u
#define BUSY_GATE	4u	/* result that a job waits for */

/* Made, mapped at EVICT_VA, filled by the GPU, and let go. */
static int gone(struct scene *scene, bool shared, unsigned int pages, unsigned int step, struct buffer *buffer)
{
	int ret = buffer_make(scene, shared, pages, step, buffer);

	ret = ret ?: buffer_map(scene, scene->vm, buffer, EVICT_VA, 0, pages, 0);
	return ret ?: buffer_fill(scene, buffer, EVICT_VA) ?: buffer_goes(scene, buffer);
}

static int used(struct scene *scene, const struct buffer *buffer)
{
	return buffer_read(scene, buffer, EVICT_VA) ?: buffer_is_back(scene, buffer) ?: buffer_seen(buffer);
}

static int by_gpu(struct scene *scene)
{
	struct buffer buffer;

	return gone(scene, false, 5, 1, &buffer) ?: used(scene, &buffer);
}

static int by_cpu(struct scene *scene)
{
	struct buffer buffer;
	int ret = gone(scene, false, 6, 1, &buffer) ?: buffer_seen(&buffer) ?: buffer_is_back(scene, &buffer);

	return ret ?: used(scene, &buffer);
}

static int shared(struct scene *scene)
{
	struct buffer buffer;

	return gone(scene, true, 7, 1, &buffer) ?: used(scene, &buffer);
}

static int huge(struct scene *scene)
{
	struct buffer buffer;

	return gone(scene, false, HUGE_PAGES, HUGE_STEP, &buffer) ?: used(scene, &buffer);
}

static int again_and_again(struct scene *scene)
{
	struct buffer buffer;
	unsigned int i;
	int ret = gone(scene, false, 9, 1, &buffer);

	for (i = 0; !ret && i < 4; i++) {
		ret = used(scene, &buffer) ?: buffer_fill(scene, &buffer, EVICT_VA);
		ret = ret ?: buffer_goes(scene, &buffer);
	}
	return ret ?: used(scene, &buffer);
}

/* The second mapping is of a part of the buffer. */
static int several_places(struct scene *scene)
{
	struct buffer buffer;
	int ret = buffer_make(scene, false, 10, 1, &buffer);

	ret = ret ?: buffer_map(scene, scene->vm, &buffer, EVICT_VA, 0, 10, 0);
	ret = ret ?: buffer_map(scene, scene->vm, &buffer, OTHER_VA, 3, 4, 0);
	ret = ret ?: buffer_fill(scene, &buffer, EVICT_VA) ?: buffer_goes(scene, &buffer);
	ret = ret ?: buffer_read_part(scene, &buffer, OTHER_VA, 3, 7);
	return ret ?: used(scene, &buffer);
}

/* Of a buffer that was let go, there is a new mapping, and then it is let go once more. */
static int mapped_meanwhile(struct scene *scene)
{
	struct buffer buffer;
	int ret = gone(scene, false, 11, 1, &buffer);

	ret = ret ?: buffer_map(scene, scene->vm, &buffer, OTHER_VA, 0, 11, 0);
	ret = ret ?: buffer_goes(scene, &buffer);
	ret = ret ?: buffer_read(scene, &buffer, OTHER_VA);
	return ret ?: used(scene, &buffer);
}

static int unmapped_meanwhile(struct scene *scene)
{
	struct buffer buffer;
	int ret = gone(scene, false, 12, 1, &buffer);

	ret = ret ?: buffer_unmap(scene, scene->vm, EVICT_VA + 4 * GPU_PAGE, 3);
	ret = ret ?: buffer_read_part(scene, &buffer, EVICT_VA, 0, 4);
	ret = ret ?: buffer_read_part(scene, &buffer, EVICT_VA + 7 * GPU_PAGE, 7, 12);
	return ret ?: buffer_seen(&buffer);
}

static int replaced_meanwhile(struct scene *scene)
{
	struct buffer buffer, other;
	int ret = gone(scene, false, 13, 1, &buffer);

	ret = ret ?: buffer_make(scene, false, 21, 1, &other);
	ret = ret ?: buffer_map(scene, scene->vm, &other, OTHER_VA, 0, 21, 0) ?: buffer_fill(scene, &other, OTHER_VA);
	ret = ret ?: buffer_goes(scene, &other);
	ret = ret ?: buffer_map(scene, scene->vm, &other, EVICT_VA + 5 * GPU_PAGE, 0, 3, 0);
	ret = ret ?: buffer_read_part(scene, &other, EVICT_VA + 5 * GPU_PAGE, 0, 3);
	ret = ret ?: buffer_read_part(scene, &buffer, EVICT_VA, 0, 5);
	ret = ret ?: buffer_read_part(scene, &buffer, EVICT_VA + 8 * GPU_PAGE, 8, 13);
	return ret ?: buffer_seen(&buffer);
}

static int in_the_middle_of_huge(struct scene *scene)
{
	struct buffer buffer;
	int ret = gone(scene, false, HUGE_PAGES + 1, HUGE_STEP, &buffer);

	ret = ret ?: buffer_unmap(scene, scene->vm, EVICT_VA + 300 * GPU_PAGE, 1);
	ret = ret ?: buffer_read_part(scene, &buffer, EVICT_VA, 0, 300);
	return ret ?: buffer_read_part(scene, &buffer, EVICT_VA + 301ull * GPU_PAGE, 301, HUGE_PAGES + 1);
}

/* Nobody uses it on the GPU yet: the CPU has it, or nobody any more. */
static int unused(struct scene *scene)
{
	struct buffer buffer;
	unsigned int page;
	int ret = buffer_make(scene, false, 14, 1, &buffer);

	for (page = 0; !ret && page < buffer.pages; page++)
		*(volatile uint32_t *)((char *)buffer.bo.map + page * GPU_PAGE) = buffer.value + page;
	ret = ret ?: buffer_goes(scene, &buffer) ?: buffer_seen(&buffer) ?: buffer_is_back(scene, &buffer);
	if (!ret)
		munmap((void *)buffer.bo.map, buffer.bo.size);
	ret = ret ?: buffer_goes(scene, &buffer);
	ret = ret ?: buffer_map(scene, scene->vm, &buffer, EVICT_VA, 0, 14, 0);
	return ret ?: buffer_read(scene, &buffer, EVICT_VA);
}

/* A job waits for the CPU, and then stores at @va. */
static struct cs gated(struct scene *scene, uint64_t va, uint32_t value)
{
	struct cs cs = scene_stream(scene, 1);
	unsigned int loop;

	*scene_result(scene, BUSY_GATE) = 0;
	cs_move48(&cs, 0, scene_result_va(scene, BUSY_GATE));
	loop = cs.count;
	cs_load32(&cs, 2, 0);
	cs_wait(&cs, CS_SB_ALL);
	cs_branch(&cs, CS_EQUAL, 2, loop);
	cs_tell(&cs, va, value);
	cs_tell(&cs, scene_result_va(scene, 1), value);
	return cs;
}

static int stays(struct scene *scene, const struct buffer *buffer, uint64_t va)
{
	struct cs cs = gated(scene, va, buffer->value);
	struct gem before, after;
	unsigned long pages;
	int ret = evict_row(&scene->gpu, buffer->bo.size, &before);

	ret = ret ?: scene_submit(scene, scene->group, 0, &cs, 1);
	ret = ret ?: evict_pages(&scene->gpu, ALL_PAGES, &pages) ?: evict_row(&scene->gpu, buffer->bo.size, &after);
	if (!ret && (after.evictions != before.evictions || !after.resident))
		ret = fail(0, "a buffer is let go while a job of its VM runs");
	*scene_result(scene, BUSY_GATE) = 1;
	return ret ?: scene_right(scene, 1, buffer->value);
}

/* What a job uses stays, also if it was let go and came back before. */
static int busy(struct scene *scene)
{
	struct buffer buffer;
	int ret = buffer_make(scene, false, 15, 1, &buffer);

	ret = ret ?: buffer_map(scene, scene->vm, &buffer, EVICT_VA, 0, 15, 0) ?: buffer_fill(scene, &buffer, EVICT_VA);
	ret = ret ?: stays(scene, &buffer, EVICT_VA) ?: used(scene, &buffer) ?: buffer_goes(scene, &buffer);
	return ret ?: used(scene, &buffer) ?: stays(scene, &buffer, EVICT_VA) ?: used(scene, &buffer);
}

static int gpu_sleeps(struct scene *scene)
{
	struct buffer buffer;
	int ret = buffer_make(scene, false, 17, 1, &buffer);

	ret = ret ?: buffer_map(scene, scene->vm, &buffer, EVICT_VA, 0, 17, 0) ?: buffer_fill(scene, &buffer, EVICT_VA);
	ret = ret ?: gpu_wait_suspended(&scene->gpu, SUSPEND_MS);
	return ret ?: buffer_goes(scene, &buffer) ?: used(scene, &buffer);
}

/* A buffer that a client has in its VM, and then another one, at OTHER_VA. */
static int share(struct scene *scene, unsigned int pages, struct buffer *buffer, struct scene *other,
		 struct buffer *theirs)
{
	struct drm_prime_handle export = { .flags = DRM_CLOEXEC | DRM_RDWR, .fd = -1 }, import = { 0 };
	int ret = buffer_make(scene, true, pages, 1, buffer) ?: scene_create(other, 1);

	export.handle = buffer->bo.handle;
	ret = ret ?: GPU_IOCTL(&scene->gpu, PRIME_HANDLE_TO_FD, &export);
	import.fd = export.fd;
	ret = ret ?: GPU_IOCTL(&other->gpu, PRIME_FD_TO_HANDLE, &import);
	close(export.fd);
	*theirs = *buffer;
	theirs->bo.handle = import.handle;
	ret = ret ?: buffer_map(scene, scene->vm, buffer, EVICT_VA, 0, pages, 0);
	return ret ?: buffer_map(other, other->vm, theirs, OTHER_VA, 0, pages, 0);
}

/* Two clients have it in their VMs. Both lose it, and get it back, first the one and then the other. */
static int two_clients(struct scene *scene)
{
	static struct scene other;
	struct buffer buffer, theirs;
	unsigned int i;
	int ret = share(scene, 18, &buffer, &other, &theirs);

	for (i = 0; !ret && i < 2; i++) {
		ret = buffer_fill(scene, &buffer, EVICT_VA) ?: buffer_goes(scene, &buffer);
		theirs.value = buffer.value;
		if (i)
			ret = ret ?: buffer_read(&other, &theirs, OTHER_VA) ?: used(scene, &buffer);
		else
			ret = ret ?: used(scene, &buffer) ?: buffer_read(&other, &theirs, OTHER_VA);
	}
	gpu_close(&other.gpu);
	return ret;
}

/* One of them has it back and uses it; the other one, in whose VM it was first, has not, and that is no reason. */
static int one_of_two_works(struct scene *scene)
{
	static struct scene other;
	struct buffer buffer, theirs;
	int ret = share(scene, 22, &buffer, &other, &theirs);

	ret = ret ?: buffer_fill(scene, &buffer, EVICT_VA) ?: buffer_goes(scene, &buffer);
	theirs.value = buffer.value;
	ret = ret ?: buffer_read(&other, &theirs, OTHER_VA) ?: stays(&other, &theirs, OTHER_VA);
	ret = ret ?: buffer_read(&other, &theirs, OTHER_VA) ?: used(scene, &buffer);
	gpu_close(&other.gpu);
	return ret;
}

/* Not by debugfs: the driver has told the kernel that it can let go of something. On the GPU, and no longer. */
static int memory_is_short(struct scene *scene)
{
	struct buffer buffer;
	int ret = buffer_make(scene, false, 23, 1, &buffer);

	ret = ret ?: buffer_map(scene, scene->vm, &buffer, EVICT_VA, 0, 23, 0) ?: buffer_fill(scene, &buffer, EVICT_VA);
	ret = ret ?: buffer_goes_by_kernel(scene, &buffer) ?: used(scene, &buffer);
	ret = ret ?: buffer_unmap(scene, scene->vm, EVICT_VA, 23);
	return ret ?: buffer_goes_by_kernel(scene, &buffer) ?: buffer_seen(&buffer);
}

/* Only the buffers that the client has are there; they go from what its file tells, too. */
static int told(struct scene *scene)
{
	struct buffer buffer;
	long before, with, without;
	int ret = evict_resident_kib(&scene->gpu, &before) ?: buffer_make(scene, false, 19, 1, &buffer);

	ret = ret ?: buffer_map(scene, scene->vm, &buffer, EVICT_VA, 0, 19, 0) ?: buffer_fill(scene, &buffer, EVICT_VA);
	ret = ret ?: evict_resident_kib(&scene->gpu, &with);
	ret = ret ?: buffer_goes(scene, &buffer) ?: evict_resident_kib(&scene->gpu, &without);
	if (!ret && (with < before + 19 * 4 || without > with - 19 * 4))
		ret = fail(0, "resident: %ld KiB before a buffer of 76, %ld with it, %ld when it was let go",
			   before, with, without);
	return ret ?: used(scene, &buffer);
}

/* The VM goes while what was in it is not there. The file is closed with it. */
static int vm_goes(struct scene *scene)
{
	struct buffer buffer;
	int ret = gone(scene, false, 20, 1, &buffer);

	ret = ret ?: gpu_group_destroy(&scene->gpu, scene->group) ?: gpu_vm_destroy(&scene->gpu, scene->vm);
	return ret ?: buffer_seen(&buffer);
}

static const struct {
	const char *name;
	int (*check)(struct scene *scene);
} cases[] = {
	{ "used by a job", by_gpu },
	{ "used by the CPU, then by a job", by_cpu },
	{ "no VM's own", shared },
	{ "of 4 MiB", huge },
	{ "again and again", again_and_again },
	{ "mapped at several places", several_places },
	{ "mapped once more meanwhile", mapped_meanwhile },
	{ "partly unmapped meanwhile", unmapped_meanwhile },
	{ "partly replaced meanwhile", replaced_meanwhile },
	{ "of 4 MiB, partly unmapped meanwhile", in_the_middle_of_huge },
	{ "not on the GPU yet", unused },
	{ "of a job that runs: it stays", busy },
	{ "while the GPU sleeps", gpu_sleeps },
	{ "of two clients", two_clients },
	{ "of two clients, of which one works: it stays", one_of_two_works },
	{ "when memory is short", memory_is_short },
	{ "as the file tells", told },
	{ "of a VM that goes", vm_goes },
};

int mode_cases(unsigned int count, unsigned int seed)
{
	size_t i;

	(void)count, (void)seed;
	ktap_start(sizeof(cases) / sizeof(cases[0]));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct scene scene;
		int ret;

		memset(&scene, 0, sizeof(scene));
		scene.gpu.fd = -1;
		ret = scene_create(&scene, 1) ?: cases[i].check(&scene);
		ktap_check(ret, "%s", cases[i].name);
		gpu_close(&scene.gpu);
	}
	return ktap_status();
}
