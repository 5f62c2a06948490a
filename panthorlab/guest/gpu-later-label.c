// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BO_SET_LABEL: the name of a buffer is in its row in debugfs until it is another one, none, or the buffer is gone.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gpu-later.h"
#include "held.h"
#include "ktap.h"

#define NO_SUCH		0x7777u
#define NOWHERE_PTR	0x10ull		/* no address of a process */
#define TIMES		256u		/* labels of 4 KiB each: 1 MiB if none is freed */
#define TOLERABLE_KIB	256
#define SETTLE_MS	500

static char longest[LATER_LABEL_MOST + 1];

static int set_label(struct gpu *gpu, uint32_t handle, const char *label)
{
	struct later_set_label call = { .handle = handle, .label = (uintptr_t)label };

	return gpu_ioctl(gpu, LATER_IOCTL_SET_LABEL, &call, "BO_SET_LABEL");
}

static int label_is(struct later *later, uint32_t handle, const char *label)
{
	static char told[LATER_LABEL_MOST];
	uint64_t offset;
	int ret = later_offset(&later->scene.gpu, handle, &offset) ?: later_row(&later->scene.gpu, offset, told);

	return ret ?: !strcmp(told, label) ? 0 : fail(0, "the label is \"%.40s\" instead of \"%.40s\"", told, label);
}

static int set_and_look(struct later *later, uint32_t handle, const char *label)
{
	return set_label(&later->scene.gpu, handle, label) ?: label_is(later, handle, label ?: "");
}

static int shows(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	uint32_t other;
	int ret = later_bo(gpu, GPU_PAGE, 0, &other);

	ret = ret ?: set_and_look(later, later->bo.handle, "one of these") ?: label_is(later, other, "");
	ret = ret ?: set_and_look(later, other, "another") ?: label_is(later, later->bo.handle, "one of these");
	return ret ?: later_close(gpu, other) ?: label_is(later, later->bo.handle, "one of these");
}

static int replaced(struct later *later)
{
	int ret = set_and_look(later, later->bo.handle, "before") ?: set_and_look(later, later->bo.handle, "and after");

	return ret ?: set_and_look(later, later->bo.handle, "") ?: set_and_look(later, later->bo.handle, "again");
}

static int taken_away(struct later *later)
{
	return set_and_look(later, later->bo.handle, "not for long") ?: set_and_look(later, later->bo.handle, NULL);
}

/* What is behind it in memory is not the label's. */
static int length(struct later *later)
{
	int ret;

	memset(longest, 'l', LATER_LABEL_MOST);
	longest[LATER_LABEL_MOST - 1] = '\0';
	ret = set_and_look(later, later->bo.handle, longest);
	longest[LATER_LABEL_MOST - 1] = 'l';
	if (!ret && !gpu_refusal(set_label(&later->scene.gpu, later->bo.handle, longest)))
		ret = fail(0, "a label of %u bytes is taken", LATER_LABEL_MOST);
	longest[LATER_LABEL_MOST - 1] = '\0';
	return ret ?: label_is(later, later->bo.handle, longest);
}

static void make_label(struct later *later, struct later_call *call)
{
	call->request = LATER_IOCTL_SET_LABEL;
	call->arg.label = (struct later_set_label){
		.handle = later->bo.handle,
		.label = (uintptr_t)"kept",
	};
}

/* And what was refused has changed nothing. */
static int wrong_labels(struct later *later)
{
	static const struct later_wrong wrong[] = {
		LATER_WRONG(make_label, arg.label.handle, 0),
		LATER_WRONG(make_label, arg.label.handle, NO_SUCH),
		LATER_WRONG(make_label, arg.label.pad, 1),
		LATER_WRONG(make_label, arg.label.label, NOWHERE_PTR),
	};
	struct later_set_label nowhere = { .handle = later->bo.handle, .label = NOWHERE_PTR };
	int ret = later_refused(later, wrong, LATER_COUNT(wrong));

	(void)gpu_ioctl(&later->scene.gpu, LATER_IOCTL_SET_LABEL, &nowhere, "BO_SET_LABEL");
	return ret ?: label_is(later, later->bo.handle, "kept");
}

/* The next buffer in the same place has a row of its own. */
static int goes_with_it(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	uint32_t handle;
	uint64_t offset;
	int ret = later_bo(gpu, GPU_PAGE, 0, &handle) ?: later_offset(gpu, handle, &offset);

	ret = ret ?: set_and_look(later, handle, "will be gone") ?: later_close(gpu, handle);
	if (!ret && !later_row(gpu, offset, NULL))
		ret = fail(0, "the buffer is gone, its row is not");
	ret = ret ?: later_bo(gpu, GPU_PAGE, 0, &handle) ?: label_is(later, handle, "");
	return ret ?: later_close(gpu, handle);
}

/* None is kept: neither one that was replaced, nor one that was refused, nor that of a buffer that is gone. */
static int not_kept(struct later *later)
{
	struct gpu *gpu = &later->scene.gpu;
	long before = 0, more;
	unsigned int i;
	int ret = 0;

	longest[LATER_LABEL_MOST - 1] = '\0';
	for (i = 0; !ret && i < 2 * TIMES; i++) {
		uint32_t handle;

		if (i == TIMES)
			before = held_kib();
		ret = later_bo(gpu, GPU_PAGE, 0, &handle) ?: set_label(gpu, handle, longest) ?:
		      set_label(gpu, later->bo.handle, longest) ?: later_close(gpu, handle);
		if (!ret && !gpu_refusal(set_label(gpu, NO_SUCH, longest)))
			ret = fail(0, "a label of nothing is taken");
	}
	more = held_more(before, TOLERABLE_KIB, SETTLE_MS);
	if (!ret && more > TOLERABLE_KIB)
		ret = fail(0, "%u labels cost %ld KiB", 2 * TIMES, more);
	return ret;
}

int later_label(void)
{
	static const struct later_check checks[] = {
		{ "a label is in the row of its buffer", shows },
		{ "another label", replaced },
		{ "no label any more", taken_away },
		{ "the longest label", length },
		{ "wrong labels", wrong_labels },
		{ "a label goes with its buffer", goes_with_it },
		{ "labels cost no memory for good", not_kept },
	};
	struct gpu gpu;
	bool told = !gpu_open(&gpu) && later_gems(&gpu);

	/* Without the list there is nothing to see, but what is refused. A driver without labels has no list, either. */
	if (!told && gpu.version[1] >= 4) {
		ktap_start(1);
		out("ok 1 label # SKIP debugfs has no list of buffers\n");
		out_flush();
		return 0;
	}
	gpu_close(&gpu);
	return LATER_RUN("label", 4, "BO_SET_LABEL", checks);
}
