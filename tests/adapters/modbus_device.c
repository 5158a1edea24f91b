/* A Modbus device to test against, on libmodbus; it does what standard input says.
 *
 *   modbus_device tcp [PORT] [STATE]            listens on 127.0.0.1, prints "READY port"
 *   modbus_device rtu PATH UNITS [STATE]        units such as 3 or 1,2,9 on a serial line, prints "READY 0"
 *   modbus_device rtu-tcp UNITS [PORT] [STATE]  the same behind a device server: RTU frames over TCP
 *
 * libmodbus reads each request and makes each answer; what stands before it makes the device odd. STATE
 * is a file that holds tables and counters; a device that is killed and started with it again goes on.
 * Registers and bits 0 to 999 of each table; beyond them it answers exception 2. All units show the same
 * cells, but those with cells of their own. Commands, each answered by one line:
 *   set TABLE ADDRESS VALUE...  cells; TABLE is holding, input, coil or discrete
 *   get TABLE ADDRESS         the answer is what a cell holds
 *   in UNIT COMMAND           set, get, code and codes for one unit, which has cells of its own from then on
 *   size CELLS                how many cells a table has
 *   code ADDRESS CODE         a request that touches the address gets that exception; 0 heals
 *   codes FIRST LAST CODE     the same for many addresses
 *   mute UNIT / speak UNIT    no answer to a unit's requests, and answers again; 256: all
 *   slow UNIT MS              a unit answers so much later; 256: all
 *   skip UNIT COUNT           a unit answers only each such request, the third with 3; 0: all
 *   fault UNIT CODE [TIMES]   each request to a unit, or the next few, gets that exception; 0 heals
 *   longest COUNT [CODE]      reads of more get that exception (3)
 *   lacks FUNCTION            requests with that function get exception 1; 0: none do
 *   unit UNIT                 be that unit from now on (serial)
 *   pace BAUD                 requests and answers take their time on such a line, 11 bits a byte; 0: none
 *   dribble MS                a byte of an answer at a time, so far apart
 *   lie HOW [TIMES]           answers with a value that is none and a wrong unit, transaction, function or count (a
 *                             register less); or cut (half and closed), reset (half and RST), twice, once (each
 *                             closes the connection after it); none: honest
 *   limit COUNT close|wait    so many connections at once: one more is closed, or is not accepted
 *   hold MS                   a connection on which something was asked counts so much longer when the peer closes it
 *   drop                      closes all connections
 *   connections               the answer is how many are open, how many at most, how many there were
 *   counter UNIT ADDRESS BITS RATE START [keep]  holding registers count RATE a second, high word first, in
 *                             16 or 32 bits; 0 after a restart, or as they were with keep. Uptime and
 *                             heartbeat registers are counters, too. A master may write to them.
 *   rate UNIT ADDRESS RATE    a counter counts at that pace from now on
 *   add UNIT ADDRESS PARTS    and so many at once
 *   made UNIT ADDRESS         the answer is how many parts a counter made in all, restarts and writes or not
 *   identify TEXT             answers function 43/14 with it as vendor, product and revision
 *   count                     how many requests came since the last count
 *   functions                 the answer is each function code that ever came
 *   trace PATH                a line a request from now on: NS CONNECTION UNIT FUNCTION ADDRESS COUNT, the time
 *                             that of CLOCK_MONOTONIC at its receipt
 *   wrote                     the answer is what was written since the last time, oldest first:
 *                             "UNIT TABLE ADDRESS VALUE...;" each, what came in one request together
 *   watch                     from now on `wrote` tells of reads too: "read;" each
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <modbus.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CELLS 65536
#define OWN 16
#define COUNTERS 64
#define ADU 512
#define IDLE_NS 50000000 /* half a request that stays one for so long is noise */

enum { COIL, DISCRETE, HOLDING, INPUT };
enum { HONEST, UNIT, TRANSACTION, FUNCTION, COUNT, CUT, RESET, TWICE, ONCE };
static const char *const tables[] = {"coil", "discrete", "holding", "input"};
static const char *const lies[] = {"none", "unit", "transaction", "function", "count", "cut", "reset", "twice", "once"};

struct cells {
    uint16_t holding[CELLS], input[CELLS];
    uint8_t coils[CELLS], discrete[CELLS], codes[CELLS];
};
struct counter {
    int cells, address, bits, keep;
    double rate;
    long long since, done;
    unsigned long long made;
};
static struct state {
    struct cells cells[OWN]; /* the first is that of all units without cells of their own */
    int owner[OWN], owners, counters, size, began;
    struct counter counter[COUNTERS];
} *state;
struct peer {
    int open, length, used;
    long long heard, freed; /* since when the peer has closed it; 0: it has not */
    uint8_t bytes[ADU];
};
static struct peer peers[FD_SETSIZE];

static modbus_t *ctx;
static int ours, theirs; /* libmodbus has theirs */
static int listener = -1, serial = -1, rtu, header, requests, lacking, watching, lie, lie_times;
static int units[256], muted[256], slow_ms[256], fault[256], fault_times[256], seen[256];
static int skip[256], skipped[256];
static int longest = 2000, longest_code = 3, pace, dribble_ms, limit = 1000, limit_waits, hold_ms, peak, total;
static char writes[1 << 20], identity[200];
static FILE *trace;

static long long now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void sleep_until(long long at) {
    struct timespec when = {at / 1000000000LL, at % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {}
}

/* --- cells and counters --- */

static int cells_of(int unit) {
    for (int i = 1; i <= state->owners; i++)
        if (state->owner[i] == unit) return i;
    return 0;
}

static int own_cells_of(int unit) {
    int at = cells_of(unit);
    if (at || state->owners + 1 >= OWN) return at;
    at = state->owners + 1;
    state->cells[at] = state->cells[0];
    state->owner[at] = unit;
    return state->owners = at;
}

static int table_of(const char *name) {
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, tables[i])) return i;
    return -1;
}

static int get(const struct cells *cells, int table, int at) {
    if (at < 0 || at >= CELLS || table < 0) return -1;
    if (table == HOLDING) return cells->holding[at];
    if (table == INPUT) return cells->input[at];
    return table == COIL ? cells->coils[at] : cells->discrete[at];
}

static void set(struct cells *cells, int table, int at, int value) {
    if (at < 0 || at >= CELLS) return;
    if (table == HOLDING) cells->holding[at] = (uint16_t)value;
    if (table == INPUT) cells->input[at] = (uint16_t)value;
    if (table == COIL) cells->coils[at] = value != 0;
    if (table == DISCRETE) cells->discrete[at] = value != 0;
}

static void raise_by(struct counter *counter, long long parts) {
    uint16_t *cell = state->cells[counter->cells].holding + counter->address;
    unsigned long long value = counter->bits == 32 ? (unsigned long long)cell[0] << 16 | cell[1] : cell[0];
    value += (unsigned long long)parts;
    if (counter->bits == 32) cell[0] = (uint16_t)(value >> 16), cell[1] = (uint16_t)value;
    else cell[0] = (uint16_t)value;
    counter->made += (unsigned long long)parts;
}

static void tick(void) {
    long long at = now_ns();
    for (int i = 0; i < state->counters; i++) {
        struct counter *one = state->counter + i;
        long long due = (long long)((double)(at - one->since) * 1e-9 * one->rate) - one->done;
        if (due <= 0) continue;
        one->done += due;
        raise_by(one, due);
    }
}

static struct counter *counter_at(int unit, int address) {
    for (int i = 0; i < state->counters; i++)
        if (state->counter[i].cells == cells_of(unit) && state->counter[i].address == address)
            return state->counter + i;
    return NULL;
}

static void pace_of(struct counter *counter, double rate) {
    tick();
    counter->since = now_ns();
    counter->done = 0;
    counter->rate = rate;
}

static void count_from(int unit, int address, int bits, double rate, unsigned start, int keep) {
    struct counter *one = counter_at(unit, address);
    if (!one && (state->counters == COUNTERS || address < 0 || address >= CELLS - 1)) return;
    if (!one) one = state->counter + state->counters++;
    *one = (struct counter){.cells = cells_of(unit), .address = address, .bits = bits, .keep = keep};
    uint16_t *cell = state->cells[one->cells].holding + address;
    if (bits == 32) cell[1] = (uint16_t)start, start >>= 16;
    cell[0] = (uint16_t)start;
    pace_of(one, rate);
}

static void restart_counters(void) {
    for (int i = 0; i < state->counters; i++) {
        struct counter *one = state->counter + i;
        one->since = now_ns();
        one->done = 0;
        if (!one->keep) memset(state->cells[one->cells].holding + one->address, 0, (size_t)one->bits / 8);
    }
}

/* --- commands --- */

static int open_peers(void) {
    int open = 0;
    for (int fd = 0; fd < FD_SETSIZE; fd++) open += peers[fd].open;
    return open;
}

static void drop(int fd) {
    close(fd);
    peers[fd] = (struct peer){0};
}

static void assign(int *per_unit, int unit, int value) {
    for (int i = 0; i < 256; i++)
        if (unit == 256 || i == unit) per_unit[i] = value;
}

/* Whether the line was one about cells. */
static int cells_command(struct cells *cells, const char *line) {
    char table[16];
    int a, b, c, used;
    if (sscanf(line, "set %15s %d%n", table, &a, &used) == 2) {
        for (line += used; sscanf(line, "%d%n", &b, &used) == 1; line += used) set(cells, table_of(table), a++, b);
    } else if (sscanf(line, "codes %d %d %d", &a, &b, &c) == 3) {
        for (; a >= 0 && a <= b && a < CELLS; a++) cells->codes[a] = (uint8_t)c;
    } else if (sscanf(line, "code %d %d", &a, &b) == 2 && a >= 0 && a < CELLS) {
        cells->codes[a] = (uint8_t)b;
    } else if (sscanf(line, "get %15s %d", table, &a) == 2) {
        printf("%d\n", get(cells, table_of(table), a));
        return 1;
    } else {
        return 0;
    }
    printf("%d\n", requests);
    return 1;
}

/* Whether it was one with an answer of its own. */
static int question(const char *line) {
    int a, b;
    if (!strncmp(line, "wrote", 5)) {
        puts(writes);
        writes[0] = 0;
    } else if (!strncmp(line, "functions", 9)) {
        for (int i = 0; i < 256; i++)
            if (seen[i]) printf("%d ", i);
        puts("");
    } else if (!strncmp(line, "connections", 11)) {
        printf("%d %d %d\n", open_peers(), peak, total);
    } else if (sscanf(line, "made %d %d", &a, &b) == 2) {
        tick();
        printf("%llu\n", counter_at(a, b) ? counter_at(a, b)->made : 0);
    } else {
        return 0;
    }
    return 1;
}

static void behave(const char *line) {
    char word[200];
    int a = 0, b = 0, c = 0;
    if (sscanf(line, "mute %d", &a) == 1) assign(muted, a, 1);
    else if (sscanf(line, "speak %d", &a) == 1) assign(muted, a, 0);
    else if (sscanf(line, "slow %d %d", &a, &b) == 2) assign(slow_ms, a, b);
    else if (sscanf(line, "skip %d %d", &a, &b) == 2) assign(skip, a, b);
    else if (sscanf(line, "fault %d %d %d", &a, &b, &c) >= 2) assign(fault, a, b), assign(fault_times, a, c ? c : -1);
    else if (sscanf(line, "longest %d %d", &a, &c) >= 1) longest = a, longest_code = c ? c : 3;
    else if (sscanf(line, "lacks %d", &a) == 1) lacking = a;
    else if (sscanf(line, "unit %d", &a) == 1) assign(units, 256, 0), assign(units, a, 1);
    else if (sscanf(line, "pace %d", &a) == 1) pace = a;
    else if (sscanf(line, "dribble %d", &a) == 1) dribble_ms = a;
    else if (sscanf(line, "limit %d %15s", &a, word) == 2) limit = a, limit_waits = !strcmp(word, "wait");
    else if (sscanf(line, "hold %d", &a) == 1) hold_ms = a;
    else if (sscanf(line, "size %d", &a) == 1 && a >= 0 && a <= CELLS) state->size = a;
    else if (sscanf(line, "identify %199[^\n]", word) == 1) strcpy(identity, word);
    else if (sscanf(line, "trace %199s", word) == 1) trace = fopen(word, "a");
    else if (sscanf(line, "lie %15s %d", word, &b) >= 1) {
        for (lie = ONCE; lie > 0 && strcmp(word, lies[lie]); lie--) {}
        lie_times = b ? b : -1;
    }
}

static void count_command(const char *line) {
    char keep[8] = "";
    int a, b, bits, parts;
    unsigned start;
    double rate;
    if (sscanf(line, "counter %d %d %d %lf %u %7s", &a, &b, &bits, &rate, &start, keep) >= 5)
        count_from(a, b, bits, rate, start, !strcmp(keep, "keep"));
    else if (sscanf(line, "rate %d %d %lf", &a, &b, &rate) == 3 && counter_at(a, b)) pace_of(counter_at(a, b), rate);
    else if (sscanf(line, "add %d %d %d", &a, &b, &parts) == 3 && counter_at(a, b)) raise_by(counter_at(a, b), parts);
}

static void command(const char *line) {
    int unit, used;
    if (sscanf(line, "in %d %n", &unit, &used) == 1) {
        if (!cells_command(&state->cells[own_cells_of(unit)], line + used)) puts("0");
        return;
    }
    if (cells_command(&state->cells[0], line) || question(line)) return;
    behave(line);
    count_command(line);
    if (!strncmp(line, "watch", 5)) watching = 1;
    if (!strncmp(line, "drop", 4))
        for (int fd = 0; fd < FD_SETSIZE; fd++)
            if (peers[fd].open && fd != serial) drop(fd);
    printf("%d\n", requests);
    if (!strncmp(line, "count\n", 6)) requests = 0;
}

/* --- requests; `query` begins with the transport's header, the unit its last byte --- */

static int word(const uint8_t *bytes) {
    return bytes[0] << 8 | bytes[1];
}

/* Functions 5 and 15 write coils, 6, 16 and 23 registers, 22 some bits of one. */
static int is_write(const uint8_t *query) {
    int function = query[header];
    return function == 5 || function == 6 || function == 15 || function == 16 || function == 22 || function == 23;
}

static int first_written(const uint8_t *query) {
    return word(query + header + (query[header] == 23 ? 5 : 1));
}

static int written(const uint8_t *query) {
    if (query[header] == 23) return word(query + header + 7);
    return query[header] == 15 || query[header] == 16 ? word(query + header + 3) : 1;
}

static void note(const uint8_t *query) {
    int table = query[header] == 5 || query[header] == 15 ? COIL : HOLDING;
    int first = first_written(query), end = first + written(query);
    size_t used = strlen(writes);
    if (used + 4096 > sizeof writes) return;
    if (!is_write(query) && watching) strcpy(writes + used, "read;");
    if (!is_write(query) || end > state->size) return;
    used += (size_t)sprintf(writes + used, "%d %s %d", query[header - 1], tables[table], first);
    for (int at = first; at < end; at++)
        used += (size_t)sprintf(writes + used, " %d", get(&state->cells[cells_of(query[header - 1])], table, at));
    strcpy(writes + used, ";");
}

static int code_within(int unit, int first, int count) {
    for (int at = first; at < first + count && at < CELLS; at++)
        if (state->cells[cells_of(unit)].codes[at]) return state->cells[cells_of(unit)].codes[at];
    return 0;
}

static int code_for(const uint8_t *query) {
    int unit = query[header - 1], function = query[header], reads = function <= 4 || function == 23, code = 0;
    if (fault[unit] && fault_times[unit]) {
        if (fault_times[unit] > 0) fault_times[unit]--;
        return fault[unit];
    }
    if (lacking && function == lacking) return 1;
    if (reads && word(query + header + 3) > longest) return longest_code;
    if (reads) code = code_within(unit, word(query + header + 1), word(query + header + 3));
    if (!code && is_write(query)) code = code_within(unit, first_written(query), written(query));
    return code;
}

static int crc_of(const uint8_t *bytes, int length) {
    int crc = 0xFFFF;
    for (int i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1;
    }
    return crc;
}

/* The length is put right in the header, and the CRC at the end; gives all bytes. */
static int framed(uint8_t *answer, int length) {
    if (!rtu) {
        answer[4] = (uint8_t)((length - 6) >> 8), answer[5] = (uint8_t)(length - 6);
        return length;
    }
    int crc = crc_of(answer, length);
    answer[length] = (uint8_t)crc, answer[length + 1] = (uint8_t)(crc >> 8);
    return length + 2;
}

/* Function 43/14: three objects, each the same text. libmodbus has none of this. */
static int identification(const uint8_t *query, uint8_t *answer) {
    int length = header, text = (int)strlen(identity) < 60 ? (int)strlen(identity) : 60;
    memcpy(answer, query, (size_t)header);
    const uint8_t head[] = {43, 14, 1, 1, 0, 0, 3};
    memcpy(answer + length, head, sizeof head);
    length += (int)sizeof head;
    for (int object = 0; object < 3; object++) {
        answer[length++] = (uint8_t)object, answer[length++] = (uint8_t)text;
        memcpy(answer + length, identity, (size_t)text);
        length += text;
    }
    return framed(answer, length);
}

/* What libmodbus makes of a request; 0 where it gives no answer. */
static int answer_of(const uint8_t *bytes, int size, uint8_t *answer) {
    uint8_t query[ADU];
    struct cells *cells = &state->cells[cells_of(bytes[header - 1])];
    modbus_mapping_t map = {
        .nb_bits = state->size, .nb_input_bits = state->size, .nb_registers = state->size,
        .nb_input_registers = state->size, .tab_bits = cells->coils, .tab_input_bits = cells->discrete,
        .tab_registers = cells->holding, .tab_input_registers = cells->input,
    };
    if (identity[0] && bytes[header] == 43) return identification(bytes, answer);
    if (rtu) modbus_set_slave(ctx, bytes[0]);
    if (write(ours, bytes, (size_t)size) != size) return 0;
    int length = modbus_receive(ctx, query), code = length > 0 ? code_for(query) : 0;
    if (code) modbus_reply_exception(ctx, query, (unsigned)code);
    else if (length > 0) modbus_reply(ctx, query, length, &map);
    if (length > 0 && !code) note(query);
    while (recv(theirs, query, sizeof query, MSG_DONTWAIT) > 0) {} /* what it did not want of the request */
    int got = (int)recv(ours, answer, ADU, MSG_DONTWAIT);
    return got > 0 ? got : 0;
}

/* --- answers on their way --- */

static int twisted(uint8_t *answer, int length) {
    int bare = rtu ? length - 2 : length;
    answer[bare - 1] ^= 1; /* who believes it is found out by a value that never was */
    if (lie == UNIT) answer[header - 1] ^= 1;
    if (lie == TRANSACTION && !rtu) answer[1] ^= 1;
    if (lie == FUNCTION) answer[header] ^= 7;
    if (lie == COUNT && answer[header] < 5) answer[header + 1] = (uint8_t)(answer[header + 1] - 2), bare -= 2;
    return framed(answer, bare);
}

static int sent(int fd, const uint8_t *answer, int length) {
    int step = dribble_ms ? 1 : pace ? 4 : length;
    long long at = now_ns();
    for (int from = 0; from < length; from += step) {
        int size = from + step > length ? length - from : step;
        if (pace) sleep_until(at += size * 11000000000LL / pace);
        if (dribble_ms && from) sleep_until(at += dribble_ms * 1000000LL);
        if (write(fd, answer + from, (size_t)size) != size) return 0;
    }
    return 1;
}

static int reset(int fd) {
    struct linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return 0;
}

/* Gives 0 where the connection is to end. */
static int deliver(int fd, uint8_t *answer, int length) {
    int how = lie_times ? lie : HONEST;
    if (!how) return sent(fd, answer, length);
    if (lie_times > 0) lie_times--;
    if (how == TWICE) return sent(fd, answer, length) && sent(fd, answer, length);
    if (how == ONCE) return sent(fd, answer, length) && 0;
    if (how == CUT) return sent(fd, answer, length / 2) && 0;
    if (how == RESET) return sent(fd, answer, length / 2) && reset(fd);
    return sent(fd, answer, twisted(answer, length));
}

static int serve(int fd, const uint8_t *query, int length) {
    uint8_t answer[ADU];
    long long at = now_ns();
    int unit = query[header - 1];
    if (rtu && unit && !units[unit]) return 1;
    requests++;
    peers[fd].used = 1;
    seen[query[header]] = 1;
    if (trace)
        fprintf(trace, "%lld %d %d %d %d %d\n", at, total, unit, query[header],
                length > header + 2 ? word(query + header + 1) : 0, length > header + 4 ? word(query + header + 3) : 0),
            fflush(trace);
    if (muted[unit] || (skip[unit] && ++skipped[unit] % skip[unit])) return 1;
    if (pace) sleep_until(at += length * 11000000000LL / pace + 38500000000LL / pace);
    if (slow_ms[unit]) sleep_until(at + slow_ms[unit] * 1000000LL);
    tick();
    length = answer_of(query, length, answer);
    return length ? deliver(fd, answer, length) : 1;
}

/* --- bytes that come --- */

/* How long the request is that begins so; 0: not known yet. A function that is not known ends at a silence. */
static int whole(const uint8_t *bytes, int length) {
    if (!rtu) return length < 6 ? 0 : 6 + word(bytes + 4);
    if (length < 2) return 0;
    switch (bytes[1]) {
        case 1: case 2: case 3: case 4: case 5: case 6: case 8: return 8;
        case 15: case 16: return length < 7 ? 0 : 9 + bytes[6];
        case 22: return 10;
        case 23: return length < 11 ? 0 : 13 + bytes[10];
        case 43: return 7;
        case 7: case 11: case 12: case 17: return 4;
        default: return ADU;
    }
}

/* Gives 0 where the connection has ended. */
static int heard(int fd) {
    struct peer *peer = peers + fd;
    ssize_t got = read(fd, peer->bytes + peer->length, (size_t)(ADU - peer->length));
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    peer->length += (int)got;
    peer->heard = now_ns();
    for (int size; (size = whole(peer->bytes, peer->length)) && size <= peer->length;) {
        uint8_t query[ADU];
        if (size <= header || size > ADU) return 0;
        memcpy(query, peer->bytes, (size_t)size);
        memmove(peer->bytes, peer->bytes + size, (size_t)(peer->length -= size));
        if (rtu && crc_of(query, size)) { /* noise: what follows it until a silence is none either */
            peer->length = 0;
            return 1;
        }
        if (!serve(fd, query, size)) return 0;
    }
    return peer->length < ADU || rtu;
}

static void welcome(void) {
    int fd, one = 1;
    if (limit_waits && open_peers() >= limit) return;
    if ((fd = accept(listener, NULL, NULL)) < 0) return;
    if (fd >= FD_SETSIZE || open_peers() >= limit) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    peers[fd] = (struct peer){.open = 1};
    total++;
    if (open_peers() > peak) peak = open_peers();
}

/* A reset is noticed at once by any device; that the peer only closed, not by one that holds. */
static int is_reset(int fd) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) || info.tcpi_state == TCP_CLOSE;
}

static void farewell(int fd) {
    if (hold_ms && peers[fd].used && !is_reset(fd)) peers[fd].freed = now_ns();
    else drop(fd);
}

static int fill(fd_set *ready) {
    FD_ZERO(ready);
    FD_SET(STDIN_FILENO, ready);
    if (listener >= 0 && !(limit_waits && open_peers() >= limit)) FD_SET(listener, ready);
    for (int fd = 0; fd < FD_SETSIZE; fd++) {
        struct peer *peer = peers + fd;
        if (!peer->open) continue;
        if (peer->freed && now_ns() - peer->freed > hold_ms * 1000000LL) drop(fd);
        else if (!peer->freed) FD_SET(fd, ready);
        if (rtu && peer->length && now_ns() - peer->heard > IDLE_NS) peer->length = 0;
    }
    struct timeval pause = {0, 5000};
    return select(FD_SETSIZE, ready, NULL, NULL, &pause);
}

static void loop(void) {
    char line[8192];
    for (fd_set ready;;) {
        if (fill(&ready) < 0) return;
        tick();
        if (FD_ISSET(STDIN_FILENO, &ready)) {
            if (!fgets(line, sizeof line, stdin)) return;
            command(line);
            continue; /* it may have closed some */
        }
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!peers[fd].open || peers[fd].freed || !FD_ISSET(fd, &ready) || heard(fd)) continue;
            if (fd == serial) return;
            if (lie >= CUT) drop(fd);
            else farewell(fd);
        }
        if (listener >= 0 && FD_ISSET(listener, &ready)) welcome(); /* who has gone makes room first */
    }
}

/* --- beginning --- */

static int listen_on(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof at;
    int one = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, size) || listen(listener, 64)) return 0;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    getsockname(listener, (struct sockaddr *)&at, &size);
    return ntohs(at.sin_port);
}

static int remember(const char *path) {
    int flags = MAP_SHARED | (path ? 0 : MAP_ANONYMOUS), fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (path && (fd < 0 || ftruncate(fd, sizeof *state))) return 0;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (state == MAP_FAILED) return 0;
    if (state->began) restart_counters();
    else state->size = 1000;
    state->began = 1;
    return 1;
}

static int open_rtu(const char *path, const char *list, int connect) {
    for (char *end; *list; list = *end ? end + 1 : end) {
        units[strtol(list, &end, 10) & 255] = 1;
        if (*end && *end != ',') return 0;
    }
    ctx = modbus_new_rtu(path, 19200, 'N', 8, 1);
    if (!ctx || modbus_set_slave(ctx, 1) || (connect && modbus_connect(ctx))) return 0;
    if (connect) serial = modbus_get_socket(ctx), peers[serial].open = 1;
    return rtu = 1;
}

static int begin(int argc, char **argv) {
    const char *kind = argc > 1 ? argv[1] : "";
    int at = !strcmp(kind, "tcp") ? 2 : !strcmp(kind, "rtu-tcp") ? 3 : 4;
    if (argc < at || !remember(argc > at + (at < 4) ? argv[at + (at < 4)] : NULL)) return 0;
    if (at == 2 && !(ctx = modbus_new_tcp("127.0.0.1", 502))) return 0;
    if (at > 2 && !open_rtu(at == 4 ? argv[2] : "/dev/null", argv[at - 1], at == 4)) return 0;
    int port = at < 4 ? listen_on(argc > at ? atoi(argv[at]) : 0) : 0;
    if (at < 4 && !port) return 0;
    printf("READY %d\n", port);
    return 1;
}

int main(int argc, char **argv) {
    int pair[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (!begin(argc, argv) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 1;
    ours = pair[0], theirs = pair[1];
    modbus_set_socket(ctx, theirs);
    modbus_set_response_timeout(ctx, 0, 1000); /* it waits for so long before it refuses a function */
    modbus_set_byte_timeout(ctx, 0, 1000);
    header = modbus_get_header_length(ctx);
    loop();
    return 0;
}
