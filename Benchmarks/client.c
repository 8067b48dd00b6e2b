// SPDX-License-Identifier: Apache-2.0
// A client of the counted benchmark: so many requests, one after another, on one kept connection to 127.0.0.1.
// Usage: client PORT COUNT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char request[] =
    "GET /function/fn/some/path?query=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";

// Reads one answer with a Content-Length; everything of it comes together here.
static int take_answer(int descriptor) {
    static char room[65536];
    size_t used = 0;
    while (used < sizeof room - 1) {
        ssize_t count = read(descriptor, room + used, sizeof room - 1 - used);
        if (count <= 0) return -1;
        used += (size_t)count;
        room[used] = 0;
        char *end = strstr(room, "\r\n\r\n");
        if (!end) continue;
        char *length = strcasestr(room, "content-length:");
        if (strncmp(room, "HTTP/1.1 200", 12) != 0 || !length) return -1;
        if (used >= (size_t)(end + 4 - room) + strtoul(length + 15, NULL, 10)) return 0;
    }
    return -1;
}

int main(int count, char **arguments) {
    if (count != 3) return 64;
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) return 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (long left = atol(arguments[2]); left > 0; left--) {
        if (write(descriptor, request, sizeof request - 1) != sizeof request - 1 || take_answer(descriptor) != 0) {
            fprintf(stderr, "a call failed\n");
            return 1;
        }
    }
    return 0;
}
