/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's own live update, /dev/liveupdate of Linux 7.3: a session keeps files over kexec, of which
 * memfds are what is used here. To close a session is to undo it under the kernel that is left; under
 * the next one it frees what nobody has taken out.
 */
#ifndef SKU_LUO_H
#define SKU_LUO_H

#include <stdint.h>
#include <sys/types.h>

#include "problem.h"

#define LUO_DEVICE "/dev/liveupdate"

/* As in <linux/liveupdate.h>, which the compiler's kernel headers are too old for. */
struct luo_session {
	uint32_t size;
	int32_t fd;
	uint8_t name[64];
};

struct luo_file {
	uint32_t size;
	int32_t fd;
	uint64_t token;
};

#define LUO_CREATE_SESSION _IO(0xba, 0x00)
#define LUO_RETRIEVE_SESSION _IO(0xba, 0x01)
#define LUO_PRESERVE_FD _IO(0xba, 0x40)
#define LUO_RETRIEVE_FD _IO(0xba, 0x41)

int luo_create(const char *name, struct problem *problem);
int luo_retrieve(const char *name, struct problem *problem);
int luo_preserve(int session, int fd, uint64_t token);
int luo_take(int session, uint64_t token);
pid_t luo_opener(const char *device);

#endif
