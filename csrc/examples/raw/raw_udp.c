/* No stack at all: a generator of raw packets that holds one UDP tuple, sends datagrams made by hand, and looks at the
 * packets that come back. The smallest program that can live on a channel. */
#include "example.h"

#include <argp.h>
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At most so many unanswered ones: a socket's queue is bounded. */
#define WINDOW 16u
#define LIMIT_NS 10000000000u

struct datagram {
  struct iphdr ip;
  struct udphdr udp;
  char text[20];
};

static const char *daemon_path;
static struct mst_endpoint local, remote;
static unsigned count = 1, sent, answered;
static mst_attach *attach;

static error_t parse_option(int key, char *arg, struct argp_state *state) {
  char *end;
  switch (key) {
  case 'd': daemon_path = arg; return 0;
  case 'f':
    if (example_endpoint(arg, &local) || !mst_addr_is_ip4(&local.addr)) argp_error(state, "--from %s", arg);
    return 0;
  case 't':
    if (example_endpoint(arg, &remote) || !mst_addr_is_ip4(&remote.addr)) argp_error(state, "--to %s", arg);
    return 0;
  case 'c':
    count = (unsigned)strtoul(arg, &end, 10);
    if (*end || !count) argp_error(state, "--count %s", arg);
    return 0;
  case ARGP_KEY_END:
    if (!local.port || !remote.port) argp_usage(state);
    return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp_option option_list[] = {
    {"daemon", 'd', "PATH", 0, "the control socket of multistackd; " MST_ATTACH_DEFAULT_PATH " if not given", 0},
    {"from", 'f', "ADDR:PORT", 0, "the tuple to hold (IPv4)", 0},
    {"to", 't', "ADDR:PORT", 0, "a UDP socket that sends back what it gets", 0},
    {"count", 'c', "N", 0, "how many datagrams; 1 if not given", 0},
    {0}};
static const struct argp argp = {
    .options = option_list, .parser = parse_option, .doc = "Send raw UDP packets over multistackd, count the echoes."};

/* RFC 1071. */
static uint16_t checksum(const void *data, size_t bytes) {
  uint32_t sum = 0;
  uint16_t word;
  for (size_t i = 0; i < bytes; i += 2) {
    memcpy(&word, (const char *)data + i, 2);
    sum += word;
  }
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t) ~(sum + (sum >> 16));
}

/* A UDP checksum of 0 says that there is none, which IPv4 allows (RFC 768). */
static void make(struct datagram *datagram, unsigned number) {
  *datagram = (struct datagram){
      .ip = {.version = 4, .ihl = 5, .tot_len = htons(sizeof *datagram), .ttl = 64, .protocol = IPPROTO_UDP},
      .udp = {.source = htons(local.port), .dest = htons(remote.port)},
  };
  datagram->udp.len = htons(sizeof *datagram - sizeof datagram->ip);
  memcpy(&datagram->ip.saddr, local.addr.bytes + 12, 4);
  memcpy(&datagram->ip.daddr, remote.addr.bytes + 12, 4);
  datagram->ip.check = checksum(&datagram->ip, sizeof datagram->ip);
  snprintf(datagram->text, sizeof datagram->text, "raw packet %u", number % 100000000);
}

/* False: the ring is full. */
static bool send_one(void) {
  struct datagram datagram;
  make(&datagram, sent);
  const struct mst_packet packet = {.len = sizeof datagram, .iov_count = 1, .iov = {{&datagram, sizeof datagram}}};
  if (mst_channel_send(mst_attach_channel(attach), &packet)) return false;
  sent++;
  return true;
}

/* One of ours, come back: to our tuple, from where it was sent, with the text. */
static bool is_echo(const struct mst_packet *packet) {
  struct datagram datagram, own;
  make(&own, answered);
  if (packet->len != sizeof datagram) return false;
  memcpy(&datagram, packet->iov[0].base, sizeof datagram);
  return datagram.ip.protocol == IPPROTO_UDP && datagram.ip.saddr == own.ip.daddr &&
         datagram.ip.daddr == own.ip.saddr && datagram.udp.source == own.udp.dest &&
         datagram.udp.dest == own.udp.source && !memcmp(datagram.text, own.text, sizeof own.text);
}

static void receive_all(void) {
  mst_channel *channel = mst_attach_channel(attach);
  struct mst_packet packet;
  while (mst_channel_receive(channel, &packet, 1)) {
    answered += is_echo(&packet);
    mst_channel_release(channel, 1);
  }
}

int main(int argc, char **argv) {
  argp_parse(&argp, argc, argv, 0, NULL, NULL);
  attach = example_attach(daemon_path, MST_UDP, &local);
  uint64_t limit_ns = example_now_ns() + LIMIT_NS;
  while (answered < count && example_now_ns() < limit_ns) {
    while (sent < count && sent - answered < WINDOW && send_one()) {
    }
    mst_attach_flush(attach);
    if (mst_attach_sleep(attach)) example_poll(attach, limit_ns);
    mst_attach_process(attach, example_now_ns());
    receive_all();
  }
  printf("%u packets sent, %u echoes\n", sent, answered);
  mst_attach_close(attach);
  return answered == count ? 0 : 1;
}
