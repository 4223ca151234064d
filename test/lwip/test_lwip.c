/* lwIP and UTCP on two channels of one switch, on one address: each asks the other for a megabyte over HTTP. All in one
 * process; lwIP's timers alone have a thread of their own. */
#include "http_server.h"
#include "lwip_channel.h"

#include <errno.h>
#include <lwip/igmp.h>
#include <lwip/mld6.h>
#include <lwip/nd6.h>
#include <lwip/tcpip.h>
#include <multistack/multistack.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "integration/pattern.h"

#define BODY_BYTES (1u << 20)
#define LIMIT_NS 60000000000u
#define LWIP_PORT 8090
#define UTCP_PORT 8091

enum { UTCP, LWIP, RAW, CHANNELS };

static struct {
  mst_switch *sw;
  mst_channel *channel[CHANNELS];
  unsigned id[CHANNELS];
  mst_stack *utcp;
  struct lwip_channel lwip;
  int wake_fd;
} world;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct mst_addr addr(const char *text) {
  struct mst_addr out;
  assert_int_equal(mst_addr_parse(text, &out), 0);
  return out;
}

static struct mst_endpoint endpoint(const char *text, uint16_t port) {
  return (struct mst_endpoint){.addr = addr(text), .port = port};
}

/* --- what the switch and UTCP ask of their surroundings --- */

static void *env_alloc(void *ctx, size_t bytes) {
  (void)ctx;
  return malloc(bytes);
}
static void env_free(void *ctx, void *memory, size_t bytes) {
  (void)ctx;
  (void)bytes;
  free(memory);
}
static void env_random(void *ctx, void *out, size_t bytes) {
  (void)ctx;
  if (getrandom(out, bytes, 0) != (ssize_t)bytes) abort();
}
static int net_lease(void *ctx, struct mst_tuple *tuple) {
  (void)ctx;
  return mst_switch_lease(world.sw, world.id[UTCP], tuple);
}
static void net_release(void *ctx, const struct mst_tuple *tuple) {
  (void)ctx;
  mst_switch_release(world.sw, world.id[UTCP], tuple);
}
static int net_route(void *ctx, const struct mst_addr *destination, struct mst_route *out) {
  (void)ctx;
  return mst_switch_route(world.sw, destination, out);
}

/* --- the world's life --- */

static void wake(void *ctx) {
  (void)ctx;
  uint64_t one = 1;
  if (write(world.wake_fd, &one, sizeof one) != sizeof one) abort();
}

static void open_utcp(void) {
  struct mst_stack_options options = {
      .size = sizeof options,
      .env = {.ctx = world.channel[UTCP], .alloc = mst_channel_alloc, .free = mst_channel_free, .random = env_random},
      .net = {.ctx = world.channel[UTCP],
              .lease = net_lease,
              .release = net_release,
              .route = net_route,
              .output = mst_channel_send},
  };
  assert_int_equal(mst_stack_create(&options, &world.utcp), 0);
  mst_stack_advance(world.utcp, now_ns());
}

static int open_world(void **state) {
  (void)state;
  pattern_init();
  struct mst_switch_options switch_options = {.size = sizeof switch_options,
                                              .env = {.alloc = env_alloc, .free = env_free, .random = env_random}};
  assert_int_equal(mst_switch_create(&switch_options, &world.sw), 0);
  for (unsigned i = 0; i < CHANNELS; i++) {
    /* lwIP's transmit ring holds a third of what it has in flight, so that it is full all the time. */
    struct mst_channel_options options = {.size = sizeof options, .tx_slots = i == LWIP ? 16 : 0};
    assert_int_equal(mst_channel_create(&options, &world.channel[i]), 0);
    assert_int_equal(mst_switch_attach(world.sw, world.channel[i], NULL, &world.id[i]), 0);
  }
  world.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  open_utcp();
  const struct lwip_channel_options options = {
      .channel = world.channel[LWIP], .addr4 = addr("10.0.0.1"), .addr6 = addr("fd00::1"), .ring = wake};
  assert_int_equal(lwip_channel_open(&world.lwip, &options), 0);
  return 0;
}

/* lwIP's thread goes on: its channel stays. */
static int close_world(void **state) {
  (void)state;
  mst_stack_destroy(world.utcp);
  mst_switch_destroy(world.sw);
  mst_channel_destroy(world.channel[UTCP]);
  mst_channel_destroy(world.channel[RAW]);
  return 0;
}

static void hold(unsigned channel, struct mst_endpoint *local) {
  struct mst_tuple tuple = {.addr = local->addr, .port = local->port, .protocol = MST_TCP};
  assert_int_equal(mst_switch_lease(world.sw, world.id[channel], &tuple), 0);
  local->port = tuple.port;
}

static void let_go(unsigned channel, const struct mst_endpoint *local) {
  struct mst_tuple tuple = {.addr = local->addr, .port = local->port, .protocol = MST_TCP};
  mst_switch_release(world.sw, world.id[channel], &tuple);
}

static size_t utcp_turn(void) {
  struct mst_packet packets[64];
  uint64_t now = now_ns();
  size_t count = mst_channel_receive(world.channel[UTCP], packets, 64);
  if (count) mst_stack_input(world.utcp, packets, count, now);
  mst_channel_release(world.channel[UTCP], count);
  mst_stack_advance(world.utcp, now);
  mst_stack_flush(world.utcp, now);
  return count;
}

static void sleep_until(uint64_t deadline) {
  uint64_t now = now_ns(), count;
  struct pollfd wait = {.fd = world.wake_fd, .events = POLLIN};
  if (poll(&wait, 1, deadline > now ? (int)((deadline - now) / 1000000 + 1) : 0) > 0)
    assert_int_equal(read(world.wake_fd, &count, sizeof count), sizeof count);
}

/* Until *done, or the limit. */
static void run(const bool *done) {
  uint64_t end = now_ns() + LIMIT_NS;
  while (!*done) {
    size_t moved = utcp_turn();
    moved += lwip_channel_process(&world.lwip);
    moved += mst_switch_process(world.sw, 1024, now_ns());
    if (now_ns() > end) fail_msg("nothing more comes");
    uint64_t deadline = mst_stack_next_deadline(world.utcp);
    if (!moved && !*done) sleep_until(deadline < end ? deadline : end);
  }
}

/* --- what a client takes in, and what it must be --- */

struct answer {
  char head[512];
  size_t head_bytes, body_bytes;
  bool in_body, wrong, done;
};

static void take(struct answer *answer, const uint8_t *data, size_t bytes) {
  for (; bytes && !answer->in_body; data++, bytes--) {
    if (answer->head_bytes == sizeof answer->head - 1) break;
    answer->head[answer->head_bytes++] = (char)*data;
    answer->in_body = strstr(answer->head, "\r\n\r\n") != NULL;
  }
  if (answer->in_body && !is_pattern(answer->body_bytes, data, bytes)) answer->wrong = true;
  answer->body_bytes += bytes;
}

static void expect_body(struct answer *answer) {
  char length[64];
  run(&answer->done);
  snprintf(length, sizeof length, "Content-Length: %u\r\n", BODY_BYTES);
  assert_memory_equal(answer->head, "HTTP/1.1 200 OK\r\n", 17);
  assert_non_null(strstr(answer->head, length));
  assert_int_equal(answer->body_bytes, BODY_BYTES);
  assert_false(answer->wrong);
}

static const char request[] = "GET / HTTP/1.1\r\nHost: lwip\r\n\r\n";
static const struct http_body body = {pattern, BODY_BYTES};

/* --- UTCP asks lwIP --- */

static void on_utcp_client(mst_conn *conn, unsigned events, void *user) {
  struct answer *answer = user;
  static uint8_t buffer[65536];
  ptrdiff_t bytes;
  if (events & MST_EV_CONNECTED) assert_int_equal(mst_write(conn, request, sizeof request - 1), sizeof request - 1);
  while ((bytes = mst_read(conn, buffer, sizeof buffer)) > 0) take(answer, buffer, (size_t)bytes);
  if (bytes == -MST_EAGAIN) return;
  if (bytes < 0) fail_msg("UTCP's connection: %s", mst_strerror((int)bytes));
  mst_close(conn);
  answer->done = true;
}

static void utcp_asks(const char *from, const char *to) {
  struct mst_endpoint local = endpoint(from, 0), server = endpoint(to, LWIP_PORT);
  struct answer answer = {0};
  mst_binding *binding;
  mst_conn *conn;
  hold(LWIP, &server);
  assert_int_equal(http_server_start(&world.lwip, &server, &body), 0);
  assert_int_equal(mst_bind(world.utcp, MST_TCP, &local, 0, &binding), 0);
  assert_int_equal(mst_connect(world.utcp, binding, &server, on_utcp_client, &answer, &conn), 0);
  mst_unbind(binding);
  expect_body(&answer);
}

static void utcp_asks_lwip_on_its_own_address(void **state) {
  (void)state;
  utcp_asks("10.0.0.1", "10.0.0.1");
}
static void utcp_asks_lwip_over_ip6(void **state) {
  (void)state;
  utcp_asks("fd00::1", "fd00::1");
}

/* --- lwIP asks UTCP --- */

static void on_utcp_served(mst_conn *conn, unsigned events, void *user) {
  size_t *written = user;
  static uint8_t buffer[4096];
  ptrdiff_t bytes;
  (void)events;
  while ((bytes = mst_read(conn, buffer, sizeof buffer)) > 0) {
  }
  if (bytes == 0 && *written == BODY_BYTES) {
    mst_close(conn);
    return;
  }
  while (*written < BODY_BYTES && (bytes = mst_write(conn, pattern + *written, BODY_BYTES - *written)) > 0)
    *written += (size_t)bytes;
  if (*written == BODY_BYTES) mst_shutdown(conn);
}

static void on_utcp_accept(mst_listener *listener, void *user) {
  static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\nConnection: close\r\n\r\n";
  mst_conn *conn = mst_accept(listener);
  assert_int_equal(mst_write(conn, head, sizeof head - 1), sizeof head - 1);
  mst_conn_set_event(conn, on_utcp_served, user);
  on_utcp_served(conn, MST_EV_WRITABLE, user);
}

static err_t on_lwip_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
  struct answer *answer = arg;
  assert_int_equal(error, ERR_OK);
  if (!p) {
    tcp_arg(pcb, NULL);
    tcp_err(pcb, NULL);
    assert_int_equal(tcp_close(pcb), ERR_OK);
    answer->done = true;
    return ERR_OK;
  }
  for (const struct pbuf *part = p; part; part = part->next) take(answer, part->payload, part->len);
  tcp_recved(pcb, p->tot_len);
  pbuf_free(p);
  return ERR_OK;
}

static err_t on_lwip_connected(void *arg, struct tcp_pcb *pcb, err_t error) {
  (void)arg;
  assert_int_equal(error, ERR_OK);
  return tcp_write(pcb, request, sizeof request - 1, 0);
}

static void on_lwip_error(void *arg, err_t error) {
  (void)arg;
  fail_msg("lwIP's connection: %d", error);
}

static err_t lwip_connect(const struct mst_endpoint *local, const struct mst_endpoint *server, struct answer *answer) {
  ip_addr_t remote = lwip_channel_addr(&server->addr);
  struct tcp_pcb *pcb = lwip_channel_tcp(&world.lwip, &local->addr, local->port);
  if (!pcb) return ERR_MEM;
  tcp_arg(pcb, answer);
  tcp_recv(pcb, on_lwip_received);
  tcp_err(pcb, on_lwip_error);
  return tcp_connect(pcb, &remote, server->port, on_lwip_connected);
}

static void lwip_asks(const char *from, const char *to) {
  struct mst_endpoint local = endpoint(from, 0), server = endpoint(to, UTCP_PORT);
  struct answer answer = {0};
  mst_binding *binding;
  mst_listener *listener;
  static size_t written; /* its connection may outlive this test by its last ACK */
  written = 0;
  assert_int_equal(mst_bind(world.utcp, MST_TCP, &server, 0, &binding), 0);
  assert_int_equal(mst_listen(binding, 0, on_utcp_accept, &written, &listener), 0);
  mst_unbind(binding);
  hold(LWIP, &local);
  LOCK_TCPIP_CORE();
  err_t error = lwip_connect(&local, &server, &answer);
  UNLOCK_TCPIP_CORE();
  assert_int_equal(error, ERR_OK);
  expect_body(&answer);
  mst_listener_close(listener);
}

static void lwip_asks_utcp_on_its_own_address(void **state) {
  (void)state;
  lwip_asks("10.0.0.1", "10.0.0.1");
}
static void lwip_asks_utcp_on_another_address(void **state) {
  (void)state;
  lwip_asks("10.0.0.1", "10.0.0.2");
}
static void lwip_asks_utcp_over_ip6(void **state) {
  (void)state;
  lwip_asks("fd00::1", "fd00::1");
}

/* --- what holds for every stack on a channel --- */

static void one_tuple_has_one_stack(void **state) {
  (void)state;
  struct mst_endpoint local = endpoint("10.0.0.1", 7000);
  mst_binding *binding;
  hold(LWIP, &local);
  assert_int_equal(mst_bind(world.utcp, MST_TCP, &local, 0, &binding), -MST_EADDRINUSE);
  let_go(LWIP, &local);
  assert_int_equal(mst_bind(world.utcp, MST_TCP, &local, 0, &binding), 0);
  mst_unbind(binding);
}

/* lwIP itself would send from there. */
static void lwip_sends_from_no_tuple_that_it_does_not_hold(void **state) {
  (void)state;
  struct mst_endpoint local = endpoint("10.0.0.1", 7001), server = endpoint("10.0.0.1", UTCP_PORT);
  struct mst_switch_stats stats;
  struct answer answer = {0};
  LOCK_TCPIP_CORE();
  err_t error = lwip_connect(&local, &server, &answer);
  UNLOCK_TCPIP_CORE();
  assert_int_equal(error, ERR_OK);
  mst_switch_process(world.sw, 16, now_ns());
  assert_int_equal(mst_switch_channel_stats(world.sw, world.id[LWIP], &stats), 0);
  assert_int_equal(stats.drops[MST_DROP_SOURCE_NOT_HELD], 1);
}

/* No ICMPv6, IGMP or MLD, whichever timer runs: the switch would refuse it. */
static void lwip_says_nothing_of_its_own(void **state) {
  (void)state;
  while (mst_switch_process(world.sw, 16, now_ns())) {
  }
  LOCK_TCPIP_CORE();
  nd6_tmr();
  mld6_tmr();
  igmp_tmr();
  size_t sent = mst_switch_process(world.sw, 16, now_ns());
  UNLOCK_TCPIP_CORE();
  assert_int_equal(sent, 0);
}

/* No ACK and no timer would come for it soon. */
static void what_a_full_ring_refused_is_sent_in_the_next_turn(void **state) {
  (void)state;
  struct mst_endpoint local = endpoint("10.0.0.1", 0), silent = endpoint("10.0.0.1", 7100);
  const struct mst_packet junk = {.len = 1, .iov_count = 1, .iov = {{"", 1}}};
  struct answer answer = {0};
  struct mst_packet syn;
  hold(LWIP, &local);
  hold(RAW, &silent);
  LOCK_TCPIP_CORE();
  while (!mst_channel_send(world.channel[LWIP], &junk)) {
  }
  err_t error = lwip_connect(&local, &silent, &answer);
  mst_switch_process(world.sw, 64, now_ns());
  UNLOCK_TCPIP_CORE();
  assert_int_equal(error, ERR_OK);
  assert_int_equal(mst_channel_receive(world.channel[RAW], &syn, 1), 0);
  lwip_channel_process(&world.lwip);
  mst_switch_process(world.sw, 64, now_ns());
  assert_int_equal(mst_channel_receive(world.channel[RAW], &syn, 1), 1);
  mst_channel_release(world.channel[RAW], 1);
}

/* lwIP would answer itself. */
static void a_loopback_source_stays_outside(void **state) {
  (void)state;
  static const uint8_t syn[40] = {0x45, 0, 0,    40, 0, 0, 0, 0, 64, 6, 0xf1, 0xce, 127,  0,    0, 1, 10, 0, 0, 1,
                                  1,    0, 0x1f, 96, 0, 0, 0, 0, 0,  0, 0,    0,    0x50, 0x02, 4, 0, 0,  0, 0, 0};
  struct mst_endpoint local = endpoint("127.0.0.1", 256), server = endpoint("10.0.0.1", 8032);
  const struct mst_packet packet = {
      .len = sizeof syn, .flags = MST_CSUM_PARTIAL, .iov_count = 1, .iov = {{syn, sizeof syn}}};
  hold(RAW, &local);
  hold(LWIP, &server);
  uint64_t before = world.lwip.dropped;
  assert_int_equal(mst_channel_send(world.channel[RAW], &packet), 0);
  mst_switch_process(world.sw, 16, now_ns());
  assert_int_equal(lwip_channel_process(&world.lwip), 1);
  assert_int_equal(world.lwip.dropped, before + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(utcp_asks_lwip_on_its_own_address),
      cmocka_unit_test(utcp_asks_lwip_over_ip6),
      cmocka_unit_test(lwip_asks_utcp_on_its_own_address),
      cmocka_unit_test(lwip_asks_utcp_on_another_address),
      cmocka_unit_test(lwip_asks_utcp_over_ip6),
      cmocka_unit_test(one_tuple_has_one_stack),
      cmocka_unit_test(lwip_sends_from_no_tuple_that_it_does_not_hold),
      cmocka_unit_test(lwip_says_nothing_of_its_own),
      cmocka_unit_test(what_a_full_ring_refused_is_sent_in_the_next_turn),
      cmocka_unit_test(a_loopback_source_stays_outside),
  };
  return cmocka_run_group_tests(tests, open_world, close_world);
}
