/* SPDX-License-Identifier: MIT */
/* Meeting a file size: which preset, how many layers and how wide. Never writes
 * a file. */
#include "mkmodel_fit.h"

#include "mkmodel_base.h"

#include <stdio.h>

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
const struct mk_preset *mk_preset_for_size(const struct mk_request *r)
{
    const struct mk_preset *best = mk_preset_at(0);
    const struct mk_preset *p;
    uint64_t best_high = UINT32_MAX;
    uint64_t best_low = 1;

    for (unsigned i = 0; (p = mk_preset_at(i)) != NULL; i++) {
        struct mk_shape shape;
        uint64_t high;
        uint64_t low;

        if (p->arch != NULL || p->n[MK_DIM_EXPERTS] != 0)
            continue; /* plain Llamas alone come in all sizes */
        mk_shape_from(&shape, r, p);
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

void mk_fit_size(struct mk_shape *shape, const struct mk_request *r)
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
