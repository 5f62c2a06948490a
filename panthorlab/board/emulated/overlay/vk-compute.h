/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_OVERLAY_VK_COMPUTE_H
#define PANTHORLAB_OVERLAY_VK_COMPUTE_H

#include <stdint.h>

#include <vulkan/vulkan.h>

#define AHEAD	  4	  /* submissions under way */
#define SHARES	  4	  /* workgroups of a dispatch */
#define GROUP	  64	  /* invocations of a workgroup */

struct rig {
	VkDevice device;
	VkQueue queue;
	uint32_t family, memory_type;
	VkBuffer numbers, extent;
	uint32_t *values;
	VkPipelineLayout layout;
	VkPipeline pipeline;
	VkDescriptorSet set;
	VkSemaphore rounds, host;
	VkEvent gpu_event[AHEAD], host_event[AHEAD];
	VkCommandBuffer commands[AHEAD];
};

/* Ends the process if @what, a call, did not succeed. */
void must(VkResult result, const char *what);

void open_device(struct rig *rig);
void make_buffers(struct rig *rig);
void make_pipeline(struct rig *rig);
void make_sync(struct rig *rig);
void run_rounds(const struct rig *rig, uint64_t rounds);

#endif
