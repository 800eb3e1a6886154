/* SPDX-License-Identifier: MIT */
/* What gov run says while it works: tokens on stdout and events on stderr, or
 * everything as JSON lines on stdout. Thread-safe: events come from the
 * runtime's thread. */
#ifndef GOV_TOOLS_OUTPUT_H
#define GOV_TOOLS_OUTPUT_H

#include <jansson.h>
#include <pthread.h>

#include "tools/gov/gov.h"

struct gov_output {
    bool json, colour;
    bool at_line_start; /* of the terminal that tokens and events share */
    bool shared;        /* stdout and stderr are one terminal */
    pthread_mutex_t lock;
    char held[8]; /* an unfinished UTF-8 sequence of the last pieces */
    size_t held_bytes;
};

void gov_output_init(struct gov_output *output, bool json);
void gov_output_fini(struct gov_output *output);

/* Generated text. False when stdout cannot take it. */
bool gov_output_text(struct gov_output *output, const char *text, size_t bytes);
/* Ends a line of generated text. */
void gov_output_newline(struct gov_output *output);
/* An event of the runtime. */
void gov_output_event(struct gov_output *output, const struct gov_event *event);
/* One sentence for a person; with JSON an object of kind "notice". */
void gov_output_notice(struct gov_output *output, const char *format, ...)
    GOV_PRINTF(2, 3);
/* A JSON object as a line; releases it. Nothing without --json. */
void gov_output_object(struct gov_output *output, json_t *object);

#endif
