/* SPDX-License-Identifier: MIT */
/* Layouts are those of the libraries that write them: AutoAWQ, AutoGPTQ (also
 * GPTQModel and AutoRound), exllamav2 and exllamav3, bitsandbytes,
 * compressed-tensors, TensorRT Model Optimizer, Transformers and MLX. */
#include "governor/model/quantization_config.h"

#include <string.h>

#include "governor/model/config_json_priv.h"
#include "governor/model/model_text.h"
#include "policies/planning/sizes_priv.h"

/* ---- what the configuration says ----------------------------------------------- */

static void set_method(struct gov__quantization *out, const char *method)
{
    gov__text_safe(out->method, sizeof(out->method), method, strlen(method));
}

static bool is_word(const json_t *value, const char *word)
{
    const char *text = json_string_value(value);

    return text != NULL && strcmp(text, word) == 0;
}

static const json_t *get(const json_t *object, const char *a, const char *b)
{
    const json_t *value = json_object_get(object, a);

    return value != NULL || b == NULL ? value : json_object_get(object, b);
}

/* compressed-tensors has groups of modules, each with its own numbers. Most have
 * one; of several the first counts. */
static void read_compressed(struct gov__quantization *out,
                            const json_t *quantization)
{
    const json_t *groups = json_object_get(quantization, "config_groups");
    const json_t *weights = NULL;
    const char *format =
        json_string_value(json_object_get(quantization, "format"));
    const char *name;
    json_t *group;

    json_object_foreach((json_t *)groups, name, group)
    {
        if (weights == NULL)
            weights = json_object_get(group, "weights");
    }
    out->bits = gov__config_number(json_object_get(weights, "num_bits"), 0);
    out->group = gov__config_number(json_object_get(weights, "group_size"), 0);
    if (format != NULL && strcmp(format, "nvfp4-pack-quantized") == 0)
        set_method(out, "nvfp4");
    else if (out->bits == 8 &&
             is_word(json_object_get(weights, "type"), "float"))
        set_method(out, "fp8");
    else
        set_method(out, "compressed");
}

static void read_bitsandbytes(struct gov__quantization *out,
                              const json_t *quantization)
{
    out->bits =
        json_is_true(get(quantization, "load_in_4bit", "_load_in_4bit"))   ? 4
        : json_is_true(get(quantization, "load_in_8bit", "_load_in_8bit")) ? 8
                                                                           : 0;
}

static void read_modelopt(struct gov__quantization *out,
                          const json_t *quantization)
{
    bool fp8 = is_word(json_object_get(quantization, "quant_algo"), "FP8");

    set_method(out, fp8 ? "fp8" : "nvfp4");
    out->bits = fp8 ? 8 : 4;
    if (!fp8)
        out->group =
            gov__config_number(json_object_get(quantization, "group_size"), 16);
}

static void read_block_fp8(struct gov__quantization *out,
                           const json_t *quantization)
{
    const json_t *block = json_object_get(quantization, "weight_block_size");

    set_method(out, "fp8");
    out->bits = 8;
    out->group = gov__config_number(json_array_get(block, 1), 0);
}

/* An average; in tenths for exl2. */
static void read_exl(struct gov__quantization *out, const json_t *quantization)
{
    double bits = json_number_value(json_object_get(quantization, "bits"));
    double unit = strcmp(out->method, "exl2") == 0 ? 10 : 1;

    if (bits > 0 && bits <= 32)
        out->bits = (uint32_t)(bits * unit + 0.5);
}

static void read_fixed(struct gov__quantization *out,
                       const json_t *quantization)
{
    bool bitnet = strcmp(out->method, "bitnet") == 0;

    (void)quantization;
    out->bits = bitnet ? 2 : 4;
    out->group = bitnet ? 0 : 32;
}

/* AWQ and GPTQ, whose names for the same changed over time. */
static void read_groups(struct gov__quantization *out,
                        const json_t *quantization)
{
    out->bits = gov__config_number(get(quantization, "bits", "w_bit"), 0);
    out->group =
        gov__config_number(get(quantization, "group_size", "q_group_size"), 0);
}

static const struct {
    const char *name; /* "quant_method" */
    const char *method;
    void (*read)(struct gov__quantization *out, const json_t *quantization);
} methods[] = {
    {"awq", "awq", read_groups},
    {"gptq", "gptq", read_groups},
    {"auto-round", "gptq", read_groups},
    {"intel/auto-round", "gptq", read_groups},
    {"exl2", "exl2", read_exl},
    {"exl3", "exl3", read_exl},
    {"fp8", "fp8", read_block_fp8},
    {"fbgemm_fp8", "fp8", read_block_fp8},
    {"compressed-tensors", "compressed", read_compressed},
    {"bitsandbytes", "bitsandbytes", read_bitsandbytes},
    {"modelopt", "nvfp4", read_modelopt},
    {"mxfp4", "mxfp4", read_fixed},
    {"bitnet", "bitnet", read_fixed},
};

/* Numbers that cannot be are as good as none. */
static void limit(struct gov__quantization *out)
{
    if (out->bits > 320)
        out->bits = 0;
    if (out->group > 1U << 20)
        out->group = 0;
}

static void read_quantization(struct gov__quantization *out,
                              const json_t *quantization, const char *method)
{
    *out = (struct gov__quantization){.method = ""};
    set_method(out, method);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(method, methods[i].name) == 0) {
            set_method(out, methods[i].method);
            methods[i].read(out, quantization);
        }
    limit(out);
}

void gov__config_quantization(struct gov__config *config)
{
    struct gov__quantization *out = &config->header->quantization;
    const json_t *here = GOV__FIND(config, "quantization_config");
    const json_t *mlx = GOV__FIND(config, "quantization");
    const char *method =
        json_string_value(json_object_get(here, "quant_method"));

    if (method == NULL && !json_is_object(mlx))
        mlx = here; /* MLX writes both, other tools one of them */
    if (method == NULL)
        method = json_string_value(json_object_get(mlx, "quant_method"));
    if (method != NULL) {
        read_quantization(out, json_is_object(here) ? here : mlx, method);
    } else if (gov__config_whole(json_object_get(mlx, "bits"), &out->bits)) {
        set_method(out, "mlx");
        out->group = gov__config_number(json_object_get(mlx, "group_size"), 0);
        limit(out);
    }
}

/* The file is older than "quant_method", and GPTQ's unless it says otherwise. */
void gov__config_quantize_file(struct gov__config *config)
{
    const char *method =
        json_string_value(json_object_get(config->root, "quant_method"));

    if (config->header->quantization.method[0] != '\0')
        return;
    if (method == NULL)
        method = json_object_get(config->root, "zero_point") != NULL ? "awq"
                                                                     : "gptq";
    read_quantization(&config->header->quantization, config->root, method);
}

/* ---- what the tensors hold ------------------------------------------------------- */

/* Ends of the names of what only quantization needs, by method or in any. */
static const struct {
    const char *method, *end;
} extras[] = {
    {NULL, ".scales"},
    {NULL, "_global_scale"},
    {NULL, "input_scale"},
    {NULL, ".k_scale"},
    {NULL, ".v_scale"},
    {"awq", ".qzeros"},
    {"gptq", ".qzeros"},
    {"gptq", ".g_idx"},
    {"exl2", ".q_scale"},
    {"exl2", ".q_scale_max"},
    {"exl2", ".q_groups"},
    {"exl2", ".q_group_map"},
    {"exl2", ".q_invperm"},
    {"exl2", ".q_perm"},
    {"exl3", ".suh"},
    {"exl3", ".svh"},
    {"exl3", ".su"},
    {"exl3", ".sv"},
    {"exl3", ".mcg"},
    {"exl3", ".mul1"},
    {"fp8", "_scale_inv"},
    {"fp8", "_scale"},
    {"fp8", "_scale_ub"},
    {"nvfp4", "_scale"},
    {"nvfp4", "_scale_2"},
    {"compressed", "_scale"},
    {"compressed", "_zero_point"},
    {"compressed", "_shape"},
    {"compressed", "_g_idx"},
    {"bitsandbytes", ".absmax"},
    {"bitsandbytes", ".quant_map"},
    {"bitsandbytes", ".nested_absmax"},
    {"bitsandbytes", ".nested_quant_map"},
    {"bitsandbytes", ".quant_state.bitsandbytes__nf4"},
    {"bitsandbytes", ".quant_state.bitsandbytes__fp4"},
    {"bitsandbytes", ".SCB"},
    {"bitsandbytes", ".weight_format"},
    {"mxfp4", "_scales"},
    {"bitnet", ".weight_scale"},
    {"mlx", ".biases"},
};

static bool is_extra(const char *method, const char *name)
{
    for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++)
        if ((extras[i].method == NULL ||
             strcmp(method, extras[i].method) == 0) &&
            gov__text_ends(name, extras[i].end))
            return true;
    return false;
}

/* Whether weights of fewer bits are packed into the elements of that tensor. */
static bool is_packed(const char *method, const struct gov_tensor *tensor)
{
    bool words =
        strcmp(tensor->type, "I32") == 0 || strcmp(tensor->type, "U32") == 0;
    bool bytes = strcmp(tensor->type, "U8") == 0;

    if (strcmp(method, "awq") == 0 || strcmp(method, "gptq") == 0)
        return words && gov__text_ends(tensor->name, ".qweight");
    if (strcmp(method, "exl2") == 0)
        return words && gov__text_ends(tensor->name, ".q_weight");
    if (strcmp(method, "exl3") == 0)
        return gov__text_ends(tensor->name, ".trellis");
    if (strcmp(method, "mlx") == 0)
        return words && gov__text_ends(tensor->name, ".weight");
    if (strcmp(method, "compressed") == 0)
        return words && gov__text_ends(tensor->name, "_packed");
    if (strcmp(method, "mxfp4") == 0)
        return bytes && gov__text_ends(tensor->name, "_blocks");
    if (strcmp(method, "nvfp4") == 0)
        return bytes && (gov__text_ends(tensor->name, ".weight") ||
                         gov__text_ends(tensor->name, "_packed"));
    return bytes && (strcmp(method, "bitsandbytes") == 0 ||
                     strcmp(method, "bitnet") == 0);
}

uint64_t gov__quantized_parameters(const struct gov__header *header,
                                   const struct gov_tensor *tensor)
{
    const struct gov__quantization *q = &header->quantization;
    uint64_t elements = 1, bits = q->bits;
    bool mlx = strcmp(q->method, "mlx") == 0 && q->group != 0;

    for (unsigned i = 0; i < 4; i++)
        elements = gov__sat_mul(elements, tensor->shape[i]);
    if (q->method[0] == '\0')
        return elements;
    /* MLX mixes bits, which its scales do not depend on. */
    if (mlx && gov__text_ends(tensor->name, ".scales"))
        return gov__sat_mul(elements, q->group);
    if (is_extra(q->method, tensor->name))
        return 0;
    if (!is_packed(q->method, tensor))
        return elements;
    if (mlx)
        return 0;
    /* A tile of 16 by 16 weights has as many numbers of 16 bits as a weight has
     * bits: that is exact, where the average of a model is not. */
    if (strcmp(q->method, "exl3") == 0 && tensor->shape[0] % 16 == 0 &&
        tensor->shape[0] != 0)
        return gov__sat_mul(elements / tensor->shape[0], 256);
    if (strcmp(q->method, "exl2") != 0)
        bits *= 10;
    return bits == 0 ? elements : gov__sat_mul(tensor->bytes, 80) / bits;
}
