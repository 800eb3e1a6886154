/* SPDX-License-Identifier: MIT */
/* Text to tokens and back, as apps around llama.cpp have it: nothing of the
 * governor. */
#include <llama.h>
#include <stdio.h>
#include <string.h>

/* For llama_log_set(): errors alone, to the file `to`. */
static void text_log(enum ggml_log_level level, const char *text, void *to)
{
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, to);
}

/* What a person said, in the form that the model expects, as tokens. Returns how
 * many; 0: more than there is room for. */
static int32_t text_read(const struct llama_model *model, char *said,
                         llama_token *out, int32_t room, bool first)
{
    const struct llama_chat_message message = {"user", said};
    const char *form = llama_model_chat_template(model, NULL);
    char text[8192];
    int32_t n = -1;

    said[strcspn(said, "\r\n")] = '\0';
    if (form != NULL)
        n = llama_chat_apply_template(form, &message, 1, true, text,
                                      sizeof(text));
    if (n < 0 || n > (int32_t)sizeof(text)) /* no template, or an unknown one */
        n = snprintf(text, sizeof(text), "%s\n", said);
    n = llama_tokenize(llama_model_get_vocab(model), text, n, out, room, first,
                       true);
    return n > 0 ? n : 0;
}

/* Writes one token to stdout at once; false: it ends the answer. */
static bool text_write(const struct llama_model *model, llama_token token)
{
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    char text[256];
    int32_t n =
        llama_token_to_piece(vocab, token, text, sizeof(text), 0, false);

    fwrite(text, 1, n > 0 ? (size_t)n : 0, stdout);
    fflush(stdout);
    return !llama_vocab_is_eog(vocab, token);
}

/* Drops the older half, but for the first token; returns how many are left. */
static int32_t text_forget(llama_token *tokens, int32_t count)
{
    const int32_t left = count - count / 2;

    memmove(tokens + 1, tokens + 1 + count / 2,
            (size_t)(left - 1) * sizeof(*tokens));
    return left;
}
