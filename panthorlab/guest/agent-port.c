// SPDX-License-Identifier: GPL-2.0-or-later

#include "agent-port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "board.h"

#define OUT_SIZE	131072u
#define PORT_WAIT_MS	10000

int port = -1;
static char out_buf[OUT_SIZE];
static unsigned int out_len, out_off;

unsigned int out_free(void)
{
	if (out_off) {
		memmove(out_buf, out_buf + out_off, out_len - out_off);
		out_len -= out_off;
		out_off = 0;
	}
	return OUT_SIZE - out_len;
}

bool out_pending(void)
{
	return out_len > out_off;
}

/* The caller has made sure of the room: see OUT_REPLY and service_stream(). */
void queue(uint32_t id, uint32_t type, const void *data, uint32_t size)
{
	const struct agent_frame f = { size, id, type };

	memcpy(out_buf + out_len, &f, sizeof(f));
	if (size)
		memcpy(out_buf + out_len + sizeof(f), data, size);
	out_len += sizeof(f) + size;
}

static void queue_text(uint32_t id, uint32_t type, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void queue_text(uint32_t id, uint32_t type, const char *fmt, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	queue(id, type, text, n < (int)sizeof(text) ? n : (int)sizeof(text) - 1);
}

/* The host broke the protocol: say so once, and answer nothing any more. */
void stop(const char *why)
{
	say("agent stops: %s", why);
	fcntl(port, F_SETFL, 0);
	if (out_pending() && write_all(port, out_buf + out_off, out_len - out_off))
		_exit(1);
	out_len = out_off = 0;
	queue_text(0, AGENT_ERROR, "%s", why);
	if (write_all(port, out_buf, out_len))
		_exit(1);
	for (;;)
		pause();
}

void refuse(uint32_t id, int status, const char *what, int error)
{
	const int32_t code = status;

	queue_text(id, AGENT_STDERR, "panthorlab-agent: %s: %s\n", what, strerror(error));
	queue(id, AGENT_EXIT, &code, sizeof(code));
}

void write_port(void)
{
	while (out_off < out_len) {
		ssize_t n = write(port, out_buf + out_off, out_len - out_off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		out_off += n;
	}
}

bool open_port(void)
{
	const char *base = "/sys/class/virtio-ports";
	char path[300], name[64];

	for (int waited = 0; waited < PORT_WAIT_MS; waited += STEP_MS, msleep(STEP_MS)) {
		DIR *dir = opendir(base);
		struct dirent *d;

		while (dir && (d = readdir(dir))) {
			int fd, n = 0;

			snprintf(path, sizeof(path), "%s/%s/name", base, d->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			n = read(fd, name, sizeof(name) - 1);
			close(fd);
			name[n > 0 ? n : 0] = 0;
			name[strcspn(name, "\n")] = 0;
			if (strcmp(name, AGENT_PORT))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", d->d_name);
			port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
			if (port < 0)
				continue;
			closedir(dir);
			return true;
		}
		if (dir)
			closedir(dir);
	}
	return false;
}
