/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several client processes at once, and what they report to the process that made them.
 */
#ifndef PANTHORLAB_GUEST_CREW_H
#define PANTHORLAB_GUEST_CREW_H

#include "client.h"

int crew_vms(const struct client_config *config, unsigned int processes);
int crew_clients(const struct client_config *config, unsigned int terminations);

#endif
