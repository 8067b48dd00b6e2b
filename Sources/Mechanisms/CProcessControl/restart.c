// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CProcessControl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

int martlet_restart(const char *program, char *const *arguments, const int *descriptors, size_t count) {
    int copies[MARTLET_MESSAGE_DESCRIPTORS];
    if (count > MARTLET_MESSAGE_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    // Out of the way of the numbers that they are to have.
    for (size_t index = 0; index < count; index++) {
        copies[index] = fcntl(descriptors[index], F_DUPFD_CLOEXEC, 3 + (int)count);
        if (copies[index] < 0) return -1;
    }
    // Whatever else is open ends with this program; 4 is CLOSE_RANGE_CLOEXEC. Older kernels go by what each was opened with.
    syscall(SYS_close_range, 3U, ~0U, 4U);
    for (size_t index = 0; index < count; index++) {
        if (dup2(copies[index], 3 + (int)index) < 0) return -1;
    }
    // The thread's mask would be that of the whole new program.
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    execv(program, arguments);
    return -1;
}
