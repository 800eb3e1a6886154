/* SPDX-License-Identifier: MIT */
/* The file: written beside its final name by several threads, then renamed, so
 * that the name only ever holds a whole model. Whatever ends the program but
 * SIGKILL, the partial file goes. Never decides what the bytes are. */
#include "mkmodel_write.h"

#include "mkmodel_chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    THREADS_MAX = 4, /* two already fill a page cache faster than a disk */
    BAR = 40
};

struct writer {
    const char *path;
    char *partial;
    int fd;
    struct mk_chunks chunks;
    uint64_t file_bytes;
    bool progress;
    pthread_mutex_t lock; /* for what follows */
    size_t next;
    uint64_t done_bytes;
    unsigned drawn_percent;
    int error; /* errno of the first failure */
};

/* Set by the handler, read by the threads that write; lock-free. */
static _Atomic int stop_signal;

static void on_signal(int signal)
{
    stop_signal = signal;
}

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

/* Signals that were ignored stay ignored, as under nohup. A file larger than
 * the limit is an error to report, not a reason to die. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction old;

    for (size_t i = 0; i < sizeof(stop_signals) / sizeof(int); i++)
        if (sigaction(stop_signals[i], NULL, &old) == 0 &&
            old.sa_handler != SIG_IGN)
            sigaction(stop_signals[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &action, NULL);
}

static void end_by_signal(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    sigaction(number, &action, NULL);
    raise(number);
}

/* What to do about a failed write, by its cause. */
static const char *way_out(int error, uint64_t bytes, char *room, size_t size)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        snprintf(room, size, "free %s or choose a smaller --target-size",
                 mk_size_text(bytes).s);
        return room;
    case EFBIG:
        return "raise the file size limit (ulimit -f) or choose a smaller "
               "--target-size";
    case ENOMEM:
        return "close other programs";
    case ENOENT:
        return "make the folder first";
    case EACCES:
    case EPERM:
    case EROFS:
        return "choose a folder that you can write to";
    default:
        return "check the disk and the path";
    }
}

static void discard(struct writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->partial != NULL)
        unlink(w->partial);
    if (stop_signal != 0)
        end_by_signal(stop_signal);
}

_Noreturn static void fail(struct writer *w, int error)
{
    char room[128];

    discard(w);
    mk_die(MK_FAILED, "cannot write %s: %s; %s", w->path,
           strerror(error), /* NOLINT(concurrency-mt-unsafe): threads joined */
           way_out(error, w->file_bytes, room, sizeof(room)));
}

static int write_all(int fd, const uint8_t *data, uint64_t len, uint64_t at)
{
    while (len != 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);

        if (n < 0 && errno == EINTR && stop_signal == 0)
            continue;
        if (n <= 0)
            return n == 0 ? EIO : errno;
        data += n;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

static void draw_progress_locked(struct writer *w)
{
    unsigned percent;
    char bar[BAR + 1];

    if (!w->progress) /* nor are there bytes to divide by, perhaps */
        return;
    percent = (unsigned)(100 * w->done_bytes / w->file_bytes);
    if (percent > 100) /* a hostile file is cut after it was written */
        percent = 100;
    if (percent == w->drawn_percent)
        return;
    w->drawn_percent = percent;
    memset(bar, ' ', BAR);
    memset(bar, '#', percent * BAR / 100);
    bar[BAR] = '\0';
    fprintf(stderr, "\r[%s] %3u %% of %s", bar, percent,
            mk_size_text(w->file_bytes).s);
}

/* The next chunk to write, or NULL when there is none or no reason to go on. */
static const struct mk_chunk *take_chunk(struct writer *w, int error,
                                         uint64_t bytes)
{
    const struct mk_chunk *chunk = NULL;

    pthread_mutex_lock(&w->lock);
    if (w->error == 0)
        w->error = error;
    w->done_bytes += bytes;
    draw_progress_locked(w);
    if (w->error == 0 && stop_signal == 0 && w->next < w->chunks.count)
        chunk = &w->chunks.list[w->next++];
    pthread_mutex_unlock(&w->lock);
    return chunk;
}

static void *work(void *arg)
{
    struct writer *w = arg;
    uint8_t *buffer = malloc(MK_CHUNK_BYTES);
    const struct mk_chunk *c = take_chunk(w, buffer == NULL ? ENOMEM : 0, 0);

    while (c != NULL) {
        uint64_t bytes = c->blocks * c->type->block_bytes;
        struct mk_rng rng;
        int error;

        mk_rng_seed(&rng, c->seed);
        c->type->fill(&rng, c->std_q28, buffer, c->blocks);
        error = write_all(w->fd, buffer, bytes, c->at);
        c = take_chunk(w, error, bytes);
    }
    free(buffer);
    return NULL;
}

/* This thread is one of the workers, so a thread that cannot be had costs only
 * time. */
static void run_workers(struct writer *w)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[THREADS_MAX];
    int extra = 0;

    while (extra < THREADS_MAX - 1 && extra < cores - 1 &&
           (size_t)extra + 1 < w->chunks.count &&
           pthread_create(&threads[extra], NULL, work, w) == 0)
        extra++;
    work(w);
    for (int i = 0; i < extra; i++)
        pthread_join(threads[i], NULL);
    if (w->progress) {
        pthread_mutex_lock(&w->lock);
        if (w->error == 0 && stop_signal == 0)
            w->done_bytes = w->file_bytes; /* with header and padding */
        draw_progress_locked(w);
        pthread_mutex_unlock(&w->lock);
        fputs("\n", stderr);
    }
}

static void check_room(struct writer *w)
{
    struct statvfs disk;
    uint64_t free_bytes;

    if (w->chunks.count == 0)
        return; /* a hole takes no room */
    if (fstatvfs(w->fd, &disk) != 0 || disk.f_blocks == 0)
        return; /* some file systems do not say; writing will tell */
    free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (w->file_bytes <= free_bytes)
        return;
    discard(w);
    mk_die(MK_FAILED,
           "cannot write %s: it needs %s and the disk has %s free; free %s or "
           "choose a smaller --target-size",
           w->path, mk_size_text(w->file_bytes).s, mk_size_text(free_bytes).s,
           mk_size_text(w->file_bytes - free_bytes).s);
}

/* A process that was killed may have left a partial file under our number. */
static void open_partial(struct writer *w)
{
    size_t size = strlen(w->path) + 32;
    struct stat st;

    if (stat(w->path, &st) == 0 && !S_ISREG(st.st_mode))
        mk_die(MK_FAILED,
               "cannot write %s: it is not a regular file; choose another "
               "output",
               w->path);
    w->partial = mk_alloc(size, 1);
    snprintf(w->partial, size, "%s.partial.%ld", w->path, (long)getpid());
    unlink(w->partial);
    w->fd = open(w->partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0)
        fail(w, errno);
    check_room(w);
}

void mk_write_file(const char *path, const struct mk_shape *shape,
                   const struct mk_plan *plan, const struct mk_header *header,
                   uint64_t file_bytes, unsigned how)
{
    struct writer w = {.path = path, .fd = -1, .file_bytes = file_bytes};

    w.progress =
        (how & MK_WRITE_PROGRESS) && isatty(STDERR_FILENO) && file_bytes != 0;
    w.drawn_percent = UINT32_MAX;
    pthread_mutex_init(&w.lock, NULL);
    if (!(how & MK_WRITE_SPARSE))
        mk_chunks_init(&w.chunks, shape, plan, header->bytes.len);
    catch_signals();
    open_partial(&w);
    w.error = write_all(w.fd, header->bytes.data, header->bytes.len, 0);
    run_workers(&w);
    if (w.error != 0 || stop_signal != 0)
        fail(&w, w.error);
    /* Adds the padding behind the last tensor, or cuts a hostile file. */
    if (ftruncate(w.fd, (off_t)file_bytes) != 0)
        fail(&w, errno);
    if (close(w.fd) != 0) {
        w.fd = -1;
        fail(&w, errno);
    }
    w.fd = -1;
    if (stop_signal != 0 || rename(w.partial, path) != 0)
        fail(&w, errno);
    pthread_mutex_destroy(&w.lock);
    free(w.partial);
    mk_chunks_fini(&w.chunks);
}
