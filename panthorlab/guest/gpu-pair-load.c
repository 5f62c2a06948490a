// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one GPU does while something is done to the other: a process that runs a job at a time and counts those that
 * were right.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"
#include "gpu-pair.h"

#define GOES_ON_MS	10000
#define PAUSE_US	3000	/* between two rounds: the CPU is for what is done to the other GPU */

/**
 * struct load_seen - What the process tells
 * @jobs: that were right
 * @stop: told to it
 * @failed: a job was not right, and why
 */
struct load_seen {
	volatile unsigned int jobs;
	volatile bool stop;
	volatile bool failed;
	char why[192];
};

static _Noreturn void load_run(struct load_seen *seen, unsigned int gpu)
{
	static struct client client;
	const struct client_config config = {
		.groups = 2, .heaps = 1, .chunks = 1, .chunk_size = 128 << 10, .rounds = 1, .bind = true, .loops = 200,
	};
	int ret;

	gpu_choose(gpu);
	ret = client_create(&client, &config);
	while (!ret && !seen->stop) {
		ret = client_run(&client);
		if (!ret)
			seen->jobs += config.groups;
		sleep_us(PAUSE_US);
	}
	if (ret) {
		snprintf(seen->why, sizeof(seen->why), "%s", last_error());
		seen->failed = true;
	}
	_exit(ret ? 1 : 0);
}

int load_start(struct load *load, unsigned int gpu)
{
	struct load_seen *seen;

	*load = (struct load){ .pid = -1 };
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return fail(-errno, "mmap");
	load->seen = seen;
	load->pid = fork();
	if (!load->pid)
		load_run(load->seen, gpu);
	return load->pid < 0 ? fail(-errno, "fork") : load_goes_on(load, 4);
}

/* So many jobs more are right, or the load is over. */
int load_goes_on(const struct load *load, unsigned int jobs)
{
	const int64_t deadline = now_us() + GOES_ON_MS * 1000LL;
	const unsigned int before = load->seen->jobs;

	while (load->seen->jobs - before < jobs) {
		if (load->seen->failed)
			return fail(0, "job %u of the other GPU: %s", load->seen->jobs, load->seen->why);
		if (now_us() > deadline)
			return fail(0, "the other GPU stands still after %u jobs", load->seen->jobs);
		sleep_us(500);
	}
	return 0;
}

static int reap(const struct load *load)
{
	return load->pid > 0 ? wait_for_child(load->pid) : 0;
}

void load_kill(struct load *load)
{
	if (load->pid > 0)
		kill(load->pid, SIGKILL);
	reap(load);
	if (load->seen)
		munmap(load->seen, sizeof(*load->seen));
}

/* All of its jobs were right; if something else was not (@ret), whatever became of them. */
int load_end(struct load *load, int ret)
{
	int status;

	if (ret) {
		load_kill(load);
		return ret;
	}
	ret = load_goes_on(load, 2);
	load->seen->stop = true;
	status = reap(load);
	if (!ret && status)
		ret = fail(0, "job %u of the other GPU: %s", load->seen->jobs, load->seen->why);
	munmap(load->seen, sizeof(*load->seen));
	return ret;
}

