// SPDX-License-Identifier: GPL-2.0-only
/*
 * An application with shared memory: two processes, a memfd with seals that both have mapped and open,
 * one that nobody may write to, one without seals, and anonymous memory. `shared run FILE MAPPING` goes on
 * until it is ended; the one that nobody may write to is mapped "shared" or "private". On SIGUSR1 both processes look at all of it, and the first one writes down in FILE what
 * they see: the same as before, or something is lost. `shared busy` has /dev/liveupdate open.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define SEALED (24 * MIB)
#define CONSTANT (2 * MIB)
#define FREE (4 * MIB)
#define ANONYMOUS (8 * MIB)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define POSITION 12345

static int sealed_fd, constant_fd, free_fd;
static uint64_t *sealed, *constant, *free_area;
static volatile uint64_t *anonymous; /* the first words are what the two tell each other */
static volatile sig_atomic_t asked;

enum { ASKED, ANSWERED, DIGEST, ECHO, WORDS };

static void on_signal(int signal)
{
	(void)signal;
	asked = 1;
}

static uint64_t digest(const volatile uint64_t *words, size_t size)
{
	uint64_t sum = 14695981039346656037U;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		sum = (sum ^ words[i]) * 1099511628211U;
	return sum;
}

static uint64_t *made(int *fd, const char *name, size_t size, int seals, int mapping)
{
	uint64_t *words;

	*fd = memfd_create(name, MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, (off_t)size) < 0)
		err(1, "memfd %s", name);
	words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (words == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = (i + size) * 11400714819323198485U;
	if (seals & F_SEAL_WRITE) {
		munmap(words, size);
		if (fcntl(*fd, F_ADD_SEALS, seals) < 0)
			err(1, "seals");
		words = mmap(NULL, size, PROT_READ, mapping, *fd, 0);
		if (words == MAP_FAILED)
			err(1, "mmap of what is sealed");
	} else if (seals && fcntl(*fd, F_ADD_SEALS, seals) < 0) {
		err(1, "seals");
	}
	return words;
}

/* What one process sees, the words that change left out. */
static uint64_t seen(void)
{
	return digest(sealed + 1, SEALED - sizeof(*sealed)) ^ digest(constant, CONSTANT) ^
	       digest(free_area, FREE) ^
	       digest(anonymous + WORDS, ANONYMOUS - WORDS * sizeof(*anonymous));
}

static uint64_t read_through(int fd, size_t size)
{
	uint64_t *words = malloc(size);
	uint64_t sum = 0;

	if (words && pread(fd, words, size, 0) == (ssize_t)size)
		sum = digest(words + 1, size - sizeof(*words));
	free(words);
	return sum;
}

/* Both ways: a word in the memfd for the child, its echo in anonymous memory. */
static void __attribute__((noreturn)) child(void)
{
	for (;;) {
		if (anonymous[ASKED] != anonymous[ANSWERED]) {
			anonymous[DIGEST] = seen();
			anonymous[ECHO] = *(volatile uint64_t *)sealed;
			anonymous[ANSWERED] = anonymous[ASKED];
		}
		usleep(1000);
	}
}

static void answer(const char *path, uint64_t number)
{
	char temporary[256];
	FILE *file;

	*(volatile uint64_t *)sealed = number;
	anonymous[ASKED] = number;
	for (int i = 0; anonymous[ANSWERED] != number && i < 60000; i++)
		usleep(1000);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "w");
	if (!file)
		err(1, "%s", temporary);
	fprintf(file, "seen %016lx child %016lx read %016lx echo %d seals %x %x %x at %ld owner %d "
		"resized %d\n", (long)seen(), (long)anonymous[DIGEST],
		(long)read_through(sealed_fd, SEALED), anonymous[ECHO] == number,
		fcntl(sealed_fd, F_GET_SEALS), fcntl(constant_fd, F_GET_SEALS),
		fcntl(free_fd, F_GET_SEALS), (long)lseek(sealed_fd, 0, SEEK_CUR),
		fcntl(sealed_fd, F_GETOWN) == getpid(),
		ftruncate(free_fd, FREE + 8192) == 0 && ftruncate(free_fd, FREE) == 0);
	fclose(file);
	rename(temporary, path);
}

static void run(const char *path, int mapping)
{
	uint64_t number = 0;

	sealed = made(&sealed_fd, "data", SEALED, SEALS, MAP_SHARED);
	constant = made(&constant_fd, "constant", CONSTANT, SEALS | F_SEAL_WRITE | F_SEAL_SEAL, mapping);
	free_area = made(&free_fd, "free", FREE, 0, MAP_SHARED);
	anonymous = mmap(NULL, ANONYMOUS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (anonymous == MAP_FAILED)
		err(1, "mmap");
	for (size_t i = WORDS; i < ANONYMOUS / sizeof(*anonymous); i++)
		anonymous[i] = i * 11400714819323198485U;
	lseek(sealed_fd, POSITION, SEEK_SET);
	fcntl(sealed_fd, F_SETOWN, getpid());
	if (fork() == 0)
		child();
	signal(SIGUSR1, on_signal);
	answer(path, ++number); /* it is ready */
	for (;;) {
		usleep(1000);
		if (asked) {
			asked = 0;
			answer(path, ++number);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "run"))
		run(argv[2], !strcmp(argv[3], "private") ? MAP_PRIVATE : MAP_SHARED);
	if (argc == 2 && !strcmp(argv[1], "busy")) {
		if (open("/dev/liveupdate", O_RDWR) < 0)
			err(1, "/dev/liveupdate");
		printf("open\n");
		fflush(stdout);
		for (;;)
			pause();
	}
	return 2;
}
