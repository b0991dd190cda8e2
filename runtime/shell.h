/* SPDX-License-Identifier: GPL-2.0-only */
/* A command of the shell that runs while its caller does something else. */
#ifndef SKU_SHELL_H
#define SKU_SHELL_H

#include <stddef.h>
#include <sys/types.h>

#include "problem.h"

/* What is kept of what it says: the end. */
#define SHELL_OUTPUT_SIZE 65536

/* Starts out as zeroes. */
struct shell {
	pid_t pid;  /* 0: none runs */
	int output; /* the read end of its pipe; -1 when nobody has the other end any more */
	size_t used;
	char text[2 * SHELL_OUTPUT_SIZE];
};

int shell_start(struct shell *shell, const char *command, struct problem *problem);
ssize_t shell_listen(struct shell *shell);
int shell_end(struct shell *shell, int wait_status, const char **text, size_t *size);

#endif
