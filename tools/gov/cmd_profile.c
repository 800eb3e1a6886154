/* SPDX-License-Identifier: MIT */
/* gov profile: the onboarding command. Measures, stores, shows, and says whether
 * the machine will do. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/gov/profile_text.h"

#define PATH_BYTES 1024
#define CHANGES_BYTES 1024

/* As the command line has it. */
struct wanted {
    bool quick, full, no_save, show, check, json;
    const char *models, *output, *policy;
};

struct profile {
    struct wanted wanted;
    char path[PATH_BYTES]; /* "" when there is no place */
    struct gov_device device, stored;
    char changes[CHANGES_BYTES]; /* since it was stored */
};

static void say(const char *sentence)
{
    fprintf(stderr, "gov profile: %s\n", sentence);
}

/* A sentence of the library with another way out, behind its last ";". */
static void say_fact(const char *sentence, const char *way_out)
{
    const char *end = strrchr(sentence, ';');

    fprintf(stderr, "gov profile: %.*s; %s\n",
            (int)(end != NULL ? (size_t)(end - sentence) : strlen(sentence)),
            sentence, way_out);
}

/* ---- the command line ------------------------------------------------------ */

/* Options that cannot be meant together, and which say so. */
static bool is_sensible(const struct wanted *w)
{
    const bool measures = !w->show && !w->check;
    const struct {
        bool given;
        const char *first, *second;
    } pairs[] = {
        {w->quick && w->full, "--quick", "--full"},
        {w->show && w->check, "--show", "--check"},
        {w->quick && !measures, "--quick", w->show ? "--show" : "--check"},
        {w->full && !measures, "--full", w->show ? "--show" : "--check"},
        {w->models != NULL && !measures, "--models",
         w->show ? "--show" : "--check"},
        {w->no_save && !measures, "--no-save", w->show ? "--show" : "--check"},
        {w->no_save && w->output != NULL, "--no-save", "--output"},
        {w->json && w->check, "--json", "--check"},
        {w->output != NULL && w->check, "--output", "--check"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].given) {
            fprintf(stderr,
                    "gov profile: %s and %s exclude one another; see gov "
                    "profile --help\n",
                    pairs[i].first, pairs[i].second);
            return false;
        }
    if (w->policy != NULL && !w->check) {
        say("--policy is for --check; see gov profile --help");
        return false;
    }
    return true;
}

/* Where the profile is or will be. Without a place *err says why. */
static gov_status find_path(struct profile *p, gov_error *err)
{
    if (p->wanted.output == NULL)
        return gov_device_path(p->path, sizeof(p->path), err);
    if (strlen(p->wanted.output) >= sizeof(p->path))
        return gov_fail(err, GOV_E_INVALID, 0,
                        "the name of the profile is too long; name another "
                        "place with --output");
    memcpy(p->path, p->wanted.output, strlen(p->wanted.output) + 1);
    return GOV_OK;
}

/* ---- measuring ------------------------------------------------------------- */

/* The bar has room for 40 characters; a longer sentence ends with a word. */
static bool on_progress(void *ctx, uint32_t permille, const char *what)
{
    char text[41];

    if (snprintf(text, sizeof(text), "%s", what) >= (int)sizeof(text)) {
        char *end = strrchr(text, ' ');

        if (end != NULL)
            *end = '\0';
    }
    cli_bar_draw(ctx, permille, text);
    return cli_signal() == 0;
}

/* A directory that was named and is none is a mistake to hear of at once, not
 * after half a minute. */
static bool is_directory(const char *path)
{
    struct stat st;
    int error = 0;
    gov_error err;

    if (stat(path, &st) != 0)
        error = errno;
    else if (!S_ISDIR(st.st_mode))
        error = ENOTDIR;
    if (error == 0)
        return true;
    (void)gov_fail(&err, GOV_E_INVALID, error,
                   "--models names the directory where models are kept, and "
                   "%s cannot be that",
                   cli_show(path).text);
    say(err.message);
    return false;
}

/* What is neither a file nor a link to one can never be replaced by a profile,
 * and a name that ends in a slash is none of a file: better said now than after
 * measuring. */
static bool is_storable(const char *path)
{
    size_t length = strlen(path);
    struct stat st;

    if (length > 0 && path[length - 1] != '/' &&
        (lstat(path, &st) != 0 || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)))
        return true;
    fprintf(stderr,
            "gov profile: cannot store the profile as %s: it is no file; name "
            "another place with --output, or use --no-save\n",
            cli_show(path).text);
    return false;
}

/* The old profile, if it can be had. A bad one is said, and made anew. */
static void load_stored(struct profile *p)
{
    gov_error err;
    gov_status status = p->path[0] == '\0'
                            ? GOV_E_NOT_FOUND
                            : gov_device_load(&p->stored, p->path, &err);

    if (status == GOV_OK)
        gov_device_changes(&p->stored, &p->device, p->changes,
                           sizeof(p->changes));
    else if (status != GOV_E_NOT_FOUND && p->wanted.no_save)
        say(err.message);
    else if (status != GOV_E_NOT_FOUND)
        say_fact(err.message, "it is made anew");
}

/* What only the engine can measure. Returns false when it was stopped; that there
 * is no engine is told as the source of what is then unknown. */
static bool measure_gains(struct profile *p, struct cli_bar *bar)
{
    const struct gov_engine *engine = NULL;
    const char *why = "the engine does not say";
    struct gov_facts gains;
    char source[128] = "";
    gov_error err;

    memset(&gains, 0, sizeof(gains));
    if (p->wanted.quick) {
        gov_device_set_gains(&p->device, NULL, "", "left out of a quick run");
        return true;
    }
    if (gov_engine_open(&engine, GOV_PLANNED_ENGINE, &err) != GOV_OK) {
        why = err.message;
    } else if (engine->size <
                   offsetof(struct gov_engine, gains) + sizeof(engine->gains) ||
               engine->gains == NULL) {
        why = "this adapter cannot measure it";
    } else {
        snprintf(source, sizeof(source), "measured with %s %s", engine->name,
                 engine->version());
        if (engine->gains(&gains, on_progress, bar, &err) != GOV_OK)
            why = err.message;
        if (cli_signal() != 0)
            return false;
    }
    gov_device_set_gains(&p->device, &gains, source, why);
    return true;
}

static bool measure(struct profile *p, gov_error *err)
{
    struct cli_bar bar = {0};
    const struct gov_measure_options options = {
        .size = sizeof(options),
        .directory = p->wanted.models,
        .full = !p->wanted.quick,
        .progress = on_progress,
        .progress_ctx = &bar,
        .drivers = GOV_DRIVERS_IN_CHILD,
    };
    gov_status status;
    bool whole;

    err->message[0] = '\0';
    status = gov_device_measure(&p->device, &options, err);
    whole = status == GOV_OK && measure_gains(p, &bar);
    cli_bar_clear(&bar);
    /* The text has it in its rows. */
    if (status == GOV_OK && err->message[0] != '\0' &&
        (p->wanted.json || p->wanted.models != NULL))
        say(err->message);
    return whole;
}

/* ---- showing --------------------------------------------------------------- */

static int print_json(const struct gov_device *device)
{
    char text[64 * 1024]; /* always suffices */
    gov_error err;

    if (gov_device_json(device, text, sizeof(text), &err) != GOV_OK)
        return gov_fails("profile", &err);
    puts(text);
    return gov_finish("profile");
}

/* Whole and unbroken, to be copied; without what would move the cursor. */
static void put_place(const char *path)
{
    fputs("Stored in ", stdout);
    for (const unsigned char *c = (const unsigned char *)path; *c != '\0'; c++)
        putchar(*c < 0x20 || *c == 0x7F ? '?' : *c);
    puts(".");
}

static int print_profile(const struct profile *p, bool saved)
{
    const struct gov_profile_look look = gov_profile_look();

    if (p->wanted.json) {
        if (p->changes[0] != '\0')
            fprintf(stderr, "gov profile: changed since: %s\n", p->changes);
        return print_json(&p->device);
    }
    gov_profile_print(&p->device, &look);
    if (p->changes[0] != '\0')
        gov_profile_say(&look,
                        p->wanted.show ? "Changed since then"
                                       : "Changed since last time",
                        p->changes);
    if (saved)
        put_place(p->path);
    return gov_finish("profile");
}

static int show_stored(struct profile *p)
{
    gov_error err;
    gov_status status = find_path(p, &err);
    struct gov_device now;

    if (status == GOV_OK)
        status = gov_device_load(&p->device, p->path, &err);
    if (status != GOV_OK)
        return gov_fails("profile", &err);
    if (gov_device_probe(&now, &err) == GOV_OK)
        gov_device_changes(&p->device, &now, p->changes, sizeof(p->changes));
    return print_profile(p, true);
}

/* ---- the gate -------------------------------------------------------------- */

static int check(struct profile *p)
{
    char source[GOV_MESSAGE_BYTES], pointed[GOV_MESSAGE_BYTES] = "";
    char note[GOV_MESSAGE_BYTES] = "";
    struct gov_facts facts;
    gov_policy *policy = NULL;
    gov_error err;
    gov_status status = gov_policy_open(&policy, p->wanted.policy, source,
                                        pointed, NULL, NULL, NULL, &err);

    if (status == GOV_OK)
        status = gov_device_current(&p->device, note, sizeof(note), &err);
    if (status == GOV_OK) {
        memset(&facts, 0, sizeof(facts));
        gov_device_facts(&p->device, &facts);
        status = gov_policy_judge_device(policy, &facts, NULL, NULL, &err);
    }
    gov_policy_free(policy);
    if (status != GOV_OK) {
        gov_fails("profile", &err);
        if (pointed[0] != '\0')
            fprintf(stderr, "%s\n", pointed);
        return status == GOV_E_INVALID ? CLI_EXIT_USAGE : GOV_EXIT_FAILURE;
    }
    printf("This machine meets the demands of %s%s%s%s.\n", source,
           note[0] != '\0' ? ", by what the system tells alone (" : "", note,
           note[0] != '\0' ? ")" : "");
    return gov_finish("profile");
}

/* ---- the command ----------------------------------------------------------- */

/* Stores first and shows then: what took half a minute is not lost with a pipe
 * that nobody reads. */
static int measure_and_store(struct profile *p)
{
    gov_error err, unsaved = {GOV_OK, 0, ""};
    bool saved = false, named;
    int exit_code;

    if (p->wanted.models != NULL && !is_directory(p->wanted.models))
        return GOV_EXIT_FAILURE;
    if (find_path(p, &unsaved) != GOV_OK)
        p->path[0] = '\0';
    named = p->path[0] != '\0' || p->wanted.output != NULL;
    if (!p->wanted.no_save && named && !is_storable(p->path))
        return GOV_EXIT_FAILURE;
    if (gov_device_probe(&p->device, &err) != GOV_OK)
        return gov_fails("profile", &err);
    load_stored(p);
    cli_catch_signals();
    if (!measure(p, &err)) {
        if (cli_signal() != 0)
            cli_end_by_signal(cli_signal());
        return gov_fails("profile", &err);
    }
    if (!p->wanted.no_save && p->path[0] != '\0')
        saved = gov_device_save(&p->device, p->path, &unsaved) == GOV_OK;
    exit_code = print_profile(p, saved);
    if (saved || p->wanted.no_save)
        return exit_code;
    if (unsaved.status == GOV_E_NOT_FOUND)
        say_fact(unsaved.message, "name a place with --output");
    else
        fprintf(stderr,
                "gov profile: %s; name another place with --output, or use "
                "--no-save\n",
                unsaved.message);
    return GOV_EXIT_FAILURE;
}

int gov_cmd_profile(int argc, char **argv)
{
    struct profile p = {0}; /* some 70 KiB */
    struct wanted *w = &p.wanted;
    const struct cli_option options[] = {
        {"--quick", 'q', CLI_FLAG, 0, 0, &w->quick, NULL,
         "measure the most important figures, in under two seconds"},
        {"--full", 0, CLI_FLAG, 0, 0, &w->full, NULL,
         "measure everything, in under 30 seconds; this is the default"},
        {"--models", 'm', CLI_TEXT, 0, 0, &w->models, "DIR",
         "measure reading on the file system of DIR, where models are kept"},
        {"--output", 'o', CLI_TEXT, 0, 0, &w->output, "FILE",
         "store the profile in FILE instead of the default place; with --show, "
         "read it there"},
        {"--no-save", 0, CLI_FLAG, 0, 0, &w->no_save, NULL,
         "show the profile and store nothing"},
        {"--show", 's', CLI_FLAG, 0, 0, &w->show, NULL,
         "show the stored profile, and what has changed since; measure "
         "nothing"},
        {"--check", 'c', CLI_FLAG, 0, 0, &w->check, NULL,
         "exit with 1 and a sentence when this machine is below what the "
         "policy demands; measure nothing"},
        {"--policy", 'P', CLI_TEXT, 0, 0, &w->policy, "NAME|FILE",
         "with --check: NAME of a shipped policy, or FILE laid over the user's "
         "and the system's"},
        {"--json", 0, CLI_FLAG, 0, 0, &w->json, NULL,
         "print the profile as JSON, as it is stored"},
    };
    const struct cli_command command = {
        .name = "gov profile",
        .synopsis = "[OPTION]...",
        .sentence = "Measures this machine once, shows what it is and what it "
                    "can do, and remembers that for plans.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    if (!is_sensible(w))
        return CLI_EXIT_USAGE;
    if (w->show)
        return show_stored(&p);
    return w->check ? check(&p) : measure_and_store(&p);
}
