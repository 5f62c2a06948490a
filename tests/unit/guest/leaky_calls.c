// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * uapi_leaks() of one kind of call, on a kernel of which each call costs KIB KiB for good and STACKS KiB of the stacks
 * of threads that stay.
 */

#define PANTHORLAB_GUEST_GPU_UAPI_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct call {
	union {
		struct {
			uint32_t vm_id;
		} group;
	} arg;
	char queue[8], op[8];
};

struct wrong;

struct uapi {
	int gpu;
	bool (*judge)(struct uapi *u, const struct wrong *w);
	bool counting;
	unsigned int results, calls, alone, turns;
};

struct wrong {
	const char *name;
	void (*make)(struct uapi *u, struct call *call);
	size_t offset;
};

void make_GROUP_CREATE(struct uapi *u, struct call *call);
int uapi_call(struct uapi *u, const struct wrong *w);
int gpu_refusal(int error);
int gpu_syncobj_create(const int *gpu, uint32_t *syncobj);
void uapi_wrong_calls(struct uapi *u);
void uapi_result(struct uapi *u, bool ok, const char *name);
void uapi_leaks(struct uapi *u);
int fail(int error, const char *format, ...);
int64_t now_us(void);

#include "gpu-uapi-leaks.c"

static long held, stacks;

void make_GROUP_CREATE(struct uapi *u, struct call *call)
{
	(void)u;
	(void)call;
}

int uapi_call(struct uapi *u, const struct wrong *w)
{
	(void)u;
	(void)w;
	held += KIB;
	stacks += STACKS;
	return -1;
}

int gpu_refusal(int error)
{
	return error;
}

int gpu_syncobj_create(const int *gpu, uint32_t *syncobj)
{
	(void)gpu;
	*syncobj = 1;
	held++;
	return 0;
}

void uapi_wrong_calls(struct uapi *u)
{
	u->judge(u, &(struct wrong){ "a wrong call", make_GROUP_CREATE, CALL });
}

void uapi_result(struct uapi *u, bool ok, const char *name)
{
	u->results++;
	printf("%s %s\n", ok ? "ok" : "not ok", name);
}

int fail(int error, const char *format, ...)
{
	(void)format;
	return error;
}

void out(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
}

int64_t now_us(void)
{
	return 0;
}

long held_kib(void)
{
	return held;
}

long held_stacks(void)
{
	return stacks;
}

void held_pause(void)
{
}

long held_more(long before, long tolerable, unsigned int settle_ms)
{
	(void)tolerable;
	(void)settle_ms;
	return held - before;
}

int main(void)
{
	struct uapi u = { .calls = 8 };

	uapi_leaks(&u);
	return u.results != 2;
}
