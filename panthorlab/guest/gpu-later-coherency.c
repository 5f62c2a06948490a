// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * DEV_QUERY GPU_INFO: which coherency protocol is in use, beside those that the GPU has.
 */

#include <stddef.h>

#include "gpu-later.h"
#include "ktap.h"

static int in_use_is_there(struct later *later)
{
	union later_gpu_info told;
	uint32_t features, selected;
	int ret = gpu_query(&later->scene.gpu, DRM_PANTHOR_DEV_QUERY_GPU_INFO, &told, sizeof(told));

	if (ret)
		return ret;
	features = told.info.coherency_features;
	selected = told.later.selected_coherency;
	out("# info coherency_features=0x%x\n# info selected_coherency=%u\n", features, selected);
	if (selected == LATER_COHERENCY_NONE || (selected < LATER_COHERENCY_NONE && features & 1u << selected))
		return 0;
	return fail(0, "protocol %u of 0x%x", selected, features);
}

int later_coherency(void)
{
	static const struct later_check checks[] = {
		{ "the protocol in use is one of the GPU's", in_use_is_there },
	};

	return LATER_RUN("coherency", 7, "selected_coherency", checks);
}
