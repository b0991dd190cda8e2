/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
#ifndef _UAPI_LINUX_PIN_MEM_H
#define _UAPI_LINUX_PIN_MEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * /dev/pin_mem: an application's memory and what belongs to it, kept over a kexec.
 *
 * Every struct begins with its own size. A shorter one than the kernel's is filled
 * up with zeroes; of a longer one the rest must be zero (-E2BIG), as with
 * copy_struct_from_user(). Unknown flags and non-zero reserved fields are -EINVAL.
 * All of it needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE in the initial user
 * namespace, at open and at each ioctl.
 */
#define PIN_MEM_NAME_SIZE	64	/* with the NUL */
#define PIN_MEM_IOC		0xB9

/* --- on the device --- */

/**
 * struct pin_mem_session - PIN_MEM_CREATE, PIN_MEM_RETRIEVE
 * @size: of the struct
 * @flags: 0
 * @name: of the session, NUL-terminated, not empty
 * @fd: out: the session, O_CLOEXEC
 * @reserved: 0
 *
 * CREATE: -EEXIST if there is one of that name (made here or handed over). RETRIEVE gives a session
 * that was handed over by the kernel before: -ENOENT if there is none, -EBUSY while it is open,
 * -EINVAL if its record does not pass the checks (one line in the log says why).
 *
 * Closing a created session gives every page back to its task and forgets the rest: also if its
 * owner was killed. Closing a retrieved one changes nothing: it can be retrieved again until it is
 * dropped, so what was not attached is not lost.
 *
 * PIN_MEM_DROP ends a session: what was handed over is freed, and in the kernel that
 * detached it is the same as closing. The file is then good for nothing (-ENODEV).
 */
struct pin_mem_session {
	__u32 size;
	__u32 flags;
	__u8 name[PIN_MEM_NAME_SIZE];
	__s32 fd;
	__u32 reserved;
};

/* --- on a session --- */

struct pin_mem_range {
	__u64 start;	/* page-aligned addresses */
	__u64 end;
};

/* Why a range is refused */
enum pin_mem_refusal {
	PIN_MEM_REFUSED_NOTHING = 0,
	PIN_MEM_REFUSED_UNMAPPED = 1,	/* nothing is mapped there */
	PIN_MEM_REFUSED_FILE = 2,	/* a mapping of a file, or shared anonymous memory */
	PIN_MEM_REFUSED_HUGETLB = 3,
	PIN_MEM_REFUSED_PFNMAP = 4,	/* VM_PFNMAP, VM_MIXEDMAP, VM_IO */
	PIN_MEM_REFUSED_USERFAULTFD = 5,
	PIN_MEM_REFUSED_KSM = 6,	/* VM_MERGEABLE or a KSM page */
	PIN_MEM_REFUSED_PINNED = 7,	/* somebody else holds a page: GUP, io_uring, aio */
	PIN_MEM_REFUSED_SHARED = 8,	/* at seal: a task that was not detached has it, too */
	PIN_MEM_REFUSED_BUSY = 9,	/* at attach: something else is mapped there already */
	PIN_MEM_REFUSED_DETACHED = 10,	/* the range was detached before */
	PIN_MEM_REFUSED_TAGGED = 11,	/* memory with tags (MTE) */
};

/**
 * struct pin_mem_detach - PIN_MEM_DETACH: take pages out of a frozen task
 * @size: of the struct
 * @flags: 0
 * @pidfd: the task (thread group leader); all its threads must be stopped, frozen or
 *	traced (-EBUSY)
 * @nr_ranges: how many, 1 to 65536, all of private anonymous VMAs
 * @key: what the memory is called in the session; not used there before, or for the
 *	same mm (-EEXIST)
 * @ranges: address of struct pin_mem_range[]
 * @pages: out: base pages taken
 * @huge: out: of these, in huge mappings (512 each with 4 KiB pages)
 * @refused_start: out, when -EOPNOTSUPP or -EBUSY: the range that cannot be taken
 * @refused_end: out
 * @reason: out: enum pin_mem_refusal
 * @reserved: 0
 *
 * All or nothing: on any error the task has what it had. A fault of the task (or
 * of process_vm_readv()) on a VMA with detached pages waits, killably, until they
 * are back: a task that is let go too early sleeps, it does not see zeroes. Where a
 * fault must not wait (ptrace, /proc/PID/mem) it fails. Pages swapped out are left
 * alone (CRIU dumps them), so is the zero page.
 */
struct pin_mem_detach {
	__u32 size;
	__u32 flags;
	__s32 pidfd;
	__u32 nr_ranges;
	__u64 key;
	__u64 ranges;
	__u64 pages;
	__u64 huge;
	__u64 refused_start;
	__u64 refused_end;
	__u32 reason;
	__u32 reserved;
};

/**
 * struct pin_mem_seal - PIN_MEM_SEAL: hand the session over at the next kexec
 * @size: of the struct
 * @flags: PIN_MEM_SEAL_CHECKSUM: also keep a checksum of each extent (time grows with memory)
 * @refused_key, @refused_start, @refused_end, @reason: out, when -EBUSY
 * @reserved: 0
 *
 * After it DETACH and PUT are -EBUSY; STAMP still works. Undone by closing the session.
 */
struct pin_mem_seal {
	__u32 size;
	__u32 flags;
	__u64 refused_key;
	__u64 refused_start;
	__u64 refused_end;
	__u32 reason;
	__u32 reserved;
};

#define PIN_MEM_SEAL_CHECKSUM	(1U << 0)

/**
 * struct pin_mem_attach - PIN_MEM_ATTACH: give the pages of @key to a stopped task
 * @size: of the struct
 * @flags: 0
 * @pidfd: the task; stopped as for DETACH
 * @reserved: 0
 * @key: as at DETACH
 * @pages, @huge: out: given
 * @refused_start, @refused_end, @reason: out, when -EOPNOTSUPP, -EEXIST or -ENOENT
 *
 * The VMAs must be there, private and anonymous, with nothing mapped where a page goes. That is
 * checked before the first page is moved. After -ENOMEM it can be called again, for the rest.
 * In the kernel that detached, the call gives the pages back, as closing does.
 */
struct pin_mem_attach {
	__u32 size;
	__u32 flags;
	__s32 pidfd;
	__u32 reserved;
	__u64 key;
	__u64 pages;
	__u64 huge;
	__u64 refused_start;
	__u64 refused_end;
	__u32 reason;
	__u32 reserved2;
};

/**
 * struct pin_mem_verify - PIN_MEM_VERIFY: compare content with the checksums of the seal
 * @checked: out: base pages compared
 * @bad_key, @bad_start, @bad_end: out, when -EBADMSG
 *
 * -ENODATA if sealed without PIN_MEM_SEAL_CHECKSUM.
 */
struct pin_mem_verify {
	__u32 size;
	__u32 flags;
	__u64 checked;
	__u64 bad_key;
	__u64 bad_start;
	__u64 bad_end;
};

/**
 * struct pin_mem_info - PIN_MEM_INFO
 * @state: enum pin_mem_state
 * @keys: memories (mm) in the session
 * @pages: base pages the session holds now
 * @extents: runs of pages contiguous in both address and frame
 * @records, @stamps: how many there are
 * @metadata: bytes of metadata and records
 */
struct pin_mem_info {
	__u32 size;
	__u32 state;
	__u64 keys;
	__u64 pages;
	__u64 extents;
	__u32 records;
	__u32 stamps;
	__u64 metadata;
};

enum pin_mem_state {
	PIN_MEM_OPEN = 0,
	PIN_MEM_SEALED = 1,
	PIN_MEM_RETRIEVED = 2,
};

/**
 * struct pin_mem_record - PIN_MEM_PUT, PIN_MEM_GET, PIN_MEM_LIST: named, versioned bytes
 * @name: NUL-terminated
 * @version: the user's
 * @index: LIST: which record; the ioctl fills in @name, @version, @length; -ENOENT past
 *	the last
 * @data: user address (PUT, GET)
 * @length: in: bytes at @data; out (GET, LIST): bytes of the record. GET with too small a
 *	buffer is -ENOSPC, with @length set
 *
 * PUT of a name that is there replaces it. A record has up to 1 GiB (-EFBIG).
 */
struct pin_mem_record {
	__u32 size;
	__u32 flags;
	__u8 name[PIN_MEM_NAME_SIZE];
	__u32 version;
	__u32 index;
	__u64 data;
	__u64 length;
};

/**
 * struct pin_mem_stamp - one phase: PIN_MEM_STAMP appends, PIN_MEM_STAMPS reads them all
 * @phase: NUL-terminated
 * @counter: CNTVCT; 0 in STAMP: the kernel takes it, and says so here
 *
 * Works in every state, in both kernels, up to 256 stamps (-ENOSPC). The kernel adds its
 * own, their names begin with "kernel-", which is -EINVAL for others: "kernel-jump" as
 * the last thing before the old kernel is left, "kernel-start" early in the new one.
 */
struct pin_mem_stamp {
	__u32 size;
	__u32 flags;
	char phase[24];
	__u64 counter;
};

struct pin_mem_stamps {
	__u32 size;
	__u32 count;	/* in: room; out: how many there are */
	__u64 stamps;	/* address of struct { char phase[24]; __u64 counter; }[] */
};

/**
 * struct pin_mem_read - PIN_MEM_READ: copy kept memory out, for rescue
 * @key: which memory
 * @start: address; @length: bytes, both page-aligned
 * @data: user address that takes the bytes
 * @done: out: bytes copied from @start on; short at a hole
 * @next: out: the start of the next kept page at or after @start + @done; ~0 if there is none
 *
 * Keys are listed by PIN_MEM_KEYS.
 */
struct pin_mem_read {
	__u32 size;
	__u32 flags;
	__u64 key;
	__u64 start;
	__u64 length;
	__u64 data;
	__u64 done;
	__u64 next;
};

struct pin_mem_keys {
	__u32 size;
	__u32 count;	/* in: room; out: how many there are */
	__u64 keys;	/* address of __u64[] */
};

#define PIN_MEM_CREATE		_IO(PIN_MEM_IOC, 0x00)
#define PIN_MEM_RETRIEVE	_IO(PIN_MEM_IOC, 0x01)

#define PIN_MEM_DETACH		_IO(PIN_MEM_IOC, 0x10)
#define PIN_MEM_SEAL		_IO(PIN_MEM_IOC, 0x11)
#define PIN_MEM_ATTACH		_IO(PIN_MEM_IOC, 0x12)
#define PIN_MEM_VERIFY		_IO(PIN_MEM_IOC, 0x13)
#define PIN_MEM_DROP		_IO(PIN_MEM_IOC, 0x14)	/* no argument */
#define PIN_MEM_INFO		_IO(PIN_MEM_IOC, 0x15)
#define PIN_MEM_PUT		_IO(PIN_MEM_IOC, 0x16)
#define PIN_MEM_GET		_IO(PIN_MEM_IOC, 0x17)
#define PIN_MEM_LIST		_IO(PIN_MEM_IOC, 0x18)
#define PIN_MEM_STAMP		_IO(PIN_MEM_IOC, 0x19)
#define PIN_MEM_STAMPS		_IO(PIN_MEM_IOC, 0x1a)
#define PIN_MEM_READ		_IO(PIN_MEM_IOC, 0x1b)
#define PIN_MEM_KEYS		_IO(PIN_MEM_IOC, 0x1c)

#endif /* _UAPI_LINUX_PIN_MEM_H */
