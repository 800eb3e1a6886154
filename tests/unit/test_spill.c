/* SPDX-License-Identifier: MIT */
/* The spill directory: what is stored comes back, and nothing else does; whose the
 * directory is, how much it takes, and who else may use it. */
#include <inttypes.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/unit/spill_fixture.h"

#define MIB ((size_t)1 << 20)

/* ---- there and back ---------------------------------------------------------------- */

/* Lengths around those of pages and of what is read at once. */
static const struct {
    size_t bytes, note_bytes;
} lengths[] = {
    {0, 0},
    {0, 5},
    {1, 0},
    {4096, 100},
    {4095, 1},
    {MIB, 0},
    {MIB - 3, 5},
    {MIB + 1, 4096},
    {3 * MIB + 17, MIB + 3},
    {MIB - 100, GOV_SPILL_NOTE_BYTES},
};

START_TEST(comes_back)
{
    const size_t bytes = lengths[_i].bytes, note = lengths[_i].note_bytes;

    ck_assert_msg(put("a", 1, bytes, note) == GOV_OK, "%s", err.message);
    ck_assert(has("a", 1, bytes, note));
    reopen(0, 0);
    ck_assert(has("a", 1, bytes, note));
    ck_assert_int_eq(files_of(""), 1);
}
END_TEST

/* An engine writes it, from its first byte on, over what was there. */
START_TEST(written_by_its_path)
{
    unsigned char *state = bytes_of(7, 2 * MIB);
    gov_spill_draft *draft;
    uint64_t stored = 0;
    FILE *file;

    ck_assert_int_eq(draft_of(&draft, "a", 9, 3 * MIB), GOV_OK);
    file = fopen(gov_spill_draft_path(draft), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(state, 1, 2 * MIB - 5, file), 2 * MIB - 5);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(gov_spill_write(draft, state + 2 * MIB - 5, 5, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_spill_commit(draft, "x", 1, &stored, &err), GOV_OK);
    ck_assert_uint_eq(stored, 2 * MIB + 2 + sizeof(struct gov__spill_trailer));
    ck_assert(same_bytes(path_of("a"), 7, 2 * MIB));
    ck_assert_int_eq(check("a"), GOV_OK);
    free(state);
}
END_TEST

START_TEST(a_note_in_part)
{
    unsigned char note[16];
    struct gov_spill_state state;

    ck_assert_int_eq(put("a", 1, 100, 10), GOV_OK);
    memset(note, 0xEE, sizeof(note));
    ck_assert_int_eq(gov_spill_note(spill, "a", note, 4, &state, &err), GOV_OK);
    ck_assert_uint_eq(note[3], byte_of(2, 3));
    ck_assert_uint_eq(note[4], 0xEE);
    ck_assert_int_eq(gov_spill_note(spill, "a", note, 16, NULL, &err), GOV_OK);
    ck_assert_uint_eq(note[9], byte_of(2, 9));
    ck_assert_uint_eq(note[10], 0xEE);
    ck_assert_int_eq(gov_spill_note(spill, "a", NULL, 0, NULL, &err), GOV_OK);
    ck_assert_uint_eq(state.file_bytes, 100 + 10 + 1 + 88);
    ck_assert_int_le(state.stored_at, time(NULL));
    ck_assert_int_gt(state.stored_at, time(NULL) - 100);
}
END_TEST

START_TEST(any_name)
{
    char longest[GOV_SPILL_NAME_BYTES + 1];
    const char *names[] = {"a/b/../c", "..",   "a\nb\x1b[2J", longest,
                           "ä \xff",   ".hid", "%s%n",        "A"};
    gov_spill_draft *draft;

    memset(longest, 'n', sizeof(longest));
    longest[127] = '\0';
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(put(names[i], i, 10 + i, i), GOV_OK);
    for (unsigned i = 0; i < 8; i++)
        ck_assert(has(names[i], i, 10 + i, i));
    ck_assert_int_eq(files_of(".state"), 8);
    longest[127] = 'n';
    longest[128] = '\0';
    ck_assert_int_eq(gov_spill_begin(spill, longest, 1, &draft, &err),
                     GOV_E_INVALID);
    ck_assert_ptr_null(draft);
    ck_assert_str_eq(err.message, "the name of a state has 1 to 127 bytes");
    ck_assert_int_eq(gov_spill_begin(spill, "", 1, &draft, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_spill_begin(spill, NULL, 1, &draft, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(check(longest), GOV_E_NOT_FOUND);
    ck_assert_int_eq(check(""), GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_spill_remove(spill, "", &err), GOV_E_NOT_FOUND);
    gov_spill_cool(spill, "");
    gov_spill_cool(spill, "A");
    gov_spill_cool(spill, "none");
    /* A sentence is one line whatever the name. */
    ck_assert_int_eq(check("no\nne"), GOV_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "stored as no?ne in "));
}
END_TEST

START_TEST(replaced)
{
    ck_assert_int_eq(put("a", 1, 3000, 10), GOV_OK);
    ck_assert_int_eq(put("b", 2, 3000, 10), GOV_OK);
    ck_assert_int_eq(put("a", 3, 50, 0), GOV_OK);
    ck_assert(has("a", 3, 50, 0));
    ck_assert(has("b", 2, 3000, 10));
    ck_assert_int_eq(files_of(""), 2);
}
END_TEST

START_TEST(an_older_state_stays_until_the_commit)
{
    gov_spill_draft *draft;

    ck_assert_int_eq(put("a", 1, 3000, 10), GOV_OK);
    ck_assert_int_eq(draft_of(&draft, "a", 2, 5000), GOV_OK);
    ck_assert(has("a", 1, 3000, 10));
    gov_spill_drop(draft);
    gov_spill_drop(NULL);
    ck_assert(has("a", 1, 3000, 10));
}
END_TEST

START_TEST(a_note_too_long)
{
    gov_spill_draft *draft;

    ck_assert_int_eq(put("a", 1, 30, 10), GOV_OK);
    ck_assert_int_eq(draft_of(&draft, "a", 2, 50), GOV_OK);
    ck_assert_int_eq(
        gov_spill_commit(draft, "", GOV_SPILL_NOTE_BYTES + 1, NULL, &err),
        GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "the note of a has 8388609 bytes, more than 8388608");
    ck_assert(has("a", 1, 30, 10));
}
END_TEST

START_TEST(removed)
{
    ck_assert_int_eq(put("a", 1, 3000, 10), GOV_OK);
    ck_assert_int_eq(put("b", 2, 3000, 10), GOV_OK);
    ck_assert_int_eq(gov_spill_remove(spill, "a", &err), GOV_OK);
    ck_assert_int_eq(check("a"), GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_spill_remove(spill, "a", &err), GOV_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "nothing is stored as a in "));
    ck_assert(has("b", 2, 3000, 10));
    ck_assert_int_eq(files_of(""), 1);
}
END_TEST

/* ---- all of them -------------------------------------------------------------------- */

/* As if stored then. */
static void date(const char *name, int64_t when)
{
    struct gov__spill_trailer t;
    const char *path = path_of(name);
    int fd = open(path, O_RDWR);
    off_t at = lseek(fd, -(off_t)sizeof(t), SEEK_END);

    ck_assert_int_eq(pread(fd, &t, sizeof(t), at), sizeof(t));
    t.stored_at = when;
    gov__spill_seal(&t);
    ck_assert_int_eq(pwrite(fd, &t, sizeof(t), at), sizeof(t));
    close(fd);
}

START_TEST(the_newest_are_listed)
{
    static const int order[] = {3, 7, 1, 0, 9, 4, 8, 2, 6, 5};
    struct gov_spill_state out[12];
    char name[8];
    int fd;

    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "n%d", order[i]);
        ck_assert_int_eq(put(name, i, 10, i), GOV_OK);
        date(name, 1000 - order[i] / 2); /* two at a time: then by name */
    }
    for (size_t room = 0; room <= 12; room++) {
        memset(out, 0xEE, sizeof(out));
        ck_assert_uint_eq(gov_spill_list(spill, out, room), 10);
        for (size_t i = 0; i < room && i < 10; i++) {
            snprintf(name, sizeof(name), "n%zu", i);
            ck_assert_str_eq(out[i].name, name);
            ck_assert_int_eq(out[i].stored_at, 1000 - (int)i / 2);
            ck_assert_uint_eq(out[i].state_bytes, 10);
        }
        for (size_t i = room < 10 ? room : 10; i < 12; i++)
            ck_assert_uint_eq((unsigned char)out[i].name[0], 0xEE);
    }
    ck_assert_uint_eq(gov_spill_list(spill, NULL, 0), 10);
    /* A damaged one is left out. */
    fd = open(path_of("n4"), O_WRONLY);
    ck_assert_int_eq(ftruncate(fd, 50), 0);
    close(fd);
    ck_assert_uint_eq(gov_spill_list(spill, out, 12), 9);
    ck_assert_str_eq(out[4].name, "n5");
}
END_TEST

/* ---- limits -------------------------------------------------------------------------- */

#define OWN (1 + sizeof(struct gov__spill_trailer)) /* of a state called "a" */

START_TEST(one_file_has_a_limit)
{
    char want[600];
    gov_spill_draft *draft;

    reopen(0, 1000000);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 1000001, &draft, &err),
                     GOV_E_INVALID);
    snprintf(want, sizeof(want),
             "a needs 1.0 MB, more than the 1.0 MB that one state may take in "
             "%s",
             directory);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(put("a", 1, 1000000 - OWN, 0), GOV_OK);
    /* What was written counts, whatever was announced. */
    ck_assert_int_eq(put("a", 2, 1000000 - OWN + 1, 0), GOV_E_BUSY);
    ck_assert(has("a", 1, 1000000 - OWN, 0));
}
END_TEST

START_TEST(all_files_have_a_quota)
{
    gov_spill_draft *draft, *other;
    uint64_t used, quota;
    char want[600];

    reopen(10000000, 0);
    ck_assert_int_eq(put("b", 1, 4000000 - OWN, 0), GOV_OK);
    /* One that was announced and not written. */
    ck_assert_int_eq(gov_spill_begin(spill, "a", 5000000, &draft, &err),
                     GOV_OK);
    gov_spill_usage(spill, &used, &quota);
    ck_assert_uint_eq(used, 9000000);
    ck_assert_uint_eq(quota, 10000000);
    ck_assert_int_eq(gov_spill_begin(spill, "c", 1000001, &other, &err),
                     GOV_E_BUSY);
    ck_assert_ptr_null(other);
    snprintf(want, sizeof(want),
             "c needs 1.0 MB, and %s has 9.0 MB of its quota of 10.0 MB; erase "
             "conversations, or raise the quota",
             directory);
    ck_assert_str_eq(err.message, want);
    ck_assert_int_eq(gov_spill_begin(spill, "c", 1000000, &other, &err),
                     GOV_OK);
    gov_spill_drop(other);
    gov_spill_drop(draft);
    gov_spill_usage(spill, &used, &quota);
    ck_assert_uint_eq(used, 4000000);
    /* A draft that becomes longer than it was to be. */
    ck_assert_int_eq(gov_spill_begin(spill, "a", 10, &draft, &err), GOV_OK);
    for (int i = 0; i < 6; i++) {
        unsigned char *block = bytes_of(1, 1000000);

        ck_assert_int_eq(gov_spill_write(draft, block, 1000000, &err), GOV_OK);
        free(block);
    }
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_E_BUSY);
    ck_assert_int_eq(check("a"), GOV_E_NOT_FOUND);
    ck_assert_int_eq(put("a", 1, 6000000 - OWN, 0), GOV_OK);
    ck_assert_int_eq(put("c", 1, 1, 0), GOV_E_BUSY);
    ck_assert_int_eq(gov_spill_remove(spill, "b", &err), GOV_OK);
    ck_assert_int_eq(put("c", 1, 1, 0), GOV_OK);
    /* No sum of lengths passes over. */
    reopen(10000000, UINT64_MAX);
    ck_assert_int_eq(gov_spill_begin(spill, "d", UINT64_MAX - 5, &draft, &err),
                     GOV_E_BUSY);
    ck_assert_ptr_nonnull(strstr(err.message, " of its quota of "));
}
END_TEST

/* Whoever wrote them: others' files, and more than the quota is now. */
START_TEST(foreign_files_count)
{
    uint64_t used, quota;
    gov_spill_draft *draft;
    char path[500];
    FILE *file;

    snprintf(path, sizeof(path), "%s/somebody's", directory);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(ftruncate(fileno(file), 9000), 0);
    fclose(file);
    reopen(8000, 0);
    gov_spill_usage(spill, &used, &quota);
    ck_assert_uint_eq(used, 9000);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 0, &draft, &err), GOV_E_BUSY);
    ck_assert_uint_eq(gov_spill_list(spill, NULL, 0), 0);
    gov_spill_close(spill);
    spill = NULL;
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(the_file_system_keeps_some)
{
    gov_spill_draft *draft;

    gov_spill_close(spill);
    ck_assert_int_eq(open_at(&spill, directory, 0, 0, UINT64_MAX), GOV_OK);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 1000000, &draft, &err),
                     GOV_E_BUSY);
    ck_assert_msg(strncmp(err.message,
                          "a needs 1.0 MB, and the file system of ", 39) == 0,
                  "%s", err.message);
    ck_assert_ptr_nonnull(strstr(err.message, " are for others; make room"));
    /* Not to know is no reason: writing will tell. */
    faults_only("fstatvfs");
    faults_arm(0, false);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 1000000, &draft, &err),
                     GOV_OK);
    gov_spill_drop(draft);
}
END_TEST

/* What is announced is as good as written. */
START_TEST(the_file_system_has_it_once)
{
    gov_spill_draft *draft, *other;
    struct statvfs fs;
    uint64_t left;

    ck_assert_int_eq(statvfs(directory, &fs), 0);
    left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (left < 1000 * MIB) { /* else others may take what this counts on */
        skip_test("the_file_system_has_it_once", "less than 1 GiB is free");
        return;
    }
    gov_spill_close(spill);
    ck_assert_int_eq(open_at(&spill, directory, UINT64_MAX, 0, left / 2),
                     GOV_OK);
    ck_assert_int_eq(gov_spill_begin(spill, "a", left / 4, &draft, &err),
                     GOV_OK);
    ck_assert_int_eq(gov_spill_begin(spill, "b", left / 8 * 3, &other, &err),
                     GOV_E_BUSY);
    ck_assert_ptr_nonnull(strstr(err.message, " are for others; make room"));
    gov_spill_drop(draft);
    ck_assert_int_eq(gov_spill_begin(spill, "b", left / 8 * 3, &other, &err),
                     GOV_OK);
    gov_spill_drop(other);
}
END_TEST

struct beginner {
    pthread_t thread;
    pthread_barrier_t *together;
    gov_spill_draft *draft;
    char name[8];
};

static void *begin_one(void *data)
{
    struct beginner *b = data;
    gov_error why;

    pthread_barrier_wait(b->together);
    if (gov_spill_begin(spill, b->name, 40000, &b->draft, &why) != GOV_OK)
        b->draft = NULL;
    return NULL;
}

/* Two of four find room, however close they are. */
START_TEST(room_is_given_once)
{
    struct beginner all[4];
    pthread_barrier_t together;

    reopen(100000, 0);
    for (int round = 0; round < 200; round++) {
        int began = 0;

        ck_assert_int_eq(pthread_barrier_init(&together, NULL, 4), 0);
        for (int i = 0; i < 4; i++) {
            all[i].together = &together;
            snprintf(all[i].name, sizeof(all[i].name), "b%d", i);
            ck_assert_int_eq(
                pthread_create(&all[i].thread, NULL, begin_one, &all[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(pthread_join(all[i].thread, NULL), 0);
            began += all[i].draft != NULL;
        }
        for (int i = 0; i < 4; i++)
            gov_spill_drop(all[i].draft);
        pthread_barrier_destroy(&together);
        ck_assert_int_eq(began, 2);
    }
}
END_TEST

/* SIGXFSZ would end the process. */
START_TEST(the_process_has_a_limit)
{
    struct rlimit before, now;
    unsigned char *block = bytes_of(1, 3000000);
    gov_spill_draft *draft, *other;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    now = before;
    now.rlim_cur = 2000000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &now), 0);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 2000001, &draft, &err),
                     GOV_E_BUSY);
    ck_assert_str_eq(err.message,
                     "a needs 2.0 MB, and this process may write files of 2.0 "
                     "MB (ulimit -f); raise that limit");
    ck_assert_int_eq(gov_spill_begin(spill, "a", 10, &draft, &err), GOV_OK);
    ck_assert_int_eq(gov_spill_write(draft, block, 1500000, &err), GOV_OK);
    ck_assert_int_eq(gov_spill_write(draft, block, 500001, &err), GOV_E_IO);
    ck_assert_int_eq(err.os_errno, EFBIG);
    /* It is not whole. */
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_E_IO);
    ck_assert_str_eq(err.message, "a was not written to its end");
    ck_assert_int_eq(check("a"), GOV_E_NOT_FOUND);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 10, &other, &err), GOV_OK);
    ck_assert_int_eq(gov_spill_write(other, block, 2000000, &err), GOV_OK);
    ck_assert_int_eq(gov_spill_commit(other, NULL, 0, NULL, &err), GOV_E_BUSY);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    free(block);
}
END_TEST

/* ---- whose it is --------------------------------------------------------------------- */

static unsigned mode_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(lstat(path, &st), 0);
    return (unsigned)st.st_mode & 07777;
}

START_TEST(its_owners_alone)
{
    static const mode_t masks[] = {0, 022, 077, 0277, 0777};
    mode_t before = umask(masks[_i]);
    gov_spill_draft *draft;

    gov_spill_close(spill);
    ck_assert_int_eq(rmdir(directory), 0);
    ck_assert_int_eq(open_at(&spill, directory, 0, 0, 1), GOV_OK);
    ck_assert_uint_eq(mode_of(directory), 0700);
    ck_assert_int_eq(draft_of(&draft, "a", 1, 10), GOV_OK);
    ck_assert_uint_eq(mode_of(gov_spill_draft_path(draft)), 0600);
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_OK);
    ck_assert_uint_eq(mode_of(path_of("a")), 0600);
    umask(before);
}
END_TEST

START_TEST(others_may_use_it)
{
    static const mode_t modes[] = {0755, 0770, 0701, 0710, 0704, 0777};
    gov_spill *other;
    char want[600];

    ck_assert_int_eq(chmod(directory, modes[_i]), 0);
    ck_assert_int_eq(open_at(&other, directory, 0, 0, 1), GOV_E_PERMISSION);
    ck_assert_ptr_null(other);
    snprintf(want, sizeof(want),
             "%s may be used by others (mode %03o); chmod 700 it, or name "
             "another directory for conversations",
             directory, (unsigned)modes[_i]);
    ck_assert_str_eq(err.message, want);
}
END_TEST

START_TEST(somebody_elses)
{
    gov_spill *other;

    if (geteuid() != 0) {
        skip_test("somebody_elses", "only root can give a directory away");
        return;
    }
    ck_assert_int_eq(chown(directory, 12345, 12345), 0);
    ck_assert_int_eq(open_at(&other, directory, 0, 0, 1), GOV_E_PERMISSION);
    ck_assert_ptr_null(other);
    ck_assert_ptr_nonnull(strstr(err.message, " belongs to another user; "));
}
END_TEST

/* A link, with a slash behind it too; a file; a FIFO, which must not hold us up. */
START_TEST(no_directory)
{
    char path[450];
    gov_spill *other;
    FILE *file;

    snprintf(path, sizeof(path), "%s.else", directory);
    switch (_i) {
    case 0:
    case 1:
        ck_assert_int_eq(symlink(directory, path), 0);
        break;
    case 2:
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fclose(file);
        break;
    default:
        ck_assert_int_eq(mkfifo(path, 0600), 0);
    }
    if (_i == 1)
        strcat(path, "//");
    ck_assert_int_eq(open_at(&other, path, 0, 0, 1), GOV_E_PERMISSION);
    ck_assert_ptr_null(other);
    ck_assert_ptr_nonnull(
        strstr(err.message, " is no directory, or a link to one; "));
}
END_TEST

START_TEST(a_path_that_does_not_do)
{
    struct gov_spill_options options = gov_spill_options_default();
    char path[1200];
    gov_spill *other;

    snprintf(path, sizeof(path), "%s/none/there", directory);
    ck_assert_int_eq(open_at(&other, path, 0, 0, 1), GOV_E_IO);
    ck_assert_int_eq(err.os_errno, ENOENT);
    ck_assert_int_eq(open_at(&other, "", 0, 0, 1), GOV_E_INVALID);
    ck_assert_int_eq(open_at(&other, NULL, 0, 0, 1), GOV_E_INVALID);
    ck_assert_int_eq(gov_spill_open(&other, NULL, &err), GOV_E_INVALID);
    options.directory = directory;
    options.size--;
    ck_assert_int_eq(gov_spill_open(&other, &options, &err), GOV_E_INVALID);
    memset(path, 'd', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(open_at(&other, path, 0, 0, 1), GOV_E_INVALID);
    ck_assert_ptr_nonnull(
        strstr(err.message, " bytes, more than the 943 that"));
    ck_assert_ptr_null(other);
}
END_TEST

/* The longest path there is room for, with the longest names in it; one more is
 * refused, also where only what a relative path stands for is as long. */
START_TEST(the_longest_path)
{
    char path[1100], here[500];
    gov_spill *other;
    gov_spill_draft *draft;
    size_t bytes = strlen(directory);

    gov_spill_close(spill);
    spill = NULL;
    memcpy(path, directory, bytes + 1);
    while (bytes < 943) {
        size_t part = 943 - bytes - 1 < 200 ? 943 - bytes - 1 : 200;

        part -= 943 - bytes - 1 - part == 1; /* a name has a byte */
        path[bytes] = '/';
        memset(path + bytes + 1, 'd', part);
        bytes += part + 1;
        path[bytes] = '\0';
        if (bytes < 943)
            ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    ck_assert_int_eq(open_at(&spill, path, 0, 0, 1), GOV_OK);
    ck_assert_int_eq(draft_of(&draft, "a", 1, 10), GOV_OK);
    ck_assert_int_eq(access(gov_spill_draft_path(draft), F_OK), 0);
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_OK);
    ck_assert(has("a", 1, 10, 0));
    ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
    ck_assert_int_eq(chdir(path), 0);
    ck_assert_int_eq(open_at(&other, "e", 0, 0, 1), GOV_E_INVALID);
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

START_TEST(a_relative_path)
{
    char here[500];

    ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
    ck_assert_int_eq(chdir(directory), 0);
    gov_spill_close(spill);
    ck_assert_int_eq(open_at(&spill, ".//", 0, 0, 1), GOV_OK);
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_str_eq(gov_spill_directory(spill), directory);
    ck_assert_int_eq(put("a", 1, 10, 10), GOV_OK);
    ck_assert(has("a", 1, 10, 10));
}
END_TEST

/* ---- what is no state of ours -------------------------------------------------------- */

START_TEST(something_else_is_there)
{
    const char *path = path_of("a");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char target[500];
    FILE *file;
    int fd;

    snprintf(target, sizeof(target), "%s/target", directory);
    switch (_i) {
    case 0:
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        break;
    case 1: /* to a good one */
        ck_assert_int_eq(put("a", 1, 10, 10), GOV_OK);
        ck_assert_int_eq(rename(path, target), 0);
        ck_assert_int_eq(symlink(target, path), 0);
        break;
    case 2:
        ck_assert_int_eq(mkdir(path, 0700), 0);
        break;
    case 3:
        file = fopen(path, "w");
        fclose(file);
        break;
    case 4:
        file = fopen(path, "w");
        for (int i = 0; i < 1000; i++)
            fprintf(file, "none of ours\n");
        fclose(file);
        break;
    default:
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (strlen(path) >= sizeof(address.sun_path)) {
            skip_test("something_else_is_there", "TMPDIR is too long a path");
            close(fd);
            return;
        }
        memcpy(address.sun_path, path, strlen(path) + 1);
        ck_assert_int_eq(bind(fd, (void *)&address, sizeof(address)), 0);
        close(fd);
    }
    ck_assert_int_eq(check("a"), GOV_E_FORMAT);
    ck_assert_ptr_nonnull(
        strstr(err.message, " is damaged, or no state; remove it"));
    ck_assert_int_eq(gov_spill_note(spill, "a", NULL, 0, NULL, &err),
                     GOV_E_FORMAT);
    ck_assert_uint_eq(gov_spill_list(spill, NULL, 0), 0);
    gov_spill_cool(spill, "a");
    if (_i == 2) {
        ck_assert_int_eq(put("a", 2, 10, 10), GOV_E_IO);
        ck_assert_int_eq(gov_spill_remove(spill, "a", &err), GOV_E_IO);
        ck_assert_int_eq(rmdir(path), 0);
    } else if (_i % 2 == 0) {
        ck_assert_int_eq(gov_spill_remove(spill, "a", &err), GOV_OK);
    }
    ck_assert_int_eq(put("a", 2, 10, 10), GOV_OK);
    ck_assert(has("a", 2, 10, 10));
}
END_TEST

/* A whole small file in memory, and put back with other bytes. */
static unsigned char whole[1000];
static size_t whole_bytes;

static void read_whole(void)
{
    FILE *file = fopen(path_of("a"), "rb");

    ck_assert_ptr_nonnull(file);
    whole_bytes = fread(whole, 1, sizeof(whole), file);
    fclose(file);
}

static void plant(size_t bytes)
{
    FILE *file = fopen(path_of("a"), "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(whole, 1, bytes, file), bytes);
    fclose(file);
}

static void is_refused(const char *what, size_t at)
{
    const gov_status status = check("a");

    ck_assert_msg(status == GOV_E_FORMAT || status == GOV_E_UNSUPPORTED,
                  "%s %zu: %s", what, at, gov_status_text(status));
    ck_assert_str_ne(err.message, "");
}

#define SMALL 40
#define SMALL_NOTE 20

START_TEST(every_byte_counts)
{
    unsigned char note[SMALL_NOTE], *want = bytes_of(2, SMALL_NOTE);
    struct gov_spill_state state;

    ck_assert_int_eq(put("a", 1, SMALL, SMALL_NOTE), GOV_OK);
    read_whole();
    ck_assert_uint_eq(whole_bytes, SMALL + SMALL_NOTE + 1 + 88);
    for (size_t i = 0; i < whole_bytes; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            gov_status status;

            whole[i] ^= (unsigned char)(1 << bit);
            plant(whole_bytes);
            is_refused("byte", i);
            /* The note alone may be right. */
            memset(note, 0, sizeof(note));
            status = gov_spill_note(spill, "a", note, sizeof(note), NULL, &err);
            ck_assert_int_eq(status == GOV_OK, i < SMALL);
            ck_assert(status != GOV_OK || memcmp(note, want, SMALL_NOTE) == 0);
            for (size_t n = 0; status != GOV_OK && n < SMALL_NOTE; n++)
                ck_assert_uint_eq(note[n], 0);
            if (gov_spill_list(spill, &state, 1) == 1)
                ck_assert_str_eq(state.name, "a");
            whole[i] ^= (unsigned char)(1 << bit);
        }
    plant(whole_bytes);
    ck_assert(has("a", 1, SMALL, SMALL_NOTE));
    free(want);
}
END_TEST

START_TEST(every_length_counts)
{
    ck_assert_int_eq(put("a", 1, SMALL, SMALL_NOTE), GOV_OK);
    read_whole();
    for (size_t bytes = 0; bytes < whole_bytes; bytes++) {
        plant(bytes);
        is_refused("length", bytes);
        ck_assert_uint_eq(gov_spill_list(spill, NULL, 0), 0);
    }
    for (size_t bytes = whole_bytes + 1; bytes < whole_bytes + 100; bytes++) {
        whole[bytes - 1] = (unsigned char)bytes;
        plant(bytes);
        is_refused("length", bytes);
    }
    /* All of it is right, and there is more between its name and its trailer. */
    memmove(whole + whole_bytes - 87, whole + whole_bytes - 88, 88);
    plant(whole_bytes + 1);
    is_refused("length", whole_bytes + 1);
    /* Or before it. */
    memmove(whole + 1, whole, whole_bytes);
    plant(whole_bytes + 1);
    is_refused("length", whole_bytes + 1);
}
END_TEST

/* What its sum is right for, and is no less wrong: of a later version, or with
 * lengths that do not fit the file. */
START_TEST(a_sum_is_no_excuse)
{
    struct gov__spill_trailer t;
    gov_status want = GOV_E_FORMAT;

    ck_assert_int_eq(put("a", 1, SMALL, SMALL_NOTE), GOV_OK);
    read_whole();
    memcpy(&t, whole + whole_bytes - sizeof(t), sizeof(t));
    switch (_i) {
    case 0:
        t.version = 2;
        want = GOV_E_UNSUPPORTED;
        break;
    case 1:
        t.bytes = 80;
        want = GOV_E_UNSUPPORTED;
        break;
    case 2:
        t.name_bytes = 0;
        t.note_bytes++;
        break;
    case 3:
        t.state_bytes = UINT64_MAX;
        t.note_bytes = SMALL + SMALL_NOTE + 1;
        break;
    case 4:
        t.note_bytes = UINT64_MAX - SMALL;
        break;
    case 5:
        t.name_bytes = UINT64_MAX;
        t.state_bytes += 2;
        break;
    case 6:
        t.name_bytes = 2; /* "a" and a byte of nothing */
        t.note_bytes--;
        break;
    case 7:
        t.name_bytes = GOV_SPILL_NAME_BYTES;
        break;
    case 8:
        t.magic++;
        break;
    default:
        want = GOV_OK;
    }
    t.own_sum = XXH3_64bits(&t, offsetof(struct gov__spill_trailer, own_sum));
    memcpy(whole + whole_bytes - sizeof(t), &t, sizeof(t));
    plant(whole_bytes);
    ck_assert_int_eq(check("a"), want);
    ck_assert_int_eq(gov_spill_note(spill, "a", NULL, 0, NULL, &err), want);
    ck_assert_uint_eq(gov_spill_list(spill, NULL, 0), want == GOV_OK);
    if (want == GOV_E_UNSUPPORTED)
        ck_assert_ptr_nonnull(strstr(err.message, "by another version"));
}
END_TEST

/* All its sums are right; no reader need have memory for more. */
START_TEST(a_note_beyond_the_limit)
{
    struct gov__spill_trailer t;
    struct gov__spill_sum sum;
    unsigned char *note = bytes_of(1, GOV_SPILL_NOTE_BYTES + 1);
    FILE *file;

    for (size_t bytes = GOV_SPILL_NOTE_BYTES + 1; bytes >= GOV_SPILL_NOTE_BYTES;
         bytes--) {
        ck_assert_int_eq(put("a", 1, 0, 0), GOV_OK);
        read_whole();
        memcpy(&t, whole + whole_bytes - sizeof(t), sizeof(t));
        gov__spill_sum_two(note, bytes, "a", 1, &sum);
        memcpy(t.tail_sum, sum.half, sizeof(sum.half));
        t.note_bytes = bytes;
        gov__spill_seal(&t);
        file = fopen(path_of("a"), "wb");
        ck_assert_ptr_nonnull(file);
        ck_assert_uint_eq(fwrite(note, 1, bytes, file), bytes);
        ck_assert_uint_eq(fwrite("a", 1, 1, file), 1);
        ck_assert_uint_eq(fwrite(&t, sizeof(t), 1, file), 1);
        fclose(file);
        ck_assert_int_eq(check("a"),
                         bytes > GOV_SPILL_NOTE_BYTES ? GOV_E_FORMAT : GOV_OK);
    }
    free(note);
}
END_TEST

START_TEST(a_copy_is_not_another_state)
{
    struct gov_spill_state out[3];
    char path[GOV_SPILL_PATH_BYTES];

    ck_assert_int_eq(put("b", 1, SMALL, SMALL_NOTE), GOV_OK);
    memcpy(path, path_of("b"), sizeof(path));
    ck_assert_int_eq(link(path, path_of("a")), 0);
    is_refused("copy", 0);
    ck_assert_uint_eq(gov_spill_list(spill, out, 3), 1);
    ck_assert_str_eq(out[0].name, "b");
    ck_assert(has("b", 1, SMALL, SMALL_NOTE));
}
END_TEST

/* ---- several at once ----------------------------------------------------------------- */

static void wait_for(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A process that begins a draft, says so and goes on; killed by the caller. */
static pid_t start_writer(char path[GOV_SPILL_PATH_BYTES])
{
    int told[2];
    pid_t child;

    ck_assert_int_eq(pipe(told), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        gov_spill_draft *draft = NULL;

        spill = NULL;
        if (open_at(&spill, directory, 0, 0, 1) != GOV_OK ||
            draft_of(&draft, "live", 1, 1000) != GOV_OK ||
            write(told[1], draft->path, sizeof(draft->path)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    close(told[1]);
    ck_assert_int_eq(read(told[0], path, GOV_SPILL_PATH_BYTES),
                     GOV_SPILL_PATH_BYTES);
    close(told[0]);
    return child;
}

static void set_time_back(const char *path, time_t seconds)
{
    const struct timespec then[2] = {{time(NULL) - seconds, 0},
                                     {time(NULL) - seconds, 0}};

    ck_assert_int_eq(utimensat(AT_FDCWD, path, then, 0), 0);
}

/* By whether somebody writes it, not by its age: what is an hour old may be a slow
 * disk's, and what a killed process left takes of the quota at once. */
START_TEST(drafts_of_the_dead_are_swept)
{
    char path[GOV_SPILL_PATH_BYTES];
    pid_t child = start_writer(path);
    gov_spill_draft *draft;

    set_time_back(path, 3600);
    reopen(2000, 0);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 1500, &draft, &err),
                     GOV_E_BUSY);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    switch (_i) { /* whatever its age is, or a clock that was set back says */
    case 0:
        break;
    case 1:
        set_time_back(path, 3600);
        break;
    default:
        set_time_back(path, -3600);
    }
    ck_assert_int_eq(access(path, F_OK), 0);
    /* By who needs room, and by who opens. */
    ck_assert_int_eq(gov_spill_begin(spill, "a", 1500, &draft, &err), GOV_OK);
    gov_spill_drop(draft);
    ck_assert_int_ne(access(path, F_OK), 0);
    child = start_writer(path);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    reopen(0, 0);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* Our own are not swept by ourselves, nor through another handle. */
START_TEST(own_drafts_stay)
{
    gov_spill_draft *draft;
    gov_spill *other;

    ck_assert_int_eq(draft_of(&draft, "a", 1, 1000), GOV_OK);
    set_time_back(gov_spill_draft_path(draft), 3600);
    ck_assert_int_eq(open_at(&other, directory, 0, 0, 1), GOV_OK);
    ck_assert_int_eq(access(gov_spill_draft_path(draft), F_OK), 0);
    gov_spill_close(other);
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_OK);
    ck_assert(has("a", 1, 1000, 0));
}
END_TEST

static void sweep_now(void)
{
    gov_spill *other;

    faults_before(NULL, NULL);
    ck_assert_int_eq(open_at(&other, directory, 0, 0, 1), GOV_OK);
    gov_spill_close(other);
    ck_assert_int_eq(files_of(".draft"), 0); /* it had no lock yet */
}

static int held;

static void lock_first(void)
{
    DIR *list = opendir(directory);
    const struct dirent *entry;

    faults_before(NULL, NULL);
    while ((entry = readdir(list)) != NULL)
        if (strstr(entry->d_name, ".draft") != NULL)
            held = openat(dirfd(list), entry->d_name, O_RDWR);
    closedir(list);
    ck_assert_int_eq(flock(held, LOCK_EX | LOCK_NB), 0);
}

/* Between its making and its locking anybody may sweep it. */
START_TEST(swept_before_it_was_locked)
{
    gov_spill_draft *draft;

    held = -1;
    faults_before("flock", _i == 0 ? sweep_now : lock_first);
    ck_assert_int_eq(gov_spill_begin(spill, "a", 10, &draft, &err), GOV_OK);
    close(held);
    ck_assert_int_eq(files_of(".draft"), 1);
    ck_assert_int_eq(access(gov_spill_draft_path(draft), F_OK), 0);
    ck_assert_int_eq(gov_spill_write(draft, "", 0, &err), GOV_OK);
    ck_assert_int_eq(gov_spill_commit(draft, NULL, 0, NULL, &err), GOV_OK);
    ck_assert(has("a", 1, 0, 0));
}
END_TEST

/* Which of the two it is; 0: none of them. Opened once: it may be replaced. */
static unsigned which(const char *name, size_t bytes)
{
    char path[GOV_SPILL_PATH_BYTES];
    unsigned char *got = malloc(bytes);
    unsigned found = 0;
    FILE *file;

    ck_assert_ptr_nonnull(got);
    ck_assert_msg(gov_spill_check(spill, name, path, NULL, &err) == GOV_OK,
                  "%s", err.message);
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(got, 1, bytes, file), bytes);
    fclose(file);
    for (unsigned seed = 1; seed <= 2; seed++) {
        unsigned char *want = bytes_of(seed, bytes);

        if (memcmp(got, want, bytes) == 0)
            found = seed;
        free(want);
    }
    free(got);
    return found;
}

START_TEST(two_processes_and_one_name)
{
    pid_t children[2];

    ck_assert_int_eq(put("a", 1, 30000, 10), GOV_OK);
    for (unsigned i = 0; i < 2; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            spill = NULL;
            if (open_at(&spill, directory, 0, 0, 1) != GOV_OK)
                _exit(1);
            for (int n = 0; n < 30; n++)
                if (put("a", i + 1, 30000, 10) != GOV_OK)
                    _exit(2);
            _exit(0);
        }
    }
    for (int n = 0; n < 100; n++)
        ck_assert_uint_ne(which("a", 30000), 0);
    wait_for(children[0]);
    wait_for(children[1]);
    ck_assert_uint_ne(which("a", 30000), 0);
    ck_assert_int_eq(files_of(""), 1);
}
END_TEST

static _Atomic int wrong;

static void *use_it(void *data)
{
    const unsigned own = (unsigned)(uintptr_t)data;
    struct gov_spill_state out[8];
    unsigned char *state = bytes_of(own, 5000);
    char name[8], path[GOV_SPILL_PATH_BYTES];
    uint64_t used, quota;
    gov_error why;

    snprintf(name, sizeof(name), "t%u", own);
    for (int n = 0; n < 15; n++) {
        gov_spill_draft *draft = NULL;
        const char *at = n % 2 == 0 ? name : "all";

        wrong += gov_spill_begin(spill, at, 5000, &draft, &why) != GOV_OK ||
                 gov_spill_write(draft, state, 5000, &why) != GOV_OK ||
                 gov_spill_commit(draft, name, 2, NULL, &why) != GOV_OK;
        wrong += gov_spill_check(spill, at, path, NULL, &why) != GOV_OK;
        wrong += n % 2 == 0 && !same_bytes(path, own, 5000);
        wrong += gov_spill_list(spill, out, 8) < 1;
        gov_spill_usage(spill, &used, &quota);
        wrong += used < 5000;
        gov_spill_cool(spill, "all");
        if (n == 6)
            wrong += gov_spill_remove(spill, name, &why) != GOV_OK;
    }
    free(state);
    return NULL;
}

START_TEST(several_threads)
{
    pthread_t threads[4];

    wrong = 0;
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, use_it, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(files_of(""), 5);
    ck_assert_uint_eq(gov_spill_list(spill, NULL, 0), 5);
}
END_TEST

static void add_states(TCase *tests)
{
    tcase_add_loop_test(tests, comes_back, 0,
                        sizeof(lengths) / sizeof(lengths[0]));
    tcase_add_test(tests, written_by_its_path);
    tcase_add_test(tests, a_note_in_part);
    tcase_add_test(tests, any_name);
    tcase_add_test(tests, replaced);
    tcase_add_test(tests, an_older_state_stays_until_the_commit);
    tcase_add_test(tests, a_note_too_long);
    tcase_add_test(tests, removed);
    tcase_add_test(tests, the_newest_are_listed);
    tcase_add_test(tests, one_file_has_a_limit);
    tcase_add_test(tests, all_files_have_a_quota);
    tcase_add_test(tests, foreign_files_count);
    tcase_add_test(tests, the_file_system_keeps_some);
    tcase_add_test(tests, the_file_system_has_it_once);
    tcase_add_test(tests, room_is_given_once);
    tcase_add_test(tests, the_process_has_a_limit);
}

Suite *suite(void)
{
    Suite *s = suite_create("spill");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    add_states(tests);
    tcase_add_loop_test(tests, its_owners_alone, 0, 5);
    tcase_add_loop_test(tests, others_may_use_it, 0, 6);
    tcase_add_test(tests, somebody_elses);
    tcase_add_loop_test(tests, no_directory, 0, 4);
    tcase_add_test(tests, a_path_that_does_not_do);
    tcase_add_test(tests, the_longest_path);
    tcase_add_test(tests, a_relative_path);
    tcase_add_loop_test(tests, something_else_is_there, 0, 6);
    tcase_add_test(tests, every_byte_counts);
    tcase_add_test(tests, every_length_counts);
    tcase_add_loop_test(tests, a_sum_is_no_excuse, 0, 10);
    tcase_add_test(tests, a_note_beyond_the_limit);
    tcase_add_test(tests, a_copy_is_not_another_state);
    tcase_add_loop_test(tests, drafts_of_the_dead_are_swept, 0, 3);
    tcase_add_test(tests, own_drafts_stay);
    tcase_add_loop_test(tests, swept_before_it_was_locked, 0, 2);
    tcase_add_test(tests, two_processes_and_one_name);
    tcase_add_test(tests, several_threads);
    suite_add_tcase(s, tests);
    return s;
}
