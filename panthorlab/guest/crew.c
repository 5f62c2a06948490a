// SPDX-License-Identifier: GPL-2.0-or-later

#define _GNU_SOURCE
#include "crew.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

#define REPORT_TIMEOUT_MS	30000
#define DISTINCT_MAX		16

/**
 * struct report - What one client says before it dies; small enough for an atomic write to a pipe
 * @ok: its jobs ended well
 * @text: the addresses of its objects, or what went wrong
 */
struct report {
	bool ok;
	char text[500];
};

_Static_assert(sizeof(struct report) <= PIPE_BUF, "a report must be written atomically");

/**
 * struct crew - The processes, seen from the one that made them
 * @reports: pipe they report through
 * @seen: texts already printed; processes with the same layout have the same addresses
 * @ok: reports of success so far
 * @failed: reports of failure so far
 */
struct crew {
	int reports[2];
	char seen[DISTINCT_MAX][sizeof(((struct report *)0)->text)];
	unsigned int distinct;
	unsigned int ok;
	unsigned int failed;
};

static pid_t crew_fork(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

/* Make a client, run its jobs, report. Returns whether all went well; the caller then dies. */
static bool client_work(int reports, const struct client_config *config)
{
	struct client client;
	struct report report = { 0 };

	report.ok = !client_create(&client, config) && !client_run(&client);
	if (report.ok)
		client_facts(&client, report.text, sizeof(report.text));
	else
		snprintf(report.text, sizeof(report.text), "%s", last_error());
	return write(reports, &report, sizeof(report)) == sizeof(report) && report.ok;
}

static void crew_note(struct crew *crew, const struct report *report)
{
	unsigned int i;

	if (!report->ok) {
		crew->failed++;
		out("# client: %s\n", report->text);
		return;
	}
	crew->ok++;
	for (i = 0; i < crew->distinct; i++)
		if (!strcmp(crew->seen[i], report->text))
			return;
	if (crew->distinct < DISTINCT_MAX)
		strcpy(crew->seen[crew->distinct++], report->text);
	out("%s", report->text);
}

/* Read one report. Returns 1, 0 when all writers are gone, or a negative errno. */
static int crew_read(struct crew *crew)
{
	struct pollfd pfd = { .fd = crew->reports[0], .events = POLLIN };
	struct report report;
	ssize_t n;
	int ret;

	do {
		ret = poll(&pfd, 1, REPORT_TIMEOUT_MS);
	} while (ret < 0 && errno == EINTR);
	if (!ret)
		return fail(-ETIME, "no client reported for %u ms", REPORT_TIMEOUT_MS);
	n = ret < 0 ? -1 : read(pfd.fd, &report, sizeof(report));
	if (n < 0)
		return fail(-errno, "reading reports");
	if (!n)
		return 0;
	if (n != sizeof(report))
		return fail(-EPROTO, "a report of %zd bytes", n);
	crew_note(crew, &report);
	return 1;
}

/* Reap all children. Returns whether each of them exited with status 0. */
static bool crew_reap(void)
{
	bool all = true;
	int status;

	for (;;) {
		if (wait(&status) < 0) {
			if (errno == EINTR)
				continue;
			return all;
		}
		all = all && WIFEXITED(status) && !WEXITSTATUS(status);
	}
}

/*
 * One VM in each of several processes, more than there are address spaces. All finish their jobs
 * before any of them dies; then all die at once.
 */
int crew_vms(const struct client_config *config, unsigned int processes)
{
	struct crew crew = { 0 };
	int release[2];
	unsigned int i;
	bool reaped;
	int ret = 1;

	if (pipe(crew.reports) || pipe(release)) {
		ktap_result(1, false, "job vms", strerror(errno));
		return 1;
	}
	for (i = 0; i < processes; i++) {
		pid_t pid = crew_fork();
		char byte;

		if (pid < 0)
			break;
		if (pid)
			continue;
		close(release[1]);
		if (!client_work(crew.reports[1], config))
			_exit(1);
		_exit(read(release[0], &byte, 1) ? 1 : 0);	/* until the parent closes it */
	}
	processes = i;
	close(crew.reports[1]);
	while (ret > 0 && crew.ok + crew.failed < processes)
		ret = crew_read(&crew);
	if (ret >= 0)
		fail(0, "%u of %u clients failed", processes - crew.ok, processes);
	out("# vms %u\n# terminations %u\n", processes, processes * client_bound(config));
	ktap_result(1, ret > 0 && crew.ok == processes && processes > 1, "job vms", last_error());
	close(release[1]);
	reaped = crew_reap();
	return ret > 0 && !crew.failed && reaped ? 0 : 1;
}

/**
 * struct looper - A process of crew_clients() that makes one client after the other
 * @name: for the summary
 * @config: what each client makes
 * @signal: what it dies of, 0 for _exit
 * @times: how many clients; 0: until the others have finished
 */
struct looper {
	const char *name;
	struct client_config config;
	int signal;
	unsigned int times;
};

#define LOOPERS	3

/* Shared by the processes of one round. */
struct shared {
	atomic_uint busy;		/* loopers that still have clients to make */
	atomic_uint made[LOOPERS];	/* clients that died as they should */
};

static bool died_as_wanted(pid_t pid, int signal)
{
	const int status = wait_for_child(pid);

	if (signal)
		return WIFSIGNALED(status) && WTERMSIG(status) == signal;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool loop_once(const struct looper *looper, int reports)
{
	pid_t pid = crew_fork();

	if (pid < 0)
		return false;
	if (!pid) {
		if (!client_work(reports, &looper->config))
			_exit(1);
		if (looper->signal)
			kill(getpid(), looper->signal);
		_exit(0);
	}
	return died_as_wanted(pid, looper->signal);
}

static int loop(const struct looper *looper, unsigned int index, struct shared *shared,
		int reports)
{
	unsigned int n;
	bool ok = true;

	for (n = 0; ok && (looper->times ? n < looper->times : atomic_load(&shared->busy)); n++) {
		ok = loop_once(looper, reports);
		if (ok)
			atomic_fetch_add(&shared->made[index], 1);
	}
	if (looper->times)
		atomic_fetch_sub(&shared->busy, 1);
	return ok ? 0 : 1;
}

/*
 * Three clients at once: one exits, one is killed under a running stream, one has no heap. Each
 * starts anew as soon as it is dead; the third lasts as long as the other two.
 */
int crew_clients(const struct client_config *config, unsigned int terminations)
{
	struct looper loopers[LOOPERS] = {
		{ .name = "exit", .config = *config, .times = terminations },
		{ .name = "sigkill", .config = *config, .signal = SIGKILL, .times = terminations },
		{ .name = "no-heap", .config = *config },
	};
	struct crew crew = { 0 };
	struct shared *shared;
	unsigned int i;
	bool reaped;
	int ret;

	loopers[1].config.spin = true;
	loopers[2].config.heaps = 0;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || pipe(crew.reports)) {
		ktap_result(1, false, "job clients", strerror(errno));
		return 1;
	}
	atomic_store(&shared->busy, 2);
	for (i = 0; i < LOOPERS; i++) {
		pid_t pid = crew_fork();

		if (!pid)
			_exit(loop(&loopers[i], i, shared, crew.reports[1]));
		if (pid < 0)
			break;
	}
	close(crew.reports[1]);
	do {
		ret = crew_read(&crew);
		out_flush();
	} while (ret > 0);
	reaped = ret ? false : crew_reap();
	for (i = 0; i < LOOPERS; i++)
		out("# clients %s=%u\n", loopers[i].name, atomic_load(&shared->made[i]));
	out("# terminations %u\n", 2 * terminations * client_bound(config));
	if (!ret)
		fail(0, "%u jobs failed, or a client did not die as it should", crew.failed);
	ktap_result(1, !ret && reaped && !crew.failed && crew.ok >= 2 * terminations,
		    "job clients", last_error());
	return !ret && reaped && !crew.failed ? 0 : 1;
}
