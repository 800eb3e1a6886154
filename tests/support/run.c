/* SPDX-License-Identifier: MIT */
/* main() of every unit test: runs the suite, each case in a process of its own
 * unless CK_FORK=no. */
#include "tests/support/run.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Made before any test runs and removed after all: a test is a process of its
 * own, and what it leaves behind nobody else knows of. */
static char all[256];
static char directory[300];

void skip_test(const char *test, const char *reason)
{
    fprintf(stderr, "skip: %s: %s\n", test, reason);
}

bool is_sanitized(void)
{
    const char *name = getenv("SAN");

    return name != NULL && name[0] != '\0';
}

static int remove_entry(const char *path, const struct stat *st, int flag,
                        struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void make_directory(char *template)
{
    if (mkdtemp(template) == NULL) {
        perror(template);
        abort();
    }
}

static void remove_tree(char *path)
{
    if (path[0] != '\0')
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    path[0] = '\0';
}

void drop_directory(void)
{
    remove_tree(directory);
}

const char *fresh_directory(void)
{
    drop_directory();
    snprintf(directory, sizeof(directory), "%s/XXXXXX", all);
    make_directory(directory);
    return directory;
}

int main(void)
{
    const char *base = getenv("TMPDIR");
    SRunner *runner;
    int failed;

    snprintf(all, sizeof(all), "%s/governor-test-XXXXXX",
             base != NULL ? base : "/tmp");
    make_directory(all);
    chmod(all, 0755); /* a test may become another user */
    runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_tree(all);
    return failed == 0 ? 0 : 1;
}
