/* An HTTP server on lwIP, attached to multistackd. */
#include "example.h"
#include "http_server.h"

#include <argp.h>
#include <fcntl.h>
#include <lwip/tcpip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *daemon_path, *file_path;
static struct mst_endpoint local;
static mst_attach *attach;
static struct lwip_channel lwip;
static struct http_body body;

static error_t parse_option(int key, char *arg, struct argp_state *state) {
  switch (key) {
  case 'd': daemon_path = arg; return 0;
  case 'l':
    if (example_endpoint(arg, &local)) argp_error(state, "--listen %s: not ADDR:PORT", arg);
    return 0;
  case ARGP_KEY_ARG:
    if (file_path) argp_usage(state);
    file_path = arg;
    return 0;
  case ARGP_KEY_END:
    if (!file_path || !local.port) argp_usage(state);
    return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option option_list[] = {
    {"daemon", 'd', "PATH", 0, "the control socket of multistackd; " MST_ATTACH_DEFAULT_PATH " if not given", 0},
    {"listen", 'l', "ADDR:PORT", 0, "where to listen: an address of this host, and no wildcard", 0},
    {0}};
static const struct argp argp = {
    .options = option_list, .parser = parse_option, .args_doc = "FILE", .doc = "Serve FILE over HTTP, on lwIP."};

static int map_file(void) {
  struct stat stat;
  int fd = open(file_path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &stat)) return -1;
  body.bytes = (size_t)stat.st_size;
  body.data = body.bytes ? mmap(NULL, body.bytes, PROT_READ, MAP_PRIVATE, fd, 0) : "";
  close(fd);
  return body.data == MAP_FAILED ? -1 : 0;
}

static void ring(void *ctx) {
  mst_attach_flush(ctx);
}

/* The attachment is the channel's: lwIP's lock guards both. */
static void serve(void) {
  for (;;) {
    LOCK_TCPIP_CORE();
    mst_attach_process(attach, example_now_ns());
    UNLOCK_TCPIP_CORE();
    if (lwip_channel_process(&lwip)) continue;
    LOCK_TCPIP_CORE();
    bool nothing_came = mst_attach_sleep(attach);
    UNLOCK_TCPIP_CORE();
    if (nothing_came) example_poll(attach, UINT64_MAX);
  }
}

int main(int argc, char **argv) {
  argp_parse(&argp, argc, argv, 0, NULL, NULL);
  if (map_file()) {
    perror(file_path);
    return 1;
  }
  attach = example_attach(daemon_path, MST_TCP, &local);
  bool ip4 = mst_addr_is_ip4(&local.addr);
  const struct lwip_channel_options options = {
      .channel = mst_attach_channel(attach),
      .addr4 = ip4 ? local.addr : MST_ADDR_ANY4,
      .addr6 = ip4 ? MST_ADDR_ANY6 : local.addr,
      .ring = ring,
      .ring_ctx = attach,
  };
  int error = lwip_channel_open(&lwip, &options);
  if (!error) error = http_server_start(&lwip, &local, &body);
  if (error) {
    fprintf(stderr, "%s: cannot listen: %s\n", argv[0], mst_strerror(error));
    return 1;
  }
  printf("listening\n");
  fflush(stdout);
  serve();
}
