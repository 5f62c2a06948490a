// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A client of somebody else's that is started once: it runs up to where it opens the GPU for the first
 * time and is held there by ptrace. Each time one is wanted it is made to fork instead, as a sibling, so
 * that ours is the parent; the child goes on with the opening, untraced. What it has done until then,
 * linking above all, is done once for all of them. Nothing of the client is changed.
 *
 * It must open the GPU itself, and have no threads yet: fork copies only one.
 */

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"
#include "warm.h"

#define SYSCALL_STOP	(SIGTRAP | 0x80)	/* PTRACE_O_TRACESYSGOOD */
#define OPTIONS		(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | \
			 PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

#ifdef __aarch64__
typedef struct user_regs_struct regs_t;
#define ARG(regs, n)	((regs)->regs[n])
#define PC(regs)	((regs)->pc)
#define CALL_SIZE	4u	/* svc #0 */
#else
typedef struct user_regs_struct regs_t;
#define PC(regs)	((regs)->rip)
#define CALL_SIZE	2u	/* syscall */
#endif

static int regs_of(pid_t pid, int request, regs_t *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };

	return ptrace(request, pid, NT_PRSTATUS, &iov) ? fail(-errno, "ptrace: registers") : 0;
}

/* At the entry of a system call: which one, and the path of one that opens a file (0 if it does not). */
static uint64_t opened_path(const regs_t *regs)
{
#ifdef __aarch64__
	return regs->regs[8] == __NR_openat ? ARG(regs, 1) : 0;
#else
	return regs->orig_rax == __NR_openat ? regs->rsi : regs->orig_rax == __NR_open ? regs->rdi : 0;
#endif
}

/* At the entry of a system call: let it be a fork whose child is ours. */
static int make_fork(pid_t pid, regs_t regs)
{
	const uint64_t flags = CLONE_PARENT | SIGCHLD;
#ifdef __aarch64__
	int number = __NR_clone;
	struct iovec iov = { &number, sizeof(number) };

	memset(regs.regs, 0, 5 * sizeof(regs.regs[0]));
	regs.regs[0] = flags;
	if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &iov))
		return fail(-errno, "ptrace: another system call");
#else
	regs.orig_rax = __NR_clone;
	regs.rdi = flags;
	regs.rsi = regs.rdx = regs.r10 = regs.r8 = 0;
#endif
	return regs_of(pid, PTRACE_SETREGSET, &regs);
}

/* After that fork, in either: go back to the call that was @entry. */
static int go_back(pid_t pid, const regs_t *entry)
{
	regs_t regs;
	int ret = regs_of(pid, PTRACE_GETREGSET, &regs);

	if (ret)
		return ret;
#ifdef __aarch64__
	memcpy(regs.regs, entry->regs, 6 * sizeof(regs.regs[0]));
#else
	regs.rax = entry->orig_rax;
	regs.orig_rax = -1;
	regs.rdi = entry->rdi;
	regs.rsi = entry->rsi;
	regs.rdx = entry->rdx;
	regs.r10 = entry->r10;
	regs.r8 = entry->r8;
#endif
	PC(&regs) -= CALL_SIZE;
	return regs_of(pid, PTRACE_SETREGSET, &regs);
}

/* Waits for the next stop of @pid; its status, or a negative errno if it is gone. */
static int stop_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return fail(-errno, "waitpid");
	if (!WIFSTOPPED(status))
		return fail(-ECHILD, "the client ended before it opened the GPU");
	return status;
}

/* On to the next stop. */
static int go_on(pid_t pid, int signal)
{
	if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal))
		return fail(-errno, "ptrace: go on");
	return stop_of(pid);
}

static bool opens(pid_t pid, const char *node)
{
	size_t length = strlen(node), at;
	uint64_t path;
	regs_t regs;

	if (regs_of(pid, PTRACE_GETREGSET, &regs))
		return false;
	path = opened_path(&regs);
	for (at = 0; path && at < length; at += sizeof(long)) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, (void *)(path + at), NULL);
		if (errno || memcmp(&word, node + at, length - at < sizeof(word) ? length - at : sizeof(word)))
			return false;
	}
	return path;
}

/* From its start to where it is about to open the GPU. */
static int run_up(pid_t pid, const char *node)
{
	bool entry = false;
	int signal = 0;

	for (;;) {
		int status = go_on(pid, signal);

		if (status < 0)
			return status;
		signal = 0;
		if (status >> 16 == PTRACE_EVENT_EXEC)
			continue;
		if (status >> 16)
			return fail(-ENOTSUP, "the client has children or threads before it opens the GPU");
		if (WSTOPSIG(status) != SYSCALL_STOP) {
			signal = WSTOPSIG(status);
			continue;
		}
		entry = !entry;
		if (entry && opens(pid, node))
			return 0;
	}
}

/* Starts @argv, its output into @output, and holds it where it opens a file whose name begins with @node. */
int warm_up(struct warm *warm, const char *node, char **argv, int output)
{
	int ret;

	warm->pid = fork();
	if (warm->pid < 0)
		return fail(-errno, "fork");
	if (!warm->pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(output, STDOUT_FILENO);
		dup2(output, STDERR_FILENO);
		if (ptrace(PTRACE_TRACEME) || raise(SIGSTOP))
			_exit(127);
		execv(argv[0], argv);
		_exit(127);
	}
	ret = stop_of(warm->pid);
	if (ret >= 0 && ptrace(PTRACE_SETOPTIONS, warm->pid, NULL, OPTIONS))
		ret = fail(-errno, "ptrace: options");
	if (ret >= 0)
		ret = run_up(warm->pid, node);
	if (ret < 0)
		warm_end(warm);
	return ret;
}

/* The child stops once it is there; it goes on by itself, with the call that its parent is held in. */
static int release(pid_t child, const regs_t *entry)
{
	int ret = stop_of(child);

	if (ret >= 0)
		ret = go_back(child, entry);
	if (!ret && ptrace(PTRACE_DETACH, child, NULL, NULL))
		ret = fail(-errno, "ptrace: detach");
	return ret;
}

/* One more client, a child of ours: its pid, or a negative errno. */
pid_t warm_fork(struct warm *warm)
{
	unsigned long child = 0;
	regs_t entry;
	int ret = regs_of(warm->pid, PTRACE_GETREGSET, &entry);

	if (!ret)
		ret = make_fork(warm->pid, entry);
	if (!ret)
		ret = go_on(warm->pid, 0);
	if (ret >= 0 && (ret >> 16 != PTRACE_EVENT_FORK ||
			 ptrace(PTRACE_GETEVENTMSG, warm->pid, NULL, &child)))
		ret = fail(-EPROTO, "the client did not fork");
	if (ret >= 0)
		ret = release(child, &entry);
	if (ret >= 0)
		ret = go_on(warm->pid, 0);	/* the end of the fork */
	if (ret >= 0)
		ret = go_back(warm->pid, &entry);
	if (ret >= 0)
		ret = go_on(warm->pid, 0);	/* where it was */
	return ret < 0 ? ret : (pid_t)child;
}

void warm_end(struct warm *warm)
{
	if (warm->pid <= 0)
		return;
	kill(warm->pid, SIGKILL);
	while (waitpid(warm->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	warm->pid = 0;
}
