/* SPDX-License-Identifier: GPL-2.0-only */
/* What went wrong: the object, the errno and what to do, for the console and for the lab. */
#ifndef SKU_PROBLEM_H
#define SKU_PROBLEM_H

struct problem {
	int error; /* errno; 0 when no system call failed */
	const char *hint;
	char text[256];
};

/* What a problem that is printed begins with. */
extern const char *problem_program;

int problem_set(struct problem *problem, int error, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void problem_print(const struct problem *problem);

#endif
