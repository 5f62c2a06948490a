// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rounds of making and destroying, of each kind, each many times; afterwards the kernel must not
 * hold more memory than before. That the least that could be lost would be seen is proved in the
 * same way: rounds that keep one small object each must be found out.
 */

#include "gpu-leak.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "held.h"
#include "ktap.h"
#include "options.h"

#define TOLERATED_KIB	40	/* per turn: less is lost in the stock of the allocators */
#define TURNS		4
#define LENIENT_SHARE	3	/* every third round will do where nothing is measured */
#define KEPT_TURNS	2

/* The last is patient: on a busy host thousands of fences are freed as slowly as that. */
static const struct held_turn turns_of_good[TURNS] = { { 1, 300 }, { 1, 300 }, { 1, 300 }, { 1, 4000 } };
/* Of rounds that keep something: it adds up in each, and nothing is waited for. */
static const struct held_turn turns_of_kept[KEPT_TURNS] = { { 1, 200 }, { 1, 200 } };

/**
 * struct measure - How often rounds are repeated, and whether what they lose counts
 * @factor: times as many rounds of each kind
 * @lenient: one turn, whatever it loses
 */
struct measure {
	unsigned int factor;
	bool lenient;
};

/* So often; how often it was tried, in @made. */
static int repeat(const struct kind *kind, struct heap_scene *scene, unsigned int rounds, unsigned int *made)
{
	int ret = 0;

	for (*made = 0; !ret && *made < rounds; ++*made)
		ret = kind->round(scene);
	return ret;
}

/* Only that its rounds work. */
static bool survives(const struct kind *kind, unsigned int rounds)
{
	struct heap_scene scene;
	unsigned int made = 0;
	int ret = heap_scene_create(&scene, 1, 1, 3) ?: repeat(kind, &scene, rounds, &made);

	if (ret)
		out("# %s: round %u: %s\n", kind->name, made, last_error());
	out_flush();
	return !ret;
}

/* In a process of its own: what is kept goes with it. Its status says how it was, its output why. */
static bool judge(const struct kind *kind, unsigned int rounds)
{
	struct heap_scene scene;
	const struct held_turn *turn_of = kind->keeps ? turns_of_kept : turns_of_good;
	unsigned int turns = kind->keeps ? KEPT_TURNS : TURNS, turn, made;
	long lost = 0, least = 0;
	int64_t start = now_us();
	int ret = heap_scene_create(&scene, 1, 1, 3);

	ret = ret ?: repeat(kind, &scene, 1, &made);	/* what is got once and for all is got by now */
	for (turn = 0; !ret && turn < turns; turn++) {
		long before = held_kib();

		ret = repeat(kind, &scene, rounds * turn_of[turn].times, &made);
		lost = held_more(before, TOLERATED_KIB, turn_of[turn].settle_ms);
		least = !turn || lost < least ? lost : least;
		if (lost <= TOLERATED_KIB)
			break;
	}
	out("# %s: rounds %u, turns %u, lost KiB %ld, ms %lld\n", kind->name, rounds,
	    turn + (turn < turns), least, (long long)(now_us() - start) / 1000);
	if (ret)
		out("# %s\n", last_error());
	else if (kind->keeps ? lost <= TOLERATED_KIB : lost > TOLERATED_KIB)
		out("# %s: every %u rounds lose at least %ld KiB\n", kind->name, rounds, least);
	out_flush();
	return !ret && kind->keeps == (lost > TOLERATED_KIB);
}

static bool judge_apart(const struct kind *kind, const struct measure *how)
{
	/* what keeps groups may have so many */
	unsigned int rounds = kind->rounds * (kind->keeps ? 1 : how->factor);
	unsigned int enough = rounds / LENIENT_SHARE + 1;
	pid_t pid;
	int status;

	out_flush();
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit((how->lenient ? survives(kind, enough) : judge(kind, rounds)) ? 0 : 1);
	}
	status = pid < 0 ? -1 : wait_for_child(pid);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Where nobody counts what is lost, none are made that do lose something. */
static bool is_judged(const struct kind *kind, const struct measure *how)
{
	return !(how->lenient && kind->keeps);
}

static void usage(FILE *stream)
{
	fputs("usage: gpu-leak [--factor N] [--lenient]\n\n"
	      "  --factor N    times as many rounds of each kind\n"
	      "  --lenient     that rounds work is enough, whatever they lose (KASAN keeps back what is\n"
	      "                freed), and none are made that do lose something\n", stream);
}

int main(int argc, char **argv)
{
	struct measure how = { .factor = 1 };
	unsigned int result = 0, failed = 0, plan = 0;
	const struct program_option options[] = {
		{ "factor", .number = &how.factor, .least = 1, .most = 999 },
		{ "lenient", .flag = &how.lenient },
		{ 0 }
	};
	const struct kind *kind;

	read_options(argc, argv, options, usage);
	for (kind = kinds; kind->name; kind++)
		plan += is_judged(kind, &how);
	ktap_start(plan);
	for (kind = kinds; kind->name; kind++) {
		bool ok;

		if (!is_judged(kind, &how))
			continue;
		ok = judge_apart(kind, &how);
		failed += !ok;
		ktap_result(++result, ok, kind->name, kind->keeps ? "it was not seen" : "see above");
	}
	return failed ? 1 : 0;
}
