/* SPDX-License-Identifier: MIT */
/* The vocabulary: which token texts a SentencePiece model of a given size
 * has. It depends on its size alone, not on the seed, so a prompt has the same
 * tokens in every model of one vocabulary size. Never knows a file format. */
#ifndef MKMODEL_VOCAB_H
#define MKMODEL_VOCAB_H

#include <stdint.h>

enum {
    MK_UNK = 0,
    MK_BOS = 1,
    MK_EOS = 2,
    MK_FIRST_BYTE = 3,
    MK_FIRST_CHAR = MK_FIRST_BYTE + 256, /* the word start, then ASCII */
    MK_FIRST_PIECE = MK_FIRST_CHAR + 1 + 94,
    MK_VOCAB_MIN = MK_FIRST_CHAR + 1,
    MK_VOCAB_MAX = 1000000
};

struct mk_token {
    char text[28];
    uint8_t len;
    uint8_t type; /* enum llama_token_type */
};

/* count tokens with distinct texts; released with free(). The score of a token
 * is minus its number. */
struct mk_token *mk_vocab_new(uint32_t count);

#endif
