// SPDX-License-Identifier: GPL-2.0-only
/*
 * SHA256SUMS lists all files of a bundle, in the format of sha256sum(1), and is what is signed. The
 * signature is checked by ssh-keygen(1), the files are hashed by sha256sum(1): both are on every
 * machine, and neither needs a network.
 */
#include "bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "child.h"
#include "cleanup.h"
#include "file.h"
#include "signature.h"

#define LIST "SHA256SUMS"
#define SIGNATURE LIST ".sig"
#define LIST_MAX (4 << 20)
#define HASH_SIZE 64
#define PATH_AT (HASH_SIZE + 2) /* in a line; two blanks are between them */
#define BATCH 64
#define BATCH_TEXT 32768 /* of what sha256sum says: half of what child_run() keeps */
#define HASH_TIMEOUT_MS 300000
#define DEPTH_MAX 16
#define AGAIN "fetch the bundle again, and do not use this one"

enum part { PART_IMAGE, PART_INITRD, PART_CMDLINE, PARTS };

static const char *const part_names[PARTS] = { "Image", "initramfs.cpio", "cmdline" };

struct entry {
	const char *digest; /* HASH_SIZE letters */
	const char *path;   /* relative to the directory */
};

struct list {
	const char *directory;
	char *text; /* what the entries point into */
	struct entry *entries;
	size_t count;
	int parts[PARTS]; /* the copies that will be loaded */
};

static void list_free(struct list *list)
{
	free(list->text);
	free(list->entries);
}

#define _cleanup_list_ _cleanup_(list_free)

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static bool is_listed(const struct list *list, const char *path)
{
	const struct entry key = { .path = path };

	return bsearch(&key, list->entries, list->count, sizeof(key), compare);
}

/* Letters that sha256sum prints as they are; no part begins with a dot or a dash. */
static bool is_path(const char *path)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_+@=,~";
	bool begins = true;
	size_t i;

	for (i = 0; path[i]; i++) {
		if (path[i] == '/' && begins)
			return false;
		if (path[i] != '/' && !strchr(first, path[i]) && (begins || !strchr(".:-", path[i])))
			return false;
		begins = path[i] == '/';
	}
	return !begins && i < PATH_MAX / 2;
}

static int place(const struct list *list, const char *path, char *target, struct problem *problem)
{
	if (snprintf(target, PATH_MAX, "%s/%s", list->directory, path) < PATH_MAX)
		return 0;
	return problem_set(problem, ENAMETOOLONG, NULL, "cannot open %.200s", path);
}

static int damaged(const struct list *list, struct problem *problem)
{
	return problem_set(problem, 0, AGAIN, "%.150s/" LIST " is not a sorted list of hashes",
			   list->directory);
}

/* Cut the text of @size letters into entries. */
static int parse(struct list *list, size_t size, struct problem *problem)
{
	char *line = list->text;
	size_t lines = 0;

	if (!size || list->text[size - 1] != '\n' || strlen(list->text) != size)
		return damaged(list, problem);
	for (size_t i = 0; i < size; i++)
		lines += list->text[i] == '\n';
	list->entries = calloc(lines, sizeof(*list->entries));
	if (!list->entries)
		return problem_set(problem, ENOMEM, NULL, "cannot read %.200s", list->directory);
	for (; *line; list->count++) {
		struct entry *entry = &list->entries[list->count];
		size_t length = strcspn(line, "\n");

		line[length] = '\0';
		if (strspn(line, "0123456789abcdef") != HASH_SIZE ||
		    strncmp(line + HASH_SIZE, "  ", 2) || !is_path(line + PATH_AT))
			return damaged(list, problem);
		*entry = (struct entry){ line, line + PATH_AT };
		if (list->count && compare(entry - 1, entry) >= 0)
			return damaged(list, problem);
		line += length + 1;
	}
	return 0;
}

/* Read the list, once: what is checked is what is used. */
static int read_list(struct list *list, const char *keys, struct problem *problem)
{
	_cleanup_close_ int message = -1;
	char path[PATH_MAX];
	ssize_t size;
	int r = place(list, LIST, path, problem);

	if (r < 0)
		return r;
	list->text = calloc(1, LIST_MAX + 1);
	if (!list->text)
		return problem_set(problem, ENOMEM, NULL, "cannot read %.200s", path);
	if (access(path, F_OK) < 0)
		return problem_set(problem, errno, "`sku bundle make` makes a bundle of a build",
				   "%.200s is not a bundle: no " LIST, list->directory);
	size = file_get(path, list->text, LIST_MAX, problem);
	if (size < 0)
		return (int)size;
	r = place(list, SIGNATURE, path, problem);
	if (r < 0)
		return r;
	if (access(path, R_OK) < 0)
		return problem_set(problem, errno, "`sku bundle sign` signs it",
				   "%.150s is not signed: no " SIGNATURE, list->directory);
	message = sealed_text(LIST, list->text, (size_t)size, problem);
	if (message < 0)
		return message;
	r = signature_check(path, message, keys, list->directory, problem);
	return r < 0 ? r : parse(list, (size_t)size, problem);
}

/* Copy what will be loaded. */
static int copy_parts(struct list *list, struct problem *problem)
{
	for (int i = 0; i < PARTS; i++) {
		char path[PATH_MAX];
		int r = place(list, part_names[i], path, problem);

		if (r < 0)
			return r;
		if (!is_listed(list, part_names[i]) || access(path, F_OK) < 0)
			return problem_set(problem, 0, AGAIN, "%.200s is missing", path);
		list->parts[i] = sealed_copy(path, problem);
		if (list->parts[i] < 0)
			return list->parts[i];
	}
	return 0;
}

/* Where the bytes of an entry are that count: in its copy, or in its file. */
static int source(const struct list *list, const struct entry *entry, char *path,
		  struct problem *problem)
{
	struct stat about;
	char self[16];
	int r;

	for (int i = 0; i < PARTS; i++)
		if (!strcmp(entry->path, part_names[i])) {
			snprintf(self, sizeof(self), "%d", getpid());
			sealed_path(list->parts[i], self, path);
			return 0;
		}
	r = place(list, entry->path, path, problem);
	if (r < 0)
		return r;
	if (lstat(path, &about) < 0 && errno == ENOENT)
		return problem_set(problem, 0, AGAIN, "%.200s is missing", path);
	if (!S_ISREG(about.st_mode))
		return problem_set(problem, 0, AGAIN, "%.200s is not a regular file", path);
	return 0;
}

/* Compare what sha256sum said of @count entries, a line each in their order. */
static int compare_hashes(const struct list *list, const struct entry *entries, size_t count,
			  const struct buffer *output, struct problem *problem)
{
	const char *at = output->data;
	const char *end = at + output->used;

	for (size_t i = 0; i < count; i++) {
		const char *line_end = at ? memchr(at, '\n', (size_t)(end - at)) : NULL;

		/* It puts a backslash in front when the directory's name needs one. */
		if (line_end && *at == '\\')
			at++;
		if (!line_end || line_end - at < HASH_SIZE || memcmp(at, entries[i].digest, HASH_SIZE))
			return problem_set(problem, 0, AGAIN, "%.150s/%.80s is not what was signed",
					   list->directory, entries[i].path);
		at = line_end + 1;
	}
	return 0;
}

/* Hash as many entries from @first on as go into one call. Return their number. */
static ssize_t hash_batch(const struct list *list, size_t first, struct problem *problem)
{
	_cleanup_buffer_ struct buffer output = { 0 };
	const char *argv[BATCH + 3] = { "sha256sum", "--" };
	static char paths[BATCH][PATH_MAX];
	size_t count = 0;
	size_t text = 0;
	int r;

	while (count < BATCH && first + count < list->count && text < BATCH_TEXT - PATH_MAX) {
		r = source(list, &list->entries[first + count], paths[count], problem);
		if (r < 0)
			return r;
		text += PATH_AT + strlen(paths[count]) + 2;
		argv[2 + count] = paths[count];
		count++;
	}
	r = child_run(argv, &output, HASH_TIMEOUT_MS, problem);
	if (r < 0)
		return r;
	if (r > 0)
		return problem_set(problem, 0, "see that all of it can be read",
				   "sha256sum failed: %.*s", (int)(output.used < 150 ? output.used : 150),
				   output.data ? output.data : "");
	r = compare_hashes(list, &list->entries[first], count, &output, problem);
	return r < 0 ? r : (ssize_t)count;
}

static int check_hashes(const struct list *list, struct problem *problem)
{
	for (size_t first = 0; first < list->count;) {
		ssize_t count = hash_batch(list, first, problem);

		if (count < 0)
			return (int)count;
		first += (size_t)count;
	}
	return 0;
}

/* Look for what is not listed below @inside, which is "" or ends in a slash. */
static int check_nothing_else(const struct list *list, const char *inside, int depth,
			      struct problem *problem)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct dirent *entry;
	char path[PATH_MAX];
	int r = place(list, inside, path, problem);

	if (r == 0 && !(directory = opendir(path)))
		r = problem_set(problem, errno, NULL, "cannot look into %.200s", path);
	while (r == 0 && (entry = readdir(directory))) {
		char name[PATH_MAX];
		struct stat about;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (snprintf(name, sizeof(name), "%s%s", inside, entry->d_name) >= PATH_MAX - 1)
			return problem_set(problem, ENAMETOOLONG, NULL, "cannot take %.200s", name);
		r = place(list, name, path, problem);
		if (r < 0)
			return r;
		if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode) && depth < DEPTH_MAX) {
			strcat(name, "/");
			r = check_nothing_else(list, name, depth + 1, problem);
		} else if (!is_listed(list, name) && strcmp(name, LIST) && strcmp(name, SIGNATURE)) {
			r = problem_set(problem, 0, AGAIN, "%.200s is not listed in " LIST, path);
		}
	}
	return r;
}

static int read_cmdline(const struct list *list, struct bundle *bundle, struct problem *problem)
{
	char path[SEALED_PATH_SIZE];
	ssize_t size;

	sealed_path(list->parts[PART_CMDLINE], "self", path);
	size = file_get(path, bundle->cmdline, sizeof(bundle->cmdline) - 1, problem);
	if (size < 0)
		return (int)size;
	bundle->cmdline[size] = '\0';
	if (strlen(bundle->cmdline) != (size_t)size || strchr(bundle->cmdline, '\n'))
		return problem_set(problem, 0, NULL, "%.200s/cmdline is not one line of text",
				   list->directory);
	return 0;
}

/*
 * Check a bundle against the trusted @keys, a file or a directory of *.pub (NULL: BUNDLE_KEYS), and
 * tell where its parts are. Nothing on the machine is changed. Return 0 or a negative errno, with @problem set.
 */
int bundle_open(const char *directory, const char *keys, struct bundle *bundle,
		struct problem *problem)
{
	_cleanup_list_ struct list list = { .directory = directory, .parts = { -1, -1, -1 } };
	int r = read_list(&list, keys ? keys : BUNDLE_KEYS, problem);

	if (r == 0)
		r = copy_parts(&list, problem);
	if (r == 0)
		r = check_hashes(&list, problem);
	if (r == 0)
		r = check_nothing_else(&list, "", 0, problem);
	if (r == 0)
		r = read_cmdline(&list, bundle, problem);
	if (list.parts[PART_CMDLINE] >= 0)
		close(list.parts[PART_CMDLINE]);
	bundle->directory = directory;
	sealed_path(list.parts[PART_IMAGE], "self", bundle->image);
	sealed_path(list.parts[PART_INITRD], "self", bundle->initrd);
	if (r == 0)
		return 0;
	for (int i = PART_IMAGE; i <= PART_INITRD; i++)
		if (list.parts[i] >= 0)
			close(list.parts[i]);
	return r;
}

/* Have a problem name the file of the bundle instead of the copy in memory. */
void bundle_rename(const struct bundle *bundle, struct problem *problem)
{
	const char *const copies[] = { bundle->image, bundle->initrd };
	struct problem old;

	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
		const char *at;

		old = *problem;
		at = strstr(old.text, copies[i]);
		if (at)
			snprintf(problem->text, sizeof(problem->text), "%.*s%.100s/%s%s",
				 (int)(at - old.text), old.text, bundle->directory, part_names[i],
				 at + strlen(copies[i]));
	}
}
