/* SPDX-License-Identifier: MIT */
/* The machine that a trace came from, without the relief that was recorded and
 * with the relief of the policy under replay. Nothing here decides. */
#include "policies/pressure/replay_priv.h"

#include <string.h>

static struct gov__replay_slot *find(struct gov__replay_model *model,
                                     const char raw[GOV_ACTION_NAME])
{
    char name[GOV_ACTION_NAME];
    struct gov__replay_slot *slot;

    gov__replay_name(name, raw);
    for (uint32_t i = 0; i < model->count; i++)
        if (memcmp(model->slot[i].name, name, sizeof(name)) == 0)
            return &model->slot[i];
    if (model->count >= GOV_REPLAY_ACTIONS)
        return NULL;
    slot = &model->slot[model->count++];
    *slot = (struct gov__replay_slot){.registered = 0};
    memcpy(slot->name, name, sizeof(name));
    return slot;
}

/* Two models in one process have actions of the same names. */
static void add(struct gov__replay_slot *slot,
                const struct gov_replay_action *action)
{
    if (slot->registered == 0 || action->from_level < slot->from_level)
        slot->from_level = action->from_level;
    if (slot->registered == 0 || action->rebuild_cost < slot->rebuild_cost)
        slot->rebuild_cost = action->rebuild_cost;
    slot->registered++;
    slot->leaving += action->leaves;
    slot->regrows |= action->regrows;
    slot->offered_bytes = gov__sum(slot->offered_bytes, action->offered_bytes);
    if (action->leaves)
        slot->floor_bytes = gov__sum(slot->floor_bytes, action->floor_bytes);
}

void gov__replay_list(struct gov__replay_model *model,
                      const struct gov_replay_event *sample)
{
    for (uint32_t i = 0; i < model->count; i++) {
        struct gov__replay_slot *slot = &model->slot[i];

        slot->registered = slot->leaving = 0;
        slot->regrows = false;
        slot->offered_bytes = slot->floor_bytes = 0;
    }
    for (uint32_t i = 0; i < sample->count && i < GOV_REPLAY_ACTIONS; i++) {
        struct gov__replay_slot *slot = find(model, sample->action[i].name);

        if (slot != NULL)
            add(slot, &sample->action[i]);
    }
    /* Whose memory it was is gone, and the memory with it. */
    for (uint32_t i = 0; i < model->count; i++)
        if (model->slot[i].registered == 0)
            model->slot[i].recorded_bytes = model->slot[i].given_bytes = 0;
}

void gov__replay_gave(struct gov__replay_model *model,
                      const char name[GOV_ACTION_NAME], uint64_t yield_bytes)
{
    struct gov__replay_slot *slot = find(model, name);

    if (slot != NULL)
        slot->recorded_bytes = gov__sum(slot->recorded_bytes, yield_bytes);
}

void gov__replay_grew(struct gov__replay_model *model,
                      const char name[GOV_ACTION_NAME])
{
    struct gov__replay_slot *slot = find(model, name);

    if (slot != NULL)
        slot->recorded_bytes = 0;
}

void gov__replay_headroom(const struct gov__replay_model *model,
                          struct gov_evidence *evidence)
{
    uint64_t with = evidence->headroom_bytes, without = 0;

    for (uint32_t i = 0; i < model->count; i++) {
        with = gov__sum(with, model->slot[i].given_bytes);
        without = gov__sum(without, model->slot[i].recorded_bytes);
    }
    with = with > without ? with - without : 0;
    evidence->headroom_bytes =
        with < evidence->budget_bytes ? with : evidence->budget_bytes;
}

uint64_t gov__replay_offer(const struct gov__replay_slot *slot,
                           uint64_t floor_bytes)
{
    uint64_t held = gov__sum(slot->offered_bytes, slot->recorded_bytes);
    uint64_t leave = 0;

    /* Who offers nothing may hold less than it was told to leave. */
    if (held > 0)
        held = gov__sum(held, slot->floor_bytes);
    held = held > slot->given_bytes ? held - slot->given_bytes : 0;
    for (uint32_t i = 0; i < slot->leaving; i++)
        leave = gov__sum(leave, floor_bytes);
    return held > leave ? held - leave : 0;
}
