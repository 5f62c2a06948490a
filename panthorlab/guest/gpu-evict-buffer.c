// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Buffers with something in them, which the GPU and the CPU look for.
 */

#include "gpu-evict.h"

#include <errno.h>

#define TRIES		5u	/* the driver skips what it does not get the locks of */
#define LOADED		(GPU_PAGE / 4 - PAGES_READ)	/* words of the results before those that were loaded */

enum { REG_FROM = 0, REG_TO = 2, REG_WORD = 4 };

int buffer_make(struct scene *scene, bool shared, unsigned int pages, unsigned int step, struct buffer *buffer)
{
	static uint32_t last = 0x1000;

	*buffer = (struct buffer){ .pages = pages, .step = step, .value = last += 0x1000 };
	return gpu_bo_make(&scene->gpu, shared ? 0 : scene->vm, (size_t)pages * GPU_PAGE, &buffer->bo);
}

static int bind(struct scene *scene, uint32_t vm, struct drm_panthor_vm_bind_op op)
{
	struct drm_panthor_vm_bind bind = { .vm_id = vm, .ops = DRM_PANTHOR_OBJ_ARRAY(1, &op) };

	return GPU_IOCTL(&scene->gpu, PANTHOR_VM_BIND, &bind);
}

int buffer_map(struct scene *scene, uint32_t vm, const struct buffer *buffer, uint64_t va, unsigned int from,
	       unsigned int count, uint32_t flags)
{
	return bind(scene, vm, (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_MAP | DRM_PANTHOR_VM_BIND_OP_MAP_NOEXEC | flags,
		.bo_handle = buffer->bo.handle,
		.bo_offset = (uint64_t)from * GPU_PAGE,
		.va = va,
		.size = (uint64_t)count * GPU_PAGE,
	});
}

int buffer_unmap(struct scene *scene, uint32_t vm, uint64_t va, unsigned int count)
{
	return bind(scene, vm, (struct drm_panthor_vm_bind_op){
		.flags = DRM_PANTHOR_VM_BIND_OP_TYPE_UNMAP,
		.va = va,
		.size = (uint64_t)count * GPU_PAGE,
	});
}

/* A stream of a whole page. */
static struct cs whole(struct scene *scene)
{
	return (struct cs){ .words = scene->streams.map, .capacity = GPU_PAGE / 8 };
}

static int run(struct scene *scene, struct cs *cs)
{
	static uint32_t token = 0x70000000;

	cs_tell(cs, scene_result_va(scene, 0), ++token);
	return scene_submit(scene, scene->group, 0, cs, 0) ?: scene_right(scene, 0, token);
}

int buffer_fill(struct scene *scene, struct buffer *buffer, uint64_t va)
{
	struct cs cs = whole(scene);
	unsigned int page;

	buffer->value += 0x10000;	/* never what was there before */
	for (page = 0; page < buffer->pages; page += buffer->step) {
		cs_move48(&cs, REG_TO, va + (uint64_t)page * GPU_PAGE);
		cs_move32(&cs, REG_WORD, buffer->value + page);
		cs_store32(&cs, REG_TO, REG_WORD);
	}
	return run(scene, &cs);
}

int buffer_read_part(struct scene *scene, const struct buffer *buffer, uint64_t va, unsigned int from, unsigned int to)
{
	volatile uint32_t *loaded = (volatile uint32_t *)scene->results.map + LOADED;
	unsigned int first = (from + buffer->step - 1) / buffer->step * buffer->step, page, i;
	struct cs cs = whole(scene);
	int ret;

	for (page = first, i = 0; page < to; page += buffer->step, i++) {
		loaded[i] = 0;
		cs_move48(&cs, REG_FROM, va + (uint64_t)(page - from) * GPU_PAGE);
		cs_move48(&cs, REG_TO, scene->results.va + (LOADED + i) * 4);
		cs_load32(&cs, REG_WORD, REG_FROM);
		cs_wait(&cs, CS_SB_ALL);
		cs_store32(&cs, REG_TO, REG_WORD);
		cs_wait(&cs, CS_SB_ALL);
	}
	ret = i && i <= PAGES_READ ? run(scene, &cs) : fail(-EINVAL, "%u pages to read", i);
	for (page = first, i = 0; !ret && page < to; page += buffer->step, i++)
		if (loaded[i] != buffer->value + page)
			ret = fail(0, "the GPU reads 0x%x in page %u of the buffer, not 0x%x", loaded[i], page,
				   buffer->value + page);
	return ret;
}

int buffer_read(struct scene *scene, const struct buffer *buffer, uint64_t va)
{
	return buffer_read_part(scene, buffer, va, 0, buffer->pages);
}

int buffer_seen(const struct buffer *buffer)
{
	unsigned int page;

	for (page = 0; page < buffer->pages; page += buffer->step) {
		uint32_t is = *(volatile uint32_t *)((char *)buffer->bo.map + (size_t)page * GPU_PAGE);

		if (is != buffer->value + page)
			return fail(0, "the CPU reads 0x%x in page %u of the buffer, not 0x%x", is, page,
				    buffer->value + page);
	}
	return 0;
}

static int goes(struct scene *scene, const struct buffer *buffer, bool by_kernel)
{
	struct gem before, after;
	unsigned long gone;
	unsigned int i;
	int ret = evict_row(&scene->gpu, buffer->bo.size, &before);

	for (i = 0; !ret && i < TRIES; i++) {
		ret = by_kernel ? evict_by_kernel() : evict_pages(&scene->gpu, ALL_PAGES, &gone);
		ret = ret ?: evict_row(&scene->gpu, buffer->bo.size, &after);
		if (ret || !after.resident)
			break;
	}
	if (ret)
		return ret;
	if (after.resident || !after.evicted)
		return fail(0, "the driver does not let go of the buffer: %zu bytes in memory after %u tries",
			    after.resident, i);
	if (after.evictions != before.evictions + 1)
		return fail(0, "%u evictions before, %u after one", before.evictions, after.evictions);
	return swap_out(buffer->bo.size);
}

int buffer_goes(struct scene *scene, const struct buffer *buffer)
{
	return goes(scene, buffer, false);
}

int buffer_goes_by_kernel(struct scene *scene, const struct buffer *buffer)
{
	return goes(scene, buffer, true);
}

int buffer_is_back(struct scene *scene, const struct buffer *buffer)
{
	struct gem gem;
	int ret = evict_row(&scene->gpu, buffer->bo.size, &gem);

	if (!ret && (gem.resident != buffer->bo.size || gem.evicted))
		ret = fail(0, "%zu of %zu bytes are told to be in memory", gem.resident, buffer->bo.size);
	return ret;
}
