// SPDX-License-Identifier: Apache-2.0
// The function of the benchmarks: answers every request on kept connections with one small body, on one epoll loop.
// Listens on 127.0.0.1 at $PORT, or at the port given as argument. Understands requests without a body, and pipelining.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define ROOM 8192

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello world\n";

struct connection {
    char bytes[ROOM];
    size_t used;
};

static struct connection *connections[MAX_CONNECTIONS];

static void drop(int descriptor) {
    free(connections[descriptor]);
    connections[descriptor] = NULL;
    close(descriptor);
}

static void serve(int descriptor) {
    struct connection *connection = connections[descriptor];
    ssize_t count = read(descriptor, connection->bytes + connection->used, ROOM - connection->used);
    if (count <= 0) {
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        drop(descriptor);
        return;
    }
    connection->used += (size_t)count;
    char *start = connection->bytes;
    char *end = connection->bytes + connection->used;
    char *blank;
    while ((blank = memmem(start, (size_t)(end - start), "\r\n\r\n", 4))) {
        start = blank + 4;
        if (write(descriptor, answer, sizeof answer - 1) != sizeof answer - 1) {
            drop(descriptor);
            return;
        }
    }
    connection->used = (size_t)(end - start);
    memmove(connection->bytes, start, connection->used);
    if (connection->used == ROOM) drop(descriptor);
}

int main(int count, char **arguments) {
    const char *port = count > 1 ? arguments[1] : getenv("PORT");
    if (!port) {
        fprintf(stderr, "Name a port.\n");
        return 64;
    }
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1024) != 0) {
        perror("listen");
        return 1;
    }
    int queue = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
    struct epoll_event events[256];
    for (;;) {
        int ready = epoll_wait(queue, events, 256, -1);
        for (int index = 0; index < ready; index++) {
            int descriptor = events[index].data.fd;
            if (descriptor != listener) {
                serve(descriptor);
                continue;
            }
            int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (accepted < 0) continue;
            if (accepted >= MAX_CONNECTIONS) {
                close(accepted);
                continue;
            }
            setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            connections[accepted] = calloc(1, sizeof(struct connection));
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = accepted};
            epoll_ctl(queue, EPOLL_CTL_ADD, accepted, &event);
        }
    }
}
