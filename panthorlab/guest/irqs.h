/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PANTHORLAB_GUEST_IRQS_H
#define PANTHORLAB_GUEST_IRQS_H

#include <stdint.h>

/*
 * How many interrupts whose name contains @name the device at @device (its path in sysfs) has. @occurred, if there is
 * one: how often the last of them has come on the first CPU. A device that hangs on no PCI function has them all.
 */
int device_interrupts(const char *device, const char *name, uint64_t *occurred);

#endif
