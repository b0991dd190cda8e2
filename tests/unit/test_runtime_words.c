// SPDX-License-Identifier: GPL-2.0-only
/* skuctl as far as its words go: help, what each command takes, and what completes it. */
#include <stdio.h>
#include <string.h>

#include "completion.h"
#include "words.h"

static void print_table(void)
{
	for (unsigned int i = 0; i < COMMANDS; i++) {
		printf("%s", command_words[i].word);
		for (unsigned int j = 0; j < OPTIONS; j++)
			if (command_has(i, j))
				printf(" %s", option_words[j].word);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "table"))
		print_table();
	else if (argc == 2 && !strcmp(argv[1], "help"))
		words_help(stdout);
	else
		return argc == 3 ? -completion_print(argv[2], stdout) : 1;
	return 0;
}
