/* SPDX-License-Identifier: MIT */
/* The Linux table over small copies of /proc and /sys: fixtures/NAME.tree holds
 * one each, all files of it in one text. Its first line says where it comes
 * from. Functions that a test does not call cost nothing. */
#ifndef GOV_TESTS_TREE_FIXTURE_H
#define GOV_TESTS_TREE_FIXTURE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "governor/platform/platform.h"
#include "tests/support/run.h"

/* Elsewhere than on Linux it does not exist; then there is nothing to test. */
#pragma weak gov__platform_linux_at

static struct gov_platform platform;
static struct gov__linux_root root;

static inline void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

/* Puts one file below the root. */
static inline void plant(const char *name, const char *text, size_t bytes)
{
    char path[2048];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", root.root, name);
    make_parents(path);
    file = fopen(path, "w");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
}

static inline void plant_text(const char *name, const char *text)
{
    plant(name, text, strlen(text));
}

/* Reads a whole fixture; the caller frees it. */
static inline char *read_tree(const char *name)
{
    char path[256], *text;
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "tests/unit/fixtures/%s.tree", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s: %s (run from the top of the tree)", path,
                  strerror(errno));
    text = calloc(1, 65536);
    ck_assert_ptr_nonnull(text);
    n = fread(text, 1, 65535, file);
    ck_assert_uint_lt(n, 65535);
    fclose(file);
    return text;
}

/* Writes something else over a few bytes. */
static inline void spoil(char *text, size_t length, uint32_t *seed)
{
    static const char junk[] = "\n :,/-.\\019mx";

    for (size_t n = 0; n < 1 + length / 64 && length > 0; n++) {
        *seed = *seed * 1664525 + 1013904223;
        text[(*seed >> 8) % length] = junk[(*seed >> 4) % (sizeof(junk) - 1)];
    }
}

/* Fills the root with the files of a tree: "-- NAME --", then its text. With a
 * seed the texts, not the names, are spoiled. */
static inline void plant_tree(char *text, uint32_t *seed)
{
    char *at = strstr(text, "\n-- ");

    while (at != NULL) {
        char *name = at + 4, *end = strstr(name, " --\n"), *body, *next;
        size_t length;

        ck_assert_ptr_nonnull(end);
        *end = '\0';
        body = end + 4;
        /* The newline that ends an empty file's header is the one before the
         * next header. */
        next = strncmp(body, "-- ", 3) == 0 ? body - 1 : strstr(body, "\n-- ");
        length = next == NULL   ? strlen(body)
                 : next >= body ? (size_t)(next - body) + 1
                                : 0;
        /* The next header must still be found. */
        if (seed != NULL && length > 1)
            spoil(body, length - 1, seed);
        plant(name, body, length);
        at = next;
    }
}

static inline void use_empty_tree(void)
{
    root.root = fresh_directory();
    gov__platform_linux_at(&platform, &root);
}

static inline void use_tree(const char *name)
{
    char *text = read_tree(name);

    use_empty_tree();
    plant_tree(text, NULL);
    free(text);
}

#endif
