// SPDX-License-Identifier: Apache-2.0
// The control of starting functions: starts so many copies of a program by posix_spawn, each with a PORT of its own and
// the rest of its own environment, and waits until each accepts a connection.
// Usage: start COUNT FIRST_PORT PROGRAM [ARGUMENT ...]; prints programs per second.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int accepts(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(client, (struct sockaddr *)&address, sizeof address);
    close(client);
    return result == 0;
}

int main(int count, char **arguments) {
    if (count < 4) return 64;
    int programs = atoi(arguments[1]), first = atoi(arguments[2]), variables = 0;
    while (environ[variables]) variables++;
    char port[32], **environment = calloc((size_t)variables + 2, sizeof *environment);
    memcpy(environment, environ, (size_t)variables * sizeof *environment);
    environment[variables] = port;
    pid_t *processes = calloc((size_t)programs, sizeof *processes);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    double start = now();
    for (int index = 0; index < programs; index++) {
        snprintf(port, sizeof port, "PORT=%d", first + index);
        if (posix_spawnp(&processes[index], arguments[3], &actions, NULL, arguments + 3, environment) != 0) return 1;
    }
    for (int index = 0; index < programs; index++)
        while (!accepts(first + index)) usleep(200);
    double seconds = now() - start;
    for (int index = 0; index < programs; index++) {
        kill(processes[index], SIGKILL);
        waitpid(processes[index], NULL, 0);
    }
    printf("%f\n", programs / seconds);
    return 0;
}
