// SPDX-License-Identifier: GPL-2.0-only
#include "pin.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_DEVICE \
	"build the kernel with the series pin_mem and boot it with kho=on: there is no " PIN_DEVICE

static const char *const reasons[] = {
	[PIN_MEM_REFUSED_NOTHING] = "no reason is given",
	[PIN_MEM_REFUSED_UNMAPPED] = "nothing is mapped there",
	[PIN_MEM_REFUSED_FILE] = "a file or shared memory is mapped there",
	[PIN_MEM_REFUSED_HUGETLB] = "it is of hugetlbfs",
	[PIN_MEM_REFUSED_PFNMAP] = "memory of a device is mapped there",
	[PIN_MEM_REFUSED_USERFAULTFD] = "userfaultfd watches it",
	[PIN_MEM_REFUSED_KSM] = "KSM may merge it",
	[PIN_MEM_REFUSED_PINNED] = "somebody holds a page of it (I/O under way, io_uring, a driver)",
	[PIN_MEM_REFUSED_SHARED] = "a task that stays behind has it, too",
	[PIN_MEM_REFUSED_BUSY] = "something else is there already",
	[PIN_MEM_REFUSED_DETACHED] = "it was detached before",
	[PIN_MEM_REFUSED_TAGGED] = "it has memory tags",
};

/* Say in words why the kernel refused a range. */
const char *pin_reason(uint32_t reason)
{
	if (reason >= sizeof(reasons) / sizeof(reasons[0]))
		return "for a reason this version does not know";
	return reasons[reason];
}

static void copy_name(void *to, size_t size, const char *name)
{
	size_t length = strnlen(name, size - 1);

	memset(to, 0, size);
	memcpy(to, name, length);
}

static int open_session(unsigned long request, const char *name, const char *what,
			struct problem *problem)
{
	_cleanup_close_ int device = open(PIN_DEVICE, O_RDWR | O_CLOEXEC);
	struct pin_mem_session session = { .size = sizeof(session), .fd = -1 };

	if (device < 0)
		return problem_set(problem, errno,
				   errno == ENOENT ? NO_DEVICE : "this takes CAP_SYS_ADMIN",
				   "cannot open " PIN_DEVICE);
	copy_name(session.name, sizeof(session.name), name);
	if (ioctl(device, request, &session) < 0)
		return problem_set(problem, errno,
				   errno == EEXIST ? "what an update before left: skuctl rescue, then "
						     "skuctl undo" :
				   errno == EINVAL ? "the kernel's log says what is wrong" : NULL,
				   "cannot %s the session '%s' of " PIN_DEVICE, what, name);
	return session.fd;
}

/* Make a session in the kernel that is left. Return its descriptor. */
int pin_create(const char *name, struct problem *problem)
{
	return open_session(PIN_MEM_CREATE, name, "create", problem);
}

/* Open the session that was handed over. Return its descriptor; -ENOENT when there is none. */
int pin_retrieve(const char *name, struct problem *problem)
{
	return open_session(PIN_MEM_RETRIEVE, name, "retrieve", problem);
}

static int open_task(pid_t pid, struct problem *problem)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return problem_set(problem, errno, "the application has ended", "cannot find task %d",
				   pid);
	return fd;
}

/*
 * Take the pages in @ranges from the stopped task @pid, whose pid is their key: all of them or
 * none. @refused has the range that stood in the way.
 */
int pin_detach(int session, pid_t pid, const struct pin_mem_range *ranges, size_t count,
	       struct pin_moved *moved, struct pin_refused *refused, struct problem *problem)
{
	_cleanup_close_ int task = open_task(pid, problem);
	struct pin_mem_detach detach = {
		.size = sizeof(detach),
		.pidfd = task,
		.nr_ranges = (uint32_t)count,
		.key = (uint64_t)pid,
		.ranges = (uintptr_t)ranges,
	};

	*refused = (struct pin_refused){ 0 };
	if (task < 0)
		return task;
	if (ioctl(session, PIN_MEM_DETACH, &detach) < 0) {
		*refused = (struct pin_refused){ detach.refused_start, detach.refused_end,
						 detach.reason };
		return problem_set(problem, errno, detach.reason ? pin_reason(detach.reason) : NULL,
				   "cannot detach the memory of task %d (%#" PRIx64 "-%#" PRIx64 ")", pid,
				   (uint64_t)detach.refused_start, (uint64_t)detach.refused_end);
	}
	moved->pages += detach.pages;
	moved->huge += detach.huge;
	return 0;
}

/* Give the pages of @key to the stopped task @pid. */
int pin_attach(int session, uint64_t key, pid_t pid, struct pin_moved *moved,
	       struct problem *problem)
{
	_cleanup_close_ int task = open_task(pid, problem);
	struct pin_mem_attach attach = { .size = sizeof(attach), .pidfd = task, .key = key };

	if (task < 0)
		return task;
	if (ioctl(session, PIN_MEM_ATTACH, &attach) < 0)
		return problem_set(problem, errno, attach.reason ? pin_reason(attach.reason) : NULL,
				   "cannot attach memory %" PRIu64 " to task %d (%#" PRIx64 "-%#" PRIx64 ")",
				   key, pid, (uint64_t)attach.refused_start,
				   (uint64_t)attach.refused_end);
	moved->pages += attach.pages;
	moved->huge += attach.huge;
	return 0;
}

/* Have the session handed over at the next kexec; @checksum keeps what pin_verify() compares. */
int pin_seal(int session, bool checksum, struct problem *problem)
{
	struct pin_mem_seal seal = {
		.size = sizeof(seal),
		.flags = checksum ? PIN_MEM_SEAL_CHECKSUM : 0,
	};

	if (ioctl(session, PIN_MEM_SEAL, &seal) < 0)
		return problem_set(problem, errno,
				   seal.reason ? pin_reason(seal.reason) :
				   errno == ENOMEM ? "give the machine more memory" : NULL,
				   "cannot seal the memory kept (%#" PRIx64 "-%#" PRIx64 " of task %" PRIu64 ")",
				   (uint64_t)seal.refused_start, (uint64_t)seal.refused_end,
				   (uint64_t)seal.refused_key);
	return 0;
}

/* Compare what was handed over with the checksums taken when it was sealed. */
int pin_verify(int session, uint64_t *checked, struct problem *problem)
{
	struct pin_mem_verify verify = { .size = sizeof(verify) };

	if (ioctl(session, PIN_MEM_VERIFY, &verify) < 0)
		return errno != EBADMSG ?
			problem_set(problem, errno, NULL, "cannot verify the memory kept") :
			problem_set(problem, errno,
				    "skuctl restore --no-verify gives it to the application as it is",
				    "memory %" PRIu64 " is not what was sealed, between %#" PRIx64
				    " and %#" PRIx64,
				    (uint64_t)verify.bad_key, (uint64_t)verify.bad_start,
				    (uint64_t)verify.bad_end);
	*checked = verify.checked;
	return 0;
}

/* End the session; what is still in it is freed. */
int pin_drop(int session, struct problem *problem)
{
	if (ioctl(session, PIN_MEM_DROP) < 0)
		return problem_set(problem, errno, NULL, "cannot drop the session");
	return 0;
}

int pin_info(int session, struct pin_mem_info *info, struct problem *problem)
{
	*info = (struct pin_mem_info){ .size = sizeof(*info) };
	if (ioctl(session, PIN_MEM_INFO, info) < 0)
		return problem_set(problem, errno, NULL, "cannot ask what the session holds");
	return 0;
}

/* Keep @size bytes under @name; a record of that name is replaced. */
int pin_put(int session, const char *name, const void *data, size_t size, struct problem *problem)
{
	struct pin_mem_record record = {
		.size = sizeof(record),
		.version = 1,
		.data = (uintptr_t)data,
		.length = size,
	};

	if (strlen(name) >= sizeof(record.name))
		return problem_set(problem, ENAMETOOLONG, NULL, "cannot keep the record '%s'", name);
	copy_name(record.name, sizeof(record.name), name);
	if (ioctl(session, PIN_MEM_PUT, &record) < 0)
		return problem_set(problem, errno,
				   errno == ENOMEM ? "give the machine more memory" : NULL,
				   "cannot keep the record '%s' of %zu bytes", name, size);
	return 0;
}

/* Add the bytes kept under @name to @data. */
int pin_get(int session, const char *name, struct buffer *data, struct problem *problem)
{
	struct pin_mem_record record = { .size = sizeof(record) };

	copy_name(record.name, sizeof(record.name), name);
	if (ioctl(session, PIN_MEM_GET, &record) < 0 && errno != ENOSPC)
		return problem_set(problem, errno, NULL, "cannot read the record '%s'", name);
	if (!record.length)
		return 0;
	if (buffer_reserve(data, record.length) < 0)
		return problem_set(problem, ENOMEM, NULL, "cannot read the record '%s' of %" PRIu64 " bytes",
				   name, (uint64_t)record.length);
	record.data = (uintptr_t)(data->data + data->used);
	if (ioctl(session, PIN_MEM_GET, &record) < 0)
		return problem_set(problem, errno, NULL, "cannot read the record '%s'", name);
	data->used += record.length;
	return 0;
}

/* Tell the name of the record number @index. Return 1, or 0 past the last one. */
int pin_list(int session, uint32_t index, char name[PIN_MEM_NAME_SIZE], struct problem *problem)
{
	struct pin_mem_record record = { .size = sizeof(record), .index = index };

	if (ioctl(session, PIN_MEM_LIST, &record) < 0) {
		if (errno == ENOENT)
			return 0;
		return problem_set(problem, errno, NULL, "cannot list record %u of the session", index);
	}
	memcpy(name, record.name, PIN_MEM_NAME_SIZE);
	name[PIN_MEM_NAME_SIZE - 1] = '\0';
	return 1;
}

/* Note that @phase begins at @counter; now, when that is 0. */
int pin_stamp(int session, const char *phase, uint64_t counter, struct problem *problem)
{
	struct pin_mem_stamp stamp = { .size = sizeof(stamp), .counter = counter };

	copy_name(stamp.phase, sizeof(stamp.phase), phase);
	if (ioctl(session, PIN_MEM_STAMP, &stamp) < 0)
		return problem_set(problem, errno, NULL, "cannot stamp the phase %s", phase);
	return 0;
}

/* Read all stamps: @count is the room in @stamps, then how many there are. */
int pin_stamps(int session, struct pin_stamp *stamps, size_t *count, struct problem *problem)
{
	struct pin_mem_stamps request = {
		.size = sizeof(request),
		.count = (uint32_t)*count,
		.stamps = (uintptr_t)stamps,
	};

	if (ioctl(session, PIN_MEM_STAMPS, &request) < 0)
		return problem_set(problem, errno, NULL, "cannot read the stamps");
	if (request.count < *count)
		*count = request.count;
	for (size_t i = 0; i < *count; i++)
		stamps[i].phase[sizeof(stamps[i].phase) - 1] = '\0';
	return 0;
}

/* List the memories of the session: @count is the room in @keys, then how many there are. */
int pin_keys(int session, uint64_t *keys, size_t *count, struct problem *problem)
{
	struct pin_mem_keys request = {
		.size = sizeof(request),
		.count = (uint32_t)*count,
		.keys = (uintptr_t)keys,
	};

	if (ioctl(session, PIN_MEM_KEYS, &request) < 0)
		return problem_set(problem, errno, NULL, "cannot list what memories are kept");
	if (request.count > *count)
		return problem_set(problem, E2BIG, NULL, "cannot take the memories of %u processes",
				   request.count);
	*count = request.count;
	return 0;
}

/*
 * Copy kept memory from address @start on. @done says how many bytes there were up to the first
 * hole or the end of @data, @next where the next kept page is (UINT64_MAX: there is none).
 */
int pin_read(int session, uint64_t key, uint64_t start, void *data, size_t size, uint64_t *done,
	     uint64_t *next, struct problem *problem)
{
	struct pin_mem_read request = {
		.size = sizeof(request),
		.key = key,
		.start = start,
		.length = size,
		.data = (uintptr_t)data,
	};

	if (ioctl(session, PIN_MEM_READ, &request) < 0)
		return problem_set(problem, errno, NULL, "cannot read memory %" PRIu64 " at %#" PRIx64, key,
				   start);
	*done = request.done;
	*next = request.next;
	return 0;
}
