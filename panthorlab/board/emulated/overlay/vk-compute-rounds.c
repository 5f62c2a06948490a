// SPDX-License-Identifier: GPL-2.0-or-later
/* Rounds: what each of them does, what it waits for, and how many are under way. */
#include <stdio.h>
#include <stdlib.h>

#include "vk-compute.h"

#define DEADLINE  60000000000ull /* ns */

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

void make_sync(struct rig *rig)
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

void run_rounds(const struct rig *rig, uint64_t rounds)
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
