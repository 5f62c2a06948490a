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

#include "files.h"

#define FAILSLAB	"/sys/kernel/debug/failslab/"
#define FAIL_PAGES	"/sys/kernel/debug/fail_page_alloc/"
#define FAIL_NTH	"/proc/self/fail-nth"
#define MAKE_IT_FAIL	"/proc/self/make-it-fail"
#define SYMBOLS		"/proc/kallsyms"	/* by address */
#define WORDS_MAX	4u

/*
 * Also what may wait for memory, also single pages, and without a word about each. The rest is for --lasting: of a thread
 * that asks for it all fail, once FAIL_NTH has come to its end.
 */
int scarce_begin(struct scarce *s)
{
	static const char *const settings[][2] = {
		{ FAILSLAB "ignore-gfp-wait", "N" },	  { FAIL_PAGES "ignore-gfp-wait", "N" },
		{ FAIL_PAGES "ignore-gfp-highmem", "N" }, { FAIL_PAGES "min-order", "0" },
		{ FAILSLAB "verbose", "0" },		  { FAIL_PAGES "verbose", "0" },
		{ FAILSLAB "task-filter", "Y" },	  { FAIL_PAGES "task-filter", "Y" },
		{ FAILSLAB "probability", "100" },	  { FAIL_PAGES "probability", "100" },
		{ FAILSLAB "times", "-1" },		  { FAIL_PAGES "times", "-1" },
	};
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(settings) / sizeof(settings[0]); i++)
		ret = write_text(settings[i][0], settings[i][1]);
	s->nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	s->filter = open(MAKE_IT_FAIL, O_WRONLY | O_CLOEXEC);
	return ret ?: s->nth < 0 || s->filter < 0 ? fail(-errno, FAIL_NTH) : 0;
}

/* Addresses of a function of the kernel; those of none are all 0. */
struct text_range {
	unsigned long long start, end;
};

/* Whether @name is of @function, or of what the compiler has made of it ("drm_minor_alloc.isra.0"). */
static bool is_of(const char *name, const char *function)
{
	size_t size = strlen(function);

	return !strncmp(name, function, size) && strchr(".\n \t", name[size]);
}

/* Each of @functions that the compiler has left as one. SYMBOLS is long: it is read once. */
static int find_functions(char *const *functions, struct text_range *ranges, unsigned int count)
{
	struct text_range *open = NULL;	/* ends where the next one begins */
	FILE *file = fopen(SYMBOLS, "re");
	char line[512];

	if (!file)
		return fail(-errno, SYMBOLS);
	memset(ranges, 0, count * sizeof(*ranges));
	while (fgets(line, sizeof(line), file)) {
		char *rest;
		unsigned long long address = strtoull(line, &rest, 16);
		unsigned int i;

		if (open && address > open->start) {
			open->end = address;
			open = NULL;
		}
		for (i = 0; i < count && strlen(rest) > 3; i++)
			if (!ranges[i].end && is_of(rest + 3, functions[i])) {	/* " t name" */
				ranges[i].start = address;
				open = &ranges[i];
			}
	}
	fclose(file);
	return 0;
}

/* The first of @functions, words, that there is. Asked for once more, it is known. */
static int find_first(const char *functions, struct text_range *range)
{
	static struct text_range known;
	static const char *of;
	struct text_range ranges[WORDS_MAX];
	char *words[WORDS_MAX], *rest = NULL, *copy = strdupa(functions);
	unsigned int i, count = 0;
	int ret = 0;

	while (count < WORDS_MAX && (words[count] = strtok_r(count ? NULL : copy, " ", &rest)))
		count++;
	if (!of || strcmp(of, functions)) {
		ret = find_functions(words, ranges, count);
		for (i = 0; !ret && i < count && !ranges[i].end; i++)
			;
		if (!ret && i == count)
			ret = fail(-ENOENT, "%s in " SYMBOLS, functions);
		known = ret ? (struct text_range){ 0 } : ranges[i];
		of = ret ? NULL : functions;
	}
	*range = known;
	return ret;
}

static int put_range(const char *which, const struct text_range *range)
{
	static const char *const directories[] = { FAILSLAB, FAIL_PAGES };
	char path[80], text[32];
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s-%s", directories[i / 2], which, i % 2 ? "end" : "start");
		snprintf(text, sizeof(text), "0x%llx", i % 2 ? range->end : range->start);
		ret = write_text(path, text);
	}
	return ret;
}

/* From now on no allocation fails that the first of @functions makes, or what it calls; NULL: all may. */
int scarce_spare(struct scarce *s, const char *functions)
{
	struct text_range range = { 0 };
	int ret = functions && !s->unsparing ? find_first(functions, &range) : 0;

	return ret ?: put_range("reject", &range);
}

/* From now on only those fail, and are counted, that @function makes, or what it calls; NULL: all. */
int scarce_within(const char *function)
{
	struct text_range range = { .end = ULONG_MAX };
	int ret = function ? find_first(function, &range) : 0;

	return ret ?: put_range("require", &range);
}

static int set_nth(const struct scarce *s, unsigned int nth)
{
	char text[16];
	int size = snprintf(text, sizeof(text), "%u", nth);

	return pwrite(s->nth, text, size, 0) == size ? 0 : fail(-errno, "write to " FAIL_NTH);
}

static int set_lasting(const struct scarce *s, bool on)
{
	if (!s->lasting || pwrite(s->filter, on ? "1" : "0", 1, 0) == 1)
		return 0;
	return fail(-errno, "write to " MAKE_IT_FAIL);
}

/* From now on the @nth allocation of this thread fails. */
int scarce_arm(struct scarce *s, unsigned int nth)
{
	int ret = set_nth(s, nth);

	return ret ?: set_lasting(s, true);
}

/* None does any more. How many allocations were left until then, 0 if it has failed. */
int scarce_disarm(struct scarce *s, unsigned int *left)
{
	char text[16] = "";
	int ret = set_lasting(s, false);	/* first: at 0 all would fail */
	ssize_t size = pread(s->nth, text, sizeof(text) - 1, 0);

	if (size <= 0)
		return fail(size ? -errno : -ENODATA, "read of " FAIL_NTH);
	*left = strtoul(text, NULL, 10);
	return ret ?: set_nth(s, 0);
}

/* Which of @count allocations is struck as the @index one: each, or one of each of @parts of them (0: as many as there are). */
unsigned int scarce_choose(struct scarce *s, unsigned int index, unsigned int count, unsigned int parts)
{
	unsigned int first, end;

	if (!parts || count <= parts)
		return index + 1;
	first = (uint64_t)index * count / parts;
	end = (uint64_t)(index + 1) * count / parts;
	s->random = s->random * 6364136223846793005ull + 1442695040888963407ull;
	return first + 1 + (s->random >> 33) % (end - first);
}
