/* SPDX-License-Identifier: MIT */
/* Pressure traces: what a runtime saw and did, one JSON object a line, for replay
 * against other policies (policies/replay.h). docs/trace.md describes the lines.
 * A trace holds figures and names of actions; no prompt, no text, no path. */
#ifndef GOV_TRACE_H
#define GOV_TRACE_H

#include "governor/runtime.h"
#include "policies/replay.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Records into a new file from now on until gov_record_end() or gov_close(): the
 * evidence and the offers of every sample, and every action. An existing file is
 * not touched; the new one is for its owner alone. `note` says in a line what
 * happens (255 bytes at most; may be NULL). One trace a runtime at a time; not
 * from a callback. Any thread.
 *
 * Lines are written by the thread that steps (the last ones by the one that ends
 * the trace), each whole and with one write(), before anything runs for that
 * sample: the thread of an engine only leaves them in memory. A process that is
 * killed leaves whole lines and at most one that is cut off. Offers are asked for
 * at every sample, at NORMAL too. When the file cannot be written (a full disk)
 * recording ends with a GOV_EVENT_NOTICE, and what is there ends in a whole line.
 * A trace without a sample is removed when it ends. A child of fork() records
 * nothing.
 *
 * GOV_E_BUSY     it records already; or a write to the trace before has not come
 *                back within a second: the file system hangs
 * GOV_E_IO, GOV_E_PERMISSION, GOV_E_NOT_FOUND  the file cannot be made; that it
 *                is there already is GOV_E_IO
 * GOV_E_NOMEM    no memory for the lines (about 64 KiB, kept until gov_close())
 * GOV_E_INVALID  a NULL, or a note that is too long */
GOV_API GOV_NODISCARD gov_status gov_record(gov_runtime *runtime,
                                            const char *path, const char *note,
                                            gov_error *err);

/* Ends the trace; does nothing where there is none. *samples (may be NULL)
 * receives how many samples the last trace of this runtime has. Not from a
 * callback. Writes the last lines itself; for a write of another thread it waits a
 * second at most.
 *
 * GOV_E_BUSY     that write has not come back: the file system hangs. Nothing more
 *                is recorded; the thread that writes ends the trace once it can,
 *                with a GOV_EVENT_NOTICE where that fails. *samples is what is
 *                written so far. Calling again waits again. gov_close() waits for
 *                as long as it takes
 * GOV_E_IO       its end could not be written */
GOV_API GOV_NODISCARD gov_status gov_record_end(gov_runtime *runtime,
                                                uint64_t *samples,
                                                gov_error *err);

/* What stands in the first line. */
struct gov_trace_head {
    char app[64];
    char policy[64]; /* under which it was recorded */
    char note[256];  /* what happened, for a person; may be empty */
    uint32_t sample_ms;
    /* Known once all is read: */
    bool simulated; /* a part of it is not evidence but a simulated level */
    bool cut;       /* its last line is cut off: the recorder was killed */
};

/* Reads a trace: calls `event` for each event in order; returning false stops,
 * which is no failure. An event holds the actions of the sample before it. A last
 * line that is cut off is passed over, and head->cut says so. `head` may be NULL;
 * it is filled before the first event.
 * At most 1 GiB and lines of 64 KiB; keys and kinds of lines that are not known
 * are passed over. Any thread.
 *
 * GOV_E_FORMAT   no trace, of a newer version, or its time runs backwards:
 *                PATH:LINE: sentence
 * GOV_E_NOT_FOUND, GOV_E_PERMISSION, GOV_E_IO, GOV_E_NOMEM
 * GOV_E_INVALID  a NULL */
GOV_API GOV_NODISCARD gov_status
gov_trace_read(const char *path, struct gov_trace_head *head,
               bool (*event)(void *ctx, const struct gov_replay_event *event),
               void *ctx, const struct gov_alloc *alloc, gov_error *err);

#ifdef __cplusplus
}
#endif
#endif
