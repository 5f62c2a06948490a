// SPDX-License-Identifier: GPL-2.0-or-later
/* The first Vulkan device there is: a queue of it that computes, and memory that it shares with the CPU. */
#include <stdio.h>
#include <stdlib.h>

#include "vk-compute.h"

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

void open_device(struct rig *rig)
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
