// SPDX-License-Identifier: GPL-2.0-or-later
/* Ways to die that leave the GPU's file to another process, which closes it. */

#define _GNU_SOURCE
#include "heap-exit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STORM_DEPTH	4		/* 2^4 processes share the last reference */

/* Every process forks and exits, in no order: any of them may close the GPU last. */
int die_fork_storm(struct client *client, struct options *options)
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
int die_fd_inherit(struct client *client, struct options *options)
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

int prepare_fd_pass(struct options *options)
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

int die_fd_pass(struct client *client, struct options *options)
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
