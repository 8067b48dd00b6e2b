// SPDX-License-Identifier: Apache-2.0
// The control of a process per call: so many threads start `cat` with two pipes by posix_spawn, read its output to the
// end and reap it, over and over. Usage: spawn THREADS SECONDS; prints processes per second.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static atomic_ulong count;
static double until;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void one(void) {
    int input[2], output[2], status;
    char *arguments[] = {"cat", NULL}, *environment[] = {"PATH=/usr/bin:/bin", NULL}, room[4096];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) exit(1);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    pid_t process;
    if (posix_spawn(&process, "/bin/cat", &actions, NULL, arguments, environment) != 0) exit(1);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    close(input[1]);
    while (read(output[0], room, sizeof room) > 0) {}
    close(output[0]);
    waitpid(process, &status, 0);
    atomic_fetch_add(&count, 1);
}

static void *work(void *unused) {
    while (now() < until) one();
    return unused;
}

int main(int arguments, char **words) {
    if (arguments != 3) return 64;
    int threads = atoi(words[1]);
    double begun = now();
    until = begun + atof(words[2]);
    pthread_t handles[64];
    for (int index = 0; index < threads && index < 64; index++) pthread_create(&handles[index], NULL, work, NULL);
    for (int index = 0; index < threads && index < 64; index++) pthread_join(handles[index], NULL);
    printf("%.0f\n", (double)atomic_load(&count) / (now() - begun));
    return 0;
}
