/* SPDX-License-Identifier: MIT */
/* What a model costs in memory, by arithmetic on its header. All sums stop at
 * UINT64_MAX instead of wrapping: an absurd header gives an absurd cost, which
 * no budget admits. */
#include <string.h>

#include "governor/model/model_priv.h"
#include "governor/model/tensor_types.h"

static uint64_t times(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- sums over tensors ---------------------------------------------------- */

/* Whether llama.cpp multiplies by the tensor, as it must to repack it: 2-D
 * matrices and 3-D stacks of experts, but not what it only takes rows of. */
static bool is_multiplied(const struct gov_model *model,
                          const struct gov_tensor *tensor)
{
    uint32_t dims = tensor->dims;

    while (dims > 1 && tensor->shape[dims - 1] == 1)
        dims--;
    if (dims != 2 && dims != 3)
        return false;
    return model->units[tensor->unit].kind != GOV_UNIT_EMBEDDING ||
           (model->sums.tied && strcmp(tensor->name, "token_embd.weight") == 0);
}

static void find_output(struct gov_model *model)
{
    const struct gov__gguf *gguf = &model->gguf;
    struct gov__model_sums *sums = &model->sums;

    sums->tied = true;
    for (size_t i = 0; i < gguf->count; i++) {
        const struct gov_tensor *tensor = &gguf->tensors[i];
        bool output = strcmp(tensor->name, "output.weight") == 0;

        if (output ||
            (sums->tied && strcmp(tensor->name, "token_embd.weight") == 0))
            sums->vocabulary = tensor->shape[1];
        if (output)
            sums->tied = false;
    }
}

void gov__model_sum(struct gov_model *model)
{
    const struct gov__gguf *gguf = &model->gguf;
    struct gov__model_sums *sums = &model->sums;
    uint64_t bytes_of[64] = {0}, most = 0;

    find_output(model);
    for (size_t i = 0; i < gguf->count; i++) {
        const struct gov__gguf_place *place = &gguf->places[i];
        const struct gov_tensor *tensor = &gguf->tensors[place->tensor];
        const struct gov__tensor_type *type = gov__tensor_type(place->type);

        sums->weight_bytes += tensor->bytes;
        bytes_of[place->type] += tensor->bytes;
        if (bytes_of[place->type] > most) {
            most = bytes_of[place->type];
            sums->quantization = tensor->type;
        }
        if (type->repack_rows != 0 &&
            tensor->shape[1] % type->repack_rows == 0 &&
            is_multiplied(model, tensor))
            sums->repack_bytes += tensor->bytes;
    }
    for (size_t i = 0; i < model->unit_count; i++)
        if (model->units[i].bytes > sums->largest_unit_bytes)
            sums->largest_unit_bytes = model->units[i].bytes;
}

/* ---- numbers of the header ------------------------------------------------ */

static const struct gov__gguf_number *number(const struct gov_model *model,
                                             enum gov__gguf_key key)
{
    return &model->gguf.number[key];
}

/* The number for a layer; false where the header does not say. */
static bool of_layer(const struct gov_model *model, enum gov__gguf_key key,
                     uint64_t layer, uint64_t *out)
{
    const struct gov__gguf_number *n = number(model, key);

    if (n->count == 0 || (n->count > 1 && layer >= n->count))
        return false;
    *out = n->value[n->count > 1 ? layer : 0];
    return true;
}

/* A number that holds for the whole model; 0 where the header does not say. */
static uint64_t single(const struct gov_model *model, enum gov__gguf_key key)
{
    const struct gov__gguf_number *n = number(model, key);

    return n->count == 1 ? n->value[0] : 0;
}

/* The largest of a number's values; 0 where the header does not say. */
static uint64_t largest(const struct gov_model *model, enum gov__gguf_key key)
{
    const struct gov__gguf_number *n = number(model, key);
    uint64_t most = 0;

    for (uint32_t i = 0; i < n->count; i++)
        if (n->value[i] > most)
            most = n->value[i];
    return most;
}

/* ---- KV cache ------------------------------------------------------------- */

/* Elements of one head's key or value, the longest there is: given, or the
 * embedding's share. */
static uint64_t head_length(const struct gov_model *model,
                            enum gov__gguf_key key)
{
    uint64_t heads = largest(model, GOV__GGUF_HEADS);

    if (number(model, key)->count != 0)
        return largest(model, key);
    return heads != 0 ? single(model, GOV__GGUF_EMBEDDING) / heads : 0;
}

/* Bytes of that many elements in the cache. */
static uint64_t kv_bytes(uint64_t elements, gov_kv_type type)
{
    return type == GOV_KV_F16 ? times(elements, 2) : times(elements / 32, 34);
}

/* Follows llama_kv_cache's constructor: every layer holds heads x length
 * elements of K and of V for each cell, none of them padded (flash attention
 * on, llama.cpp's default on CPUs). Exact for plain attention (llama, qwen2,
 * qwen3, phi3, gemma, mistral and most others). An upper bound where a sliding
 * window, shared, recurrent or draft layers or latent attention need less.
 * Caches of sparse-attention indexers are not counted. */
uint64_t gov_model_kv_per_token(const gov_model *model, gov_kv_type type)
{
    uint64_t layers = single(model, GOV__GGUF_BLOCKS);
    uint64_t key = head_length(model, GOV__GGUF_KEY_LENGTH);
    uint64_t value = head_length(model, GOV__GGUF_VALUE_LENGTH);
    uint64_t sum = 0;

    /* llama.cpp wants every head to be a whole number of blocks. */
    if (type != GOV_KV_F16 &&
        (type != GOV_KV_Q8_0 || key % 32 != 0 || value % 32 != 0))
        return 0;
    for (uint64_t i = 0; i < layers; i++) {
        uint64_t heads;

        if (!of_layer(model, GOV__GGUF_HEADS_KV, i, &heads) &&
            !of_layer(model, GOV__GGUF_HEADS, i, &heads))
            return 0;
        sum = plus(sum, kv_bytes(times(heads, key), type));
        sum = plus(sum, kv_bytes(times(heads, value), type));
    }
    return sum;
}

/* ---- compute buffers ------------------------------------------------------ */

/* What llama.cpp reserves for a graph of 512 tokens that all have logits, its
 * default, with flash attention: the larger of what is live at the output and
 * in a feed-forward layer. Measured with llama.cpp of September 2026 for 11
 * shapes of llama, qwen2, qwen3, gemma3 and mixtral from 0.1 to 70 billion
 * weights: within 14 % at 4096 tokens of context, most within 1 %. Where the
 * layers decide, each token of context beyond that adds 1 KiB. */
static uint64_t compute_bytes(const struct gov_model *model)
{
    const uint64_t batch = 512, mask_bytes = 8192;
    uint64_t vocabulary = model->sums.vocabulary;
    uint64_t embedding = single(model, GOV__GGUF_EMBEDDING);
    uint64_t dense = largest(model, GOV__GGUF_FEED_FORWARD);
    uint64_t expert = largest(model, GOV__GGUF_EXPERT_FEED_FORWARD);
    uint64_t used = largest(model, GOV__GGUF_EXPERTS_USED);
    uint64_t wide, output, layer;

    if (embedding == 0 || (dense == 0 && expert == 0))
        return 0;
    wide = times(expert != 0 ? expert : dense, used != 0 ? used : 1);
    if (wide < dense)
        wide = dense;
    output = times(plus(vocabulary, times(embedding, 2)), 4);
    layer = times(plus(times(wide, 3), times(embedding, 4)), 4);
    layer = plus(layer, mask_bytes);
    return times(output > layer ? output : layer, batch);
}

/* ---- facts ---------------------------------------------------------------- */

static void set_if(struct gov_facts *facts, gov_fact fact, uint64_t value)
{
    if (value != 0)
        gov_facts_set(facts, fact, value);
}

void gov_model_facts(const gov_model *model, gov_kv_type kv_type,
                     struct gov_facts *facts)
{
    const struct gov__model_sums *sums = &model->sums;

    gov_facts_set_text(facts, GOV_FACT_MODEL_FORMAT, "gguf");
    if (model->gguf.architecture[0] != '\0')
        gov_facts_set_text(facts, GOV_FACT_MODEL_ARCHITECTURE,
                           model->gguf.architecture);
    gov_facts_set_text(facts, GOV_FACT_MODEL_QUANTIZATION, sums->quantization);
    gov_facts_set(facts, GOV_FACT_MODEL_FILE, model->file_bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_WEIGHTS, sums->weight_bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_LARGEST_UNIT, sums->largest_unit_bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_REPACK, sums->repack_bytes);
    gov_facts_set(facts, GOV_FACT_MODEL_MOE,
                  single(model, GOV__GGUF_EXPERTS) > 0);
    set_if(facts, GOV_FACT_MODEL_LAYERS, single(model, GOV__GGUF_BLOCKS));
    set_if(facts, GOV_FACT_MODEL_CONTEXT_MAX, single(model, GOV__GGUF_CONTEXT));
    set_if(facts, GOV_FACT_MODEL_KV_PER_TOKEN,
           gov_model_kv_per_token(model, kv_type));
    set_if(facts, GOV_FACT_MODEL_COMPUTE, compute_bytes(model));
}
