/* SPDX-License-Identifier: MIT */
/* The address space on Darwin: giving pages back, reading them in, and finding a
 * mapping that somebody else made. Never run. */
#include <errno.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/vm_map.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/platform/darwin_parts.h"
#include "governor/platform/darwin_pure.h"

/* In no header of the SDK, but what lsof uses: the first mapping of a file at an
 * address or behind it (xnu: bsd/sys/proc_info_private.h). The public flavour 8
 * stops at every mapping and counts its pages. */
#define NEXT_FILE_MAPPING 22

int gov__darwin_vm_tag(const char *text)
{
    unsigned number =
        VM_MEMORY_APPLICATION_SPECIFIC_1 + (unsigned)gov__darwin_tag_of(text);

    return (int)VM_MAKE_TAG(number);
}

/* Part of a range, inside one mapping. */
struct piece {
    char *base;
    size_t bytes;
    vm_region_submap_short_info_data_64_t info;
};

static int piece_at(char *base, size_t bytes, struct piece *out)
{
    vm_address_t at = (vm_address_t)base, found = at;
    vm_size_t size = 0;
    natural_t depth = 0;
    mach_msg_type_number_t count = VM_REGION_SUBMAP_SHORT_INFO_COUNT_64;

    memset(out, 0, sizeof(*out));
    /* Without a port of a memory object: this flavour makes none. */
    if (vm_region_recurse_64(mach_task_self(), &found, &size, &depth,
                             (vm_region_recurse_info_t)&out->info,
                             &count) != KERN_SUCCESS ||
        found > at || size <= at - found)
        return ENOMEM; /* a hole */
    size -= at - found;
    out->base = base;
    out->bytes = size < bytes ? (size_t)size : bytes;
    return 0;
}

/* Anonymous memory: new memory goes over the same addresses. No advice of madvise()
 * will do: pages under MADV_FREE and MADV_FREE_REUSABLE keep their bytes until
 * somebody needs them, and MADV_DONTNEED only makes them older.
 *
 * What others refer to (shared memory, a buffer that Metal wraps) would part from
 * them, so that is refused. The tag is what vmmap calls the memory. */
static int replace(const struct piece *piece)
{
    int tag = (int)VM_MAKE_TAG(piece->info.user_tag & 0xff);
    void *now;

    if (piece->info.share_mode == SM_EMPTY)
        return 0; /* never touched */
    if (piece->info.share_mode != SM_PRIVATE &&
        piece->info.share_mode != SM_COW)
        return EINVAL;
    now = mmap(piece->base, piece->bytes, piece->info.protection,
               MAP_PRIVATE | MAP_ANON | MAP_FIXED, tag, 0);
    return now == MAP_FAILED ? errno : 0;
}

/* MS_INVALIDATE writes dirty pages of a file and takes all of them out of memory,
 * those that other processes use too, who read them again (xnu: vm_map_msync();
 * vmtouch -e does the same). A mapping with pages of its own would keep these. */
static int invalidate(const struct piece *piece)
{
    if (piece->info.shadow_depth > 0)
        return EINVAL;
    return msync(piece->base, piece->bytes, MS_INVALIDATE) == 0 ? 0 : errno;
}

int gov__darwin_discard(void *ctx, void *base, size_t bytes)
{
    size_t done = 0;

    (void)ctx;
    while (done < bytes) {
        struct piece piece;
        int rc = piece_at((char *)base + done, bytes - done, &piece);

        if (rc == 0 &&
            (piece.info.is_submap || piece.info.user_wired_count > 0))
            rc = EINVAL;
        if (rc == 0)
            rc = piece.info.external_pager ? invalidate(&piece)
                                           : replace(&piece);
        if (rc != 0)
            return rc;
        done += piece.bytes;
    }
    return 0;
}

/* MADV_WILLNEED reads in long steps and reports nothing that the caller could
 * name; then one byte of each page is read through the kernel, where a page that
 * cannot be read is an error and not a signal. */
int gov__darwin_populate(void *ctx, void *base, size_t bytes)
{
    size_t page = vm_page_size;

    (void)ctx;
    (void)madvise(base, bytes, MADV_WILLNEED);
    for (size_t at = 0; at < bytes; at += page) {
        unsigned char byte;
        vm_size_t n = 0;

        if (vm_read_overwrite(mach_task_self(),
                              (vm_address_t)((char *)base + at), sizeof(byte),
                              (vm_address_t)&byte, &n) != KERN_SUCCESS)
            return EFAULT;
    }
    return 0;
}

/* Darwin has no posix_fadvise(), and F_NOCACHE leaves what is cached where it is:
 * so the range is mapped and taken out of memory, whoever maps it. */
int gov__darwin_drop_cached(void *ctx, int fd, uint64_t offset, uint64_t bytes)
{
    uint64_t start = gov__round_down(offset, vm_page_size);
    struct stat st;
    void *base;
    int rc;

    (void)ctx;
    if (fstat(fd, &st) != 0)
        return errno;
    if (st.st_size <= 0 || offset >= (uint64_t)st.st_size)
        return 0;
    if (bytes == 0 || bytes > (uint64_t)st.st_size - offset)
        bytes = (uint64_t)st.st_size - offset;
    bytes += offset - start;
    base = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, (off_t)start);
    if (base == MAP_FAILED)
        return errno;
    rc = msync(base, (size_t)bytes, MS_INVALIDATE) == 0 ? 0 : errno;
    (void)munmap(base, (size_t)bytes);
    return rc;
}

int gov__darwin_resident(void *ctx, void *base, size_t bytes, uint64_t *out)
{
    char present[1024];
    size_t page = vm_page_size, most = sizeof(present) * page;
    uint64_t pages = 0;

    (void)ctx;
    for (size_t at = 0; at < bytes; at += most) {
        size_t length = bytes - at < most ? bytes - at : most;

        if (mincore((char *)base + at, length, present) != 0)
            return errno;
        for (size_t i = 0; i < (length + page - 1) / page; i++)
            pages += (present[i] & MINCORE_INCORE) != 0;
    }
    *out = pages * page;
    return 0;
}

/* ---- mappings of others --------------------------------------------------------- */

static void add_mapping(struct gov__mapping *out,
                        const struct proc_regioninfo *region)
{
    uint64_t end = (uint64_t)(uintptr_t)out->base + out->bytes;

    out->locked = out->locked || region->pri_user_wired_count > 0;
    /* mmap() makes a shared mapping one that children share. */
    out->copied = out->copied || region->pri_inheritance != VM_INHERIT_SHARE;
    /* Advice on a part of a mapping splits it in the kernel's list; pieces that
     * follow on in memory and in the file are still one. */
    if (out->pieces == 1 && region->pri_address == end &&
        region->pri_offset == out->file_offset + out->bytes) {
        out->bytes += (size_t)region->pri_size;
        return;
    }
    out->pieces++;
    if (out->pieces > 1)
        return;
    /* The kernel tells addresses as numbers: there is no pointer to start from.
     * NOLINTNEXTLINE(performance-no-int-to-ptr) */
    out->base = (void *)(uintptr_t)region->pri_address;
    out->bytes = (size_t)region->pri_size;
    out->file_offset = region->pri_offset;
}

/* Cuts the region down to what lies in [within, within + bytes), of whole pages: the
 * kernel joins and splits mappings as it likes. False when nothing does. */
static bool cut_to(struct proc_regioninfo *region, const void *within,
                   size_t bytes)
{
    uint64_t from = gov__round_down((uintptr_t)within, vm_page_size);
    uint64_t to = gov__round_up((uintptr_t)within + bytes, vm_page_size);
    uint64_t start = region->pri_address, end = start + region->pri_size;

    if (within == NULL)
        return true;
    if (start < from)
        start = from;
    if (end > to)
        end = to;
    if (start >= end)
        return false;
    region->pri_offset += start - region->pri_address;
    region->pri_address = start;
    region->pri_size = end - start;
    return true;
}

int gov__darwin_find_mapping(void *ctx, int fd, const void *within,
                             size_t bytes, struct gov__mapping *out)
{
    struct proc_regionwithpathinfo found;
    struct proc_regioninfo *region = &found.prp_prinfo;
    const struct vinfo_stat *file = &found.prp_vip.vip_vi.vi_stat;
    struct stat st;
    uint64_t at = 0;
    int pid = (int)getpid();

    (void)ctx;
    memset(out, 0, sizeof(*out));
    if (fstat(fd, &st) != 0)
        return errno;
    for (;;) {
        memset(&found, 0, sizeof(found));
        /* 0 and EINVAL behind the last one. */
        if (proc_pidinfo(pid, NEXT_FILE_MAPPING, at, &found,
                         (int)sizeof(found)) != (int)sizeof(found))
            break;
        if (region->pri_size == 0 ||
            region->pri_address + region->pri_size <= at)
            return EIO;
        at = region->pri_address + region->pri_size;
        if (file->vst_dev == (uint32_t)st.st_dev &&
            file->vst_ino == st.st_ino && cut_to(region, within, bytes))
            add_mapping(out, region);
    }
    return out->pieces > 0 ? 0 : ENOENT;
}
