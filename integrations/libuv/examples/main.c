/* The command line of the example servers, and the life of the loop and the stack on it. */
#include "server.h"

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS_MAX = 16 };

struct options {
  const char *ports[PORTS_MAX + 1];
  unsigned port_count;
  struct sockaddr_storage listen;
  int os, take;
};

static mst_uv_t uv;
static struct options options;
static uv_signal_t signals[3];
static uv_timer_t leaving; /* active: a successor is there, and the last connections end */
static bool offered;

/* "127.0.0.1:8080", "[::1]:8080", "8080" (any address). */
static int parse_listen(const char *text, struct sockaddr_storage *out) {
  char host[64] = "0.0.0.0", *end;
  const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
  unsigned long number = strtoul(port, &end, 10);
  if (*port == 0 || *end || number > 65535) return UV_EINVAL;
  if (colon) {
    bool bracketed = *text == '[' && colon > text && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * bracketed, text + bracketed);
  }
  if (uv_ip4_addr(host, (int)number, (struct sockaddr_in *)out) == 0) return 0;
  return uv_ip6_addr(host, (int)number, (struct sockaddr_in6 *)out);
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
  switch (key) {
  case 'p':
    if (options.port_count == PORTS_MAX) argp_error(state, "more than %d ports", PORTS_MAX);
    options.ports[options.port_count++] = arg;
    return 0;
  case 'l':
    if (parse_listen(arg, &options.listen)) argp_error(state, "--listen %s: not ADDR:PORT", arg);
    return 0;
  case 'o': options.os = 1; return 0;
  case 't': options.take = 1; return 0;
  case ARGP_KEY_ARG: argp_usage(state); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option option_list[] = {
    {"port", 'p', "SPEC", 0, "carry the traffic of a device, for example xdp:lo or xdp:eth0 (repeatable)", 0},
    {"listen", 'l', "ADDR:PORT", 0, "where to listen; 127.0.0.1:8080 if not given", 0},
    {"take", 't', NULL, 0, "take the address over from a server that was sent SIGHUP; then send that one SIGTERM", 0},
    {"os", 'o', NULL, 0, "run on the operating system's stack, for comparison", 0},
    {0}};
static const struct argp argp = {
    .options = option_list, .parser = parse_option, .doc = "A libuv server on MultiStack."};

static void close_signal(uv_signal_t *signal) {
  if (!uv_is_closing((uv_handle_t *)signal)) uv_close((uv_handle_t *)signal, NULL);
}

static void leave_when_nothing_is_left(uv_timer_t *timer) {
  if (mst_uv_tcp_flows(server_listener())) return;
  uv_close((uv_handle_t *)timer, NULL);
  server_stop();
}

/* The listener stays until what it has is done; the loop has processed what came before by the first look. */
static void leave(uv_loop_t *loop) {
  uv_timer_init(loop, &leaving);
  uv_timer_start(&leaving, leave_when_nothing_is_left, 40, 20);
}

static void on_signal(uv_signal_t *signal, int number) {
  (void)number;
  for (int i = 0; i < 3; ++i) close_signal(&signals[i]);
  if (options.os)
    os_server_stop();
  else if (offered)
    leave(signal->loop);
  else
    server_stop();
}

static void on_offer(uv_signal_t *signal, int number) {
  (void)signal;
  (void)number;
  int err = options.os ? UV_ENOTSUP : mst_uv_tcp_offer(server_listener());
  offered = err == 0;
  printf("%s\n", offered ? "offered" : uv_strerror(err));
  fflush(stdout);
}

static void watch_signals(uv_loop_t *loop) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  for (int i = 0; i < 3; ++i) {
    uv_signal_init(loop, &signals[i]);
    uv_signal_start(&signals[i], numbers[i] == SIGHUP ? on_offer : on_signal, numbers[i]);
  }
}

static void serve(uv_loop_t *loop) {
  watch_signals(loop);
  printf("listening\n");
  fflush(stdout);
  uv_run(loop, UV_RUN_DEFAULT);
}

static int run_os(uv_loop_t *loop) {
  uv.loop = loop;
  int err = os_server_start(&uv, (const struct sockaddr *)&options.listen, 0);
  if (!err) serve(loop);
  return err;
}

/* In which mode each device is carried, and why not in a better one. */
static void print_port(struct mst_port *port, void *arg) {
  struct mst_port_stats stats = {0};
  (void)arg;
  port->ops->get_stats(port, &stats);
  fprintf(stderr, "%s: %s%s%s\n", port->name, stats.mode, *stats.reason ? ": " : "", stats.reason);
}

static int run_multistack(uv_loop_t *loop) {
  struct mst_host_options host = {.size = sizeof host, .ports = options.ports};
  struct mst_failure failure;
  if (mst_uv_init(loop, &uv, &host, &failure)) {
    fprintf(stderr, "%s\n", failure.message);
    exit(1);
  }
  mst_switch_each_port(mst_host_switch(mst_uv_host(&uv)), print_port, NULL);
  int err = server_start(&uv, (const struct sockaddr *)&options.listen, options.take ? MST_UV_TCP_TAKE : 0);
  if (err)
    server_stop();
  else
    serve(loop);
  /* What the closed connections still have to send goes out, and the devices are as they were. */
  mst_uv_detach(&uv, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  return err;
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  parse_listen("127.0.0.1:8080", &options.listen);
  argp_parse(&argp, argc, argv, 0, NULL, NULL);
  signal(SIGPIPE, SIG_IGN);
  int err = options.os ? run_os(loop) : run_multistack(loop);
  if (err) fprintf(stderr, "%s: cannot listen: %s\n", argv[0], uv_strerror(err));
  uv_loop_close(loop);
  return err != 0;
}
