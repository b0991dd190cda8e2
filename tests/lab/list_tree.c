// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists the root file system, without what is mounted in it: one line for each name, with all that
 * an archive says of it, and a digest of what it holds. It is /bin/sh of a guest's initramfs, so
 * that the lab can run it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static dev_t root;

/* FNV-1a, 64 bits */
static uint64_t digest(uint64_t hash, const unsigned char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ data[i]) * 0x100000001b3ULL;
	return hash;
}

static uint64_t contents(const char *path, mode_t mode)
{
	static unsigned char buffer[65536];
	uint64_t hash = 0xcbf29ce484222325ULL;
	ssize_t n;
	int fd;

	if (S_ISLNK(mode)) {
		n = readlink(path, (char *)buffer, sizeof(buffer));
		return digest(hash, buffer, n > 0 ? (size_t)n : 0);
	}
	if (!S_ISREG(mode))
		return 0;
	fd = open(path, O_RDONLY);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		hash = digest(hash, buffer, (size_t)n);
	close(fd);
	return hash;
}

static void list(const char *path)
{
	char inner[PATH_MAX];
	struct dirent *entry;
	struct stat about;
	DIR *directory;

	if (lstat(path, &about) < 0 || about.st_dev != root)
		return;
	printf("%s %o %u:%u %u %u:%u %jd %jd %016" PRIx64 "\n", path, about.st_mode, about.st_uid,
	       about.st_gid, S_ISDIR(about.st_mode) ? 0 : (unsigned int)about.st_nlink, major(about.st_rdev),
	       minor(about.st_rdev), S_ISDIR(about.st_mode) ? 0 : (intmax_t)about.st_size,
	       (intmax_t)about.st_mtime, contents(path, about.st_mode));
	if (!S_ISDIR(about.st_mode))
		return;
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", strcmp(path, "/") ? path : "",
			 entry->d_name);
		list(inner);
	}
	if (directory)
		closedir(directory);
}

int main(void)
{
	struct stat about;

	if (stat("/", &about) < 0)
		return 1;
	root = about.st_dev;
	list("/");
	return 0;
}
