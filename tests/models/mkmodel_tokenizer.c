/* SPDX-License-Identifier: MIT */
/* The keys of the tokenizer: one vocabulary, told as SentencePiece, WordPiece
 * or byte pairs. The same number is the same text in each.
 *
 * In llama.cpp's WordPiece a word begins with U+2581 and its later pieces have
 * no mark, which is what SentencePiece writes too. Byte pairs spell each byte
 * as one printable character and list which two pieces join: here a piece joins
 * all but its last letter with the last, since each beginning of a piece is a
 * piece. */
#include "mkmodel_tokenizer.h"

#include "mkmodel_vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NORMAL = 1, UNUSED = 5, BYTE = 6, WORD_START_LEN = 3 };

/* The model key of each. */
static const struct {
    const char *option;
    const char *model;
} names[] = {
    [MK_SPM] = {"spm", "llama"},
    [MK_WPM] = {"wpm", "bert"},
    [MK_BPE] = {"bpe", "gpt2"},
};

bool mk_tokenizer_find(const char *name, enum mk_tokenizer *out)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].option, name) != 0)
            continue;
        *out = (enum mk_tokenizer)i;
        return true;
    }
    return false;
}

struct piece {
    char text[32];
    size_t len;
    uint8_t type;
};

/* GPT-2 spells the bytes that do not print, the space among them, as the
 * characters from U+0100 on, in their order. */
static unsigned byte_character(unsigned byte)
{
    unsigned hidden = 0;

    for (unsigned b = 0; b <= byte; b++) {
        bool prints = (b >= 33 && b <= 126) || (b >= 161 && b != 173);

        if (b == byte && prints)
            return b;
        hidden += !prints;
    }
    return 256 + hidden - 1;
}

static size_t put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(uint8_t)(0xc0 | c >> 6);
    out[1] = (char)(uint8_t)(0x80 | (c & 0x3f));
    return 2;
}

/* Bytes that are printable ASCII have a token as a character already. */
static void spell_byte(struct piece *piece, unsigned byte)
{
    if (byte >= ' ' && byte <= '~') {
        piece->type = UNUSED;
        return;
    }
    piece->type = NORMAL;
    piece->len = put_utf8(piece->text, byte_character(byte));
}

/* llama.cpp ends the program over a byte in a WordPiece vocabulary. The start
 * of a word is a space to byte pairs. */
static struct piece spell(const struct mk_token *token, uint32_t number,
                          enum mk_tokenizer tokenizer)
{
    struct piece piece = {.len = token->len, .type = token->type};
    size_t mark = 0;

    memcpy(piece.text, token->text, token->len);
    if (tokenizer == MK_WPM && piece.type == BYTE)
        piece.type = UNUSED;
    if (tokenizer != MK_BPE)
        return piece;
    if (number >= MK_FIRST_BYTE && number < MK_FIRST_CHAR) {
        spell_byte(&piece, number - MK_FIRST_BYTE);
    } else if ((uint8_t)token->text[0] == 0xe2) {
        mark = put_utf8(piece.text, byte_character(' '));
        memcpy(piece.text + mark, token->text + WORD_START_LEN,
               token->len - (size_t)WORD_START_LEN);
        piece.len = mark + token->len - WORD_START_LEN;
    }
    return piece;
}

static void put_merges(struct mk_keys_out *out, const struct mk_token *tokens,
                       uint32_t vocab)
{
    uint32_t first = vocab < MK_FIRST_PIECE ? vocab : MK_FIRST_PIECE;

    mk_put_key_array(out, "tokenizer.ggml.merges", MK_STRING, vocab - first);
    for (uint32_t i = first; i < vocab; i++) {
        struct piece piece = spell(&tokens[i], i, MK_BPE);

        piece.text[piece.len] = piece.text[piece.len - 1];
        piece.text[piece.len - 1] = ' ';
        mk_put_text(&out->bytes, piece.text, piece.len + 1);
    }
}

static void put_specials(struct mk_keys_out *out, enum mk_tokenizer tokenizer)
{
    mk_put_key_u32(out, "tokenizer.ggml.bos_token_id", MK_BOS);
    mk_put_key_u32(out, "tokenizer.ggml.eos_token_id", MK_EOS);
    mk_put_key_u32(out, "tokenizer.ggml.unknown_token_id", MK_UNK);
    if (tokenizer == MK_WPM) {
        mk_put_key_u32(out, "tokenizer.ggml.seperator_token_id", MK_EOS);
        mk_put_key_u32(out, "tokenizer.ggml.padding_token_id", MK_UNK);
        mk_put_key_u32(out, "tokenizer.ggml.token_type_count", 2);
        return;
    }
    mk_put_key_bool(out, "tokenizer.ggml.add_bos_token", true);
    mk_put_key_bool(out, "tokenizer.ggml.add_eos_token", false);
    if (tokenizer == MK_SPM)
        mk_put_key_bool(out, "tokenizer.ggml.add_space_prefix", true);
}

size_t mk_put_tokenizer(struct mk_keys_out *out, enum mk_tokenizer tokenizer,
                        uint32_t vocab)
{
    struct mk_token *tokens = mk_vocab_new(vocab);
    size_t at;

    mk_put_key_text(out, "tokenizer.ggml.model", names[tokenizer].model);
    if (tokenizer == MK_BPE)
        mk_put_key_text(out, "tokenizer.ggml.pre", "gpt-2");
    at = mk_put_key_array(out, "tokenizer.ggml.tokens", MK_STRING, vocab);
    for (uint32_t i = 0; i < vocab; i++) {
        struct piece piece = spell(&tokens[i], i, tokenizer);

        mk_put_text(&out->bytes, piece.text, piece.len);
    }
    if (tokenizer != MK_BPE) {
        mk_put_key_array(out, "tokenizer.ggml.scores", MK_F32, vocab);
        for (uint32_t i = 0; i < vocab; i++)
            mk_put_float(&out->bytes, -(float)i);
    }
    mk_put_key_array(out, "tokenizer.ggml.token_type", MK_I32, vocab);
    for (uint32_t i = 0; i < vocab; i++)
        mk_put_u32(&out->bytes, spell(&tokens[i], i, tokenizer).type);
    if (tokenizer == MK_BPE)
        put_merges(out, tokens, vocab);
    put_specials(out, tokenizer);
    free(tokens);
    return at;
}
