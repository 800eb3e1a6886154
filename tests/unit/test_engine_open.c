/* SPDX-License-Identifier: MIT */
/* Finding an engine adapter: names, places, and files that are none. An adapter
 * that works is opened by tests/engine. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "governor/engine.h"
#include "governor/platform/platform.h"
#include "tests/support/faults.h"
#include "tests/support/run.h"

static gov_error err;
static const char *directory;
static char want[1200];

static void set_up(void)
{
    directory = fresh_directory();
    setenv("GOVERNOR_ENGINE_DIR", directory, 1);
}

static void ck_refused(const char *name, gov_status status, const char *message)
{
    const struct gov_engine *engine = (const struct gov_engine *)1;

    memset(&err, 0, sizeof(err));
    ck_assert_int_eq(gov_engine_open(&engine, name, &err), status);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(engine);
    ck_assert_int_eq(gov_engine_open(&engine, name, NULL), status);
}

static const struct {
    const char *name, *shown;
} bad[] = {
    {NULL, ""},
    {"", ""},
    {"../llama", "../llama"},
    {"llama/", "llama/"},
    {"llama.so", "llama.so"},
    {"Llama", "Llama"},
    {"llama ", "llama "},
    {"l\xC3\xA4ma", "l\xC3\xA4ma"},
    {"%s%n", "%s%n"},
    {"12345678901234567890123456789012", "12345678901234567890123456789012"},
    {"123456789012345678901234567890123456789012345",
     "1234567890123456789012345678901234567890"},
};

START_TEST(a_name_is_no_path)
{
    snprintf(want, sizeof(want),
             "\"%s\" is no name of an engine; \"llama\" is one", bad[_i].shown);
    ck_refused(bad[_i].name, GOV_E_INVALID, want);
}
END_TEST

START_TEST(nothing_there)
{
    const char *names[] = {"llama", "a-b-9", "1234567890123456789012345678901"};

    for (size_t i = 0; i < 3; i++) {
        snprintf(want, sizeof(want),
                 "no adapter for engine %s in %s; install one, or run make "
                 "engine and make in the source tree",
                 names[i], directory);
        ck_refused(names[i], GOV_E_NOT_FOUND, want);
    }
}
END_TEST

START_TEST(a_place_that_is_too_long)
{
    static char longest[5000];

    memset(longest, 'a', sizeof(longest) - 1);
    longest[0] = '/';
    setenv("GOVERNOR_ENGINE_DIR", longest, 1);
    ck_assert_int_eq(
        gov_engine_open(&(const struct gov_engine *){NULL}, "llama", &err),
        GOV_E_NOT_FOUND);
}
END_TEST

/* Unset, and empty, which is as good: beside the library and where it was built
 * to look. Neither is the root directory. */
START_TEST(where_it_looks_by_itself)
{
    const struct gov_platform *native = gov__platform_native();
    const struct gov_engine *engine;
    char here[1024];

    if (_i == 0)
        unsetenv("GOVERNOR_ENGINE_DIR");
    else
        setenv("GOVERNOR_ENGINE_DIR", "", 1);
    ck_assert_int_eq(native->object_path(native->ctx, (const void *)&err, here,
                                         sizeof(here)),
                     0);
    *strrchr(here, '/') = '\0';
    ck_assert_int_eq(gov_engine_open(&engine, "none-such", &err),
                     GOV_E_NOT_FOUND);
    snprintf(want, sizeof(want), "no adapter for engine none-such in %s/gov",
             here);
    ck_assert_msg(strncmp(err.message, want, strlen(want)) == 0 ||
                      strlen(want) > sizeof(err.message),
                  "%s", err.message);
}
END_TEST

START_TEST(no_shared_object)
{
    static const char text[] = "this is no shared object, however long it is\n"
                               "this is no shared object, however long it is\n";
    const struct gov_engine *engine;
    char path[600];
    int descriptors, fd;

    snprintf(path, sizeof(path), "%s/libgovernor-text.so", directory);
    fd = open(path, O_WRONLY | O_CREAT, 0700);
    ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    descriptors = faults_open_descriptors();
    ck_assert_int_eq(gov_engine_open(&engine, "text", &err), GOV_E_UNSUPPORTED);
    snprintf(want, sizeof(want), "engine adapter %s cannot be loaded: ", path);
    ck_assert_msg(strncmp(err.message, want, strlen(want)) == 0, "%s",
                  err.message);
    ck_assert_ptr_null(engine);
    ck_assert_int_eq(faults_open_descriptors(), descriptors);
}
END_TEST

/* The path of the C library, which has no entry of an adapter. */
START_TEST(a_shared_object_without_the_entry)
{
    const struct gov_platform *native = gov__platform_native();
    void *in_libc = dlsym(RTLD_DEFAULT, "qsort");
    char libc[1024], path[600];

    if (in_libc == NULL ||
        native->object_path(native->ctx, in_libc, libc, sizeof(libc)) != 0) {
        skip_test("a_shared_object_without_the_entry",
                  "the C library is no shared object here");
        return;
    }
    snprintf(path, sizeof(path), "%s/libgovernor-libc.so", directory);
    ck_assert_int_eq(symlink(libc, path), 0);
    snprintf(want, sizeof(want),
             "%s is no engine adapter: it has no gov_engine_entry()", path);
    ck_refused("libc", GOV_E_UNSUPPORTED, want);
}
END_TEST

START_TEST(a_link_that_leads_nowhere)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/libgovernor-gone.so", directory);
    ck_assert_int_eq(symlink("nowhere", path), 0);
    snprintf(want, sizeof(want),
             "no adapter for engine gone in %s; install one, or run make "
             "engine and make in the source tree",
             directory);
    ck_refused("gone", GOV_E_NOT_FOUND, want);
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("engine_open");
    TCase *tc = tcase_create("adapters");

    tcase_add_checked_fixture(tc, set_up, NULL);
    tcase_add_loop_test(tc, a_name_is_no_path, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tc, nothing_there);
    tcase_add_test(tc, a_place_that_is_too_long);
    tcase_add_loop_test(tc, where_it_looks_by_itself, 0, 2);
    tcase_add_test(tc, no_shared_object);
    tcase_add_test(tc, a_shared_object_without_the_entry);
    tcase_add_test(tc, a_link_that_leads_nowhere);
    suite_add_tcase(s, tc);
    return s;
}
