// SPDX-License-Identifier: GPL-2.0-only
/* Opens the bundle given, as skuctl does, for test_runtime_bundle.py; says what it found. */
#include <stdio.h>
#include <sys/stat.h>

#include "bundle.h"

int main(int argc, char **argv)
{
	static struct bundle bundle;
	struct problem problem;
	struct stat about;

	if (argc < 2)
		return 2;
	if (bundle_open(argv[1], argc > 2 ? argv[2] : NULL, &bundle, &problem) < 0) {
		printf("%s\n%s\n", problem.text, problem.hint ? problem.hint : "");
		return 3;
	}
	printf("%s\n", bundle.cmdline);
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(i ? bundle.initrd : bundle.image, "r+");

		/* Sealed: nobody writes. */
		if (file && (fputc('x', file) == EOF || fflush(file) == EOF))
			fclose(file);
		else if (file)
			return 4;
		if (stat(i ? bundle.initrd : bundle.image, &about) < 0)
			return 5;
		printf("%ld\n", (long)about.st_size);
	}
	problem_set(&problem, 0, NULL, "cannot take %s for a kernel", bundle.image);
	bundle_rename(&bundle, &problem);
	printf("%s\n", problem.text);
	return 0;
}
