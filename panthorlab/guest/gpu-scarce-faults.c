// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The kernel's fault injection: which allocation of this thread fails, and which functions are spared.
 */

#define _GNU_SOURCE
#include "gpu-scarce.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILSLAB	"/sys/kernel/debug/failslab/"
#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"
#define FAIL_NTH	"/proc/self/fail-nth"
#define SYMBOLS		"/proc/kallsyms"	/* by address */

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		ret = fail(-errno, "%s", path);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Also what may wait for memory, also single pages, and without a word about each. */
int scarce_begin(struct scarce *s)
{
	static const char *const settings[][2] = {
		{ FAILSLAB "ignore-gfp-wait", "N" },	{ FAILSLAB "verbose", "0" },
		{ FAIL_PAGES "ignore-gfp-wait", "N" },	{ FAIL_PAGES "verbose", "0" },
		{ FAIL_PAGES "ignore-gfp-highmem", "N" }, { FAIL_PAGES "min-order", "0" },
	};
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(settings) / sizeof(settings[0]); i++)
		ret = put(settings[i][0], settings[i][1]);
	s->nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	return ret ?: s->nth < 0 ? fail(-errno, FAIL_NTH) : 0;
}

/* Whether @line of SYMBOLS is of @function, or of what the compiler has made of it ("drm_minor_alloc.isra.0"). */
static bool is_of(const char *line, const char *function)
{
	size_t size = strlen(function);
	char type;
	int name = 0;

	if (sscanf(line, "%*x %c %n", &type, &name) < 1 || !name || strncmp(line + name, function, size))
		return false;
	return strchr(".\n \t", line[name + size]);
}

static int find_function(const char *function, unsigned long long *start, unsigned long long *end)
{
	FILE *file = fopen(SYMBOLS, "re");
	char line[512];
	bool found = false;

	if (!file)
		return fail(-errno, SYMBOLS);
	*start = *end = 0;
	while ((!found || *end <= *start) && fgets(line, sizeof(line), file)) {
		*end = strtoull(line, NULL, 16);
		if (!found && is_of(line, function)) {
			found = true;
			*start = *end;
		}
	}
	fclose(file);
	return found && *start && *end > *start ? 0 : fail(-ENOENT, "%s in " SYMBOLS, function);
}

/* The first of @functions, words, that the compiler has left as one. */
static int find_first(const char *functions, unsigned long long *start, unsigned long long *end)
{
	char *words = strdupa(functions), *rest = NULL, *word;
	int ret = -ENOENT;

	for (word = strtok_r(words, " ", &rest); word && ret == -ENOENT; word = strtok_r(NULL, " ", &rest))
		ret = find_function(word, start, end);
	return ret;
}

static int put_range(const char *which, unsigned long long start, unsigned long long end)
{
	static const char *const directories[] = { FAILSLAB, FAIL_PAGES };
	char path[80], text[32];
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s-%s", directories[i / 2], which, i % 2 ? "end" : "start");
		snprintf(text, sizeof(text), "0x%llx", i % 2 ? end : start);
		ret = put(path, text);
	}
	return ret;
}

/* From now on no allocation fails that the first of @functions makes, or what it calls; NULL: all may. */
int scarce_spare(struct scarce *s, const char *functions)
{
	unsigned long long start = 0, end = 0;
	int ret = functions && !s->unsparing ? find_first(functions, &start, &end) : 0;

	return ret ?: put_range("reject", start, end);
}

/* From now on only those fail, and are counted, that @function makes, or what it calls; NULL: all. */
int scarce_within(const char *function)
{
	unsigned long long start = 0, end = ULONG_MAX;
	int ret = function ? find_function(function, &start, &end) : 0;

	return ret ?: put_range("require", start, end);
}

/* From now on the @nth allocation of this thread fails; 0: none. */
int scarce_arm(struct scarce *s, unsigned int nth)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%u", nth);

	return pwrite(s->nth, text, size, 0) == size ? 0 : fail(-errno, "write to " FAIL_NTH);
}

/* How many allocations were left until then, 0 if it has failed. */
int scarce_disarm(struct scarce *s, unsigned int *left)
{
	char text[16] = "";
	ssize_t size = pread(s->nth, text, sizeof(text) - 1, 0);

	if (size <= 0)
		return fail(size ? -errno : -ENODATA, "read of " FAIL_NTH);
	*left = strtoul(text, NULL, 10);
	return scarce_arm(s, 0);
}

/* Which of @count allocations is struck as the @index one: each, or one of each part of them. */
unsigned int scarce_choose(struct scarce *s, unsigned int index, unsigned int count)
{
	unsigned int first, end;

	if (!s->most || count <= s->most)
		return index + 1;
	first = (uint64_t)index * count / s->most;
	end = (uint64_t)(index + 1) * count / s->most;
	s->random = s->random * 6364136223846793005ull + 1442695040888963407ull;
	return first + 1 + (s->random >> 33) % (end - first);
}
