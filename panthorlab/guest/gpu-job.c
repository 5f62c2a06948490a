// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * GPU jobs that show whether a kernel drives the GPU as it should: ordinary ones, ones that sleep
 * and wake, and ones that must fail, and must fail alone.
 */

#include "gpu-job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"
#include "ktap.h"
#include "options.h"

#define READS	100	/* of a register, after each job */

struct mode {
	const char *name;
	const char *help;
	int (*run)(const struct options *options);
};

static const struct mode modes[] = {
	{ "info", "what the driver says about itself and the GPU", job_info },
	{ "gpu-info", "the part of it that is about the GPU, which every driver says", job_gpu_info },
	{ "store", "one job that stores a value", job_store },
	{ "stores", "--count such jobs, one at a time, timed (200)", job_stores },
	{ "reads", "a register read by user space, --count times (2000), timed", job_reads },
	{ "busy", "one job that counts down from --loops (100000)", job_busy },
	{ "suspend-loop", "a job, then runtime suspend, --count times (5)", job_suspend_loop },
	{ "asleep", "an interrupt while the GPU sleeps; the emulated GPU must be told to send one", job_asleep },
	{ "bad-fetch", "a stream that is not mapped", job_bad_fetch },
	{ "bad-store", "a store to an address that is not mapped", job_bad_store },
	{ "bad-instr", "an opcode that does not exist", job_bad_instr },
	{ "spin", "a stream that never ends, until the kernel gives it up", job_spin },
	{ "row", "jobs in a row of which some fail, if the emulated GPU is told to let them", job_row },
	{ "reset-fails", "a reset that the firmware does not boot after: all jobs end; the emulated GPU "
	  "must be told to do so", job_reset_fails },
	{ "reset-goes-well", "a job of another group goes on after a reset; the emulated GPU must be told to break off a "
	  "stream", job_reset_goes_well },
	{ "sync-wait", "two queues that wait for each other", job_sync_wait },
	{ "resume-state", "a blocked stream keeps its registers over a suspend",
	  job_resume_state },
	{ "not-suspended", "a group that could not be suspended is said to be lost; the emulated GPU "
	  "must be told not to do it", job_not_suspended },
	{ "no-progress", "work that stands still is given up; the emulated GPU must be told to make it last",
	  job_no_progress },
	{ "flush-id", "LATEST_FLUSH counts, says 1 while the GPU sleeps, and counts again", job_flush_id },
	{ "late-write", "the CPU writes what a stream waits for, and nobody tells the driver",
	  job_late_write },
	{ "given-up", "a stream that nobody wakes, while the GPU sleeps: its group is said to be lost", job_given_up },
	{ "fence-irq", "a job whose fence is asked for its status in an interrupt; the emulated GPU's "
	  "shim must have lockdep", job_fence_irq },
	{ "long-stream", "streams of a page and more", job_long_stream },
	{ "wrap", "600 jobs in a row", job_wrap },
	{ "calls", "streams that call each other, and the GPU sleeps meanwhile", job_calls },
	{ "together", "a job for each queue, all of one call", job_together },
	{ "oom", "a tiler that runs out of heap; the emulated GPU must be told to take chunks",
	  job_oom },
};

#define MODES	(sizeof(modes) / sizeof(modes[0]))

static int print_gpu_info(struct gpu *gpu)
{
	struct drm_panthor_gpu_info info;
	int ret;

	ret = gpu_query(gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &info, sizeof(info));
	if (!ret) {
		out("# info driver=panthor\n# info driver_version=%d.%d.%d\n",
		    gpu->version[0], gpu->version[1], gpu->version[2]);
#define INFO(name, value) out("# info " name "=0x%llx\n", (unsigned long long)(value))
		INFO("gpu_id", info.gpu_id);
		INFO("gpu_rev", info.gpu_rev);
		INFO("csf_id", info.csf_id);
		INFO("l2_features", info.l2_features);
		INFO("tiler_features", info.tiler_features);
		INFO("mem_features", info.mem_features);
		INFO("mmu_features", info.mmu_features);
		INFO("thread_features", info.thread_features);
		INFO("max_threads", info.max_threads);
		INFO("thread_max_workgroup_size", info.thread_max_workgroup_size);
		INFO("thread_max_barrier_size", info.thread_max_barrier_size);
		INFO("coherency_features", info.coherency_features);
		INFO("texture_features", info.texture_features[0]);
		INFO("texture_features_1", info.texture_features[1]);
		INFO("texture_features_2", info.texture_features[2]);
		INFO("texture_features_3", info.texture_features[3]);
		INFO("as_present", info.as_present);
		INFO("shader_present", info.shader_present);
		INFO("l2_present", info.l2_present);
		INFO("tiler_present", info.tiler_present);
		INFO("core_features", info.core_features);
#undef INFO
	}
	return ret;
}

int job_gpu_info(const struct options *options)
{
	struct gpu gpu;
	int ret;

	(void)options;
	ktap_start(1);
	ret = gpu_open(&gpu);
	ret = ret ?: print_gpu_info(&gpu);
	ktap_result(1, !ret, "gpu-info", last_error());
	return ret ? 1 : 0;
}

int job_info(const struct options *options)
{
	struct drm_panthor_csif_info csif;
	char status[32];
	struct gpu gpu;
	int ret;

	(void)options;
	ktap_start(1);
	ret = gpu_open(&gpu);
	ret = ret ?: print_gpu_info(&gpu);
	if (!ret)
		ret = gpu_query(&gpu, DRM_PANTHOR_DEV_QUERY_CSIF_INFO, &csif, sizeof(csif));
	if (!ret)
		ret = gpu_runtime_status(&gpu, status, sizeof(status));
	if (!ret) {
		out("# info csg_slots=%u\n# info cs_slots=%u\n# info cs_regs=%u\n"
		    "# info scoreboards=%u\n# info unpreserved_cs_regs=%u\n",
		    csif.csg_slot_count, csif.cs_slot_count, csif.cs_reg_count,
		    csif.scoreboard_slot_count, csif.unpreserved_cs_reg_count);
		out("# info runtime_status=%s\n", status);
	}
	ktap_result(1, !ret, "info", last_error());
	return ret ? 1 : 0;
}

int job_store(const struct options *options)
{
	struct scene scene;
	struct cs cs;
	int ret;

	(void)options;
	ktap_start(1);
	ret = scene_create(&scene, 1);
	if (!ret) {
		cs = scene_stream(&scene, 0);
		cs_tell(&cs, scene_result_va(&scene, 0), 0xdeadbeef);
		ret = scene_submit(&scene, scene.group, 0, &cs, 0);
	}
	if (!ret)
		ret = scene_right(&scene, 0, 0xdeadbeef);
	ktap_result(1, !ret, "store", last_error());
	return ret ? 1 : 0;
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* From the submission to user space knowing that it is done; the check comes after the clock. */
static int timed_store(struct scene *scene, uint32_t value, int64_t *us)
{
	struct cs cs = scene_stream(scene, 0);
	int64_t begin;
	int ret;

	cs_tell(&cs, scene_result_va(scene, 0), value);
	begin = now_us();
	ret = scene_submit(scene, scene->group, 0, &cs, 0);
	if (!ret)
		ret = gpu_syncobj_wait(&scene->gpu, scene->syncobj[0], GPU_TIMEOUT_MS);
	*us = now_us() - begin;
	return ret ?: scene_right(scene, 0, value);
}

int job_stores(const struct options *options)
{
	unsigned int i, count = options->count ?: 200;
	int64_t *us = calloc(count, sizeof(*us));
	int64_t sum = 0;
	struct scene scene;
	int ret;

	ktap_start(1);
	ret = us ? scene_create(&scene, 1) : fail(0, "no memory");
	for (i = 0; !ret && i < count; i++) {
		ret = timed_store(&scene, 0xc0de0001 + i, &us[i]);
		sum += us[i];
	}
	if (!ret) {
		qsort(us, count, sizeof(*us), compare);
		out("# jobs %u\n# us_per_job %lld\n# us_per_job_median %lld\n"
		    "# us_per_job_min %lld\n# us_per_job_max %lld\n", count,
		    (long long)(sum / count), (long long)us[count / 2], (long long)us[0],
		    (long long)us[count - 1]);
	}
	ktap_result(1, !ret, "stores", last_error());
	return ret ? 1 : 0;
}

/*
 * LATEST_FLUSH is the one register that user space may map. The mapping leads to the GPU only while
 * that is awake: hence the jobs.
 */
static int timed_reads(struct scene *scene, const volatile uint32_t *latest_flush, int64_t *us)
{
	char status[32];
	unsigned int i;
	int64_t begin;
	int ret;

	ret = timed_store(scene, 0xc0de0001, &begin);
	if (ret)
		return ret;
	(void)*latest_flush;	/* not the page fault */
	begin = now_us();
	for (i = 0; i < READS; i++)
		(void)*latest_flush;
	*us = now_us() - begin;
	ret = gpu_runtime_status(&scene->gpu, status, sizeof(status));
	if (!ret && strcmp(status, "active"))
		ret = fail(0, "the GPU went to sleep: %s", status);
	return ret;
}

int job_reads(const struct options *options)
{
	unsigned int i, rounds = ((options->count ?: 2000) + READS - 1) / READS;
	int64_t *us = calloc(rounds, sizeof(*us));
	void *map = MAP_FAILED;
	struct scene scene;
	int ret;

	ktap_start(1);
	ret = us ? scene_create(&scene, 1) : fail(0, "no memory");
	if (!ret) {
		map = mmap(NULL, GPU_PAGE, PROT_READ, MAP_SHARED, scene.gpu.fd,
			   DRM_PANTHOR_USER_FLUSH_ID_MMIO_OFFSET);
		if (map == MAP_FAILED)
			ret = fail(-errno, "mmap of LATEST_FLUSH");
	}
	for (i = 0; !ret && i < rounds; i++)
		ret = timed_reads(&scene, map, &us[i]);
	if (!ret) {
		qsort(us, rounds, sizeof(*us), compare);
		out("# reads %u\n# ns_per_read_median %lld\n# ns_per_read_min %lld\n",
		    rounds * READS, (long long)(us[rounds / 2] * 1000 / READS),
		    (long long)(us[0] * 1000 / READS));
	}
	ktap_result(1, !ret, "reads", last_error());
	return ret ? 1 : 0;
}

int job_busy(const struct options *options)
{
	uint32_t loops = options->loops ?: 100000;
	struct scene scene;
	unsigned int loop;
	int64_t begin = 0;
	struct cs cs;
	int ret;

	ktap_start(1);
	ret = scene_create(&scene, 1);
	if (!ret) {
		cs = scene_stream(&scene, 0);
		cs_move32(&cs, 0, loops);
		loop = cs.count;
		cs_add_imm32(&cs, 0, 0, -1);
		cs_branch(&cs, CS_GREATER, 0, loop);
		cs_tell(&cs, scene_result_va(&scene, 0), 0xb5b5b5b5);
		begin = now_us();
		ret = scene_submit(&scene, scene.group, 0, &cs, 0);
	}
	if (!ret)
		ret = scene_right(&scene, 0, 0xb5b5b5b5);
	out("# instructions %llu\n# us %lld\n", 2ull * loops, (long long)(now_us() - begin));
	ktap_result(1, !ret, "busy", last_error());
	return ret ? 1 : 0;
}

int job_suspend_loop(const struct options *options)
{
	unsigned int i, count = options->count ?: 5;
	struct scene scene;
	int64_t begin;
	int ret;

	ktap_start(1);
	ret = scene_create(&scene, 1);
	for (i = 0; !ret && i < count; i++) {
		int64_t us;

		ret = timed_store(&scene, 0x5eed0001 + i, &us);
		begin = now_us();
		if (!ret)
			ret = gpu_wait_suspended(&scene.gpu, SUSPEND_MS);
		if (!ret)
			out("# resume_us %lld\n# info resume%u_us=%lld\n# info sleep%u_us=%lld\n", (long long)us,
			    i, (long long)us, i, (long long)(now_us() - begin));
	}
	out("# suspends %u\n", ret && i ? i - 1 : i);
	ktap_result(1, !ret, "suspend-loop", last_error());
	return ret ? 1 : 0;
}

static void usage(FILE *stream)
{
	size_t i;

	fputs("usage: gpu-job --mode MODE [--count N] [--loops N]\n\nmodes:\n", stream);
	for (i = 0; i < MODES; i++)
		fprintf(stream, "  %-13s %s\n", modes[i].name, modes[i].help);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	const char *mode = "";
	const struct program_option known[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &options.count, .least = 1, .most = INT32_MAX },
		{ "loops", .number = &options.loops, .least = 1, .most = INT32_MAX },
		{ 0 }
	};

	read_options(argc, argv, known, usage);
	return CHOOSE_MODE(modes, mode, usage)->run(&options);
}
