/* SPDX-License-Identifier: MIT */
#include "tools/gov/kept.h"

#include <inttypes.h>
#include <stddef.h>

gov_status gov_kept_open(struct gov_kept *kept, gov_error *err)
{
    struct gov_spill_options options = gov_spill_options_default();

    if (kept->directory == NULL)
        return GOV_OK;
    if (kept->name == NULL)
        kept->name = "main";
    options.directory = kept->directory;
    return gov_spill_open(&kept->spill, &options, err);
}

/* Beside it there is the one that every session has. */
static uint32_t tokens_of(const struct gov_kept *kept,
                          const struct gov_engine *engine, gov_session *session)
{
    struct gov_conversation all[2];
    const size_t count = engine->conversations(session, all, 2);

    for (size_t i = 0; i < count && i < 2; i++)
        if (all[i].id == kept->id)
            return all[i].tokens;
    return 0;
}

gov_status gov_kept_begin(struct gov_kept *kept,
                          const struct gov_engine *engine, gov_session *session,
                          struct gov_output *output, gov_error *err)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    gov_status status;
    uint32_t tokens;

    if (kept->spill == NULL)
        return GOV_OK;
    if (engine->size <
            offsetof(struct gov_engine, converse) + sizeof(engine->converse) ||
        engine->converse == NULL)
        return gov_fail(err, GOV_E_UNSUPPORTED, 0,
                        "%s keeps no conversations; leave --keep out",
                        engine->name);
    options.name = kept->name;
    status = engine->converse(session, &options, &kept->id, err);
    if (status != GOV_OK)
        return status;
    tokens = tokens_of(kept, engine, session);
    if (tokens > 0)
        gov_output_notice(
            output, "conversation %s goes on behind its %" PRIu32 " tokens",
            kept->name, tokens);
    return GOV_OK;
}

gov_status gov_kept_end(struct gov_kept *kept, const struct gov_engine *engine,
                        gov_session *session, gov_error *err)
{
    gov_status status = GOV_OK;

    if (kept->id != 0 && tokens_of(kept, engine, session) > 0)
        status = engine->store(session, kept->id, err);
    /* One that stays is tried once more when the session is unloaded. */
    if (kept->id != 0 && status == GOV_OK)
        engine->leave(session, kept->id);
    kept->id = 0;
    return status;
}

void gov_kept_close(struct gov_kept *kept)
{
    gov_spill_close(kept->spill);
    kept->spill = NULL;
}
