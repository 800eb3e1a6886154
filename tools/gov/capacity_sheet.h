/* SPDX-License-Identifier: MIT */
/* What gov capacity shows, however it shows it: machines, models, and how both
 * go together. */
#ifndef GOV_TOOLS_CAPACITY_SHEET_H
#define GOV_TOOLS_CAPACITY_SHEET_H

#include <stdio.h>

#include "policies/capacity.h"

enum { GOV_SHEET_MACHINES = 64, GOV_SHEET_MODELS = 64 };

struct gov_sheet_machine {
    struct gov_capacity_device device;
    struct gov_tier tier; /* name "": unknown */
};

struct gov_sheet {
    struct gov_sheet_machine machines[GOV_SHEET_MACHINES];
    struct gov_capacity_model models[GOV_SHEET_MODELS];
    size_t machine_count, model_count;
    uint64_t context; /* tokens */
};

/* How a model goes on a machine, at best. */
enum gov_sheet_fit {
    GOV_FIT_UNKNOWN,  /* nobody knows what the machine has */
    GOV_FIT_NOT,      /* no way runs */
    GOV_FIT_STREAMED, /* a share stays, the rest is read for each token */
    GOV_FIT_WHOLE,    /* mapped or in the heap, once */
    GOV_FIT_EASY,     /* even the traditional way, twice its size */
    GOV_FITS
};

struct gov_sheet_match {
    enum gov_sheet_fit fit;
    gov_way way; /* the best one that runs; GOV_WAY_COUNT for none */
    gov_gpu_fit gpu;
    struct gov_capacity_verdict verdict[GOV_WAY_COUNT];
};

void gov_sheet_judge(const struct gov_sheet *sheet, size_t machine,
                     size_t model, struct gov_sheet_match *out);

/* Bytes of a model's name before its quantisation ("8B" of "8B Q4_K_M"), and
 * whether two names begin with the same size. */
size_t gov_sheet_size_bytes(const char *name);
bool gov_sheet_same_size(const char *a, const char *b);

/* Tokens a second with up to three digits ("29.3", "0.41", "<0.01"; "?" where
 *unknown). */
char *gov_sheet_speed(char *out, uint64_t tokens_per_1000s);
/* "1.2 s"; "unknown" for 0. Both write at most 24 bytes. */
char *gov_sheet_time(char *out, uint64_t ms);

/* Draws the sheet as SVG. What cannot be written shows in ferror(). */
void gov_sheet_svg(const struct gov_sheet *sheet, FILE *out);

#endif
