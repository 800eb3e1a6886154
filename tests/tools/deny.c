/* SPDX-License-Identifier: MIT */
/* deny CALL... -- COMMAND [ARGUMENT]...: runs a command to which the kernel
 * refuses system calls with EPERM, by a filter that its children inherit. CALL is
 * userfaultfd or io_uring. Exit status: the command's; 77 where no filter can be
 * installed. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS 8

static const struct {
    const char *name;
    unsigned number;
} known[] = {
    {"userfaultfd", SYS_userfaultfd},
    {"io_uring", SYS_io_uring_setup},
    {"io_uring", SYS_io_uring_enter},
    {"io_uring", SYS_io_uring_register},
};

static struct sock_filter step(unsigned code, unsigned k, unsigned yes)
{
    /* yes: how far to go when equal; else the next. */
    return (struct sock_filter)BPF_JUMP((unsigned short)code, k,
                                        (unsigned char)yes, 0);
}

/* What is not named is allowed. */
static int refuse(const unsigned *numbers, unsigned count)
{
    struct sock_filter filter[CALLS + 3];
    struct sock_fprog program = {(unsigned short)(count + 3), filter};

    filter[0] =
        step(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0);
    for (unsigned i = 0; i < count; i++)
        filter[1 + i] = step(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], count - i);
    filter[1 + count] = step(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0);
    filter[2 + count] = step(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    unsigned numbers[CALLS], count = 0;
    int at = 1;

    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        unsigned before = count;

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strcmp(argv[at], known[i].name) == 0 && count < CALLS)
                numbers[count++] = known[i].number;
        if (count == before)
            break;
    }
    if (count == 0 || at + 1 >= argc || strcmp(argv[at], "--") != 0) {
        fprintf(stderr, "usage: deny userfaultfd|io_uring... -- COMMAND "
                        "[ARGUMENT]...\n");
        return 2;
    }
    if (refuse(numbers, count) != 0) {
        fprintf(stderr, "deny: no filter of system calls: %s\n",
                strerror(errno));
        return 77;
    }
    execvp(argv[at + 1], argv + at + 1);
    fprintf(stderr, "deny: cannot run %s: %s\n", argv[at + 1], strerror(errno));
    return 127;
}
