// SPDX-License-Identifier: Apache-2.0
//
// Publishes 1 KiB messages to a JetStream stream over so many connections, each waiting for its acknowledgement before
// the next, and prints acknowledgements per second.
//
//   jetstream PORT CONNECTIONS SECONDS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 1024, BODY = 1024 };

static struct pollfd sockets[MOST_CONNECTIONS];
static char buffers[MOST_CONNECTIONS][8192];
static size_t lengths[MOST_CONNECTIONS];
static char message[BODY + 64];
static int message_length;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int descriptor, const char *text, size_t length) {
    while (length > 0) {
        ssize_t sent = write(descriptor, text, length);
        if (sent <= 0) fail("write");
        text += sent;
        length -= (size_t)sent;
    }
}

static int open_connection(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    const char *hello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB inbox.1 1\r\n";
    return send_all(descriptor, hello, strlen(hello)), descriptor;
}

// Reads until an answer to a request has come; everything before it is thrown away.
static int took_answer(int index) {
    char *buffer = buffers[index];
    ssize_t count = read(sockets[index].fd, buffer + lengths[index], sizeof buffers[index] - lengths[index] - 1);
    if (count <= 0) fail("read");
    lengths[index] += (size_t)count;
    buffer[lengths[index]] = 0;
    char *answer = strstr(buffer, "MSG ");
    char *line = answer ? strstr(answer, "\r\n") : NULL;
    if (!line || !strstr(line + 2, "\r\n")) return 0;
    if (strstr(line, "\"error\"")) {
        fprintf(stderr, "%s\n", line);
        exit(1);
    }
    lengths[index] = 0;
    return 1;
}

static void make_stream(void) {
    const char *stream = "{\"name\":\"bench\",\"subjects\":[\"bench\"],\"storage\":\"file\",\"retention\":\"limits\","
                         "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"discard\":\"old\",\"num_replicas\":1}";
    char request[1024];
    int length = snprintf(request, sizeof request, "PUB $JS.API.STREAM.CREATE.bench inbox.1 %zu\r\n%s\r\n",
                          strlen(stream), stream);
    send_all(sockets[0].fd, request, (size_t)length);
    while (!took_answer(0)) {}
}

int main(int count, char **arguments) {
    if (count != 4) return 64;
    int port = atoi(arguments[1]), connections = atoi(arguments[2]);
    if (connections > MOST_CONNECTIONS) return 64;
    sockets[0] = (struct pollfd){.fd = open_connection(port), .events = POLLIN};
    make_stream();
    char body[BODY];
    memset(body, 'x', sizeof body);
    for (int index = 0; index < connections; index++) {
        if (index > 0) sockets[index] = (struct pollfd){.fd = open_connection(port), .events = POLLIN};
        // Each listens for its own answers.
        char listen[64];
        int length = snprintf(listen, sizeof listen, "SUB own.%d 2\r\n", index);
        send_all(sockets[index].fd, listen, (size_t)length);
    }
    double begun = now(), until = begun + atof(arguments[3]);
    long answers = 0;
    for (int index = 0; index < connections; index++) {
        message_length = snprintf(message, sizeof message, "PUB bench own.%d %d\r\n%.*s\r\n", index, BODY, BODY, body);
        send_all(sockets[index].fd, message, (size_t)message_length);
    }
    while (now() < until) {
        if (poll(sockets, (nfds_t)connections, 1000) < 0) fail("poll");
        for (int index = 0; index < connections; index++) {
            if (!(sockets[index].revents & POLLIN) || !took_answer(index)) continue;
            answers++;
            message_length = snprintf(message, sizeof message, "PUB bench own.%d %d\r\n%.*s\r\n", index, BODY, BODY, body);
            send_all(sockets[index].fd, message, (size_t)message_length);
        }
    }
    printf("%.0f\n", answers / (now() - begun));
    return 0;
}
