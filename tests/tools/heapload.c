/* SPDX-License-Identifier: MIT */
/* heapload MODEL: how fast the library brings all weights of a model into anonymous
 * memory, while nobody computes. Prints one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "governor/governor.h"

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int fail(const gov_error *err)
{
    fprintf(stderr, "heapload: %s\n", err->message);
    return 1;
}

static int load(const gov_model *model)
{
    struct gov_weights_options options = gov_weights_options_default();
    struct gov_weights_account account;
    gov_weights *weights;
    gov_error err;
    double start = now(), took;
    bool there;

    options.anchor = options.direct = true;
    if (gov_weights_open(&weights, model, &options, &err) != GOV_OK)
        return fail(&err);
    there = gov_weights_wait(weights, true, 60000);
    took = now() - start;
    gov_weights_account(weights, false, &account);
    gov_weights_release(weights);
    if (!there || account.anchored_bytes < account.hot_bytes) {
        fprintf(stderr, "heapload: not all of it could be anchored\n");
        return 1;
    }
    printf("{\"bytes\":%" PRIu64 ",\"bytes_per_second\":%.0f}\n",
           account.hot_bytes, (double)account.hot_bytes / took);
    return 0;
}

int main(int argc, char **argv)
{
    gov_model *model;
    gov_error err;
    int rc;

    if (argc != 2) {
        fprintf(stderr, "usage: heapload MODEL\n");
        return 2;
    }
    if (gov_model_open(&model, argv[1], NULL, &err) != GOV_OK)
        return fail(&err);
    rc = load(model);
    gov_model_close(model);
    return rc;
}
