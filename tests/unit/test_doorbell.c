/* SPDX-License-Identifier: MIT */
/* Doorbells on a real mapped file, with the test's threads as the engine: whatever
 * the bells do, and whatever the system refuses, a reader finds the file's bytes
 * and nobody waits for ever. Runs on the system's own table, seen through a spy
 * that counts calls and makes them fail. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "governor/memory/doorbell.h"
#include "tests/support/faults.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/run.h"

#define BELLS 8U
#define PAGES_A_UNIT 4U
#define BELL_PAGE 1 /* of a unit's */
#define PAGE_MOST 65536
#define READERS 4
#define LOG 4096

static const struct gov_platform *native;
static struct gov_platform table; /* the spy's */
static char path[512];
static size_t page, file_bytes;
static unsigned char *base;      /* the engine's mapping */
static unsigned char *reference; /* what the file holds */
static struct gov__range_file file;
static struct gov__range range;
static struct gov__doorbell bells[BELLS];
static struct gov__doorbells d;
static int descriptors;

static atomic_bool done, corrupt, arming; /* of the readers and the armer */
static uint32_t heard[LOG];
static _Atomic uint32_t heard_count;

/* ---- the spy ----------------------------------------------------------------- */

enum { NEVER = -1 };

static struct {
    _Atomic int calls; /* of entries that may fail */
    atomic_int at;     /* the call that fails; NEVER */
    atomic_bool forever;
    atomic_int error;
    atomic_bool twice; /* each touch is told twice */
    void *told;
    atomic_bool only_wait, only_answer, only_arm, only_map_file;
    atomic_int refusals; /* of answers and mappings, both ENOMEM */
    atomic_int refused;
} spy;

static void spy_reset(void)
{
    memset(&spy, 0, sizeof(spy));
    atomic_store(&spy.at, NEVER);
    atomic_store(&spy.error, EIO);
}

static bool fails(void)
{
    int n = atomic_fetch_add(&spy.calls, 1), at = atomic_load(&spy.at);

    return at != NEVER && (n == at || (n > at && atomic_load(&spy.forever)));
}

/* An answer and a mapping are not both refused for good: see doorbell.h. */
static bool fails_once(void)
{
    return atomic_fetch_add(&spy.calls, 1) == atomic_load(&spy.at);
}

static bool refuses(void)
{
    if (atomic_load(&spy.refusals) <= 0)
        return false;
    atomic_fetch_sub(&spy.refusals, 1);
    atomic_fetch_add(&spy.refused, 1);
    return true;
}

static int spy_map(void *ctx, size_t bytes, const char *tag, void **out)
{
    (void)ctx;
    return fails() ? spy.error : native->map(native->ctx, bytes, tag, out);
}

static int spy_unmap(void *ctx, void *at, size_t bytes)
{
    (void)ctx;
    return native->unmap(native->ctx, at, bytes);
}

static int spy_map_file(void *ctx, int fd, uint64_t offset, size_t bytes,
                        void *at, void **out)
{
    (void)ctx;
    if (atomic_load(&spy.only_map_file))
        return EIO;
    if (refuses())
        return ENOMEM;
    return fails() ? spy.error
                   : native->map_file(native->ctx, fd, offset, bytes, at, out);
}

static int spy_open(void *ctx, int *handle)
{
    (void)ctx;
    return fails() ? spy.error : native->bell_open(native->ctx, handle);
}

static int spy_lay(void *ctx, int handle, void *at, size_t bytes)
{
    (void)ctx;
    return fails() ? spy.error
                   : native->bell_lay(native->ctx, handle, at, bytes);
}

static int spy_arm(void *ctx, int handle, void *at, size_t bytes)
{
    (void)ctx;
    if (atomic_exchange(&spy.only_arm, false))
        return ENOMEM;
    return fails() ? spy.error
                   : native->bell_arm(native->ctx, handle, at, bytes);
}

/* Not counted: how often it is called depends on the clock. */
static int spy_wait(void *ctx, int handle, uint32_t timeout_ms, void **address)
{
    int rc;

    (void)ctx;
    if (spy.told != NULL) {
        *address = spy.told;
        spy.told = NULL;
        return 0;
    }
    rc = native->bell_wait(native->ctx, handle, timeout_ms, address);
    if (atomic_load(&spy.twice) && rc == 0)
        spy.told = *address;
    return atomic_exchange(&spy.only_wait, false) ? EIO : rc;
}

static int spy_answer(void *ctx, int handle, void *at, const void *bytes,
                      size_t count)
{
    (void)ctx;
    if (atomic_exchange(&spy.only_answer, false))
        return ENOMEM;
    if (refuses())
        return ENOMEM;
    return fails_once()
               ? spy.error
               : native->bell_answer(native->ctx, handle, at, bytes, count);
}

/* Closes also when it says that it failed, as close() does. */
static int spy_close(void *ctx, int handle)
{
    int rc = native->bell_close(native->ctx, handle);

    (void)ctx;
    return fails() ? spy.error : rc;
}

/* ---- the file and the engine ------------------------------------------------- */

static uint64_t pattern(size_t word)
{
    uint64_t x = (word + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return x ^ (x >> 29) ^ 1;
}

static void make_file(void)
{
    void *memory;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    file_bytes = page * BELLS * PAGES_A_UNIT;
    ck_assert_int_eq(native->map(native->ctx, file_bytes, "test", &memory), 0);
    reference = memory;
    for (size_t i = 0; i < file_bytes / 8; i++)
        ((uint64_t *)(void *)reference)[i] = pattern(i);
    ck_assert_int_eq(write(fd, reference, file_bytes), (ssize_t)file_bytes);
    base = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    file = (struct gov__range_file){.fd = fd,
                                    .direct_fd = -1,
                                    .base = (char *)base,
                                    .bytes = file_bytes,
                                    .file_bytes = file_bytes};
}

static void on_ring(void *ctx, uint32_t unit)
{
    uint32_t n = atomic_load(&heard_count);

    (void)ctx;
    heard[n % LOG] = unit;
    atomic_store(&heard_count, n + 1);
}

/* Units are numbered otherwise than bells. */
static uint32_t unit_of(uint32_t bell)
{
    return bell + 100;
}

static size_t at_bell(uint32_t bell)
{
    return (bell * PAGES_A_UNIT + BELL_PAGE) * page;
}

static void lay_out(uint32_t count)
{
    memset(&d, 0, sizeof(d));
    memset(bells, 0, sizeof(bells));
    for (uint32_t i = 0; i < BELLS; i++) {
        bells[i].unit = unit_of(i);
        bells[i].offset = at_bell(i);
    }
    d.range = &range;
    d.bells = bells;
    d.count = count;
    d.rang = on_ring;
    atomic_store(&heard_count, 0);
}

/* ThreadSanitizer takes a mapping for a write, and so a reader for a race: but
 * that there is always one or the other is what is tested. */
__attribute__((no_sanitize("thread"))) static bool is_exact(size_t offset)
{
    const volatile uint64_t *is = (const void *)(base + offset);
    const uint64_t *want = (const void *)(reference + offset);

    for (size_t i = 0; i < page / sizeof(*is); i++)
        if (is[i] != want[i])
            return false;
    return true;
}

/* What the engine does: reads a whole page. */
static void touch(uint32_t bell)
{
    ck_assert_msg(is_exact(at_bell(bell)), "bell %u: other bytes", bell);
}

static bool all_exact(void)
{
    for (size_t at = 0; at < file_bytes; at += page)
        if (!is_exact(at))
            return false;
    return true;
}

/* What is written to the file shows: no page is a copy. */
static uint32_t copies(void)
{
    uint32_t found = 0;

    for (size_t at = 0; at < file_bytes; at += page) {
        unsigned char other = (unsigned char)~reference[at];

        ck_assert_int_eq(pwrite(file.fd, &other, 1, (off_t)at), 1);
        found += base[at] != other;
        ck_assert_int_eq(pwrite(file.fd, reference + at, 1, (off_t)at), 1);
    }
    return found;
}

static bool can_ring(const char *test)
{
    int handle, rc = native->bell_open(native->ctx, &handle);
    char why[160];

    if (rc == 0) {
        native->bell_close(native->ctx, handle);
        return true;
    }
    snprintf(why, sizeof(why), "no doorbells here: error %d", rc);
    skip_test(test, why);
    return false;
}

static void set_up(void)
{
    native = gov__platform_native();
    faults_reset();
    spy_reset();
    atomic_store(&corrupt, false);
    page = native->page_bytes(native->ctx);
    ck_assert_uint_le(page, PAGE_MOST);
    snprintf(path, sizeof(path), "%s/m.bin", fresh_directory());
    make_file();
    table = *native;
    table.map = spy_map;
    table.unmap = spy_unmap;
    table.map_file = spy_map_file;
    table.bell_open = spy_open;
    table.bell_lay = spy_lay;
    table.bell_arm = spy_arm;
    table.bell_wait = spy_wait;
    table.bell_answer = spy_answer;
    table.bell_close = spy_close;
    range = (struct gov__range){
        .platform = &table, .files = &file, .file_count = 1, .page = page};
    lay_out(BELLS);
    descriptors = faults_open_descriptors();
}

static void tear_down(void)
{
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    munmap(base, file_bytes);
    native->unmap(native->ctx, reference, file_bytes);
    close(file.fd);
    drop_directory();
}

static void start(void)
{
    int rc = gov__doorbells_start(&d);

    ck_assert_msg(rc == 0, "start: error %d", rc);
}

static uint64_t now_us(void)
{
    return native->now_us(native->ctx);
}

/* ---- rings ------------------------------------------------------------------- */

START_TEST(rings_are_told_in_order)
{
    const uint32_t rings = 100 * BELLS;

    if (!can_ring("rings_are_told_in_order"))
        return;
    start();
    for (uint32_t n = 0; n < rings; n++)
        touch(n % BELLS);
    gov__doorbells_stop(&d);
    ck_assert_uint_eq(atomic_load(&heard_count), rings);
    for (uint32_t n = 0; n < rings; n++)
        ck_assert_uint_eq(heard[n], unit_of(n % BELLS));
    ck_assert_uint_eq(atomic_load(&d.rings), rings);
    ck_assert_uint_eq(atomic_load(&d.failures), 0);
    ck_assert(all_exact());
    ck_assert_uint_eq(copies(), 0);
}
END_TEST

/* Touched again before another rang, a bell is silent; one that was left out
 * rings when it is touched. */
START_TEST(a_bell_rings_again_once_another_rang)
{
    static const uint32_t touched[] = {2, 2, 2, 5, 5, 7, 6, 2, 2, 0, 1, 5};
    static const uint32_t told[] = {2, 5, 7, 6, 2, 0, 1, 5};

    if (!can_ring("a_bell_rings_again_once_another_rang"))
        return;
    start();
    for (size_t i = 0; i < sizeof(touched) / sizeof(*touched); i++)
        touch(touched[i]);
    gov__doorbells_stop(&d);
    ck_assert_uint_eq(atomic_load(&heard_count), sizeof(told) / sizeof(*told));
    for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
        ck_assert_uint_eq(heard[i], unit_of(told[i]));
}
END_TEST

START_TEST(a_single_bell_rings_once)
{
    if (!can_ring("a_single_bell_rings_once"))
        return;
    lay_out(1);
    start();
    for (int i = 0; i < 100; i++)
        touch(0);
    gov__doorbells_stop(&d);
    ck_assert_uint_eq(atomic_load(&heard_count), 1);
    ck_assert_uint_eq(copies(), 0);
}
END_TEST

/* Two threads touched it: the other one's word may come when all is done. */
START_TEST(a_ring_that_comes_twice_is_told_once)
{
    if (!can_ring("a_ring_that_comes_twice_is_told_once"))
        return;
    atomic_store(&spy.twice, true);
    start();
    for (uint32_t i = 0; i < BELLS; i++)
        touch(i);
    gov__doorbells_stop(&d);
    ck_assert_uint_eq(atomic_load(&heard_count), BELLS);
    ck_assert_uint_eq(atomic_load(&d.failures), 0);
}
END_TEST

START_TEST(what_was_not_armed_is_armed_with_the_next_ring)
{
    if (!can_ring("what_was_not_armed_is_armed_with_the_next_ring"))
        return;
    start();
    touch(0);
    atomic_store(&spy.only_arm, true);
    touch(1); /* 0 is not armed, now */
    touch(2); /* but here */
    touch(3);
    touch(0);
    gov__doorbells_stop(&d);
    ck_assert_uint_eq(atomic_load(&heard_count), 5);
    ck_assert_uint_eq(heard[4], unit_of(0));
    ck_assert_uint_eq(atomic_load(&d.failures), 1);
}
END_TEST

/* ---- many threads -------------------------------------------------------------- */

/* What a thread begins with. */
static uint32_t first[2 * BELLS];
static _Atomic uint64_t pages_read;

static void *read_all(void *arg)
{
    uint32_t i = *(uint32_t *)arg;

    while (!atomic_load(&done)) {
        if (!is_exact(at_bell(i++ % BELLS)))
            atomic_store(&corrupt, true);
        atomic_fetch_add(&pages_read, 1);
    }
    return NULL;
}

/* Faster than any ring could, and not in turn. */
static void *arm_all(void *arg)
{
    uint32_t n = 1;

    (void)arg;
    while (atomic_load(&arming)) {
        n = n * 1103515245 + 12345;
        (void)native->bell_arm(native->ctx, d.handle,
                               base + at_bell((n >> 16) % BELLS), page);
    }
    return NULL;
}

static void start_readers(pthread_t *threads)
{
    atomic_store(&done, false);
    atomic_store(&corrupt, false);
    for (uint32_t i = 0; i < READERS; i++) {
        first[i] = i * 3;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all, &first[i]),
                         0);
    }
}

static void join_readers(pthread_t *threads)
{
    atomic_store(&done, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}

static void pause_ms(long ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

START_TEST(readers_find_the_bytes_while_bells_are_armed)
{
    pthread_t readers[READERS], armer;

    if (!can_ring("readers_find_the_bytes_while_bells_are_armed"))
        return;
    start();
    start_readers(readers);
    atomic_store(&arming, true);
    ck_assert_int_eq(pthread_create(&armer, NULL, arm_all, NULL), 0);
    pause_ms(1000);
    atomic_store(&arming, false);
    pthread_join(armer, NULL);
    pause_ms(100);
    gov__doorbells_stop(&d);
    join_readers(readers);
    ck_assert_msg(!atomic_load(&corrupt), "a reader found other bytes");
    ck_assert_uint_gt(atomic_load(&d.rings), 100);
    ck_assert_uint_eq(atomic_load(&d.failures), 0);
    ck_assert_uint_eq(copies(), 0);
}
END_TEST

START_TEST(readers_find_the_bytes_during_start_and_stop)
{
    pthread_t readers[READERS];
    uint64_t begin = now_us();
    uint64_t rings = 0, turns = 0, failures = 0;

    if (!can_ring("readers_find_the_bytes_during_start_and_stop"))
        return;
    start_readers(readers);
    while (now_us() - begin < 1000000) {
        lay_out(BELLS);
        start();
        /* Every other time it is stopped at once. */
        while (turns % 2 == 0 && atomic_load(&d.rings) == 0)
            pause_ms(0);
        gov__doorbells_stop(&d);
        rings += atomic_load(&d.rings);
        turns++;
        failures += atomic_load(&d.failures);
    }
    join_readers(readers);
    ck_assert_msg(!atomic_load(&corrupt), "a reader found other bytes");
    ck_assert_uint_eq(failures, 0);
    ck_assert_uint_ge(rings, turns / 2);
    ck_assert_uint_eq(copies(), 0);
}
END_TEST

/* The trap: a page that is there before its bytes are. Readers must see it, or the
 * two tests above prove nothing. */
static int lay_zeros(void *ctx, int handle, void *at, size_t bytes)
{
    void *staged;
    int rc = native->stage(native->ctx, at, bytes, &staged);

    (void)ctx;
    if (rc == 0)
        rc = native->place(native->ctx, staged, bytes, at);
    return rc != 0 ? rc : native->bell_lay(native->ctx, handle, at, bytes);
}

static int answer_too_early(void *ctx, int handle, void *at, const void *bytes,
                            size_t count)
{
    static const unsigned char zeros[PAGE_MOST];
    size_t offset = (size_t)((unsigned char *)at - base);
    uint64_t begin = now_us();
    int rc = native->bell_answer(native->ctx, handle, at, zeros, count);
    void *out;

    (void)ctx;
    (void)bytes;
    while (!atomic_load(&corrupt) && now_us() - begin < 10000)
        pause_ms(0);
    return rc != 0 ? rc
                   : native->map_file(native->ctx, file.fd, offset, count, at,
                                      &out);
}

START_TEST(a_page_before_its_bytes_is_caught)
{
    pthread_t readers[READERS];
    uint64_t begin = now_us();

    if (!can_ring("a_page_before_its_bytes_is_caught"))
        return;
    table.bell_lay = lay_zeros;
    table.bell_answer = answer_too_early;
    start();
    start_readers(readers);
    while (!atomic_load(&corrupt) && now_us() - begin < 5000000)
        pause_ms(1);
    gov__doorbells_stop(&d);
    join_readers(readers);
    ck_assert_msg(atomic_load(&corrupt), "zeros went unseen");
}
END_TEST

/* ---- stop ---------------------------------------------------------------------- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void ring_at_the_gate(void *ctx, uint32_t unit)
{
    on_ring(ctx, unit);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void *read_one(void *arg)
{
    uint32_t bell = *(uint32_t *)arg;

    if (!is_exact(at_bell(bell)))
        atomic_store(&corrupt, true);
    return NULL;
}

static void *stop_them(void *arg)
{
    (void)arg;
    gov__doorbells_stop(&d);
    return NULL;
}

static void await_waiter(void)
{
    struct pollfd waits = {.fd = d.handle, .events = POLLIN};

    ck_assert_int_eq(poll(&waits, 1, 10000), 1);
}

/* Two threads a bell wait while the bells' thread is held up in a ring, and the
 * stop with them. */
START_TEST(stop_lets_waiters_in)
{
    pthread_t waiters[2 * BELLS], stopper;

    if (!can_ring("stop_lets_waiters_in"))
        return;
    d.rang = ring_at_the_gate;
    start();
    pthread_mutex_lock(&gate);
    touch(0);
    for (uint32_t i = 2; i < 2 * BELLS; i++) {
        first[i] = i / 2;
        ck_assert_int_eq(pthread_create(&waiters[i], NULL, read_one, &first[i]),
                         0);
    }
    await_waiter();
    ck_assert_int_eq(pthread_create(&stopper, NULL, stop_them, NULL), 0);
    pause_ms(20);
    pthread_mutex_unlock(&gate);
    pthread_join(stopper, NULL);
    for (uint32_t i = 2; i < 2 * BELLS; i++)
        pthread_join(waiters[i], NULL);
    ck_assert(!atomic_load(&corrupt));
    ck_assert(all_exact());
    ck_assert_uint_eq(copies(), 0);
}
END_TEST

START_TEST(stop_takes_no_time)
{
    uint64_t best = UINT64_MAX;

    if (!can_ring("stop_takes_no_time"))
        return;
    for (int i = 0; i < 10; i++) {
        uint64_t begin, took;

        lay_out(BELLS);
        start();
        touch(0);
        begin = now_us();
        gov__doorbells_stop(&d);
        took = now_us() - begin;
        best = took < best ? took : best;
    }
    ck_assert_uint_lt(best, 50000);
    gov__doorbells_stop(&d); /* again: nothing */
}
END_TEST

static int run_once(int fail_at, bool forever, bool stopping)
{
    int rc;

    lay_out(BELLS);
    spy_reset();
    atomic_store(&spy.forever, forever);
    atomic_store(&spy.at, stopping ? NEVER : fail_at);
    rc = gov__doorbells_start(&d);
    if (!stopping)
        atomic_store(&spy.at, NEVER);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < BELLS / 2; i++)
        touch(i);
    if (stopping) {
        /* All rings are done with when the next one is answered. */
        touch(BELLS - 1);
        while (atomic_load(&d.rings) < BELLS / 2 + 1)
            pause_ms(1);
        pause_ms(2);
        atomic_store(&spy.calls, 0);
        atomic_store(&spy.at, fail_at);
    }
    gov__doorbells_stop(&d);
    atomic_store(&spy.at, NEVER);
    return 0;
}

/* _i: for good. Calls of a start that fails are counted on: those that undo it
 * may fail, too. */
START_TEST(a_start_that_fails_leaves_the_file)
{
    const int starting = 2 + (int)BELLS + 1;
    int calls, failed = 0;

    if (!can_ring("a_start_that_fails_leaves_the_file"))
        return;
    ck_assert_int_eq(gov__doorbells_start(&d), 0);
    calls = atomic_load(&spy.calls);
    gov__doorbells_stop(&d);
    ck_assert_int_eq(calls, starting);
    for (int n = 0; n < calls; n++) {
        int rc = run_once(n, _i != 0, false);

        ck_assert_msg(rc == EIO, "call %d: %d", n, rc);
        ck_assert_msg(all_exact(), "call %d: other bytes", n);
        ck_assert_msg(_i != 0 || copies() == 0, "call %d leaves a copy", n);
        ck_assert_ptr_null(d.bytes);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        gov__doorbells_stop(&d); /* was not started: nothing */
        failed++;
    }
    ck_assert_int_eq(failed, calls);
}
END_TEST

/* And each system call below. */
START_TEST(a_start_fails_where_a_system_call_does)
{
    const uint32_t pages = 2 * BELLS;
    uint64_t calls, failed = 0;

    if (!can_ring("a_start_fails_where_a_system_call_does"))
        return;
    faults_only("pread,pthread_create,mmap,mremap,mprotect,madvise,ioctl,"
                "syscall");
    faults_arm(FAULTS_NEVER, false);
    start();
    calls = faults_count();
    gov__doorbells_stop(&d);
    ck_assert_uint_gt(calls, pages);
    for (uint64_t n = 0; n < calls; n++) {
        int rc;

        lay_out(BELLS);
        faults_arm(n, false);
        rc = gov__doorbells_start(&d);
        faults_disarm();
        failed += rc != 0;
        ck_assert_msg(all_exact(), "%s %d: other bytes", faults_last(), (int)n);
        gov__doorbells_stop(&d);
        ck_assert_msg(copies() == 0, "%s %d leaves a copy", faults_last(),
                      (int)n);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        /* Which is tried again. */
        ck_assert_msg(rc != 0 || strcmp(faults_last(), "mremap") == 0,
                      "%s %d was swallowed", faults_last(), (int)n);
    }
    ck_assert_uint_gt(failed, pages);
}
END_TEST

START_TEST(a_stop_that_is_refused_shows_the_bytes)
{
    const int stopping = 2 * (int)BELLS + 1;
    int calls;

    if (!can_ring("a_stop_that_is_refused_shows_the_bytes"))
        return;
    ck_assert_int_eq(run_once(NEVER, false, true), 0);
    calls = atomic_load(&spy.calls);
    ck_assert_int_eq(calls, stopping);
    for (int n = 0; n < calls; n++) {
        ck_assert_int_eq(run_once(n, false, true), 0);
        ck_assert_msg(all_exact(), "call %d: other bytes", n);
        ck_assert_uint_eq(atomic_load(&d.failures), 1);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        /* One mapping was refused, and is a copy: the next stop maps it. */
        ck_assert_uint_le(copies(), 1);
    }
}
END_TEST

/* No page and no mapping is to be had for a while. */
START_TEST(a_stop_waits_rather_than_show_zeros)
{
    if (!can_ring("a_stop_waits_rather_than_show_zeros"))
        return;
    start();
    atomic_store(&spy.refusals, 14);
    gov__doorbells_stop(&d);
    ck_assert_int_eq(atomic_load(&spy.refused), 14);
    ck_assert(all_exact());
    ck_assert_uint_eq(copies(), 0);
    ck_assert_uint_eq(atomic_load(&d.failures), 14);
}
END_TEST

/* ---- when the system refuses --------------------------------------------------- */

START_TEST(a_thread_that_cannot_wait_maps_the_file)
{
    if (!can_ring("a_thread_that_cannot_wait_maps_the_file"))
        return;
    start();
    atomic_store(&spy.only_wait, true);
    touch(3); /* is answered by its end */
    while (!atomic_load(&d.over))
        pause_ms(1);
    ck_assert_uint_eq(copies(), 0);
    ck_assert_uint_eq(atomic_load(&heard_count), 0);
    ck_assert_uint_eq(atomic_load(&d.failures), 1);
    gov__doorbells_stop(&d);
    ck_assert(all_exact());
}
END_TEST

START_TEST(a_ring_that_cannot_be_answered_maps_the_file)
{
    if (!can_ring("a_ring_that_cannot_be_answered_maps_the_file"))
        return;
    start();
    touch(0);
    atomic_store(&spy.only_answer, true);
    touch(1);
    while (!atomic_load(&d.over))
        pause_ms(1);
    ck_assert_uint_eq(copies(), 0);
    touch(2);
    gov__doorbells_stop(&d);
    ck_assert_uint_eq(atomic_load(&heard_count), 1);
    ck_assert(all_exact());
}
END_TEST

START_TEST(what_cannot_be_mapped_stays_a_copy)
{
    if (!can_ring("what_cannot_be_mapped_stays_a_copy"))
        return;
    start();
    atomic_store(&spy.only_map_file, true);
    gov__doorbells_stop(&d);
    ck_assert(all_exact());
    ck_assert_uint_eq(copies(), BELLS);
    ck_assert_uint_eq(atomic_load(&d.failures), BELLS);
}
END_TEST

START_TEST(it_is_forbidden)
{
    atomic_store(&spy.at, 1); /* bell_open */
    atomic_store(&spy.error, EPERM);
    ck_assert_int_eq(gov__doorbells_start(&d), EPERM);
    ck_assert(all_exact());
    lay_out(0);
    ck_assert_int_eq(gov__doorbells_start(&d), EINVAL);
}
END_TEST

START_TEST(a_file_that_is_cut)
{
    if (!can_ring("a_file_that_is_cut"))
        return;
    /* Within the last bell's page. */
    ck_assert_int_eq(ftruncate(file.fd, (off_t)(at_bell(BELLS - 1) + page / 2)),
                     0);
    ck_assert_int_eq(gov__doorbells_start(&d), EIO);
    for (size_t at = 0; at < at_bell(BELLS - 1); at += page)
        ck_assert(is_exact(at));
    ck_assert_int_eq(pwrite(file.fd, reference, file_bytes, 0),
                     (ssize_t)file_bytes);

    /* Under bells that are armed. */
    start();
    ck_assert_int_eq(ftruncate(file.fd, 0), 0);
    for (uint32_t i = 0; i < BELLS; i++)
        touch(i);
    gov__doorbells_stop(&d);
    ck_assert_int_eq(pwrite(file.fd, reference, file_bytes, 0),
                     (ssize_t)file_bytes);
    ck_assert(all_exact());
}
END_TEST

START_TEST(a_file_that_cannot_be_read)
{
    int fd = file.fd;

    if (!can_ring("a_file_that_cannot_be_read"))
        return;
    file.fd = -1;
    ck_assert_int_eq(gov__doorbells_start(&d), EBADF);
    file.fd = fd;
    ck_assert(all_exact());
}
END_TEST

/* ---- placing -------------------------------------------------------------------- */

#define KIB ((uint64_t)1 << 10)

/* Tensors of F32 with `floats` numbers, in order of offset. */
static const struct place_case {
    const char *what;
    struct {
        const char *name;
        uint64_t floats;
    } tensors[6];
    const char *unit_of; /* the unit that holds this one */
    const char *want;    /* NULL: no place */
    uint64_t page;
} places[] = {
    {"the norm comes first, wherever it lies",
     {{"blk.0.ffn_down.weight", 8 * KIB},
      {"blk.0.attn_q.weight", 8 * KIB},
      {"blk.0.attn_norm.weight", 4 * KIB}},
     "blk.0.attn_q.weight",
     "blk.0.attn_norm.weight",
     4096},
    {"then what reads it, if the norm is small",
     {{"blk.3.attn_norm.weight", 256},
      {"blk.3.ffn_down.weight", 8 * KIB},
      {"blk.3.attn_k.weight", 8 * KIB},
      {"blk.3.attn_q.weight", 8 * KIB}},
     "blk.3.attn_q.weight",
     "blk.3.attn_q.weight",
     4096},
    {"fused",
     {{"blk.0.attn_output.weight", 8 * KIB},
      {"blk.0.attn_qkv.bias", 512},
      {"blk.0.attn_qkv.weight", 8 * KIB}},
     "blk.0.attn_qkv.weight",
     "blk.0.attn_qkv.weight",
     4096},
    {"latent",
     {{"blk.0.attn_kv_a_mqa.weight", 8 * KIB},
      {"blk.0.attn_output.weight", 8 * KIB},
      {"blk.0.attn_q_a.weight", 8 * KIB}},
     "blk.0.attn_q_a.weight",
     "blk.0.attn_q_a.weight",
     4096},
    {"recurrent",
     {{"blk.0.ssm_out.weight", 8 * KIB},
      {"blk.0.ssm_a", 8 * KIB},
      {"blk.0.ssm_in.weight", 8 * KIB}},
     "blk.0.ssm_in.weight",
     "blk.0.ssm_in.weight",
     4096},
    {"rwkv",
     {{"blk.0.channel_mix_key.weight", 8 * KIB},
      {"blk.0.time_mix_output.weight", 8 * KIB},
      {"blk.0.time_mix_lerp_x.weight", 4 * KIB}},
     "blk.0.time_mix_output.weight",
     "blk.0.time_mix_lerp_x.weight",
     4096},
    {"convolutional",
     {{"blk.0.ffn_up.weight", 8 * KIB},
      {"blk.0.shortconv.out_proj.weight", 8 * KIB},
      {"blk.0.shortconv.in_proj.weight", 8 * KIB}},
     "blk.0.ffn_up.weight",
     "blk.0.shortconv.in_proj.weight",
     4096},
    {"an encoder's layer",
     {{"enc.blk.0.ffn_up.weight", 8 * KIB},
      {"enc.blk.0.attn_q.weight", 8 * KIB}},
     "enc.blk.0.attn_q.weight",
     "enc.blk.0.attn_q.weight",
     4096},
    {"unknown names: the first that holds a page",
     {{"blk.0.zeta.weight", 900},
      {"blk.0.eta.weight", 8 * KIB},
      {"blk.0.alpha.weight", 8 * KIB}},
     "blk.0.eta.weight",
     "blk.0.eta.weight",
     4096},
    {"too small for any page",
     {{"blk.0.attn_norm.weight", 512}, {"blk.0.attn_q.weight", 512}},
     "blk.0.attn_q.weight",
     NULL,
     4096},
    {"longer than a page, and yet none is inside",
     {{"blk.0.pad.weight", 24}, {"blk.0.attn_norm.weight", 1030}},
     "blk.0.attn_norm.weight",
     NULL,
     4096},
    {"larger pages",
     {{"blk.0.attn_norm.weight", 4 * KIB}, {"blk.0.attn_q.weight", 32 * KIB}},
     "blk.0.attn_q.weight",
     "blk.0.attn_q.weight",
     65536},
    {"the output matrix",
     {{"blk.0.attn_q.weight", 8 * KIB},
      {"cls.weight", 8 * KIB},
      {"output_norm.weight", 256},
      {"output.weight", 8 * KIB}},
     "output.weight",
     "output.weight",
     4096},
    {"rows that are looked up",
     {{"token_embd.weight", 8 * KIB}, {"blk.0.attn_q.weight", 8 * KIB}},
     "token_embd.weight",
     NULL,
     4096},
    {"experts that may not be used",
     {{"blk.0.attn_q.weight", 8 * KIB}, {"blk.0.ffn_up_exps.weight", 8 * KIB}},
     "blk.0.ffn_up_exps.weight",
     NULL,
     4096},
    {"beside experts",
     {{"blk.0.ffn_up_exps.weight", 8 * KIB}, {"blk.0.attn_q.weight", 8 * KIB}},
     "blk.0.attn_q.weight",
     "blk.0.attn_q.weight",
     4096},
};

static const struct gov_tensor *tensor_of(const gov_model *model,
                                          const char *name)
{
    size_t count;
    const struct gov_tensor *tensors = gov_model_tensors(model, &count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static gov_model *open_places(const struct place_case *c)
{
    struct gguf_writer w;
    gov_model *model;
    gov_error err;

    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    for (size_t i = 0; i < 6 && c->tensors[i].name != NULL; i++)
        gguf_add(&w, c->tensors[i].name, T_F32, c->tensors[i].floats, 0);
    gguf_finish(&w);
    gguf_save(&w, path, w.file_bytes);
    gguf_free(&w);
    ck_assert_msg(gov_model_open(&model, path, NULL, &err) == GOV_OK, "%s",
                  err.message);
    return model;
}

START_TEST(bells_are_placed_on_what_is_used_first)
{
    const struct place_case *c = &places[_i];
    const struct gov_tensor *want;
    uint64_t offset = 1;
    gov_model *model;
    bool placed;

    snprintf(path, sizeof(path), "%s/m.gguf", fresh_directory());
    model = open_places(c);
    placed = gov__doorbell_place(model, tensor_of(model, c->unit_of)->unit,
                                 c->page, &offset);
    ck_assert_msg(placed == (c->want != NULL), "%s", c->what);
    if (placed) {
        want = tensor_of(model, c->want);
        ck_assert_msg(offset == gov__round_up(want->file_offset, c->page),
                      "%s: other tensor", c->what);
        ck_assert_uint_le(offset + c->page, want->file_offset + want->bytes);
    } else {
        ck_assert_uint_eq(offset, 1);
    }
    ck_assert(!gov__doorbell_place(model, 1000, c->page, &offset));
    gov_model_close(model);
    drop_directory();
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("doorbell");
    TCase *tc = tcase_create("bells");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, rings_are_told_in_order);
    tcase_add_test(tc, a_bell_rings_again_once_another_rang);
    tcase_add_test(tc, a_single_bell_rings_once);
    tcase_add_test(tc, a_ring_that_comes_twice_is_told_once);
    tcase_add_test(tc, what_was_not_armed_is_armed_with_the_next_ring);
    tcase_add_test(tc, readers_find_the_bytes_while_bells_are_armed);
    tcase_add_test(tc, readers_find_the_bytes_during_start_and_stop);
    tcase_add_test(tc, a_page_before_its_bytes_is_caught);
    tcase_add_test(tc, stop_lets_waiters_in);
    tcase_add_test(tc, stop_takes_no_time);
    tcase_add_loop_test(tc, a_start_that_fails_leaves_the_file, 0, 2);
    tcase_add_test(tc, a_start_fails_where_a_system_call_does);
    tcase_add_test(tc, a_stop_that_is_refused_shows_the_bytes);
    tcase_add_test(tc, a_stop_waits_rather_than_show_zeros);
    tcase_add_test(tc, a_thread_that_cannot_wait_maps_the_file);
    tcase_add_test(tc, a_ring_that_cannot_be_answered_maps_the_file);
    tcase_add_test(tc, what_cannot_be_mapped_stays_a_copy);
    tcase_add_test(tc, it_is_forbidden);
    tcase_add_test(tc, a_file_that_is_cut);
    tcase_add_test(tc, a_file_that_cannot_be_read);
    suite_add_tcase(s, tc);
    tc = tcase_create("places");
    tcase_add_loop_test(tc, bells_are_placed_on_what_is_used_first, 0,
                        sizeof(places) / sizeof(places[0]));
    suite_add_tcase(s, tc);
    return s;
}
