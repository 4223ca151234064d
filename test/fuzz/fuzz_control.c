/* multistackd without its process: the handlers of its control socket on one side of real sockets, and on the other a
 * few clients that do what the input says, with messages, descriptors, regions and bells. The keeper is a list here.
 *
 * Client 0 is the victim: whatever the others do, it stays attached and keeps its leases. All questions are answered or
 * their connection is closed, the loop comes to rest, and in the end nothing is left: no descriptor, record or memory.
 */
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/life_internal.h"
#include "daemon/observe.h"
#include "fuzz_input.h"
#include "switch/switch_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

enum {
  CLIENTS = 6,
  VICTIM = 0,
  VICTIM_UID = 4242,
  AWAY_UID = 1001,
  PORTS = 2000,
  VICTIM_PORT = PORTS + 7,
  AWAY_PORT,
  TURNS_MAX = 2000
};
static const uint8_t away_token[MST__CONTROL_TOKEN_BYTES] = "away";
static const struct mst_channel_options shape = {
    .size = sizeof shape, .tx_slots = 16, .rx_slots = 16, .rx_bytes = 256u << 10, .arena_bytes = 4096, .shared = true};

/* --- a keeper that is a list --- */

struct mst__keeper {
  struct mst__list records;
  int listener, app; /* what it has from a daemon before */
};

struct record {
  struct mst__list node;
  uint16_t key_bytes;
  uint8_t key[MST__KEEPER_BYTES_MAX];
};

static struct mst__keeper keeper;

void mst__keeper_drop(struct mst__keeper *k, const void *key, uint16_t key_bytes) {
  MST__LIST_EACH(at, &k->records) {
    struct record *record = MST__CONTAINER(at, struct record, node);
    if (record->key_bytes != key_bytes || memcmp(record->key, key, key_bytes)) continue;
    mst__list_remove(at);
    free(record);
    return;
  }
}

int mst__keeper_hold(struct mst__keeper *k, const struct mst__keeper_record *told) {
  mst__keeper_drop(k, told->key, told->key_bytes);
  struct record *record = calloc(1, sizeof *record);
  CHECK(record && told->key_bytes <= sizeof record->key && told->fd_count <= MST__KEEPER_FDS_MAX);
  for (unsigned i = 0; i < told->fd_count; i++) CHECK(told->fds[i] >= 0);
  record->key_bytes = told->key_bytes;
  memcpy(record->key, told->key, told->key_bytes);
  mst__list_push_back(&k->records, &record->node);
  return 0;
}

static void adopt(void (*each)(void *ctx, const struct mst__keeper_record *record), void *ctx, const void *key,
                  size_t key_bytes, const void *value, size_t value_bytes, const int *fds, unsigned fd_count) {
  const struct mst__keeper_record record = {.key = key,
                                            .key_bytes = (uint16_t)key_bytes,
                                            .value = value,
                                            .value_bytes = (uint16_t)value_bytes,
                                            .fds = fds,
                                            .fd_count = (uint8_t)fd_count};
  mst__keeper_hold(&keeper, &record);
  each(ctx, &record);
}

void mst__keeper_each_adopted(struct mst__keeper *k, void (*each)(void *ctx, const struct mst__keeper_record *record),
                              void *ctx) {
  static const uint8_t localhost[4] = {127, 0, 0, 1};
  struct life_app_key app = {.kind = MST__KEEPER_APP};
  struct life_lease_key lease = {
      .kind = LIFE_LEASE, .protocol = MST_TCP, .port = AWAY_PORT, .addr = mst_addr_ip4(localhost)};
  const struct life_app_value uid = {.uid = AWAY_UID};
  const struct life_lease_value alone = {0}, group = {.flags = MST_BIND_GROUP};
  memcpy(app.token, away_token, sizeof app.token);
  memcpy(lease.token, away_token, sizeof lease.token);
  adopt(each, ctx, "S", 1, "", 0, &k->listener, 1);
  adopt(each, ctx, &app, sizeof app, &uid, sizeof uid, &k->app, 1);
  adopt(each, ctx, &lease, sizeof lease, &alone, sizeof alone, &k->app, 0);
  lease.port++;
  adopt(each, ctx, &lease, sizeof lease, &group, sizeof group, &k->app, 0);
}

int mst__keeper_open(const struct mst__keeper_options *options, struct mst__keeper **out, struct mst_failure *failure) {
  (void)options;
  (void)failure;
  mst__list_init(&keeper.records);
  *out = &keeper;
  return 0;
}
void mst__keeper_flush(struct mst__keeper *k) {
  (void)k;
}
bool mst__keeper_settle(struct mst__keeper *k) {
  (void)k;
  return false;
}
int mst__keeper_wait_fd(const struct mst__keeper *k) {
  (void)k;
  return -1;
}
void mst__keeper_process(struct mst__keeper *k) {
  (void)k;
}
pid_t mst__keeper_pid(const struct mst__keeper *k) {
  (void)k;
  return 0;
}
void mst__keeper_end(struct mst__keeper *k) {
  (void)k;
}
void mst__keeper_leave(struct mst__keeper *k) {
  (void)k;
}

/* --- clients --- */

struct client {
  mst_channel *channel; /* for all runs */
  int fd, bell;         /* -1: none */
  bool deaf;
  uint32_t serial, sockets_serial;
  bool awaits; /* an answer to `serial` */
};

struct fuzz {
  struct input in;
  struct mst__daemon *daemon;
  struct client *client;
  uint64_t random;
};

static struct sockaddr_un address; /* of the listener */
static socklen_t address_bytes;

static void fuzz_random(void *ctx, void *out, size_t bytes) {
  fuzz_random_bytes(&((struct fuzz *)ctx)->random, out, bytes);
}

static void hang_up(struct client *client) {
  if (client->fd >= 0) close(client->fd);
  if (client->bell >= 0) close(client->bell);
  client->fd = client->bell = -1;
  client->awaits = client->deaf = false;
}

static void take_news(struct client *client, struct mst__control_received *received) {
  const struct mst__control_header *header = &received->message.header;
  if (header->serial == client->serial) client->awaits = false;
  if (header->type == MST__CONTROL_SOCKETS) client->sockets_serial = header->serial;
  if (header->type == MST__CONTROL_WELCOME && client->bell < 0) {
    client->bell = received->fds[0];
    received->fd_count = 0;
  }
  mst__control_close_fds(received);
}

static void listen_to(struct client *client) {
  static struct mst__control_received received;
  while (client->fd >= 0) {
    int got = mst__control_receive(client->fd, &received, true);
    if (got == -EAGAIN) return;
    CHECK(got != -EPROTO); /* the daemon says nothing that is no message */
    if (got == 1)
      take_news(client, &received);
    else
      hang_up(client);
  }
}

/* --- the daemon, until nothing happens any more --- */

static bool turn(struct fuzz *f) {
  struct epoll_event events[4];
  struct mst__daemon *daemon = f->daemon;
  int count = epoll_wait(daemon->epoll, events, 4, 0);
  CHECK(count >= 0);
  mst__daemon_events(daemon, events, count);
  mst_switch_sleep(daemon->sw);
  daemon->sleeps++;
  mst_switch_wake(daemon->sw);
  size_t moved = mst_switch_process(daemon->sw, 64, daemon->now_ns);
  mst__fault_close_channels(daemon);
  return count || moved || !mst__list_empty(&daemon->leaving) || !mst__list_empty(&daemon->gone);
}

static void settle(struct fuzz *f) {
  int turns = 0;
  while (turn(f)) CHECK(++turns < TURNS_MAX);
  for (int i = 0; i < CLIENTS; i++)
    if (!f->client[i].deaf) listen_to(&f->client[i]);
}

static void connect_client(struct fuzz *f, int which, uid_t uid) {
  struct client *client = &f->client[which];
  hang_up(client);
  settle(f);
  client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  CHECK(client->fd >= 0 && !connect(client->fd, (const struct sockaddr *)&address, address_bytes));
  settle(f);
  if (mst__list_empty(&f->daemon->clients)) return;
  struct mst__client *there = MST__CONTAINER(f->daemon->clients.prev, struct mst__client, node);
  if (there->kind == MST__CLIENT_NEW) there->peer.uid = uid;
}

/* --- descriptors of all kinds --- */

static int odd_fd(const struct fuzz *f, uint8_t kind, const struct client *client) {
  static int fds[7];
  if (!fds[0]) {
    fds[0] = open("/dev/zero", O_RDWR | O_CLOEXEC);
    fds[1] = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fds[2] = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fds[3] = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
    fds[4] = memfd_create("no writing", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fds[5] = epoll_create1(EPOLL_CLOEXEC);
    int64_t bytes = mst_channel_region_bytes(&shape);
    for (int i = 1; i < 5; i++)
      if (ftruncate(fds[i], i == 3 ? 2 << 20 : bytes - (i == 2))) continue;
    for (int i = 2; i < 5; i++)
      fcntl(fds[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (i == 4 ? F_SEAL_WRITE : 0));
  }
  kind %= 8;
  if (kind == 6) return client->fd;
  if (kind == 7 || fds[kind] < 0) return mst_channel_fd(f->client[(client - f->client + 1) % CLIENTS].channel);
  return fds[kind];
}

/* --- what clients say --- */

static void tell(struct fuzz *f, struct client *client, const void *message, size_t bytes, const int *fds,
                 unsigned fd_count, bool asks) {
  int error = mst__control_send(client->fd, message, bytes, fds, fd_count, true);
  if (!error && asks && !client->deaf) client->awaits = true;
  settle(f);
  if (client->fd >= 0 && !client->deaf) CHECK(!client->awaits);
  client->awaits = false;
}

static void say_hello(struct fuzz *f, struct client *client, uint8_t how) {
  struct mst__control_hello hello = {.header = {.type = MST__CONTROL_HELLO, .serial = ++client->serial},
                                     .magic = MST__CONTROL_MAGIC,
                                     .version_first = 1,
                                     .version_last = 1,
                                     .tx_slots = shape.tx_slots,
                                     .rx_slots = shape.rx_slots,
                                     .rx_bytes = shape.rx_bytes,
                                     .arena_bytes = shape.arena_bytes,
                                     .name = "fuzz"};
  int fd = mst_channel_fd(client->channel);
  mst_channel_restart(client->channel);
  if (how & 1) memcpy(hello.token, away_token, sizeof hello.token);
  if (how & 2) fd = odd_fd(f, how >> 4, client);
  if (how & 4) hello.arena_bytes = (uint64_t)input_word(&f->in) << (how >> 4);
  if (how & 2 && how >> 4 == 3) hello.arena_bytes = (2u << 20) - 4096 * 3 - shape.rx_bytes;
  if (how & 8) ((uint8_t *)&hello)[8 + input_byte(&f->in) % (sizeof hello - 8)] = input_byte(&f->in);
  tell(f, client, &hello, sizeof hello, &fd, 1, true);
}

static void say_observe(struct fuzz *f, struct client *client) {
  const struct mst__control_observe observe = {.header = {.type = MST__CONTROL_OBSERVE, .serial = ++client->serial},
                                               .magic = MST__CONTROL_MAGIC,
                                               .version_first = 1,
                                               .version_last = 1};
  tell(f, client, &observe, sizeof observe, NULL, 0, true);
}

static struct mst_tuple tuple_of(struct fuzz *f) {
  static const char *const text[] = {"127.0.0.1", "0.0.0.0", "127.0.0.2", "::1", "::", "224.0.0.1"};
  uint8_t what = input_byte(&f->in), where = input_byte(&f->in);
  struct mst_tuple tuple = {.port = what & 15 ? (uint16_t)(PORTS + (what & 15)) : 0, .flags = where >> 4};
  tuple.protocol = what & 16 ? MST_UDP : what & 32 ? MST_TCP : what;
  mst_addr_parse(text[where % 6], &tuple.addr);
  return tuple;
}

static void ask_for_tuple(struct fuzz *f, struct client *client) {
  uint8_t what = input_byte(&f->in) % 6;
  struct mst_tuple tuple = tuple_of(f);
  struct mst__control_lease lease = {.tuple = tuple, .flags = input_byte(&f->in)};
  struct mst__control_release release = {.tuple = tuple};
  struct mst__control_block block = {.tuple = tuple, .count = lease.flags};
  struct mst__control_route route = {.destination = tuple.addr};
  struct mst__control_holds holds = {.tuple = tuple};
  const struct {
    struct mst__control_header *header;
    size_t bytes;
    uint16_t type;
  } all[] = {
      {&lease.header, sizeof lease, MST__CONTROL_LEASE},       {&lease.header, sizeof lease, MST__CONTROL_LEASE},
      {&release.header, sizeof release, MST__CONTROL_RELEASE}, {&block.header, sizeof block, MST__CONTROL_BLOCK},
      {&route.header, sizeof route, MST__CONTROL_ROUTE},       {&holds.header, sizeof holds, MST__CONTROL_HOLDS}};
  *all[what].header = (struct mst__control_header){.type = all[what].type, .serial = ++client->serial};
  tell(f, client, all[what].header, all[what].bytes, NULL, 0, all[what].type != MST__CONTROL_RELEASE);
}

static size_t text_of(struct fuzz *f, char *out, size_t room) {
  static const char *const parts[] = {"{\"what\":\"channels\"",
                                      "{\"what\":\"leases\"",
                                      "{\"what\":\"ports\"",
                                      "{\"what\":\"sockets\"",
                                      "{\"what\":\"packets\"",
                                      "{\"what\":\"capture\"",
                                      ",\"channel\":1",
                                      ",\"snap_bytes\":20",
                                      ",\"protocol\":\"udp\"",
                                      ",\"address\":\"::1\"",
                                      ",\"port\":\"x\"",
                                      "}",
                                      "\""};
  size_t length = 0;
  for (int i = input_byte(&f->in) % 8; i >= 0; i--) {
    uint8_t which = input_byte(&f->in);
    if (which >= sizeof parts / sizeof *parts) {
      out[length++] = (char)which;
      continue;
    }
    size_t bytes = strlen(parts[which]);
    if (length + bytes + 8 > room) break;
    memcpy(out + length, parts[which], bytes);
    length += bytes;
  }
  return length;
}

static void say_text(struct fuzz *f, struct client *client, bool is_answer) {
  static struct mst__control_text message;
  uint8_t how = input_byte(&f->in);
  memset(&message, 0, sizeof message.header + 8);
  message.header.type = is_answer ? MST__CONTROL_SOCKETS_ARE : MST__CONTROL_QUERY;
  message.header.serial = is_answer && !(how & 2) ? client->sockets_serial : ++client->serial;
  message.bytes = (uint32_t)text_of(f, message.text, 1000);
  message.more = how & 1;
  if (how & 4) message.bytes = sizeof message.text; /* as much as there can be */
  tell(f, client, &message, mst__control_bytes(MST__CONTROL_QUERY, message.bytes), NULL, 0, false);
}

static void say_anything(struct fuzz *f, struct client *client) {
  uint8_t message[600] = {input_byte(&f->in), 0, 0, 0, input_byte(&f->in)}, how = input_byte(&f->in);
  int fds[MST__CONTROL_FDS_MAX];
  size_t bytes =
      how & 8 ? input_word(&f->in) % sizeof message : mst__control_bytes((enum mst__control_type)message[0], how & 7);
  if (bytes > sizeof message) bytes = sizeof message;
  for (size_t i = 8; i < bytes && f->in.at < f->in.end; i++) message[i] = input_byte(&f->in);
  unsigned count = how >> 4 & 7;
  if (count > MST__CONTROL_FDS_MAX) count = MST__CONTROL_FDS_MAX;
  for (unsigned i = 0; i < count; i++) fds[i] = odd_fd(f, input_byte(&f->in), client);
  tell(f, client, message, bytes, fds, count, false);
}

static void ring(struct fuzz *f, struct client *client) {
  static const char bytes[64];
  uint8_t how = input_byte(&f->in);
  if (client->bell < 0) return;
  if (how & 128)
    shutdown(client->bell, SHUT_WR);
  else
    send(client->bell, bytes, how % sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_packet(struct fuzz *f, struct client *client) {
  uint8_t bytes[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 64, MST_UDP, 0x7c, 0xcf, 127, 0, 0, 1, 127, 0, 0, 1};
  uint16_t source = PORTS + (input_byte(&f->in) & 15), destination = PORTS + (input_byte(&f->in) & 15);
  bytes[20] = (uint8_t)(source >> 8), bytes[21] = (uint8_t)source, bytes[25] = 8;
  bytes[22] = (uint8_t)(destination >> 8), bytes[23] = (uint8_t)destination;
  const struct mst_packet packet = {.len = sizeof bytes, .iov_count = 1, .iov = {{bytes, sizeof bytes}}};
  mst_channel_send(client->channel, &packet);
}

static void write_header(struct fuzz *f, const struct client *client) {
  uint8_t *at = mst__channel_geometry(client->channel)->region;
  uint32_t where = input_word(&f->in);
  if (where & 0x8000) /* what is not there reads as zeroes */
    fallocate(mst_channel_fd(client->channel), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192);
  else
    at[where % 8192] = input_byte(&f->in);
}

static void pass_time(struct fuzz *f) {
  static const uint64_t steps_ns[] = {1000, 1000000, 100000000, 500000000, 10000000000, 100000000000};
  f->daemon->now_ns += steps_ns[input_byte(&f->in) % 6];
}

/* --- a step, and what must hold after it --- */

static void step(struct fuzz *f) {
  uint8_t what = input_byte(&f->in);
  int which = 1 + (what >> 4) % (CLIENTS - 1);
  struct client *client = &f->client[which];
  if (client->fd < 0) connect_client(f, which, which & 1 ? AWAY_UID : AWAY_UID + 1);
  switch (what & 15) {
  case 0:
  case 1: say_hello(f, client, what & 1 ? input_byte(&f->in) : 0); break;
  case 2: say_observe(f, client); break;
  case 3: say_anything(f, client); break;
  case 4:
  case 5: say_text(f, client, false); break;
  case 6: say_text(f, client, true); break;
  case 7: client->deaf = !client->deaf; break;
  case 8: ring(f, client); break;
  case 9: send_packet(f, client); break;
  case 10: write_header(f, client); break;
  case 11: pass_time(f); break;
  case 12: hang_up(client); break;
  default: ask_for_tuple(f, client); break;
  }
  settle(f);
}

static void count_lease(const struct mst_tuple *tuple, void *user) {
  (void)tuple;
  ++*(unsigned *)user;
}

static void find_away(const struct mst_tuple *tuple, void *user) {
  (void)user;
  CHECK(tuple->protocol != MST_TCP || (tuple->port != AWAY_PORT && tuple->port != AWAY_PORT + 1) ||
        !mst_addr_is_loopback(&tuple->addr) || tuple->addr.bytes[15] != 1 || !mst_addr_is_ip4(&tuple->addr));
}

static void check(struct fuzz *f) {
  struct mst__daemon *daemon = f->daemon;
  unsigned count = 0, victims = 0;
  MST__LIST_EACH(node, &daemon->clients) {
    const struct mst__client *client = MST__CONTAINER(node, struct mst__client, node);
    count++;
    if (client->kind != MST__CLIENT_APP) continue;
    unsigned leases = 0;
    mst_switch_each_lease(daemon->sw, client->id, count_lease, &leases);
    CHECK(leases <= client->limits.value[MST__LIMIT_LEASES]);
    if (client->peer.uid != VICTIM_UID) {
      /* While the one who was away may still come, its tuples are nobody else's. */
      if (client->peer.uid != AWAY_UID && !mst__list_empty(&daemon->life->limbos))
        mst_switch_each_lease(daemon->sw, client->id, find_away, NULL);
      continue;
    }
    victims++;
    CHECK(leases == 3 && !mst_switch_is_abusive(daemon->sw, client->id));
  }
  CHECK(victims == 1 && f->client[VICTIM].fd >= 0 && count == daemon->client_count);
  CHECK(count <= daemon->config->channels + 32 && daemon->told_bytes <= 64u << 20);
}

/* --- a run --- */

static int make_listener(void) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  address.sun_family = AF_UNIX;
  address_bytes = sizeof address;
  CHECK(fd >= 0 && !bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family) && !listen(fd, 16));
  CHECK(!getsockname(fd, (struct sockaddr *)&address, &address_bytes));
  return fd;
}

static void attach_victim(struct fuzz *f) {
  struct client *victim = &f->client[VICTIM];
  struct mst__control_lease lease = {.header = {.type = MST__CONTROL_LEASE}, .tuple = {.port = VICTIM_PORT}};
  mst_addr_parse("127.0.0.1", &lease.tuple.addr);
  connect_client(f, VICTIM, VICTIM_UID);
  say_hello(f, victim, 0);
  for (int i = 0; i < 3; i++) {
    lease.header.serial = ++victim->serial;
    lease.tuple.protocol = i ? MST_UDP : MST_TCP;
    lease.tuple.port = (uint16_t)(VICTIM_PORT - i / 2);
    tell(f, victim, &lease, sizeof lease, NULL, 0, true);
  }
}

static void open_daemon(struct fuzz *f, const struct mst__daemon_config *config) {
  struct mst__daemon *daemon = f->daemon;
  struct mst_failure failure;
  const struct mst_switch_options options = {
      .size = sizeof options, .env = {.ctx = f, .alloc = fuzz_alloc, .free = fuzz_free, .random = fuzz_random}};
  daemon->config = config;
  daemon->policy = (struct mst__policy){.config = config, .unprivileged_port_fd = -1};
  daemon->now_ns = 1;
  daemon->epoll = epoll_create1(EPOLL_CLOEXEC);
  struct mst__list *lists[] = {&daemon->clients, &daemon->gone, &daemon->watchers, &daemon->leaving};
  for (unsigned i = 0; i < 4; i++) mst__list_init(lists[i]);
  mst__log_init(&daemon->log, MST_LOG_DEBUG);
  daemon->log.fd = -1;
  CHECK(mst_switch_create(&options, &daemon->sw) == 0);
  CHECK(mst__life_open(daemon, &failure) == 0 && mst__fault_catch(daemon) == 0 && mst__life_begin(daemon) == 0);
  CHECK(mst__server_listen(daemon, "adopted", &failure) == 0);
}

/* Whatever order they go in, nothing is left of them. */
static void close_daemon(struct fuzz *f) {
  struct mst__daemon *daemon = f->daemon;
  for (int i = CLIENTS - 1; i >= 0; i--) hang_up(&f->client[i]);
  settle(f);
  CHECK(mst__list_empty(&daemon->clients) && mst__list_empty(&daemon->watchers) && daemon->client_count == 0);
  CHECK(daemon->told_bytes == 0);
  mst__leaving_finish(daemon);
  mst__life_close(daemon, false);
  mst_switch_destroy(daemon->sw);
  close(daemon->epoll);
  while (!mst__list_empty(&keeper.records)) {
    struct record *record = MST__CONTAINER(mst__list_pop_front(&keeper.records), struct record, node);
    CHECK(record->key[0] == LIFE_LISTENER || !memcmp(record->key + record->key_bytes - 16, away_token, 16));
    free(record);
  }
}

/* The lowest that is free: one that was left open stands in its place. */
static int free_fd(void) {
  int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);
  close(fd);
  return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct client clients[CLIENTS];
  static struct mst__daemon daemon;
  static struct mst__daemon_config config;
  struct fuzz fuzz = {.in = {data, data + size}, .daemon = &daemon, .client = clients}, *f = &fuzz;
  if (size > 1024) return 0;
  if (!clients[0].channel) {
    for (int i = 0; i < CLIENTS; i++) CHECK(mst_channel_create(&shape, &clients[i].channel) == 0);
    keeper.listener = make_listener();
    odd_fd(f, 0, &clients[0]);
    mst__config_init(&config);
    config.channels = 4;
    config.limits.value[MST__LIMIT_MEMORY] = 4u << 20;
    config.limits.value[MST__LIMIT_LEASES] = 100;
    config.limits.value[MST__LIMIT_USER_CHANNELS] = 2;
  }
  memset(&daemon, 0, sizeof daemon);
  for (int i = 0; i < CLIENTS; i++) clients[i] = (struct client){.channel = clients[i].channel, .fd = -1, .bell = -1};
  int before = free_fd();
  keeper.app = (int)syscall(SYS_pidfd_open, getpid(), 0);
  open_daemon(f, &config);
  attach_victim(f);
  while (f->in.at < f->in.end) {
    step(f);
    check(f);
  }
  close_daemon(f);
  CHECK(free_fd() == before);
  return 0;
}
