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

/* Of those that the engine has, this one is shown. */
static void tell(const struct gov_kept *kept, const struct gov_engine *engine,
                 gov_session *session, struct gov_output *output)
{
    struct gov_conversation all[2];
    const size_t count = engine->conversations(session, all, 2);

    for (size_t i = 0; i < count && i < 2; i++) {
        if (all[i].id != kept->id || all[i].tokens == 0)
            continue;
        gov_output_notice(
            output, "conversation %s goes on behind its %" PRIu32 " tokens",
            kept->name, all[i].tokens);
    }
}

gov_status gov_kept_begin(struct gov_kept *kept,
                          const struct gov_engine *engine, gov_session *session,
                          struct gov_output *output, gov_error *err)
{
    struct gov_conversation_options options =
        gov_conversation_options_default();
    gov_status status;

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
    if (status == GOV_OK)
        tell(kept, engine, session, output);
    return status;
}

void gov_kept_end(struct gov_kept *kept, const struct gov_engine *engine,
                  gov_session *session)
{
    if (kept->id != 0)
        engine->leave(session, kept->id);
    kept->id = 0;
}

void gov_kept_close(struct gov_kept *kept)
{
    gov_spill_close(kept->spill);
    kept->spill = NULL;
}
