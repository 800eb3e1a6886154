/* SPDX-License-Identifier: MIT */
/* What each architecture of llama.cpp keeps between tokens, as data: a row says
 * what is special about it. state.c works out the bytes. Says nothing about
 * weights or graphs. */
#ifndef GOV_MODEL_ARCHITECTURES_H
#define GOV_MODEL_ARCHITECTURES_H

#include <stdbool.h>
#include <stdint.h>

/* Which memory llama_model::create_memory() makes. */
enum gov__keeps {
    GOV__KEEPS_CACHE = 0,  /* keys and values in every layer */
    GOV__KEEPS_NOTHING,    /* encoders, diffusion models, vocoders, projectors;
                           * a draft that shares its target's cache */
    GOV__KEEPS_STATE,      /* a recurrent state in every layer */
    GOV__KEEPS_BOTH,       /* hybrids: `recurrent` says which layer has which */
    GOV__KEEPS_COMPRESSED, /* DeepSeek-V4: caches of a part of the cells, which
                            * is not known to the byte here */
    GOV__KEEPS_UNKNOWN,    /* named by llama.cpp, which cannot load it */
};

/* Which layers of a hybrid are recurrent. */
enum gov__recurrent {
    GOV__RECURRENT_NO_HEADS = 0,    /* those without key heads */
    GOV__RECURRENT_NO_HEADS_NO_FFN, /* of those without a feed-forward part,
                                     * which otherwise are nothing else */
    GOV__RECURRENT_INTERVAL, /* as listed, else all but each `period`th */
    GOV__RECURRENT_EVERY,    /* all, and all have a cache too */
};

/* What a recurrent layer's state is made of (llama_hparams::n_embd_r, _s). */
enum gov__recurrence {
    GOV__RECURRENCE_NONE = 0,
    GOV__RECURRENCE_SSM,        /* Mamba */
    GOV__RECURRENCE_SSM_GROUPS, /* Mamba 2, gated delta nets */
    GOV__RECURRENCE_WKV,        /* RWKV */
    GOV__RECURRENCE_SHORTCONV,  /* LFM2 */
    GOV__RECURRENCE_KDA,        /* Kimi delta attention */
    GOV__RECURRENCE_LIGHTNING,  /* MiniMax-Text-01 */
};

/* How many tokens layers with a window look back over. */
enum gov__window {
    GOV__WINDOW_NONE = 0,
    GOV__WINDOW_NEEDED,       /* the file has to say */
    GOV__WINDOW_OPTIONAL,     /* the file may say; else no layer has one */
    GOV__WINDOW_ASSUMED,      /* `window_tokens` unless the file says */
    GOV__WINDOW_FIXED,        /* `window_tokens` unless the file says 0 */
    GOV__WINDOW_FIXED_IF_SET, /* `window_tokens` if the file says any */
};

/* Which layers have a window. */
enum gov__pattern {
    GOV__PATTERN_PERIOD = 0, /* as listed, else all but one in each `period`,
                              * the last or, with `dense_first`, the first */
    GOV__PATTERN_LISTED,     /* the file has to list them */
    GOV__PATTERN_ALL,
};

/* Keys for an indexer, which chooses what attention looks at. */
enum gov__indexer {
    GOV__INDEXER_NONE = 0,
    GOV__INDEXER_EVERY,       /* DeepSeek sparse attention, in every layer */
    GOV__INDEXER_LISTED,      /* in the layers that the file lists */
    GOV__INDEXER_LISTED_LATE, /* so, and GLM before 5.2 in every layer */
    GOV__INDEXER_IF_USED,     /* in those listed, if any is to be chosen */
    GOV__INDEXER_BEHIND_LEAD, /* MiniMax-M3: behind the leading dense layers,
                               * with values as well */
    GOV__INDEXER_ATTENTION,   /* Qwen4: in layers that attend, without values */
};

/* Multi-head latent attention: one latent per token, no values. */
enum gov__mla {
    GOV__MLA_NONE = 0,
    GOV__MLA_OPTIONAL, /* old conversions keep full keys and values */
    GOV__MLA_NEEDED,   /* the file has to say its lengths */
};

/* Layers from one on that use an earlier layer's keys and values. */
enum gov__shared {
    GOV__SHARED_NONE = 0,
    GOV__SHARED_FROM_20, /* Gemma 3n, whatever its size */
    GOV__SHARED_LAST,    /* as many at the end as the file says */
};

enum gov__architecture_flag {
    GOV__KEEPS_NEXTN = 1,  /* layers that predict further tokens have a cache
                            * like any; elsewhere they are left to a context
                            * of their own */
    GOV__ROUTER = 2,       /* one more layer, with one head */
    GOV__LOOPED = 4,       /* its layers are used several times over */
    GOV__HYPER_WINDOW = 8, /* with hyper-connections all layers have a window */
    GOV__NO_FLASH = 16,    /* flash attention is not used */
    GOV__PLE = 32, /* may have an n-gram embedding with a state of its own */
    GOV__FULL_LENGTHS = 64,     /* head lengths count without attention heads */
    GOV__LATENT_VALUES = 128,   /* a value is as long as the latent */
    GOV__EMBEDDING_TWICE = 256, /* the output is made before the embedding, so
                                 * one that is both is there twice, unless
                                 * mapped */
};

struct gov__architecture {
    const char *name; /* of general.architecture */
    unsigned char keeps, recurrent, recurrence, window, pattern, indexer, mla,
        shared;
    unsigned char period; /* of windows, or of recurrent layers */
    bool dense_first;
    uint16_t flags;
    uint16_t window_tokens;
    uint16_t window_layers; /* only models of so many layers have a window;
                             * 0: all */
};

/* NULL for one that llama.cpp v0.5.0 does not name. */
const struct gov__architecture *gov__architecture_find(const char *name);

#endif
