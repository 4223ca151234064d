/* The interface of the stack, as lines of a script. A call is followed by `= RESULT` where that is not success. */
#include "run.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTEN_PORT 80
#define PEER_PORT 8080

/* --- connections --- */

static void flow_save(struct run *run) {
  struct script *s = run->s;
  run->flows[run->flow] = (struct run_flow){
      .known = true,
      .conn = s->conn,
      .events = s->events,
      .local_port = s->local_port,
      .peer_port = s->peer_port,
      .peer_isn = s->peer_isn,
      .iss = s->iss,
      .iss_known = s->iss_known,
      .ts_first = s->ts_first,
      .ts_known = s->ts_known,
      .ts_recent = s->ts_recent,
      .timestamps = s->timestamps,
      .written = s->written,
      .read = s->read,
  };
}

/* The script speaks of connection `number` from here on; each has a peer's port of its own. */
void flow_select(struct run *run, unsigned number) {
  struct script *s = run->s;
  if (!number || number > RUN_FLOWS_MAX) run_fail(run, "connections are numbered from 1 to %d", RUN_FLOWS_MAX);
  flow_save(run);
  run->flow = number - 1;
  struct run_flow f = run->flows[run->flow];
  if (!f.known)
    f = (struct run_flow){.local_port = LISTEN_PORT,
                          .peer_port = (uint16_t)(PEER_PORT + number - 1),
                          .peer_isn = 0x10000000 * number,
                          .written = 1,
                          .read = 1};
  s->conn = f.conn;
  s->events = f.events;
  s->local_port = f.local_port;
  s->peer_port = f.peer_port;
  s->peer_isn = f.peer_isn;
  s->iss = f.iss;
  s->iss_known = f.iss_known;
  s->ts_first = f.ts_first;
  s->ts_known = f.ts_known;
  s->ts_recent = f.ts_recent;
  s->timestamps = f.timestamps;
  s->written = f.written;
  s->read = f.read;
}

/* A new connection of the same peer and port: numbers begin again. */
static void flow_again(struct run *run, char *arguments) {
  struct script *s = run->s;
  word_end(run, arguments);
  s->conn = NULL;
  s->events = 0;
  s->iss_known = s->ts_known = s->timestamps = false;
  s->written = s->read = 1;
}

static void on_event(mst_conn *conn, unsigned events, void *user) {
  struct run *run = user;
  run_log(run, "(event%s%s%s%s%s)", events & MST_EV_CONNECTED ? " connected" : "",
          events & MST_EV_READABLE ? " readable" : "", events & MST_EV_WRITABLE ? " writable" : "",
          events & MST_EV_ERROR ? " error" : "", events & MST_EV_DRAINED ? " drained" : "");
  if (conn == run->s->conn) {
    run->s->events |= events;
    return;
  }
  for (unsigned i = 0; i < RUN_FLOWS_MAX; i++)
    if (run->flows[i].known && run->flows[i].conn == conn) run->flows[i].events |= events;
}

static void on_listener(mst_listener *listener, void *user) {
  struct run *run = user;
  (void)listener;
  run->s->listener_calls++;
}

/* --- options --- */

static const struct {
  const char *name;
  enum mst_tcp_option option;
} tcp_options[] = {
    {"nodelay", MST_TCP_NODELAY},
    {"keepalive", MST_TCP_KEEPALIVE},
    {"keepalive-idle", MST_TCP_KEEPALIVE_IDLE},
    {"keepalive-interval", MST_TCP_KEEPALIVE_INTERVAL},
    {"keepalive-count", MST_TCP_KEEPALIVE_COUNT},
    {"linger", MST_TCP_LINGER},
    {"user-timeout", MST_TCP_USER_TIMEOUT},
    {"send-buffer", MST_TCP_SEND_BUFFER},
    {"receive-buffer", MST_TCP_RECEIVE_BUFFER},
    {"oobinline", MST_TCP_OOBINLINE},
    {"ecn", MST_TCP_ECN},
    {"tos", MST_TCP_TOS},
    {"ttl", MST_TCP_TTL},
    {"max-pacing-rate", MST_TCP_MAX_PACING_RATE},
    {"notsent-lowat", MST_TCP_NOTSENT_LOWAT},
    {"user-timeout-advertised", MST_TCP_USER_TIMEOUT_ADVERTISED},
    {"user-timeout-peer", MST_TCP_USER_TIMEOUT_PEER},
};

bool tcp_option_of(const char *name, enum mst_tcp_option *out) {
  for (size_t i = 0; i < sizeof tcp_options / sizeof *tcp_options; i++) {
    if (strcmp(tcp_options[i].name, name)) continue;
    *out = tcp_options[i].option;
    return true;
  }
  return false;
}

/* A number, or a word that stands for one. */
static int64_t option_value(struct run *run, const char *name, const char *value) {
  static const char *const modes[] = {"if-asked", "off", "classic", "accurate"};
  if (!strcmp(name, "ecn"))
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
      if (!strcmp(modes[i], value)) return (int64_t)i;
  return word_number(run, value);
}

/* Options of the stack that are numbers. */
static const struct {
  const char *name;
  size_t offset, bytes;
} stack_options[] = {
#define STACK_OPTION(name, field)                                                                                      \
  { name, offsetof(struct mst_stack_options, field), sizeof((struct mst_stack_options *)NULL)->field }
    STACK_OPTION("send-buffer", send_buffer_bytes), STACK_OPTION("receive-buffer", receive_buffer_bytes),
    STACK_OPTION("conns-max", conns_max),           STACK_OPTION("ecn", ecn),
    STACK_OPTION("syn-cookies", syn_cookies),       STACK_OPTION("no-sack", no_sack),
    STACK_OPTION("memory-max", memory_max_bytes),   STACK_OPTION("mtu-probing", mtu_probing),
};

void stack_option(struct run *run, char *arguments) {
  const char *name = word_need(run, &arguments, "the option"), *value = word_need(run, &arguments, "its value");
  word_end(run, arguments);
  if (run->s) run_fail(run, "options of the stack are set before anything else");
  if (!strcmp(name, "congestion")) {
    snprintf(run->congestion, sizeof run->congestion, "%s", value);
    run->options.stack.congestion_control = run->congestion;
    return;
  }
  for (size_t i = 0; i < sizeof stack_options / sizeof *stack_options; i++) {
    if (strcmp(stack_options[i].name, name)) continue;
    uint64_t number = (uint64_t)option_value(run, name, value);
    memcpy((char *)&run->options.stack + stack_options[i].offset, &number, stack_options[i].bytes); /* little endian */
    return;
  }
  run_fail(run, "a stack has no option \"%s\"", name);
}

void run_open(struct run *run) {
  if (run->s) return;
  run->options.ip6 = run->ip6;
  run->s = script_open(&run->options);
}

/* --- calls --- */

/* What the line says the call returns, cut off it; `success` if it says nothing. */
static int64_t wanted_result(struct run *run, char *arguments, int64_t success) {
  char *equals = strchr(arguments, '=');
  if (!equals) return success;
  char *at = equals + 1, *word = word_need(run, &at, "the result");
  word_end(run, at);
  *equals = 0;
  return word_result(run, word);
}

static void check_result(struct run *run, int64_t got, int64_t want) {
  if (got == want) return;
  run_fail(run, "the call returned %lld (%s), not %lld (%s)", (long long)got, got < 0 ? error_name(got) : "ok",
           (long long)want, want < 0 ? error_name(want) : "ok");
}

static void need_conn(struct run *run) {
  if (!run->s->conn) run_fail(run, "there is no connection");
}

/* listen [backlog N] */
static void call_listen(struct run *run, char *arguments) {
  struct script *s = run->s;
  int64_t want = wanted_result(run, arguments, 0);
  const char *word = word_next(&arguments);
  unsigned backlog = 0;
  if (word && !strcmp(word, "backlog")) backlog = (unsigned)word_number(run, word_need(run, &arguments, "the backlog"));
  mst_binding *binding;
  struct mst_endpoint local = {.addr = s->ip6 ? MST_ADDR_ANY6 : MST_ADDR_ANY4, .port = LISTEN_PORT};
  int rc = mst_bind(s->stack, MST_TCP, &local, 0, &binding);
  if (rc) return check_result(run, rc, want);
  mst_listener *listener = NULL;
  check_result(run, mst_listen(binding, backlog, on_listener, run, &listener), want);
  if (listener) s->listener = listener;
  mst_unbind(binding);
}

static void call_unlisten(struct run *run, char *arguments) {
  word_end(run, arguments);
  if (!run->s->listener) run_fail(run, "nobody listens");
  mst_listener_close(run->s->listener);
  run->s->listener = NULL;
}

/* accept [= none] */
static void call_accept(struct run *run, char *arguments) {
  struct script *s = run->s;
  bool none = strstr(arguments, "none") != NULL;
  if (!s->listener) run_fail(run, "nobody listens");
  mst_conn *conn = mst_accept(s->listener);
  if (none && conn) run_fail(run, "a connection waits");
  if (none) return;
  if (!conn) run_fail(run, "no connection waits");
  s->conn = conn;
  mst_conn_set_event(conn, on_event, run);
}

/* bind PORT [self]: connect goes from it, and from the stack's own address. */
static void call_bind(struct run *run, char *arguments) {
  struct script *s = run->s;
  int64_t want = wanted_result(run, arguments, 0);
  struct mst_endpoint local = {.addr = s->ip6 ? MST_ADDR_ANY6 : MST_ADDR_ANY4};
  local.port = (uint16_t)word_number(run, word_need(run, &arguments, "the port"));
  const char *address = word_next(&arguments);
  if (address && !strcmp(address, "self")) local.addr = s->ip6 ? s->node->ip6 : s->node->ip4;
  if (address && strcmp(address, "self")) run_fail(run, "bind does not take \"%s\"", address);
  if (run->binding) mst_unbind(run->binding);
  run->binding = NULL;
  check_result(run, mst_bind(s->stack, MST_TCP, &local, 0, &run->binding), want);
}

/* connect [to multicast|any|self] [port N] */
static void call_connect(struct run *run, char *arguments) {
  struct script *s = run->s;
  int64_t want = wanted_result(run, arguments, 0);
  struct mst_endpoint remote = {.addr = s->ip6 ? s->peer->ip6 : s->peer->ip4, .port = s->peer_port};
  const char *word;
  while ((word = word_next(&arguments))) {
    const char *value = word_need(run, &arguments, word);
    if (!strcmp(word, "port"))
      remote.port = (uint16_t)word_number(run, value);
    else if (!strcmp(word, "to") && !strcmp(value, "multicast"))
      remote.addr = s->ip6 ? (struct mst_addr){{0xff, 2, [15] = 9}} : mst_addr_ip4((const uint8_t[]){224, 0, 0, 9});
    else if (!strcmp(word, "to") && !strcmp(value, "broadcast"))
      remote.addr = mst_addr_ip4((const uint8_t[]){255, 255, 255, 255});
    else
      run_fail(run, "connect does not take \"%s %s\"", word, value);
  }
  mst_conn *conn = NULL;
  check_result(run, mst_connect(s->stack, run->binding, &remote, on_event, run, &conn), want);
  if (!conn) return;
  s->conn = conn;
  struct mst_endpoint local;
  mst_conn_local(conn, &local);
  s->local_port = local.port;
}

/* write N [later] */
static void call_write(struct run *run, char *arguments) {
  struct script *s = run->s;
  need_conn(run);
  bool wants = strchr(arguments, '=') != NULL;
  int64_t want = wanted_result(run, arguments, 0);
  size_t bytes = (size_t)word_number(run, word_need(run, &arguments, "how many bytes"));
  word_end(run, arguments);
  uint8_t *data = malloc(bytes + 1);
  if (!data) abort();
  for (size_t i = 0; i < bytes; i++) data[i] = script_byte(s->written + (uint32_t)i);
  ptrdiff_t taken = mst_write(s->conn, data, bytes);
  free(data);
  check_result(run, taken, wants ? want : (int64_t)bytes);
  if (taken > 0) s->written += (uint32_t)taken;
}

/* read N */
static void call_read(struct run *run, char *arguments) {
  struct script *s = run->s;
  need_conn(run);
  bool wants = strchr(arguments, '=') != NULL;
  int64_t want = wanted_result(run, arguments, 0);
  size_t bytes = (size_t)word_number(run, word_need(run, &arguments, "how many bytes")), total = 0;
  word_end(run, arguments);
  uint8_t data[4096];
  ptrdiff_t got = 0;
  while (total < bytes) {
    got = mst_read(s->conn, data, bytes - total < sizeof data ? bytes - total : sizeof data);
    if (got <= 0) break;
    for (ptrdiff_t i = 0; i < got; i++)
      if (data[i] != script_byte(s->read + (uint32_t)i))
        run_fail(run, "byte %u of the stream is wrong", s->read + (uint32_t)i);
    s->read += (uint32_t)got;
    total += (size_t)got;
  }
  check_result(run, total ? (int64_t)total : (int64_t)got, wants ? want : (int64_t)bytes);
}

static void call_shutdown(struct run *run, char *arguments) {
  need_conn(run);
  int64_t want = wanted_result(run, arguments, 0);
  check_result(run, mst_shutdown(run->s->conn), want);
}

static void call_close(struct run *run, char *arguments) {
  need_conn(run);
  word_end(run, arguments);
  mst_close(run->s->conn);
  run->s->conn = NULL;
}

static void call_abort(struct run *run, char *arguments) {
  need_conn(run);
  word_end(run, arguments);
  mst_abort(run->s->conn);
  run->s->conn = NULL;
}

/* set OPTION VALUE */
static void call_set(struct run *run, char *arguments) {
  need_conn(run);
  int64_t want = wanted_result(run, arguments, 0);
  const char *name = word_need(run, &arguments, "the option"), *value = word_need(run, &arguments, "its value");
  enum mst_tcp_option option;
  if (!tcp_option_of(name, &option)) run_fail(run, "a connection has no option \"%s\"", name);
  check_result(run, mst_conn_set_option(run->s->conn, option, option_value(run, name, value)), want);
}

/* congestion NAME */
static void call_congestion(struct run *run, char *arguments) {
  need_conn(run);
  int64_t want = wanted_result(run, arguments, 0);
  const char *name = word_need(run, &arguments, "the algorithm");
  check_result(run, mst_conn_set_congestion_control(run->s->conn, name), want);
}

/* route mtu N, route error NAME */
static void call_route(struct run *run, char *arguments) {
  const char *what = word_need(run, &arguments, "what of the route"), *value = word_need(run, &arguments, "its value");
  if (!strcmp(what, "mtu"))
    run->s->node->route_mtu = (uint32_t)word_number(run, value);
  else if (!strcmp(what, "error"))
    run->s->node->route_error = (int)word_result(run, value);
  else
    run_fail(run, "a route has no \"%s\"", what);
}

static void call_connection(struct run *run, char *arguments) {
  flow_select(run, (unsigned)word_number(run, word_need(run, &arguments, "its number")));
}

/* peer isn N, peer timestamps on|off, peer clock N */
static void call_peer(struct run *run, char *arguments) {
  struct script *s = run->s;
  const char *what = word_need(run, &arguments, "what of the peer"), *value = word_need(run, &arguments, "its value");
  if (!strcmp(what, "isn"))
    s->peer_isn = (uint32_t)word_number(run, value);
  else if (!strcmp(what, "timestamps"))
    s->timestamps = !strcmp(value, "on");
  else if (!strcmp(what, "clock"))
    s->ts_base = (uint32_t)word_number(run, value) - (uint32_t)((s->sim->now_ns - s->start_ns) / SIM_MS);
  else
    run_fail(run, "the peer has no \"%s\"", what);
}

static void call_icmp(struct run *run, char *arguments) {
  packet_icmp(run, arguments);
}

/* --- whole handshakes --- */

struct handshake {
  uint64_t rtt_ns;
  char window[16], options[256];
};

/* [rtt TIME] [win N] [<options>], by default <mss 1000> */
static struct handshake handshake_of(struct run *run, char *arguments) {
  struct handshake h = {.window = "65535", .options = "<mss 1000>"};
  char *options = strchr(arguments, '<'), *word;
  if (options) snprintf(h.options, sizeof h.options, "%s", options);
  if (options) *options = 0;
  while ((word = word_next(&arguments))) {
    char *value = word_need(run, &arguments, word);
    if (!strcmp(word, "rtt"))
      h.rtt_ns = word_duration(run, value);
    else if (!strcmp(word, "win"))
      snprintf(h.window, sizeof h.window, "%s", value);
    else
      run_fail(run, "a handshake has no \"%s\"", word);
  }
  return h;
}

/* The peer's clock goes on from the timestamp of its SYN. */
static void take_clock(struct run *run, const char *syn) {
  struct spec spec;
  if (spec_parse(syn, &spec) || !spec.options.ts) return;
  run->s->ts_base = spec.options.tsval.value - (uint32_t)((run->s->sim->now_ns - run->s->start_ns) / SIM_MS);
}

static void pass(struct run *run, uint64_t duration_ns) {
  packets_none_until(run, run->s->sim->now_ns + duration_ns);
}

static void call_established(struct run *run, char *arguments) {
  struct script *s = run->s;
  struct handshake h = handshake_of(run, arguments);
  char line[320], nothing[] = "";
  if (!s->listener) call_listen(run, nothing);
  snprintf(line, sizeof line, "S 0 win %s %s", h.window, h.options);
  packet_in(run, line, true);
  take_clock(run, line);
  packet_out(run, "S. 0 ack 1", s->sim->now_ns);
  s->timestamps = spec_get_options(&s->last).ts;
  pass(run, h.rtt_ns);
  snprintf(line, sizeof line, ". 1 ack 1 win %s", h.window);
  packet_in(run, line, true);
  pass(run, 0);
  call_accept(run, nothing);
}

static void call_connected(struct run *run, char *arguments) {
  struct script *s = run->s;
  struct handshake h = handshake_of(run, arguments);
  char line[320], nothing[] = "";
  call_connect(run, nothing);
  script_flush(s);
  packet_out(run, "S 0", s->sim->now_ns);
  s->timestamps = strstr(h.options, "TS") != NULL;
  pass(run, h.rtt_ns);
  snprintf(line, sizeof line, "S. 0 ack 1 win %s %s", h.window, h.options);
  packet_in(run, line, true);
  take_clock(run, line);
  packet_out(run, ". 1 ack 1", s->sim->now_ns);
  s->events = 0;
}

bool call_run(struct run *run, const char *name, char *arguments) {
  static const struct {
    const char *name;
    void (*run)(struct run *run, char *arguments);
  } calls[] = {
      {"listen", call_listen},
      {"unlisten", call_unlisten},
      {"accept", call_accept},
      {"bind", call_bind},
      {"connect", call_connect},
      {"write", call_write},
      {"read", call_read},
      {"shutdown", call_shutdown},
      {"close", call_close},
      {"abort", call_abort},
      {"set", call_set},
      {"congestion", call_congestion},
      {"route", call_route},
      {"connection", call_connection},
      {"again", flow_again},
      {"peer", call_peer},
      {"icmp", call_icmp},
      {"established", call_established},
      {"connected", call_connected},
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (strcmp(calls[i].name, name)) continue;
    calls[i].run(run, arguments);
    return true;
  }
  return false;
}
