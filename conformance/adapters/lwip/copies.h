/* SPDX-License-Identifier: BSD-3-Clause
 *
 * `reset` is a fork: the process that has set the stack up keeps it as it is and lets a copy serve; when the copy ends
 * with RESET, the next one begins where the first did. Knows no stack; for C and C++.
 */
#ifndef COPIES_H
#define COPIES_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The exit code of a copy that asks for a fresh one. */
#define RESET 77

/* Let copies serve; the exit code of the last. `serve` does not return; a signal that ends a copy ends this process. */
static int let_copies(void (*serve)(void))
{
    for (;;) {
        int status;
        pid_t child = fork();
        if (child < 0)
            return 1;
        if (child == 0)
            serve();
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) {
            signal(WTERMSIG(status), SIG_DFL);
            raise(WTERMSIG(status));
            return 1;
        }
        if (WEXITSTATUS(status) != RESET)
            return WEXITSTATUS(status);
    }
}

#endif
