/* SPDX-License-Identifier: MIT */
/* mmap(), mmap64(), munmap() and posix_madvise() for a program whose engine would
 * read a whole model while it maps it, and ggml_backend_buffer_clear() for one whose
 * engine would touch a whole KV cache: see interpose.h. Owns what one thread does
 * between begin and end, and what it watches; takes no lock, and in the first four
 * calls nothing that could allocate, since an allocator may be the caller, before
 * main().
 *
 * llama.cpp maps with MAP_POPULATE and then asks for all of it once more with
 * POSIX_MADV_WILLNEED (src/llama-mmap.cpp, llama_mmap::impl). Shared, the names
 * are the C library's own; with GOV_INTERPOSE_WRAP they are what ld --wrap calls.
 *
 * The Makefile builds this on Linux alone: other systems' mmap() reads nothing. */
#include "adapters/llama_interpose/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* musl's names are one, by a macro. */
#undef mmap64

#ifdef GOV_INTERPOSE_WRAP
#define OURS(name) __wrap_##name
#else
#define OURS(name) name
#endif

/* Compiled without _FILE_OFFSET_BITS, which gives mmap() the other's name. Where
 * both take offsets of 64 bits they are the same. */
typedef int64_t offset64;

GOV_API /* The C library's names for what they take are reserved ones. */
    /* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
    void *OURS(mmap)(void *at, size_t bytes, int protection, int flags, int fd,
                     off_t offset);
GOV_API void *OURS(mmap64)(void *at, size_t bytes, int protection, int flags,
                           int fd, offset64 offset);
GOV_API int OURS(munmap)(void *at, size_t bytes);
GOV_API int OURS(posix_madvise)(void *at, size_t bytes, int advice);
/* ggml-backend.h's; a buffer is not looked into here. */
GOV_API void OURS(ggml_backend_buffer_clear)(void *buffer, uint8_t value);

struct activity {
    bool active;
    struct gov_llama_mapping *list;
    size_t room, count;
};

struct watch {
    const struct gov_llama_mapping *list;
    size_t count;
    void (*unmaps)(void *ctx);
    void *ctx;
    bool tries, seen;
};

struct clearing {
    bool (*clears)(void *ctx, void *buffer, uint8_t value);
    void *ctx;
};

/* There before any code of the thread runs, and reached without a call: a program
 * has this library from its start on. */
static __thread struct activity own __attribute__((tls_model("initial-exec")));
static __thread struct watch watch __attribute__((tls_model("initial-exec")));
static __thread struct clearing clearing
    __attribute__((tls_model("initial-exec")));

/* Each is one system call, as in the C library, errno included. */
static void *system_mmap(void *at, size_t bytes, int protection, int flags,
                         int fd, offset64 offset)
{
#ifdef SYS_mmap2
    /* Counts in units of 4096 whatever the page is; a negative or odd offset is
     * refused here, as the C library does, since the shift would hide it. */
    if (offset < 0 || (offset & 4095) != 0) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap2, at, bytes, protection, flags, fd,
                           (long)(offset >> 12));
#else
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the call returns a number */
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
#endif
}

/* POSIX returns the error and leaves errno. Its POSIX_MADV_DONTNEED keeps what was
 * written, unlike Linux's, so both C libraries pass it over. */
static int system_madvise(void *at, size_t bytes, int advice)
{
    const int before = errno;
    int rc = 0;

    if (advice != POSIX_MADV_DONTNEED &&
        syscall(SYS_madvise, at, bytes, advice) != 0)
        rc = errno;
    errno = before;
    return rc;
}

static void write_down(void *base, size_t bytes, int fd)
{
    struct gov_llama_mapping *to = &own.list[own.count];
    const int before = errno;
    struct stat st;

    if (fstat(fd, &st) == 0) {
        to->base = base;
        to->bytes = bytes;
        to->device = (uint64_t)st.st_dev;
        to->inode = (uint64_t)st.st_ino;
        own.count++;
    }
    errno = before;
}

static void *map(void *at, size_t bytes, int protection, int flags, int fd,
                 offset64 offset)
{
    void *base;

    if (!own.active || (flags & MAP_ANONYMOUS) != 0)
        return system_mmap(at, bytes, protection, flags, fd, offset);
    base =
        system_mmap(at, bytes, protection, flags & ~MAP_POPULATE, fd, offset);
    if (base != MAP_FAILED && own.count < own.room)
        write_down(base, bytes, fd);
    return base;
}

void *OURS(mmap)(void *at, size_t bytes, int protection, int flags, int fd,
                 off_t offset)
{
    return map(at, bytes, protection, flags, fd, offset);
}

void *OURS(mmap64)(void *at, size_t bytes, int protection, int flags, int fd,
                   offset64 offset)
{
    return map(at, bytes, protection, flags, fd, offset);
}

static bool is_watched(const void *at, size_t bytes)
{
    const uintptr_t begin = (uintptr_t)at;

    for (size_t i = 0; i < watch.count; i++) {
        const uintptr_t base = (uintptr_t)watch.list[i].base;

        if (begin < base ? base - begin < bytes
                         : begin - base < watch.list[i].bytes)
            return true;
    }
    return false;
}

int OURS(munmap)(void *at, size_t bytes)
{
    if (watch.tries) {
        watch.seen = true;
        return 0;
    }
    if (watch.count > 0 && is_watched(at, bytes)) {
        const struct watch told = watch;
        const int before = errno;

        watch = (struct watch){.count = 0};
        told.unmaps(told.ctx);
        errno = before;
    }
    return (int)syscall(SYS_munmap, at, bytes);
}

int OURS(posix_madvise)(void *at, size_t bytes, int advice)
{
    if (own.active && advice == POSIX_MADV_WILLNEED)
        return 0;
    return system_madvise(at, bytes, advice);
}

typedef void (*clear_fn)(void *buffer, uint8_t value);

#ifdef GOV_INTERPOSE_WRAP
/* Not there where the program has no such engine, or does not wrap it. */
void __real_ggml_backend_buffer_clear(void *buffer, uint8_t value)
    __attribute__((weak));

static clear_fn engines_clear(const void *caller)
{
    (void)caller;
    return __real_ggml_backend_buffer_clear;
}
#else
/* The engine may be loaded where no other library sees it, so it is looked for from
 * its caller on: in that library and in those that it names. */
static clear_fn engines_clear(const void *caller)
{
    static _Atomic(clear_fn) found;
    clear_fn engines = atomic_load(&found);
    void *function, *library;
    Dl_info where;

    if (engines != NULL)
        return engines;
    function = dlsym(RTLD_NEXT, "ggml_backend_buffer_clear");
    if (function == NULL && dladdr(caller, &where) != 0 &&
        (library = dlopen(where.dli_fname, RTLD_LAZY | RTLD_NOLOAD)) != NULL) {
        function = dlsym(library, "ggml_backend_buffer_clear");
        dlclose(library);
    }
    *(void **)&engines = function; /* as POSIX writes it */
    if (engines != NULL)
        atomic_store(&found, engines);
    return engines;
}
#endif

void OURS(ggml_backend_buffer_clear)(void *buffer, uint8_t value)
{
    clear_fn engines;

    if (clearing.clears != NULL && clearing.clears(clearing.ctx, buffer, value))
        return;
    engines = engines_clear(__builtin_return_address(0));
    /* Nobody has the function that is called: without this library the program
     * would have ended, too. Memory that is not cleared must not be used. */
    if (engines == NULL)
        __builtin_trap();
    engines(buffer, value);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

void gov_llama_interpose_begin(struct gov_llama_mapping *list, size_t room)
{
    own = (struct activity){
        .active = true, .list = list, .room = list != NULL ? room : 0};
}

size_t gov_llama_interpose_end(void)
{
    const size_t count = own.count;

    own = (struct activity){.active = false};
    return count;
}

bool gov_llama_interpose_watch(const struct gov_llama_mapping *list,
                               size_t count, void (*unmaps)(void *ctx),
                               void *ctx)
{
    bool seen;

    watch = (struct watch){.tries = true};
    (void)munmap(NULL, 0); /* as the engine calls it */
    seen = watch.seen;
    watch = (struct watch){.count = 0};
    if (seen && unmaps != NULL)
        watch = (struct watch){
            .list = list, .count = count, .unmaps = unmaps, .ctx = ctx};
    return seen;
}

void gov_llama_interpose_clears(bool (*clears)(void *ctx, void *buffer,
                                               uint8_t value),
                                void *ctx)
{
    clearing = (struct clearing){.clears = clears, .ctx = ctx};
}
