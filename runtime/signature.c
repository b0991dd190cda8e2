// SPDX-License-Identifier: GPL-2.0-only
#include "signature.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "child.h"
#include "cleanup.h"
#include "file.h"
#include "sealed.h"

#define TIMEOUT_MS 60000
#define KEYS_MAX 65536
#define NO_PROGRAM 127 /* what a shell says */

/* Both of them read the message from standard input: $1 are trusted keys, $2 is the signature. */
#define VERIFY "exec ssh-keygen -Y verify -f \"$1\" -I sku -n sku-bundle -s \"$2\" <\"$3\""
#define LOOK "exec ssh-keygen -Y check-novalidate -n sku-bundle -s \"$2\" <\"$3\""

static bool is_key(const char *line)
{
	static const char *const types[] = { "ssh-ed25519 ", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-",
					     "ssh-rsa " };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strncmp(line, types[i], strlen(types[i])))
			return true;
	return false;
}

/* Add the keys of a file, one a line as ssh-keygen writes them, to a list of allowed signers. */
static int add_file(const char *path, struct buffer *allowed, struct problem *problem)
{
	static char text[KEYS_MAX + 1];
	ssize_t size = file_get(path, text, KEYS_MAX, problem);
	char *rest = text;

	if (size < 0)
		return (int)size;
	text[size] = '\0';
	while (*rest) {
		char *line = rest + strspn(rest, " \t");
		size_t length = strcspn(line, "\n");

		rest = line + length + (line[length] == '\n');
		if (!length || *line == '#')
			continue;
		if (!is_key(line))
			return problem_set(problem, 0, "give the .pub that ssh-keygen made",
					   "%.200s is not a public key", path);
		if (buffer_printf(allowed, "sku namespaces=\"sku-bundle\" %.*s\n", (int)length,
				  line) < 0)
			return problem_set(problem, ENOMEM, NULL, "cannot list the trusted keys");
	}
	return 0;
}

static int add_directory(const char *path, struct buffer *allowed, struct problem *problem)
{
	_cleanup_closedir_ DIR *directory = opendir(path);
	struct dirent *entry;
	int r = 0;

	while (directory && r == 0 && (entry = readdir(directory))) {
		size_t length = strlen(entry->d_name);
		char file[4096];

		if (*entry->d_name == '.' || length < 5 || strcmp(entry->d_name + length - 4, ".pub"))
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >= (int)sizeof(file))
			return problem_set(problem, ENAMETOOLONG, NULL, "cannot open a key");
		r = add_file(file, allowed, problem);
	}
	return r;
}

static int gather(const char *keys, struct buffer *allowed, struct problem *problem)
{
	struct stat about;
	bool there = stat(keys, &about) == 0;
	int r = 0;

	if (there)
		r = S_ISDIR(about.st_mode) ? add_directory(keys, allowed, problem) :
					     add_file(keys, allowed, problem);
	if (r == 0 && !allowed->used)
		return problem_set(problem, there ? 0 : ENOENT,
				   "copy the public key there as NAME.pub, or give --key FILE",
				   "there is no trusted key in %.200s", keys);
	return r;
}

/* Return the exit status, and what it said as one string. */
static int run(const char *script, const char *allowed, const char *signed_by, const char *message,
	       char *said, size_t size, struct problem *problem)
{
	const char *argv[] = { "sh", "-c", script, "sh", allowed, signed_by, message, NULL };
	_cleanup_buffer_ struct buffer output = { 0 };
	int status = child_run(argv, &output, TIMEOUT_MS, problem);

	snprintf(said, size, "%.*s", (int)output.used, output.data ? output.data : "");
	said[strcspn(said, "\n")] = '\0';
	if (status == NO_PROGRAM)
		return problem_set(problem, ENOENT, "install OpenSSH's client",
				   "cannot run ssh-keygen");
	return status;
}

/*
 * Check that the file @signed_by is a signature, by one of the @keys (a file, or a directory of
 * *.pub), of what the descriptor @message holds. Problems name @what. Return 0 or a negative errno.
 */
int signature_check(const char *signed_by, int message, const char *keys, const char *what,
		    struct problem *problem)
{
	_cleanup_buffer_ struct buffer text = { 0 };
	_cleanup_close_ int allowed = -1;
	char allowed_path[SEALED_PATH_SIZE];
	char message_path[SEALED_PATH_SIZE];
	char self[16];
	char said[512];
	const char *print;
	int r = gather(keys, &text, problem);

	if (r < 0)
		return r;
	allowed = sealed_text("keys", text.data, text.used, problem);
	if (allowed < 0)
		return allowed;
	snprintf(self, sizeof(self), "%d", getpid());
	sealed_path(allowed, self, allowed_path);
	sealed_path(message, self, message_path);
	r = run(VERIFY, allowed_path, signed_by, message_path, said, sizeof(said), problem);
	if (r <= 0)
		return r;
	r = run(LOOK, allowed_path, signed_by, message_path, said, sizeof(said), problem);
	if (r < 0)
		return r;
	print = strstr(said, "SHA256:");
	if (r == 0)
		return problem_set(problem, 0, "if that is a key of yours, copy it to the others",
				   "%.100s is signed by a key that is not trusted: %.60s", what,
				   print ? print : said);
	return problem_set(problem, 0, "fetch it again, and do not use this one",
			   "the signature of %.150s is not one of its list of files", what);
}
