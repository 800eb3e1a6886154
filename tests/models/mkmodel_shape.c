/* SPDX-License-Identifier: MIT */
/* From what was asked to a shape: presets, defaults, the size to meet, and the
 * checks that a shape can be built. Never writes a file. */
#include "mkmodel_shape.h"

#include "mkmodel_base.h"
#include "mkmodel_fit.h"
#include "mkmodel_header.h"
#include "mkmodel_tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t mk_shape_bytes(const struct mk_shape *shape)
{
    struct mk_plan plan;
    struct mk_header header;
    uint64_t bytes;

    mk_plan_init(&plan, shape);
    mk_header_init(&header, shape, &plan, 0, NULL);
    bytes = header.bytes.len + plan.data_bytes;
    mk_header_fini(&header);
    mk_plan_fini(&plan);
    return bytes;
}

static const struct mk_type *find_type(const char *option, const char *name)
{
    const struct mk_type *type = mk_type_find(name);

    if (type == NULL)
        mk_die(MK_USAGE,
               "--%s is \"%s\" but mkmodel makes F32, F16, Q8_0, Q4_0, Q4_K, "
               "Q6_K and MXFP4; give one of these",
               option, name);
    return type;
}

static void set_types(struct mk_shape *shape, const struct mk_request *r,
                      const struct mk_preset *preset)
{
    const struct mk_type *output;

    shape->type = find_type("type", r->type == NULL ? "Q4_0" : r->type);
    output = mk_type_for_output(shape->type, shape->embd);
    if (r->output_type != NULL)
        output = find_type("output-type", r->output_type);
    shape->output_type = output;
    shape->embd_type = shape->tied ? output : shape->type;
    if (r->embd_type != NULL)
        shape->embd_type = find_type("embd-type", r->embd_type);
    shape->expert_type = shape->type;
    if (r->expert_type != NULL)
        shape->expert_type = find_type("expert-type", r->expert_type);
    else if (preset->expert_type != NULL)
        shape->expert_type = find_type("expert-type", preset->expert_type);
}

static uint32_t default_heads(const struct mk_preset *preset, uint32_t embd)
{
    if (embd == preset->embd)
        return preset->heads;
    return embd % 64 == 0 ? embd / 64 : 1;
}

static void set_arch(struct mk_shape *shape, const struct mk_request *r,
                     const struct mk_preset *preset)
{
    const struct mk_arch *arch;

    arch = mk_arch_find(r->arch == NULL ? mk_preset_arch(preset) : r->arch);
    if (arch == NULL)
        mk_die(
            MK_USAGE,
            "there is no architecture \"%s\"; see the list in mkmodel --help",
            r->arch);
    if (r->tied && arch->tie == MK_TIE_NEVER)
        mk_die(MK_USAGE,
               "the embedding of %s cannot be its output matrix; leave --tied "
               "out",
               arch->name);
    shape->arch = arch;
    shape->tied = r->tied || arch->tie == MK_TIE_ALWAYS;
    shape->tokenizer = arch->tokenizer;
    if (r->tokenizer != NULL &&
        !mk_tokenizer_find(r->tokenizer, &shape->tokenizer))
        mk_die(MK_USAGE, "--tokenizer is \"%s\" but must be spm, wpm or bpe",
               r->tokenizer);
}

/* What the architecture needs beyond the widths that all have: of the preset,
 * if that is one of its own. */
static void set_numbers(struct mk_shape *shape, const struct mk_request *r,
                        const struct mk_preset *preset)
{
    if (strcmp(mk_preset_arch(preset), shape->arch->name) != 0)
        preset = mk_preset_for(shape->arch);
    for (int i = 0; i < MK_NUMBERS; i++)
        shape->n[i] = r->n[i] == 0 ? preset->n[i] : (uint32_t)r->n[i];
}

static void set_heads(struct mk_shape *shape, const struct mk_request *r,
                      const struct mk_preset *preset)
{
    bool own = strcmp(mk_preset_arch(preset), shape->arch->name) == 0;
    uint32_t kv_heads = preset->kv_heads;

    shape->heads =
        r->heads == 0 ? default_heads(preset, shape->embd) : (uint32_t)r->heads;
    if (shape->heads % kv_heads != 0 || kv_heads > shape->heads)
        kv_heads = shape->heads;
    shape->kv_heads = r->kv_heads == 0 ? kv_heads : (uint32_t)r->kv_heads;
    shape->head_dim = shape->embd / shape->heads;
    if (r->head_dim != 0)
        shape->head_dim = (uint32_t)r->head_dim;
    else if (own && preset->head_dim != 0)
        shape->head_dim = preset->head_dim;
}

/* Numbers of the request fit 32 bits: the options table bounds them. */
void mk_shape_from(struct mk_shape *shape, const struct mk_request *r,
                   const struct mk_preset *preset)
{
    memset(shape, 0, sizeof(*shape));
    set_arch(shape, r, preset);
    shape->name = r->name == NULL ? "mkmodel" : r->name;
    shape->seed = r->seed;
    shape->layers = r->layers == 0 ? preset->layers : (uint32_t)r->layers;
    shape->embd = r->embd == 0 ? preset->embd : (uint32_t)r->embd;
    shape->ff = (uint32_t)r->ff;
    if (shape->ff == 0)
        shape->ff = shape->embd == preset->embd
                        ? preset->ff
                        : (uint32_t)mk_round_up((uint64_t)3 * shape->embd, 256);
    set_heads(shape, r, preset);
    shape->vocab = r->vocab == 0 ? preset->vocab : (uint32_t)r->vocab;
    shape->ctx = preset->ctx == 0 ? 4096 : preset->ctx;
    if (r->ctx != 0)
        shape->ctx = (uint32_t)r->ctx;
    set_numbers(shape, r, preset);
    set_types(shape, r, preset);
}

static void check_heads(const struct mk_shape *s, const struct mk_request *r)
{
    if (r->head_dim == 0 && s->embd % s->heads != 0)
        mk_die(MK_USAGE,
               "--embd %u is not a multiple of --heads %u; choose other "
               "numbers or give --head-dim",
               s->embd, s->heads);
    if (s->heads % s->kv_heads != 0)
        mk_die(MK_USAGE,
               "--heads %u is not a multiple of --kv-heads %u; choose "
               "--kv-heads that divides --heads",
               s->heads, s->kv_heads);
    if (s->head_dim % 2 != 0)
        mk_die(MK_USAGE,
               "the head dimension %u is odd, which rotary positions cannot "
               "use; choose other --embd and --heads or an even --head-dim",
               s->head_dim);
    if (s->arch->square && s->heads * s->head_dim != s->embd)
        mk_die(MK_USAGE,
               "%s needs --heads x --head-dim equal to --embd %u, but that is "
               "%u; choose other numbers",
               s->arch->name, s->embd, s->heads * s->head_dim);
}

static bool has_number(const struct mk_arch *arch, enum mk_dim dim)
{
    for (size_t g = 0; g < MK_GROUPS_MAX && arch->keys[g] != NULL; g++)
        for (size_t i = 0; i < arch->keys[g]->count; i++)
            if (arch->keys[g]->list[i].dim == dim)
                return true;
    return false;
}

/* A number that the architecture has no key for would go unsaid. */
static void check_options(const struct mk_shape *s, const struct mk_request *r)
{
    static const struct {
        const char *option;
        enum mk_dim dim;
    } numbers[] = {{"experts", MK_DIM_EXPERTS},
                   {"experts-used", MK_DIM_EXPERTS_USED},
                   {"expert-ff", MK_DIM_EXPERT_FF},
                   {"window", MK_DIM_WINDOW}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (r->n[numbers[i].dim] != 0 && !has_number(s->arch, numbers[i].dim))
            mk_die(MK_USAGE,
                   "--%s is given but %s has no such number; leave it out",
                   numbers[i].option, s->arch->name);
}

static void check_numbers(const struct mk_shape *s)
{
    const uint32_t *n = s->n;
    uint32_t used = n[MK_DIM_EXPERTS_USED];

    if (used > n[MK_DIM_EXPERTS] || (used == 0 && n[MK_DIM_EXPERTS] != 0))
        mk_die(
            MK_USAGE,
            "a token cannot use %u of %u experts; give --experts-used from 1 "
            "to --experts",
            used, n[MK_DIM_EXPERTS]);
    /* llama.cpp knows the form without q_lora by its depth. */
    if (n[MK_DIM_KV_LORA] != 0 && n[MK_DIM_Q_LORA] == 0 && s->layers != 27)
        mk_die(MK_USAGE, "%s lite has 27 layers, not %u; choose another preset",
               s->arch->name, s->layers);
    if (s->layers < n[MK_DIM_ATTN_PERIOD])
        mk_die(
            MK_USAGE,
            "%u layers hold no attention, which is in every layer number %u; "
            "choose more",
            s->layers, n[MK_DIM_ATTN_PERIOD]);
    /* The last two layers with KV of their own are one of each kind. */
    if (n[MK_DIM_SHARED_KV] != 0 &&
        (s->layers <= n[MK_DIM_SHARED_KV] ||
         (s->layers - n[MK_DIM_SHARED_KV]) % n[MK_DIM_WINDOW_PERIOD] != 0))
        mk_die(MK_USAGE,
               "%s needs --layers that is a multiple of %u, and %u or more",
               s->arch->name, n[MK_DIM_WINDOW_PERIOD],
               n[MK_DIM_SHARED_KV] + n[MK_DIM_WINDOW_PERIOD]);
}

static const char *source_of(enum mk_dim dim)
{
    switch (dim) {
    case MK_DIM_EMBD:
        return "--embd";
    case MK_DIM_FF:
        return "--ff";
    case MK_DIM_EXPERT_FF:
    case MK_DIM_SHARED_FF:
        return "--expert-ff";
    case MK_DIM_Q:
        return "--heads x --head-dim";
    case MK_DIM_INNER:
        return "2 x --embd";
    default:
        return "by the preset";
    }
}

static void check_rows(const struct mk_shape *shape)
{
    struct mk_plan plan;

    mk_plan_init(&plan, shape);
    for (size_t i = 0; i < plan.count; i++) {
        const struct mk_tensor *t = &plan.tensors[i];
        uint32_t block = t->type->block_elements;

        if (t->columns % block != 0)
            mk_die(MK_USAGE,
                   "%s needs rows that are a multiple of %u, but those of "
                   "%s are %" PRIu64 " (%s); choose %" PRIu64
                   " or another type",
                   t->type->name, block, t->name, t->columns,
                   source_of(t->rule->columns), mk_round_up(t->columns, block));
    }
    mk_plan_fini(&plan);
}

static const struct mk_preset *choose_preset(const struct mk_request *r)
{
    bool any_width = r->embd != 0 || r->ff != 0 || r->heads != 0;
    const struct mk_arch *arch = r->arch == NULL ? NULL : mk_arch_find(r->arch);
    const struct mk_preset *preset;

    if (r->preset != NULL) {
        preset = mk_preset_find(r->preset);
        if (preset == NULL)
            mk_die(MK_USAGE,
                   "there is no preset \"%s\"; see the list in mkmodel --help",
                   r->preset);
        return preset;
    }
    if (arch != NULL && strcmp(arch->name, "llama") != 0)
        return mk_preset_for(arch);
    if (r->target_size == 0)
        return mk_preset_find(r->break_kind == NULL ? "small" : "tiny");
    if (any_width)
        return mk_preset_find("1b");
    return mk_preset_for_size(r);
}

void mk_shape_init(struct mk_shape *shape, const struct mk_request *r)
{
    mk_shape_from(shape, r, choose_preset(r));
    check_heads(shape, r);
    check_options(shape, r);
    check_rows(shape);
    if (r->target_size != 0)
        mk_fit_size(shape, r);
    check_numbers(shape);
}

void mk_presets_help(void)
{
    const struct mk_preset *p;
    const struct mk_arch *arch;

    printf("\narchitectures:");
    for (unsigned i = 0; (arch = mk_arch_at(i)) != NULL; i++)
        printf(" %s", arch->name);
    puts("\n\npresets (--type Q4_0):");
    for (unsigned i = 0; (p = mk_preset_at(i)) != NULL; i++) {
        struct mk_request r = {.seed = 1};
        struct mk_shape shape;

        mk_shape_from(&shape, &r, p);
        printf("  %-19s %9s  %2u layers, embd %u, ff %u, heads %u, kv-heads "
               "%u, vocab %u",
               p->name, mk_size_text(mk_shape_bytes(&shape)).s, p->layers,
               p->embd, p->ff, p->heads, p->kv_heads, p->vocab);
        if (p->n[MK_DIM_EXPERTS] != 0)
            printf(", experts %u", p->n[MK_DIM_EXPERTS]);
        puts("");
    }
}
