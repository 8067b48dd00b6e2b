// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CProcessControl.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

// Runs in the child, which shares our memory until it executes: system calls only, nothing of the C library that has
// state, and no return to the caller's frame.

static void fail(struct martlet_spawn_error *error, enum martlet_spawn_stage stage) {
    error->stage = stage;
    error->error = errno;
    _exit(127);
}

static void reset_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++) {
        if (number != SIGKILL && number != SIGSTOP) sigaction(number, &action, NULL);
    }
#ifdef SYS_rt_sigaction
    // The two that the C library keeps for itself, and lets nobody touch; ignored ones are inherited all the same.
    static const unsigned long by_default[8];
    syscall(SYS_rt_sigaction, 32, by_default, NULL, 8UL);
    syscall(SYS_rt_sigaction, 33, by_default, NULL, 8UL);
#endif
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void join_cgroups(const struct martlet_spawn *spawn, struct martlet_spawn_error *error) {
    for (size_t index = 0; index < spawn->cgroup_count; index++) {
        if (write(spawn->cgroups[index], "0", 1) != 1) fail(error, MARTLET_STAGE_CGROUP);
    }
}

static void mount_secrets(const struct martlet_spawn *spawn, struct martlet_spawn_error *error) {
    if (!spawn->mount_source) return;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
        || mount(spawn->mount_source, spawn->mount_target, NULL, MS_BIND, NULL) != 0
        || mount(NULL, spawn->mount_target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) != 0)
        fail(error, MARTLET_STAGE_MOUNT);
}

// The three descriptors may lie anywhere, also on one another's places: they are first moved out of the way.
static void take_descriptors(const struct martlet_spawn *spawn, struct martlet_spawn_error *error) {
    int wanted[3] = {spawn->standard_input, spawn->standard_output, spawn->standard_error};
    int moved[3];
    for (int index = 0; index < 3; index++) {
        moved[index] = fcntl(wanted[index], F_DUPFD, 3);
        if (moved[index] < 0) fail(error, MARTLET_STAGE_DESCRIPTORS);
    }
    for (int index = 0; index < 3; index++) {
        if (dup2(moved[index], index) < 0) fail(error, MARTLET_STAGE_DESCRIPTORS);
        // A blocking standard stream is what programs expect; ours is another open file and stays as it is.
    }
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0) {
        for (int descriptor = 3; descriptor < 65536; descriptor++) close(descriptor);
    }
}

static void restore_file_limit(const struct martlet_spawn *spawn) {
    struct rlimit limit;
    if (!spawn->soft_file_limit || getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (limit.rlim_cur == spawn->soft_file_limit) return;
    limit.rlim_cur = spawn->soft_file_limit;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// The limit of resident memory is inherited by whatever a process starts, survives a new environment, session and program,
// and has meant nothing to the kernel since 2.4. Where somebody has set it, it stays as it is.
static void mark(const struct martlet_spawn *spawn) {
    struct rlimit limit;
    if (!spawn->mark || getrlimit(RLIMIT_RSS, &limit) != 0 || limit.rlim_max != RLIM_INFINITY) return;
    limit.rlim_cur = limit.rlim_max = spawn->mark;
    setrlimit(RLIMIT_RSS, &limit);
}

uint64_t martlet_mark_of(pid_t pid) {
    struct rlimit limit;
    if (prlimit(pid, RLIMIT_RSS, NULL, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return 0;
    return limit.rlim_max;
}

__attribute__((noreturn)) static void
become(const struct martlet_spawn *spawn, pid_t parent, struct martlet_spawn_error *error) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // The parent may have died before the line above.
    if (getppid() != parent) _exit(127);
    join_cgroups(spawn, error);
    mount_secrets(spawn, error);
    if (chdir(spawn->directory) != 0) fail(error, MARTLET_STAGE_DIRECTORY);
    take_descriptors(spawn, error);
    // Only now: while our own thousands are still open, no descriptor below the lower limit may be free.
    restore_file_limit(spawn);
    mark(spawn);
    umask(022);
    reset_signals();
    execve(spawn->path, spawn->arguments, spawn->environment);
    fail(error, MARTLET_STAGE_EXEC);
    __builtin_unreachable();
}

pid_t martlet_spawn(const struct martlet_spawn *spawn, struct martlet_spawn_error *error) {
    error->stage = MARTLET_STAGE_NONE;
    error->error = 0;
    // With all signals blocked no handler of ours runs in the child, where it would work on our memory.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t child = vfork();
    if (child == 0) become(spawn, parent, error);
    int failure = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0) {
        error->stage = MARTLET_STAGE_FORK;
        error->error = failure;
        return -1;
    }
    if (error->stage != MARTLET_STAGE_NONE) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
        return -1;
    }
    return child;
}

int martlet_pidfd_open(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int martlet_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

pid_t martlet_reap(pid_t pid, int *status) {
    int raw = 0;
    pid_t reaped;
    do {
        reaped = waitpid(pid, &raw, WNOHANG);
    } while (reaped < 0 && errno == EINTR);
    if (reaped > 0) *status = WIFSIGNALED(raw) ? 256 + WTERMSIG(raw) : WEXITSTATUS(raw);
    return reaped;
}

static int make_nonblocking(int descriptor) {
    return fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

int martlet_pipe(int *read_end, int *write_end, int nonblocking_read, int nonblocking_write) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    if ((nonblocking_read && make_nonblocking(ends[0]) != 0) || (nonblocking_write && make_nonblocking(ends[1]) != 0)) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

int martlet_can_mount_privately(void) {
    if (geteuid() != 0) return 0;
    pid_t child = fork();
    if (child == 0) _exit(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ? 0 : 1);
    if (child < 0) return 0;
    int status = 1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void martlet_name_thread(const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

pid_t martlet_ended_child(void) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}
