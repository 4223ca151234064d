/* Those who watch. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>

static bool watching(void) {
  return !atomic_load_explicit(&board->over, memory_order_relaxed);
}

/* --- the victim: a channel with one UDP tuple, to which one other may send --- */

static bool is_right(const uint8_t *packet, uint32_t len) {
  static const uint8_t addr[4] = {127, 0, 0, 1};
  return len >= 28 && packet[0] == 0x45 && packet[9] == MST_UDP && !memcmp(packet + 12, addr, 4) &&
         (packet[20] << 8 | packet[21]) == HONEST_PORT && !memcmp(packet + 28, "honest!", 8);
}

void watch_victim(void *ctx, int ready_fd) {
  struct mst_attach_options options = {.size = sizeof options, .path = rig.path, .name = "victim"};
  mst_attach *attach;
  struct mst_tuple tuple = {.protocol = MST_UDP, .port = VICTIM_PORT};
  (void)ctx;
  mst_addr_parse(VICTIM_ADDR, &tuple.addr);
  if (mst_attach_open(&options, &attach, NULL) || mst_attach_lease(attach, &tuple)) rig_fail("the victim");
  app_ready(ready_fd);
  while (watching()) {
    struct mst_packet packets[64];
    struct pollfd wait = {.fd = mst_attach_wait_fd(attach), .events = POLLIN};
    mst_attach_process(attach, attack_now_ns());
    size_t count = mst_channel_receive(mst_attach_channel(attach), packets, 64);
    for (size_t i = 0; i < count; i++)
      atomic_fetch_add(is_right(packets[i].iov[0].base, packets[i].len) ? &board->victim_right : &board->victim_wrong,
                       1);
    mst_channel_release(mst_attach_channel(attach), count);
    mst_attach_flush(attach);
    if (!count && mst_attach_sleep(attach)) poll(&wait, 1, 100);
  }
  if (!mst_attach_is_up(attach)) rig_fail("the victim's channel was closed");
}

/* --- the service: requests of 64 bytes and answers of 1,024, over TCP, one every millisecond --- */

enum { REQUEST_BYTES = 64, ANSWER_BYTES = 1024, PERIOD_NS = 1000000 };

static void on_request(mst_conn *conn, unsigned events, void *user) {
  static uint8_t answer[ANSWER_BYTES];
  uint8_t request[REQUEST_BYTES];
  (void)events;
  (void)user;
  while (mst_read(conn, request, sizeof request) > 0) mst_write(conn, answer, sizeof answer);
}

static void on_accept(mst_listener *listener, void *user) {
  mst_conn *conn = mst_accept(listener);
  mst_conn_set_option(conn, MST_TCP_NODELAY, 1);
  mst_conn_set_event(conn, on_request, user);
  on_request(conn, 0, user);
}

void watch_service(void *ctx, int ready_fd) {
  struct app app;
  struct mst_endpoint local = endpoint(VICTIM_ADDR, SERVICE_PORT);
  mst_binding *binding;
  mst_listener *listener;
  (void)ctx;
  app_open(&app, rig.spec);
  if (mst_bind(app.stack, MST_TCP, &local, 0, &binding) || mst_listen(binding, 0, on_accept, NULL, &listener))
    rig_fail("the service");
  app_ready(ready_fd);
  while (watching()) app_turn(&app, 100);
}

static void on_answer(mst_conn *conn, unsigned events, void *user) {
  static uint8_t answer[ANSWER_BYTES];
  size_t *got = user;
  ptrdiff_t n;
  if (events & MST_EV_ERROR) rig_fail("the service's connection");
  while ((n = mst_read(conn, answer, sizeof answer)) > 0) *got += (size_t)n;
}

static void tell_victim(mst_attach *attach) {
  struct forged packet = forge(VICTIM_ADDR, HONEST_PORT, VICTIM_ADDR, VICTIM_PORT);
  memcpy(packet.bytes + 28, "honest!", 8);
  const struct mst_packet out = {
      .len = packet.len, .flags = packet.flags, .iov_count = 1, .iov = {{packet.bytes, packet.len}}};
  mst_channel_send(mst_attach_channel(attach), &out);
  mst_attach_flush(attach);
}

static void note_time(uint64_t took_ns) {
  if (took_ns > atomic_load(&board->worst_ns)) atomic_store(&board->worst_ns, took_ns);
  atomic_fetch_add(&board->served, 1);
}

void watch_client(void *ctx, int ready_fd) {
  struct mst_attach_options options = {.size = sizeof options, .path = rig.path, .name = "honest"};
  mst_attach *honest;
  struct mst_tuple tuple = {.protocol = MST_UDP, .port = HONEST_PORT};
  struct app app;
  struct mst_endpoint remote = endpoint(VICTIM_ADDR, SERVICE_PORT);
  mst_conn *conn;
  static const uint8_t request[REQUEST_BYTES];
  size_t got = 0;
  (void)ctx;
  mst_addr_parse(VICTIM_ADDR, &tuple.addr);
  if (mst_attach_open(&options, &honest, NULL) || mst_attach_lease(honest, &tuple)) rig_fail("the honest sender");
  app_open(&app, rig.spec);
  if (mst_connect(app.stack, NULL, &remote, on_answer, &got, &conn)) rig_fail("connect");
  mst_conn_set_option(conn, MST_TCP_NODELAY, 1);
  app_ready(ready_fd);
  for (uint64_t next_ns = attack_now_ns(); watching(); next_ns += PERIOD_NS) {
    struct timespec at = {(time_t)(next_ns / 1000000000), (long)(next_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    uint64_t start_ns = attack_now_ns();
    got = 0;
    while (mst_write(conn, request, sizeof request) != sizeof request && watching()) app_turn(&app, 100);
    while (got < ANSWER_BYTES && watching()) app_turn(&app, 100);
    tell_victim(honest);
    mst_attach_process(honest, start_ns);
    note_time(attack_now_ns() - start_ns);
  }
  if (!mst_attach_is_up(honest)) rig_fail("the honest sender's channel was closed");
}

/* --- the wire: nobody holds a tuple of its address, so no IP packet of the daemon's may be on it --- */

static bool is_the_kernels(const uint8_t *frame, size_t bytes) {
  uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
  if (bytes < 54 || (type != ETH_P_IP && type != ETH_P_IPV6)) return true;
  /* The kernel itself looks for neighbours and for routers, and tells of groups. */
  return type == ETH_P_IPV6 && (frame[20] == 58 || frame[20] == 0) && memcmp(frame + 22, "\xfd\x07", 2) != 0;
}

void watch_wire(void *ctx, int ready_fd) {
  uint8_t frame[2048];
  if (setns(*(const int *)ctx, CLONE_NEWNET)) rig_fail("setns");
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (fd < 0) rig_fail("packet socket");
  app_ready(ready_fd);
  while (watching()) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    struct sockaddr_ll from;
    socklen_t from_bytes = sizeof from;
    if (poll(&wait, 1, 100) != 1) continue;
    ssize_t bytes = recvfrom(fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &from_bytes);
    if (bytes > 0 && from.sll_pkttype != PACKET_OUTGOING && !is_the_kernels(frame, (size_t)bytes))
      atomic_fetch_add(&board->wire_wrong, 1);
  }
}
