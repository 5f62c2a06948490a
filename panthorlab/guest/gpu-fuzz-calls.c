// SPDX-License-Identifier: GPL-2.0-or-later
/* One line of a script as a call. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu-fuzz.h"
#include "ktap.h"

static bool slot_of(const char *text, enum fuzz_kind *kind, unsigned int *slot, char **end)
{
	const char *letter = *text ? strchr(FUZZ_LETTERS, *text) : NULL;

	if (!letter)
		return false;
	*kind = letter - FUZZ_LETTERS;
	*slot = strtoul(text + 1, end, 10);
	return *end > text + 1 && *slot < FUZZ_SLOTS;
}

/* A number, a slot, or either with a number added or subtracted. @fuzz NULL: only whether it is one. */
bool fuzz_value(const struct fuzz *fuzz, const char *text, uint64_t *value)
{
	enum fuzz_kind kind;
	unsigned int slot;
	char *end;

	if (slot_of(text, &kind, &slot, &end))
		*value = fuzz ? fuzz->slot[kind][slot] : 0;
	else
		*value = strtoull(text, &end, 0);
	if (end == text)
		return false;
	while (*end == '+' || *end == '-') {
		bool plus = *end == '+';
		char *digits = end + 1;
		uint64_t number = strtoull(digits, &end, 0);

		if (end == digits)
			return false;
		*value += plus ? number : -number;
	}
	return !*end;
}

static bool is_common(const char *name)
{
	return !strcmp(name, "times") || !strcmp(name, "beside") || !strcmp(name, "signal") ||
	       !strcmp(name, "wait");
}

/* 0, or -EINVAL: the line is none. */
int fuzz_check(const struct fuzz_line *line)
{
	const struct fuzz_call_kind *kind = fuzz_kind_of(line->call);
	unsigned int i, syncs = 0;
	uint64_t value;

	if (!kind)
		return fail(-EINVAL, "line %u: no call %s", line->number, line->call);
	for (i = 0; i < line->words; i++) {
		const struct fuzz_word *word = &line->word[i];
		enum fuzz_kind into;
		unsigned int slot;
		char *end;

		if (!word->value && slot_of(word->name, &into, &slot, &end) && !*end && kind->done &&
		    into == kind->into)
			continue;
		if (kind->request == DRM_IOCTL_PANTHOR_GROUP_SUBMIT && word->value &&
		    !strcmp(word->name, "stream") && fuzz_stream(word->value) >= 0)
			continue;
		if (!is_common(word->name) && !fuzz_field_of(kind, word->name))
			return fail(-EINVAL, "line %u: %s has no %s", line->number, line->call,
				    word->name);
		syncs += !strcmp(word->name, "signal") || !strcmp(word->name, "wait");
		if (syncs > FUZZ_SYNCS)
			return fail(-EINVAL, "line %u: more than %u syncs", line->number,
				    FUZZ_SYNCS);
		if (word->value && !fuzz_value(NULL, word->value, &value))
			return fail(-EINVAL, "line %u: %s is no value", line->number, word->value);
	}
	return 0;
}

/**
 * struct ready - A call as its line wants it, also for a thread of its own
 * @gpu: the file that it is made on, whatever the script goes on with
 * @end: of the user's addresses of the VM that it maps in; UINT64_MAX if that is not known
 */
struct ready {
	const struct fuzz_line *line;
	uint64_t end;
	struct fuzz *fuzz;
	struct gpu gpu;
	const struct fuzz_call_kind *kind;
	unsigned int times;
	bool beside;
	unsigned int into;
	struct fuzz_request request;
	struct drm_panthor_obj_array syncs;
};

static void apply(struct fuzz *fuzz, const struct fuzz_word *word, struct ready *ready)
{
	const struct fuzz_field *field = fuzz_field_of(ready->kind, word->name);
	struct fuzz_request *request = &ready->request;
	uint64_t value = 1;
	enum fuzz_kind kind;
	char *end;

	if (!strcmp(word->name, "stream")) {
		unsigned int stream = fuzz_stream(word->value);

		request->job[0].stream_addr = FUZZ_VA + stream * FUZZ_STREAM;
		request->job[0].stream_size = fuzz_stream_size(stream);
		return;
	}
	if (word->value)
		fuzz_value(fuzz, word->value, &value);
	if (field)
		memcpy((char *)request + field->offset, &value, field->size);
	else if (!strcmp(word->name, "times"))
		ready->times = value;
	else if (!strcmp(word->name, "beside"))
		ready->beside = true;
	else if (!strcmp(word->name, "signal") || !strcmp(word->name, "wait"))
		request->sync[ready->syncs.count++] = (struct drm_panthor_sync_op){
			.flags = *word->name == 'w' ? DRM_PANTHOR_SYNC_OP_WAIT :
						      DRM_PANTHOR_SYNC_OP_SIGNAL,
			.handle = value,
		};
	else
		slot_of(word->name, &kind, &ready->into, &end);
}

static struct ready *make_ready(struct fuzz *fuzz, const struct fuzz_line *line)
{
	struct ready *ready = calloc(1, sizeof(*ready));
	struct fuzz_request *request;
	unsigned int i;

	if (!ready)
		abort();
	request = &ready->request;
	ready->line = line;
	ready->end = UINT64_MAX;
	ready->fuzz = fuzz;
	ready->gpu = fuzz->gpu;
	ready->kind = fuzz_kind_of(line->call);
	ready->times = 1;
	ready->syncs.stride = sizeof(request->sync[0]);
	ready->syncs.array = (uintptr_t)request->sync;
	ready->kind->make(fuzz, request);
	for (i = 0; i < line->words; i++)
		apply(fuzz, &line->word[i], ready);
	if (ready->kind->request == DRM_IOCTL_PANTHOR_VM_BIND)
		for (i = 0; i < FUZZ_SLOTS; i++)
			if (fuzz->vm[i] && fuzz->vm[i] == request->arg.bind.vm_id)
				ready->end = fuzz->slot[FUZZ_END][i];
	request->op[0].syncs = request->job[0].syncs = ready->syncs;
	for (i = 1; i < FUZZ_OPS; i++) {
		request->op[i] = request->op[0];
		request->job[i] = request->job[0];
		request->sync_op[i] = request->sync_op[0];
	}
	return ready;
}

/*
 * Whether what has worked must have been refused whatever else the script does: a mapping where the
 * kernel has its own, which it must not let anybody change.
 */
static bool takes_what_is_the_kernels(const struct ready *ready)
{
	const struct drm_panthor_vm_bind_op *op = &ready->request.op[0];
	uint64_t last = op->va + op->size - 1;

	return ready->kind->request == DRM_IOCTL_PANTHOR_VM_BIND && ready->end != UINT64_MAX &&
	       ready->request.arg.bind.ops.count && op->size &&
	       (op->flags & DRM_PANTHOR_VM_BIND_OP_TYPE_MASK) != DRM_PANTHOR_VM_BIND_OP_TYPE_SYNC_ONLY &&
	       (last >= ready->end || last < op->va);
}

/* The same arguments each time: the kernel writes over them. */
static int repeat(struct ready *ready, struct fuzz_request *request)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ready->times; i++) {
		*request = ready->request;
		ret = ready->kind->perform ? ready->kind->perform(ready->fuzz, request) :
		      gpu_ioctl(&ready->gpu, ready->kind->request, &request->arg, ready->kind->name);
		if (ret == -EUCLEAN) {
			out("# lost %s\n", ready->line->text);
			out_flush();
		}
		if (!ret && !ready->beside && takes_what_is_the_kernels(ready)) {
			out("# accepted %s\n", ready->line->text);
			out_flush();
		}
	}
	return ret;
}

static void *beside(void *argument)
{
	struct fuzz_request request;
	struct ready *ready = argument;

	repeat(ready, &request);
	free(ready);
	return NULL;
}

/* A call with the word `beside` is made by a thread, meanwhile the script goes on. */
void fuzz_call(struct fuzz *fuzz, const struct fuzz_line *line)
{
	struct ready *ready = make_ready(fuzz, line);
	struct fuzz_request request;

	if (ready->beside && !ready->kind->alone && fuzz->threads < FUZZ_THREADS &&
	    !pthread_create(&fuzz->thread[fuzz->threads], NULL, beside, ready)) {
		fuzz->threads++;
		return;
	}
	if (!repeat(ready, &request) && ready->times && ready->kind->done)
		ready->kind->done(fuzz, &request, ready->into);
	free(ready);
}

/* A file with its syncobjs: a signal of one that does not exist kills 6.12.117 (docs/findings/0001). */
int fuzz_open(struct fuzz *fuzz)
{
	unsigned int i;
	int ret = gpu_open(&fuzz->gpu);

	memset(fuzz->streams, 0, sizeof(fuzz->streams));
	memset(fuzz->vm, 0, sizeof(fuzz->vm));
	for (i = 0; !ret && i < FUZZ_SYNCOBJS; i++) {
		uint32_t syncobj;

		ret = gpu_syncobj_create(&fuzz->gpu, &syncobj);
		fuzz->slot[FUZZ_SYNCOBJ][i] = syncobj;
	}
	return ret;
}

/*
 * Of the old file the slots keep what are guessed handles in a new one. What threads do goes on while the file is closed,
 * and what the CPU has mapped keeps the file.
 */
void fuzz_close(struct fuzz *fuzz)
{
	unsigned int i;

	for (i = 0; i < FUZZ_SLOTS; i++)
		if (fuzz->streams[i])
			munmap((void *)fuzz->streams[i], FUZZ_STREAMS_SIZE);
	gpu_close(&fuzz->gpu);
	while (fuzz->threads)
		pthread_join(fuzz->thread[--fuzz->threads], NULL);
}

#define SWAP(a, b) do {				\
	__typeof__(a) swapped;			\
						\
	memcpy(&swapped, &(a), sizeof(a));	\
	memcpy(&(a), &(b), sizeof(a));		\
	memcpy(&(b), &swapped, sizeof(a));	\
} while (0)

/* The script goes on with its other file, which is opened when it is first used. */
void fuzz_switch(struct fuzz *fuzz)
{
	unsigned int kind;

	SWAP(fuzz->gpu, fuzz->aside.gpu);
	SWAP(fuzz->streams, fuzz->aside.streams);
	SWAP(fuzz->vm, fuzz->aside.vm);
	for (kind = 0; kind < FUZZ_SHARED; kind++)
		SWAP(fuzz->slot[kind], fuzz->aside.slot[kind]);
}
