/* SPDX-License-Identifier: MIT */
/* mmap(), munmap(), posix_madvise() and ggml_backend_buffer_clear() as
 * libgovernor-llama-interpose has them, which this program is linked with as an app
 * would be: nothing of a file is read while a load of this thread maps it, no cache is
 * touched while it is made, and nobody else notices. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "adapters/llama_interpose/interpose.h"
#include "governor/governor.h"
#include "tests/engine/llama_fixture.h"

#define BYTES ((size_t)8 << 20)

static char file_name[512];

static void make_file(void)
{
    static char block[1 << 16];
    int fd;

    make_model("q4_0.gguf", "Q4_0", "tiny");
    make_model("small.gguf", "Q4_0", "small");
    snprintf(file_name, sizeof(file_name), "%s", in_directory("plain"));
    fd = open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    memset(block, 'x', sizeof(block));
    for (size_t at = 0; at < BYTES; at += sizeof(block))
        ck_assert_int_eq(write(fd, block, sizeof(block)), sizeof(block));
    ck_assert_int_eq(fsync(fd), 0);
    close(fd);
}

/* Out of the page cache, where this file system lets go of it. */
static void forget(const char *name)
{
    int fd = open(name, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

/* Of 1000, by a mapping that reads nothing itself. */
static unsigned cached(const char *name)
{
    const size_t page = gov_page_bytes();
    static unsigned char there[1 << 16];
    struct stat st;
    size_t pages, count = 0;
    void *base;
    int fd = open(name, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    pages = ((size_t)st.st_size + page - 1) / page;
    ck_assert(pages > 0 && pages <= sizeof(there));
    base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(mincore(base, (size_t)st.st_size, there), 0);
    for (size_t i = 0; i < pages; i++)
        count += there[i] & 1;
    munmap(base, (size_t)st.st_size);
    close(fd);
    return pages == 0 ? 0 : (unsigned)(count * 1000 / pages);
}

static bool forgets(const char *name, const char *test)
{
    forget(name);
    if (cached(name) < 10)
        return true;
    skip_test(test, "this file system keeps files in memory");
    return false;
}

/* What llama.cpp does. */
static void *map_populated(void)
{
    int fd = open(file_name, O_RDONLY);
    void *base;

    ck_assert_int_ge(fd, 0);
    base = mmap(NULL, BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(posix_madvise(base, BYTES, POSIX_MADV_WILLNEED), 0);
    close(fd);
    return base;
}

START_TEST(a_mapping_is_not_read)
{
    struct gov_llama_mapping list[1];
    struct stat st;
    void *base, *other;

    if (!forgets(file_name, "a_mapping_is_not_read"))
        return;
    gov_llama_interpose_begin(list, 1);
    base = map_populated();
    ck_assert_uint_lt(cached(file_name), 10);
    other = map_populated(); /* no room: not written down */
    ck_assert_uint_eq(gov_llama_interpose_end(), 1);
    ck_assert_int_eq(stat(file_name, &st), 0);
    ck_assert_ptr_eq(list[0].base, base);
    ck_assert_uint_eq(list[0].bytes, BYTES);
    ck_assert_uint_eq(list[0].device, st.st_dev);
    ck_assert_uint_eq(list[0].inode, st.st_ino);
    ck_assert_int_eq(*(const char *)base, 'x');
    munmap(base, BYTES);
    munmap(other, BYTES);
    /* And now it is again. */
    munmap(map_populated(), BYTES);
    ck_assert_uint_gt(cached(file_name), 990);
    ck_assert_uint_eq(gov_llama_interpose_end(), 0);
}
END_TEST

static void *map_elsewhere(void *arg)
{
    (void)arg;
    return map_populated();
}

START_TEST(other_threads_map_as_ever)
{
    struct gov_llama_mapping list[4];
    pthread_t other;
    void *base;

    if (!forgets(file_name, "other_threads_map_as_ever"))
        return;
    gov_llama_interpose_begin(list, 4);
    ck_assert_int_eq(pthread_create(&other, NULL, map_elsewhere, NULL), 0);
    ck_assert_int_eq(pthread_join(other, &base), 0);
    ck_assert_uint_gt(cached(file_name), 990);
    /* Those of cached() are all that this thread made. */
    ck_assert_uint_eq(gov_llama_interpose_end(), 1);
    munmap(base, BYTES);
}
END_TEST

/* ---- what is unmapped --------------------------------------------------------------- */

static void on_unmap(void *ctx)
{
    ++*(int *)ctx;
    errno = ENOENT;
    munmap(NULL, 4096); /* what it does itself is not told */
}

static void *unmap_nothing_of_it(void *arg)
{
    munmap((char *)arg + gov_page_bytes(), gov_page_bytes());
    return NULL;
}

/* Any piece of it, once, before it is gone, on the thread that asked. */
START_TEST(unmapping_is_told_before)
{
    const size_t page = gov_page_bytes();
    /* Offsets in pages of what is unmapped, and how many; the list is 8 to 16. */
    static const struct {
        size_t at, count;
        bool told;
    } pieces[] = {{0, 8, false}, {16, 8, false}, {7, 2, true}, {15, 4, true},
                  {10, 1, true}, {8, 8, true},   {0, 24, true}};
    char *base =
        mmap(NULL, 24 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct gov_llama_mapping list[2] = {{NULL, 0, 0, 0},
                                        {base + 8 * page, 8 * page, 0, 0}};
    pthread_t thread;
    int told = 0;

    ck_assert_ptr_ne(base, MAP_FAILED);
    if (!gov_llama_interpose_watch(list, 2, on_unmap, &told)) {
        skip_test("unmapping_is_told_before", "munmap() is somebody else's");
        return;
    }
    ck_assert_int_eq(
        pthread_create(&thread, NULL, unmap_nothing_of_it, base + 9 * page), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(told, 0);
    errno = 7;
    munmap(base + pieces[_i].at * page, pieces[_i].count * page);
    ck_assert_int_eq(errno, 7);
    ck_assert_int_eq(told, pieces[_i].told ? 1 : 0);
    munmap(base + 8 * page, 8 * page);
    ck_assert_int_eq(told, 1); /* in any case by now, and never twice */
    /* Nobody wants to know. */
    ck_assert(gov_llama_interpose_watch(list, 2, on_unmap, &told));
    ck_assert(gov_llama_interpose_watch(NULL, 0, NULL, NULL));
    munmap(base, 24 * page);
    ck_assert_int_eq(told, 1);
    errno = 0;
    ck_assert_int_eq(munmap((void *)1, page), -1); /* NOLINT: no address */
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* Anonymous memory is not a file, a list is not needed, a second begin replaces
 * the first. */
START_TEST(what_is_no_file_is_as_ever)
{
    struct gov_llama_mapping list[2];
    unsigned char there[2];
    const size_t page = gov_page_bytes();
    void *base;

    gov_llama_interpose_begin(list, 2);
    base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    ck_assert_int_eq(mincore(base, 2 * page, there), 0);
    ck_assert_int_eq(there[0] & there[1] & 1, 1);
    munmap(base, 2 * page);
    munmap(map_populated(), BYTES);
    gov_llama_interpose_begin(NULL, 2);
    munmap(map_populated(), BYTES);
    ck_assert_uint_eq(gov_llama_interpose_end(), 0);
}
END_TEST

/* As the C library's, within and without. */
START_TEST(failures_are_the_systems)
{
    const size_t page = gov_page_bytes();
    void *base =
        mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (_i == 1)
        gov_llama_interpose_begin(NULL, 0);
    errno = 0;
    ck_assert_ptr_eq(mmap(NULL, page, PROT_READ, MAP_SHARED, -1, 0),
                     MAP_FAILED);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_ptr_eq(
        mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        MAP_FAILED);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_eq(
        mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 17),
        MAP_FAILED);
    ck_assert_int_eq(errno, EINVAL);
    errno = E2BIG;
    ck_assert_int_eq(posix_madvise((char *)base + 1, page, POSIX_MADV_RANDOM),
                     EINVAL);
    ck_assert_int_eq(posix_madvise(base, page, POSIX_MADV_DONTNEED), 0);
    ck_assert_int_eq(posix_madvise(base, page, POSIX_MADV_NORMAL), 0);
    ck_assert_int_eq(posix_madvise(base, page, 4711), EINVAL);
    ck_assert_int_eq(errno, E2BIG);
    (void)gov_llama_interpose_end();
    munmap(base, page);
}
END_TEST

/* POSIX's "not needed" keeps what was written, unlike the system call's. */
START_TEST(what_is_not_needed_stays)
{
    const size_t page = gov_page_bytes();
    char *base = mmap(NULL, page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *base = 'x';
    ck_assert_int_eq(posix_madvise(base, page, POSIX_MADV_DONTNEED), 0);
    ck_assert_int_eq(*base, 'x');
    munmap(base, page);
}
END_TEST

/* What the warming of the governed range reads afterwards is its own: none here. */
START_TEST(a_load_reads_the_header_alone)
{
    const struct gov_engine *engine;
    struct gov_plan plan = {.strategy = GOV_STRATEGY_MMAP,
                            .kv_type = GOV_KV_F16,
                            .context = 256,
                            .warm = GOV_WARM_NONE};
    struct gov_load load = {.size = sizeof(load), .plan = &plan, .threads = 1};
    gov_model *model;
    gov_session *session;
    gov_error err;

    ck_assert_int_eq(gov_engine_open(&engine, "llama", &err), GOV_OK);
    ck_assert_int_eq(
        gov_model_open(&model, in_directory("small.gguf"), NULL, &err), GOV_OK);
    load.model = model;
    if (!forgets(gov_model_path(model), "a_load_reads_the_header_alone"))
        goto done;
    ck_assert_msg(engine->load(&session, &load, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_lt(cached(gov_model_path(model)), 250);
    ck_assert_ptr_nonnull(strstr(engine->describe(session), "all may stay"));
    ck_assert_ptr_null(
        strstr(engine->describe(session), "libgovernor-llama-interpose"));
    engine->unload(session);
done:
    gov_model_close(model);
}
END_TEST

/* ---- caches without memory ------------------------------------------------------- */

static bool leave(void *ctx, void *buffer, uint8_t value)
{
    (void)buffer;
    *(int *)ctx = value;
    return value == 7;
}

static bool all_are(ggml_backend_buffer_t buffer, unsigned char value)
{
    const unsigned char *base = ggml_backend_buffer_get_base(buffer);

    for (size_t i = 0; i < ggml_backend_buffer_get_size(buffer); i++)
        if (base[i] != value)
            return false;
    return true;
}

static void *clear_elsewhere(void *buffer)
{
    ggml_backend_buffer_clear(buffer, 7);
    return NULL;
}

/* Who is not asked, or says no, has it cleared by the engine. */
START_TEST(clears_are_asked_about)
{
    ggml_backend_buffer_t buffer =
        ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), 100000);
    pthread_t thread;
    int told = -1;

    ck_assert_ptr_nonnull(buffer);
    ggml_backend_buffer_clear(buffer, 3);
    ck_assert(all_are(buffer, 3));
    gov_llama_interpose_clears(leave, &told);
    ggml_backend_buffer_clear(buffer, 7);
    ck_assert_int_eq(told, 7);
    ck_assert(all_are(buffer, 3));
    ggml_backend_buffer_clear(buffer, 8);
    ck_assert_int_eq(told, 8);
    ck_assert(all_are(buffer, 8));
    ck_assert_int_eq(pthread_create(&thread, NULL, clear_elsewhere, buffer), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(told, 8);
    ck_assert(all_are(buffer, 7));
    gov_llama_interpose_clears(NULL, NULL);
    ggml_backend_buffer_clear(buffer, 7);
    ck_assert(all_are(buffer, 7));
    ggml_backend_buffer_free(buffer);
}
END_TEST

static uint64_t anonymous(void)
{
    struct gov_footprint now;
    gov_error err;

    ck_assert_msg(gov_footprint_now(&now, &err) == GOV_OK, "%s", err.message);
    return now.anon_bytes + now.swap_bytes;
}

/* Of this process's memory, what the system gives no huge pages. */
static uint64_t small_bytes(void)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    uint64_t bytes = 0, size = 0;
    char line[512];

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strncmp(line, "Size:", 5) == 0)
            size = strtoull(line + 5, NULL, 10) * 1024;
        else if (strncmp(line, "VmFlags:", 8) == 0 &&
                 strstr(line, " nh") != NULL)
            bytes += size;
    }
    fclose(maps);
    return bytes;
}

/* llama.cpp's own context, made on a thread that loads nothing of ours, takes all of
 * its cache at once; ours takes some for the tokens that it holds. */
START_TEST(a_context_takes_memory_as_it_is_used)
{
    const uint64_t cache = (uint64_t)32 << 20; /* of 4096 tokens */
    const struct gov_engine *engine;
    struct gov_plan plan = {
        .strategy = GOV_STRATEGY_MMAP, .kv_type = GOV_KV_F16, .context = 4096};
    struct gov_load load = {.size = sizeof(load), .plan = &plan, .threads = 1};
    const struct llama_context_params params = control_params(4096, 1);
    struct control control;
    gov_model *model;
    gov_session *session;
    uint64_t before, after, small;
    gov_error err;

    ck_assert_int_eq(gov_engine_open(&engine, "llama", &err), GOV_OK);
    ck_assert_int_eq(
        gov_model_open(&model, in_directory("small.gguf"), NULL, &err), GOV_OK);
    load.model = model;
    small = small_bytes();
    before = anonymous();
    ck_assert_msg(engine->load(&session, &load, &err) == GOV_OK, "%s",
                  err.message);
    after = anonymous();
    ck_assert_msg(after - before < cache / 4, "%llu bytes",
                  (unsigned long long)(after - before));
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0)
        ck_assert_uint_ge(small_bytes(), small + cache - 2 * gov_page_bytes());
    else
        skip_test("a_context_takes_memory_as_it_is_used: small pages",
                  "this kernel has no huge ones");
    engine->unload(session);

    before = anonymous();
    control_open(&control, gov_model_path(model), false, &params);
    after = anonymous();
    ck_assert_uint_ge(after - before, cache);
    control_close(&control);
    gov_model_close(model);
}
END_TEST

/* ---- heap without repacking ------------------------------------------------------ */

#define KEY 0x5a

struct tell {
    uint32_t calls, last;
};

static bool on_warming(void *ctx, uint32_t permille, const char *what)
{
    struct tell *tell = ctx;

    (void)what;
    tell->calls++;
    tell->last = permille;
    return true;
}

static bool decrypt(void *ctx, const struct gov_cipher *cipher)
{
    ++*(uint32_t *)ctx;
    for (uint64_t i = 0; i < cipher->bytes; i++)
        cipher->data[i] ^= KEY;
    return true;
}

static bool decrypt_no(void *ctx, const struct gov_cipher *cipher)
{
    (void)ctx;
    (void)cipher;
    return false;
}

/* The same file with all that is in units made unreadable. */
static void encrypt(const char *name, const char *as)
{
    FILE *from = fopen(in_directory(name), "rb");
    FILE *to = fopen(in_directory(as), "wb");
    static unsigned char bytes[8 << 20];
    size_t count, length = fread(bytes, 1, sizeof(bytes), from);
    const struct gov_unit *units;
    gov_model *model;
    gov_error err;

    ck_assert_int_eq(gov_model_open(&model, in_directory(name), NULL, &err),
                     GOV_OK);
    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        for (uint64_t k = 0; k < units[i].bytes; k++)
            bytes[units[i].file_offset + k] ^= KEY;
    ck_assert_uint_eq(fwrite(bytes, 1, length, to), length);
    gov_model_close(model);
    fclose(from);
    fclose(to);
}

static bool compare_piece(void *ctx, const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
    ++*(uint32_t *)ctx;
    return true;
}

/* Both read the same text; every logit must be equal. */
static void compare(const struct gov_engine *engine, gov_session *session,
                    const char *control_name)
{
    struct llama_context_params params = control_params(256, 1);
    struct control control;
    uint32_t pieces = 0;
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = "Once upon a time",
                                   .tokens = 20,
                                   .ignore_end = true,
                                   .piece = compare_piece,
                                   .ctx = &pieces};
    struct gov_generated out;
    const float *logits;
    size_t count;
    llama_token token;
    gov_error err;

    control_open(&control, in_directory(control_name), false, &params);
    control_read(&control, request.prompt, true);
    ck_assert_msg(engine->generate(session, &request, &out, &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_uint_eq(pieces, 20);
    for (int i = 0; i < 20; i++) {
        token = control_choose(&control);
        control_decode(&control, &token, 1);
    }
    logits = engine->logits(session, &count);
    ck_assert_uint_eq(count, control.vocabulary);
    ck_assert_mem_eq(logits, control.logits, count * sizeof(float));
    control_close(&control);
}

static gov_status load_heap(const struct gov_engine **engine, gov_model **model,
                            gov_session **session, const char *name,
                            struct gov_load *load, gov_error *err)
{
    static struct gov_plan plan;

    plan = (struct gov_plan){
        .strategy = GOV_STRATEGY_HEAP, .kv_type = GOV_KV_F16, .context = 256};
    load->size = sizeof(*load);
    load->plan = &plan;
    load->threads = 1;
    ck_assert_int_eq(gov_engine_open(engine, "llama", err), GOV_OK);
    ck_assert_int_eq(gov_model_open(model, in_directory(name), NULL, err),
                     GOV_OK);
    load->model = *model;
    return (*engine)->load(session, load, err);
}

START_TEST(heap_weights_are_anonymous)
{
    struct tell tell = {0, 0};
    struct gov_load load = {.warming = on_warming, .warming_ctx = &tell};
    struct gov_weights_account account;
    const struct gov_engine *engine;
    gov_session *session;
    gov_model *model;
    gov_error err;

    ck_assert_msg(load_heap(&engine, &model, &session, "q4_0.gguf", &load,
                            &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_ptr_nonnull(strstr(engine->describe(session), "heap: "));
    ck_assert(engine->wait(session, true, 20000));
    ck_assert(engine->weights(session, false, &account));
    ck_assert(account.warm);
    /* All but a page that the header ends on. */
    ck_assert_uint_ge(account.anchored_bytes + 2 * gov_page_bytes(),
                      account.hot_bytes);
    compare(engine, session, "q4_0.gguf");
    engine->unload(session);
    ck_assert_uint_gt(tell.calls, 0);
    ck_assert_uint_eq(tell.last, 1000);
    gov_model_close(model);
}
END_TEST

START_TEST(encrypted_weights_run)
{
    uint32_t units = 0;
    struct gov_load load = {.decrypt = decrypt, .decrypt_ctx = &units};
    const struct gov_engine *engine;
    gov_session *session;
    gov_model *model;
    gov_error err;

    encrypt("q4_0.gguf", "secret.gguf");
    ck_assert_msg(load_heap(&engine, &model, &session, "secret.gguf", &load,
                            &err) == GOV_OK,
                  "%s", err.message);
    ck_assert_uint_gt(units, 4);
    ck_assert_ptr_nonnull(strstr(engine->describe(session), "decrypted"));
    compare(engine, session, "q4_0.gguf");
    engine->unload(session);
    gov_model_close(model);
    load.decrypt = decrypt_no;
    ck_assert_int_eq(
        load_heap(&engine, &model, &session, "secret.gguf", &load, &err),
        GOV_E_FORMAT);
    ck_assert_ptr_null(session);
    gov_model_close(model);
}
END_TEST

/* What it keeps is footprint, and more than the budgets that are cut here. */
static bool under_sanitizer(const char *test)
{
    if (!is_sanitized())
        return false;
    skip_test(test, "a sanitizer's own memory is more than the budget");
    return true;
}

/* ---- a budget that changes --------------------------------------------------------- */

static uint64_t hot_now(const struct gov_engine *engine, gov_session *session)
{
    struct gov_weights_account account;

    ck_assert(engine->weights(session, false, &account));
    return account.hot_bytes;
}

/* A cut takes what the plan left unused first, then weights; relief halves what
 * is hot; and whatever stays, the bits do. */
START_TEST(weights_follow_the_budget)
{
    struct gov_options options = gov_options_default();
    struct gov_plan plan = {
        .strategy = GOV_STRATEGY_MMAP, .kv_type = GOV_KV_F16, .context = 256};
    struct gov_load load = {.size = sizeof(load), .plan = &plan, .threads = 1};
    const struct gov_engine *engine;
    const struct gov_unit *units;
    uint64_t all = 0, cut;
    gov_session *session;
    gov_runtime *runtime;
    gov_model *model;
    size_t count;
    gov_error err;

    if (under_sanitizer("weights_follow_the_budget"))
        return;
    ck_assert_int_eq(gov_engine_open(&engine, "llama", &err), GOV_OK);
    ck_assert_int_eq(
        gov_model_open(&model, in_directory("small.gguf"), NULL, &err), GOV_OK);
    units = gov_model_units(model, &count);
    for (size_t i = 0; i < count; i++)
        all += units[i].bytes;
    options.no_thread = options.no_publish = true;
    options.budget_bytes = plan.budget_bytes = all + (1 << 20);
    ck_assert_int_eq(gov_open(&runtime, &options, &err), GOV_OK);
    load.model = model;
    load.runtime = runtime;
    ck_assert_msg(engine->load(&session, &load, &err) == GOV_OK, "%s",
                  err.message);
    ck_assert_uint_eq(hot_now(engine, session), all);
    gov_set_budget(runtime, all); /* what the plan left unused */
    gov_step(runtime);
    ck_assert_uint_eq(hot_now(engine, session), all);
    gov_set_budget(runtime, all - all / 4);
    gov_step(runtime);
    cut = hot_now(engine, session);
    ck_assert_uint_le(cut, all - all / 4);
    ck_assert_uint_gt(cut, 0);
    compare(engine, session, "small.gguf");
    gov_set_budget(runtime, all + (1 << 20));
    gov_step(runtime);
    ck_assert_uint_eq(hot_now(engine, session), all);
    ck_assert(engine->wait(session, true, 30000)); /* there is some to give */
    ck_assert_int_eq(gov_simulate(runtime, GOV_LEVEL_CRITICAL, 0, &err),
                     GOV_OK);
    gov_step(runtime);
    /* A layer less ahead is one more that stays. */
    ck_assert_uint_le(hot_now(engine, session), all / 2 + all / 8);
    engine->reset(session);
    compare(engine, session, "small.gguf");
    engine->unload(session);
    gov_close(runtime);
    gov_model_close(model);
}
END_TEST

/* ---- held as planned --------------------------------------------------------------- */

/* The adapter's calls come here first. A model whose layers have no name that the
 * adapter knows: it is shown no node before the weights are held. */
static bool shows_nothing;

__attribute__((visibility("default"))) int32_t
llama_decode(struct llama_context *context, struct llama_batch batch)
{
    static int32_t (*real)(struct llama_context *, struct llama_batch);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "llama_decode");
    return shows_nothing ? -1 : real(context, batch);
}

struct held {
    const struct gov_engine *engine;
    gov_model *model;
    gov_runtime *runtime; /* may be NULL */
    gov_session *session;
    struct gov_plan plan;
    uint64_t all;
};

/* Of the model's bytes so many of 1000 stay. */
static void hold(struct held *h, const char *name, gov_strategy strategy,
                 uint64_t hot_permille)
{
    struct gov_load load = {
        .size = sizeof(load), .plan = &h->plan, .threads = 1};
    const struct gov_unit *units;
    size_t count;
    gov_error err;

    ck_assert_int_eq(gov_engine_open(&h->engine, "llama", &err), GOV_OK);
    ck_assert_int_eq(gov_model_open(&h->model, in_directory(name), NULL, &err),
                     GOV_OK);
    units = gov_model_units(h->model, &count);
    h->all = 0;
    for (size_t i = 0; i < count; i++)
        h->all += units[i].bytes;
    h->plan.strategy = strategy;
    h->plan.kv_type = GOV_KV_F16;
    h->plan.context = 256;
    h->plan.ahead = 2;
    h->plan.weights_bytes = h->all;
    h->plan.hot_bytes = h->all / 1000 * hot_permille;
    h->plan.cold_bytes = h->all - h->plan.hot_bytes;
    load.model = h->model;
    load.runtime = h->runtime;
    ck_assert_msg(h->engine->load(&h->session, &load, &err) == GOV_OK, "%s",
                  err.message);
}

static void let_go(struct held *h)
{
    h->engine->unload(h->session);
    gov_close(h->runtime);
    gov_model_close(h->model);
}

START_TEST(layers_without_names_ring_bells)
{
    struct held h = {0};
    struct gov_weights_account account;

    h.plan.anchor = h.plan.direct = _i != 0;
    shows_nothing = true;
    hold(&h, "small.gguf", GOV_STRATEGY_HYBRID, 500);
    shows_nothing = false;
    if (strstr(h.engine->describe(h.session), "reports 0 of the") != NULL) {
        skip_test("layers_without_names_ring_bells",
                  h.engine->describe(h.session));
    } else {
        ck_assert_msg(strstr(h.engine->describe(h.session),
                             "ahead, followed by doorbells") != NULL,
                      "%s", h.engine->describe(h.session));
        compare(h.engine, h.session, "small.gguf");
        ck_assert(h.engine->weights(h.session, false, &account));
        ck_assert_uint_gt(account.passes, 8); /* it need not see each */
        ck_assert_uint_gt(account.dropped_bytes, h.all / 4);
        ck_assert_uint_eq(account.failures, 0);
    }
    let_go(&h);
}
END_TEST

/* All may stay, so nobody need know where the engine is. */
START_TEST(layers_without_names_stay)
{
    struct held h = {0};

    shows_nothing = true;
    hold(&h, "small.gguf", GOV_STRATEGY_MMAP, 1000);
    shows_nothing = false;
    ck_assert_ptr_nonnull(
        strstr(h.engine->describe(h.session), "all may stay"));
    compare(h.engine, h.session, "small.gguf");
    let_go(&h);
}
END_TEST

static void copy_file(const char *name, const char *as)
{
    static char block[1 << 16];
    FILE *from = fopen(in_directory(name), "rb");
    FILE *to = fopen(in_directory(as), "wb");
    size_t n;

    ck_assert(from != NULL && to != NULL);
    while ((n = fread(block, 1, sizeof(block), from)) > 0)
        ck_assert_uint_eq(fwrite(block, 1, n, to), n);
    fclose(from);
    ck_assert_int_eq(fclose(to), 0);
}

static gov_status say(const struct held *h, uint32_t tokens, gov_error *err)
{
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = "Once upon a time",
                                   .tokens = tokens,
                                   .ignore_end = true};
    struct gov_generated out;

    return h->engine->generate(h->session, &request, &out, err);
}

/* What comes of it is nobody's text any more, until the model is loaded again. */
START_TEST(a_file_that_is_written_to_ends_generation)
{
    const struct timespec moment = {0, 20000000}; /* a file's time has ticks */
    struct held h = {0};
    unsigned char byte;
    gov_error err;
    int fd;

    copy_file("small.gguf", "written.gguf");
    nanosleep(&moment, NULL);
    hold(&h, "written.gguf", _i == 0 ? GOV_STRATEGY_HYBRID : GOV_STRATEGY_MMAP,
         500);
    ck_assert_msg(say(&h, 3, &err) == GOV_OK, "%s", err.message);
    fd = open(in_directory("written.gguf"), O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)h.all / 2), 1);
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)h.all / 2), 1);
    close(fd);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(say(&h, 3, &err), GOV_E_IO);
        ck_assert_msg(strstr(err.message, "load it again") != NULL, "%s",
                      err.message);
    }
    let_go(&h);
    /* Which works. */
    memset(&h, 0, sizeof(h));
    hold(&h, "written.gguf", GOV_STRATEGY_HYBRID, 500);
    compare(h.engine, h.session, "small.gguf");
    let_go(&h);
}
END_TEST

/* What pressure took comes again, in steps between passes, once it is over. */
START_TEST(what_was_given_back_comes_again)
{
    static const char rules[] = "version: 1\nregrow: { after: 1ms, every: 1ms "
                                "}\nrules:\n  - name: map\n    then: { "
                                "strategy: mmap }\n    because: it is a test\n";
    struct gov_options options = gov_options_default();
    struct held h = {0};
    uint64_t hot, before;
    uint32_t steps = 0;
    gov_error err;
    FILE *file = fopen(in_directory("regrow.yaml"), "w");

    ck_assert_ptr_nonnull(file);
    fputs(rules, file);
    fclose(file);
    options.policy = in_directory("regrow.yaml");
    options.no_thread = options.no_publish = true;
    options.budget_bytes = 32 << 20; /* of which a step is a share */
    ck_assert_msg(gov_open(&h.runtime, &options, &err) == GOV_OK, "%s",
                  err.message);
    hold(&h, "small.gguf", GOV_STRATEGY_MMAP, 1000);
    ck_assert(
        h.engine->wait(h.session, true, 30000)); /* there is some to give */
    ck_assert_int_eq(gov_simulate(h.runtime, GOV_LEVEL_CRITICAL, 0, &err),
                     GOV_OK);
    gov_step(h.runtime);
    before = hot_now(h.engine, h.session);
    ck_assert_uint_le(before, h.all / 2);
    ck_assert_int_eq(gov_simulate(h.runtime, GOV_LEVEL_NORMAL, 0, &err),
                     GOV_OK);
    for (int i = 0; i < 500 && before < h.all; i++) {
        gov_step(h.runtime);
        h.engine->reset(h.session);
        ck_assert_msg(say(&h, 4, &err) == GOV_OK, "%s", err.message);
        hot = hot_now(h.engine, h.session);
        ck_assert_uint_ge(hot + h.all / 8, before); /* a layer more ahead */
        steps += hot > before ? 1 : 0;
        before = hot;
    }
    ck_assert_uint_eq(before, h.all);
    ck_assert_uint_ge(steps, 3); /* not at once */
    h.engine->reset(h.session);
    compare(h.engine, h.session, "small.gguf");
    let_go(&h);
}
END_TEST

/* ---- a budget that is cut while tokens come ------------------------------------------- */

#define SAMPLE_MS 100

struct cut {
    struct held *h;
    struct control control;
    uint32_t tokens, wrong; /* the first token that differs; 0: none */
    uint64_t most;          /* bytes: allowed from then on */
    uint64_t spare;         /* of those, for what is no weights */
    uint64_t from_us, done_us;
    uint64_t over; /* the most above it after it was reached */
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t footprint(void)
{
    struct gov_footprint now;
    gov_error err;

    ck_assert_int_eq(gov_footprint_now(&now, &err), GOV_OK);
    return now.footprint_bytes;
}

static bool on_cut_piece(void *ctx, const char *text, size_t bytes)
{
    struct cut *cut = ctx;
    const float *logits;
    size_t count;
    llama_token token = control_choose(&cut->control);

    (void)text;
    (void)bytes;
    cut->tokens++;
    logits = cut->h->engine->logits(cut->h->session, &count);
    if (cut->wrong == 0 &&
        (count != cut->control.vocabulary ||
         memcmp(logits, cut->control.logits, count * sizeof(float)) != 0))
        cut->wrong = cut->tokens;
    control_decode(&cut->control, &token, 1);
    if (cut->tokens == 10) {
        cut->most = footprint() + cut->h->all / 2 + cut->spare;
        ck_assert_uint_gt(mapped_bytes_of("/calm.gguf") + footprint(),
                          cut->most);
        gov_set_budget(cut->h->runtime, cut->h->all / 2);
        cut->from_us = now_us();
    } else if (cut->tokens > 10) {
        uint64_t total = mapped_bytes_of("/calm.gguf") + footprint();

        if (total <= cut->most && cut->done_us == 0)
            cut->done_us = now_us();
        else if (total > cut->most + cut->over && cut->done_us != 0)
            cut->over = total - cut->most;
    }
    return cut->done_us == 0 || now_us() < cut->done_us + 300000;
}

/* The control has the weights from a file of its own. Returns the milliseconds. */
static uint64_t cut_once(bool direct)
{
    struct gov_options options = gov_options_default();
    struct llama_context_params params = control_params(256, 1);
    struct held h = {0};
    struct cut cut = {.h = &h};
    struct gov_generate request = {.size = sizeof(request),
                                   .prompt = "Once upon a time",
                                   .tokens = 240,
                                   .ignore_end = true,
                                   .piece = on_cut_piece,
                                   .ctx = &cut};
    struct gov_generated out;
    gov_error err;

    options.no_publish = true;
    options.sample_ms = SAMPLE_MS;
    options.budget_bytes = UINT64_C(1) << 30;
    h.plan.budget_bytes = 0; /* below: nothing of it is unused */
    control_open(&cut.control, in_directory("small.gguf"), false, &params);
    control_read(&cut.control, request.prompt, true);
    ck_assert_int_eq(gov_open(&h.runtime, &options, &err), GOV_OK);
    gov_step(h.runtime);
    /* What our cache takes for 240 tokens more (2 MB); the other conversation, rows
     * of the embedding; and two reads of 1.3 MB that are laid over what they
     * replace. */
    cut.spare = (direct ? UINT64_C(7) : UINT64_C(4)) << 20;
    h.plan.direct = direct;
    hold(&h, "calm.gguf", GOV_STRATEGY_MMAP, 1000);
    ck_assert(h.engine->wait(h.session, true, 20000));
    (void)h.engine->generate(h.session, &request, &out, &err);
    ck_assert_msg(cut.wrong == 0, "token %u differs", cut.wrong);
    ck_assert_msg(cut.done_us != 0, "never fell below %llu",
                  (unsigned long long)cut.most);
    ck_assert_uint_eq(cut.over, 0);
    control_close(&cut.control);
    let_go(&h);
    return (cut.done_us - cut.from_us) / 1000;
}

/* Half of it goes within half a second and a sample, and stays away; no bit of what
 * is said changes. Two of three times a machine may have had other things to do. */
START_TEST(a_cut_while_tokens_come)
{
    uint64_t took_ms = UINT64_MAX;

    if (under_sanitizer("a_cut_while_tokens_come"))
        return;
    copy_file("small.gguf", "calm.gguf");
    for (int i = 0; i < 3 && took_ms > 500 + SAMPLE_MS; i++)
        took_ms = cut_once(_i != 0);
    ck_assert_uint_le(took_ms, 500 + SAMPLE_MS);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("llama_interpose");
    TCase *calls = tcase_create("calls"), *loads = tcase_create("loads");

    tcase_add_test(calls, a_mapping_is_not_read);
    tcase_add_test(calls, other_threads_map_as_ever);
    tcase_add_loop_test(calls, unmapping_is_told_before, 0, 7);
    tcase_add_test(calls, what_is_no_file_is_as_ever);
    tcase_add_loop_test(calls, failures_are_the_systems, 0, 2);
    tcase_add_test(calls, what_is_not_needed_stays);
    tcase_add_test(calls, clears_are_asked_about);
    tcase_add_unchecked_fixture(calls, make_file, NULL);
    suite_add_tcase(s, calls);
    tcase_add_test(loads, a_load_reads_the_header_alone);
    tcase_add_test(loads, a_context_takes_memory_as_it_is_used);
    tcase_add_test(loads, heap_weights_are_anonymous);
    tcase_add_test(loads, encrypted_weights_run);
    tcase_add_test(loads, weights_follow_the_budget);
    tcase_add_loop_test(loads, layers_without_names_ring_bells, 0, 2);
    tcase_add_test(loads, layers_without_names_stay);
    tcase_add_loop_test(loads, a_file_that_is_written_to_ends_generation, 0, 2);
    tcase_add_test(loads, what_was_given_back_comes_again);
    tcase_add_loop_test(loads, a_cut_while_tokens_come, 0, 2);
    tcase_add_unchecked_fixture(loads, make_file, NULL);
    tcase_set_timeout(loads, 30);
    suite_add_tcase(s, loads);
    return s;
}
