/* SPDX-License-Identifier: MIT */
/* header_make FILE: writes a GGUF file whose header is as large as they come:
 * 256k tokens with scores and types, 500k merges, 1000 tensors. Prints how many
 * MB the header has. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/gguf_writer.h"

enum { TOKENS = 256 * 1024, MERGES = 500 * 1000, LAYERS = 100 };

/* An array of texts of `least` to `least` + 11 letters: on average tokens of
 * Gemma 3 have 6.6 bytes and its merges 9.3. */
static void add_texts(struct gguf_writer *w, const char *key, uint64_t count,
                      unsigned least)
{
    uint32_t random = 1;

    gguf_key(w, key, GGUF_ARRAY);
    gguf_u32(w, GGUF_TEXT);
    gguf_u64(w, count);
    for (uint64_t i = 0; i < count; i++) {
        char text[32];
        unsigned bytes;

        random = random * 1664525 + 1013904223;
        bytes = least + (random >> 16) % 12;
        for (unsigned k = 0; k < bytes; k++)
            text[k] = (char)('a' + (random >> (k % 24)) % 26);
        gguf_u64(w, bytes);
        gguf_raw(w, text, bytes);
    }
}

static void add_words(struct gguf_writer *w, const char *key, uint32_t type)
{
    gguf_key(w, key, GGUF_ARRAY);
    gguf_u32(w, type);
    gguf_u64(w, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++)
        gguf_u32(w, type == GGUF_I32 ? 1 : 0xC0000000); /* -2.0 */
}

static void add_tensors(struct gguf_writer *w)
{
    static const char *const parts[] = {
        "attn_norm", "attn_q",   "attn_k", "attn_v",   "attn_output",
        "ffn_norm",  "ffn_gate", "ffn_up", "ffn_down", "post_ffw_norm"};

    for (unsigned layer = 0; layer < LAYERS; layer++)
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            bool norm = strstr(parts[i], "norm") != NULL;
            char name[64];

            snprintf(name, sizeof(name), "blk.%u.%s.weight", layer, parts[i]);
            gguf_add(w, name, norm ? T_F32 : T_Q4_K, 256, norm ? 0 : 256);
        }
}

int main(int argc, char **argv)
{
    struct gguf_writer w;

    if (argc != 2) {
        fprintf(stderr, "usage: header_make FILE\n");
        return 2;
    }
    gguf_begin(&w);
    gguf_key_text(&w, "general.architecture", "llama");
    gguf_key_text(&w, "general.name", "a header as large as they come");
    gguf_key_u32(&w, "llama.block_count", LAYERS);
    gguf_key_u32(&w, "llama.context_length", 131072);
    gguf_key_u32(&w, "llama.embedding_length", 256);
    gguf_key_u32(&w, "llama.attention.head_count", 4);
    gguf_key_text(&w, "tokenizer.ggml.model", "gpt2");
    add_texts(&w, "tokenizer.ggml.tokens", TOKENS, 1);
    add_words(&w, "tokenizer.ggml.scores", GGUF_F32);
    add_words(&w, "tokenizer.ggml.token_type", GGUF_I32);
    add_texts(&w, "tokenizer.ggml.merges", MERGES, 4);
    add_tensors(&w);
    gguf_finish(&w);
    gguf_save(&w, argv[1], w.file_bytes);
    printf("%.1f\n", (double)w.bytes / 1e6);
    gguf_free(&w);
    return 0;
}
