/* SPDX-License-Identifier: MIT */
/* gov profile: the onboarding command. Measures, shows, remembers. */
#include <inttypes.h>
#include <string.h>

#include "tools/gov/gov.h"

static bool on_progress(void *ctx, uint32_t permille, const char *what)
{
    cli_bar_draw(ctx, permille, what);
    return cli_signal() == 0;
}

static void row(const char *name, const char *value, const char *source)
{
    printf("  %-15s %-22s %s\n", name, value, source);
}

static void print_facts(const struct gov_device *d)
{
    char value[160], size[CLI_SIZE_BYTES];

    snprintf(value, sizeof(value), "%" PRIu32 " x %.90s", d->cores, d->cpu);
    printf("%s, %s\n%s\n\n", d->system, d->arch, value);
    row("memory", cli_size(size, d->ram_bytes), "installed");
    if ((d->have & GOV_DEVICE_HAVE_LIMIT) != 0)
        row("limit", cli_size(size, d->limit_bytes), d->limit_source);
    else
        row("limit", "none", "");
    row("reserve", cli_size(size, d->reserve_bytes),
        "kept for everything else");
    row("budget", cli_size(size, d->budget_bytes), "what a model may use");
    row("swap",
        (d->have & GOV_DEVICE_HAVE_SWAP) == 0 ? "unknown"
        : d->swap_bytes == 0                  ? "none"
                                              : cli_size(size, d->swap_bytes),
        "");
    row("page", cli_size(size, d->page_bytes), "");
    row("pressure", d->pressure_backend, "");
}

static void measured(const char *name, bool have, bool noisy, const char *value)
{
    row(name, have ? value : "unknown", have && noisy ? "(noisy)" : "");
}

static void print_measurements(const struct gov_device *d)
{
    char value[64], size[CLI_SIZE_BYTES];

    snprintf(value, sizeof(value), "%s/s", cli_size(size, d->read_rate));
    measured("storage read", (d->have & GOV_DEVICE_HAVE_READ_RATE) != 0,
             d->read_rate_noisy, value);
    snprintf(value, sizeof(value), "%s/s", cli_size(size, d->memory_rate));
    measured("memory read", (d->have & GOV_DEVICE_HAVE_MEMORY_RATE) != 0,
             d->memory_rate_noisy, value);
    snprintf(value, sizeof(value), "%" PRIu64 " ns a page", d->minor_fault_ns);
    measured("first touch", (d->have & GOV_DEVICE_HAVE_FAULT_COST) != 0,
             d->minor_fault_noisy, value);
    snprintf(value, sizeof(value), "%" PRIu64 ".%" PRIu64 " ms",
             d->give_back_us / 1000, d->give_back_us % 1000 / 100);
    measured("64 MiB and back", (d->have & GOV_DEVICE_HAVE_GIVE_BACK) != 0,
             d->give_back_noisy, value);
}

/* Probes and measures; false when it failed or was stopped. */
static bool measure(struct gov_device *device, const char *directory,
                    gov_error *err)
{
    struct cli_bar bar = {0};
    gov_status status = gov_device_probe(device, err);

    if (status != GOV_OK)
        return false;
    err->message[0] = '\0';
    status = gov_device_measure(device, directory, on_progress, &bar, err);
    cli_bar_clear(&bar);
    if (status == GOV_OK && err->message[0] != '\0')
        fprintf(stderr, "gov profile: %s\n", err->message);
    return status == GOV_OK;
}

static int show(const struct gov_device *device, bool json)
{
    char text[8192];
    gov_error err;

    if (json) {
        if (gov_device_json(device, text, sizeof(text), &err) != GOV_OK)
            return gov_fails("profile", &err);
        puts(text);
        return gov_finish("profile");
    }
    print_facts(device);
    print_measurements(device);
    return gov_finish("profile");
}

int gov_cmd_profile(int argc, char **argv)
{
    const char *models = NULL, *output = NULL;
    bool json = false, no_save = false;
    char path[1024];
    const struct cli_option options[] = {
        {"--models", 'm', CLI_TEXT, 0, 0, &models, "DIR",
         "measure reading on the file system of DIR, where models are kept"},
        {"--output", 'o', CLI_TEXT, 0, 0, &output, "FILE",
         "store the profile in FILE instead of the default place"},
        {"--no-save", 0, CLI_FLAG, 0, 0, &no_save, NULL,
         "show the profile and store nothing"},
        {"--json", 0, CLI_FLAG, 0, 0, &json, NULL,
         "print the profile as JSON, as it is stored"},
    };
    const struct cli_command command = {
        .name = "gov profile",
        .synopsis = "[OPTION]...",
        .sentence = "Measures this machine, in under two seconds, and "
                    "remembers the result for plans.",
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
    };
    struct gov_device device;
    gov_error err;
    int exit_code;

    if (cli_settled(&command, argc, argv, &exit_code))
        return exit_code;
    cli_catch_signals();
    if (!measure(&device, models, &err)) {
        if (cli_signal() != 0)
            cli_end_by_signal(cli_signal());
        return gov_fails("profile", &err);
    }
    if (!no_save && output == NULL) {
        if (gov_device_path(path, sizeof(path), &err) != GOV_OK)
            return gov_fails("profile", &err);
        output = path;
    }
    exit_code = show(&device, json);
    if (no_save || exit_code != 0)
        return exit_code;
    if (gov_device_save(&device, output, &err) != GOV_OK) {
        fprintf(stderr,
                "gov profile: %s; name another place with --output, or use "
                "--no-save\n",
                err.message);
        return GOV_EXIT_FAILURE;
    }
    if (!json)
        printf("\nStored in %s.\n", output);
    return gov_finish("profile");
}
