/* SPDX-License-Identifier: MIT */
/* What the runtime tells its recorder (trace_write.c), and what of the reader is
 * tested without a file. Nothing here fails: a recorder that cannot go on ends,
 * and says so with a NOTICE. All hooks: any thread, no lock held; they do nothing
 * where nothing is recorded. */
#ifndef GOV_RUNTIME_TRACE_PRIV_H
#define GOV_RUNTIME_TRACE_PRIV_H

#include "governor/runtime/runtime_priv.h"
#include "governor/trace.h"

/* Whether a sample is to be told, and with it what every action offers. */
bool gov__trace_on(const struct gov_runtime *runtime);

/* A sample, after the level machine took it and before anything runs for it;
 * `evidence` as the machine got it, simulated level included. `actions` are all
 * that are registered, in order of their slots, each with its own level and cost
 * (not the policy's) and what it offers at this level; at NORMAL what it offers
 * at WARN. */
void gov__trace_sample(struct gov_runtime *runtime,
                       const struct gov_evidence *evidence, gov_level level,
                       const char *reason,
                       const struct gov_replay_action *actions, uint32_t count);

/* Writes to the file what the others left, and only here: on the thread that keeps
 * house. */
void gov__trace_flush(struct gov_runtime *runtime);

/* An action has run. `measured` false: the system told nothing of what it gave,
 * and `yield_bytes` says nothing. */
void gov__trace_relief(struct gov_runtime *runtime, const char *name,
                       uint64_t offered_bytes, uint64_t yield_bytes,
                       uint64_t took_us, bool measured);

/* An action was told to take memory again. */
void gov__trace_regrow(struct gov_runtime *runtime, const char *name);

/* Reads a trace that is in memory, as gov_trace_read() does; "trace" in
 * messages. */
gov_status
gov__trace_parse(const char *text, size_t bytes, struct gov_trace_head *head,
                 bool (*event)(void *ctx, const struct gov_replay_event *event),
                 void *ctx, gov_error *err);

/* What a failed open() means. */
gov_status gov__trace_status(int error);

/* Ends a recording and frees the recorder: the runtime closes, and its thread
 * has ended. Its lock still works. */
void gov__trace_close(struct gov_runtime *runtime);

#endif
