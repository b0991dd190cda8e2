/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stock CRIU calls a plug-in through, and what ours and skuctl say to each other.
 *
 * The descriptor is CRIU's plug-in interface 0.2.0 (3.19 and newer), as far as it is used here.
 */
#ifndef SKU_CRIU_PLUGIN_H
#define SKU_CRIU_PLUGIN_H

#include <stdint.h>

#define CRIU_PLUGIN_VERSION (2U << 8)
#define CRIU_STAGE_RESTORE 2
#define CRIU_HOOK_DUMP_UNIX_SK 0    /* int (*)(int fd, int id): its peer is not dumped */
#define CRIU_HOOK_RESTORE_UNIX_SK 1 /* int (*)(int id): return a socket in its place */
#define CRIU_HOOK_CHECKPOINT_DEVICES 11 /* int (*)(int pid): all tasks stopped, none dumped yet */
#define CRIU_HOOKS 12

struct criu_plugin {
	const char *name;
	int (*init)(int stage);
	void (*exit)(int stage, int result);
	unsigned int version;
	unsigned int max_hooks;
	void *hooks[CRIU_HOOKS];
};

/* The environment variable that holds the path of the stream socket. */
#define PLUGIN_SOCKET "SKU_SOCKET"

/*
 * Plug-in to skuctl or sku-init: @pid is stopped; @areas struct plugin_area follow, which CRIU must
 * find. Or, once and first, CRIU has started and has touched nothing yet.
 */
struct plugin_stopped {
	int32_t pid;
	uint32_t areas;
};

#define PLUGIN_READY 0 /* a pid that is none */

#define PLUGIN_AREAS_MAX 65536

/* Addresses: from the first byte to the one after the last. */
struct plugin_area {
	uint64_t start;
	uint64_t end;
};

/* The answer: 0 to go on, or a negative errno to give it up. */
struct plugin_answer {
	int32_t result;
};

#endif
