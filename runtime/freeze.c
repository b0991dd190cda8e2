// SPDX-License-Identifier: GPL-2.0-only
#include "freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cleanup.h"

#define MOUNTS "/proc/self/mountinfo"

/* In place: mountinfo has blanks and the like as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* Whether a line is of a file system that can be written to and that lies on a device. */
static bool is_on_device(char *line, char point[4096])
{
	char options[512];
	char source[512];
	const char *rest = strstr(line, " - ");

	if (!rest || sscanf(rest, " - %*s %511s", source) != 1 ||
	    sscanf(line, "%*s %*s %*s %*s %4095s %511s", point, options) != 2)
		return false;
	unescape(point);
	return !strncmp(source, "/dev/", 5) && !strncmp(options, "rw", 2);
}

static int on_each(unsigned long request, struct problem *problem)
{
	_cleanup_file_ FILE *mounts = fopen(MOUNTS, "re");
	static char line[8192];
	static char point[4096];

	if (!mounts)
		return problem_set(problem, errno, NULL, "cannot open " MOUNTS);
	while (fgets(line, sizeof(line), mounts)) {
		_cleanup_close_ int fd = -1;

		if (!is_on_device(line, point))
			continue;
		fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* EBUSY: it is mounted in two places; ENOTTY, EOPNOTSUPP: it cannot be frozen. */
		if (fd < 0 || (ioctl(fd, request, 0) < 0 && errno != EBUSY && errno != EINVAL &&
			       errno != ENOTTY && errno != EOPNOTSUPP))
			return problem_set(problem, errno, NULL, "cannot %s the file system on %s",
					   request == FIFREEZE ? "freeze" : "thaw", point);
	}
	return 0;
}

/*
 * Freeze every file system that lies on a device and can be written to: what is written is on the
 * device, and nothing more is written. One that cannot be frozen goes on.
 */
int freeze_all(struct problem *problem)
{
	return on_each(FIFREEZE, problem);
}

/* Let them go on. */
void freeze_thaw(void)
{
	struct problem problem;

	if (on_each(FITHAW, &problem) < 0)
		problem_print(&problem);
}
