/* SPDX-License-Identifier: MIT */
/* The spill directory where something fails: every call in turn, a disk that is
 * full, one that gives back something else, a file that is taken away. Whatever
 * happens there is the older state or the new one, and nothing else is left. */
#include "tests/unit/spill_fixture.h"

#define CALLS                                                                  \
    "alloc,open,openat,mkdir,chmod,fchmod,fstat,lstat,fstatat,pread,write,"    \
    "fsync,lseek,mmap,renameat,unlinkat,flock,fstatvfs,realpath,fdopendir,"    \
    "readdir,fcntl"
#define OLD 3000
#define NEW 5000
#define NOTE 10

/* ---- every call in turn -------------------------------------------------------------- */

static gov_status do_open(void)
{
    gov_spill *other;
    gov_status status = open_at(&other, directory, 0, 0, 1);

    gov_spill_close(other);
    return status;
}

/* Where there is no directory yet. */
static gov_status do_make(void)
{
    char path[450];
    gov_spill *other;
    gov_status status;

    snprintf(path, sizeof(path), "%s.made", directory);
    status = open_at(&other, path, 0, 0, 1);
    gov_spill_close(other);
    rmdir(path);
    return status;
}

static gov_status do_put(void)
{
    return put("s", 5, NEW, NOTE);
}

static gov_status do_check(void)
{
    return check("s");
}

static gov_status do_note(void)
{
    unsigned char note[NOTE];

    return gov_spill_note(spill, "s", note, NOTE, NULL, &err);
}

static gov_status do_remove(void)
{
    return gov_spill_remove(spill, "s", &err);
}

/* Says nothing of what failed. */
static gov_status do_list(void)
{
    struct gov_spill_state out[2];
    uint64_t used, quota;

    gov_spill_usage(spill, &used, &quota);
    gov_spill_cool(spill, "s");
    return gov_spill_list(spill, out, 2) == 1 ? GOV_OK : GOV_E_NOT_FOUND;
}

static const struct {
    const char *name;
    gov_status (*run)(void);
    uint64_t least;        /* calls that can fail */
    const char *swallowed; /* may fail, and all goes well */
} acts[] = {
    {"open", do_open, 8,
     "openat,fdopendir,readdir,fstatat,flock,unlinkat,mkdir"},
    {"make", do_make, 8, "openat,fdopendir,readdir,fstatat"},
    {"put", do_put, 25, "fcntl,fstatvfs,unlinkat"},
    {"check", do_check, 5, ""},
    {"note", do_note, 4, ""},
    {"remove", do_remove, 1, ""},
    {"list", do_list, 6, CALLS},
};

static bool in_list(const char *list, const char *name)
{
    const char *at = strstr(list, name);
    const size_t bytes = strlen(name);

    return at != NULL && (at == list || at[-1] == ',') &&
           (at[bytes] == ',' || at[bytes] == '\0');
}

static void look_after(size_t act, uint64_t n, gov_status status, bool ever)
{
    const char *call = faults_last();
    const bool directory_sync = act == 2 && strcmp(call, "fsync") == 0 &&
                                strstr(err.message, "is in its place") != NULL;

    if (status == GOV_OK) {
        ck_assert_msg(in_list(acts[act].swallowed, call),
                      "%s: %s (%d) was swallowed", acts[act].name, call,
                      (int)n);
    } else if (act != 6) {
        ck_assert_msg(err.message[0] != '\0', "%s: %s is mute", acts[act].name,
                      call);
        ck_assert_int_eq(err.status, status);
        ck_assert_msg(strcmp(call, "alloc") != 0 || status == GOV_E_NOMEM,
                      "%s: %s", acts[act].name, err.message);
    }
    /* Who could not remove it: the next who opens does. */
    ck_assert_msg(files_of(".draft") == 0 || (ever && act == 2) ||
                      strcmp(call, "unlinkat") == 0,
                  "%s: %s left a draft", acts[act].name, call);
    reopen(0, 0);
    nothing_is_left();
    if (act == 5 && (status == GOV_OK || strcmp(call, "fsync") == 0))
        ck_assert_int_eq(check("s"), GOV_E_NOT_FOUND);
    else if (act == 2 && (status == GOV_OK || directory_sync))
        ck_assert(has("s", 5, NEW, NOTE));
    else
        ck_assert_msg(has("s", 1, OLD, NOTE), "%s: %s: %s", acts[act].name,
                      call, err.message);
}

static void fail_each(size_t act, bool ever, int number)
{
    uint64_t calls = 1;

    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_reset();
        ck_assert_int_eq(put("s", 1, OLD, NOTE), GOV_OK);
        faults_only(CALLS);
        if (n == 0) {
            faults_arm(FAULTS_NEVER, false);
            ck_assert_int_eq(acts[act].run(), GOV_OK);
            calls = faults_count();
            ck_assert_msg(calls >= acts[act].least, "%s: %d calls",
                          acts[act].name, (int)calls);
            faults_reset();
            ck_assert_int_eq(put("s", 1, OLD, NOTE), GOV_OK);
            faults_only(CALLS);
        }
        faults_set_errno(number);
        memset(&err, 0, sizeof(err));
        faults_arm(n, ever);
        status = acts[act].run();
        faults_disarm();
        look_after(act, n, status, ever);
    }
}

START_TEST(each_call_fails_once)
{
    fail_each((size_t)_i, false, EIO);
}
END_TEST

START_TEST(each_call_fails_for_good)
{
    fail_each((size_t)_i, true, EIO);
}
END_TEST

START_TEST(each_call_is_refused)
{
    fail_each((size_t)_i, false, EACCES);
}
END_TEST

/* ---- what is said of what ------------------------------------------------------------ */

static const struct {
    const char *call;
    uint64_t n;
    int number;
    gov_status status;
    const char *says; /* in it */
} sentences[] = {
    {"write", 0, ENOSPC, GOV_E_BUSY, "cannot write s to "},
    {"write", 0, EDQUOT, GOV_E_BUSY, "cannot write s to "},
    {"write", 3, ENOSPC, GOV_E_BUSY, "cannot write s to "},
    {"fsync", 0, ENOSPC, GOV_E_BUSY, "cannot write s to "},
    {"fsync", 0, EIO, GOV_E_IO, "cannot write s to "},
    {"fsync", 1, EIO, GOV_E_IO, "s is in its place in "},
    {"openat", 1, ENOSPC, GOV_E_BUSY, "cannot make a file in "},
    {"openat", 1, EACCES, GOV_E_PERMISSION, "cannot make a file in "},
    {"flock", 0, ENOLCK, GOV_E_IO, "No locks available"},
    {"renameat", 0, ENOSPC, GOV_E_BUSY, "cannot put s into its place in "},
    {"renameat", 0, EIO, GOV_E_IO, "cannot put s into its place in "},
    {"pread", 0, EIO, GOV_E_IO, "cannot write s to "},
    {"pread", 1, EIO, GOV_E_IO, "cannot read s back from "},
    {"pread", 3, EIO, GOV_E_IO, "cannot read s back from "},
    {"readdir", 0, EIO, GOV_E_IO, "cannot list "},
    {"fdopendir", 0, ENOMEM, GOV_E_IO, "cannot list "},
    {"mmap", 0, ENOMEM, GOV_E_NOMEM, "no memory to read s back"},
    {"alloc", 0, ENOMEM, GOV_E_NOMEM, "no memory to write s"},
    {"lstat", 0, EIO, GOV_E_IO, "cannot examine "},
};

START_TEST(says_what_failed)
{
    ck_assert_int_eq(put("s", 1, OLD, NOTE), GOV_OK);
    faults_only(sentences[_i].call);
    faults_set_errno(sentences[_i].number);
    faults_arm(sentences[_i].n, false);
    ck_assert_int_eq(put("s", 5, NEW, NOTE), sentences[_i].status);
    faults_disarm();
    ck_assert_str_eq(faults_last(), sentences[_i].call);
    ck_assert_int_eq(err.os_errno, sentences[_i].status == GOV_E_NOMEM
                                       ? 0
                                       : sentences[_i].number);
    ck_assert_msg(strstr(err.message, sentences[_i].says) != NULL, "%s",
                  err.message);
    nothing_is_left();
    /* It was in its place by then, and is not said to be stored. */
    if (strcmp(sentences[_i].call, "fsync") == 0 && sentences[_i].n == 1)
        ck_assert(has("s", 5, NEW, NOTE));
    else
        ck_assert(has("s", 1, OLD, NOTE));
}
END_TEST

/* A file system that has no such call for directories. */
START_TEST(a_directory_that_cannot_be_synced)
{
    faults_only("fsync");
    faults_set_errno(EINVAL);
    faults_arm(1, false);
    ck_assert_int_eq(put("s", 5, NEW, NOTE), GOV_OK);
    ck_assert_str_eq(faults_last(), "fsync");
}
END_TEST

/* ---- in parts ------------------------------------------------------------------------ */

/* No multiple of anything, and one of what direct reads are. */
START_TEST(moved_in_parts)
{
    static const size_t parts[] = {1, 7, 1000, 4096, 65536};
    const size_t bytes = _i < 2 ? 2000 : 2500000;

    faults_move_at_most(parts[_i]);
    ck_assert_msg(put("a", 1, bytes, 333) == GOV_OK, "%s", err.message);
    ck_assert(has("a", 1, bytes, 333));
}
END_TEST

START_TEST(interrupted)
{
    const char *calls[] = {"write", "pread"};

    for (uint64_t n = 0; n < 4; n++) {
        faults_only(calls[_i]);
        faults_set_errno(EINTR);
        faults_arm(n, false);
        ck_assert_int_eq(put("a", 1, 5000, 333), GOV_OK);
        ck_assert_str_eq(faults_last(), calls[_i]);
        faults_arm(n < 3 ? n : 2, false);
        ck_assert(has("a", 1, 5000, 333));
        faults_disarm();
    }
}
END_TEST

static int direct_rc;

static int set_direct(void *ctx, int fd, bool direct)
{
    (void)ctx;
    (void)fd;
    (void)direct;
    return direct_rc;
}

/* A file system without direct reads, and ones that say so late: at any read. */
START_TEST(no_direct_reads)
{
    table.set_direct = set_direct;
    direct_rc = ENOTSUP;
    ck_assert_int_eq(put("a", 1, 3000000, 333), GOV_OK);
    direct_rc = 0;
    faults_only("pread");
    faults_set_errno(EINVAL);
    for (uint64_t n = 3; n < 7; n++) { /* the first three are before */
        faults_arm(n, false);
        ck_assert_msg(put("a", 1, 3000000, 333) == GOV_OK, "%s", err.message);
        ck_assert_str_eq(faults_last(), "pread");
    }
    faults_disarm();
    ck_assert(has("a", 1, 3000000, 333));
}
END_TEST

/* ---- a disk that gives back something else --------------------------------------------- */

static int reads, lies_at;
static off_t spoilt;

static void spoil(int fd, uint64_t offset, size_t bytes)
{
    unsigned char byte;

    (void)offset;
    (void)bytes;
    if (reads++ != lies_at)
        return;
    faults_watch_pread(NULL);
    /* Through another descriptor: this one reads directly. */
    {
        char path[64];
        int other;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        other = open(path, O_RDWR);
        ck_assert_int_ge(other, 0);
        ck_assert_int_eq(pread(other, &byte, 1, spoilt), 1);
        byte ^= 4;
        ck_assert_int_eq(pwrite(other, &byte, 1, spoilt), 1);
        close(other);
    }
}

/* In the state, the note, the name and the trailer. Read 0 is of what was written,
 * the next are what came back. */
START_TEST(what_comes_back_is_something_else)
{
    static const off_t places[] = {0,
                                   NEW - 1,
                                   NEW,
                                   NEW + NOTE - 1,
                                   NEW + NOTE,
                                   NEW + NOTE + 1,
                                   NEW + NOTE + 88};

    ck_assert_int_eq(put("s", 1, OLD, NOTE), GOV_OK);
    reads = 0;
    lies_at = 1;
    spoilt = places[_i];
    faults_watch_pread(spoil);
    ck_assert_int_eq(put("s", 5, NEW, NOTE), GOV_E_FORMAT);
    ck_assert_msg(strstr(err.message, "s came back from the disk of ") != NULL,
                  "%s", err.message);
    ck_assert(has("s", 1, OLD, NOTE));
    nothing_is_left();
}
END_TEST

/* ---- a file that is taken away -------------------------------------------------------- */

static void take_away(gov_spill_draft *draft, int how)
{
    const char *path = gov_spill_draft_path(draft);
    char other[GOV_SPILL_PATH_BYTES + 8];
    FILE *file;

    snprintf(other, sizeof(other), "%s.else", directory);
    switch (how) {
    case 0:
        ck_assert_int_eq(unlink(path), 0);
        break;
    case 1: /* replaced */
        file = fopen(other, "w");
        ck_assert_ptr_nonnull(file);
        fclose(file);
        ck_assert_int_eq(rename(other, path), 0);
        break;
    case 2: /* somebody else has it, too */
        ck_assert_int_eq(link(path, other), 0);
        break;
    case 3: /* the directory is another one: what an engine writes is there */
        ck_assert_int_eq(rename(directory, other), 0);
        ck_assert_int_eq(mkdir(directory, 0700), 0);
        file = fopen(path, "wb");
        ck_assert_ptr_nonnull(file);
        fclose(file);
        break;
    default:
        break;
    }
}

START_TEST(taken_away_while_written)
{
    gov_spill_draft *draft;

    ck_assert_int_eq(put("s", 1, OLD, NOTE), GOV_OK);
    ck_assert_int_eq(draft_of(&draft, "s", 5, NEW), GOV_OK);
    take_away(draft, _i);
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_E_IO);
    ck_assert_msg(strstr(err.message, _i == 0 ? "cannot examine "
                                              : " was replaced while it was "
                                                "written") != NULL,
                  "%s", err.message);
    if (_i == 3)
        reopen(0, 0); /* sweeps what the engine wrote there */
    else
        ck_assert(has("s", 1, OLD, NOTE));
}
END_TEST

/* What could not be written is not stored in part. */
START_TEST(a_failed_write_is_not_committed)
{
    gov_spill_draft *draft;

    ck_assert_int_eq(put("s", 1, OLD, NOTE), GOV_OK);
    ck_assert_int_eq(draft_of(&draft, "s", 5, NEW), GOV_OK);
    faults_only("write");
    faults_arm(0, false);
    ck_assert_int_eq(gov_spill_write(draft, "more", 4, &err), GOV_E_IO);
    faults_disarm();
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_E_IO);
    ck_assert_str_eq(err.message, "s was not written to its end");
    ck_assert(has("s", 1, OLD, NOTE));
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("spill_faults");
    TCase *tests = tcase_create("all");
    const int count = (int)(sizeof(acts) / sizeof(acts[0]));

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, each_call_fails_once, 0, count);
    tcase_add_loop_test(tests, each_call_fails_for_good, 0, count);
    tcase_add_loop_test(tests, each_call_is_refused, 0, count);
    tcase_add_loop_test(tests, says_what_failed, 0,
                        sizeof(sentences) / sizeof(sentences[0]));
    tcase_add_test(tests, a_directory_that_cannot_be_synced);
    tcase_add_loop_test(tests, moved_in_parts, 0, 5);
    tcase_add_loop_test(tests, interrupted, 0, 2);
    tcase_add_test(tests, no_direct_reads);
    tcase_add_loop_test(tests, what_comes_back_is_something_else, 0, 7);
    tcase_add_loop_test(tests, taken_away_while_written, 0, 4);
    tcase_add_test(tests, a_failed_write_is_not_committed);
    suite_add_tcase(s, tests);
    return s;
}
