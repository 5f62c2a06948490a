// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * DEV_QUERY TIMESTAMP_INFO: the GPU's clock beside the CPU's, awake and asleep, and only what was asked for.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <time.h>

#include "gpu-later.h"

#define PAUSE_US	20000
#define NOWHERE_PTR	0x10ull		/* no address of a process */
#define CANARY		0xa5
#define DURATION_MOST	1000000000u	/* ns: a second of registers that are read would be a clock gone wrong */

/* What a query says of the same moment as the CPU's clock, which says @before and @after it. */
struct moment {
	struct later_timestamp told;
	int64_t before, after;
};

static int64_t ns_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int query(struct later *later, void *info, uint32_t size)
{
	struct drm_panthor_dev_query call = {
		.type = LATER_QUERY_TIMESTAMP,
		.size = size,
		.pointer = (uintptr_t)info,
	};

	return GPU_IOCTL(&later->scene.gpu, PANTHOR_DEV_QUERY, &call);
}

/* What there is from 1.1 on; or, with @flags, which are of 1.8, these. */
static int look(struct later *later, uint32_t flags, struct moment *moment)
{
	uint32_t size = flags ? sizeof(moment->told) : LATER_TIMESTAMP_OF_1_1;
	int ret;

	memset(&moment->told, 0, sizeof(moment->told));
	moment->told.flags = flags;
	moment->before = ns_of(CLOCK_MONOTONIC);
	ret = query(later, &moment->told, size);
	moment->after = ns_of(CLOCK_MONOTONIC);
	return ret;
}

/* Between two moments @ticks of a clock of @hz have passed: as long as on the CPU, to a thousandth. */
static int as_long(const struct moment *first, const struct moment *last, uint64_t ticks, uint64_t hz)
{
	int64_t least = last->before - first->after, most = last->after - first->before;
	double ns = (double)ticks * 1e9 / (double)hz;

	if (ns < (double)least * 0.999 || ns > (double)most * 1.001)
		return fail(0, "%llu ticks at %llu Hz, in %lld to %lld ns", (unsigned long long)ticks,
			    (unsigned long long)hz, (long long)least, (long long)most);
	return 0;
}

static int goes_on(struct later *later, int (*pause)(struct later *later))
{
	struct moment first, last;
	int ret = look(later, 0, &first) ?: pause(later) ?: look(later, 0, &last);

	if (ret)
		return ret;
	if (!first.told.frequency || first.told.frequency != last.told.frequency)
		return fail(0, "%llu Hz, then %llu Hz", (unsigned long long)first.told.frequency,
			    (unsigned long long)last.told.frequency);
	return as_long(&first, &last, last.told.timestamp - first.told.timestamp, last.told.frequency);
}

static int waits(struct later *later)
{
	(void)later;
	sleep_us(PAUSE_US);
	return 0;
}

static int falls_asleep(struct later *later)
{
	return gpu_wait_suspended(&later->scene.gpu, SUSPEND_MS);
}

static int time_awake(struct later *later)
{
	return later_stores(&later->scene, later->bo.va, 1) ?: goes_on(later, waits);
}

/* The driver has to wake it for each of the two. */
static int time_asleep(struct later *later)
{
	return later_stores(&later->scene, later->bo.va, 2) ?: falls_asleep(later) ?: goes_on(later, falls_asleep);
}

/* It is the one that the CPU counts by, too. */
static int frequency(struct later *later)
{
	struct later_timestamp told = { 0 };
	uint64_t hz = told.frequency;
	int ret = query(later, &told, LATER_TIMESTAMP_OF_1_1);

#ifdef __aarch64__
	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
#else
	hz = told.frequency;
#endif
	if (!ret && (!told.frequency || told.frequency != hz))
		ret = fail(0, "%llu Hz instead of %llu", (unsigned long long)told.frequency, (unsigned long long)hz);
	return ret;
}

/* So much and no more is written for a program that knows less. */
static int short_buffers(struct later *later)
{
	static const uint32_t sizes[] = { LATER_TIMESTAMP_LEAST, LATER_TIMESTAMP_LEAST + 4, LATER_TIMESTAMP_OF_1_1 };
	union {
		struct later_timestamp told;
		unsigned char bytes[sizeof(struct later_timestamp)];
	} buffer;
	size_t i, at;
	int ret = 0;

	for (i = 0; !ret && i < LATER_COUNT(sizes); i++) {
		memset(&buffer, 0, sizes[i]);
		memset(buffer.bytes + sizes[i], CANARY, sizeof(buffer) - sizes[i]);
		ret = query(later, &buffer, sizes[i]);
		if (!ret && (!buffer.told.frequency || !buffer.told.timestamp))
			ret = fail(0, "%u bytes without time", sizes[i]);
		for (at = sizes[i]; !ret && at < sizeof(buffer); at++)
			if (buffer.bytes[at] != CANARY)
				ret = fail(0, "of %u bytes, byte %zu was written", sizes[i], at);
	}
	if (!ret && !gpu_refusal(query(later, &buffer, LATER_TIMESTAMP_LEAST - 8)))
		ret = fail(0, "there is no room for the time, and nothing is said");
	return ret;
}

static void make_query(struct later *later, struct later_call *call)
{
	(void)later;
	call->request = DRM_IOCTL_PANTHOR_DEV_QUERY;
	call->arg.query = (struct drm_panthor_dev_query){
		.type = LATER_QUERY_TIMESTAMP,
		.size = LATER_TIMESTAMP_OF_1_1,
		.pointer = (uintptr_t)&call->time,
	};
}

static int wrong_queries(struct later *later)
{
	static const struct later_wrong wrong[] = {
		LATER_WRONG(make_query, arg.query.size, 0),
		LATER_WRONG(make_query, arg.query.size, LATER_TIMESTAMP_LEAST - 1),
		LATER_WRONG(make_query, arg.query.pointer, NOWHERE_PTR),
	};

	return later_refused(later, wrong, LATER_COUNT(wrong));
}

/* Of 1.8 from here on. */

static int size_told(struct later *later)
{
	struct drm_panthor_dev_query call = { .type = LATER_QUERY_TIMESTAMP };
	int ret = GPU_IOCTL(&later->scene.gpu, PANTHOR_DEV_QUERY, &call);

	return ret ?: call.size >= sizeof(struct later_timestamp) ? 0 : fail(0, "%u bytes", call.size);
}

/* What of @told is not zero, as the flag that asks for it. */
static uint32_t answered(const struct later_timestamp *told)
{
	return (told->timestamp ? LATER_TIMESTAMP_GPU : 0) | (told->offset ? LATER_TIMESTAMP_OFFSET : 0) |
	       (told->cycles ? LATER_TIMESTAMP_CYCLES : 0) | (told->frequency ? LATER_TIMESTAMP_FREQUENCY : 0) |
	       (told->duration_ns ? LATER_TIMESTAMP_DURATION : 0) |
	       (told->cpu_sec || told->cpu_nsec ? LATER_TIMESTAMP_MONOTONIC : 0);
}

/* Of what may not be zero, this is asked for and comes; whatever was in the buffer, the rest is zero. */
static int asked_alone(struct later *later)
{
	static const struct { uint32_t flags, answer; } cases[] = {
		{ LATER_TIMESTAMP_GPU, LATER_TIMESTAMP_GPU },
		{ LATER_TIMESTAMP_MONOTONIC, LATER_TIMESTAMP_MONOTONIC },
		{ LATER_TIMESTAMP_MONOTONIC_RAW, LATER_TIMESTAMP_MONOTONIC },
		{ LATER_TIMESTAMP_CYCLES, LATER_TIMESTAMP_CYCLES },
		{ LATER_TIMESTAMP_FREQUENCY, LATER_TIMESTAMP_FREQUENCY },
		{ LATER_TIMESTAMP_FREQUENCY | LATER_TIMESTAMP_OFFSET, LATER_TIMESTAMP_FREQUENCY },
		{ LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_MONOTONIC, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_MONOTONIC },
		{ 0, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_FREQUENCY },
	};
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < LATER_COUNT(cases); i++) {
		struct later_timestamp told;
		uint32_t got;

		memset(&told, CANARY, sizeof(told));
		told.flags = cases[i].flags;
		ret = query(later, &told, sizeof(told));
		got = answered(&told) & ~LATER_TIMESTAMP_OFFSET;
		if (!ret && (got != cases[i].answer || told.flags != cases[i].flags))
			ret = fail(0, "flags 0x%x: answers 0x%x, flags 0x%x", cases[i].flags, got, told.flags);
	}
	return ret;
}

/* Two looks at the offset tell the same. */
static int offset_alone(struct later *later)
{
	struct moment all, alone;
	int ret = look(later, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_OFFSET, &all) ?:
		  look(later, LATER_TIMESTAMP_OFFSET, &alone);

	if (!ret && (all.told.offset != alone.told.offset || answered(&alone.told) & ~LATER_TIMESTAMP_OFFSET))
		ret = fail(0, "an offset of 0x%llx, then of 0x%llx", (unsigned long long)all.told.offset,
			   (unsigned long long)alone.told.offset);
	return ret;
}

static int clock_told(struct later *later, uint32_t flag, clockid_t clock)
{
	struct later_timestamp told = { .flags = flag | LATER_TIMESTAMP_GPU };
	int64_t before = ns_of(clock), at, after;
	int ret = query(later, &told, sizeof(told));

	after = ns_of(clock);
	at = told.cpu_sec * 1000000000LL + told.cpu_nsec;
	if (!ret && (at < before || at > after || told.cpu_nsec >= 1000000000))
		ret = fail(0, "%llu s, %llu ns, but it was %lld to %lld ns", (unsigned long long)told.cpu_sec,
			   (unsigned long long)told.cpu_nsec, (long long)before, (long long)after);
	return ret;
}

static int cpu_clocks(struct later *later)
{
	return clock_told(later, LATER_TIMESTAMP_MONOTONIC, CLOCK_MONOTONIC) ?:
	       clock_told(later, LATER_TIMESTAMP_MONOTONIC_RAW, CLOCK_MONOTONIC_RAW);
}

/* A GPU that works counts; how fast, is the GPU's to say. */
static int cycles(struct later *later)
{
	struct moment first, last;
	int ret = look(later, LATER_TIMESTAMP_CYCLES, &first) ?: later_stores(&later->scene, later->bo.va, 3) ?:
		  look(later, LATER_TIMESTAMP_CYCLES, &last);

	if (!ret && last.told.cycles <= first.told.cycles)
		ret = fail(0, "%llu cycles, then %llu", (unsigned long long)first.told.cycles,
			   (unsigned long long)last.told.cycles);
	return ret;
}

/* It takes some time, and no longer than the call. */
static int duration(struct later *later)
{
	struct moment all;
	int ret = look(later, LATER_TIMESTAMP_DURATION | LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_CYCLES |
		       LATER_TIMESTAMP_MONOTONIC | LATER_TIMESTAMP_FREQUENCY, &all);

	if (!ret && (!all.told.duration_ns || all.told.duration_ns > all.after - all.before ||
		     all.told.duration_ns > DURATION_MOST))
		ret = fail(0, "%u ns within %lld", all.told.duration_ns, (long long)(all.after - all.before));
	return ret;
}

static void make_flags(struct later *later, struct later_call *call)
{
	make_query(later, call);
	call->arg.query.size = sizeof(call->time);
	call->time.flags = LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_MONOTONIC;
}

static int wrong_flags(struct later *later)
{
	static const struct later_wrong wrong[] = {
		LATER_WRONG(make_flags, time.flags, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_CPU(3)),
		LATER_WRONG(make_flags, time.flags, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_CPU(4)),
		LATER_WRONG(make_flags, time.flags, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_CPU(5)),
		LATER_WRONG(make_flags, time.flags, LATER_TIMESTAMP_GPU | LATER_TIMESTAMP_CPU(7)),
		LATER_WRONG(make_flags, time.flags, LATER_TIMESTAMP_GPU | 1u << 8),
		LATER_WRONG(make_flags, time.flags, LATER_TIMESTAMP_GPU | 1u << 31),
		LATER_WRONG(make_flags, arg.query.size, LATER_TIMESTAMP_LEAST - 8),
		LATER_WRONG(make_flags, arg.query.pointer, NOWHERE_PTR),
	};

	return later_refused(later, wrong, LATER_COUNT(wrong));
}

/* Zeros behind what this kernel knows are borne, and anything else is not: it may be asked for something. */
static int larger_buffer(struct later *later)
{
	struct {
		struct later_timestamp told;
		uint64_t newer[16];
	} buffer = { .told.flags = LATER_TIMESTAMP_GPU };
	int ret = query(later, &buffer, sizeof(buffer));

	buffer.newer[15] = 1;
	if (!ret && query(later, &buffer, sizeof(buffer)) != -E2BIG)
		ret = fail(0, "what no kernel knows by now is borne");
	return ret;
}

int later_timestamp(void)
{
	static const struct later_check checks[] = {
		{ "it is the CPU's frequency", frequency },
		{ "time goes on as fast as on the CPU", time_awake },
		{ "and while the GPU sleeps", time_asleep },
		{ "short buffers", short_buffers },
		{ "wrong buffers", wrong_queries },
	};

	return LATER_RUN("timestamp", 1, "TIMESTAMP_INFO", checks);
}

int later_timestamp_flags(void)
{
	static const struct later_check checks[] = {
		{ "the size that is told", size_told },
		{ "only what was asked for", asked_alone },
		{ "the offset", offset_alone },
		{ "clocks of the CPU", cpu_clocks },
		{ "cycles", cycles },
		{ "how long it took", duration },
		{ "wrong flags", wrong_flags },
		{ "a larger buffer", larger_buffer },
	};

	return LATER_RUN("timestamp-flags", 8, "flags of TIMESTAMP_INFO", checks);
}
