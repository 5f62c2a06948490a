// SPDX-License-Identifier: GPL-2.0-or-later
/* Ways to die that concern nobody else: at once, or when something of what it has is gone. */

#include "heap-exit.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define IDLE_MS		200
#define DESTROY_MS	150
#define SUSPEND_MS	3000

int die_exit(struct client *client, struct options *options)
{
	(void)client;
	(void)options;
	_exit(0);
}

int die_sigkill(struct client *client, struct options *options)
{
	(void)client;
	(void)options;
	kill(getpid(), SIGKILL);
	return 1;
}

int die_sigsegv(struct client *client, struct options *options)
{
	volatile int *volatile nowhere = NULL;

	(void)client;
	(void)options;
	*nowhere = 1;
	return 1;
}

/* The render node is close-on-exec: it is closed while the program changes. */
int die_exec(struct client *client, struct options *options)
{
	(void)client;
	(void)options;
	execl("/proc/self/exe", "heap-exit", "--mode", EXEC_TARGET, NULL);
	fail(-errno, "execl /proc/self/exe");
	return complain("exec");
}

static int destroy_groups(struct client *client)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < client->config.groups; i++)
		ret = gpu_group_destroy(&client->gpu, client->group[i]);
	return ret;
}

int die_destroy(struct client *client, struct options *options)
{
	(void)options;
	if (destroy_groups(client) || gpu_vm_destroy(&client->gpu, client->vm))
		return complain("destroy");
	_exit(0);
}

int die_heap_destroy(struct client *client, struct options *options)
{
	unsigned int i;

	(void)options;
	for (i = 0; i < client->config.heaps; i++)
		if (gpu_heap_destroy(&client->gpu, client->heap[i].handle))
			return complain("heap-destroy");
	_exit(0);
}

/*
 * The group stays on its slot until the GPU goes to sleep; then it is evicted with its VM gone.
 * That may make the driver wake up again at once: do not wait until the GPU sleeps for good.
 */
int die_vm_destroy_live(struct client *client, struct options *options)
{
	(void)options;
	if (gpu_vm_destroy(&client->gpu, client->vm) ||
	    gpu_wait_inactive(&client->gpu, SUSPEND_MS))
		return complain("vm-destroy-live");
	_exit(0);
}

/* The pause is what makes it a control: the GPU must have suspended while all was mapped. */
static int pause_then_exit(struct client *client, unsigned int ms)
{
	sleep_us(ms * 1000);
	if (gpu_wait_suspended(&client->gpu, SUSPEND_MS))
		return complain("idle");
	_exit(0);
}

int die_idle_exit(struct client *client, struct options *options)
{
	(void)options;
	return pause_then_exit(client, IDLE_MS);
}

int die_destroy_wait(struct client *client, struct options *options)
{
	(void)options;
	if (destroy_groups(client))
		return complain("destroy-wait");
	return pause_then_exit(client, DESTROY_MS);
}
