// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Jobs that are queued when their group, VM or file goes, some of them behind a job of another
 * file: they must end, with an error if they were to run, and take nothing with them.
 */

#include "gpu-sched.h"

#include <unistd.h>

#include "ktap.h"
#include "sentinel.h"

/* What is queued. Fences of jobs that have no stream may say success; they have to signal. */
enum { RUNNING, QUEUED, NOTHING, WAITING, NOTHING_BEHIND, WAITING_2, NOTHING_WAITING, QUEUE_LEN };

static const struct {
	const char *what;
	unsigned int queue;
	bool stream, waits;
} queued[QUEUE_LEN] = {
	[RUNNING] = { "the running job", 0, true, false },
	[QUEUED] = { "the job behind it", 0, true, false },
	[NOTHING] = { "nothing behind them", 0, false, false },
	[WAITING] = { "a job that waits for another file's", 0, true, true },
	[NOTHING_BEHIND] = { "nothing behind that", 0, false, false },
	[WAITING_2] = { "a waiting job of another queue", 1, true, true },
	[NOTHING_WAITING] = { "nothing that waits", 1, false, true },
};

static int share_fence(struct lab *from, uint32_t syncobj, struct lab *to, uint32_t *imported)
{
	struct drm_syncobj_handle import = {
		.flags = DRM_SYNCOBJ_FD_TO_HANDLE_FLAGS_IMPORT_SYNC_FILE,
	};
	int ret = lab_fence(from, syncobj, &import.fd);

	if (!ret)
		ret = gpu_syncobj_create(&to->gpu, &import.handle);
	if (!ret)
		ret = GPU_IOCTL(&to->gpu, SYNCOBJ_FD_TO_HANDLE, &import);
	*imported = import.handle;
	if (!ret)
		close(import.fd);
	return ret;
}

static int fill(struct lab *lab, uint32_t other, int *fence)
{
	struct lab_submit how;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < QUEUE_LEN; i++) {
		how = (struct lab_submit){ .queue = queued[i].queue,
					   .after = queued[i].waits ? other : 0 };
		ret = gpu_syncobj_create(&lab->gpu, &how.signals);
		if (ret)
			break;
		if (i == RUNNING)
			ret = lab_hold(lab, 0, how.signals);
		else if (queued[i].stream)
			ret = lab_store(lab, 0, i, 1, &how);
		else
			ret = lab_nothing(lab, 0, &how);
		if (!ret)
			ret = lab_fence(lab, how.signals, &fence[i]);
	}
	return ret ?: lab_wait_count(lab, 0, 0);
}

static int end_of(const int *fence, unsigned int i)
{
	int status;
	int ret = lab_status(fence[i], GPU_TIMEOUT_MS, &status);

	if (!ret && (!status || (status > 0 && queued[i].stream)))
		ret = fail(0, "%s: fence status %d%s", queued[i].what, status,
			   queued[i].stream ? ", expected an error" : ", it has not signalled");
	return ret;
}

static int destroy_group(struct lab *lab)
{
	return gpu_group_destroy(&lab->gpu, lab->group[0].handle);
}

static int close_file(struct lab *lab)
{
	lab_release(lab);
	return 0;
}

static int destroy_vm(struct lab *lab)
{
	return gpu_vm_destroy(&lab->gpu, lab->vm[0].vm);
}

static int gone(int (*go)(struct lab *lab), const char *name)
{
	uint32_t syncobj, imported;
	struct lab lab, other;
	int fence[QUEUE_LEN];
	char why[192] = "";
	bool works;
	unsigned int i;
	int ret;

	ktap_start(3);
	ret = lab_create(&lab, 1);
	if (!ret)
		ret = lab_create(&other, 1);
	if (!ret)
		ret = lab_groups(&lab, 1, PRIORITY_MEDIUM);
	if (!ret)
		ret = lab_groups(&other, 1, PRIORITY_MEDIUM);
	if (!ret)
		ret = gpu_syncobj_create(&other.gpu, &syncobj);
	if (!ret)
		ret = lab_hold(&other, 0, syncobj);
	if (!ret)
		ret = share_fence(&other, syncobj, &lab, &imported);
	if (!ret)
		ret = fill(&lab, imported, fence);
	if (!ret)
		ret = go(&lab);
	for (i = RUNNING; !ret && i <= QUEUED; i++)
		ret = end_of(fence, i);
	ktap_result(1, !ret, name, last_error());

	*lab_gate(&other, 0) = 1;
	if (!ret)
		ret = lab_expect(&other, syncobj, 1, "the job of the other file");
	for (i = NOTHING; !ret && i < QUEUE_LEN; i++)
		ret = end_of(fence, i);
	ktap_result(2, !ret, "those that waited for another file's job end, too", last_error());

	works = sentinel_run(why, sizeof(why));
	ktap_result(3, works, "a fresh process works", why);
	return ret || !works;
}

int sched_destroy(void)
{
	return gone(destroy_group, "jobs end at GROUP_DESTROY");
}

int sched_close(void)
{
	return gone(close_file, "jobs end when the file is closed");
}

int sched_vm_destroy(void)
{
	return gone(destroy_vm, "jobs end at VM_DESTROY");
}
