/* SPDX-License-Identifier: MIT */
/* From what was asked to a shape: presets, defaults, the size to meet, and the
 * checks that a shape can be built. Never writes a file. */
#include "mkmodel_preset.h"

#include "mkmodel_base.h"
#include "mkmodel_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct preset {
    const char *name;
    uint32_t layers;
    uint32_t embd;
    uint32_t ff;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t vocab;
};

/* Every width is a multiple of 256, so that every type divides every row. From
 * 1b on these are the widths of the Llamas of that size. */
static const struct preset presets[] = {
    {"tiny", 4, 256, 512, 4, 2, 1024},
    {"small", 8, 512, 1536, 8, 4, 4096},
    {"100m", 12, 768, 2048, 12, 4, 32000},
    {"350m", 24, 1024, 2816, 16, 8, 32000},
    {"1b", 16, 2048, 8192, 32, 8, 32000},
    {"3b", 28, 3072, 8192, 24, 8, 32000},
    {"8b", 32, 4096, 14336, 32, 8, 32000},
    {"70b", 80, 8192, 28672, 64, 8, 32000},
};

static const struct preset *find_preset(const char *name)
{
    for (size_t i = 0; i < COUNT(presets); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    mk_die(MK_USAGE,
           "there is no preset \"%s\"; see the list in mkmodel --help", name);
}

uint64_t mk_shape_bytes(const struct mk_shape *shape)
{
    struct mk_plan plan;
    struct mk_header header;
    uint64_t bytes;

    mk_plan_init(&plan, shape);
    mk_header_init(&header, shape, &plan, 0);
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
               "--%s is \"%s\" but mkmodel makes F32, F16, Q8_0, Q4_0, Q4_K "
               "and Q6_K; give one of these",
               option, name);
    return type;
}

static void set_types(struct mk_shape *shape, const struct mk_request *r)
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
}

static uint32_t default_heads(const struct preset *preset, uint32_t embd)
{
    if (embd == preset->embd)
        return preset->heads;
    return embd % 64 == 0 ? embd / 64 : 1;
}

/* Numbers of the request fit 32 bits: the options table bounds them. */
static void set_shape(struct mk_shape *shape, const struct mk_request *r,
                      const struct preset *preset)
{
    uint32_t kv_heads = preset->kv_heads;

    memset(shape, 0, sizeof(*shape));
    shape->arch = mk_arch_find(r->arch == NULL ? "llama" : r->arch);
    if (shape->arch == NULL)
        mk_die(MK_USAGE, "there is no architecture \"%s\"; use --arch llama",
               r->arch);
    shape->name = r->name == NULL ? "mkmodel" : r->name;
    shape->seed = r->seed;
    shape->tied = r->tied;
    shape->layers = r->layers == 0 ? preset->layers : (uint32_t)r->layers;
    shape->embd = r->embd == 0 ? preset->embd : (uint32_t)r->embd;
    shape->ff = (uint32_t)r->ff;
    if (shape->ff == 0)
        shape->ff = shape->embd == preset->embd
                        ? preset->ff
                        : (uint32_t)mk_round_up((uint64_t)3 * shape->embd, 256);
    shape->heads =
        r->heads == 0 ? default_heads(preset, shape->embd) : (uint32_t)r->heads;
    if (shape->heads % kv_heads != 0 || kv_heads > shape->heads)
        kv_heads = shape->heads;
    shape->kv_heads = r->kv_heads == 0 ? kv_heads : (uint32_t)r->kv_heads;
    shape->head_dim =
        r->head_dim == 0 ? shape->embd / shape->heads : (uint32_t)r->head_dim;
    shape->vocab = r->vocab == 0 ? preset->vocab : (uint32_t)r->vocab;
    shape->ctx = r->ctx == 0 ? 4096 : (uint32_t)r->ctx;
    set_types(shape, r);
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
}

static void check_rows(const struct mk_shape *shape)
{
    static const char *const sources[] = {[MK_DIM_EMBD] = "--embd",
                                          [MK_DIM_FF] = "--ff",
                                          [MK_DIM_Q] = "--heads x --head-dim",
                                          [MK_DIM_VOCAB] = "--vocab",
                                          [MK_DIM_KV] =
                                              "--kv-heads x --head-dim"};
    struct mk_shape one_layer = *shape;
    struct mk_plan plan;

    one_layer.layers = 1;
    mk_plan_init(&plan, &one_layer);
    for (size_t i = 0; i < plan.count; i++) {
        const struct mk_tensor *t = &plan.tensors[i];
        uint32_t block = t->type->block_elements;

        if (t->columns % block != 0)
            mk_die(MK_USAGE,
                   "%s needs rows that are a multiple of %u, but those of "
                   "%s are %" PRIu64 " (%s); choose %" PRIu64
                   " or another type",
                   t->type->name, block, t->name, t->columns,
                   sources[t->rule->columns], mk_round_up(t->columns, block));
    }
    mk_plan_fini(&plan);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Sets the layers with which the file comes closest to the size. False if even
 * one layer is more than 3 % too much, or 512 are too few. */
static bool fit_layers(struct mk_shape *shape, uint64_t target)
{
    uint64_t one;
    uint64_t each;
    uint64_t layers = 1;

    shape->layers = 1;
    one = mk_shape_bytes(shape);
    shape->layers = 2;
    each = mk_shape_bytes(shape) - one;
    if (target > one)
        layers += (target - one + each / 2) / each;
    shape->layers = layers > MK_LAYERS_MAX ? MK_LAYERS_MAX : (uint32_t)layers;
    if (layers > MK_LAYERS_MAX)
        return false;
    return one <= target || one - target <= target / 100 * 3;
}

/* Where whole layers are too coarse, wider or narrower ones by up to a quarter
 * meet the size. */
static void trim_ff(struct mk_shape *shape, uint64_t target)
{
    struct mk_shape wider = *shape;
    uint64_t now = mk_shape_bytes(shape);
    uint64_t step;
    uint64_t steps;
    uint32_t grain = shape->type->block_elements > 32 ? 256 : 32;
    uint64_t most = shape->ff / 4 / grain;

    if (distance(now, target) <= target / 50)
        return;
    wider.ff += grain;
    step = mk_shape_bytes(&wider) - now;
    steps = (distance(now, target) + step / 2) / step;
    if (steps > most)
        steps = most;
    if (now > target)
        shape->ff -= (uint32_t)steps * grain;
    else
        shape->ff += (uint32_t)steps * grain;
}

/* The preset whose natural depth is nearest, as a ratio, to the depth that the
 * size asks for: a 1 GB model looks like a real one of 1 GB. */
static const struct preset *preset_for_size(const struct mk_request *r)
{
    const struct preset *best = &presets[0];
    uint64_t best_high = UINT32_MAX;
    uint64_t best_low = 1;

    for (size_t i = 0; i < COUNT(presets); i++) {
        const struct preset *p = &presets[i];
        struct mk_shape shape;
        uint64_t high;
        uint64_t low;

        set_shape(&shape, r, p);
        if (!fit_layers(&shape, r->target_size)) {
            if (shape.layers == MK_LAYERS_MAX && best_high == UINT32_MAX)
                best = p; /* as large as it gets, for the message */
            continue;
        }
        high = shape.layers > p->layers ? shape.layers : p->layers;
        low = shape.layers > p->layers ? p->layers : shape.layers;
        if (high * best_low < best_high * low) {
            best = p;
            best_high = high;
            best_low = low;
        }
    }
    return best;
}

static void fit_size(struct mk_shape *shape, const struct mk_request *r)
{
    uint64_t got;

    if (r->layers != 0)
        mk_die(MK_USAGE, "--layers and --target-size are both given; leave "
                         "one of them out");
    if (!fit_layers(shape, r->target_size))
        mk_die(MK_USAGE,
               "--target-size %s cannot be met: with these widths %s %u "
               "layer%s make%s %s; choose another size or other widths",
               mk_size_text(r->target_size).s,
               shape->layers == 1 ? "even" : "all of", shape->layers,
               shape->layers == 1 ? "" : "s", shape->layers == 1 ? "s" : "",
               mk_size_text(mk_shape_bytes(shape)).s);
    if (r->ff == 0)
        trim_ff(shape, r->target_size);
    got = mk_shape_bytes(shape);
    if (distance(got, r->target_size) > r->target_size / 100 * 3)
        fprintf(stderr,
                "mkmodel: the nearest these widths come to %s is %s; choose "
                "narrower layers for less difference\n",
                mk_size_text(r->target_size).s, mk_size_text(got).s);
}

void mk_shape_init(struct mk_shape *shape, const struct mk_request *r)
{
    bool any_width = r->embd != 0 || r->ff != 0 || r->heads != 0;
    const struct preset *preset;

    if (r->preset != NULL)
        preset = find_preset(r->preset);
    else if (r->target_size == 0)
        preset = find_preset(r->break_kind == NULL ? "small" : "tiny");
    else if (any_width)
        preset = find_preset("1b");
    else
        preset = preset_for_size(r);
    set_shape(shape, r, preset);
    check_heads(shape, r);
    check_rows(shape);
    if (r->target_size != 0)
        fit_size(shape, r);
}

void mk_presets_help(void)
{
    puts("\npresets (--type Q4_0):");
    for (size_t i = 0; i < COUNT(presets); i++) {
        const struct preset *p = &presets[i];
        struct mk_request r = {.seed = 1};
        struct mk_shape shape;

        set_shape(&shape, &r, p);
        printf("  %-6s %9s  %2u layers, embd %u, ff %u, heads %u, kv-heads %u, "
               "vocab %u\n",
               p->name, mk_size_text(mk_shape_bytes(&shape)).s, p->layers,
               p->embd, p->ff, p->heads, p->kv_heads, p->vocab);
    }
}
