/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_FUZZ_H
#define PANTHORLAB_GUEST_GPU_FUZZ_H

#include <pthread.h>

#include "gpu.h"

#define FUZZ_SLOTS	16u
#define FUZZ_ARGS	16u
#define FUZZ_OPS	4u		/* elements of the arrays of VM_BIND and GROUP_SUBMIT */
#define FUZZ_THREADS	8u
#define FUZZ_SYNCOBJS	4u		/* that every file has from the start */
#define FUZZ_VA		0x10000000ull	/* streams, in every VM that vm_create has made */
#define FUZZ_STREAMS_SIZE (3 * GPU_PAGE)
#define FUZZ_SYNCS	2u		/* of one call */
#define FUZZ_STREAM	512u		/* bytes of one stream */

/* One letter each, in this order: v0, b0, g0, h0, s0; e0 is the end of the user's addresses of v0. */
enum fuzz_kind { FUZZ_VM, FUZZ_BO, FUZZ_GROUP, FUZZ_HEAP, FUZZ_SYNCOBJ, FUZZ_END, FUZZ_KINDS };
#define FUZZ_LETTERS "vbghse"

/**
 * struct fuzz - What one process of a script has
 * @slot: the handle that a slot has, or has had; 0 before
 * @streams: of the VM in the slot, for the CPU
 * @vm: the VM of this file whose end of the user's addresses the slot has; 0 if it has none
 * @thread: calls with the word `beside`, until the file is closed
 */
struct fuzz {
	struct gpu gpu;
	uint64_t slot[FUZZ_KINDS][FUZZ_SLOTS];
	volatile void *streams[FUZZ_SLOTS];
	uint32_t vm[FUZZ_SLOTS];
	pthread_t thread[FUZZ_THREADS];
	unsigned int threads;
};

/**
 * struct fuzz_word - NAME=VALUE of a line, or NAME alone
 * @value: text, NULL for NAME alone
 */
struct fuzz_word {
	const char *name;
	const char *value;
};

/**
 * struct fuzz_line - One line of a script
 * @number: in the script, from 1 on
 * @text: as it was written
 */
struct fuzz_line {
	unsigned int number;
	char *text;
	const char *call;
	struct fuzz_word word[FUZZ_ARGS];
	unsigned int words;
};

/**
 * struct fuzz_request - One ioctl with all that it points to, so that any field of it can be written
 */
struct fuzz_request {
	union gpu_arg arg;
	struct drm_panthor_queue_create queue[GPU_QUEUES_MAX];
	struct drm_panthor_vm_bind_op op[FUZZ_OPS];
	struct drm_panthor_queue_submit job[FUZZ_OPS];
	struct drm_panthor_sync_op sync[FUZZ_SYNCS];
	char info[256];
};

/**
 * struct fuzz_field - Where a field is in struct fuzz_request
 */
struct fuzz_field {
	const char *name;
	size_t offset, size;
};

/**
 * struct fuzz_call_kind - A kind of call
 * @make: writes the call that works
 * @done: keeps what it has made; NULL: nothing
 * @into: kind of the slot that takes it
 */
struct fuzz_call_kind {
	const char *name;
	unsigned long request;
	void (*make)(struct fuzz *fuzz, struct fuzz_request *call);
	void (*done)(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot);
	enum fuzz_kind into;
	struct fuzz_field field[FUZZ_ARGS];
};

/* gpu-fuzz-kinds.c */
const struct fuzz_call_kind *fuzz_kind_of(const char *name);
const struct fuzz_field *fuzz_field_of(const struct fuzz_call_kind *kind, const char *name);

/* gpu-fuzz-calls.c */
int fuzz_open(struct fuzz *fuzz);
void fuzz_close(struct fuzz *fuzz);
int fuzz_check(const struct fuzz_line *line);
void fuzz_call(struct fuzz *fuzz, const struct fuzz_line *line);
bool fuzz_value(const struct fuzz *fuzz, const char *text, uint64_t *value);

/* gpu-fuzz-streams.c */
int fuzz_stream(const char *name);
uint32_t fuzz_stream_size(unsigned int index);
void fuzz_write_streams(volatile void *page);
void fuzz_set_heap(volatile void *page, uint64_t context, uint64_t chunk, uint32_t chunk_size);

#endif
