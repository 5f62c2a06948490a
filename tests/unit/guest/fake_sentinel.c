// SPDX-License-Identifier: GPL-2.0-or-later
/* Stands in for the GPU job after each iteration: says in the "kernel log" when it ran. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sentinel.h"

bool sentinel_run(char *why, size_t size)
{
	static const char text[] = "sentinel\n";
	int fd = open(KMSG_PATH, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
	snprintf(why, size, "told to fail");
	return !getenv("SENTINEL_FAILS");
}
