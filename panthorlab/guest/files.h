/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_FILES_H
#define PANTHORLAB_GUEST_FILES_H

#include <stddef.h>

/* Files that are read or written as a whole: of sysfs, debugfs, procfs, and images. 0, or a negative errno and a line in last_error(). */

/* At most @size - 1 bytes of the file, and a 0 behind them. */
int read_text(const char *path, char *text, size_t size);
int write_text(const char *path, const char *text);

/* @flags: of open(), beside O_WRONLY. */
int write_file(const char *path, const void *data, size_t size, int flags);

/* Contents of a file, to be freed; NULL if it cannot be read. */
void *read_file(const char *path, size_t *size);

#endif
