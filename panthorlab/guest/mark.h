/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_MARK_H
#define PANTHORLAB_GUEST_MARK_H

#include <stdbool.h>

/*
 * Tell an emulated GPU that an iteration begins or ends, so that it knows this to the instruction:
 * register MARK of its PCI function (panthorlab/gpu/pci.py). Where there is no such GPU, nobody is
 * told.
 */
void mark_open(void);
void mark_iteration(const char *id, bool begin);

#endif
