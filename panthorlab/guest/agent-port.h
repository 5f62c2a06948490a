/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's end of the port: what waits to be sent to the host. Frames from there: agent-frames.c. */
#ifndef PANTHORLAB_AGENT_PORT_H
#define PANTHORLAB_AGENT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#define CHUNK		16384u		/* most that is read from a process at once */
#define OUT_REPLY	1024u		/* room that the reply to any one host frame needs */

extern int port;

bool open_port(void);
void write_port(void);
bool out_pending(void);
unsigned int out_free(void);

void queue(uint32_t id, uint32_t type, const void *data, uint32_t size);
void refuse(uint32_t id, int status, const char *what, int error);
void stop(const char *why) __attribute__((noreturn));

#endif
