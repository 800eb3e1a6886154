/* SPDX-License-Identifier: MIT */
/* The policy of a runtime, and its files that change while it runs: real files, a
 * clock that is set by hand. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/runtime_fixture.h"

/* The process of the fixture has 3 of its 4 GiB left: 75 %. */
#define EASY "version: 1\n"
#define STRICT                                                                 \
    "version: 1\nlevels:\n  warn_headroom: 80 %\n"                             \
    "  warn_headroom_exit: 90 %\n"
#define BROKEN "version: 1\nrules: 7\n"
#define BROKEN_TOO "version: 1\n\nrules: 8\n"

static const char *directory;
static char path[400], user[400], want[1500];

static void write_file(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* As most editors save. */
static void replace_file(const char *name, const char *text)
{
    char other[500];

    snprintf(other, sizeof(other), "%s~", name);
    write_file(other, text);
    ck_assert_int_eq(rename(other, name), 0);
}

static struct gov_options options_for(const char *named)
{
    struct gov_options options = gov_options_default();

    options.budget_bytes = 4 * GIB;
    options.no_thread = true;
    options.no_publish = true;
    options.no_policy_files = true;
    options.policy = named;
    options.alloc = faults_alloc();
    return options;
}

static gov_status open_with(const struct gov_options *options)
{
    memset(&err, 0, sizeof(err));
    return gov__open_on(&rt, options, &sim.table, NULL, &err);
}

static void open_named(const char *named)
{
    struct gov_options options = options_for(named);

    ck_assert_msg(open_with(&options) == GOV_OK, "%s", err.message);
    gov_on_event(rt, on_event, NULL);
}

/* Over the user's file, which is not named. */
static void open_users(void)
{
    struct gov_options options = options_for(NULL);

    options.no_policy_files = false;
    ck_assert_msg(open_with(&options) == GOV_OK, "%s", err.message);
}

static void set_up_files(void)
{
    char name[600];

    faults_reset();
    sim_init(&sim);
    happened[0] = '\0';
    directory = fresh_directory();
    snprintf(path, sizeof(path), "%s/my.yaml", directory);
    snprintf(name, sizeof(name), "%s/governor", directory);
    ck_assert_int_eq(mkdir(name, 0700), 0);
    snprintf(user, sizeof(user), "%s/governor/policy.yaml", directory);
    setenv("XDG_CONFIG_HOME", directory, 1);
    write_file(path, EASY);
}

static void close_it(void)
{
    gov_close(rt);
    rt = NULL;
    ck_assert_int_eq(faults_live_blocks(), 0);
}

/* Two looks: what changed is seen, and stayed the same. */
static void two_looks(void)
{
    turn(1000);
    turn(1000);
}

static void quiet_looks(int count)
{
    for (int i = 0; i < count; i++)
        turn(1000);
    ck_happened("");
}

static void ck_reloaded(void)
{
    snprintf(want, sizeof(want), "event policy reloaded from balanced, %s\n",
             path);
    ck_happened(want);
}

static const char *describe(void)
{
    static char text[900];

    return gov_describe(rt, text, sizeof(text));
}

/* ---- opening -------------------------------------------------------------------- */

START_TEST(what_is_named_is_in_force)
{
    write_file(path, STRICT);
    open_named(path);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    snprintf(want, sizeof(want),
             "watching PSI of the system and headroom (budget); budget 4096 "
             "MiB; policy balanced, %s",
             path);
    ck_assert_str_eq(describe(), want);
    close_it();
}
END_TEST

START_TEST(a_shipped_one_by_name)
{
    struct gov_level_rules levels;
    gov_policy *policy;

    open_named("frugal");
    ck_assert_ptr_nonnull(strstr(describe(), "; policy frugal"));
    ck_assert_int_eq(
        gov_policy_open(&policy, "frugal", NULL, NULL, NULL, NULL, NULL, &err),
        GOV_OK);
    gov_policy_levels(policy, &levels);
    gov_policy_free(policy);
    ck_assert_mem_eq(&rt->rules, &levels, sizeof(levels));
    close_it();
}
END_TEST

START_TEST(what_is_named_and_none_is_a_failure)
{
    static const struct {
        const char *text; /* NULL: no file */
        gov_status status;
    } rows[] = {
        {BROKEN, GOV_E_FORMAT}, {"", GOV_E_FORMAT}, {NULL, GOV_E_NOT_FOUND}};
    struct gov_options options = options_for(path);

    unlink(path);
    if (rows[_i].text != NULL)
        write_file(path, rows[_i].text);
    options.no_policy_files = false;
    write_file(user, EASY);
    ck_assert_int_eq(open_with(&options), rows[_i].status);
    ck_assert_ptr_null(rt);
    ck_assert_ptr_nonnull(strstr(err.message, path));
    ck_assert_int_eq(faults_live_blocks(), 0);
    options.policy = "frugl";
    ck_assert_int_eq(open_with(&options), GOV_E_INVALID);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* It is said as soon as somebody listens, and in gov_describe(). */
START_TEST(the_users_that_is_broken_is_no_failure)
{
    write_file(user, BROKEN);
    open_users();
    ck_assert_int_eq(gov_level_now(rt), NORMAL);
    snprintf(want, sizeof(want),
             "; what policy files say is not in force: %s:2:8: ", user);
    ck_assert_ptr_nonnull(strstr(describe(), want));
    turn(250);
    gov_on_event(rt, on_event, NULL);
    turn(250);
    snprintf(want, sizeof(want),
             "event policy balanced is in force, not what its files say: "
             "%s:2:8: ",
             user);
    ck_assert_msg(strncmp(happened, want, strlen(want)) == 0, "%s", happened);
    happened[0] = '\0';
    quiet_looks(5);
    write_file(user, STRICT);
    two_looks();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    ck_assert_ptr_null(strstr(describe(), "not in force"));
    close_it();
}
END_TEST

/* The user's is broken, the one that the app names is not. */
START_TEST(what_is_named_outlives_what_is_not)
{
    struct gov_options options = options_for(path);

    options.no_policy_files = false;
    write_file(path, STRICT);
    write_file(user, BROKEN);
    ck_assert_int_eq(open_with(&options), GOV_OK);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    snprintf(want, sizeof(want), "; policy balanced, %s; what policy files say",
             path);
    ck_assert_ptr_nonnull(strstr(describe(), want));
    close_it();
}
END_TEST

START_TEST(no_memory_is_a_failure)
{
    struct gov_options options = options_for(path);
    uint64_t calls;

    options.no_policy_files = false;
    write_file(user, STRICT);
    faults_reset();
    faults_only("alloc");
    ck_assert_int_eq(open_with(&options), GOV_OK);
    calls = faults_count();
    close_it();
    for (uint64_t n = 0; n < calls; n++) {
        faults_arm(n, _i != 0);
        ck_assert_msg(open_with(&options) == GOV_E_NOMEM, "allocation %d: %s",
                      (int)n, err.message);
        ck_assert_str_ne(err.message, "");
        ck_assert_int_eq(faults_live_blocks(), 0);
    }
}
END_TEST

/* What may pass by itself, like a table of files that is full, is tried again
 * though nothing changed, and said once. */
START_TEST(the_users_that_cannot_be_read_just_now)
{
    struct gov_options options = options_for(NULL);

    options.no_policy_files = false;
    write_file(user, STRICT);
    faults_only("read");
    faults_arm(0, true);
    ck_assert_int_eq(open_with(&options), GOV_OK);
    ck_assert_int_eq(gov_level_now(rt), NORMAL);
    gov_on_event(rt, on_event, NULL);
    turn(1000);
    snprintf(want, sizeof(want),
             "event policy balanced is in force, not what its files say: "
             "cannot read policy file %s: Input/output error\n",
             user);
    ck_happened(want);
    quiet_looks(5);
    faults_disarm();
    turn(1000);
    snprintf(want, sizeof(want),
             "event policy reloaded from balanced, %s\n"
             "event warn: 3072 MiB of the 4096 MiB budget are left\n",
             user);
    ck_happened(want);
    close_it();
}
END_TEST

/* An app that goes to the background changes its directory. */
START_TEST(a_relative_path_stays_the_same_file)
{
    char here[500];

    ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
    ck_assert_int_eq(chdir(directory), 0);
    open_named("./my.yaml");
    ck_assert_int_eq(chdir("/"), 0);
    write_file(path, STRICT);
    two_looks();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    ck_assert_int_eq(chdir(here), 0);
    close_it();
}
END_TEST

/* ---- following ------------------------------------------------------------------- */

START_TEST(a_change_takes_effect)
{
    void (*const save[])(const char *, const char *) = {write_file,
                                                        replace_file};

    open_named(path);
    quiet_looks(3);
    save[_i](path, STRICT);
    turn(1000);
    ck_happened(""); /* it may still be written */
    turn(999);
    ck_happened("");
    turn(1);
    snprintf(want, sizeof(want),
             "event policy reloaded from balanced, %s\n"
             "event warn: 3072 MiB of the 4096 MiB budget are left\n",
             path);
    ck_happened(want);
    quiet_looks(20);
    save[_i](path, EASY);
    two_looks();
    ck_reloaded();
    for (int i = 0; i < 10; i++)
        turn(1000);
    ck_assert_int_eq(gov_level_now(rt), NORMAL);
    close_it();
}
END_TEST

START_TEST(the_ladder_changes_with_the_file)
{
    struct action a = {.name = "a", .cost = 1, .offers = 9 * MIB};
    struct action b = {.name = "b", .cost = 2, .offers = 9 * MIB};

    open_named(path);
    gov_on_event(rt, NULL, NULL);
    add(&a);
    add(&b);
    turn(0);
    ck_assert_uint_eq(b.floor_bytes, 0);
    write_file(path, "version: 1\nladder:\n  - { action: b, floor: 2 MiB, "
                     "floor_tokens: 77, from: critical }\n");
    two_looks();
    ck_assert_uint_eq(b.floor_bytes, 2 * MIB);
    ck_assert_uint_eq(b.floor_tokens, 77);
    simulate(WARN);
    turn(10);
    ck_happened("run a\n");
    simulate(CRITICAL);
    turn(10);
    ck_happened("run b\nrun a\n");
    close_it();
}
END_TEST

/* One notice for each version of the file, however long it stays. */
START_TEST(a_broken_file_changes_nothing)
{
    write_file(path, STRICT);
    open_named(path);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    write_file(path, BROKEN);
    two_looks();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    snprintf(want, sizeof(want),
             "event the policy stays as it was: %s:2:8: ", path);
    ck_assert_msg(strncmp(happened, want, strlen(want)) == 0, "%s", happened);
    ck_assert_ptr_null(strstr(strchr(happened, '\n') + 1, "event"));
    happened[0] = '\0';
    ck_assert_ptr_nonnull(strstr(describe(), "not in force: "));
    quiet_looks(30);
    write_file(path, BROKEN_TOO);
    two_looks();
    snprintf(want, sizeof(want),
             "event the policy stays as it was: %s:3:8: ", path);
    ck_assert_msg(strncmp(happened, want, strlen(want)) == 0, "%s", happened);
    happened[0] = '\0';
    quiet_looks(30);
    write_file(path, EASY);
    two_looks();
    ck_reloaded();
    ck_assert_ptr_null(strstr(describe(), "not in force"));
    close_it();
}
END_TEST

/* Truncated, then written: no word about the empty file between. */
START_TEST(a_moment_of_emptiness_is_not_mentioned)
{
    open_named(path);
    write_file(path, "");
    turn(1000);
    write_file(path, STRICT);
    turn(1000);
    ck_happened("");
    turn(1000);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    ck_assert_ptr_nonnull(strstr(happened, "policy reloaded"));
    ck_assert_ptr_null(strstr(happened, "stays as it was"));
    happened[0] = '\0';
    write_file(path, ""); /* for good: that is no policy */
    two_looks();
    ck_assert_ptr_nonnull(strstr(happened, "stays as it was"));
    close_it();
}
END_TEST

START_TEST(a_users_file_that_goes_and_comes)
{
    write_file(user, STRICT);
    open_users();
    gov_on_event(rt, on_event, NULL);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    unlink(user);
    turn(1000);
    ck_happened("");
    turn(1000);
    snprintf(want, sizeof(want),
             "event policy reloaded from balanced; there is no more %s\n",
             user);
    ck_happened(want);
    for (int i = 0; i < 10; i++)
        turn(1000);
    ck_happened("event normal: calm for 5.0 s\n");
    write_file(user, STRICT);
    two_looks();
    snprintf(want, sizeof(want),
             "event policy reloaded from balanced, %s\n"
             "event warn: 3072 MiB of the 4096 MiB budget are left\n",
             user);
    ck_happened(want);
    close_it();
}
END_TEST

START_TEST(a_named_file_that_goes_is_missed)
{
    write_file(path, STRICT);
    open_named(path);
    unlink(path);
    two_looks();
    snprintf(want, sizeof(want),
             "event the policy stays as it was: cannot open policy file %s: No "
             "such file or directory\n",
             path);
    ck_happened(want);
    quiet_looks(10);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    write_file(path, EASY);
    two_looks();
    ck_reloaded();
    close_it();
}
END_TEST

START_TEST(a_directory_in_its_place)
{
    open_named(path);
    unlink(path);
    ck_assert_int_eq(_i == 0 ? mkdir(path, 0700) : mkfifo(path, 0600), 0);
    two_looks();
    snprintf(want, sizeof(want),
             "event the policy stays as it was: policy file %s is no regular "
             "file; name a .yaml file\n",
             path);
    ck_happened(want);
    quiet_looks(10);
    close_it();
}
END_TEST

/* What may not be read is not asked for again until somebody changes that. */
START_TEST(a_file_that_may_not_be_read)
{
    open_named(path);
    write_file(path, STRICT);
    faults_only("open");
    faults_set_errno(EACCES);
    faults_arm(0, false); /* root may read everything */
    two_looks();
    snprintf(want, sizeof(want),
             "event the policy stays as it was: cannot open policy file %s: "
             "Permission denied\n",
             path);
    ck_happened(want);
    quiet_looks(10);
    ck_assert_int_eq(chmod(path, 0640), 0);
    two_looks();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    close_it();
}
END_TEST

/* A dot-file that is a link to where it is kept under version control. */
START_TEST(a_link_is_followed)
{
    char target[500];

    snprintf(target, sizeof(target), "%s/elsewhere", directory);
    unlink(path);
    write_file(target, EASY);
    ck_assert_int_eq(symlink(target, path), 0);
    open_named(path);
    write_file(target, STRICT);
    two_looks();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    close_it();
}
END_TEST

/* Of the same second, and dated back: what copies files with their dates leaves. */
static void date_back(const char *name)
{
    const struct timespec then[2] = {{1000000000, 0}, {1000000000, 0}};

    ck_assert_int_eq(utimensat(AT_FDCWD, name, then, 0), 0);
}

START_TEST(a_change_that_dates_hide)
{
    char easy[sizeof(STRICT) + 1], name[500];

    snprintf(easy, sizeof(easy), "%-*s\n", (int)sizeof(STRICT) - 2,
             "version: 1");
    ck_assert_uint_eq(strlen(easy), strlen(STRICT));
    if (_i != 0)
        strncat(easy, "\n", 2);
    write_file(path, easy);
    date_back(path);
    open_named(path);
    if (_i == 0) { /* another file of the same size */
        snprintf(name, sizeof(name), "%s~", path);
        write_file(name, STRICT);
        date_back(name);
        ck_assert_int_eq(rename(name, path), 0);
    } else { /* the same file of another size */
        write_file(path, STRICT);
        date_back(path);
    }
    two_looks();
    ck_assert_int_eq(gov_level_now(rt), WARN);
    close_it();
}
END_TEST

/* Changed in between its size and its text: tried again, not complained about. */
static char replacement[200];
static off_t change_to = -1;

static void *changing_alloc(void *ctx, size_t bytes)
{
    void *block = faults_alloc()->alloc(ctx, bytes);

    if (change_to >= 0)
        ck_assert_int_eq(truncate(path, change_to), 0);
    change_to = -1;
    return block;
}

START_TEST(changed_while_it_was_read)
{
    struct gov_alloc changing = {NULL, changing_alloc, faults_alloc()->release};
    struct gov_options options = options_for(path);

    options.alloc = &changing;
    ck_assert_int_eq(open_with(&options), GOV_OK);
    gov_on_event(rt, on_event, NULL);
    snprintf(replacement, sizeof(replacement), "%s# to be cut off\n", STRICT);
    write_file(path, replacement);
    turn(1000);
    change_to = (off_t)strlen(STRICT);
    turn(1000);
    ck_assert_int_eq(change_to, -1);
    ck_happened("");
    ck_assert_int_eq(gov_level_now(rt), NORMAL);
    turn(1000);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    close_it();
}
END_TEST

/* A file that never rests is never read; and nothing piles up. */
START_TEST(a_file_that_is_written_all_the_time)
{
    int descriptors;
    int64_t blocks;

    open_named(path);
    descriptors = faults_open_descriptors();
    blocks = faults_live_blocks();
    for (int i = 0; i < 500; i++) {
        if (i % 2 == 0)
            replace_file(path, i % 4 == 0 ? STRICT : BROKEN);
        else
            write_file(path, i % 4 == 1 ? "" : BROKEN_TOO);
        turn(1000);
    }
    ck_happened("");
    for (int i = 0; i < 200; i++) {
        replace_file(path, i % 2 == 0 ? EASY : BROKEN);
        two_looks();
        happened[0] = '\0';
    }
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
    ck_assert_int_eq(faults_live_blocks(), blocks);
    close_it();
}
END_TEST

/* ---- on demand -------------------------------------------------------------------- */

/* A half that somebody asked for too early is none of gov_step()'s business. */
START_TEST(asked_for_while_it_is_written)
{
    open_named(path);
    turn(1000);
    write_file(path, "");
    ck_assert_int_eq(gov_policy_reload(rt, &err), GOV_E_FORMAT);
    turn(1000);
    write_file(path, STRICT);
    ck_happened("");
    two_looks();
    ck_assert_ptr_null(strstr(happened, "stays as it was"));
    ck_assert_int_eq(gov_level_now(rt), WARN);
    close_it();
}
END_TEST

START_TEST(reloads_on_demand)
{
    ck_assert_int_eq(gov_policy_reload(NULL, &err), GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_policy_reload() needs a runtime");
    open_named(path);
    write_file(path, STRICT);
    ck_assert_int_eq(gov_policy_reload(rt, &err), GOV_OK);
    ck_happened(""); /* told by the thread that steps */
    turn(10);
    snprintf(want, sizeof(want),
             "event policy reloaded from balanced, %s\n"
             "event warn: 3072 MiB of the 4096 MiB budget are left\n",
             path);
    ck_happened(want);
    quiet_looks(5); /* not once more */
    write_file(path, BROKEN);
    ck_assert_int_eq(gov_policy_reload(rt, &err), GOV_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.message, ":2:8: "));
    ck_assert_int_eq(gov_policy_reload(rt, NULL), GOV_E_FORMAT);
    ck_assert_int_eq(gov_level_now(rt), WARN);
    ck_happened("");
    close_it();
    open_named(NULL);
    ck_assert_int_eq(gov_policy_reload(rt, &err), GOV_OK);
    close_it();
}
END_TEST

/* ---- what fails ------------------------------------------------------------------- */

/* The old one stays in force; it is said once; and what passes by itself is
 * tried again. */
START_TEST(each_call_of_a_reload_fails_in_turn)
{
    int descriptors;
    int64_t blocks;
    uint64_t calls;

    open_named(path);
    descriptors = faults_open_descriptors();
    blocks = faults_live_blocks();
    write_file(path, STRICT);
    turn(1000);
    faults_reset();
    turn(1000);
    calls = faults_count();
    ck_assert_uint_ge(calls, 4); /* open, fstat, read, memory */
    for (uint64_t n = 0; n < calls; n++) {
        replace_file(path, EASY);
        ck_assert_int_eq(gov_policy_reload(rt, &err), GOV_OK);
        for (int i = 0; i < 20; i++)
            turn(1000);
        ck_assert_int_eq(gov_level_now(rt), NORMAL);
        happened[0] = '\0';
        replace_file(path, STRICT);
        turn(1000);
        faults_arm(n, _i != 0);
        turn(1000);
        ck_assert_msg(strcmp(faults_last(), "none") != 0, "call %d", (int)n);
        ck_assert_msg(gov_level_now(rt) == NORMAL, "%s was swallowed",
                      faults_last());
        ck_assert_msg(
            strncmp(happened, "event the policy stays as it was: ", 34) == 0,
            "%s: %s", faults_last(), happened);
        happened[0] = '\0';
        turn(1000);
        if (_i != 0)
            ck_happened(""); /* said already */
        faults_disarm();
        turn(1000);
        ck_assert_msg(gov_level_now(rt) == WARN, "%s: not tried again",
                      faults_last());
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
        ck_assert_int_eq(faults_live_blocks(), blocks);
    }
    close_it();
}
END_TEST

/* ---- all at once ------------------------------------------------------------------- */

static _Atomic bool enough;
static _Atomic int reloads, bad;

static void *reload_all_the_time(void *arg)
{
    (void)arg;
    for (int n = 0; !enough; n++) {
        gov_error own;

        replace_file(path, n % 3 == 2   ? BROKEN
                           : n % 3 == 1 ? EASY
                                        : "version: 1\nladder:\n  - { action: "
                                          "\"s*\", floor: 1 MiB }\n");
        if ((gov_policy_reload(rt, &own) == GOV_OK) != (n % 3 != 2))
            bad++;
        reloads++;
    }
    return NULL;
}

static void *reload_too(void *arg)
{
    (void)arg;
    while (!enough) {
        gov_error own;
        gov_status status = gov_policy_reload(rt, &own);

        if (status != GOV_OK && status != GOV_E_FORMAT)
            bad++;
        sched_yield();
    }
    return NULL;
}

static _Atomic bool inside;

static uint64_t stress_offer(void *ctx, gov_level level)
{
    (void)ctx, (void)level;
    return MIB;
}

static void stress_run(void *ctx, gov_level level)
{
    (void)ctx, (void)level;
}

static void stress_leave(void *ctx, uint64_t bytes, uint32_t tokens)
{
    (void)ctx, (void)bytes, (void)tokens;
    if (atomic_exchange(&inside, true))
        bad++; /* one at a time */
    sched_yield();
    inside = false;
}

static void *stress_engine(void *arg)
{
    struct gov_relief relief = gov_relief_default();
    uint32_t id, cache_id;
    gov_cache *cache;

    (void)arg;
    relief.name = "stress";
    relief.offer = stress_offer;
    relief.run = stress_run;
    relief.leave = stress_leave;
    relief.between_passes = true;
    while (!enough) {
        if (gov_cache_new(&cache, NULL, NULL) != GOV_OK ||
            gov_cache_put(cache, 1, "x", 1, NULL) != GOV_OK ||
            gov_relief_add_cache(rt, "s.cache", cache, &cache_id, NULL) !=
                GOV_OK ||
            gov_relief_add(rt, &relief, &id, NULL) != GOV_OK) {
            bad++;
            break;
        }
        for (int i = 0; i < 5; i++) {
            gov_pass_begin(rt);
            sched_yield();
            gov_pass_end(rt);
        }
        gov_relief_remove(rt, id);
        gov_relief_remove(rt, cache_id);
        gov_cache_free(cache);
    }
    return NULL;
}

static void stress_event(void *ctx, const struct gov_event *event)
{
    char text[256];

    (void)ctx;
    gov_describe(rt, text, sizeof(text));
    if (event->text[0] == '\0')
        bad++;
}

START_TEST(all_at_once)
{
    const struct gov_platform *native = gov__platform_native();
    static const gov_level levels[] = {WARN, CRITICAL, NORMAL};
    pthread_t thread[3];
    uint64_t until;

    open_named(path);
    gov_on_event(rt, stress_event, NULL);
    thread[0] = start(reload_all_the_time, NULL);
    thread[1] = start(reload_too, NULL);
    thread[2] = start(stress_engine, NULL);
    until = native->now_us(native->ctx) + 1500000;
    for (int n = 0; native->now_us(native->ctx) < until; n++) {
        if (n % 8 == 0)
            (void)!gov_simulate(rt, levels[n / 8 % 3], 0, NULL);
        turn(700);
    }
    enough = true;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    ck_assert_int_eq(bad, 0);
    ck_assert_int_gt(reloads, 0);
    close_it();
}
END_TEST

#define ADD(tc, name) tcase_add_test(tc, name)

Suite *suite(void)
{
    Suite *s = suite_create("reload");
    TCase *open_tc = tcase_create("opening"),
          *follow = tcase_create("following"), *fault = tcase_create("faults");
    TCase *all[] = {open_tc, follow, fault};

    for (size_t i = 0; i < 3; i++) {
        tcase_add_checked_fixture(all[i], set_up_files, NULL);
        tcase_set_timeout(all[i], 30);
        suite_add_tcase(s, all[i]);
    }
    ADD(open_tc, what_is_named_is_in_force);
    ADD(open_tc, a_shipped_one_by_name);
    tcase_add_loop_test(open_tc, what_is_named_and_none_is_a_failure, 0, 3);
    ADD(open_tc, the_users_that_is_broken_is_no_failure);
    ADD(open_tc, what_is_named_outlives_what_is_not);
    tcase_add_loop_test(open_tc, no_memory_is_a_failure, 0, 2);
    ADD(open_tc, the_users_that_cannot_be_read_just_now);
    ADD(open_tc, a_relative_path_stays_the_same_file);
    tcase_add_loop_test(follow, a_change_takes_effect, 0, 2);
    ADD(follow, the_ladder_changes_with_the_file);
    ADD(follow, a_broken_file_changes_nothing);
    ADD(follow, a_moment_of_emptiness_is_not_mentioned);
    ADD(follow, a_users_file_that_goes_and_comes);
    ADD(follow, a_named_file_that_goes_is_missed);
    tcase_add_loop_test(follow, a_directory_in_its_place, 0, 2);
    ADD(follow, a_file_that_may_not_be_read);
    ADD(follow, a_link_is_followed);
    tcase_add_loop_test(follow, a_change_that_dates_hide, 0, 2);
    ADD(follow, changed_while_it_was_read);
    ADD(follow, a_file_that_is_written_all_the_time);
    ADD(follow, reloads_on_demand);
    ADD(follow, asked_for_while_it_is_written);
    tcase_add_loop_test(fault, each_call_of_a_reload_fails_in_turn, 0, 2);
    ADD(fault, all_at_once);
    return s;
}
