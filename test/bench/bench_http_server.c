/* bench_http_server --os | --port SPEC... [--listen ADDR:PORT] [--body BYTES] [--spin]
 * One HTTP server, on the OS's stack or on a user stack: an epoll loop, one thread, one fixed answer. It serves until
 * SIGTERM or SIGINT. Without --os and --port it is alone on its host and of no use. */
#include "http_work.h"

#include <argp.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS_MAX = 16 };

static struct {
  bool os, spin;
  const char *ports[PORTS_MAX + 1];
  unsigned port_count;
  size_t body_bytes;
  struct sockaddr_in listen;
} options = {.body_bytes = 100};

static volatile sig_atomic_t stopping;

static void on_signal(int number) {
  (void)number;
  stopping = 1;
}

static bool parse_listen(const char *text) {
  char host[INET_ADDRSTRLEN], *end;
  const char *colon = strchr(text, ':');
  unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
  if (!colon || colon[1] == 0 || *end || port > 65535 || (size_t)(colon - text) >= sizeof host) return false;
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = 0;
  options.listen.sin_family = AF_INET;
  options.listen.sin_port = htons((uint16_t)port);
  return inet_pton(AF_INET, host, &options.listen.sin_addr) == 1;
}

static error_t parse_option(int key, char *arg, struct argp_state *state) {
  switch (key) {
  case 'o': options.os = true; return 0;
  case 's': options.spin = true; return 0;
  case 'p':
    if (options.port_count == PORTS_MAX) argp_error(state, "more than %d ports", PORTS_MAX);
    options.ports[options.port_count++] = arg;
    return 0;
  case 'l':
    if (!parse_listen(arg)) argp_error(state, "--listen %s: not ADDR:PORT", arg);
    return 0;
  case 'b':
    options.body_bytes = strtoul(arg, NULL, 10);
    if (options.body_bytes > HTTP_BODY_MAX_BYTES) argp_error(state, "--body: at most %d", HTTP_BODY_MAX_BYTES);
    return 0;
  case ARGP_KEY_ARG: argp_usage(state); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option option_list[] = {
    {"os", 'o', NULL, 0, "the operating system's stack", 0},
    {"port", 'p', "SPEC", 0, "a user stack on this port, for example xdp:eth0 (repeatable)", 0},
    {"listen", 'l', "ADDR:PORT", 0, "IPv4; 127.0.0.1:8080 if not given", 0},
    {"body", 'b', "BYTES", 0, "of each answer; 100 if not given", 0},
    {"spin", 's', NULL, 0, "never wait: poll all the time", 0},
    {0}};
static const struct argp argp = {.options = option_list, .parser = parse_option, .doc = "An HTTP server to measure."};

int main(int argc, char **argv) {
  parse_listen("127.0.0.1:8080");
  argp_parse(&argp, argc, argv, 0, NULL, NULL);
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  struct net *net = options.os ? net_os() : net_user(options.ports);
  net_listen(net, &options.listen, http_accept, &options.body_bytes, NULL);
  while (!stopping) net_turn(net, options.spin);
  net_close(net);
  return 0;
}
