// SPDX-License-Identifier: GPL-2.0-only
#include "images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "pin.h"
#include "state.h"

#define RECORD_PREFIX "image/"
/* A dump that does not find the memory taken away must not fill up the machine. */
#define TMPFS_OPTIONS "mode=0700,size=12%"
#define TMPFS_OPTIONS_MEMORY "mode=0700,size=50%"

/*
 * Make the directory of the images, empty, on a tmpfs of its own. It is in RAM in any case: kept
 * memory is not copied, and the rest of a process is small. With @memory it is copied, and is not.
 */
int images_prepare(bool memory, struct problem *problem)
{
	images_remove();
	if ((mkdir(STATE_DIRECTORY, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(STATE_IMAGES, 0700) < 0 && errno != EEXIST))
		return problem_set(problem, errno, NULL, "cannot make " STATE_IMAGES);
	if (mount("sku", STATE_IMAGES, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  memory ? TMPFS_OPTIONS_MEMORY : TMPFS_OPTIONS) < 0)
		return problem_set(problem, errno, NULL, "cannot mount a tmpfs on " STATE_IMAGES);
	return 0;
}

/* Remove the images and their tmpfs; it may be busy with a process that is about to end. */
void images_remove(void)
{
	umount2(STATE_IMAGES, MNT_DETACH);
	rmdir(STATE_IMAGES);
}

static bool has_pages(const char *name)
{
	return !strncmp(name, "pages-", 6);
}

static int put_file(int session, int directory, const char *name, struct images_size *size,
		    struct problem *problem)
{
	_cleanup_close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	char record[PIN_MEM_NAME_SIZE];
	struct stat about;
	void *data = NULL;
	int r;

	if (fd < 0 || fstat(fd, &about) < 0)
		return problem_set(problem, errno, NULL, "cannot open " STATE_IMAGES "/%s", name);
	if (snprintf(record, sizeof(record), RECORD_PREFIX "%s", name) >= (int)sizeof(record))
		return problem_set(problem, ENAMETOOLONG, NULL, "cannot keep the image %s", name);
	if (about.st_size) {
		data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (data == MAP_FAILED)
			return problem_set(problem, errno, NULL, "cannot map the image %s", name);
	}
	r = pin_put(session, record, data, (size_t)about.st_size, problem);
	if (data)
		munmap(data, (size_t)about.st_size);
	size->all += (uint64_t)about.st_size;
	if (has_pages(name))
		size->pages += (uint64_t)about.st_size;
	return r;
}

/* Make a record of every image. */
int images_put(int session, struct images_size *size, struct problem *problem)
{
	_cleanup_closedir_ DIR *directory = opendir(STATE_IMAGES);
	const struct dirent *entry;

	*size = (struct images_size){ 0 };
	if (!directory)
		return problem_set(problem, errno, NULL, "cannot open " STATE_IMAGES);
	while ((entry = readdir(directory))) {
		int r = 0;

		if (entry->d_type == DT_REG)
			r = put_file(session, dirfd(directory), entry->d_name, size, problem);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A name comes from the kernel before this one: no more of a path than the file itself. */
static int get_file(int session, const char *record, struct images_size *size,
		    struct problem *problem)
{
	_cleanup_buffer_ struct buffer data = { 0 };
	_cleanup_close_ int fd = -1;
	const char *name = record + strlen(RECORD_PREFIX);
	char path[sizeof(STATE_IMAGES) + PIN_MEM_NAME_SIZE + sizeof(IMAGES_LATER)];
	int r;

	if (!name[0] || strchr(name, '/') || name[0] == '.')
		return problem_set(problem, EINVAL, NULL, "cannot take '%s' for an image", record);
	r = pin_get(session, record, &data, problem);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), STATE_IMAGES "/%s", name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST) {
		strcat(path, IMAGES_LATER);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (fd < 0)
		return problem_set(problem, errno, NULL, "cannot make %s", path);
	r = file_write_all(fd, data.data, data.used);
	if (r < 0)
		return problem_set(problem, -r, NULL, "cannot write %s", path);
	size->all += data.used;
	if (has_pages(name))
		size->pages += data.used;
	return 0;
}

/* Make the images again from their records; images_prepare() comes first. */
int images_get(int session, struct images_size *size, struct problem *problem)
{
	char record[PIN_MEM_NAME_SIZE];

	*size = (struct images_size){ 0 };
	for (uint32_t i = 0;; i++) {
		int r = pin_list(session, i, record, problem);

		if (r <= 0)
			return r;
		if (!strncmp(record, RECORD_PREFIX, strlen(RECORD_PREFIX)))
			r = get_file(session, record, size, problem);
		if (r < 0)
			return r;
	}
}

/* The last line of a log of CRIU that is an error says most. */
void images_last_error(const char *log, char *text, size_t size)
{
	_cleanup_file_ FILE *file = fopen(log, "re");
	char line[512];

	snprintf(text, size, "it left no error in its log");
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "Error"))
			snprintf(text, size, "%.*s", (int)strcspn(line, "\n"), line);
}
