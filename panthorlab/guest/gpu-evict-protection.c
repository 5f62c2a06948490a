// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What must not be written before a buffer was let go must not be so afterwards; and where nothing was, nothing is.
 */

#include "gpu-evict.h"

#include "ktap.h"

/* A store there faults, and reaches nothing. */
static int must_fault(struct scene *scene, const struct buffer *buffer, uint64_t va)
{
	return scene_must_fault(scene, va, NULL) ?: buffer_seen(buffer);
}

/* The group of the scene, which a fault has cost, once more; nothing is there of what was. */
static int again(struct scene *scene, const struct buffer *buffer)
{
	int ret = gpu_group_create(&scene->gpu, scene->vm, 1, &scene->group);

	return ret ?: buffer_read(scene, buffer, EVICT_VA) ?: buffer_goes(scene, buffer);
}

int mode_protection(unsigned int count, unsigned int seed)
{
	static struct scene scene;
	struct buffer buffer;
	int ret = scene_create(&scene, 1) ?: buffer_make(&scene, false, 5, 1, &buffer);

	(void)count, (void)seed;
	ktap_start(4);
	ret = ret ?: buffer_map(&scene, scene.vm, &buffer, EVICT_VA, 0, 5, 0);
	ret = ret ?: buffer_map(&scene, scene.vm, &buffer, OTHER_VA, 0, 5, DRM_PANTHOR_VM_BIND_OP_MAP_READONLY);
	ret = ret ?: buffer_fill(&scene, &buffer, EVICT_VA) ?: buffer_goes(&scene, &buffer);
	ret = ret ?: buffer_read(&scene, &buffer, OTHER_VA);
	ktap_check(ret, "what is read-only can be read afterwards");
	ret = ret ?: must_fault(&scene, &buffer, OTHER_VA + GPU_PAGE);
	ktap_check(ret, "what is read-only is not written afterwards");
	ret = ret ?: again(&scene, &buffer) ?: buffer_unmap(&scene, scene.vm, OTHER_VA + 2 * GPU_PAGE, 1);
	ret = ret ?: must_fault(&scene, &buffer, OTHER_VA + 3 * GPU_PAGE);
	ktap_check(ret, "nor what is left of it");
	ret = ret ?: again(&scene, &buffer) ?: buffer_unmap(&scene, scene.vm, EVICT_VA + 2 * GPU_PAGE, 1);
	ret = ret ?: must_fault(&scene, &buffer, EVICT_VA + 2 * GPU_PAGE);
	ktap_check(ret, "what was unmapped while it was gone is not there afterwards");
	return ktap_status();
}
