/* SPDX-License-Identifier: MIT */
/* chat_adapter MODEL.gguf: the same without a line of llama.cpp: the governor's
 * adapter loads the model as planned, and drives it. */
#include <stdio.h>

#include "plan.h"

static void on_event(void *ctx, const struct gov_event *event)
{
    fprintf(ctx, "memory: %s\n", event->text);
}

static bool on_piece(void *ctx, const char *text, size_t bytes)
{
    return fwrite(text, 1, bytes, ctx) == bytes && fflush(ctx) == 0;
}

static bool load(const struct gov_engine *engine, gov_session **session,
                 const gov_model *model, gov_runtime *runtime, gov_error *err)
{
    struct gov_facts facts = {0};
    struct gov_plan plan;
    const struct gov_load load = {.size = sizeof(load),
                                  .model = model,
                                  .plan = &plan,
                                  .runtime = runtime};

    if (engine->facts != NULL)
        engine->facts(&facts);
    return plan_decide(&plan, model, &facts, err) &&
           engine->load(session, &load, err) == GOV_OK;
}

/* A line, an answer; when the context is full it begins anew. */
static bool converse(const struct gov_engine *engine, gov_session *session,
                     gov_error *err)
{
    struct gov_generate request = {
        .size = sizeof(request), .piece = on_piece, .ctx = stdout};
    struct gov_generated made;
    char line[4096];

    request.tokens = 256;
    request.prompt = line;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (engine->generate(session, &request, &made, err) != GOV_OK)
            return false;
        on_piece(stdout, "\n", 1);
        if (made.context_full && engine->reset != NULL)
            engine->reset(session);
    }
    return true;
}

int main(int argc, char **argv)
{
    const struct gov_engine *engine = NULL;
    gov_runtime *runtime = NULL;
    gov_session *session = NULL;
    gov_model *model = NULL;
    gov_error err;
    bool ok;

    if (argc != 2)
        return fprintf(stderr, "chat_adapter takes a MODEL.gguf alone\n"), 2;
    ok = gov_model_open(&model, argv[1], NULL, &err) == GOV_OK &&
         gov_engine_open(&engine, "llama", &err) == GOV_OK &&
         gov_open(&runtime, NULL, &err) == GOV_OK;
    gov_on_event(runtime, on_event, stderr);
    ok = ok && load(engine, &session, model, runtime, &err) &&
         converse(engine, session, &err);
    if (!ok)
        fprintf(stderr, "chat_adapter: %s\n", err.message);
    if (session != NULL)
        engine->unload(session);
    gov_close(runtime);
    gov_model_close(model);
    return ok ? 0 : 1;
}
