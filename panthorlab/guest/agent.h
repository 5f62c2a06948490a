/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocol between the host controller (panthorlab/board/emulated/agent.py) and the agent on an emulated board
 * (agent.c), on a virtio-serial port called AGENT_PORT.
 *
 * Both directions are a stream of frames: a header, then `size` bytes. All integers are little-endian.
 * The host chooses `id`, never zero, one for each process; frames about it carry it. Process 0 is the module loader
 * that the agent starts by itself at boot.
 *
 * Flow control. Guest to host: the host always reads, and the agent stops reading a process's pipes while the port is
 * full, so that a slow host holds the process back in write(2) and nothing is ever dropped. Host to guest: the agent
 * always reads, and the host keeps at most AGENT_WINDOW bytes of stdin on the way to a process, counted back by CREDIT.
 */
#ifndef PANTHORLAB_AGENT_H
#define PANTHORLAB_AGENT_H

#include <stdint.h>

#define AGENT_PORT	"org.panthorlab.agent"
#define AGENT_VERSION	1
#define AGENT_MAX	65536u		/* largest `size` either side sends */
#define AGENT_WINDOW	65536u		/* stdin bytes on the way to one process */

struct agent_frame {
	uint32_t size;
	uint32_t id;
	uint32_t type;
};

/* Host to guest. */
#define AGENT_EXEC	1u	/* u32 with_stdin, u32 argc, argc strings, then environment strings, each NUL-terminated */
#define AGENT_PUT	2u	/* u32 mode, u64 size, path; the contents follow as STDIN */
#define AGENT_GET	3u	/* path; the contents come as STDOUT */
#define AGENT_STDIN	4u	/* bytes; none: end of file */
#define AGENT_KILL	5u	/* u32 signal, to the whole process group */
#define AGENT_PING	6u

/* Guest to host. */
#define AGENT_HELLO	129u	/* u32 version, u64 ns since boot, boot_id as text */
#define AGENT_STDOUT	130u
#define AGENT_STDERR	131u
#define AGENT_EXIT	132u	/* i32: exit status, or -signal. Last frame of a process. GET and PUT: errno */
#define AGENT_CREDIT	133u	/* u32: so many more bytes of stdin are written to the process */
#define AGENT_PONG	134u
#define AGENT_ERROR	135u	/* text: the host broke the protocol; the agent stops */

#endif
