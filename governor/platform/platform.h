/* SPDX-License-Identifier: MIT */
/* The seam: everything that differs between systems, as one table. POSIX calls
 * that are the same everywhere (open, pread, fstat, rename, ...) are made
 * directly by the modules that need them; tests make those fail by wrapping
 * them at link time.
 *
 * platform_linux.c, platform_generic.c: one file a system fills the table, and
 * only these files test for a system. tests/support/sim_platform.c is the one
 * with a hand-set clock.
 *
 * Contract for every entry: returns 0 or an errno value; *out is valid on 0
 * only; ENOTSUP where the system has no such thing; any thread; no allocation
 * unless said. A figure the system does not tell is absent from `have`. */
#ifndef GOV_PLATFORM_PLATFORM_H
#define GOV_PLATFORM_PLATFORM_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

#include "policies/alloc.h"
#include "policies/facts.h"

/* Machine-wide memory. */
struct gov__machine {
    uint64_t total_bytes;
    uint64_t available_bytes; /* kernel's estimate; counts clean file pages */
    uint64_t swap_total_bytes, swap_free_bytes;
};

/* The tightest limit that binds this process: its own cgroup and all above it
 * (v1, v2 or hybrid), or jetsam. limit_bytes is UINT64_MAX when there is none,
 * and then used_bytes is 0. */
struct gov__limit {
    uint64_t limit_bytes;
    uint64_t used_bytes;      /* charged to the group that binds */
    uint64_t used_file_bytes; /* of those, file pages that can be dropped */
    /* Less is left than limit - (used - file) by this much, because a group
     * further up with a wider limit is fuller; mostly 0. */
    uint64_t short_bytes;
    /* Swap that all in the group may use, where that is limited by itself; it
     * may be 0, and be there without a memory limit. */
    bool have_swap_limit;
    uint64_t swap_limit_bytes;
    /* How often that group ran into its limit, a total. */
    bool have_hits;
    uint64_t hits;
    char source[160]; /* e.g. "cgroup v1 /app, memory.limit_in_bytes" */
};

/* PSI totals in microseconds since boot; only grow. */
struct gov__stall {
    bool have_memory, have_io;
    uint64_t memory_some_us, memory_full_us, io_some_us;
    uint32_t memory_recent_permille; /* of the last 10 s, "some", averaged */
    const char *source;              /* "own cgroup" or "system"; static */
    /* What the system itself calls it, as gov_level counts: 0, 50, 100. It may be
     * there alone, and source is "" then. */
    bool have_os_level;
    int os_level;
};

/* One process. Footprint is anonymous + swapped + private shared memory. */
struct gov__process {
    uint64_t footprint_bytes;
    uint64_t anon_bytes, swap_bytes, shmem_bytes;
    uint64_t resident_file_bytes; /* clean or dirty file pages it maps */
    uint64_t minor_faults, major_faults;
    bool have_read_bytes;
    uint64_t read_bytes;  /* from storage */
    uint64_t start_ticks; /* start time, to tell a reused pid; 0 unknown */
};

/* A process of whoever's, as one sees it from outside. Figures are UINT64_MAX where
 * the system does not tell this user. */
struct gov__other {
    int pid;
    const char *name; /* as the process has chosen it: any bytes */
    uint64_t start_ticks;
    uint64_t footprint_bytes, swap_bytes; /* anonymous memory, with swap */
    bool exact; /* those two were counted just now, not kept by the way */
    uint64_t resident_file_bytes;
    uint64_t mapped_bytes, mapped_resident_bytes; /* of model files */
    const char *model; /* path of the one it maps most of; any bytes; or "" */
    uint64_t minor_faults, major_faults, read_bytes;
};

enum gov__regard {
    GOV__REGARD_NONE,     /* passed over */
    GOV__REGARD_MAPPINGS, /* shown if it maps a model file */
    GOV__REGARD_ALWAYS,   /* shown */
};

/* Which processes are wanted, and who is told of each. */
struct gov__others {
    void *ctx;
    enum gov__regard (*regard)(void *ctx, int pid, const char *name);
    bool (*is_model)(const char *path);
    void (*show)(void *ctx, const struct gov__other *other); /* borrowed */
};

/* A mapping of a file in this process. */
struct gov__mapping {
    void *base;
    size_t bytes;
    uint64_t file_offset;
    bool locked;     /* VM_LOCKED: discarding fails */
    bool copied;     /* MAP_PRIVATE: discarding loses what was written */
    uint32_t pieces; /* mappings of that file; > 1 when it was split */
};

enum gov__advice {
    GOV__ADVICE_NORMAL,
    GOV__ADVICE_SEQUENTIAL,
    GOV__ADVICE_RANDOM,
    GOV__ADVICE_HUGE, /* huge pages where possible, beside what else is advised */
};

struct gov__told {
    uint64_t number;  /* in the unit of the fact's type; a flag is 0 or 1 */
    char text[96];    /* for facts of type text, NUL-terminated */
    char source[160]; /* NUL-terminated, also on failure */
};

struct gov__gpu {
    char name[96];
    char bus[32]; /* PCI address, "0000:65:00.0"; "" when not told */
    uint64_t memory_bytes, working_set_bytes, used_bytes; /* 0: not told */
    bool shares_ram, software;
    /* No processor, but a driver that is there and cannot tell of any: why is in
     * source, "NVML: Driver/library version mismatch". */
    bool failed;
    char source[160];
};

/* What a pass is measured by, of the whole process; only grow. */
struct gov__pass_counts {
    uint64_t minor_faults, major_faults;
    bool have_read_bytes, have_reclaim;
    uint64_t read_bytes; /* from storage */
    /* PSI memory "some" of the own cgroup, else of the system. */
    uint64_t reclaim_us;
};

struct gov__queued_read {
    int fd;
    unsigned char *buffer;
    size_t chunk;
    unsigned depth;
    uint64_t offset, bytes;
};

/* Reads under way: the caller's memory, the platform's business. */
struct gov__read_queue {
    _Alignas(8) unsigned char room[256];
};

struct gov__read {
    int fd;
    void *buffer;
    size_t bytes; /* at most INT32_MAX */
    uint64_t offset;
    uint32_t tag; /* the caller's */
};

/* What may wake whoever waits for memory to become short, and why it may not. */
enum gov__source_state {
    GOV__SOURCE_LIVE = 1,
    GOV__SOURCE_SPARE,  /* it would work, and is not waited for now */
    GOV__SOURCE_ABSENT, /* the system has none */
    GOV__SOURCE_DENIED, /* this user, or this container, may not */
    GOV__SOURCE_BROKEN, /* it went, or told what was not so */
};

struct gov__source {
    const char *name; /* "PSI trigger (own cgroup)", ...; static */
    enum gov__source_state state;
    char why[96]; /* not LIVE: a few words; else what it waits for */
    uint64_t events,
        false_events; /* false: what was told could not be verified */
};

#define GOV__WATCH_FDS 8
#define GOV__SOURCES 12

struct gov__watch {
    _Alignas(16) unsigned char room[8192];
};

/* What to be woken for. */
struct gov__watch_for {
    uint64_t now_us;
    bool alert; /* the caller looks ten times a second: no trigger need wait */
    /* Of the group that binds, what is charged to it when the caller wants to
     * look; 0: not by that. */
    uint64_t used_bytes;
};

#define GOV__GATHER_FDS 16

struct gov__gather {
    int fd; /* for poll(); -1 when closed */
    /* The platform's: what is gathered cannot be asked back from an epoll. */
    int timer;
    uint32_t count;
    int fds[GOV__GATHER_FDS];
};

/* Memory for gov_platform.keep(): mostly paths. */
struct gov__kept {
    _Alignas(16) unsigned char room[24576];
};

struct gov_platform {
    void *ctx;
    const char *name; /* "linux", "generic", ...; static */

    /* Monotonic microseconds; never goes backwards. Cannot fail. */
    uint64_t (*now_us)(void *ctx);
    /* Bytes in a memory page. Cannot fail. */
    size_t (*page_bytes)(void *ctx);

    int (*machine)(void *ctx, struct gov__machine *out);
    int (*limit)(void *ctx, struct gov__limit *out);
    int (*stall)(void *ctx, struct gov__stall *out);
    /* Pages read again after reclaim, machine-wide or own cgroup, in bytes. */
    int (*refaults)(void *ctx, uint64_t *out_bytes);
    /* *out is this table, but that machine(), limit(), stall(), refaults() and
     * process() of it keep open what they read, 24 descriptors at most: a look
     * needs none then, when none is left. For one thread at a time; `kept` is the
     * caller's, to unkeep() before it goes. A child of fork() calls unkeep() only.
     * NULL: nothing is gained. */
    int (*keep)(void *ctx, struct gov__kept *kept, struct gov_platform *out);
    void (*unkeep)(void *ctx, struct gov__kept *kept);
    /* pid 0 is this process. */
    int (*process)(void *ctx, int pid, struct gov__process *out);
    /* 0 when a process with that start time lives, ESRCH when not. */
    int (*alive)(void *ctx, int pid, uint64_t start_ticks);
    /* Every process of the system that is wanted. NULL where the system does not
     * tell. Does not wait for processes that are stuck. Allocates. */
    int (*others)(void *ctx, const struct gov__others *wanted);

    /* Waking: NULL where nothing wakes. watch_open() finds what there is and arms
     * nothing; that a source is not there is no failure. watch_polls() arms what is
     * wanted, takes back what is not, and says which descriptors to poll() for what,
     * GOV__WATCH_FDS at most; to be called before each wait. watch_heard() takes what
     * poll() answered and says whether to look now: what can be verified was, no more
     * than ten times a second whatever is told (fifty, of usage), and a source that is gone (its group
     * was removed) is looked for again, once a second at most. One thread at a time;
     * watch_close() by a child of fork(), too, which disarms nothing of its parent. */
    int (*watch_open)(void *ctx, struct gov__watch *watch);
    size_t (*watch_polls)(void *ctx, struct gov__watch *watch,
                          const struct gov__watch_for *want,
                          struct pollfd *out);
    bool (*watch_heard)(void *ctx, struct gov__watch *watch,
                        const struct pollfd *polled, size_t count,
                        uint64_t now_us);
    size_t (*watch_sources)(void *ctx, const struct gov__watch *watch,
                            struct gov__source *out, size_t room);
    void (*watch_close)(void *ctx, struct gov__watch *watch);
    /* gather->fd is one descriptor that poll() finds readable when one of `polled`
     * has what it asks for, or when timeout_ms are over. gather() replaces what was
     * gathered before (GOV__GATHER_FDS at most, else E2BIG); -1: no time. NULL
     * where the system has none. */
    int (*gather_open)(void *ctx, struct gov__gather *gather);
    int (*gather)(void *ctx, struct gov__gather *gather,
                  const struct pollfd *polled, size_t count, int timeout_ms);
    void (*gather_close)(void *ctx, struct gov__gather *gather);
    /* Tells the system that somebody waits for what this process does: it is not
     * put to sleep, nor its timers stretched. ENOTSUP where there is no such
     * thing. Allocates. */
    int (*activity_begin)(void *ctx, const char *why, void **out);
    int (*activity_end)(void *ctx, void *activity);

    /* Zeroed private anonymous memory, named `tag` where the system can. */
    int (*map)(void *ctx, size_t bytes, const char *tag, void **out);
    int (*unmap)(void *ctx, void *base, size_t bytes);
    /* Gives the memory back now. Anonymous pages read as zero afterwards, file
     * pages are read again. Page-aligned base; EINVAL when locked. */
    int (*discard)(void *ctx, void *base, size_t bytes);
    /* Lets the kernel take the pages when it needs some; until then they keep
     * their bytes. A page written to afterwards is kept. Anonymous only. */
    int (*offer)(void *ctx, void *base, size_t bytes);
    /* Starts to read exactly these file pages in and does not wait for them;
     * what cannot be read shows when it is used. */
    int (*prefetch)(void *ctx, void *base, size_t bytes);
    /* Reads file pages in and maps them; blocks. EFAULT/EIO on bad pages. */
    int (*populate)(void *ctx, void *base, size_t bytes);
    /* Drops clean cached pages of an open file that nobody maps. */
    int (*drop_cached)(void *ctx, int fd, uint64_t offset, uint64_t bytes);
    int (*advise)(void *ctx, void *base, size_t bytes, enum gov__advice advice);
    /* Bytes of the range in memory. On a file that the user neither owns nor
     * can write the kernel may answer "all": see docs/platforms.md. */
    int (*resident)(void *ctx, void *base, size_t bytes, uint64_t *out);
    /* This process's mapping of the file behind fd; ENOENT when none. With
     * within not NULL only what lies in [within, within + bytes) counts. */
    int (*find_mapping)(void *ctx, int fd, const void *within, size_t bytes,
                        struct gov__mapping *out);
    /* Whether another process maps the file behind fd, too, as far as this user may
     * look into them; of very many not all are looked at. Allocates; takes about
     * 10 us for each process. */
    int (*mapped_elsewhere)(void *ctx, int fd, bool *out);
    /* Maps a file's pages read-only and shared, without reading them: at `at`,
     * over what is there and in one step for whoever reads there, or where there
     * is room (NULL). */
    int (*map_file)(void *ctx, int fd, uint64_t offset, size_t bytes, void *at,
                    void **out);
    /* Zeroed anonymous memory to be filled and then placed over `target`
     * (page-aligned, bytes in whole pages), with huge pages where there can be
     * any. */
    int (*stage)(void *ctx, const void *target, size_t bytes, void **out);
    /* Makes staged memory read-only and moves it over `target`, in one step for
     * whoever reads there; the staging range is gone. From then on discard() of it
     * destroys the bytes, as of all anonymous memory. On failure both are as they
     * were; EFAULT: except that nothing may be mapped at the target any more. */
    int (*place)(void *ctx, void *staged, size_t bytes, void *target);
    int (*unstage)(void *ctx, void *staged, size_t bytes);
    /* Slots: memory of huge pages that is there once and for good, to be written to
     * at `fill` and shown, read-only, from `view`; both are a multiple of the huge
     * page, which `bytes` must be, too. ENOTSUP: also where most of it cannot be
     * huge pages. discard() of what was written keeps it, and makes the process not
     * be charged for it twice. A child of fork() has neither of the two, nor what is
     * shown: a fault where it reads there. */
    int (*slots_open)(void *ctx, size_t bytes, void **fill, void **view);
    /* Shows what is at `view`, in a slot, over `target`, in one step for whoever
     * reads there and with no fault to come; both multiples of the huge page. It
     * may not be written to while it is shown. On failure the target is as it was;
     * EFAULT: except that nothing may be mapped there any more. */
    int (*slots_show)(void *ctx, void *view, size_t bytes, void *target);
    /* What is shown stays. */
    int (*slots_close)(void *ctx, void *fill, void *view, size_t bytes);
    /* Reads that go on by themselves, at most `most` at a time. reads_open is NULL
     * where there are none, as all reads_ are; ENOTSUP: also where they are
     * denied, as in many containers. One thread starts reads, takes them and
     * sleeps; the others may wake it. */
    int (*reads_open)(void *ctx, struct gov__read_queue *reads, uint32_t most);
    /* The buffer is the kernel's until the read was taken. */
    int (*reads_start)(void *ctx, struct gov__read_queue *reads,
                       const struct gov__read *read);
    /* One that has ended; *result: bytes, maybe fewer than asked for, or a
     * negative errno value. ENODATA: there is none. */
    int (*reads_take)(void *ctx, struct gov__read_queue *reads, uint32_t *tag,
                      int64_t *result);
    /* Until a read has ended that is not taken, somebody wakes or has done so
     * since the last time, or so long, where that is not 0. May end earlier. */
    int (*reads_sleep)(void *ctx, struct gov__read_queue *reads,
                       uint64_t timeout_us);
    int (*reads_wake)(void *ctx, struct gov__read_queue *reads);
    /* When all have been taken. */
    int (*reads_close)(void *ctx, struct gov__read_queue *reads);
    /* Zeros, read-only, over what is at `page`. May be called where a signal is
     * handled. */
    int (*cover)(void *ctx, void *page, size_t bytes);
    /* The calling thread gets the processor and the disk after others, for good.
     * On failure it may have got one of the two. */
    int (*step_back)(void *ctx);
    /* Cheap: about 5 us. */
    int (*pass_counts)(void *ctx, struct gov__pass_counts *out);
    /* Doorbells: a handle; memory at `page`, missing, that tells when it is
     * touched (laid over what is there, which on failure is still read there);
     * missing again; the next touch, waiting at most timeout_ms (ETIMEDOUT;
     * EINTR: look again), and the page it was in; the bytes, of whole pages, that
     * let the toucher go on, also when they are there already. EPERM: it is
     * forbidden. Closing lets all go on, who then find zeros: answer first. A call
     * of the kernel that is to read a missing page fails (EFAULT), and a child of
     * fork() has no memory there. */
    int (*bell_open)(void *ctx, int *handle);
    int (*bell_lay)(void *ctx, int handle, void *page, size_t bytes);
    int (*bell_arm)(void *ctx, int handle, void *page, size_t bytes);
    int (*bell_wait)(void *ctx, int handle, uint32_t timeout_ms,
                     void **address);
    int (*bell_answer)(void *ctx, int handle, void *page, const void *bytes,
                       size_t count);
    int (*bell_close)(void *ctx, int handle);
    /* A read lease on an open file: others who want to write wait. EACCES: not
     * the user's; EAGAIN: somebody writes. lease_wanted: somebody waits, or did so
     * until the lease was taken away. Sends no signal that a program does not
     * ignore by default. */
    int (*lease_take)(void *ctx, int fd);
    int (*lease_wanted)(void *ctx, int fd, bool *wanted);
    int (*lease_drop)(void *ctx, int fd);
    /* Asks the C library's allocator to return free memory to the system. */
    int (*trim)(void *ctx);
    /* Bytes that the C library's allocator holds and nobody uses. */
    int (*idle)(void *ctx, uint64_t *out_bytes);
    /* The address of a symbol that the process already has, or NULL. */
    void *(*symbol)(void *ctx, const char *name);
    /* The path of the loaded object (library or program) that holds an address,
     * NUL-terminated. */
    int (*object_path)(void *ctx, const void *address, char *out, size_t bytes);

    /* One fact of the hardware or the system (GOV_FACT_DEVICE_*) that is not in
     * machine() or limit(): what it is and where it is from. On failure
     * out->source says why in a few words ("/proc/cpuinfo has no model"), and
     * nothing else in *out is valid. ENOTSUP: this platform has no such fact,
     * and nobody need be told. ENODATA: it has, and does not say. What a user
     * may do is tried, without a trace: no descriptor stays open. */
    int (*tell)(void *ctx, gov_fact fact, struct gov__told *out);

    /* Every graphics processor that a driver tells of, and the same one again by
     * every other driver that knows it, and an entry for each driver that failed;
     * device/gpus.c makes one list of them. Writes at most `max`, returns how many
     * in *count. Loads drivers, which allocate; takes as long as they take. */
    int (*gpus)(void *ctx, struct gov__gpu *out, size_t max, size_t *count);

    /* Makes reads of an open file pass the page cache by, or not any more. Needs
     * buffers, offsets and sizes in multiples of 4096. */
    int (*set_direct)(void *ctx, int fd, bool direct);
    /* Reads bytes from offset with `depth` reads of `chunk` bytes queued at once
     * into `buffer` (depth * chunk bytes, aligned to pages), over and over: for
     * measuring. *done is what was read. */
    int (*read_queued)(void *ctx, const struct gov__queued_read *read,
                       uint64_t *done);
    /* A short name of the file system that holds an open file: "ext4". */
    int (*file_system)(void *ctx, int fd, char *out, size_t bytes);
};

/* The table of the system this was built for. Static; never NULL. */
const struct gov_platform *gov__platform_native(void);

/* A Linux table that reads <root>/proc and <root>/sys; for tests. `root` is
 * borrowed and must outlive the table, which is filled into *out. Elsewhere
 * than on Linux it does not exist. */
struct gov__linux_root {
    const char *root;
    struct gov__linux_kept *kept; /* in a table of keep() only, else NULL */
};
void gov__platform_linux_at(struct gov_platform *out,
                            struct gov__linux_root *root);

/* Starts a thread that takes no signal of the host's, except those that its own
 * instructions raise: callbacks may run on it. Returns 0 or an errno value. */
int gov__thread_start(pthread_t *out, void *(*run)(void *), void *arg);

/* Reads a whole small text file into buffer, NUL-terminated. Returns 0 or an
 * errno value; EFBIG when it does not fit. EINTR is retried. */
int gov__read_text(const char *path, char *buffer, size_t bytes,
                   size_t *out_length);

/* What is left of n without `by`; 0 when that is more. */
static inline uint64_t gov__less(uint64_t n, uint64_t by)
{
    return n > by ? n - by : 0;
}

/* Rounds to a multiple of the page size, which is a power of two. */
static inline uint64_t gov__round_down(uint64_t n, uint64_t page)
{
    return n & ~(page - 1);
}

static inline uint64_t gov__round_up(uint64_t n, uint64_t page)
{
    return (n + page - 1) & ~(page - 1);
}

#endif
