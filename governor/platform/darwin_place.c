/* SPDX-License-Identifier: MIT */
/* Memory that takes the place of other memory, what a forward pass is measured by,
 * and what Darwin has nothing for: userfaultfd and leases. Never run. */
#include <errno.h>
#include <libproc.h>
#include <mach/mach.h>
#include <mach/vm_map.h>
#include <pthread.h>
#include <pthread/qos.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "governor/platform/darwin_parts.h"

int gov__darwin_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
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

/* There are no huge pages for programs on arm64. */
int gov__darwin_stage(void *ctx, const void *target, size_t bytes, void **out)
{
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANON, gov__darwin_vm_tag("weights"), 0);

    (void)ctx;
    (void)target;
    if (base == MAP_FAILED)
        return errno;
    *out = base;
    return 0;
}

/* Maps the same memory a second time, over the target and under the lock that page
 * faults wait for (xnu: vm_map_remap()), and then takes the first mapping away. */
int gov__darwin_place(void *ctx, void *staged, size_t bytes, void *target)
{
    vm_address_t at = (vm_address_t)target;
    vm_prot_t now = VM_PROT_NONE, most = VM_PROT_NONE;
    kern_return_t rc;

    (void)ctx;
    if (mprotect(staged, bytes, PROT_READ) != 0)
        return errno;
    rc = vm_remap(mach_task_self(), &at, bytes, 0,
                  VM_FLAGS_FIXED | VM_FLAGS_OVERWRITE, mach_task_self(),
                  (vm_address_t)staged, 0, &now, &most, VM_INHERIT_COPY);
    if (rc != KERN_SUCCESS) {
        (void)mprotect(staged, bytes, PROT_READ | PROT_WRITE);
        /* That the addresses are taken cannot be with VM_FLAGS_OVERWRITE, unless
         * they cannot be overwritten. */
        return rc == KERN_NO_SPACE ? ENOMEM : EINVAL;
    }
    (void)munmap(staged, bytes);
    return 0;
}

int gov__darwin_unstage(void *ctx, void *staged, size_t bytes)
{
    (void)ctx;
    return munmap(staged, bytes) == 0 ? 0 : errno;
}

int gov__darwin_cover(void *ctx, void *page, size_t bytes)
{
    (void)ctx;
    return mmap(page, bytes, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED,
                gov__darwin_vm_tag("weights"), 0) != MAP_FAILED
               ? 0
               : errno;
}

/* "Utility": work that goes on while the user does something else. One class
 * further down, "background", the system may hold it back for minutes. */
int gov__darwin_step_back(void *ctx)
{
    int rc = 0;

    (void)ctx;
    if (setiopolicy_np(IOPOL_TYPE_DISK, IOPOL_SCOPE_THREAD, IOPOL_UTILITY) != 0)
        rc = errno;
    if (rc == 0)
        rc = pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0);
    return rc;
}

int gov__darwin_pass_counts(void *ctx, struct gov__pass_counts *out)
{
    struct rusage usage;
    struct rusage_info_v4 info;

    (void)ctx;
    memset(out, 0, sizeof(*out));
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return errno;
    out->minor_faults = (uint64_t)usage.ru_minflt;
    out->major_faults = (uint64_t)usage.ru_majflt;
    memset(&info, 0, sizeof(info));
    out->have_read_bytes = proc_pid_rusage((int)getpid(), RUSAGE_INFO_V4,
                                           (rusage_info_t *)&info) == 0;
    out->read_bytes = info.ri_diskio_bytesread;
    return 0;
}

/* ---- what there is not ----------------------------------------------------------- */

int gov__darwin_slots_open(void *ctx, size_t bytes, void **fill, void **view)
{
    (void)ctx;
    (void)bytes;
    (void)fill;
    (void)view;
    return ENOTSUP;
}

int gov__darwin_slots_show(void *ctx, void *view, size_t bytes, void *target)
{
    (void)ctx;
    (void)view;
    (void)bytes;
    (void)target;
    return ENOTSUP;
}

int gov__darwin_slots_close(void *ctx, void *fill, void *view, size_t bytes)
{
    (void)ctx;
    (void)fill;
    (void)view;
    (void)bytes;
    return ENOTSUP;
}

int gov__darwin_bell_open(void *ctx, int *handle)
{
    (void)ctx;
    *handle = -1;
    return ENOTSUP;
}

int gov__darwin_bell_page(void *ctx, int handle, void *page, size_t bytes)
{
    (void)ctx;
    (void)handle;
    (void)page;
    (void)bytes;
    return ENOTSUP;
}

int gov__darwin_bell_wait(void *ctx, int handle, uint32_t timeout_ms,
                          void **address)
{
    (void)ctx;
    (void)handle;
    (void)timeout_ms;
    *address = NULL;
    return ENOTSUP;
}

int gov__darwin_bell_answer(void *ctx, int handle, void *page,
                            const void *bytes, size_t count)
{
    (void)bytes;
    return gov__darwin_bell_page(ctx, handle, page, count);
}

/* Of bells and of leases. */
int gov__darwin_no_file(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return ENOTSUP;
}

int gov__darwin_lease_wanted(void *ctx, int fd, bool *wanted)
{
    *wanted = false;
    return gov__darwin_no_file(ctx, fd);
}
