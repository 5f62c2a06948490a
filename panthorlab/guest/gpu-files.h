/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel tells in files of a GPU that is open: of its device, of its driver, and of the open file.
 */
#ifndef PANTHORLAB_GUEST_GPU_FILES_H
#define PANTHORLAB_GUEST_GPU_FILES_H

#include "files.h"
#include "gpu.h"

#define GPU_PATH_SIZE	96u

/* The path of the device's file @name in sysfs ("power/runtime_status"), and of the driver's in debugfs ("gems"). */
int gpu_sysfs(const struct gpu *gpu, const char *name, char path[GPU_PATH_SIZE]);
int gpu_debugfs(const struct gpu *gpu, const char *name, char path[GPU_PATH_SIZE]);

#define FDINFO_SIZE	4096u

/* What is told of the open file; and of that the line that begins with @key, a number of bytes if it has a unit. */
int fdinfo_read(const struct gpu *gpu, char text[FDINFO_SIZE]);
bool fdinfo_number(const char *text, const char *key, long long *value);

#endif
