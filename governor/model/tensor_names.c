/* SPDX-License-Identifier: MIT */
/* See tensor_names.h. */
#include "governor/model/tensor_names.h"

#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Where `part` stands in the name, at its start or behind a dot; NULL if it does
 * not. */
static const char *find_part(const char *name, const char *part)
{
    const char *at = name;

    while ((at = strstr(at, part)) != NULL) {
        if (at == name || at[-1] == '.')
            return at;
        at++;
    }
    return NULL;
}

/* Reads "N." and returns what follows; NULL if that is not there or N is
 * absurd. */
static const char *read_number(const char *text, uint32_t limit, uint32_t *out)
{
    const char *at = text;
    uint32_t number = 0;

    while (*at >= '0' && *at <= '9' && number < limit)
        number = number * 10 + (uint32_t)(*at++ - '0');
    if (at == text || number >= limit || *at != '.')
        return NULL;
    *out = number;
    return at + 1;
}

/* Finds "blk.N." and its like, the first there is; returns what follows, NULL for
 * no layer. */
static const char *find_layer(const char *name, uint32_t *layer)
{
    static const char *const marks[] = {"blk.", "layers.", "layer.",
                                        "h.",   "block.",  "blocks."};
    const char *found = NULL;

    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        const char *at = find_part(name, marks[i]), *rest;
        uint32_t number = 0;

        rest = at == NULL ? NULL
                          : read_number(at + strlen(marks[i]), GOV__LAYERS_MAX,
                                        &number);
        if (rest != NULL && (found == NULL || rest < found)) {
            found = rest;
            *layer = number;
        }
    }
    return found;
}

/* Behind the layer: "ffn_up_exps.weight", "ffn_up.7.weight" (llama.cpp before
 * April 2024), "mlp.experts.7.up_proj.weight", "mlp.experts.gate_up_proj". */
static bool find_expert(const char *rest, uint32_t *expert)
{
    static const char *const single[] = {"ffn_gate.", "ffn_up.", "ffn_down."};
    const char *at = find_part(rest, "experts.");

    *expert = GOV__ALL_EXPERTS;
    if (strstr(rest, "exps.") != NULL && strstr(rest, "shexp") == NULL)
        return true;
    if (at != NULL) {
        (void)read_number(at + strlen("experts."), 65536, expert);
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(single); i++)
        if (starts(rest, single[i]) &&
            read_number(rest + strlen(single[i]), 65536, expert) != NULL)
            return true;
    return false;
}

static bool any_part(const char *name, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (find_part(name, parts[i]) != NULL)
            return true;
    return false;
}

static bool is_projector(const char *name)
{
    static const char *const first[] = {"v.", "a.", "mm.", "resampler."};
    static const char *const parts[] = {
        "vision_",     "visual.",      "vision.",      "audio_",
        "audio.",      "mm_",          "multi_modal_", "image_newline",
        "embed_audio", "embed_vision", "speech_"};

    for (size_t i = 0; i < COUNT_OF(first); i++)
        if (starts(name, first[i]))
            return true;
    return any_part(name, parts, COUNT_OF(parts));
}

static bool is_row_by_layer(const char *name)
{
    return find_part(name, "per_layer_token_embd") != NULL ||
           find_part(name, "embed_tokens_per_layer") != NULL;
}

static bool is_embedding(const char *name)
{
    static const char *const first[] = {"token_embd", "token_types",
                                        "position_embd", "per_layer_"};
    static const char *const parts[] = {"embed_tokens",
                                        "wte.",
                                        "wpe.",
                                        "word_embeddings",
                                        "embeddings.",
                                        "embed_in.",
                                        "tok_embeddings.",
                                        "embed_positions",
                                        "position_embeddings.",
                                        "per_layer_"};

    for (size_t i = 0; i < COUNT_OF(first); i++)
        if (starts(name, first[i]))
            return true;
    return any_part(name, parts, COUNT_OF(parts));
}

struct gov__tensor_role gov__tensor_role(const char *name)
{
    struct gov__tensor_role role = {GOV_UNIT_OUTPUT, 0, 0, 0, 0, 0};
    const char *rest = find_layer(name, &role.layer);

    /* Nearly all names of a GGUF file: what follows is for the others. */
    if (!starts(name, "blk.") && is_projector(name)) {
        role.kind = GOV_UNIT_PROJECTOR;
        role.late = rest == NULL && !starts(name, "v.patch_embd");
        return role;
    }
    if (rest != NULL) {
        role.kind =
            find_expert(rest, &role.expert) ? GOV_UNIT_EXPERTS : GOV_UNIT_LAYER;
        role.stage = !starts(name, "enc.") && !starts(name, "encoder.");
        role.late = strstr(rest, "attn") == NULL;
        return role;
    }
    role.late = gov__is_output_matrix(name);
    if (!role.late && is_embedding(name)) {
        role.kind = GOV_UNIT_EMBEDDING;
        role.part = is_row_by_layer(name);
    }
    return role;
}

bool gov__is_token_embedding(const char *name)
{
    static const char *const parts[] = {
        "embed_tokens.weight", "wte.weight", "word_embeddings.weight",
        "embed_in.weight", "tok_embeddings.weight"};

    if (starts(name, "blk.")) /* nearly all names of a GGUF file */
        return false;
    return strcmp(name, "token_embd.weight") == 0 ||
           strcmp(name, "backbone.embeddings.weight") == 0 ||
           (!is_projector(name) && any_part(name, parts, COUNT_OF(parts)));
}

bool gov__is_output_matrix(const char *name)
{
    return strcmp(name, "output.weight") == 0 || find_part(name, "lm_head.") ||
           find_part(name, "embed_out.");
}
