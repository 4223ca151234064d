#include "example.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int example_endpoint(const char *text, struct mst_endpoint *out) {
  char host[MST_ADDR_TEXT_BYTES], *end;
  const char *colon = strrchr(text, ':');
  if (!colon) return -MST_EINVAL;
  bool bracketed = *text == '[' && colon > text && colon[-1] == ']';
  size_t host_bytes = (size_t)(colon - text) - 2 * bracketed;
  unsigned long port = strtoul(colon + 1, &end, 10);
  if (host_bytes >= sizeof host || colon[1] == 0 || *end || port > 65535) return -MST_EINVAL;
  memcpy(host, text + bracketed, host_bytes);
  host[host_bytes] = 0;
  *out = (struct mst_endpoint){.port = (uint16_t)port};
  return mst_addr_parse(host, &out->addr);
}

mst_attach *example_attach(const char *path, enum mst_protocol protocol, const struct mst_endpoint *local) {
  struct mst_attach_options options = {.size = sizeof options, .path = path};
  struct mst_tuple tuple = {.addr = local->addr, .port = local->port, .protocol = (uint8_t)protocol};
  struct mst_failure failure;
  char text[MST_ADDR_TEXT_BYTES];
  mst_attach *attach;
  if (mst_attach_open(&options, &attach, &failure)) {
    fprintf(stderr, "%s\n", failure.message);
    exit(1);
  }
  int error = mst_attach_lease(attach, &tuple);
  if (error) {
    fprintf(stderr, "%s port %u: %s\n", mst_addr_format(&local->addr, text), local->port, mst_strerror(error));
    exit(1);
  }
  return attach;
}

uint64_t example_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int milliseconds_until(uint64_t deadline_ns) {
  uint64_t now_ns = example_now_ns();
  if (deadline_ns <= now_ns) return 0;
  uint64_t milliseconds = (deadline_ns - now_ns) / 1000000 + 1;
  return milliseconds < 3600000 ? (int)milliseconds : 3600000;
}

void example_poll(const mst_attach *attach, uint64_t limit_ns) {
  struct pollfd wait = {.fd = mst_attach_wait_fd(attach), .events = POLLIN};
  uint64_t deadline_ns = mst_attach_deadline(attach);
  poll(&wait, 1, milliseconds_until(deadline_ns < limit_ns ? deadline_ns : limit_ns));
}
