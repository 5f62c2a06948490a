// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A Vulkan client that computes, on whatever driver the loader finds.
 *
 *	vk-compute [--rounds N] [--computed]
 *
 * Each round is a submission: dispatches with barriers between them, an
 * indirect one whose size lies in memory, an event that the GPU sets and waits
 * for, one that the CPU sets. It waits for the round before it and for the CPU
 * on a timeline; four of them are always under way. With --computed the numbers
 * must be right, too: a GPU that computes nothing is right without.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vulkan.h>

#define AHEAD	  4	  /* submissions under way */
#define SHARES	  4	  /* workgroups of a dispatch */
#define GROUP	  64	  /* invocations of a workgroup */
#define DISPATCHES 3	  /* of a round, each adds to all numbers */
#define DEADLINE  60000000000ull /* ns */
#define SIZE	  4096

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

/* at[i] += i + 1, in workgroups of GROUP; by glslang from the line above. */
static const uint32_t shader[] = {
#include "vk-compute-shader.h"
};

static void must(VkResult result, const char *what)
{
	if (result == VK_SUCCESS)
		return;
	fprintf(stderr, "%s: %d\n", what, result);
	exit(1);
}

static VkPhysicalDevice choose(struct rig *rig)
{
	const VkApplicationInfo app = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.apiVersion = VK_API_VERSION_1_2,
	};
	const VkInstanceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pApplicationInfo = &app,
	};
	VkQueueFamilyProperties families[8];
	VkPhysicalDeviceProperties about;
	VkPhysicalDevice physical;
	VkInstance instance;
	uint32_t count = 1, n = 8;

	must(vkCreateInstance(&info, NULL, &instance), "vkCreateInstance");
	if (vkEnumeratePhysicalDevices(instance, &count, &physical) < 0 || !count) {
		fprintf(stderr, "there is no Vulkan device\n");
		exit(1);
	}
	vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
	for (rig->family = 0; rig->family < n; rig->family++)
		if (families[rig->family].queueFlags & VK_QUEUE_COMPUTE_BIT)
			break;
	vkGetPhysicalDeviceProperties(physical, &about);
	printf("device %s\n", about.deviceName);
	return physical;
}

static void find_memory(struct rig *rig, VkPhysicalDevice physical)
{
	const VkMemoryPropertyFlags wanted = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
					     VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
	VkPhysicalDeviceMemoryProperties memory;

	vkGetPhysicalDeviceMemoryProperties(physical, &memory);
	for (uint32_t i = 0; i < memory.memoryTypeCount; i++) {
		rig->memory_type = i;
		if ((memory.memoryTypes[i].propertyFlags & wanted) == wanted)
			return;
	}
	fprintf(stderr, "no memory is coherent\n");
	exit(1);
}

static void open_device(struct rig *rig)
{
	VkPhysicalDevice physical = choose(rig);
	const float priority = 1;
	const VkDeviceQueueCreateInfo queue = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueFamilyIndex = rig->family,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	const VkPhysicalDeviceTimelineSemaphoreFeatures timelines = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
		.timelineSemaphore = VK_TRUE,
	};
	const VkDeviceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.pNext = &timelines,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
	};

	find_memory(rig, physical);
	must(vkCreateDevice(physical, &info, NULL, &rig->device), "vkCreateDevice");
	vkGetDeviceQueue(rig->device, rig->family, 0, &rig->queue);
}

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

static void make_buffers(struct rig *rig)
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

static void make_pipeline(struct rig *rig)
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

static VkSemaphore make_timeline(const struct rig *rig)
{
	const VkSemaphoreTypeCreateInfo type = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
		.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
	};
	const VkSemaphoreCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
		.pNext = &type,
	};
	VkSemaphore semaphore;

	must(vkCreateSemaphore(rig->device, &info, NULL, &semaphore), "vkCreateSemaphore");
	return semaphore;
}

static void make_sync(struct rig *rig)
{
	const VkEventCreateInfo event = { .sType = VK_STRUCTURE_TYPE_EVENT_CREATE_INFO };
	const VkCommandPoolCreateInfo pool = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
		.queueFamilyIndex = rig->family,
	};
	VkCommandBufferAllocateInfo commands = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = AHEAD,
	};

	rig->rounds = make_timeline(rig);
	rig->host = make_timeline(rig);
	for (int i = 0; i < AHEAD; i++) {
		must(vkCreateEvent(rig->device, &event, NULL, &rig->gpu_event[i]),
		     "vkCreateEvent");
		must(vkCreateEvent(rig->device, &event, NULL, &rig->host_event[i]),
		     "vkCreateEvent");
	}
	must(vkCreateCommandPool(rig->device, &pool, NULL, &commands.commandPool),
	     "vkCreateCommandPool");
	must(vkAllocateCommandBuffers(rig->device, &commands, rig->commands),
	     "vkAllocateCommandBuffers");
}

static void between(VkCommandBuffer commands, VkPipelineStageFlags until,
		    VkAccessFlags access)
{
	const VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
		.dstAccessMask = access,
	};

	vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, until, 0, 1,
			     &barrier, 0, NULL, 0, NULL);
}

static void await(VkCommandBuffer commands, const VkEvent *event,
		  VkPipelineStageFlags setter)
{
	const VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
	};

	vkCmdWaitEvents(commands, 1, event, setter, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 1,
			&barrier, 0, NULL, 0, NULL);
}

static void record(const struct rig *rig, int place)
{
	const VkPipelineStageFlags compute = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
	const VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
	};
	VkCommandBuffer commands = rig->commands[place];

	must(vkBeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
	vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, rig->pipeline);
	vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, rig->layout, 0, 1,
				&rig->set, 0, NULL);
	await(commands, &rig->host_event[place], VK_PIPELINE_STAGE_HOST_BIT);
	vkCmdDispatch(commands, SHARES, 1, 1);
	between(commands, compute, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
	vkCmdDispatchIndirect(commands, rig->extent, 0);
	vkCmdSetEvent(commands, rig->gpu_event[place], compute);
	await(commands, &rig->gpu_event[place], compute);
	vkCmdDispatch(commands, SHARES, 1, 1);
	between(commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
	must(vkEndCommandBuffer(commands), "vkEndCommandBuffer");
}

/* The round waits for the one before it, and for the CPU to come to it. */
static void submit(const struct rig *rig, uint64_t round)
{
	const VkSemaphore waits[] = { rig->rounds, rig->host };
	const uint64_t from[] = { round - 1, round };
	const VkPipelineStageFlags stages[] = { VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
						VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT };
	const VkTimelineSemaphoreSubmitInfo values = {
		.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
		.waitSemaphoreValueCount = 2,
		.pWaitSemaphoreValues = from,
		.signalSemaphoreValueCount = 1,
		.pSignalSemaphoreValues = &round,
	};
	const VkSubmitInfo info = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.pNext = &values,
		.waitSemaphoreCount = 2,
		.pWaitSemaphores = waits,
		.pWaitDstStageMask = stages,
		.commandBufferCount = 1,
		.pCommandBuffers = &rig->commands[round % AHEAD],
		.signalSemaphoreCount = 1,
		.pSignalSemaphores = &rig->rounds,
	};

	must(vkQueueSubmit(rig->queue, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
}

static void let_go(const struct rig *rig, uint64_t round)
{
	const VkSemaphoreSignalInfo signal = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
		.semaphore = rig->host,
		.value = round,
	};

	must(vkSignalSemaphore(rig->device, &signal), "vkSignalSemaphore");
	must(vkSetEvent(rig->device, rig->host_event[round % AHEAD]), "vkSetEvent");
}

static void wait_for(const struct rig *rig, uint64_t round)
{
	const VkSemaphoreWaitInfo wait = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
		.semaphoreCount = 1,
		.pSemaphores = &rig->rounds,
		.pValues = &round,
	};

	must(vkWaitSemaphores(rig->device, &wait, DEADLINE), "vkWaitSemaphores");
}

static void run(const struct rig *rig, uint64_t rounds)
{
	for (uint64_t round = 1; round <= rounds + AHEAD; round++) {
		const int place = round % AHEAD;

		if (round > AHEAD) {
			let_go(rig, round - AHEAD);
			wait_for(rig, round - AHEAD);
			if (vkGetEventStatus(rig->device, rig->gpu_event[place]) !=
			    VK_EVENT_SET) {
				fprintf(stderr, "the GPU has not set its event\n");
				exit(1);
			}
		}
		if (round > rounds)
			continue;
		must(vkResetEvent(rig->device, rig->gpu_event[place]), "vkResetEvent");
		must(vkResetEvent(rig->device, rig->host_event[place]), "vkResetEvent");
		record(rig, place);
		submit(rig, round);
	}
}

static int check(const struct rig *rig, uint32_t rounds)
{
	for (uint32_t i = 0; i < SHARES * GROUP; i++) {
		const uint32_t wanted = (i + 1) * DISPATCHES * rounds;

		if (rig->values[i] == wanted)
			continue;
		fprintf(stderr, "number %u is %u instead of %u\n", i, rig->values[i], wanted);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t rounds = 16;
	int computed = 0;
	struct rig rig = { 0 };

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--computed")) {
			computed = 1;
		} else if (!strcmp(argv[i], "--rounds") && i + 1 < argc) {
			rounds = strtoul(argv[++i], NULL, 0);
		} else {
			fprintf(stderr, "usage: vk-compute [--rounds N] [--computed]\n");
			return 2;
		}
	}
	open_device(&rig);
	make_buffers(&rig);
	make_pipeline(&rig);
	make_sync(&rig);
	run(&rig, rounds);
	must(vkDeviceWaitIdle(rig.device), "vkDeviceWaitIdle");
	if (computed && check(&rig, rounds))
		return 1;
	printf("rounds %u\n", rounds);
	return 0;
}
