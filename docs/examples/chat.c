/* SPDX-License-Identifier: MIT */
/* chat MODEL.gguf: a conversation, in a loop of the app's own around llama.cpp.
 * README.md says what the lines do that are marked "governor". */
#include "plan.h" /* governor */
#include "text.h"

enum { CONTEXT = 4096 }; /* tokens, at most */

struct chat {
    struct llama_model *model;
    struct llama_sampler *sampler;
    struct llama_context_params params;
    struct llama_context *context; /* NULL: the next turn makes one */
    llama_token tokens[CONTEXT];   /* the conversation */
    int32_t count, done;           /* of them: there; in the context */
    struct gov_plan plan;          /* governor */
    _Atomic uint64_t held;         /* governor: bytes of the context */
};

static void on_event(void *ctx, const struct gov_event *event) /* governor */
{
    fprintf(ctx, "memory: %s\n", event->text);
}

static uint64_t offer(void *ctx, gov_level level) /* governor */
{
    return level >= GOV_LEVEL_WARN ? ((struct chat *)ctx)->held : 0;
}

static void give_back(void *ctx, gov_level level) /* governor */
{
    struct chat *chat = ctx;

    (void)level;
    chat->held = 0;
    llama_free(chat->context);
    chat->context = NULL;
}

/* A line and its answer. NULL, or what is wrong. */
static const char *take_turn(struct chat *chat, char *line)
{
    const int32_t most = (int32_t)chat->params.n_ctx / 4; /* tokens of each */
    llama_token *end = chat->tokens + chat->count;
    int32_t n = text_read(chat->model, line, end, most, chat->count == 0);

    if (n == 0) {
        fprintf(stderr, "chat: this line is too long for the context\n");
        return NULL;
    }
    if (chat->context == NULL) { /* all is computed again */
        chat->context = llama_init_from_model(chat->model, chat->params);
        chat->held = chat->plan.kv_bytes; /* governor */
        chat->done = 0;
    }
    for (chat->count += n, n = 0; n < most; n++) {
        struct llama_batch batch = llama_batch_get_one(
            chat->tokens + chat->done, chat->count - chat->done);

        if (chat->context == NULL || llama_decode(chat->context, batch) != 0)
            return "llama.cpp cannot compute the answer";
        chat->done = chat->count++;
        end = chat->tokens + chat->done;
        *end = llama_sampler_sample(chat->sampler, chat->context, -1);
        if (!text_write(chat->model, *end))
            break;
    }
    if (chat->count > 2 * most) { /* the next turn needs room */
        chat->count = text_forget(chat->tokens, chat->count);
        give_back(chat, GOV_LEVEL_NORMAL);
    }
    return puts("") >= 0 && fflush(stdout) == 0 ? NULL : "stdout is closed";
}

int main(int argc, char **argv)
{
    struct chat chat = {.params = llama_context_default_params()};
    struct llama_model_params load = llama_model_default_params();
    struct gov_options options = gov_options_default();      /* governor */
    struct gov_relief relief = gov_relief_default();         /* governor */
    gov_error err = {.message = "llama.cpp cannot load it"}; /* governor */
    gov_runtime *runtime = NULL;                             /* governor */
    uint32_t id;                                             /* governor */
    const char *wrong = NULL;
    char line[4096];

    if (argc != 2)
        return fprintf(stderr, "chat takes a MODEL.gguf alone\n"), 2;
    llama_log_set(text_log, stderr);
    chat.sampler = llama_sampler_init_greedy();
    if (plan_load(&chat.plan, argv[1], CONTEXT, &err)) { /* governor */
        chat.params.n_ctx = chat.params.n_batch = chat.plan.context;
        load.n_gpu_layers = (int32_t)chat.plan.gpu_layers; /* governor */
        load.use_extra_bufts = chat.plan.repack;           /* governor */
        chat.model = llama_model_load_from_file(argv[1], load);
    }
    options.app = "chat";         /* governor */
    relief.name = "kv.idle";      /* governor */
    relief.between_passes = true; /* governor */
    relief.ctx = &chat;           /* governor */
    relief.offer = offer;         /* governor */
    relief.run = give_back;       /* governor */
    if (chat.model == NULL || gov_open(&runtime, &options, &err) != GOV_OK ||
        gov_relief_add(runtime, &relief, &id, &err) != GOV_OK)
        wrong = err.message;
    gov_on_event(runtime, on_event, stderr); /* governor */
    while (wrong == NULL && fgets(line, sizeof(line), stdin) != NULL) {
        gov_pass_begin(runtime); /* governor */
        wrong = take_turn(&chat, line);
        gov_pass_end(runtime); /* governor */
    }
    if (wrong != NULL)
        fprintf(stderr, "chat: %s\n", wrong);
    gov_close(runtime); /* governor */
    llama_free(chat.context);
    llama_sampler_free(chat.sampler);
    llama_model_free(chat.model);
    return wrong == NULL ? 0 : 1;
}
