// SPDX-License-Identifier: Apache-2.0
// A function for tests that run containers: a whole image in one static file. It serves HTTP/1.1, a process per connection.
//
// PORT (8080) is where it listens, on all addresses; DELAY (milliseconds) how long after its start; EXIT a status with which
// it ends at once; STUBBORN keeps it from ending at SIGTERM. Paths: /env prints the environment, /exit/N ends the function,
// /sleep/MS answers late, /memory/MB takes memory first, /print/TEXT prints a line, /file/PATH prints a file, /write/PATH
// makes one. Every other one is answered with what was asked.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM 65536

extern char **environ;
static volatile sig_atomic_t is_ending;
static pid_t server;

static void note_end(int number) {
    (void)number;
    is_ending = 1;
}

static void pause_for(const char *milliseconds) { poll(NULL, 0, atoi(milliseconds)); }

static void answer(int client, int status, const char *body, size_t length) {
    char head[256];
    int count = snprintf(
        head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", status,
        status == 200 ? "OK" : "No", length);
    if (write(client, head, (size_t)count) < 0 || write(client, body, length) < 0) _exit(0);
}

static size_t print_environment(char *text) {
    size_t used = 0;
    for (char **variable = environ; *variable; variable++)
        used += (size_t)snprintf(text + used, ROOM - used, "%s\n", *variable);
    return used;
}

static void take_memory(const char *megabytes) {
    size_t size = (size_t)atoi(megabytes) << 20;
    volatile char *memory = malloc(size);
    for (size_t place = 0; memory && place < size; place += 4096) memory[place] = 1;
}

static void carry_out(int client, const char *method, const char *path, const char *body, size_t length) {
    static char text[ROOM];
    size_t used = 0;
    if (strcmp(path, "/env") == 0) {
        used = print_environment(text);
    } else if (strncmp(path, "/exit/", 6) == 0) {
        sigqueue(server, SIGUSR1, (union sigval){.sival_int = atoi(path + 6)});
        _exit(0);
    } else if (strncmp(path, "/file/", 6) == 0) {
        int file = open(path + 5, O_RDONLY);
        ssize_t count = file < 0 ? -1 : read(file, text, ROOM);
        if (count < 0) return answer(client, 404, strerror(errno), strlen(strerror(errno)));
        used = (size_t)count;
    } else if (strncmp(path, "/write/", 7) == 0) {
        int file = open(path + 6, O_WRONLY | O_CREAT, 0755);
        if (file < 0) return answer(client, 403, strerror(errno), strlen(strerror(errno)));
    } else if (strncmp(path, "/print/", 7) == 0) {
        dprintf(1, "%s\n", path + 7);
    } else {
        if (strncmp(path, "/sleep/", 7) == 0) pause_for(path + 7);
        if (strncmp(path, "/memory/", 8) == 0) take_memory(path + 8);
        used = (size_t)snprintf(text, ROOM, "%s %s\n%.*s", method, path, (int)length, body);
    }
    answer(client, 200, text, used);
}

// Reads one request and answers it; false at the end of the connection.
static int serve(int client) {
    static char room[ROOM];
    size_t used = 0;
    char *end;
    do {
        ssize_t count = used < ROOM - 1 ? read(client, room + used, ROOM - 1 - used) : 0;
        if (count <= 0) return 0;
        used += (size_t)count;
        room[used] = 0;
    } while (!(end = strstr(room, "\r\n\r\n")));
    *end = 0;
    char *body = end + 4, method[16], path[4096];
    if (sscanf(room, "%15s %4095s", method, path) != 2) return 0;
    char *line = strcasestr(room, "\ncontent-length:");
    size_t length = line ? (size_t)atol(line + 16) : 0;
    if (length > (size_t)(room + ROOM - 1 - body)) return 0;
    while ((size_t)(room + used - body) < length) {
        ssize_t count = read(client, room + used, ROOM - 1 - used);
        if (count <= 0) return 0;
        used += (size_t)count;
    }
    carry_out(client, method, path, body, length);
    return 1;
}

static void end_as_told(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    _exit(info->si_value.sival_int);
}

int main(void) {
    if (getenv("EXIT")) {
        dprintf(2, "ends at once\n");
        return atoi(getenv("EXIT"));
    }
    server = getpid();
    struct sigaction told = {.sa_sigaction = end_as_told, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &told, NULL);
    struct sigaction ending = {.sa_handler = getenv("STUBBORN") ? SIG_IGN : note_end};
    sigaction(SIGTERM, &ending, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (getenv("DELAY")) pause_for(getenv("DELAY"));
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(getenv("PORT") ? getenv("PORT") : "8080"))};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1024) != 0) {
        perror("listen");
        return 1;
    }
    dprintf(1, "listens\n");
    while (!is_ending) {
        int client = accept(listener, NULL, NULL);
        while (waitpid(-1, NULL, WNOHANG) > 0) continue;
        if (client < 0) continue;
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            signal(SIGUSR1, SIG_DFL);
            close(listener);
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            while (serve(client)) continue;
            _exit(0);
        }
        close(client);
    }
    // What is in flight ends as well: whoever ends a function has seen to it that nothing is.
    return 0;
}
