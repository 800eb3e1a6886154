/* SPDX-License-Identifier: MIT */
/* Writes, replaces, reads and removes states until it is killed, and says what was
 * acknowledged; then finds out whether it is so.
 *
 *   spiller write DIRECTORY LOG PREFIX FIRST   until killed; FIRST: of its versions
 *   spiller check DIRECTORY LOG DRAFTS         DRAFTS: of others, at most
 *   spiller --time DIRECTORY BYTES             a line of JSON
 *
 * tests/system/spilled.sh. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "governor/spill.h"

#define NAMES 6      /* of one writer */
#define MOST 400000  /* bytes of a state */
#define HISTORY 1000 /* versions begun since the last that was acknowledged */

static gov_error err;

static void fail(const char *what, const char *more)
{
    fprintf(stderr, "spiller: %s: %s\n", what, more);
    exit(1);
}

static void must(gov_status status, const char *what)
{
    if (status != GOV_OK)
        fail(what, err.message);
}

static gov_spill *open_it(const char *directory)
{
    struct gov_spill_options options = gov_spill_options_default();
    gov_spill *spill;

    options.directory = directory;
    options.spare_bytes = 1;
    must(gov_spill_open(&spill, &options, &err), "open");
    return spill;
}

/* A version tells its length and its bytes. */
static size_t length_of(uint64_t version)
{
    return (size_t)(version * 2654435761U % MOST);
}

static unsigned char byte_of(uint64_t version, size_t i)
{
    return (unsigned char)(version * 31 + i * 7 + i / 256 + (version >> 8));
}

/* ---- writing ------------------------------------------------------------------------ */

/* What is in the log was said before a kill: a write of its own. */
static void say(int log, char what, const char *name, uint64_t version)
{
    char line[80];
    const int n = snprintf(line, sizeof(line), "%c %s %" PRIu64 "\n", what,
                           name, version);

    if (write(log, line, (size_t)n) != n)
        fail("log", "cannot be written");
}

static void put(gov_spill *spill, const char *name, uint64_t version)
{
    static unsigned char state[MOST];
    const size_t bytes = length_of(version);
    gov_spill_draft *draft;

    for (size_t i = 0; i < bytes; i++)
        state[i] = byte_of(version, i);
    must(gov_spill_begin(spill, name, bytes, &draft, &err), "begin");
    for (size_t done = 0; done < bytes; done += 50000)
        must(gov_spill_write(draft, state + done,
                             bytes - done < 50000 ? bytes - done : 50000, &err),
             "write");
    must(gov_spill_commit(draft, &version, sizeof(version), NULL, &err),
         "commit");
}

/* Version 0: there is none. */
static void write_on(gov_spill *spill, int log, const char *prefix,
                     uint64_t version)
{
    unsigned seed = (unsigned)version + 1;
    char name[32], path[GOV_SPILL_PATH_BYTES];

    for (;; version++) {
        seed = seed * 1103515245U + 12345U;
        snprintf(name, sizeof(name), "%s/%u", prefix, (seed >> 16) % NAMES);
        if ((seed >> 24) % 8 == 0) {
            say(log, 'b', name, 0);
            (void)gov_spill_remove(spill, name, &err);
            say(log, 'd', name, 0);
            continue;
        }
        say(log, 'b', name, version);
        put(spill, name, version);
        say(log, 'd', name, version);
        must(gov_spill_check(spill, name, path, NULL, &err), "check");
    }
}

/* ---- what is there ------------------------------------------------------------------- */

struct known {
    char name[32];
    uint64_t
        maybe[HISTORY]; /* the last that was acknowledged, and later ones */
    size_t count;
};

static void learn(struct known *k, char what, uint64_t version)
{
    if (what == 'd')
        k->count = 0;
    if (k->count == HISTORY)
        fail(k->name, "too much was begun");
    k->maybe[k->count++] = version;
}

/* The version that is there, whole; 0: none. */
static uint64_t version_of(gov_spill *spill, const char *name)
{
    char path[GOV_SPILL_PATH_BYTES];
    struct gov_spill_state state;
    uint64_t version = 0;
    gov_status status = gov_spill_check(spill, name, path, &state, &err);
    size_t i = 0;
    FILE *file;
    int c;

    if (status == GOV_E_NOT_FOUND)
        return 0;
    must(status, name);
    must(gov_spill_note(spill, name, &version, sizeof(version), NULL, &err),
         name);
    if (state.state_bytes != length_of(version))
        fail(name, "has another length");
    file = fopen(path, "rb");
    if (file == NULL)
        fail(name, "cannot be opened");
    for (; i < state.state_bytes && (c = getc(file)) != EOF; i++)
        if (c != byte_of(version, i))
            fail(name, "has other bytes");
    fclose(file);
    if (i != state.state_bytes)
        fail(name, "is too short");
    return version;
}

static long drafts_in(const char *directory)
{
    DIR *list = opendir(directory);
    const struct dirent *entry;
    long n = 0;

    while (list != NULL && (entry = readdir(list)) != NULL)
        n += strstr(entry->d_name, ".draft") != NULL;
    if (list != NULL)
        closedir(list);
    return n;
}

static void check_all(gov_spill *spill, const char *directory, FILE *log,
                      long drafts)
{
    static struct known all[NAMES];
    size_t count = 0;
    char what, name[32];
    uint64_t version;

    while (fscanf(log, " %c %31s %" SCNu64, &what, name, &version) == 3) {
        size_t i = 0;

        while (i < count && strcmp(all[i].name, name) != 0)
            i++;
        if (i == NAMES)
            fail("log", "has too many names");
        if (i == count) {
            snprintf(all[count++].name, sizeof(name), "%s", name);
            learn(&all[i], 'd', 0); /* at first there is none */
        }
        learn(&all[i], what, version);
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t there = version_of(spill, all[i].name);
        bool known = false;

        for (size_t n = 0; n < all[i].count; n++)
            known |= all[i].maybe[n] == there;
        if (!known) {
            fprintf(stderr,
                    "%s is of version %" PRIu64 ", not of %" PRIu64 "\n",
                    all[i].name, there, all[i].maybe[0]);
            exit(1);
        }
    }
    if (drafts_in(directory) > drafts)
        fail(directory, "has drafts of the dead");
}

/* ---- how long it takes --------------------------------------------------------------- */

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void time_it(gov_spill *spill, size_t bytes)
{
    char *state = malloc(bytes), path[GOV_SPILL_PATH_BYTES];
    const double gb = (double)bytes / 1e9;
    gov_spill_draft *draft;
    double at[6];

    if (state == NULL)
        fail("time", "no memory");
    for (size_t i = 0; i < bytes; i++)
        state[i] = (char)byte_of(i / 4096, i);
    must(gov_spill_begin(spill, "time", bytes, &draft, &err), "begin");
    at[0] = now();
    must(gov_spill_write(draft, state, bytes, &err), "write");
    at[1] = now();
    must(gov_spill_commit(draft, NULL, 0, NULL, &err), "commit");
    at[2] = now();
    gov_spill_cool(spill, "time");
    at[3] = now();
    must(gov_spill_check(spill, "time", path, NULL, &err), "check");
    at[4] = now();
    must(gov_spill_check(spill, "time", path, NULL, &err), "check");
    at[5] = now();
    must(gov_spill_remove(spill, "time", &err), "remove");
    printf("{\"bytes\":%zu,\"write_gb_s\":%.2f,\"commit_gb_s\":%.2f,"
           "\"check_gb_s\":%.2f,\"check_cached_gb_s\":%.2f}\n",
           bytes, gb / (at[1] - at[0]), gb / (at[2] - at[1]),
           gb / (at[4] - at[3]), gb / (at[5] - at[4]));
    free(state);
}

int main(int argc, char **argv)
{
    gov_spill *spill;

    if (argc == 6 && strcmp(argv[1], "write") == 0) {
        const int log = open(argv[3], O_WRONLY | O_CREAT | O_APPEND, 0600);

        if (log < 0)
            fail(argv[3], "cannot be opened");
        write_on(open_it(argv[2]), log, argv[4], strtoull(argv[5], NULL, 10));
    } else if (argc == 5 && strcmp(argv[1], "check") == 0) {
        FILE *log = fopen(argv[3], "r");

        spill = open_it(argv[2]);
        if (log != NULL) /* it was killed before it said a word */
            check_all(spill, argv[2], log, strtol(argv[4], NULL, 10));
        if (log != NULL)
            fclose(log);
        gov_spill_close(spill);
    } else if (argc == 4 && strcmp(argv[1], "--time") == 0) {
        spill = open_it(argv[2]);
        time_it(spill, (size_t)strtoull(argv[3], NULL, 10));
        gov_spill_close(spill);
    } else {
        fprintf(stderr, "usage: spiller write|check|--time DIRECTORY ...\n");
        return 2;
    }
    return 0;
}
