// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Performs a script of panthor's calls (docs/fuzz.md). Any errno is fine: what matters is what the
 * kernel logs and whether the GPU works afterwards, which others judge. But what no kernel may let
 * anybody do is told if it works. The same script makes the same calls each time, except for what
 * `beside` lets run at once.
 *
 * A script is cut into processes by `kill` and `exit`. With --gate, `misdeed` lines are printed and
 * waited for, so that the host can have the GPU do wrong; else they are left out.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "gpu-evict.h"
#include "gpu-fuzz.h"
#include "ktap.h"
#include "options.h"

#define LINES_MAX	1000u
#define GATE_POLL_US	1000
#define LOOKS		4

/**
 * struct script - All lines, and how far the running process is
 * @at: the line that is being performed, from 0 on; shared with the parent
 * @dying: the process means to end here; shared
 */
struct script {
	struct fuzz_line line[LINES_MAX];
	unsigned int lines;
	volatile unsigned int *at;
	volatile bool *dying;
	const char *gate;
	unsigned int gates;
};

static struct script script;

static uint64_t word(const struct fuzz_line *line, const char *name, uint64_t otherwise)
{
	uint64_t value;
	unsigned int i;

	for (i = 0; i < line->words; i++)
		if (line->word[i].value && !strcmp(line->word[i].name, name) &&
		    fuzz_value(NULL, line->word[i].value, &value))
			return value;
	return otherwise;
}

static void do_close(struct fuzz *fuzz, const struct fuzz_line *line)
{
	(void)line;
	fuzz_close(fuzz);
}

static void do_switch(struct fuzz *fuzz, const struct fuzz_line *line)
{
	(void)line;
	fuzz_switch(fuzz);
}

static void do_exit(struct fuzz *fuzz, const struct fuzz_line *line)
{
	(void)fuzz;
	(void)line;
	*script.dying = true;
	_exit(0);
}

static void do_kill(struct fuzz *fuzz, const struct fuzz_line *line)
{
	(void)fuzz;
	(void)line;
	*script.dying = true;
	raise(SIGKILL);
}

static void do_sleep(struct fuzz *fuzz, const struct fuzz_line *line)
{
	(void)fuzz;
	sleep_us(word(line, "ms", 1) * 1000);
}

static void do_suspended(struct fuzz *fuzz, const struct fuzz_line *line)
{
	gpu_wait_suspended(&fuzz->gpu, word(line, "ms", 100));
}

static void do_wait(struct fuzz *fuzz, const struct fuzz_line *line)
{
	unsigned int slot = word(line, "sync", 0) % FUZZ_SYNCOBJS;

	gpu_syncobj_wait(&fuzz->gpu, fuzz->slot[FUZZ_SYNCOBJ][slot], word(line, "ms", 20));
}

/* What the driver tells of its clients. */
static void do_look(struct fuzz *fuzz, const struct fuzz_line *line)
{
	char path[64], text[4096];
	int i, fd;

	(void)line;
	for (i = 0; i < LOOKS; i++) {
		static const char *const names[LOOKS] = { "gpuvas", "gems", "clients", NULL };

		if (names[i])
			snprintf(path, sizeof(path), "/sys/kernel/debug/dri/128/%s", names[i]);
		else
			snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fuzz->gpu.fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		while (read(fd, text, sizeof(text)) > 0)
			;
		close(fd);
	}
}

/* The host has the GPU do wrong from here on, and says so by a file. */
static void do_misdeed(struct fuzz *fuzz, const struct fuzz_line *line)
{
	char path[128];

	(void)fuzz;
	if (!script.gate)
		return;
	snprintf(path, sizeof(path), "%s%u", script.gate, line->number);
	out("# %s\n# gate %u\n", line->text, line->number);
	out_flush();
	while (access(path, F_OK))
		sleep_us(GATE_POLL_US);
	unlink(path);
}

static const struct {
	const char *name;
	void (*perform)(struct fuzz *fuzz, const struct fuzz_line *line);
} acts[] = {
	{ "close", do_close }, { "exit", do_exit }, { "kill", do_kill }, { "sleep", do_sleep },
	{ "suspended", do_suspended }, { "wait", do_wait }, { "look", do_look },
	{ "misdeed", do_misdeed }, { "switch", do_switch },
};
#define ACTS (sizeof(acts) / sizeof(acts[0]))

static size_t act_of(const struct fuzz_line *line)
{
	size_t i;

	for (i = 0; i < ACTS && strcmp(acts[i].name, line->call); i++)
		;
	return i;
}

/* One process of the script, from line @first on. */
static void live(unsigned int first)
{
	static struct fuzz fuzz = { .gpu.fd = -1, .aside.gpu.fd = -1 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fuzz_memory_begin(&fuzz);
	for (*script.at = first; *script.at < script.lines; ++*script.at) {
		const struct fuzz_line *line = &script.line[*script.at];
		size_t act = act_of(line);

		if (fuzz.gpu.fd < 0 && fuzz_open(&fuzz))
			fuzz_close(&fuzz);
		if (act < ACTS)
			acts[act].perform(&fuzz, line);
		else
			fuzz_call(&fuzz, line);
	}
	fuzz_close(&fuzz);
	*script.dying = true;
	_exit(0);
}

/* Returns the number of the line that somebody else has killed the process in, or 0. */
static unsigned int perform(void)
{
	unsigned int first;

	for (first = 0; first < script.lines; first = *script.at + 1) {
		pid_t pid;

		*script.dying = false;
		pid = fork();
		if (!pid)
			live(first);
		if (pid < 0)
			return script.line[first].number;
		wait_for_child(pid);
		if (!*script.dying)
			return *script.at < script.lines ? script.line[*script.at].number :
							   script.line[script.lines - 1].number;
	}
	return 0;
}

/* Cuts @text up. 0, 1 for a line without a call, or a negative errno. */
static int parse_line(char *text, unsigned int number, struct fuzz_line *line)
{
	char *place, *token, *comment = strchr(text, '#');

	if (comment)
		*comment = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	*line = (struct fuzz_line){ .number = number, .text = strdup(text) };
	line->call = strtok_r(text, " \t", &place);
	if (!line->call)
		return 1;
	while ((token = strtok_r(NULL, " \t", &place))) {
		struct fuzz_word *word = &line->word[line->words];
		char *equals = strchr(token, '=');

		if (line->words++ == FUZZ_ARGS)
			return fail(-E2BIG, "line %u: more than %u words", number, FUZZ_ARGS);
		word->name = token;
		if (equals && strcmp(line->call, "misdeed")) {
			*equals = '\0';
			word->value = equals + 1;
		}
	}
	return act_of(line) < ACTS ? 0 : fuzz_check(line);
}

/*
 * A driver lets go of memory only if there is something to swap to. On a kernel without, `evict` does nothing: any errno
 * is fine.
 */
static bool begin_swap(void)
{
	struct gpu gpu;
	unsigned int i;
	bool can = false;

	for (i = 0; i < script.lines && strcmp(script.line[i].call, "evict"); i++)
		;
	if (i == script.lines || gpu_open(&gpu))
		return false;
	can = evict_can(&gpu);
	gpu_close(&gpu);
	return can && !swap_begin();
}

static int read_script(const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	unsigned int number = 0;
	char *text = NULL;
	size_t size = 0;
	int ret = 0;

	if (!file)
		return fail(-errno, "%s", path);
	while (ret >= 0 && getline(&text, &size, file) >= 0) {
		if (script.lines == LINES_MAX)
			return fail(-E2BIG, "more than %u lines", LINES_MAX);
		ret = parse_line(text, ++number, &script.line[script.lines]);
		script.lines += !ret;
		text = NULL;	/* the line points into it */
	}
	return ret < 0 ? ret : 0;
}

static void usage(FILE *file)
{
	fprintf(file, "usage: gpu-fuzz --script FILE [--gate PATH]\n"
		      "Performs a script of panthor's calls; FILE may be - for stdin.\n");
}

int main(int argc, char **argv)
{
	const char *path = NULL;
	const struct program_option options[] = {
		{ "script", .word = &path },
		{ "gate", .word = &script.gate },
		{ 0 }
	};
	unsigned int killed;
	bool swaps;

	read_options(argc, argv, options, usage);
	if (!path)
		bad_usage(usage);
	if (read_script(path)) {
		fprintf(stderr, "gpu-fuzz: %s: %s\n", path, last_error());
		return 2;
	}
	script.at = mmap(NULL, GPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (script.at == MAP_FAILED)
		return 1;
	script.dying = (volatile bool *)(script.at + 1);
	ktap_start(1);
	out_flush();
	swaps = begin_swap();
	killed = perform();
	if (killed)
		out("# killed %u\n", killed);
	if (swaps && swap_end())
		out("# info swap=%s\n", last_error());
	ktap_result(1, true, "script", "");
	return 0;
}
