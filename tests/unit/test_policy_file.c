/* SPDX-License-Identifier: MIT */
/* Where a policy comes from, which files make it, and what a file may not be. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/runtime/policy_watch.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define SYSTEM_POLICY "/etc/governor/policy.yaml"

static const char good[] = "version: 1\n"
                           "rules:\n"
                           "  - name: mine\n"
                           "    when: model.encrypted\n"
                           "    then: { strategy: heap }\n"
                           "    because: it is a test\n";

static gov_error err;
static gov_policy *policy;
static char source[GOV_MESSAGE_BYTES], pointed[GOV_MESSAGE_BYTES];
static const char *directory;
static char path[600], want[1500];

static void set_up(void)
{
    faults_reset();
    directory = fresh_directory();
    snprintf(path, sizeof(path), "%s/my.yaml", directory);
    memset(pointed, 'x', sizeof(pointed));
    memset(source, 'x', sizeof(source));
    setenv("HOME", directory, 1);
    unsetenv("XDG_CONFIG_HOME");
}

static void make_file(const char *name, const char *text, size_t bytes)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
}

/* DIRECTORY/base/governor/policy.yaml */
static void make_policy_in(const char *base, const char *text)
{
    char name[700];

    snprintf(name, sizeof(name), "%s/%s", directory, base);
    mkdir(name, 0700);
    snprintf(name, sizeof(name), "%s/%s/governor", directory, base);
    mkdir(name, 0700);
    snprintf(name, sizeof(name), "%s/%s/governor/policy.yaml", directory, base);
    make_file(name, text, strlen(text));
}

static gov_status open_policy(const char *name)
{
    policy = (gov_policy *)1;
    memset(&err, 0, sizeof(err));
    return gov_policy_open(&policy, name, source, pointed, NULL, NULL,
                           faults_alloc(), &err);
}

static void ck_refused(const char *name, gov_status status, const char *message)
{
    ck_assert_int_eq(open_policy(name), status);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(policy);
    ck_assert_str_eq(pointed, "");
    ck_assert_str_eq(source, "");
    ck_assert_int_eq(faults_live_blocks(), 0);
}

/* `more` rules than the shipped policy has. */
static void ck_opened(const char *name, const char *from, size_t more);

/* ---- where ------------------------------------------------------------------ */

static bool system_has_one(const char *test)
{
    if (access(SYSTEM_POLICY, F_OK) != 0)
        return false;
    skip_test(test, "this machine has " SYSTEM_POLICY);
    return true;
}

static size_t shipped_count(void)
{
    gov_policy *shipped;
    size_t count;

    ck_assert_int_eq(
        gov_policy_build(&shipped, NULL, 0, NULL, NULL, NULL, &err), GOV_OK);
    count = gov_policy_rules(shipped);
    gov_policy_free(shipped);
    return count;
}

static void ck_opened(const char *name, const char *from, size_t more)
{
    ck_assert_msg(open_policy(name) == GOV_OK, "%s", err.message);
    ck_assert_str_eq(source, from);
    ck_assert_uint_eq(gov_policy_rules(policy), shipped_count() + more);
    gov_policy_free(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}

START_TEST(a_named_file)
{
    make_file(path, good, strlen(good));
    snprintf(want, sizeof(want), "balanced, %s", path);
    ck_opened(path, want, 1);
    ck_assert_int_eq(
        gov_policy_open(&policy, path, NULL, NULL, NULL, NULL, NULL, NULL),
        GOV_OK);
    gov_policy_free(policy);
    ck_assert_int_eq(
        gov_policy_open(NULL, path, NULL, NULL, NULL, NULL, NULL, &err),
        GOV_E_INVALID);
    ck_assert_str_eq(err.message,
                     "gov_policy_open() needs a place for the policy");
}
END_TEST

/* A dot is enough: it is a file beside us, and no misspelt name. */
START_TEST(a_named_file_without_a_slash)
{
    make_file(path, good, strlen(good));
    ck_assert_int_eq(chdir(directory), 0);
    ck_opened("my.yaml", "balanced, my.yaml", 1);
    ck_refused("frugal.yaml", GOV_E_NOT_FOUND,
               "cannot open policy file frugal.yaml: No such file or "
               "directory");
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(a_named_file_that_is_not_there_is_not_replaced)
{
    make_policy_in(".config", good);
    snprintf(want, sizeof(want),
             "cannot open policy file %s: No such file or directory", path);
    ck_refused(path, GOV_E_NOT_FOUND, want);
}
END_TEST

START_TEST(a_shipped_one_by_name)
{
    static const char *const names[] = {"balanced", "responsive", "frugal",
                                        "server"};

    if (system_has_one("a_shipped_one_by_name"))
        return;
    ck_assert_msg(open_policy(names[_i]) == GOV_OK, "%s", err.message);
    ck_assert_str_eq(source, names[_i]);
    gov_policy_free(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

START_TEST(a_name_that_is_none)
{
    static const struct {
        const char *name, *message;
    } rows[] = {
        {"frugl", "there is no policy \"frugl\" (did you mean frugal?); name "
                  "balanced, responsive, frugal or server, or a file, with a . "
                  "or a / in its name"},
        {"rules", "there is no policy \"rules\"; name balanced, responsive, "
                  "frugal or server, or a file, with a . or a / in its name"},
        {"", "there is no policy \"\"; name balanced, responsive, frugal or "
             "server, or a file, with a . or a / in its name"},
        {"none", "there is no policy \"none\"; name balanced, responsive, "
                 "frugal or server, or a file, with a . or a / in its name"},
    };

    ck_refused(rows[_i].name, GOV_E_INVALID, rows[_i].message);
}
END_TEST

START_TEST(the_shipped_one_when_there_is_no_file)
{
    if (system_has_one("the_shipped_one_when_there_is_no_file"))
        return;
    ck_assert_uint_gt(shipped_count(), 0);
    ck_opened(NULL, "balanced", 0);
    unsetenv("HOME");
    ck_opened(NULL, "balanced", 0);
    setenv("HOME", "", 1);
    ck_opened(NULL, "balanced", 0);
    setenv("HOME", "relative", 1);
    ck_opened(NULL, "balanced", 0);
}
END_TEST

START_TEST(the_users_file)
{
    if (system_has_one("the_users_file"))
        return;
    make_policy_in(".config", good);
    snprintf(want, sizeof(want), "balanced, %s/.config/governor/policy.yaml",
             directory);
    ck_opened(NULL, want, 1);
}
END_TEST

START_TEST(xdg_config_home_before_home)
{
    char base[700];

    if (system_has_one("xdg_config_home_before_home"))
        return;
    make_policy_in("xdg", good);
    make_policy_in(".config", "broken");
    snprintf(base, sizeof(base), "%s/xdg", directory);
    setenv("XDG_CONFIG_HOME", base, 1);
    snprintf(want, sizeof(want), "balanced, %s/xdg/governor/policy.yaml",
             directory);
    ck_opened(NULL, want, 1);
}
END_TEST

/* Empty or relative is as good as unset: the XDG specification. */
START_TEST(an_xdg_config_home_that_is_none)
{
    static const char *const values[] = {"", "xdg", "./xdg"};

    if (system_has_one("an_xdg_config_home_that_is_none"))
        return;
    make_policy_in(".config", good);
    setenv("XDG_CONFIG_HOME", values[_i], 1);
    snprintf(want, sizeof(want), "balanced, %s/.config/governor/policy.yaml",
             directory);
    ck_opened(NULL, want, 1);
}
END_TEST

START_TEST(homes_that_lead_nowhere)
{
    static char longest[5000];

    if (system_has_one("homes_that_lead_nowhere"))
        return;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[0] = '/';
    setenv("XDG_CONFIG_HOME", longest, 1);
    ck_opened(NULL, "balanced", 0);
    make_file(path, good, strlen(good)); /* a file where a directory belongs */
    setenv("XDG_CONFIG_HOME", path, 1);
    ck_opened(NULL, "balanced", 0);
}
END_TEST

/* A user who wrote a policy does not get another one because of a slip. */
START_TEST(a_users_file_that_is_broken_is_not_passed_over)
{
    if (system_has_one("a_users_file_that_is_broken_is_not_passed_over"))
        return;
    make_policy_in(".config", "version: 1\nrules: 7\n");
    ck_assert_int_eq(open_policy(NULL), GOV_E_FORMAT);
    snprintf(want, sizeof(want),
             "%s/.config/governor/policy.yaml:2:8: ", directory);
    ck_assert_ptr_eq(strstr(err.message, want), err.message);
    ck_assert_str_eq(pointed, "rules: 7\n       ^");
    ck_assert_str_eq(source, "");
    ck_assert_ptr_null(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
    /* Also for a caller who wants no error. */
    memset(pointed, 'x', sizeof(pointed));
    ck_assert_int_eq(
        gov_policy_open(&policy, NULL, NULL, pointed, NULL, NULL, NULL, NULL),
        GOV_E_FORMAT);
    ck_assert_str_eq(pointed, "rules: 7\n       ^");
}
END_TEST

START_TEST(a_file_that_may_not_be_read)
{
    make_file(path, good, strlen(good));
    if (geteuid() == 0) {
        /* root reads everything: the call itself is made to refuse. */
        faults_only("open");
        faults_set_errno(EACCES);
        faults_arm(2, false); /* after the system's and the user's */
    } else {
        chmod(path, 0);
    }
    snprintf(want, sizeof(want),
             "cannot open policy file %s: Permission denied", path);
    ck_refused(path, GOV_E_PERMISSION, want);
}
END_TEST

/* ---- layers ------------------------------------------------------------------- */

/* system, user, named: what they say, NULL for no file; and a shipped one. */
struct stack {
    const char *text[GOV__POLICY_FILES];
    const char *shipped;
};

static char names[GOV__POLICY_FILES][700];
static struct gov__policy_files files;

static void make_stack(const struct stack *stack)
{
    memset(&files, 0, sizeof(files));
    for (int i = 0; i < GOV__POLICY_FILES; i++) {
        snprintf(names[i], sizeof(names[i]), "%s/%d.yaml", directory, i);
        files.path[i] =
            i == GOV__NAMED_FILE && stack->text[i] == NULL ? NULL : names[i];
        if (stack->text[i] != NULL)
            make_file(names[i], stack->text[i], strlen(stack->text[i]));
    }
    files.shipped = stack->shipped;
}

static int flaws;
static char flaw_text[600];

static void on_flaw(void *ctx, const struct gov_flaw *flaw)
{
    ck_assert_ptr_eq(ctx, &flaws);
    if (flaws++ == 0)
        snprintf(flaw_text, sizeof(flaw_text), "%s:%zu:%zu", flaw->file,
                 flaw->line, flaw->column);
}

static gov_status load_stack(const struct stack *stack)
{
    const struct gov__policy_request request = {
        &files, faults_alloc(), source, pointed, on_flaw, &flaws};

    make_stack(stack);
    flaws = 0;
    return gov__policy_load(&policy, &request, &err);
}

#define WINDOW(ms) "version: 1\nlevels: { window: " #ms " ms }\n"
#define CALM(ms) "version: 1\nlevels: { calm: " #ms " ms }\n"
#define OVER(base) "version: 1\nbase: " base "\n"

START_TEST(each_is_laid_over_those_before_it)
{
    static const struct {
        struct stack stack;
        const char *source;          /* B: the directory */
        uint32_t window_ms, calm_ms; /* 0: whatever is shipped */
    } rows[] = {
        {{{WINDOW(1000), NULL, NULL}, NULL}, "balanced, B/0.yaml", 1000, 0},
        {{{WINDOW(1000), WINDOW(1100), NULL}, NULL},
         "balanced, B/0.yaml, B/1.yaml",
         1100,
         0},
        {{{WINDOW(1000), WINDOW(1100), WINDOW(1200)}, NULL},
         "balanced, B/0.yaml, B/1.yaml, B/2.yaml",
         1200,
         0},
        {{{WINDOW(1000), CALM(700), NULL}, NULL},
         "balanced, B/0.yaml, B/1.yaml",
         1000,
         700},
        {{{WINDOW(1000), NULL, CALM(700)}, NULL},
         "balanced, B/0.yaml, B/2.yaml",
         1000,
         700},
        {{{NULL, OVER("server"), NULL}, NULL}, "server, B/1.yaml", 0, 0},
        {{{OVER("server"), OVER("frugal"), NULL}, NULL},
         "frugal, B/0.yaml, B/1.yaml",
         0,
         0},
        {{{OVER("server"), OVER("balanced"), NULL}, NULL},
         "balanced, B/0.yaml, B/1.yaml",
         0,
         0},
        {{{WINDOW(1000), OVER("none"), CALM(700)}, NULL},
         "B/1.yaml, B/2.yaml",
         0,
         700},
        {{{NULL, NULL, NULL}, "frugal"}, "frugal", 0, 0},
        {{{NULL, NULL, NULL}, "balanced"}, "balanced", 0, 0},
        {{{NULL, WINDOW(1000), NULL}, "frugal"}, "frugal, B/1.yaml", 1000, 0},
        {{{NULL, OVER("server"), NULL}, "frugal"}, "frugal, B/1.yaml", 0, 0},
        {{{OVER("server"), OVER("frugal"), NULL}, "balanced"},
         "balanced, B/0.yaml, B/1.yaml",
         0,
         0},
    };
    struct gov_level_rules levels;
    size_t used = 0;

    ck_assert_msg(load_stack(&rows[_i].stack) == GOV_OK, "%s", err.message);
    for (const char *c = rows[_i].source; *c != '\0'; c++)
        used += (size_t)(*c == 'B' ? snprintf(want + used, sizeof(want) - used,
                                              "%s", directory)
                                   : snprintf(want + used, sizeof(want) - used,
                                              "%c", *c));
    ck_assert_str_eq(source, want);
    ck_assert_str_eq(pointed, "");
    gov_policy_levels(policy, &levels);
    if (rows[_i].window_ms != 0)
        ck_assert_uint_eq(levels.window_ms, rows[_i].window_ms);
    if (rows[_i].calm_ms != 0)
        ck_assert_uint_eq(levels.calm_ms, rows[_i].calm_ms);
    gov_policy_free(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* The line is of the file that erred, whichever that is. */
START_TEST(the_first_error_is_pointed_at)
{
    static const struct {
        struct stack stack;
        int file;
        const char *pointed;
    } rows[] = {
        {{{"version: 1\nrules: 7\n", CALM(1), CALM(2)}, NULL},
         0,
         "rules: 7\n       ^"},
        {{{CALM(1), "version: 1\nrules: 77\n", CALM(2)}, NULL},
         1,
         "rules: 77\n       ^"},
        {{{CALM(1), CALM(2), "version: 1\nrules: 777\n"}, NULL},
         2,
         "rules: 777\n       ^"},
        {{{CALM(1), "version: 1\nrules: 77\n", NULL}, "frugal"},
         1,
         "rules: 77\n       ^"},
        {{{"version: 1\nrules: 7\n", "version: 1\nrules: 77\n",
           "version: 1\nrules: 777\n"},
          NULL},
         0,
         "rules: 7\n       ^"},
    };

    ck_assert_int_eq(load_stack(&rows[_i].stack), GOV_E_FORMAT);
    snprintf(want, sizeof(want), "%s/%d.yaml:2:8", directory, rows[_i].file);
    ck_assert_str_eq(flaw_text, want);
    ck_assert_ptr_eq(strstr(err.message, want), err.message);
    ck_assert_str_eq(pointed, rows[_i].pointed);
    ck_assert_int_eq(flaws, _i == 4 ? 3 : 1); /* all are told */
    ck_assert_str_eq(source, "");
    ck_assert_ptr_null(policy);
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* `gov policy show ~/.config/governor/policy.yaml` */
START_TEST(a_file_that_is_named_too_counts_once)
{
    const struct stack stack = {{CALM(700), CALM(800), CALM(900)}, NULL};
    const struct gov__policy_request request = {
        &files, faults_alloc(), source, pointed, on_flaw, &flaws};
    struct gov_level_rules levels;

    make_stack(&stack);
    files.path[GOV__NAMED_FILE] = names[_i];
    if (_i == 1) { /* by another name */
        unlink(names[GOV__NAMED_FILE]);
        ck_assert_int_eq(symlink(names[1], names[GOV__NAMED_FILE]), 0);
        files.path[GOV__NAMED_FILE] = names[GOV__NAMED_FILE];
    }
    ck_assert_int_eq(gov__policy_load(&policy, &request, &err), GOV_OK);
    snprintf(want, sizeof(want), "balanced, %s, %s", names[1 - _i],
             files.path[GOV__NAMED_FILE]);
    ck_assert_str_eq(source, want);
    gov_policy_levels(policy, &levels);
    ck_assert_uint_eq(levels.calm_ms, _i == 0 ? 700 : 800);
    gov_policy_free(policy);
}
END_TEST

/* ---- what ------------------------------------------------------------------- */

START_TEST(no_regular_file)
{
    snprintf(want, sizeof(want),
             "policy file %s is no regular file; name a .yaml file", path);
    if (_i == 0)
        ck_assert_int_eq(mkdir(path, 0700), 0);
    else
        ck_assert_int_eq(mkfifo(path, 0600), 0); /* nobody writes: no hang */
    ck_refused(path, GOV_E_FORMAT, want);
}
END_TEST

START_TEST(too_large)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_eq(ftruncate(fd, 256 * 1024 + 1), 0);
    close(fd);
    snprintf(want, sizeof(want),
             "policy file %s has 262145 bytes, more than the 262144 that are "
             "read; make it smaller",
             path);
    ck_refused(path, GOV_E_FORMAT, want);
}
END_TEST

START_TEST(as_large_as_may_be)
{
    static char text[256 * 1024];

    memset(text, '\n', sizeof(text));
    memcpy(text, good, strlen(good));
    make_file(path, text, sizeof(text));
    snprintf(want, sizeof(want), "balanced, %s", path);
    ck_opened(path, want, 1);
}
END_TEST

START_TEST(empty)
{
    make_file(path, "", 0);
    ck_assert_int_eq(open_policy(path), GOV_E_FORMAT);
    ck_assert_str_ne(err.message, "");
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* An allocator that changes the file between its size and its text. */
static off_t change_to;

static void *changing_alloc(void *ctx, size_t bytes)
{
    (void)ctx;
    if (change_to >= 0)
        ck_assert_int_eq(truncate(path, change_to), 0);
    change_to = -1;
    return malloc(bytes);
}

static void changing_release(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

START_TEST(changed_while_it_was_read)
{
    static const struct gov_alloc changing = {NULL, changing_alloc,
                                              changing_release};
    static const off_t sizes[] = {0, 10, sizeof(good) - 2, sizeof(good),
                                  100000};

    make_file(path, good, strlen(good));
    change_to = sizes[_i];
    ck_assert_int_eq(
        gov_policy_open(&policy, path, NULL, NULL, NULL, NULL, &changing, &err),
        GOV_E_IO);
    snprintf(want, sizeof(want),
             "policy file %s changed while it was read; try again", path);
    ck_assert_str_eq(err.message, want);
    ck_assert_ptr_null(policy);
}
END_TEST

/* Files that the system makes up as they are read have no size, or a page. */
START_TEST(a_size_that_is_not_its_own)
{
    static const char *const made_up[] = {
        "/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"};

    if (access(made_up[_i], R_OK) != 0) {
        skip_test("a_size_that_is_not_its_own", made_up[_i]);
        return;
    }
    snprintf(want, sizeof(want),
             "policy file %s has another size than it says, as those of /proc "
             "and /sys do; copy it and name the copy",
             made_up[_i]);
    ck_refused(made_up[_i], GOV_E_FORMAT, want);
}
END_TEST

START_TEST(names_in_sentences_are_printable)
{
    ck_refused("./no\033[2J\nsuch", GOV_E_NOT_FOUND,
               "cannot open policy file ./no\\x1B[2J\\x0Asuch: No such file or "
               "directory");
}
END_TEST

/* ---- a text ------------------------------------------------------------------ */

START_TEST(a_text_as_it_is)
{
    char *text;
    size_t bytes;

    make_file(path, "a\0b\n", 4);
    ck_assert_int_eq(
        gov_policy_read_text(&text, &bytes, path, faults_alloc(), &err),
        GOV_OK);
    ck_assert_uint_eq(bytes, 4);
    ck_assert_mem_eq(text, "a\0b\n", 5);
    faults_alloc()->release(NULL, text);
    make_file(path, "", 0);
    ck_assert_int_eq(gov_policy_read_text(&text, NULL, path, NULL, NULL),
                     GOV_OK);
    ck_assert_str_eq(text, "");
    free(text);
    unlink(path);
    ck_assert_int_eq(
        gov_policy_read_text(&text, &bytes, path, faults_alloc(), &err),
        GOV_E_NOT_FOUND);
    ck_assert_ptr_null(text);
    ck_assert_uint_eq(bytes, 0);
    ck_assert_int_eq(gov_policy_read_text(NULL, &bytes, path, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_int_eq(gov_policy_read_text(&text, &bytes, NULL, NULL, &err),
                     GOV_E_INVALID);
    ck_assert_str_eq(err.message, "gov_policy_read_text() needs a path and a "
                                  "place for the text");
    ck_assert_int_eq(faults_live_blocks(), 0);
}
END_TEST

/* ---- what fails --------------------------------------------------------------- */

START_TEST(each_call_fails_in_turn)
{
    const struct stack stack = {{CALM(1), CALM(2), CALM(3)}, NULL};
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    ck_assert_int_eq(load_stack(&stack), GOV_OK);
    gov_policy_free(policy);
    faults_reset();
    {
        const struct gov__policy_request request = {
            .files = &files, .alloc = faults_alloc(), .source = source};

        ck_assert_int_eq(gov__policy_load(&policy, &request, &err), GOV_OK);
        gov_policy_free(policy);
        calls = faults_count();
        ck_assert_uint_ge(calls, 12); /* open, fstat, alloc, read of each */
        for (uint64_t n = 0; n < calls; n++) {
            gov_status status;

            memset(&err, 0, sizeof(err));
            faults_arm(n, _i != 0);
            status = gov__policy_load(&policy, &request, &err);
            ck_assert_msg(status != GOV_OK, "%s was swallowed", faults_last());
            ck_assert_int_eq(status, strcmp(faults_last(), "alloc") == 0
                                         ? GOV_E_NOMEM
                                         : GOV_E_IO);
            ck_assert_msg(err.message[0] != '\0', "%s is mute", faults_last());
            ck_assert_ptr_null(policy);
            ck_assert_int_eq(faults_live_blocks(), 0);
            ck_assert_int_eq(faults_open_descriptors(), descriptors);
        }
    }
}
END_TEST

START_TEST(an_interrupted_read_goes_on)
{
    make_file(path, good, strlen(good));
    faults_only("read");
    faults_set_errno(EINTR);
    faults_arm(0, false);
    snprintf(want, sizeof(want), "balanced, %s", path);
    ck_opened(path, want, 1);
    ck_assert_str_eq(faults_last(), "read");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_file");
    TCase *where = tcase_create("where"), *layers = tcase_create("layers"),
          *what = tcase_create("what");

    tcase_add_checked_fixture(where, set_up, NULL);
    tcase_add_checked_fixture(layers, set_up, NULL);
    tcase_add_checked_fixture(what, set_up, NULL);
    tcase_add_test(where, a_named_file);
    tcase_add_test(where, a_named_file_without_a_slash);
    tcase_add_test(where, a_named_file_that_is_not_there_is_not_replaced);
    tcase_add_loop_test(where, a_shipped_one_by_name, 0, 4);
    tcase_add_loop_test(where, a_name_that_is_none, 0, 4);
    tcase_add_test(where, the_shipped_one_when_there_is_no_file);
    tcase_add_test(where, the_users_file);
    tcase_add_test(where, xdg_config_home_before_home);
    tcase_add_loop_test(where, an_xdg_config_home_that_is_none, 0, 3);
    tcase_add_test(where, homes_that_lead_nowhere);
    tcase_add_test(where, a_users_file_that_is_broken_is_not_passed_over);
    tcase_add_test(where, a_file_that_may_not_be_read);
    tcase_add_loop_test(layers, each_is_laid_over_those_before_it, 0, 14);
    tcase_add_loop_test(layers, the_first_error_is_pointed_at, 0, 5);
    tcase_add_loop_test(layers, a_file_that_is_named_too_counts_once, 0, 2);
    tcase_add_loop_test(what, no_regular_file, 0, 2);
    tcase_add_test(what, too_large);
    tcase_add_test(what, as_large_as_may_be);
    tcase_add_test(what, empty);
    tcase_add_test(what, a_text_as_it_is);
    tcase_add_loop_test(what, changed_while_it_was_read, 0, 5);
    tcase_add_loop_test(what, a_size_that_is_not_its_own, 0, 2);
    tcase_add_test(what, names_in_sentences_are_printable);
    tcase_add_loop_test(what, each_call_fails_in_turn, 0, 2);
    tcase_add_test(what, an_interrupted_read_goes_on);
    suite_add_tcase(s, where);
    suite_add_tcase(s, layers);
    suite_add_tcase(s, what);
    return s;
}
