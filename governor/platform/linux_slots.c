/* SPDX-License-Identifier: MIT */
/* Slots: a file in memory, of huge pages, mapped twice: to be written, and to be
 * moved read-only over what it is shown in place of. The pages are there once:
 * none is zeroed for each part that passes, nor waited for while the disk reads.
 * Knows nothing of what is in them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"

/* Since Linux 5.13 for files, 5.14, 5.14, 6.1, 5.1 and 6.3. */
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* A system may insist on MFD_NOEXEC_SEAL (vm.memfd_noexec), an older one does not
 * know it. */
static int open_memory(size_t bytes, int *out)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    struct rlimit files;
    int fd;

    /* Memory is a file to this limit, too, and a larger one a signal. */
    if (getrlimit(RLIMIT_FSIZE, &files) == 0 && files.rlim_cur < bytes)
        return ENOTSUP;
    fd = memfd_create("governor weights", flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("governor weights", flags);
    if (fd < 0)
        return errno == ENOSYS || errno == EPERM || errno == EACCES ? ENOTSUP
                                                                    : errno;
    if (ftruncate(fd, (off_t)bytes) != 0) {
        int rc = errno;

        close(fd);
        return rc;
    }
    *out = fd;
    return 0;
}

/* At a multiple of the huge page. A child of fork() would see what comes into the
 * slots later: it gets none, nor what is moved from there, and a fault instead. */
static int map_slots(void *ctx, int fd, size_t bytes, int protection,
                     void **out)
{
    void *room;
    int rc = gov__linux_stage(ctx, NULL, bytes, &room);

    if (rc != 0)
        return rc;
    if (mmap(room, bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) !=
            MAP_FAILED &&
        madvise(room, bytes, MADV_DONTFORK) == 0) {
        *out = room;
        return 0;
    }
    rc = errno;
    (void)munmap(room, bytes);
    return rc;
}

static int advise_all(void *base, size_t bytes, int advice)
{
    while (madvise(base, bytes, advice) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* The kernel makes a huge page of what has one page in it, whatever
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled says, unless that is "deny". A
 * few that it has none for are small ones, when they are written to. */
static int make_huge(char *base, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t huge = gov__linux_huge_bytes(), failed = 0;

    for (size_t at = 0; at < bytes; at += huge) {
        int rc = advise_all(base + at, page, MADV_POPULATE_WRITE);

        if (rc != 0)
            return rc == EINVAL ? ENOTSUP : rc;
        rc = advise_all(base + at, huge, MADV_COLLAPSE);
        /* No such advice, or forbidden: it would be no other time. */
        if (rc == EINVAL)
            return ENOTSUP;
        if (rc != 0)
            failed += huge;
    }
    return failed > bytes / 2 ? ENOTSUP : 0;
}

static int map_both(void *ctx, int fd, size_t bytes, void **fill, void **view)
{
    int rc = map_slots(ctx, fd, bytes, PROT_READ | PROT_WRITE, fill);

    if (rc != 0)
        return rc;
    rc = make_huge(*fill, bytes);
    /* From here on the file is mapped as it is, and never to be written. */
    if (rc == 0 && fcntl(fd, F_ADD_SEALS,
                         F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE |
                             F_SEAL_SEAL) != 0)
        rc = errno;
    if (rc == 0)
        rc = map_slots(ctx, fd, bytes, PROT_READ, view);
    if (rc != 0)
        (void)munmap(*fill, bytes);
    return rc;
}

int gov__linux_slots_open(void *ctx, size_t bytes, void **fill, void **view)
{
    int rc, fd = -1;

    if (bytes == 0 || bytes % gov__linux_huge_bytes() != 0)
        return EINVAL;
    rc = open_memory(bytes, &fd);
    if (rc != 0)
        return rc;
    rc = map_both(ctx, fd, bytes, fill, view);
    /* The mappings keep it. */
    close(fd);
    return rc;
}

/* All that can fail does so before the target is touched, but for mremap(). It
 * moves the page table's entries and leaves the view mapped, without them. Of a
 * huge page that is shown in part it loses them. */
int gov__linux_slots_show(void *ctx, void *view, size_t bytes, void *target)
{
    size_t whole = bytes - bytes % gov__linux_huge_bytes();
    int rc = 0;

    (void)ctx;
    if (whole > 0)
        rc = advise_all(view, whole, MADV_POPULATE_READ);
    if (rc == 0)
        rc = gov__linux_move(view, bytes, target, MREMAP_DONTUNMAP);
    if (rc == 0 && whole < bytes)
        (void)advise_all((char *)target + whole, bytes - whole,
                         MADV_POPULATE_READ);
    return rc;
}

int gov__linux_slots_close(void *ctx, void *fill, void *view, size_t bytes)
{
    int rc = munmap(fill, bytes) == 0 ? 0 : errno;

    (void)ctx;
    if (munmap(view, bytes) != 0 && rc == 0)
        rc = errno;
    return rc;
}
