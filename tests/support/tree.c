/* SPDX-License-Identifier: MIT */
#include "tests/support/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/run.h"

/* Elsewhere than on Linux it does not exist, and nobody calls tree_platform(). */
#pragma weak gov__platform_linux_at

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

void tree_plant(const char *root, const char *name, const char *text,
                size_t bytes)
{
    char path[2048];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    make_parents(path);
    file = fopen(path, "w");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_uint_eq(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
}

void tree_plant_text(const char *root, const char *name, const char *text)
{
    tree_plant(root, name, text, strlen(text));
}

char *tree_read(const char *name)
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
static void spoil(char *text, size_t length, uint32_t *seed)
{
    static const char junk[] = "\n :,/-.\\019mx";

    for (size_t n = 0; n < 1 + length / 64 && length > 0; n++) {
        *seed = *seed * 1664525 + 1013904223;
        text[(*seed >> 8) % length] = junk[(*seed >> 4) % (sizeof(junk) - 1)];
    }
}

void tree_plant_all(const char *root, char *text, uint32_t *seed)
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
        tree_plant(root, name, body, length);
        at = next;
    }
}

const char *tree_use(const char *name)
{
    const char *root = fresh_directory();
    char *text = tree_read(name);

    tree_plant_all(root, text, NULL);
    free(text);
    return root;
}

const char *tree_platform(struct gov_platform *out, const char *name)
{
    static struct gov__linux_root root; /* of the latest table */

    root.root = name != NULL ? tree_use(name) : fresh_directory();
    gov__platform_linux_at(out, &root);
    return root.root;
}
