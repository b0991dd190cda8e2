/* SPDX-License-Identifier: GPL-2.0-only */
/* What is said goes to systemd's journal too, with fields, where there is one. */
#ifndef SKU_JOURNAL_H
#define SKU_JOURNAL_H

#include <stdbool.h>

#include "problem.h"

#ifndef JOURNAL_DIRECTORY /* another one for tests */
#define JOURNAL_DIRECTORY "/run/systemd/journal"
#endif
#define JOURNAL_SOCKET JOURNAL_DIRECTORY "/socket"
#define JOURNAL_STDOUT JOURNAL_DIRECTORY "/stdout" /* of services, what is said there is logged */

/* As of syslog(3). */
enum journal_priority {
	JOURNAL_ERROR = 3,
	JOURNAL_NOTICE = 5,
	JOURNAL_INFO = 6,
};

void journal_begin(void);
void journal_phase(const char *phase);
void journal_unit(const char *unit);
bool journal_has_stderr(void);
void journal_say(enum journal_priority priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

int journal_can_listen(struct problem *problem);
int journal_listen(struct problem *problem);
void journal_pass_on(void);
void journal_end_listen(void);

#endif
