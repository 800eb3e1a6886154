/* SPDX-License-Identifier: MIT */
/* The keys of the tokenizer: one vocabulary, told as SentencePiece, WordPiece
 * or byte pairs. The same number is the same text in each. */
#ifndef MKMODEL_TOKENIZER_H
#define MKMODEL_TOKENIZER_H

#include "mkmodel_arch.h"
#include "mkmodel_keys.h"

/* False for an unknown name. */
bool mk_tokenizer_find(const char *name, enum mk_tokenizer *out);

/* Returns where the length of the list of tokens is. */
size_t mk_put_tokenizer(struct mk_keys_out *out, enum mk_tokenizer tokenizer,
                        uint32_t vocab);

#endif
