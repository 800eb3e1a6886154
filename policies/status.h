/* SPDX-License-Identifier: MIT */
/* Status codes, the error a failing call fills, and the attributes that mark a
 * public declaration. Everything else in the project includes this; it includes
 * nothing of the project. */
#ifndef GOV_POLICIES_STATUS_H
#define GOV_POLICIES_STATUS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GOV_API __attribute__((visibility("default")))
#define GOV_NODISCARD __attribute__((warn_unused_result))
#define GOV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GOV_API
#define GOV_NODISCARD
#define GOV_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers are ABI: append, never renumber. A status is 0 or negative. */
#define GOV_STATUS_MAP(X)                                                      \
    X(OK, 0, "success")                                                        \
    X(E_NOMEM, -1, "out of memory")                                            \
    X(E_INVALID, -2, "invalid argument")                                       \
    X(E_IO, -3, "input or output failed")                                      \
    X(E_NOT_FOUND, -4, "not found")                                            \
    X(E_FORMAT, -5, "malformed data")                                          \
    X(E_UNSUPPORTED, -6, "not supported here")                                 \
    X(E_REFUSED, -7, "refused by policy")                                      \
    X(E_PERMISSION, -8, "permission denied")                                   \
    X(E_CANCELLED, -9, "cancelled")                                            \
    X(E_BUSY, -10, "busy")                                                     \
    X(E_ENGINE, -11, "the engine failed")

typedef enum gov_status {
#define GOV_STATUS_ENUM(name, number, text) GOV_##name = (number),
    GOV_STATUS_MAP(GOV_STATUS_ENUM)
#undef GOV_STATUS_ENUM
} gov_status;

#define GOV_MESSAGE_BYTES 256

/* Filled only when a call fails. Lives in the caller: no allocation, no
 * thread-local state, safe to read after the failing object is gone. */
typedef struct gov_error {
    gov_status status;
    int os_errno; /* 0 when the cause is no system call */
    char
        message[GOV_MESSAGE_BYTES]; /* one sentence for a person; never parse */
} gov_error;

/* A constant English phrase for a status; "unknown status" for any other
 * number. Never NULL; any thread. */
GOV_API const char *gov_status_text(gov_status status);

/* Fills *err (which may be NULL) with a formatted sentence and returns status,
 * so that a failure is one line. A non-zero os_errno is kept and its text is
 * appended after ": ". A message that does not fit is cut at a character
 * boundary. For adapters and apps as well as for the library. Any thread. */
GOV_API gov_status gov_fail(gov_error *err, gov_status status, int os_errno,
                            const char *format, ...) GOV_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif
#endif
