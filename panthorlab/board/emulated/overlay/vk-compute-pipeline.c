// SPDX-License-Identifier: GPL-2.0-or-later
/* What is computed, and on which numbers. */
#include <string.h>

#include "vk-compute.h"

#define SIZE	  4096

/* at[i] += i + 1, in workgroups of GROUP; by glslang from the line above. */
static const uint32_t shader[] = {
#include "vk-compute-shader.h"
};

static VkBuffer make_buffer(const struct rig *rig, uint32_t **values)
{
	const VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.size = SIZE,
		.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
			 VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT,
	};
	VkMemoryAllocateInfo amount = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.memoryTypeIndex = rig->memory_type,
	};
	VkMemoryRequirements need;
	VkDeviceMemory memory;
	VkBuffer buffer;

	must(vkCreateBuffer(rig->device, &info, NULL, &buffer), "vkCreateBuffer");
	vkGetBufferMemoryRequirements(rig->device, buffer, &need);
	amount.allocationSize = need.size;
	must(vkAllocateMemory(rig->device, &amount, NULL, &memory), "vkAllocateMemory");
	must(vkBindBufferMemory(rig->device, buffer, memory, 0), "vkBindBufferMemory");
	must(vkMapMemory(rig->device, memory, 0, VK_WHOLE_SIZE, 0, (void **)values),
	     "vkMapMemory");
	memset(*values, 0, SIZE);
	return buffer;
}

void make_buffers(struct rig *rig)
{
	uint32_t *extent;

	rig->numbers = make_buffer(rig, &rig->values);
	rig->extent = make_buffer(rig, &extent);
	extent[0] = SHARES;
	extent[1] = 1;
	extent[2] = 1;
}

static VkDescriptorSetLayout make_set(struct rig *rig)
{
	const VkDescriptorSetLayoutBinding binding = {
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.descriptorCount = 1,
		.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
	};
	const VkDescriptorSetLayoutCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.bindingCount = 1,
		.pBindings = &binding,
	};
	const VkDescriptorPoolSize amount = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1 };
	const VkDescriptorPoolCreateInfo pool_info = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = 1,
		.poolSizeCount = 1,
		.pPoolSizes = &amount,
	};
	VkDescriptorSetAllocateInfo allocate = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorSetCount = 1,
	};
	const VkDescriptorBufferInfo numbers = { rig->numbers, 0, VK_WHOLE_SIZE };
	VkWriteDescriptorSet write = {
		.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.descriptorCount = 1,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = &numbers,
	};
	VkDescriptorSetLayout layout;

	must(vkCreateDescriptorSetLayout(rig->device, &info, NULL, &layout),
	     "vkCreateDescriptorSetLayout");
	must(vkCreateDescriptorPool(rig->device, &pool_info, NULL, &allocate.descriptorPool),
	     "vkCreateDescriptorPool");
	allocate.pSetLayouts = &layout;
	must(vkAllocateDescriptorSets(rig->device, &allocate, &rig->set),
	     "vkAllocateDescriptorSets");
	write.dstSet = rig->set;
	vkUpdateDescriptorSets(rig->device, 1, &write, 0, NULL);
	return layout;
}

void make_pipeline(struct rig *rig)
{
	const VkDescriptorSetLayout set_layout = make_set(rig);
	const VkPipelineLayoutCreateInfo layout = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &set_layout,
	};
	const VkShaderModuleCreateInfo code = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = sizeof(shader),
		.pCode = shader,
	};
	VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = {
			.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			.stage = VK_SHADER_STAGE_COMPUTE_BIT,
			.pName = "main",
		},
	};

	must(vkCreatePipelineLayout(rig->device, &layout, NULL, &rig->layout),
	     "vkCreatePipelineLayout");
	must(vkCreateShaderModule(rig->device, &code, NULL, &info.stage.module),
	     "vkCreateShaderModule");
	info.layout = rig->layout;
	must(vkCreateComputePipelines(rig->device, VK_NULL_HANDLE, 1, &info, NULL,
				      &rig->pipeline),
	     "vkCreateComputePipelines");
}
