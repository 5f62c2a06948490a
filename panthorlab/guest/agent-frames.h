/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames from the host, and what they ask for. */
#ifndef PANTHORLAB_AGENT_FRAMES_H
#define PANTHORLAB_AGENT_FRAMES_H

#include <stdbool.h>

bool frames_fit(void);		/* more of the port can be read */
void read_port(void);
void do_frames(void);

#endif
