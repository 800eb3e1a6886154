/* SPDX-License-Identifier: MIT */
/* An app that does nothing but let its runtime watch, until somebody ends it. */
#include <governor/governor.h>
#include <stdio.h>
#include <unistd.h>

static void tell(void *ctx, const struct gov_event *event)
{
    (void)ctx;
    printf("  follower: %s\n", event->text);
    fflush(stdout);
}

int main(void)
{
    struct gov_options options = gov_options_default();
    gov_runtime *runtime;
    gov_error err;

    options.app = "follower";
    if (gov_open(&runtime, &options, &err) != GOV_OK) {
        fprintf(stderr, "follower: %s\n", err.message);
        return 1;
    }
    gov_on_event(runtime, tell, NULL);
    return pause();
}
