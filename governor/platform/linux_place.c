/* SPDX-License-Identifier: MIT */
/* Memory that takes the place of other memory: a file's pages, and anonymous
 * memory that was filled elsewhere. Moves whole ranges at once, so that whoever
 * reads there finds the old or the new; knows nothing of what is in them. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "governor/platform/linux_parts.h"

/* As in platform_linux.c. */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* What one entry of the level above a page table covers, which is what a huge
 * page is: 2 MiB with pages of 4 KiB, 32 MiB with 16 KiB, 512 MiB with 64 KiB. */
size_t gov__linux_huge_bytes(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return page / 8 * page;
}

int gov__linux_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                        void *at, void **out)
{
    void *base =
        mmap(at, bytes, PROT_READ, MAP_SHARED | (at != NULL ? MAP_FIXED : 0),
             fd, (off_t)offset);

    (void)ctx;
    if (base == MAP_FAILED)
        return errno;
    *out = base;
    return 0;
}

/* Cuts [base, base + whole) down to the part at `skip`. */
static int cut(char *base, size_t whole, size_t skip, size_t bytes)
{
    size_t rest = whole - skip - bytes;

    if (skip > 0 && munmap(base, skip) != 0)
        return errno;
    if (rest > 0 && munmap(base + skip + bytes, rest) != 0)
        return errno;
    return 0;
}

/* A huge page survives mremap() only where it keeps its place within one, so the
 * range is chosen that far from such a boundary as the target is. */
int gov__linux_stage(void *ctx, const void *target, size_t bytes, void **out)
{
    size_t huge = gov__linux_huge_bytes(), whole = bytes, skip = 0;
    size_t lead = (size_t)(-(uintptr_t)target & (huge - 1));
    char *base;
    int rc;

    (void)ctx;
    if (bytes == 0 || bytes > SIZE_MAX - huge)
        return EINVAL;
    /* With no whole huge page in the target there can be none. */
    if (lead + huge <= bytes)
        whole += huge;
    base = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return errno;
    if (whole > bytes)
        skip = ((uintptr_t)target - (uintptr_t)base) & (huge - 1);
    rc = cut(base, whole, skip, bytes);
    if (rc != 0) {
        (void)munmap(base, whole);
        return rc;
    }
    /* Neither a kernel without huge pages nor one without names loses more than
     * these. */
    if (whole > bytes)
        (void)madvise(base + skip, bytes, MADV_HUGEPAGE);
    (void)prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, base + skip, bytes,
                "governor weights");
    *out = base + skip;
    return 0;
}

/* msync() with MS_ASYNC does nothing since Linux 2.6.19, but says ENOMEM where
 * there is a hole. */
static bool is_mapped(void *base, size_t bytes)
{
    return msync(base, bytes, MS_ASYNC) == 0 || errno != ENOMEM;
}

/* mremap() takes away what is at the target before it moves what is to be there,
 * both under the lock that page faults wait for. It looks beforehand whether the
 * number of mappings allows it; when memory for page tables cannot be had after
 * that, the target is a hole, and there is nothing to lose by trying again. */
int gov__linux_move(void *from, size_t bytes, void *target, int flags)
{
    int rc = 0;

    for (int tries = 0; tries < 3; tries++) {
        if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
                   target) != MAP_FAILED)
            return 0;
        rc = errno;
        if (is_mapped(target, bytes))
            break;
        rc = EFAULT;
    }
    return rc;
}

int gov__linux_place(void *ctx, void *staged, size_t bytes, void *target)
{
    int rc;

    (void)ctx;
    if (mprotect(staged, bytes, PROT_READ) != 0)
        return errno;
    rc = gov__linux_move(staged, bytes, target, 0);
    if (rc != 0)
        (void)mprotect(staged, bytes, PROT_READ | PROT_WRITE);
    return rc;
}

int gov__linux_unstage(void *ctx, void *staged, size_t bytes)
{
    (void)ctx;
    return munmap(staged, bytes) == 0 ? 0 : errno;
}

int gov__linux_cover(void *ctx, void *page, size_t bytes)
{
    (void)ctx;
    return mmap(page, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0) != MAP_FAILED
               ? 0
               : errno;
}
