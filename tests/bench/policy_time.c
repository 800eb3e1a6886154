/* SPDX-License-Identifier: MIT */
/* What reading and deciding by a policy takes, in processor time: the shipped one,
 * and files of 100 and 1000 rules (tests/support/many_rules.h). Prints a table; 1
 * where a figure is above what the project promises: 10 microseconds for a
 * decision over 100 rules, 20 ms to read 1000. */
#include <stdlib.h>
#include <time.h>

#include "tests/support/many_rules.h"

#define ROUNDS 50

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void trace(void *ctx, const char *rule, const char *verdict,
                  const char *detail)
{
    size_t *bytes = ctx;

    *bytes += strlen(rule) + strlen(verdict) + strlen(detail);
}

/* The least of many rounds: others use the machine, too. */
static double time_read(const char *text, size_t bytes)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_us(), took;
        gov_policy *policy;
        gov_error err;

        if (gov_policy_parse(&policy, text, bytes, "bench", NULL, &err) !=
            GOV_OK) {
            fprintf(stderr, "policy_time: %s\n", err.message);
            exit(2);
        }
        took = now_us() - begin;
        gov_policy_free(policy);
        best = took < best ? took : best;
    }
    return best;
}

static double time_decide(const char *text, size_t bytes, gov_trace_fn told)
{
    struct gov_facts facts;
    struct gov_plan plan;
    gov_policy *policy;
    gov_error err;
    double best = 1e9;
    size_t sink = 0;

    many_rules_facts(&facts);
    if (gov_policy_parse(&policy, text, bytes, "bench", NULL, &err) != GOV_OK)
        exit(2);
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_us(), took;

        for (int i = 0; i < 100; i++)
            if (gov_plan_decide(&plan, policy, &facts, told, &sink, &err) !=
                GOV_OK) {
                fprintf(stderr, "policy_time: %s\n", err.message);
                exit(2);
            }
        took = (now_us() - begin) / 100;
        best = took < best ? took : best;
    }
    gov_policy_free(policy);
    return best;
}

int main(void)
{
    static char text[256 * 1024];
    static const unsigned counts[] = {0, 100, 1000};
    bool kept = true;

    printf("| policy | to read | a decision | with a trace |\n"
           "|---|---|---|---|\n");
    for (int i = 0; i < 3; i++) {
        const char *from = gov_policy_shipped("balanced", NULL);
        size_t bytes = strlen(from);
        double reading, deciding, tracing;
        char name[32] = "balanced, as shipped";

        if (counts[i] != 0) {
            snprintf(name, sizeof(name), "%u rules", counts[i]);
            bytes = many_rules(text, sizeof(text), counts[i]);
            from = text;
        }
        reading = time_read(from, bytes);
        deciding = time_decide(from, bytes, NULL);
        tracing = time_decide(from, bytes, trace);
        printf("| %s | %.2f ms | %.2f us | %.1f us |\n", name, reading / 1e3,
               deciding, tracing);
        kept = kept && (counts[i] != 100 || deciding < 10) &&
               (counts[i] != 1000 || reading < 20000);
    }
    return kept ? 0 : 1;
}
