/* SPDX-License-Identifier: MIT */
/* The file: written beside its final name by several threads, then renamed, so
 * that the name only ever holds a whole model. Whatever ends the program but
 * SIGKILL, the partial file goes. Never decides what the bytes are. */
#include "mkmodel_write.h"

#include "mkmodel_vocab.h"

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
    CHUNK_BYTES = 4 << 20,
    THREADS_MAX = 4, /* two already fill a page cache faster than a disk */
    BAR = 40
};

/* A run of blocks of one tensor with one spread and its own random stream. */
struct chunk {
    const struct mk_type *type;
    uint64_t blocks;
    uint64_t at; /* in the file */
    uint64_t std_q28;
    uint64_t seed;
};

struct chunks {
    struct chunk *list;
    size_t count;
    size_t cap;
};

struct writer {
    const char *path;
    char *partial;
    int fd;
    struct chunks chunks;
    uint64_t file_bytes;
    bool progress;
    pthread_mutex_t lock; /* for what follows */
    size_t next;
    uint64_t done_bytes;
    unsigned drawn_percent;
    int error; /* errno of the first failure */
};

/* Set by the signal handler, read by all threads. */
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

static void add_chunks(struct chunks *chunks, struct chunk run)
{
    uint64_t most = CHUNK_BYTES / run.type->block_bytes;
    uint64_t left = run.blocks;

    for (uint64_t i = 0; left != 0; i++) {
        struct chunk *chunk;

        if (chunks->count == chunks->cap) {
            size_t cap = 2 * chunks->cap + 64;
            struct chunk *grown = mk_alloc(cap, sizeof(*grown));

            if (chunks->count != 0)
                memcpy(grown, chunks->list, chunks->count * sizeof(*grown));
            free(chunks->list);
            chunks->list = grown;
            chunks->cap = cap;
        }
        chunk = &chunks->list[chunks->count++];
        *chunk = run;
        chunk->blocks = left < most ? left : most;
        chunk->at += i * most * run.type->block_bytes;
        chunk->seed = mk_seed_mix(run.seed, i);
        left -= chunk->blocks;
    }
}

/* Rows that make the logits of control and byte tokens are 32 times smaller:
 * greedy decoding never picks one, sampling hardly ever. Single characters are
 * halved, which makes the text read more like words. */
static void add_tensor(struct chunks *chunks, const struct mk_tensor *tensor,
                       const struct mk_shape *shape, struct chunk run)
{
    static const struct {
        uint64_t end; /* first row behind the band */
        uint64_t divisor;
    } bands[] = {{MK_FIRST_CHAR, 32}, {MK_FIRST_PIECE, 2}, {UINT64_MAX, 1}};
    uint64_t rows = tensor->rows == 0 ? 1 : tensor->rows;
    uint64_t row_blocks = tensor->columns / tensor->type->block_elements;
    uint64_t row = 0;
    size_t band = mk_makes_logits(tensor, shape) ? 0 : 2;

    for (; band < 3 && row < rows; band++) {
        uint64_t end = bands[band].end < rows ? bands[band].end : rows;
        struct chunk part = run;

        part.blocks = (end - row) * row_blocks;
        part.at += row * row_blocks * run.type->block_bytes;
        part.std_q28 /= bands[band].divisor;
        part.seed = mk_seed_mix(run.seed, band);
        add_chunks(chunks, part);
        row = end;
    }
}

static void plan_chunks(struct writer *w, const struct mk_shape *shape,
                        const struct mk_plan *plan, uint64_t data_at)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct mk_tensor *t = &plan->tensors[i];
        struct chunk run = {.type = t->type, .at = data_at + t->offset};

        run.std_q28 = mk_std_q28(t->rule->gain_q8, t->columns);
        run.seed = mk_seed_mix(shape->seed, i);
        add_tensor(&w->chunks, t, shape, run);
    }
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
static const struct chunk *take_chunk(struct writer *w, int error,
                                      uint64_t bytes)
{
    const struct chunk *chunk = NULL;

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
    uint8_t *buffer = malloc(CHUNK_BYTES);
    const struct chunk *c = take_chunk(w, buffer == NULL ? ENOMEM : 0, 0);

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
                   uint64_t file_bytes, bool progress)
{
    struct writer w = {.path = path, .fd = -1, .file_bytes = file_bytes};

    w.progress = progress && isatty(STDERR_FILENO) && file_bytes != 0;
    w.drawn_percent = UINT32_MAX;
    pthread_mutex_init(&w.lock, NULL);
    plan_chunks(&w, shape, plan, header->bytes.len);
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
    free(w.chunks.list);
}
