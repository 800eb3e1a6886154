/* SPDX-License-Identifier: MIT */
/* An engine for tests whose dry run answers with the governor's own figures, or
 * with others, as $FAKE_ENGINE says: "same", "more", "less", "much", "fails" or
 * "old" (an adapter from before there was a dry run). It gains by both repacking
 * and huge pages, by neither ("less"), or by huge pages alone ("more"). Loads
 * nothing. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "governor/engine.h"

static bool is(const char *word)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): only reads */
    const char *how = getenv("FAKE_ENGINE");

    return how != NULL && strcmp(how, word) == 0;
}

static const char *version(void)
{
    return "1.0";
}

static gov_status dry_run(const gov_model *model,
                          const struct gov_need_request *request,
                          struct gov_need *out, gov_error *err)
{
    gov_status status = gov_model_need(model, request, out, err);

    if (status != GOV_OK)
        return status;
    if (is("fails"))
        return gov_fail(err, GOV_E_ENGINE, 0, "fake.cpp is out of ideas");
    if (is("more") || is("much"))
        out->ram.compute += is("much") ? (uint64_t)1 << 40 : 1 << 20;
    if (is("more")) {
        out->ram.kv *= 2;
        out->ram.weights += 1 << 20;
    }
    if (is("less")) {
        out->ram.kv /= 2;
        out->ram.weights -= 1 << 18;
        out->ram.compute /= 2;
    }
    return GOV_OK;
}

static gov_status gains(struct gov_facts *facts, gov_progress_fn progress,
                        void *progress_ctx, gov_error *err)
{
    if (is("fails"))
        return gov_fail(err, GOV_E_UNSUPPORTED, 0, "fake.cpp repacks nothing");
    if (progress != NULL && !progress(progress_ctx, 500, "counting sheep"))
        return gov_fail(err, GOV_E_CANCELLED, 0, "stopped");
    if (!is("more"))
        gov_facts_set(facts, GOV_FACT_DEVICE_REPACK_GAIN,
                      is("less") ? 970 : 1255);
    gov_facts_set(facts, GOV_FACT_DEVICE_HUGE_GAIN, is("less") ? 1000 : 1042);
    return GOV_OK;
}

static struct gov_engine engine = {
    .size = sizeof(engine),
    .abi = GOV_ENGINE_ABI,
    .name = "fake.cpp",
    .version = version,
    .dry_run = dry_run,
    .gains = gains,
};

__attribute__((visibility("default"))) const struct gov_engine *
gov_engine_entry(void);

const struct gov_engine *gov_engine_entry(void)
{
    if (is("old"))
        engine.size = offsetof(struct gov_engine, dry_run);
    return &engine;
}
