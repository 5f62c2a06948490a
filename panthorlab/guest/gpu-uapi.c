// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls of panthor's uAPI that must be refused, each a call that works but for one field. That the
 * call works without it is checked before and after, so a GPU that refuses everything is no pass.
 *
 *   --mode arguments    every such call once
 *   --mode leaks        every such call --count times, more if it seems to lose; none may cost memory for good
 *   --mode permissions  realtime and high priority, with and without the right to have it
 *   --mode priorities   what is told of priorities is what is granted
 *   --mode mappings     mmap() of what a GPU file has to map, and of what it has not
 *   --mode answers      what calls that work must answer and do
 *   --mode signals      syncobjs to signal that do not exist; 6.12.117 dies of it
 *   --mode counts       arrays larger than any memory; 6.12.117 and 7.3.4 warn of them
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu-uapi.h"
#include "ktap.h"
#include "options.h"

static const char *verdict_name(int error)
{
	return error ? strerrorname_np(-error) : "accepted";
}

void uapi_result(struct uapi *u, bool ok, const char *name)
{
	ktap_result(++u->results, ok, name, last_error());
	u->failed += !ok;
}

int uapi_call(struct uapi *u, const struct wrong *w)
{
	struct call call = { 0 };

	w->make(u, &call);
	memcpy((char *)&call + w->offset, &w->value, w->size);
	return gpu_ioctl(&u->gpu, call.request, &call.arg, w->name);
}

static bool uapi_refused(struct uapi *u, const struct wrong *w)
{
	int ret;

	if (u->counting)
		return ++u->results;
	ret = uapi_call(u, w);
	if (!gpu_refusal(ret))
		fail(0, "%s", verdict_name(ret));
	uapi_result(u, gpu_refusal(ret), w->name);
	return gpu_refusal(ret);
}

/* The calls as they are meant: each must work, or refusing them would prove nothing. */
static bool works(struct uapi *u, const char *name, void (*make)(struct uapi *, struct call *))
{
	struct call call = { 0 };
	char text[96];
	int ret;

	if (u->counting)
		return ++u->results;
	snprintf(text, sizeof(text), "%s works", name);
	make(u, &call);
	ret = gpu_ioctl(&u->gpu, call.request, &call.arg, name);
	uapi_result(u, !ret, text);
	return !ret;
}

static bool all_work(struct uapi *u)
{
#define WORKS(name) works(u, #name, make_##name)
	return WORKS(DEV_QUERY) && WORKS(VM_CREATE) && WORKS(VM_GET_STATE) && WORKS(BO_CREATE) &&
	       WORKS(BO_MMAP_OFFSET) && WORKS(MAP) && WORKS(UNMAP) && WORKS(MAP_ASYNC) &&
	       WORKS(MAP_AFTER) && WORKS(UNMAP_ASYNC) && WORKS(SYNC_ONLY) && WORKS(GROUP_CREATE) &&
	       WORKS(GROUP_GET_STATE) && WORKS(SUBMIT) && WORKS(SUBMIT_AFTER) &&
	       WORKS(SUBMIT_NO_SYNCS) && WORKS(SUBMIT_NOTHING) && WORKS(BIND_NOTHING) &&
	       WORKS(BIND_NOTHING_ASYNC) && WORKS(MAP_ASYNC_NO_SYNCS) && WORKS(HEAP_CREATE);
}

static bool destroys_work(struct uapi *u)
{
	return WORKS(HEAP_DESTROY) && WORKS(GROUP_DESTROY) && WORKS(VM_DESTROY);
}

static void both_ends(struct uapi *u)
{
	all_work(u);
	uapi_wrong_calls(u);
	all_work(u);
	destroys_work(u);
	uapi_gone(u);
}

static void signals(struct uapi *u)
{
	all_work(u);
	uapi_wrong_signals(u);
	all_work(u);
}

static void counts(struct uapi *u)
{
	all_work(u);
	uapi_wrong_counts(u);
	all_work(u);
}

/* Run @checks with @judge, twice: the first time only to count the results for the plan. */
static int planned(struct uapi *u, void (*checks)(struct uapi *),
		   bool (*judge)(struct uapi *, const struct wrong *))
{
	u->judge = judge;
	u->counting = true;
	checks(u);
	ktap_start(u->results);
	u->results = 0;
	u->counting = false;
	if (uapi_open(u))
		uapi_result(u, false, "open");
	else
		checks(u);
	return u->failed ? 1 : 0;
}

static int group_of(struct uapi *u, unsigned int priority)
{
	struct call call = { 0 };

	make_GROUP_CREATE(u, &call);
	call.arg.group.priority = priority;
	return gpu_ioctl(&u->gpu, call.request, &call.arg, "GROUP_CREATE");
}

/* In a child that has given its rights up for good, with the file that it inherited. */
static int group_of_nobody(struct uapi *u, unsigned int priority)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(255);
		_exit(-group_of(u, priority));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) == 255)
		return fail(-ECHILD, "no process without rights");
	return -WEXITSTATUS(status);
}

static int permissions(struct uapi *u)
{
	static const struct {
		const char *name;
		unsigned int priority;
		bool nobody;
		int expected;
	} cases[] = {
		{ "low priority for anybody", PANTHOR_GROUP_PRIORITY_LOW, true, 0 },
		{ "medium priority for anybody", PANTHOR_GROUP_PRIORITY_MEDIUM, true, 0 },
		{ "high priority for root", PANTHOR_GROUP_PRIORITY_HIGH, false, 0 },
		{ "high priority for nobody", PANTHOR_GROUP_PRIORITY_HIGH, true, -EACCES },
		/* Kernels that do not know it refuse it, whoever asks. */
		{ "realtime priority for nobody", PANTHOR_GROUP_PRIORITY_HIGH + 1, true, -EACCES },
	};
	size_t i;

	ktap_start(sizeof(cases) / sizeof(cases[0]));
	if (uapi_open(u)) {
		uapi_result(u, false, "open");
		return 1;
	}
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int expected = cases[i].expected;
		int ret = cases[i].nobody ? group_of_nobody(u, cases[i].priority) :
					    group_of(u, cases[i].priority);
		bool ok = ret == expected || (ret == -EINVAL && cases[i].priority >
							PANTHOR_GROUP_PRIORITY_HIGH);

		fail(0, "expected %s, got %s", verdict_name(expected), verdict_name(ret));
		uapi_result(u, ok, cases[i].name);
	}
	return u->failed ? 1 : 0;
}

static void usage(FILE *stream)
{
	fputs("usage: gpu-uapi --mode arguments|leaks|permissions|priorities|mappings|answers|signals|counts"
	      " [--count N]\n", stream);
}

int main(int argc, char **argv)
{
	struct uapi u = { .calls = 1024 };
	const char *mode = "";
	const struct program_option options[] = {
		{ "mode", .word = &mode },
		{ "count", .number = &u.calls, .least = 1, .most = 1000000 },
		{ 0 }
	};

	read_options(argc, argv, options, usage);
	if (!strcmp(mode, "arguments"))
		return planned(&u, both_ends, uapi_refused);
	if (!strcmp(mode, "leaks"))
		return planned(&u, uapi_leaks, NULL);
	if (!strcmp(mode, "signals"))
		return planned(&u, signals, uapi_refused);
	if (!strcmp(mode, "counts"))
		return planned(&u, counts, uapi_refused);
	if (!strcmp(mode, "permissions"))
		return permissions(&u);
	if (!strcmp(mode, "priorities"))
		return uapi_priorities(&u);
	if (!strcmp(mode, "mappings"))
		return planned(&u, uapi_mappings, uapi_refused);
	if (!strcmp(mode, "answers"))
		return planned(&u, uapi_answers, uapi_refused);
	bad_usage(usage);
}
