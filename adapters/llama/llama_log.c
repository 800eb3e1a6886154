/* SPDX-License-Identifier: MIT */
/* llama.cpp logs to stderr unless told otherwise, for the whole process. While a
 * session of ours is open its log comes here, where only an error is kept; after
 * the last one the host's own setting is put back, unless the host has made
 * another meanwhile. The engine's setting is global, so this state must be. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "adapters/llama/llama_session.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int users;
static ggml_log_callback host_callback;
static void *host_data;
/* The engine logs on the thread that called it: two loads do not mix. */
static _Thread_local char first_error[192];

static void keep_error(enum ggml_log_level level, const char *text, void *data)
{
    (void)data;
    if (level != GGML_LOG_LEVEL_ERROR || first_error[0] != '\0')
        return;
    snprintf(first_error, sizeof(first_error), "%s", text);
    first_error[strcspn(first_error, "\n")] = '\0';
}

void gov__llama_log_acquire(void)
{
    first_error[0] = '\0';
    pthread_mutex_lock(&lock);
    if (users++ == 0) {
        llama_log_get(&host_callback, &host_data);
        llama_log_set(keep_error, NULL);
    }
    pthread_mutex_unlock(&lock);
}

unsigned int gov__llama_log_users(void)
{
    unsigned int now;

    pthread_mutex_lock(&lock);
    now = users;
    pthread_mutex_unlock(&lock);
    return now;
}

void gov__llama_log_release(void)
{
    ggml_log_callback callback;
    void *data;

    pthread_mutex_lock(&lock);
    llama_log_get(&callback, &data);
    if (--users == 0 && callback == keep_error)
        llama_log_set(host_callback, host_data);
    pthread_mutex_unlock(&lock);
}

void gov__llama_log_begin(void)
{
    first_error[0] = '\0';
}

void gov__llama_log_error(char *out, size_t bytes)
{
    snprintf(out, bytes, "%s", first_error);
}
