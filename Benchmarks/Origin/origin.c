// SPDX-License-Identifier: Apache-2.0
// The function of the benchmarks, on one epoll loop and kept connections: answers every request with 12 bytes, or with
// so many as the path ends in ("/bytes/1073741824"). Bodies with a Content-Length are read and thrown away.
// Listens on 127.0.0.1 at $PORT, or at the port given as argument; 0 takes a free one and prints it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 8192
#define ROOM 65536

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello world\n";

struct connection {
    char bytes[ROOM];
    size_t used;
    // What is left of the request's body, and of a long answer's.
    unsigned long long body, answer;
};

static struct connection *connections[MAX_CONNECTIONS];
static char filler[ROOM];
static int queue;

static void drop(int descriptor) {
    free(connections[descriptor]);
    connections[descriptor] = NULL;
    close(descriptor);
}

static void watch(int descriptor, unsigned events, int operation) {
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    epoll_ctl(queue, operation, descriptor, &event);
}

// Sends what the socket takes of a long answer; 0 when it is all out.
static int send_more(int descriptor, struct connection *connection) {
    while (connection->answer > 0) {
        size_t most = connection->answer < ROOM ? (size_t)connection->answer : ROOM;
        ssize_t sent = write(descriptor, filler, most);
        if (sent < 0) return errno == EAGAIN ? 1 : -1;
        connection->answer -= (size_t)sent;
    }
    return 0;
}

static int begin_answer(int descriptor, struct connection *connection, const char *head) {
    const char *path = strncmp(head, "GET ", 4) == 0 ? strstr(head, "/bytes/") : NULL;
    const char *line_end = strstr(head, "\r\n");
    if (!path || path > line_end) return write(descriptor, answer, sizeof answer - 1) == sizeof answer - 1 ? 0 : -1;
    char text[128];
    connection->answer = strtoull(path + 7, NULL, 10);
    int length = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", connection->answer);
    if (write(descriptor, text, (size_t)length) != length) return -1;
    int state = send_more(descriptor, connection);
    if (state == 1) watch(descriptor, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    return state < 0 ? -1 : 0;
}

// Takes one step through what has come; 1 when more is there to be taken, -1 when the connection is to be dropped.
static int step(int descriptor, struct connection *connection) {
    char *end = memmem(connection->bytes, connection->used, "\r\n\r\n", 4);
    if (!end) return connection->used == ROOM - 1 ? -1 : 0;
    *end = 0;
    char *length = strcasestr(connection->bytes, "\r\ncontent-length:");
    connection->body = length ? strtoull(length + 17, NULL, 10) : 0;
    *end = '\r';
    char head[512];
    size_t kept = (size_t)(end - connection->bytes) + 4;
    snprintf(head, sizeof head, "%.*s", (int)(kept < 500 ? kept : 500), connection->bytes);
    connection->used -= kept;
    memmove(connection->bytes, end + 4, connection->used);
    size_t here = connection->body < connection->used ? (size_t)connection->body : connection->used;
    connection->body -= here;
    connection->used -= here;
    memmove(connection->bytes, connection->bytes + here, connection->used);
    // The answer to a body is sent when all of it has come.
    if (connection->body > 0) return 0;
    return begin_answer(descriptor, connection, head) < 0 ? -1 : connection->used > 0;
}

static void serve(int descriptor) {
    struct connection *connection = connections[descriptor];
    ssize_t count = read(descriptor, connection->bytes + connection->used, ROOM - 1 - connection->used);
    if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) drop(descriptor);
        return;
    }
    if (connection->body > 0) {
        size_t here = connection->body < (size_t)count ? (size_t)connection->body : (size_t)count;
        connection->body -= here;
        connection->used = (size_t)count - here;
        memmove(connection->bytes, connection->bytes + here, connection->used);
        if (connection->body > 0) return;
        if (write(descriptor, answer, sizeof answer - 1) != sizeof answer - 1) return drop(descriptor);
    } else {
        connection->used += (size_t)count;
    }
    int state;
    while ((state = step(descriptor, connection)) > 0) {}
    if (state < 0) drop(descriptor);
}

static void room_again(int descriptor) {
    int state = send_more(descriptor, connections[descriptor]);
    if (state < 0) return drop(descriptor);
    if (state == 0) watch(descriptor, EPOLLIN, EPOLL_CTL_MOD);
}

int main(int count, char **arguments) {
    const char *port = count > 1 ? arguments[1] : getenv("PORT");
    if (!port) {
        fprintf(stderr, "Name a port.\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0) {
        perror("listen");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    queue = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    struct epoll_event events[256];
    for (;;) {
        int ready = epoll_wait(queue, events, 256, -1);
        for (int index = 0; index < ready; index++) {
            int descriptor = events[index].data.fd;
            if (descriptor != listener) {
                if (events[index].events & EPOLLOUT) room_again(descriptor);
                if (connections[descriptor] && events[index].events & ~EPOLLOUT) serve(descriptor);
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
            watch(accepted, EPOLLIN, EPOLL_CTL_ADD);
        }
    }
}
