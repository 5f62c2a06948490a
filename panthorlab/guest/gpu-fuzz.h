/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_FUZZ_H
#define PANTHORLAB_GUEST_GPU_FUZZ_H

#include <pthread.h>

#include "gpu.h"
#include "later-uapi.h"

#define FUZZ_SLOTS	16u
#define FUZZ_ARGS	16u
#define FUZZ_OPS	4u		/* elements of the arrays of VM_BIND and GROUP_SUBMIT */
#define FUZZ_THREADS	8u
#define FUZZ_SYNCOBJS	4u		/* that every file has from the start */
#define FUZZ_VA		0x10000000ull	/* streams, in every VM that vm_create has made */
#define FUZZ_STREAMS_SIZE (3 * GPU_PAGE)
#define FUZZ_SYNCS	2u		/* of one call */
#define FUZZ_STREAM	512u		/* bytes of one stream */

/*
 * One letter each, in this order: v0, b0, g0, h0, s0; e0 is the end of the user's addresses of v0; m0 is what the CPU
 * has mapped, f0 a dma-buf. From FUZZ_SHARED on they are the process's, not the file's.
 */
enum fuzz_kind {
	FUZZ_VM, FUZZ_BO, FUZZ_GROUP, FUZZ_HEAP, FUZZ_SYNCOBJ, FUZZ_END, FUZZ_SHARED,
	FUZZ_MAP = FUZZ_SHARED, FUZZ_FILE, FUZZ_KINDS,
};
#define FUZZ_LETTERS "vbghsemf"

/**
 * struct fuzz_map - What the CPU has mapped and keeps until it is told not to, or the process ends
 * @pages: with a mark in each, which must stay; 0: none is looked at
 */
struct fuzz_map {
	char *at;
	size_t size;
	unsigned int pages;
};

/**
 * struct fuzz_side - The file of a process that it does not use at the moment
 */
struct fuzz_side {
	struct gpu gpu;
	uint64_t slot[FUZZ_SHARED][FUZZ_SLOTS];
	volatile void *streams[FUZZ_SLOTS];
	uint32_t vm[FUZZ_SLOTS];
};

/**
 * struct fuzz - What one process of a script has
 * @slot: the handle that a slot has, or has had; 0 before. An address, or a file, -1 for none
 * @streams: of the VM in the slot, for the CPU
 * @vm: the VM of this file whose end of the user's addresses the slot has; 0 if it has none
 * @aside: its other file
 * @thread: calls with the word `beside`, until the file is closed
 */
struct fuzz {
	struct gpu gpu;
	uint64_t slot[FUZZ_KINDS][FUZZ_SLOTS];
	volatile void *streams[FUZZ_SLOTS];
	uint32_t vm[FUZZ_SLOTS];
	struct fuzz_map map[FUZZ_SLOTS];
	struct fuzz_side aside;
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
 * union fuzz_later_arg - Argument of a call that panthor 1.0 has not, or that is DRM's
 */
union fuzz_later_arg {
	struct later_bo_sync sync;
	struct later_bo_info info;
	struct later_set_label label;
	struct later_set_mmio_offset mmio;
	struct drm_prime_handle prime;
};

/**
 * struct fuzz_plain - What is no ioctl's: places in a mapping, a dma-buf, how much
 */
struct fuzz_plain {
	uint64_t map, from, size, flags;
	int file;
	uint32_t pages, out;
};

/**
 * struct fuzz_request - One ioctl with all that it points to, so that any field of it can be written
 */
struct fuzz_request {
	union {
		union gpu_arg arg;
		union fuzz_later_arg later;
	};
	struct fuzz_plain plain;
	struct later_bo_sync_op sync_op[FUZZ_OPS];
	struct later_timestamp time;
	char label[LATER_LABEL_MOST + 16];
	struct drm_panthor_queue_create queue[GPU_QUEUES_MAX];
	struct drm_panthor_vm_bind_op op[FUZZ_OPS];
	struct drm_panthor_queue_submit job[FUZZ_OPS];
	struct drm_panthor_sync_op sync[FUZZ_SYNCS];
	char info[GPU_PAGE];	/* as much as a query may ask to be cleared */
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
 * @perform: does what no ioctl of the file's does; 0 or a negative errno
 * @alone: only the script itself may do it, no thread
 */
struct fuzz_call_kind {
	const char *name;
	unsigned long request;
	void (*make)(struct fuzz *fuzz, struct fuzz_request *call);
	void (*done)(struct fuzz *fuzz, struct fuzz_request *call, unsigned int slot);
	enum fuzz_kind into;
	struct fuzz_field field[FUZZ_ARGS];
	int (*perform)(struct fuzz *fuzz, struct fuzz_request *call);
	bool alone;
};

#define FUZZ_MAP_VA	0x1000000ull	/* where mappings are unless they say so */
#define FUZZ_MAP_SIZE	0x4000ull
#define FUZZ_OF(member)	offsetof(struct fuzz_request, member), sizeof(((struct fuzz_request *)0)->member)
#define FUZZ_BIND_FIELDS							\
	{ "vm", FUZZ_OF(arg.bind.vm_id) }, { "async", FUZZ_OF(arg.bind.flags) },	\
	{ "ops", FUZZ_OF(arg.bind.ops.count) }, { "stride", FUZZ_OF(arg.bind.ops.stride) }, \
	{ "bo", FUZZ_OF(op[0].bo_handle) }, { "offset", FUZZ_OF(op[0].bo_offset) },	\
	{ "va", FUZZ_OF(op[0].va) }, { "size", FUZZ_OF(op[0].size) }, { "flags", FUZZ_OF(op[0].flags) }

const struct fuzz_call_kind *fuzz_kind_of(const char *name);
const struct fuzz_field *fuzz_field_of(const struct fuzz_call_kind *kind, const char *name);

/* gpu-fuzz-later.c and gpu-fuzz-memory.c: further kinds, the last one without a name */
extern const struct fuzz_call_kind fuzz_later_kinds[];
extern const struct fuzz_call_kind fuzz_memory_kinds[];

/* gpu-fuzz-memory.c */
void fuzz_memory_begin(struct fuzz *fuzz);

/* gpu-fuzz-calls.c */
int fuzz_open(struct fuzz *fuzz);
void fuzz_close(struct fuzz *fuzz);
void fuzz_switch(struct fuzz *fuzz);
int fuzz_check(const struct fuzz_line *line);
void fuzz_call(struct fuzz *fuzz, const struct fuzz_line *line);
bool fuzz_value(const struct fuzz *fuzz, const char *text, uint64_t *value);

/* gpu-fuzz-streams.c */
int fuzz_stream(const char *name);
uint32_t fuzz_stream_size(unsigned int index);
void fuzz_write_streams(volatile void *page);
void fuzz_set_heap(volatile void *page, uint64_t context, uint64_t chunk, uint32_t chunk_size);

#endif
