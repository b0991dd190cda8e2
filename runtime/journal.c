// SPDX-License-Identifier: GPL-2.0-only
/*
 * The protocol of the journal's own socket is that of systemd's documentation, "Native Journal
 * Protocol": a datagram of lines FIELD=value.
 */
#include "journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"

#define TEXT_SIZE 512

static struct {
	bool begun; /* a program that is no test */
	char phase[32];
	char unit[256];
} journal;

/* From here on it is written to. */
void journal_begin(void)
{
	journal.begun = true;
}

/* Name the phase that all is said in from here on; NULL: none. */
void journal_phase(const char *phase)
{
	snprintf(journal.phase, sizeof(journal.phase), "%s", phase ? phase : "");
}

/* Name the unit that all is about from here on. */
void journal_unit(const char *unit)
{
	snprintf(journal.unit, sizeof(journal.unit), "%s", unit);
}

/* Whether standard error leads to the journal, so that all would be there twice: systemd.exec(5). */
bool journal_has_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat about;

	return journal.begun && stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &about) == 0 && about.st_dev == device &&
	       about.st_ino == inode && access(JOURNAL_SOCKET, W_OK) == 0;
}

/* A line would end at a newline. */
static void one_line(char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			*text = ' ';
}

/* Say something in the journal, if there is one; nobody waits for it. */
void journal_say(enum journal_priority priority, const char *format, ...)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	_cleanup_close_ int fd = -1;
	char text[TEXT_SIZE];
	char datagram[TEXT_SIZE + sizeof(journal) + 128];
	va_list args;
	int used;

	if (!journal.begun)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	one_line(text);
	used = snprintf(datagram, sizeof(datagram), "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\n",
			text, priority, problem_program);
	if (*journal.phase)
		used += snprintf(datagram + used, sizeof(datagram) - (size_t)used, "SKU_PHASE=%s\n",
				 journal.phase);
	if (*journal.unit)
		used += snprintf(datagram + used, sizeof(datagram) - (size_t)used, "SKU_UNIT=%s\n",
				 journal.unit);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		sendto(fd, datagram, (size_t)used, MSG_NOSIGNAL | MSG_DONTWAIT,
		       (const struct sockaddr *)&address, sizeof(address));
}
