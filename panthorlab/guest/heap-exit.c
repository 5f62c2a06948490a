// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Make tiler heaps, run GPU jobs that bind them, and die abruptly: in many ways, one per process.
 *
 * What is printed is complete before the process dies: KTAP, the GPU addresses of what was made,
 * and the number of heap-bound terminations that follow. A job counts only if its fence status and
 * the memory it had to write are right.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "crew.h"
#include "ktap.h"

#define EXEC_TARGET	"exec-target"	/* what mode exec becomes: exits at once */
#define IDLE_MS		200
#define DESTROY_MS	150
#define SUSPEND_MS	3000
#define STORM_DEPTH	4		/* 2^4 processes share the last reference */

struct mode;

struct options {
	const struct mode *mode;
	struct client_config config;
	unsigned int terminations;
	unsigned int processes;
	int socket[2];			/* fd-pass */
};

/**
 * struct mode - One way to die
 * @config: defaults
 * @heap_per_group: --groups means as many heaps, unless --heaps is given
 * @evicted: its groups are off the GPU when it dies, so nothing is terminated
 * @prepare: before the GPU is opened
 * @die: with the result printed; returns the exit status if it returns
 * @run: instead of all this, for modes with several clients
 */
struct mode {
	const char *name;
	const char *role;
	const char *help;
	struct client_config config;
	bool heap_per_group;
	bool evicted;
	int (*prepare)(struct options *options);
	int (*die)(struct client *client, struct options *options);
	int (*run)(struct options *options);
};

static int complain(const char *what)
{
	out("# %s: %s\n", what, last_error());
	out_flush();
	return 1;
}

static int die_exit(struct client *client, struct options *options)
{
	(void)client;
	(void)options;
	_exit(0);
}

static int die_sigkill(struct client *client, struct options *options)
{
	(void)client;
	(void)options;
	kill(getpid(), SIGKILL);
	return 1;
}

static int die_sigsegv(struct client *client, struct options *options)
{
	volatile int *volatile nowhere = NULL;

	(void)client;
	(void)options;
	*nowhere = 1;
	return 1;
}

/* The render node is close-on-exec: it is closed while the program changes. */
static int die_exec(struct client *client, struct options *options)
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

static int die_destroy(struct client *client, struct options *options)
{
	(void)options;
	if (destroy_groups(client) || gpu_vm_destroy(&client->gpu, client->vm))
		return complain("destroy");
	_exit(0);
}

static int die_heap_destroy(struct client *client, struct options *options)
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
static int die_vm_destroy_live(struct client *client, struct options *options)
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

static int die_idle_exit(struct client *client, struct options *options)
{
	(void)options;
	return pause_then_exit(client, IDLE_MS);
}

static int die_destroy_wait(struct client *client, struct options *options)
{
	(void)options;
	if (destroy_groups(client))
		return complain("destroy-wait");
	return pause_then_exit(client, DESTROY_MS);
}

/* Every process forks and exits, in no order: any of them may close the GPU last. */
static int die_fork_storm(struct client *client, struct options *options)
{
	unsigned int depth;

	(void)client;
	(void)options;
	for (depth = 0; depth < STORM_DEPTH; depth++)
		if (fork() < 0)
			_exit(1);
	_exit(0);
}

/* A child that only lives until this process is gone. */
static int die_fd_inherit(struct client *client, struct options *options)
{
	int alive[2];
	pid_t pid;
	char byte;

	(void)client;
	(void)options;
	if (pipe(alive)) {
		fail(-errno, "pipe");
		return complain("fd-inherit");
	}
	pid = fork();
	if (pid < 0) {
		fail(-errno, "fork");
		return complain("fd-inherit");
	}
	if (!pid) {
		close(alive[1]);
		_exit(read(alive[0], &byte, 1) ? 1 : 0);	/* end of file: the parent is gone */
	}
	_exit(0);
}

/* The heir: made before the GPU is opened, so that it gets the file by the socket only. */
static void heir(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		_exit(1);
	_exit(read(socket, &byte, 1) ? 1 : 0);	/* end of file: the sender is gone */
}

static int prepare_fd_pass(struct options *options)
{
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, options->socket))
		return fail(-errno, "socketpair");
	pid = fork();
	if (pid < 0)
		return fail(-errno, "fork");
	if (!pid) {
		close(options->socket[0]);
		heir(options->socket[1]);
	}
	close(options->socket[1]);
	return 0;
}

static int die_fd_pass(struct client *client, struct options *options)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	struct iovec iov = { .iov_base = "g", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &client->gpu.fd, sizeof(int));
	if (sendmsg(options->socket[0], &message, 0) != 1) {
		fail(-errno, "sendmsg");
		return complain("fd-pass");
	}
	_exit(0);
}

static int run_vms(struct options *options)
{
	return crew_vms(&options->config, options->processes);
}

static int run_clients(struct options *options)
{
	return crew_clients(&options->config, options->terminations);
}

#define MAKE(g, h, c)	.groups = (g), .heaps = (h), .chunks = (c), .chunk_size = 128 * 1024
#define ONE		MAKE(1, 1, 1), .rounds = 1, .bind = true

static const struct mode modes[] = {
	{ "exit", "claim", "_exit as soon as the job is done", { ONE }, .die = die_exit },
	{ "sigkill", "claim", "SIGKILL while a stream spins", { ONE, .spin = true },
	  .die = die_sigkill },
	{ "sigsegv", "claim", "SIGSEGV", { ONE }, .die = die_sigsegv },
	{ "exec", "claim", "exec another program, which exits", { ONE }, .die = die_exec },
	{ "destroy", "claim", "GROUP_DESTROY, then VM_DESTROY", { ONE }, .die = die_destroy },

	{ "groups", "watch", "several groups, each with its heap",
	  { MAKE(4, 4, 1), .rounds = 1, .bind = true }, .heap_per_group = true, .die = die_exit },
	{ "heaps", "watch", "several heaps, one of them bound",
	  { MAKE(1, 8, 1), .rounds = 1, .bind = true }, .die = die_exit },
	{ "chunks", "watch", "several initial chunks",
	  { MAKE(1, 1, 8), .rounds = 1, .bind = true }, .die = die_exit },
	{ "slots", "watch", "more groups than slots, each with its heap and several jobs",
	  { MAKE(12, 12, 1), .rounds = 3, .bind = true }, .heap_per_group = true, .die = die_exit },
	{ "vms", "watch", "processes with a VM each, more than address spaces",
	  { ONE }, .run = run_vms },
	{ "fork-storm", "watch", "many processes share the file and exit at once",
	  { ONE }, .die = die_fork_storm },
	{ "fd-inherit", "watch", "a child that outlives its parent closes the file",
	  { ONE }, .die = die_fd_inherit },
	{ "fd-pass", "watch", "a process that got the file by SCM_RIGHTS closes it",
	  { ONE }, .prepare = prepare_fd_pass, .die = die_fd_pass },
	{ "heap-destroy", "watch", "TILER_HEAP_DESTROY, then _exit",
	  { ONE }, .die = die_heap_destroy },
	{ "vm-destroy-live", "watch", "VM_DESTROY under a live group, evicted as the GPU suspends",
	  { ONE }, .die = die_vm_destroy_live },
	{ "clients", "watch", "at once: one exits, one is killed, one has no heap; repeatedly",
	  { ONE }, .run = run_clients },

	{ "no-heap-set", "control", "a heap that no stream binds", { MAKE(1, 1, 1), .rounds = 1 },
	  .die = die_exit },
	{ "idle-exit", "control", "200 ms idle and GPU suspended before _exit", { ONE },
	  .evicted = true, .die = die_idle_exit },
	{ "destroy-wait", "control", "GROUP_DESTROY, 150 ms and GPU suspended, then _exit",
	  { ONE }, .die = die_destroy_wait },
};

#define MODES	(sizeof(modes) / sizeof(modes[0]))

static void usage(FILE *stream)
{
	size_t i;

	fputs("usage: heap-exit --mode MODE [OPTION...]\n\n"
	      "  --groups N         scheduling groups of one queue\n"
	      "  --heaps N          tiler heaps; group k binds heap k\n"
	      "  --chunks N         initial chunks of each heap\n"
	      "  --chunk-size BYTES 131072\n"
	      "  --rounds N         jobs per group, one after the other\n"
	      "  --loops N          iterations of a counting loop in each job\n"
	      "  --bind-every N     bind heaps only when PANTHORLAB_ITERATION is a multiple of N\n"
	      "  --processes N      of mode vms, default 9\n"
	      "  --terminations N   per heap-bound client of mode clients, default 10\n\n"
	      "modes:\n", stream);
	for (i = 0; i < MODES; i++)
		fprintf(stream, "  %-16s %-8s %s\n", modes[i].name, modes[i].role, modes[i].help);
}

static const struct mode *find_mode(const char *name)
{
	size_t i;

	for (i = 0; i < MODES; i++)
		if (!strcmp(modes[i].name, name))
			return &modes[i];
	return NULL;
}

/* A number from 1 (or 0 if @zero) up; ends the program otherwise. */
static unsigned int number(const char *text, const char *option, bool zero)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (!*text || *text == '-' || *end || value > INT32_MAX || (!value && !zero)) {
		fprintf(stderr, "heap-exit: --%s %s: not a number in its range\n", option, text);
		exit(2);
	}
	return value;
}

/* Which iteration this is, as iterate says it; 0 without it. */
static unsigned long iteration(void)
{
	const char *text = getenv("PANTHORLAB_ITERATION");

	return text ? strtoul(text, NULL, 10) : 0;
}

static const struct option long_options[] = {
	{ "mode", required_argument, NULL, 'm' },
	{ "groups", required_argument, NULL, 'g' },
	{ "heaps", required_argument, NULL, 'H' },
	{ "chunks", required_argument, NULL, 'c' },
	{ "chunk-size", required_argument, NULL, 's' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "loops", required_argument, NULL, 'l' },
	{ "bind-every", required_argument, NULL, 'b' },
	{ "processes", required_argument, NULL, 'p' },
	{ "terminations", required_argument, NULL, 't' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 }
};

/* The mode first: it has the defaults that the other options change. */
static const struct mode *parse_mode(int argc, char **argv)
{
	const char *name = NULL;
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (opt == 'h') {
			usage(stdout);
			exit(0);
		}
		if (opt == '?')
			exit(2);
		if (opt == 'm')
			name = optarg;
	}
	if (!name || optind != argc) {
		usage(stderr);
		exit(2);
	}
	if (!strcmp(name, EXEC_TARGET))
		exit(0);
	if (!find_mode(name)) {
		fprintf(stderr, "heap-exit: no mode %s; see --help\n", name);
		exit(2);
	}
	return find_mode(name);
}

static void parse(int argc, char **argv, struct options *options)
{
	const struct mode *mode = parse_mode(argc, argv);
	struct client_config *config = &options->config;
	bool heaps = false;
	int opt, index;

	*options = (struct options){
		.mode = mode,
		.config = mode->config,
		.terminations = 10,
		.processes = 9,
	};
	optind = 1;
	while ((opt = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		const char *name = long_options[index].name;

		switch (opt) {
		case 'g':
			config->groups = number(optarg, name, false);
			break;
		case 'H':
			config->heaps = number(optarg, name, true);
			heaps = true;
			break;
		case 'c':
			config->chunks = number(optarg, name, false);
			break;
		case 's':
			config->chunk_size = number(optarg, name, false);
			break;
		case 'r':
			config->rounds = number(optarg, name, false);
			break;
		case 'l':
			config->loops = number(optarg, name, true);
			break;
		case 'b':
			config->bind &= iteration() % number(optarg, name, false) == 0;
			break;
		case 'p':
			options->processes = number(optarg, name, false);
			break;
		case 't':
			options->terminations = number(optarg, name, false);
			break;
		}
	}
	if (mode->heap_per_group && !heaps)
		config->heaps = config->groups;
}

int main(int argc, char **argv)
{
	struct options options;
	const struct mode *mode;
	struct client client;
	static char facts[12288];
	char name[40];
	int ret = 0;

	parse(argc, argv, &options);
	mode = options.mode;
	ktap_start(1);
	if (mode->run)
		return mode->run(&options);

	snprintf(name, sizeof(name), "job %s", mode->name);
	if (mode->prepare)
		ret = mode->prepare(&options);
	if (!ret)
		ret = client_create(&client, &options.config);
	if (!ret)
		ret = client_run(&client);
	if (ret) {
		ktap_result(1, false, name, last_error());
		return 1;
	}
	client_facts(&client, facts, sizeof(facts));
	out("%s# terminations %u\n", facts, mode->evicted ? 0 : client_bound(&options.config));
	ktap_result(1, true, name, "");
	return mode->die(&client, &options);
}
