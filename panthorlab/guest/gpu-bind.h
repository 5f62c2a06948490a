/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_GPU_BIND_H
#define PANTHORLAB_GUEST_GPU_BIND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "drivers.h"

#define DEVICES		"/sys/bus/platform/devices"
#define NAME_SIZE	256
#define REVIVE_MS	10000
#define SETTLE_MS	1000	/* until memory that is let go of is back */

struct bind {
	char device[NAME_SIZE];		/* "fb000000.gpu" */
	const struct gpu_driver *driver;
	int irqs;			/* that it had when it was first seen at work */
	const char *pack;
	char image[NAME_SIZE];		/* where the driver looks for its firmware first */
	unsigned int count;
	bool hang, lenient;
};

int find_device(struct bind *b);
void device_place(const struct bind *b, char *place);
bool driver_bound(const struct bind *b);
int driver_unbind(const struct bind *b);
int driver_bind(const struct bind *b);
int driver_lines(struct bind *b, bool at_work);

int set_autosuspend(const struct bind *b, unsigned int ms);
int works(const struct bind *b);
int revives(const struct bind *b);

/* What processes do with the GPU from when they have been started until they are killed. */
enum use { BUSY, AHEAD, HELD, MAPPING, STORM };

int start_processes(pid_t *pid, unsigned int count, enum use use);
void kill_processes(const pid_t *pid, unsigned int count);

/* Modes, as gpu-bind.c names them. They return the exit status. */
int bind_images(struct bind *b);
int bind_once(struct bind *b);
int bind_off(struct bind *b);
int bind_replug(struct bind *b);
int bind_idle(struct bind *b);
int bind_busy(struct bind *b);
int bind_ahead(struct bind *b);
int bind_held(struct bind *b);
int bind_drowsy(struct bind *b);
int bind_events(struct bind *b);

#endif
