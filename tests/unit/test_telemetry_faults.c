/* SPDX-License-Identifier: MIT */
/* Disks that are full or fail, calls that fail: whatever goes wrong, it is told, what
 * was acknowledged before is there after, and nothing is damaged. What SQLite does to
 * files goes through a shim of its interface to the system, which fails the n-th of
 * its calls, once or from there on. */
#include <errno.h>

#include "tests/unit/telemetry_fixture.h"

/* ---- the shim ------------------------------------------------------------------- */

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static struct {
    sqlite3_vfs vfs, *real;
    uint64_t calls, at;
    bool for_ever;
    int code; /* that failing ones return; 0: IOERR of their own */
    const char *failed;
} shim;

static bool fails(const char *what)
{
    const uint64_t n = shim.calls++;

    if (n != shim.at && !(shim.for_ever && n > shim.at))
        return false;
    if (n == shim.at)
        shim.failed = what;
    return true;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)(void *)file)->real;
}

static int answer(int own)
{
    return shim.code != 0 ? shim.code : own;
}

static int shim_close(sqlite3_file *f)
{
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int shim_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    if (shim.code == 0 && fails("read"))
        return SQLITE_IOERR_READ;
    return real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

/* A full disk takes a part. */
static int shim_write(sqlite3_file *f, const void *from, int n,
                      sqlite3_int64 at)
{
    if (!fails("write"))
        return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
    (void)real_of(f)->pMethods->xWrite(real_of(f), from, n / 2, at);
    return answer(SQLITE_IOERR_WRITE);
}

static int shim_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fails("truncate")
               ? SQLITE_IOERR_TRUNCATE
               : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

/* None is done: what a process leaves is there without it, and it takes long. */
static int shim_sync(sqlite3_file *f, int flags)
{
    (void)f;
    (void)flags;
    return fails("sync") ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int shim_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int shim_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int shim_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int shim_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int shim_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int shim_sector(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int shim_traits(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int shim_map(sqlite3_file *f, int region, int bytes, int extend,
                    void volatile **out)
{
    if (fails("shm")) {
        *out = NULL;
        return answer(SQLITE_IOERR_SHMMAP);
    }
    return real_of(f)->pMethods->xShmMap(real_of(f), region, bytes, extend,
                                         out);
}

static int shim_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void shim_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int shim_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static int shim_open(sqlite3_vfs *vfs, sqlite3_filename name,
                     sqlite3_file *file, int flags, int *out)
{
    static const sqlite3_io_methods methods = {2,
                                               shim_close,
                                               shim_read,
                                               shim_write,
                                               shim_truncate,
                                               shim_sync,
                                               shim_size,
                                               shim_lock,
                                               shim_unlock,
                                               shim_reserved,
                                               shim_control,
                                               shim_sector,
                                               shim_traits,
                                               shim_map,
                                               shim_shm_lock,
                                               shim_barrier,
                                               shim_unmap,
                                               NULL,
                                               NULL};
    struct shim_file *own = (struct shim_file *)(void *)file;
    int rc;

    (void)vfs;
    memset(own, 0, sizeof(*own));
    if (fails("open"))
        return SQLITE_CANTOPEN;
    own->real = (sqlite3_file *)(void *)(own + 1);
    rc = shim.real->xOpen(shim.real, name, own->real, flags, out);
    if (rc == SQLITE_OK)
        file->pMethods = &methods;
    return rc;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return fails("delete") ? SQLITE_IOERR_DELETE
                           : shim.real->xDelete(shim.real, name, sync);
}

static void shim_on(uint64_t at, bool for_ever, int code)
{
    shim.calls = 0;
    shim.at = at;
    shim.for_ever = for_ever;
    shim.code = code;
    shim.failed = "none";
}

static void shim_register(void)
{
    fresh();
    shim.real = sqlite3_vfs_find(NULL);
    shim.vfs = *shim.real;
    shim.vfs.zName = "failing";
    shim.vfs.szOsFile += (int)sizeof(struct shim_file);
    shim.vfs.xOpen = shim_open;
    shim.vfs.xDelete = shim_delete;
    shim_on(UINT64_MAX, false, 0);
    ck_assert_int_eq(sqlite3_vfs_register(&shim.vfs, 1), SQLITE_OK);
}

static void shim_unregister(void)
{
    shim_on(UINT64_MAX, false, 0);
    gov_telemetry_close(t);
    t = NULL;
    ck_assert_int_eq(sqlite3_vfs_register(shim.real, 1), SQLITE_OK);
    ck_assert_int_eq(sqlite3_vfs_unregister(&shim.vfs), SQLITE_OK);
    drop_directory();
}

/* ---- what must hold whatever fails ------------------------------------------------ */

static struct {
    int acknowledged, tried;
    gov_status status; /* the first that was none of GOV_OK */
} ran;

/* Opens, writes so often, closes. */
static void run(int batches)
{
    gov_status status = gov_telemetry_open(&t, path, MIB, faults_alloc(), &err);

    for (int i = 0; i < batches && status == GOV_OK; i++) {
        ran.tried++;
        status = write_random(40, 2);
        ran.acknowledged += status == GOV_OK;
    }
    ran.status = status;
    gov_telemetry_close(t);
    t = NULL;
}

/* After it the disk is well again. */
static void check_what_is_left(uint64_t n)
{
    int64_t rows;

    ck_assert_msg(ran.status == GOV_OK || err.message[0] != '\0',
                  "fault %" PRIu64 " is mute", n);
    ck_assert_int_eq(faults_live_blocks(), 0);
    err.message[0] = '\0';
    open_writer(MIB);
    ck_assert_msg(write_random(40, 2) == GOV_OK, "after fault %" PRIu64 ": %s",
                  n, err.message);
    shut();
    rows = raw_number("SELECT count(*) FROM request");
    ck_assert_msg(rows >= 40 * (ran.acknowledged + 1) &&
                      rows <= 40 * (ran.tried + 1),
                  "fault %" PRIu64 ": %" PRId64 " rows of %d batches", n, rows,
                  ran.acknowledged);
    check_counts();
}

static const struct {
    int code;
    bool for_ever;
    int found; /* an errno that is told */
} failing[] = {
    {0, false, 0},
    {0, true, 0},
    {SQLITE_FULL, false, ENOSPC},
    {SQLITE_FULL, true, ENOSPC},
};

static uint64_t count_calls(void)
{
    shim_on(UINT64_MAX, false, 0);
    run(3);
    ck_assert_int_eq(ran.status, GOV_OK);
    return shim.calls;
}

START_TEST(disk_fails)
{
    const uint64_t calls = count_calls();
    int told = 0, full = 0;

    ck_assert_uint_gt(calls, 20);
    for (uint64_t n = 0; n < calls; n++) {
        fresh();
        memset(&ran, 0, sizeof(ran));
        shim_on(n, failing[_i].for_ever, failing[_i].code);
        run(3);
        told += ran.status != GOV_OK;
        if (strcmp(shim.failed, "write") == 0 && failing[_i].found != 0) {
            full += ran.status == GOV_E_IO && err.os_errno == failing[_i].found;
            /* The log's copy and its end are put off, and not lost. */
            ck_assert_msg(ran.status == GOV_E_IO || ran.acknowledged == 3,
                          "%d: %s", (int)ran.status, err.message);
        }
        shim_on(UINT64_MAX, false, 0);
        check_what_is_left(n);
    }
    ck_assert_int_gt(told, 5);
    ck_assert(failing[_i].found == 0 || full > 3);
}
END_TEST

/* One that fails while it is open goes on when the disk is well, as it is. */
START_TEST(goes_on)
{
    open_writer(MIB);
    ck_assert_int_eq(write_random(40, 2), GOV_OK);
    shim_on(0, true, SQLITE_FULL);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(write_random(40, 2), GOV_E_IO);
        ck_assert_int_eq(err.os_errno, ENOSPC);
        ck_assert_ptr_nonnull(strstr(err.message, "free some space"));
    }
    shim_on(UINT64_MAX, false, 0);
    ck_assert_int_eq(write_random(40, 2), GOV_OK);
    shut();
    ck_assert_int_eq(raw_number("SELECT count(*) FROM request"), 80);
    check_counts();
}
END_TEST

/* While the oldest rows go, too: for a limit that is met at each batch. */
START_TEST(fails_while_trimming)
{
    int told = 0;

    open_writer(MIB);
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(write_random(100, 4), GOV_OK);
    for (uint64_t n = 0; n < 120; n++) {
        shim_on(n, n % 2 != 0, n % 4 < 2 ? SQLITE_FULL : 0);
        told += write_random(100, 4) != GOV_OK;
        shim_on(UINT64_MAX, false, 0);
        if (n % 10 != 0)
            continue;
        shut();
        check_counts();
        open_writer(MIB);
    }
    ck_assert_int_gt(told, 20);
    shut();
    check_counts();
}
END_TEST

/* ---- calls of our own ---------------------------------------------------------------- */

START_TEST(calls_fail)
{
    static const char calls[] = "lstat,chmod,mkdir,realpath,alloc";
    uint64_t count, absorbed = 0;

    faults_reset();
    faults_only(calls);
    run(1);
    count = faults_count();
    ck_assert_uint_gt(count, 5);
    for (uint64_t n = 0; n < count; n++) {
        fresh();
        memset(&ran, 0, sizeof(ran));
        faults_only(calls);
        faults_arm(n, _i != 0);
        run(1);
        ck_assert_str_ne(faults_last(), "none");
        /* The size of a file that cannot be asked for is none; a directory that is
         * there need not be made. */
        if (ran.status == GOV_OK) {
            ck_assert(strcmp(faults_last(), "lstat") == 0 ||
                      strcmp(faults_last(), "mkdir") == 0);
            absorbed++;
        }
        faults_reset();
        check_what_is_left(n);
    }
    ck_assert_uint_lt(absorbed, count);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("telemetry_faults");
    TCase *disk = tcase_create("disk"), *calls = tcase_create("calls");

    tcase_add_checked_fixture(disk, shim_register, shim_unregister);
    tcase_add_loop_test(disk, disk_fails, 0,
                        sizeof(failing) / sizeof(failing[0]));
    tcase_add_test(disk, goes_on);
    tcase_add_test(disk, fails_while_trimming);
    tcase_set_timeout(disk, 600);
    suite_add_tcase(s, disk);
    tcase_add_checked_fixture(calls, fresh, drop_directory);
    tcase_add_loop_test(calls, calls_fail, 0, 2);
    tcase_set_timeout(calls, 300);
    suite_add_tcase(s, calls);
    return s;
}
