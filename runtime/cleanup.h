/* SPDX-License-Identifier: GPL-2.0-only */
/* Resources that release themselves when their variable goes out of scope. */
#ifndef SKU_CLEANUP_H
#define SKU_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* Each keeps errno: a caller reports why it failed after its scope has ended. */
static inline void close_fd(int *fd)
{
	int kept = errno;

	if (*fd >= 0)
		close(*fd);
	errno = kept;
}

static inline void close_directory(DIR **directory)
{
	int kept = errno;

	if (*directory)
		closedir(*directory);
	errno = kept;
}

static inline void close_file(FILE **file)
{
	int kept = errno;

	if (*file)
		fclose(*file);
	errno = kept;
}

#define _cleanup_close_ _cleanup_(close_fd)
#define _cleanup_closedir_ _cleanup_(close_directory)
#define _cleanup_file_ _cleanup_(close_file)

#endif
