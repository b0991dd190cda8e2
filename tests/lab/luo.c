// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that has nothing to do with sku, and keeps a memfd over kexec by itself, with Linux' own
 * /dev/liveupdate: `luo hold` does so until it is gone with the kernel, `luo back` has it back.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)4 << 20)
#define TOKEN 7
#define NAME "somebody"

/* As in <linux/liveupdate.h>, which the compiler's kernel headers are too old for. */
struct session {
	uint32_t size;
	int32_t fd;
	uint8_t name[64];
};

struct file {
	uint32_t size;
	int32_t fd;
	uint64_t token;
};

struct finish {
	uint32_t size;
	uint32_t reserved;
};

#define CREATE_SESSION _IO(0xba, 0x00)
#define RETRIEVE_SESSION _IO(0xba, 0x01)
#define PRESERVE_FD _IO(0xba, 0x40)
#define RETRIEVE_FD _IO(0xba, 0x41)
#define FINISH _IO(0xba, 0x42)

static int session(unsigned long request)
{
	struct session session = { .size = sizeof(session), .name = NAME };
	int device = open("/dev/liveupdate", O_RDWR);

	if (device < 0)
		err(1, "/dev/liveupdate");
	if (ioctl(device, request, &session) < 0)
		err(1, "session");
	return session.fd;
}

static uint32_t *mapped(int fd)
{
	uint32_t *words = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (words == MAP_FAILED)
		err(1, "mmap");
	return words;
}

static void hold(void)
{
	struct file file = { .size = sizeof(file), .token = TOKEN };
	int of = session(CREATE_SESSION);
	uint32_t *words;

	file.fd = memfd_create("data", 0);
	if (file.fd < 0 || ftruncate(file.fd, SIZE) < 0)
		err(1, "memfd");
	words = mapped(file.fd);
	for (size_t i = 0; i < SIZE / sizeof(*words); i++)
		words[i] = (uint32_t)i * 2654435761U;
	if (ioctl(of, PRESERVE_FD, &file) < 0)
		err(1, "preserve");
	printf("held\n");
	fflush(stdout);
	for (;;)
		pause();
}

static void back(void)
{
	struct file file = { .size = sizeof(file), .token = TOKEN };
	struct finish finish = { .size = sizeof(finish) };
	int of = session(RETRIEVE_SESSION);
	uint32_t *words;

	if (ioctl(of, RETRIEVE_FD, &file) < 0)
		err(1, "retrieve");
	words = mapped(file.fd);
	for (size_t i = 0; i < SIZE / sizeof(*words); i++)
		if (words[i] != (uint32_t)i * 2654435761U)
			errx(1, "word %zu is not what it was", i);
	if (ioctl(of, FINISH, &finish) < 0)
		err(1, "finish");
	printf("all there\n");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "hold"))
		hold();
	else if (argc == 2 && !strcmp(argv[1], "back"))
		back();
	else
		return 2;
	return 0;
}
