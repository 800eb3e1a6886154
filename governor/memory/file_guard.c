/* SPDX-License-Identifier: MIT */
#include "governor/memory/file_guard.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "governor/weights.h"

/* ---- the signal handler ----------------------------------------------------- */

/* A handler has nothing but globals to go by. A slot is taken by whoever makes
 * `taken` true; its version is odd while the addresses change, so that a handler
 * never puts the beginning of one range and the end of another together. */
struct slot {
    atomic_bool taken, hit;
    _Atomic unsigned version;
    _Atomic uintptr_t begin, end;
};

static struct slot slots[GOV__RANGE_FILES_MAX];
/* Written before the handler is installed, constant from then on. */
static struct sigaction earlier;
static uintptr_t page_bytes;
static bool installed;
static pthread_mutex_t install_lock = PTHREAD_MUTEX_INITIALIZER;

static void set_range(struct slot *slot, uintptr_t begin, uintptr_t end)
{
    atomic_fetch_add(&slot->version, 1);
    slot->begin = begin;
    slot->end = end;
    atomic_fetch_add(&slot->version, 1);
}

static uint32_t take_slot(const struct gov__range_file *file)
{
    uintptr_t base = (uintptr_t)file->base;

    if (file->base == NULL || file->bytes == 0)
        return 0;
    for (uint32_t i = 0; i < GOV__RANGE_FILES_MAX; i++) {
        bool no = false;

        if (!atomic_compare_exchange_strong(&slots[i].taken, &no, true))
            continue;
        slots[i].hit = false;
        set_range(&slots[i], base, base + file->bytes);
        return i + 1;
    }
    return 0;
}

static void free_slot(uint32_t slot)
{
    if (slot == 0)
        return;
    set_range(&slots[slot - 1], 0, 0);
    slots[slot - 1].taken = false;
}

static bool was_hit(uint32_t slot)
{
    return slot != 0 && slots[slot - 1].hit;
}

static struct slot *slot_of(uintptr_t address)
{
    for (size_t i = 0; i < GOV__RANGE_FILES_MAX; i++) {
        unsigned version = slots[i].version;
        uintptr_t begin = slots[i].begin, end = slots[i].end;

        if (version % 2 == 0 && slots[i].version == version &&
            address >= begin && address < end)
            return &slots[i];
    }
    return NULL;
}

/* A page of zeros where the file ended. The flag comes first: who sees zeros must
 * not be able to look and see none. */
static bool cover(const siginfo_t *info)
{
    const struct gov_platform *platform = gov__platform_native();
    uintptr_t address = (uintptr_t)info->si_addr;
    struct slot *slot = info->si_code == BUS_ADRERR ? slot_of(address) : NULL;

    if (slot == NULL)
        return false;
    slot->hit = true;
    return platform->cover(platform->ctx,
                           (char *)info->si_addr - address % page_bytes,
                           page_bytes) == 0;
}

/* A library takes signals of nobody who did not ask for it. */
static int act(const struct sigaction *now, struct sigaction *before)
{
    return sigaction(SIGBUS, now, before) == 0 ? 0 : errno; /* asked for */
}

static void set_default(void)
{
    struct sigaction action;

    action.sa_handler = SIG_DFL;
    action.sa_flags = 0;
    sigemptyset(&action.sa_mask);
    (void)act(&action, NULL);
}

/* As the kernel would have done it. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    bool own = info->si_code == BUS_ADRALN || info->si_code == BUS_ADRERR ||
               info->si_code == BUS_OBJERR;

    if (((unsigned)earlier.sa_flags & (unsigned)SA_RESETHAND) != 0)
        set_default();
    if ((earlier.sa_flags & SA_SIGINFO) != 0) {
        earlier.sa_sigaction(number, info, context);
    } else if (earlier.sa_handler == SIG_DFL ||
               (earlier.sa_handler == SIG_IGN && own)) {
        /* One that an instruction raised comes again with it, and with its
         * address; it cannot be ignored. */
        set_default();
        if (!own)
            (void)raise(number);
    } else if (earlier.sa_handler != SIG_IGN) {
        earlier.sa_handler(number);
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    if (!cover(info))
        pass_on(number, info, context);
    errno = saved;
}

static int install(void)
{
    const struct gov_platform *platform = gov__platform_native();
    struct sigaction action;
    int rc = act(NULL, &earlier);

    if (rc != 0)
        return rc;
    page_bytes = platform->page_bytes(platform->ctx);
    /* With the signals blocked that the earlier handler counts on. */
    action.sa_mask = earlier.sa_mask;
    action.sa_flags = (earlier.sa_flags & (SA_NODEFER | SA_RESTART)) |
                      SA_SIGINFO | SA_ONSTACK;
    action.sa_sigaction = on_bus_error;
    return act(&action, NULL);
}

gov_status gov_sigbus_guard(gov_error *err)
{
    int rc = 0;

    pthread_mutex_lock(&install_lock);
    if (!installed) {
        rc = install();
        installed = rc == 0;
    }
    pthread_mutex_unlock(&install_lock);
    if (rc != 0)
        return gov_fail(
            err, GOV_E_UNSUPPORTED, rc,
            "no handler of SIGBUS can be installed; do without, and "
            "have nobody cut a model's file while it is in use");
    return GOV_OK;
}

/* ---- stamps and leases ------------------------------------------------------- */

static uint64_t nanoseconds(struct timespec at)
{
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

static int read_stamp(int fd, struct gov__file_stamp *out)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return errno;
    out->device = (uint64_t)st.st_dev;
    out->inode = (uint64_t)st.st_ino;
    out->bytes = (uint64_t)st.st_size;
    out->modified_ns = nanoseconds(st.st_mtim);
    out->changed_ns = nanoseconds(st.st_ctim);
    out->links = (uint64_t)st.st_nlink;
    out->mode = (uint64_t)st.st_mode;
    return 0;
}

static int start_file(const struct gov__range *range, uint32_t file,
                      struct gov__file_stamp *stamp)
{
    const struct gov_platform *platform = range->platform;
    const struct gov__range_file *f = &range->files[file];
    int rc = 0;

    if (f->fd >= 0) {
        /* The lease first: nobody writes between it and the stamp. */
        stamp->leased = platform->lease_take(platform->ctx, f->fd) == 0;
        rc = read_stamp(f->fd, stamp);
        stamp->known = rc == 0;
    }
    if (rc == 0)
        stamp->slot = take_slot(f);
    return rc;
}

int gov__file_guard_start(struct gov__file_guard *guard)
{
    const struct gov__range *range = guard->range;
    int rc = 0;

    for (uint32_t i = 0; i < range->file_count; i++)
        guard->stamps[i] = (struct gov__file_stamp){0};
    for (uint32_t i = 0; i < range->file_count && rc == 0; i++)
        rc = start_file(range, i, &guard->stamps[i]);
    if (rc != 0)
        gov__file_guard_stop(guard);
    return rc;
}

void gov__file_guard_stop(struct gov__file_guard *guard)
{
    for (uint32_t i = 0; i < guard->range->file_count; i++) {
        gov__file_guard_yield(guard, i);
        free_slot(guard->stamps[i].slot);
        guard->stamps[i] = (struct gov__file_stamp){0};
    }
}

/* The time of the last write can be set back, that of the last change cannot; but
 * this also changes when the file is moved, linked, unlinked or made readable to
 * others. Where a lease is held nobody can have written; else the number of links
 * or the mode must have changed for it to be that. */
static bool is_same(struct gov__file_stamp *was, int fd, bool held)
{
    struct gov__file_stamp now = *was;

    if (read_stamp(fd, &now) != 0 || now.device != was->device ||
        now.inode != was->inode || now.bytes != was->bytes ||
        now.modified_ns != was->modified_ns)
        return false;
    if (now.changed_ns != was->changed_ns && !held && now.links == was->links &&
        now.mode == was->mode)
        return false;
    *was = now;
    return true;
}

enum gov__file_news gov__file_guard_look(struct gov__file_guard *guard,
                                         uint32_t *file)
{
    const struct gov_platform *platform = guard->range->platform;
    enum gov__file_news news = GOV__FILE_SAME;

    for (uint32_t i = 0; i < guard->range->file_count; i++) {
        struct gov__file_stamp *stamp = &guard->stamps[i];
        int fd = guard->range->files[i].fd;
        bool same = true, wanted = false;

        /* Asked first: nobody can have written by then whom the lease keeps off. */
        if (stamp->leased &&
            platform->lease_wanted(platform->ctx, fd, &wanted) != 0)
            wanted = true;
        if (stamp->known)
            same = is_same(stamp, fd, stamp->leased && !wanted);
        if (!same || was_hit(stamp->slot)) {
            *file = i;
            return GOV__FILE_CHANGED;
        }
        if (wanted && news == GOV__FILE_SAME) {
            *file = i;
            news = GOV__FILE_WANTED;
        }
    }
    return news;
}

void gov__file_guard_yield(struct gov__file_guard *guard, uint32_t file)
{
    const struct gov_platform *platform = guard->range->platform;

    if (guard->stamps[file].leased)
        (void)platform->lease_drop(platform->ctx, guard->range->files[file].fd);
    guard->stamps[file].leased = false;
}
