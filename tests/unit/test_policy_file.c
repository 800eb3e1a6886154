/* SPDX-License-Identifier: MIT */
/* Where rules come from, in which order, and what a policy file may not be. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "governor/policy.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

#define SYSTEM_RULES "/etc/governor/rules.yaml"

static const char good[] = "version: 1\n"
                           "rules:\n"
                           "  - name: mine\n"
                           "    when: model.encrypted\n"
                           "    then: { strategy: heap }\n"
                           "    because: it is a test\n";

static gov_error err;
static gov_policy *rules;
static char source[GOV_MESSAGE_BYTES], pointed[GOV_MESSAGE_BYTES];
static const char *directory;
static char path[600], want[900];

static void set_up(void)
{
    faults_reset();
    directory = fresh_directory();
    snprintf(path, sizeof(path), "%s/rules.yaml", directory);
    memset(pointed, 'x', sizeof(pointed));
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

/* DIRECTORY/base/governor/rules.yaml */
static void make_rules_in(const char *base, const char *text)
{
    char name[700];

    snprintf(name, sizeof(name), "%s/%s", directory, base);
    mkdir(name, 0700);
    snprintf(name, sizeof(name), "%s/%s/governor", directory, base);
    mkdir(name, 0700);
    snprintf(name, sizeof(name), "%s/%s/governor/rules.yaml", directory, base);
    make_file(name, text, strlen(text));
}

static gov_status open_rules(const char *name)
{
    rules = (gov_policy *)1;
    memset(&err, 0, sizeof(err));
    return gov_policy_open(&rules, name, source, pointed, faults_alloc(), &err);
}

static void ck_refused(const char *name, gov_status status, const char *message)
{
    ck_assert_int_eq(open_rules(name), status);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(rules);
    ck_assert_str_eq(pointed, "");
    ck_assert_int_eq(faults_live_blocks(), 0);
}

static void ck_opened(const char *name, const char *from, size_t count)
{
    ck_assert_msg(open_rules(name) == GOV_OK, "%s", err.message);
    ck_assert_str_eq(source, from);
    ck_assert_uint_eq(gov_policy_rules(rules), count);
    gov_policy_free(rules);
    ck_assert_int_eq(faults_live_blocks(), 0);
}

/* ---- where ------------------------------------------------------------------ */

static bool system_has_rules(const char *test)
{
    if (access(SYSTEM_RULES, F_OK) != 0)
        return false;
    skip_test(test, "this machine has " SYSTEM_RULES);
    return true;
}

static size_t shipped_count(void)
{
    gov_policy *shipped;
    size_t count;

    ck_assert_int_eq(gov_policy_parse(&shipped, gov_policy_shipped(),
                                     strlen(gov_policy_shipped()), "shipped",
                                     NULL, &err),
                     GOV_OK);
    count = gov_policy_rules(shipped);
    gov_policy_free(shipped);
    return count;
}

START_TEST(a_named_file)
{
    make_file(path, good, strlen(good));
    ck_opened(path, path, 1);
    ck_assert_int_eq(gov_policy_open(&rules, path, NULL, NULL, NULL, NULL),
                     GOV_OK);
    gov_policy_free(rules);
}
END_TEST

START_TEST(a_named_file_that_is_not_there_is_not_replaced)
{
    make_rules_in(".config", good);
    snprintf(want, sizeof(want),
             "cannot open policy file %s: No such file or directory", path);
    ck_refused(path, GOV_E_NOT_FOUND, want);
    ck_assert_str_eq(source, path);
}
END_TEST

START_TEST(the_shipped_rules_when_there_is_no_file)
{
    if (system_has_rules("the_shipped_rules_when_there_is_no_file"))
        return;
    ck_assert_uint_gt(shipped_count(), 0);
    ck_opened(NULL, "shipped rules", shipped_count());
    unsetenv("HOME");
    ck_opened(NULL, "shipped rules", shipped_count());
    setenv("HOME", "", 1);
    ck_opened(NULL, "shipped rules", shipped_count());
    setenv("HOME", "relative", 1);
    ck_opened(NULL, "shipped rules", shipped_count());
}
END_TEST

START_TEST(the_users_file_first)
{
    make_rules_in(".config", good);
    snprintf(want, sizeof(want), "%s/.config/governor/rules.yaml", directory);
    ck_opened(NULL, want, 1);
}
END_TEST

START_TEST(xdg_config_home_before_home)
{
    char base[600];

    make_rules_in("xdg", good);
    make_rules_in(".config", "broken");
    snprintf(base, sizeof(base), "%s/xdg", directory);
    setenv("XDG_CONFIG_HOME", base, 1);
    snprintf(want, sizeof(want), "%s/xdg/governor/rules.yaml", directory);
    ck_opened(NULL, want, 1);
}
END_TEST

/* Empty or relative is as good as unset: the XDG specification. */
START_TEST(an_xdg_config_home_that_is_none)
{
    static const char *const values[] = {"", "xdg", "./xdg"};

    make_rules_in(".config", good);
    setenv("XDG_CONFIG_HOME", values[_i], 1);
    snprintf(want, sizeof(want), "%s/.config/governor/rules.yaml", directory);
    ck_opened(NULL, want, 1);
}
END_TEST

START_TEST(homes_that_lead_nowhere)
{
    static char longest[5000];
    char base[600];

    if (system_has_rules("homes_that_lead_nowhere"))
        return;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[0] = '/';
    setenv("XDG_CONFIG_HOME", longest, 1);
    ck_opened(NULL, "shipped rules", shipped_count());
    make_file(path, good, strlen(good)); /* a file where a directory belongs */
    snprintf(base, sizeof(base), "%s/rules.yaml", directory);
    setenv("XDG_CONFIG_HOME", base, 1);
    ck_opened(NULL, "shipped rules", shipped_count());
}
END_TEST

/* A user who wrote rules does not get others because of a slip. */
START_TEST(a_users_file_that_is_broken_is_not_passed_over)
{
    make_rules_in(".config", "version: 1\nrules: 7\n");
    ck_assert_int_eq(open_rules(NULL), GOV_E_FORMAT);
    snprintf(want, sizeof(want), "%s/.config/governor/rules.yaml", directory);
    ck_assert_str_eq(source, want);
    ck_assert_str_eq(pointed, "rules: 7\n       ^");
    ck_assert_ptr_null(rules);
    ck_assert_int_eq(faults_live_blocks(), 0);
    /* Also for a caller who wants no error. */
    memset(pointed, 'x', sizeof(pointed));
    ck_assert_int_eq(gov_policy_open(&rules, NULL, NULL, pointed, NULL, NULL),
                     GOV_E_FORMAT);
    ck_assert_str_eq(pointed, "rules: 7\n       ^");
}
END_TEST

START_TEST(a_file_that_may_not_be_read)
{
    if (geteuid() == 0) {
        /* root reads everything: the call itself is made to refuse. */
        make_file(path, good, strlen(good));
        faults_only("open");
        faults_set_errno(EACCES);
        faults_arm(0, false);
    } else {
        make_file(path, good, strlen(good));
        chmod(path, 0);
    }
    snprintf(want, sizeof(want), "cannot open policy file %s: Permission denied",
             path);
    ck_refused(path, GOV_E_PERMISSION, want);
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
    ck_opened(path, path, 1);
}
END_TEST

START_TEST(empty)
{
    make_file(path, "", 0);
    ck_assert_int_eq(open_rules(path), GOV_E_FORMAT);
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
    ck_assert_int_eq(gov_policy_open(&rules, path, NULL, NULL, &changing, &err),
                     GOV_E_IO);
    snprintf(want, sizeof(want),
             "policy file %s changed while it was read; try again", path);
    ck_assert_str_eq(err.message, want);
    ck_assert_ptr_null(rules);
}
END_TEST

/* ---- what fails --------------------------------------------------------------- */

START_TEST(each_call_fails_in_turn)
{
    int descriptors = faults_open_descriptors();
    uint64_t calls;

    make_file(path, good, strlen(good));
    faults_reset();
    ck_opened(path, path, 1);
    calls = faults_count();
    ck_assert_uint_ge(calls, 4); /* open, fstat, alloc, read and the parser's */
    for (uint64_t n = 0; n < calls; n++) {
        gov_status status;

        faults_arm(n, _i != 0);
        status = open_rules(path);
        ck_assert_msg(status != GOV_OK, "%s was swallowed", faults_last());
        ck_assert_int_eq(status, strcmp(faults_last(), "alloc") == 0
                                     ? GOV_E_NOMEM
                                     : GOV_E_IO);
        ck_assert_msg(err.message[0] != '\0', "%s is mute", faults_last());
        ck_assert_ptr_null(rules);
        ck_assert_int_eq(faults_live_blocks(), 0);
        ck_assert_int_eq(faults_open_descriptors(), descriptors);
    }
}
END_TEST

START_TEST(an_interrupted_read_goes_on)
{
    make_file(path, good, strlen(good));
    faults_only("read");
    faults_set_errno(EINTR);
    faults_arm(0, false);
    ck_opened(path, path, 1);
    ck_assert_str_eq(faults_last(), "read");
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("policy_file");
    TCase *where = tcase_create("where"), *what = tcase_create("what");

    tcase_add_checked_fixture(where, set_up, NULL);
    tcase_add_checked_fixture(what, set_up, NULL);
    tcase_add_test(where, a_named_file);
    tcase_add_test(where, a_named_file_that_is_not_there_is_not_replaced);
    tcase_add_test(where, the_shipped_rules_when_there_is_no_file);
    tcase_add_test(where, the_users_file_first);
    tcase_add_test(where, xdg_config_home_before_home);
    tcase_add_loop_test(where, an_xdg_config_home_that_is_none, 0, 3);
    tcase_add_test(where, homes_that_lead_nowhere);
    tcase_add_test(where, a_users_file_that_is_broken_is_not_passed_over);
    tcase_add_test(where, a_file_that_may_not_be_read);
    tcase_add_loop_test(what, no_regular_file, 0, 2);
    tcase_add_test(what, too_large);
    tcase_add_test(what, as_large_as_may_be);
    tcase_add_test(what, empty);
    tcase_add_loop_test(what, changed_while_it_was_read, 0, 5);
    tcase_add_loop_test(what, each_call_fails_in_turn, 0, 2);
    tcase_add_test(what, an_interrupted_read_goes_on);
    suite_add_tcase(s, where);
    suite_add_tcase(s, what);
    return s;
}
