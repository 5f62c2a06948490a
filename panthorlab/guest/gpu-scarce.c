// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * There is no memory: the first allocation of a call fails, at the next try the second, and so on, until the call makes
 * fewer. It must fail, too, and have done nothing, or have done what it says. Then it works, and so does a job.
 *
 *   --mode maps     mappings: made, replaced and taken away, in part and in whole, at once and later
 *   --mode points   calls that signal points of timelines
 *   --mode objects  VMs, buffers, groups, heaps, jobs
 *   --mode late     calls that drivers after 1.0 have
 *   --mode files    opening, closing, mmap(), page faults, shared buffers
 *   --mode ends     what takes away what the GPU has in use
 *   --mode probe    the driver is put on its GPU
 *
 * What is known to go wrong (docs/findings) is spared, but for --unsparing. Needs a kernel with failslab
 * (kernel_configs/failslab.config).
 */

#define _GNU_SOURCE
#include "gpu-scarce.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ktap.h"
#include "options.h"
#include "sentinel.h"

#define BEYOND		64u		/* what a call may make more than when they were counted */

/* What came of a call that was @struck. Without that it must not fail. */
int scarce_note(struct scarce *s, int made, bool struck)
{
	if (made && !struck)
		return fail(made, "fails with all the memory that it wants");
	s->struck += struck;
	s->failed += made != 0;
	s->errors[-made]++;
	return 0;
}

void scarce_tell(const struct scarce *s, const char *name)
{
	unsigned int error;

	out("# info %s=%u/%u/%u\n", name, s->allocations, s->struck, s->failed);
	for (error = 1; error < SCARCE_ERRORS; error++)
		if (s->errors[error])
			out("# info %s.%s=%u\n", name, strerrorname_np(error), s->errors[error]);
}

/* A job of the group in use, and the VM's state: what other calls must find as it was. */
static int works(struct scarce *s)
{
	int ret = scarce_usable(s, s->scene.vm);

	return ret ?: scarce_stores(s, s->scene.group, 0, scene_result_va(&s->scene, 1));
}

static int begin_try(struct scarce *s)
{
	s->tries++;
	s->value = 0xa110c000 + s->tries;
	s->va = (uint64_t)s->tries << 30;	/* page tables of its own */
	s->point = s->tries;
	s->fd = -1;
	s->other.fd = -1;
	return s->call->begin ? s->call->begin(s) : 0;
}

/* After the call: if it has failed it must be as if it had not been, and works now. */
static int judge(struct scarce *s, int made, bool struck)
{
	const struct call *call = s->call;
	int ret = scarce_note(s, made, struck);

	if (!ret && made && made != -ENOMEM && made != call->also)
		ret = fail(made, "another error than ENOMEM");
	if (!ret && made && call->unchanged)
		ret = call->unchanged(s);
	if (!ret && made && call->make(s))
		return fail(0, "fails without reason after it has failed: %s", strdupa(last_error()));
	ret = ret ?: call->right ? call->right(s) : 0;
	return ret ?: call->end ? call->end(s) : 0;
}

/* With the @nth allocation failing. @left: of what it makes until then. */
static int try_call(struct scarce *s, unsigned int nth, unsigned int *left)
{
	int made, ret;

	ret = begin_try(s);
	ret = ret ?: scarce_arm(s, nth);
	if (ret)
		return ret;
	made = s->call->make(s);
	ret = scarce_disarm(s, left);
	ret = ret ?: judge(s, made, !*left);
	ret = ret ?: works(s);
	return ret ? fail(0, "allocation %u: %s", nth, strdupa(last_error())) : 0;
}

/*
 * Each allocation, or --most of them; then on until there is none: it may need more today than when they were counted. Or
 * less: what is made once for all is not made again.
 */
static int walk_allocations(struct scarce *s)
{
	unsigned int i, left, count;
	int ret = try_call(s, SCARCE_NEVER, &left);

	s->allocations = SCARCE_NEVER - left;
	count = s->most && s->most < s->allocations ? s->most : s->allocations;
	if (count < s->allocations) {
		for (i = 0; !ret && i < count; i++)
			ret = try_call(s, scarce_choose(s, i, s->allocations, s->most), &left);
		return ret;
	}
	for (i = 0, left = 0; !ret && !left && i < count + BEYOND; i++)
		ret = try_call(s, i + 1, &left);
	if (!ret && !left)
		ret = fail(0, "no end of its allocations after %u", i);
	return ret;
}

static void drop_scene(struct scarce *s)
{
	if (s->scene.streams.map)
		munmap((void *)s->scene.streams.map, s->scene.streams.size);
	if (s->scene.results.map)
		munmap((void *)s->scene.results.map, s->scene.results.size);
	gpu_close(&s->scene.gpu);
}

static int walk_call(struct scarce *s)
{
	char link[32];
	ssize_t size;
	int ret;

	memset(&s->scene, 0, sizeof(s->scene));
	s->tries = s->allocations = s->struck = s->failed = 0;
	memset(s->errors, 0, sizeof(s->errors));
	ret = scene_create(&s->scene, 2);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", s->scene.gpu.fd);
	size = ret ? 0 : readlink(link, s->path, sizeof(s->path) - 1);
	s->path[size > 0 ? size : 0] = '\0';
	ret = ret ?: gpu_syncobj_create(&s->scene.gpu, &s->syncobj);
	ret = ret ?: works(s);
	ret = ret ?: scarce_spare(s, s->call->spare);
	if (!ret && s->scene.gpu.version[1] >= s->call->minor)
		ret = walk_allocations(s);
	drop_scene(s);
	return ret ?: sentinel_job();
}

static bool wanted(const struct scarce *s, const struct call *call)
{
	return !*s->only || !strcmp(s->only, call->name);
}

/* All of them; what goes wrong with one does not keep the others from being tried. Returns the exit status. */
static int walk(struct scarce *s, const struct call *calls)
{
	unsigned int plan = 0;

	for (s->call = calls; s->call->name; s->call++)
		plan += wanted(s, s->call);
	ktap_start(plan);
	for (s->call = calls; s->call->name; s->call++) {
		int ret;

		if (!wanted(s, s->call))
			continue;
		ret = walk_call(s);
		scarce_tell(s, s->call->name);
		ktap_check(ret, "%s", s->call->name);
	}
	return ktap_status();
}

static const struct {
	const char *name;
	const struct call *calls;
} modes[] = {
	{ "maps", scarce_maps },   { "points", scarce_points }, { "objects", scarce_objects },
	{ "late", scarce_late },   { "files", scarce_files },	{ "ends", scarce_ends },
	{ "probe", NULL },	/* which is no call */
};

static void usage(FILE *stream)
{
	fputs("usage: gpu-scarce --mode maps|points|objects|late|files|ends|probe [--call NAME] [--lasting] [--unsparing]\n"
	      "                  [--most N] [--seed N]\n", stream);
}

int main(int argc, char **argv)
{
	struct scarce s = { .only = "" };
	const char *mode = "";
	unsigned int seed = 1;
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "call", .word = &s.only },
		{ "most", .number = &s.most, .least = 1, .most = INT32_MAX },
		{ "seed", .number = &seed, .most = INT32_MAX },
		{ "lasting", .flag = &s.lasting },
		{ "unsparing", .flag = &s.unsparing },
		{ 0 }
	};
	const struct call *calls;

	read_options(argc, argv, options, usage);
	calls = CHOOSE_MODE(modes, mode, usage)->calls;
	s.random = seed;
	if (scarce_begin(&s)) {
		ktap_start(1);
		ktap_result(1, false, "begin", last_error());
		return 1;
	}
	return calls ? walk(&s, calls) : scarce_probe(&s);
}
