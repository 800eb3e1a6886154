/* SPDX-License-Identifier: MIT */
/* What holding a purgeable block and letting it go take, in nanoseconds, as a
 * table: the median of many, of a block that the kernel was never told of (in a
 * group) and of one that it was. Knows nothing of the library but its headers.
 *
 *   --check   exit status 1 above 50 ns in a group, or 1000 ns a page outside
 */
#include <governor/governor.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 301
#define AT_ONCE 1000 /* pairs to a reading of the clock, where they are short */

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(values[0]), by_size);
    return values[ROUNDS / 2];
}

struct times {
    double pin, unpin, hand_over;
};

/* One block that was handed over before each hold. */
static struct times time_pages(gov_purgeable *block, gov_purgeable_group *group)
{
    double pin[ROUNDS], unpin[ROUNDS], over[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        const double start = now_ns();
        double held, let_go;

        (void)gov_purgeable_begin(block, NULL);
        held = now_ns();
        gov_purgeable_end(block);
        let_go = now_ns();
        if (group != NULL)
            (void)gov_purgeable_group_hand_over(group);
        over[i] = now_ns() - let_go;
        pin[i] = held - start;
        unpin[i] = let_go - held;
    }
    return (struct times){median(pin), median(unpin), median(over)};
}

static double time_pair(gov_purgeable *block)
{
    double pair[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        const double start = now_ns();

        for (int n = 0; n < AT_ONCE; n++) {
            (void)gov_purgeable_begin(block, NULL);
            gov_purgeable_end(block);
        }
        pair[i] = (now_ns() - start) / AT_ONCE;
    }
    return median(pair);
}

static bool time_block(size_t pages)
{
    const double n = (double)pages;
    gov_purgeable_group *group;
    gov_purgeable *block;
    struct times alone, handed;
    double pair;
    gov_error err;

    if (gov_purgeable_group_new(&group, NULL, &err) != GOV_OK ||
        gov_purgeable_new(&block, pages * gov_page_bytes(), "pin_time", NULL,
                          &err) != GOV_OK) {
        fprintf(stderr, "pin_time: %s\n", err.message);
        exit(2);
    }
    memset(gov_purgeable_begin(block, NULL), 1, gov_purgeable_bytes(block));
    gov_purgeable_end(block);
    gov_purgeable_end(block);
    alone = time_pages(block, NULL);
    gov_purgeable_join(block, group);
    handed = time_pages(block, group);
    pair = time_pair(block);
    gov_purgeable_free(block);
    gov_purgeable_group_free(group);
    printf("| %zu | %.1f | %.1f | %.1f | %.1f | %.1f |\n", pages, pair,
           alone.pin / n, alone.unpin / n, handed.pin / n,
           handed.hand_over / n);
    return pair <= 2 * 50 && alone.pin <= 1000 * n && alone.unpin <= 1000 * n &&
           handed.pin <= 1000 * n && handed.hand_over <= 1000 * n;
}

int main(int argc, char **argv)
{
    const bool checks = argc > 1 && strcmp(argv[1], "--check") == 0;
    const size_t sizes[] = {1, 16, 256, 4096, 16384};
    bool good = true;

    printf("| pages | in a group: hold and let go, ns | alone: hold, ns a page "
           "| let go | after a hand-over: hold | hand over |\n"
           "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        good &= time_block(sizes[i]);
    return checks && !good ? 1 : 0;
}
