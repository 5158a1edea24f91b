/* A Modbus device to test against, on libmodbus; it does what standard input says.
 *
 *   modbus_device tcp            listens on 127.0.0.1, prints "READY port"
 *   modbus_device rtu PATH UNIT  one unit on a serial line, prints "READY 0"
 *
 * Registers and bits 0 to 999 of each table; beyond them it answers exception 2. Commands, each
 * answered by one line:
 *   set TABLE ADDRESS VALUE   one cell; TABLE is holding, input, coil or discrete
 *   code ADDRESS CODE         a request that touches the address gets that exception; 0 heals
 *   mute UNIT / speak UNIT    no answer to a unit's requests, and answers again
 *   unit UNIT                 be that unit from now on (serial)
 *   count                     how many requests came since the last count
 *   lacks FUNCTION            requests with that function get exception 1; 0: none do
 *   get TABLE ADDRESS         the answer is what a holding register or a coil holds
 *   wrote                     the answer is what was written since the last time, oldest first:
 *                             "UNIT TABLE ADDRESS VALUE;" each
 *   watch                     from now on `wrote` tells of reads too: "read;" each
 */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define CELLS 1000

static modbus_t *ctx;
static modbus_mapping_t *map;
static int codes[CELLS], muted[256], requests, header, lacking, watching;
static char writes[16384];

static void set(const char *table, int at, int value) {
    if (at < 0 || at >= CELLS) return;
    if (!strcmp(table, "holding")) map->tab_registers[at] = (uint16_t)value;
    if (!strcmp(table, "input")) map->tab_input_registers[at] = (uint16_t)value;
    if (!strcmp(table, "coil")) map->tab_bits[at] = value != 0;
    if (!strcmp(table, "discrete")) map->tab_input_bits[at] = value != 0;
}

static void command(const char *line) {
    char table[16];
    int a = 0, b = 0;
    if (sscanf(line, "set %15s %d %d", table, &a, &b) == 3) set(table, a, b);
    else if (sscanf(line, "code %d %d", &a, &b) == 2 && a >= 0 && a < CELLS) codes[a] = b;
    else if (sscanf(line, "mute %d", &a) == 1) muted[a & 255] = 1;
    else if (sscanf(line, "speak %d", &a) == 1) muted[a & 255] = 0;
    else if (sscanf(line, "unit %d", &a) == 1) modbus_set_slave(ctx, a);
    else if (sscanf(line, "lacks %d", &a) == 1) lacking = a;
    if (sscanf(line, "get %15s %d", table, &a) == 2 && a >= 0 && a < CELLS) {
        printf("%d\n", strcmp(table, "coil") ? map->tab_registers[a] : map->tab_bits[a]);
        return;
    }
    if (!strncmp(line, "watch", 5)) watching = 1;
    if (!strncmp(line, "wrote", 5)) {
        puts(writes);
        writes[0] = 0;
        return;
    }
    printf("%d\n", requests);
    if (!strncmp(line, "count", 5)) requests = 0;
}

/* Function 5 writes a coil, 6 a register, 22 some bits of a register (23 and others are not asked for). */
static int is_write(const uint8_t *query) {
    return query[header] == 5 || query[header] == 6 || query[header] == 22;
}

static void note(const uint8_t *query) {
    int at = query[header + 1] << 8 | query[header + 2];
    int is_coil = query[header] == 5;
    size_t used = strlen(writes);
    if (!is_write(query) && watching) snprintf(writes + used, sizeof writes - used, "read;");
    if (!is_write(query) || at >= CELLS) return;
    snprintf(writes + used, sizeof writes - used, "%d %s %d %d;", query[header - 1],
             is_coil ? "coil" : "holding", at, is_coil ? map->tab_bits[at] : map->tab_registers[at]);
}

static int code_for(const uint8_t *query) {
    int first = query[header + 1] << 8 | query[header + 2];
    int count = is_write(query) ? 1 : query[header + 3] << 8 | query[header + 4];
    if (lacking && query[header] == lacking) return 1;
    for (int at = first; at < first + count && at < CELLS; at++)
        if (codes[at]) return codes[at];
    return 0;
}

/* Returns 0 where the connection has ended. */
static int serve(void) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int length = modbus_receive(ctx, query);
    if (length < 0) return 0;
    if (length == 0) return 1; /* a frame to another unit */
    requests++;
    if (muted[query[header - 1]]) return 1;
    int code = code_for(query);
    if (code) modbus_reply_exception(ctx, query, code);
    else modbus_reply(ctx, query, length, map);
    if (!code) note(query);
    return 1;
}

static int listen_on_any(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) || listen(fd, 8)) return -1;
    getsockname(fd, (struct sockaddr *)&at, &size);
    printf("READY %d\n", ntohs(at.sin_port));
    return fd;
}

static void loop(int listener, int serial) {
    fd_set open_fds, ready;
    FD_ZERO(&open_fds);
    FD_SET(STDIN_FILENO, &open_fds);
    FD_SET(listener >= 0 ? listener : serial, &open_fds);
    for (;;) {
        ready = open_fds;
        if (select(FD_SETSIZE, &ready, NULL, NULL, NULL) < 0) return;
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!FD_ISSET(fd, &ready)) continue;
            if (fd == STDIN_FILENO) {
                char line[128];
                if (!fgets(line, sizeof line, stdin)) return;
                command(line);
            } else if (fd == listener) {
                int peer = accept(listener, NULL, NULL);
                if (peer >= 0) FD_SET(peer, &open_fds);
            } else {
                modbus_set_socket(ctx, fd);
                if (serve()) continue;
                if (fd == serial && errno != EBADF && errno != EIO) continue; /* noise */
                if (fd == serial) return;
                close(fd);
                FD_CLR(fd, &open_fds);
            }
        }
    }
}

int main(int argc, char **argv) {
    int listener = -1, serial = -1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    map = modbus_mapping_new(CELLS, CELLS, CELLS, CELLS);
    if (argc == 2 && !strcmp(argv[1], "tcp")) {
        ctx = modbus_new_tcp("127.0.0.1", 502);
        listener = listen_on_any();
        if (!ctx || listener < 0) return 1;
    } else if (argc == 4 && !strcmp(argv[1], "rtu")) {
        ctx = modbus_new_rtu(argv[2], 19200, 'N', 8, 1);
        if (!ctx || modbus_set_slave(ctx, atoi(argv[3])) || modbus_connect(ctx)) return 1;
        serial = modbus_get_socket(ctx);
        puts("READY 0");
    } else {
        return 2;
    }
    header = modbus_get_header_length(ctx);
    loop(listener, serial);
    return 0;
}
