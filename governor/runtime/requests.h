/* SPDX-License-Identifier: MIT */
/* Rows of telemetry that wait to be written (governor/telemetry.h): requests, relief
 * and samples of how memory was. Whoever has one only copies it, under a lock of its
 * own that nobody holds for longer; the thread that keeps house writes them. All but
 * opening and closing do nothing where the app asked for no telemetry. */
#ifndef GOV_RUNTIME_REQUESTS_H
#define GOV_RUNTIME_REQUESTS_H

#include "governor/platform/platform.h"
#include "governor/pressure/evidence.h"
#include "governor/runtime.h"

#define GOV__REQUESTS 256     /* that wait; and of the others: */
#define GOV__REQUESTS_REST 64 /* relief, samples */

struct gov__requests;

/* Takes memory for what waits; touches no file. */
gov_status gov__requests_open(struct gov_runtime *runtime,
                              const struct gov_options *options,
                              gov_error *err);
/* Writes what waits, once, and ends. Nobody else uses the runtime. */
void gov__requests_close(struct gov_runtime *runtime);

/* An action ran. `measured` false: nobody knows what it gave, and there is no row. */
void gov__requests_relief(struct gov_runtime *runtime, const char *action,
                          uint64_t claimed_bytes, uint64_t yield_bytes,
                          uint64_t took_us, bool measured);

/* What a look found: a row where the level is another one than in the last, or that
 * is 10 s old. */
void gov__requests_sample(struct gov_runtime *runtime,
                          const struct gov__sample *sample, gov_level level);

/* Writes what waits, when it is time. On the thread that keeps house. */
void gov__requests_flush(struct gov_runtime *runtime);

/* Why nothing can be written, or "". */
void gov__requests_problem(struct gov_runtime *runtime,
                           char out[GOV_MESSAGE_BYTES]);

#endif
