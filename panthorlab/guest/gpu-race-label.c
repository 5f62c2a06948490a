// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A buffer that is given a label by two calls: one of them is interrupted, and the other one is done meanwhile. The label
 * that was there before is freed once. If it is freed twice, the next two labels share its memory, and what the first of
 * these says is gone.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu-files.h"
#include "gpu-race-edge.h"
#include "gpu-race.h"
#include "ktap.h"
#include "later-uapi.h"

#define STEP_NS		64	/* of the place where the label is another one */
#define MINOR		4	/* panthor 1.4 has labels */
#define LIST_SIZE	65536u

/* All labels are as long as one may be: not much else in a kernel has pieces of memory of this size. */
enum label { BEFORE, ACTORS, DIRECTORS, FIRST, SECOND, LABELS };
static const char *const words[LABELS] = { "was-before", "of-actor", "of-director", "of-first", "of-second" };
static char labels[LABELS][LATER_LABEL_MOST];

/**
 * struct named - The buffer that both calls name, and two others
 */
static struct named {
	uint32_t handle, first, second;
} named;

static int name(struct race *race, uint32_t handle, enum label label)
{
	struct later_set_label call = { .handle = handle, .label = (uintptr_t)labels[label] };

	return raw(race, LATER_IOCTL_SET_LABEL, &call);
}

static void call_label(struct actor *actor)
{
	actor->ret = name(actor->race, named.handle, ACTORS);
}

/* What the driver's list says, which has all labels. */
static int list(struct race *race, const char **text)
{
	static char all[LIST_SIZE];
	char path[GPU_PATH_SIZE];

	*text = all;
	return gpu_debugfs(&race->lab.gpu, "gems", path) ?: read_text(path, all, sizeof(all));
}

/* One buffer that is named twice. @early: the call was stopped before it had given its label. */
static int label_round(struct race *race, struct actor *actor, struct edge *edge, bool *early)
{
	const char *text = "";
	int ret = name(race, named.handle, BEFORE);

	ret = ret ?: actor_stop_after(actor, ACTOR, edge->ns + rand() % STEP_NS);
	ret = ret ?: name(race, named.handle, DIRECTORS);
	ret = actor_finish(actor, ACTOR) ?: ret ?: actor->ret;
	ret = ret ?: name(race, named.first, FIRST) ?: name(race, named.second, SECOND);
	ret = ret ?: list(race, &text);
	if (ret)
		return fail(ret, "a label");
	*early = strstr(text, words[ACTORS]);
	if (*early == !!strstr(text, words[DIRECTORS]) || strstr(text, words[BEFORE]))
		return fail(0, "of two labels that a buffer was given it has neither or both");
	if (!strstr(text, words[FIRST]) || !strstr(text, words[SECOND]))
		return fail(0, "labels of two buffers are in one place: the one before was freed twice");
	edge_move(edge, *early);
	return 0;
}

static int make(struct race *race)
{
	uint32_t *const handles[] = { &named.handle, &named.first, &named.second };
	unsigned int i;
	int ret = 0;

	for (i = 0; i < LABELS; i++) {
		memset(labels[i], 'l', LATER_LABEL_MOST - 1);
		memcpy(labels[i], words[i], strlen(words[i]));
	}
	for (i = 0; !ret && i < sizeof(handles) / sizeof(handles[0]); i++) {
		struct drm_panthor_bo_create create = { .size = GPU_PAGE };

		ret = raw(race, DRM_IOCTL_PANTHOR_BO_CREATE, &create);
		*handles[i] = create.handle;
	}
	return ret ? fail(ret, "BO_CREATE") : 0;
}

int race_label(struct race *race)
{
	int64_t deadline = now_us() + race->limit_ms * 1000LL;
	unsigned int wanted = race->count ?: 24, early = 0, late = 0;
	struct edge edge = edge_begin(STEP_NS);
	struct actor actor;
	const char *text;
	bool was_early = false;
	int ret;

	if (race->lab.gpu.version[1] < MINOR || list(race, &text)) {
		out("# info skipped=%s\n", race->lab.gpu.version[1] < MINOR ? "no-labels" : "no-list");
		return 0;
	}
	ret = make(race) ?: actor_create(race, &actor, call_label);
	if (ret)
		return ret;
	while (!ret && (early < wanted || late < wanted) && now_us() < deadline) {
		ret = label_round(race, &actor, &edge, &was_early);
		early += !ret && was_early;
		late += !ret && !was_early;
	}
	if (!ret)
		actor_end(&actor);
	out("# stopped before its label was given %u, after that %u\n# given after %lld ns\n", early, late,
	    (long long)edge.ns);
	out("# info struck=%u\n", early < late ? early : late);
	return ret;
}
