/* Two network namespaces of this process's own, HERE with the port and THERE with a kernel peer, joined by a veth. They
 * have no name and end with the process, however it ends. */
#ifndef MST_TEST_PORT_RIG_H
#define MST_TEST_PORT_RIG_H

#include "multistack/port.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"
#include "wire/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RIG_TIMEOUT_MS 5000

enum { HERE, THERE };

/* Each test uses some of these. */
#define RIG __attribute__((unused)) static

static int rig_namespace[2];

RIG void rig_enter(int which) {
  if (setns(rig_namespace[which], CLONE_NEWNET)) abort();
}

__attribute__((format(printf, 1, 2))) RIG int rig_try(const char *format, ...) {
  char command[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(command, sizeof command, format, arguments);
  va_end(arguments);
  return system(command);
}

#define rig_run(...) assert_int_equal(rig_try(__VA_ARGS__), 0)

/* Exit 77 when this cannot run here. */
RIG void rig_begin(void) {
  if (geteuid() || unshare(CLONE_NEWNET)) {
    printf("skipped: needs root and the right to make network namespaces\n");
    exit(77);
  }
  rig_namespace[HERE] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (unshare(CLONE_NEWNET)) exit(77);
  rig_namespace[THERE] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (rig_try("ip link set lo up")) exit(1);
  rig_enter(HERE);
  if (rig_try("ip link set lo up")) exit(1);
}

/* A veth, one end in each namespace, both down. Leaves the caller in the first. */
RIG void rig_join(int namespace_a, const char *name_a, int namespace_b, const char *name_b, unsigned queues) {
  if (setns(namespace_a, CLONE_NEWNET)) abort();
  rig_run("ip link add %s numrxqueues %u numtxqueues %u type veth peer name %s netns /proc/%d/fd/%d"
          " numrxqueues %u numtxqueues %u",
          name_a, queues, queues, name_b, getpid(), namespace_b, queues, queues);
}

/* Let the device neither leave out checksums nor send segments above its MTU. */
RIG void rig_no_offloads(const char *name) {
  struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM};
  struct ifreq request = {.ifr_data = (void *)&off};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(ioctl(fd, SIOCETHTOOL, &request), 0);
  close(fd);
}

/* "here0" with 10.7.0.1/24 and fd07::1/64 here, "there0" with 10.7.0.2/24 and fd07::2/64 there. */
RIG void rig_veth(unsigned queues) {
  rig_join(rig_namespace[HERE], "here0", rig_namespace[THERE], "there0", queues);
  rig_run("ip addr add 10.7.0.1/24 dev here0; ip addr add fd07::1/64 dev here0 nodad; ip link set here0 up");
  rig_enter(THERE);
  rig_run("ip addr add 10.7.0.2/24 dev there0; ip addr add fd07::2/64 dev there0 nodad; ip link set there0 up");
  rig_enter(HERE);
}

RIG void rig_no_veth(void) {
  rig_enter(HERE);
  rig_try("ip link del here0 2>/dev/null");
}

RIG void rig_peer_mac(uint8_t mac[6]) {
  struct ifreq request = {.ifr_name = "there0"};
  rig_enter(THERE);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
  close(fd);
  rig_enter(HERE);
  memcpy(mac, request.ifr_hwaddr.sa_data, 6);
}

RIG struct mst_port *rig_open(const char *spec) {
  struct mst_port *port;
  struct mst_failure failure = {0};
  if (mst_port_open(spec, &port, &failure)) fail_msg("%s", failure.message);
  return port;
}

RIG struct mst_addr rig_addr(const char *text) {
  struct mst_addr addr;
  assert_int_equal(mst_addr_parse(text, &addr), 0);
  return addr;
}

RIG struct mst_tuple rig_tuple(uint8_t protocol, const char *addr, uint16_t port) {
  return (struct mst_tuple){.protocol = protocol, .addr = rig_addr(addr), .port = port};
}

RIG void rig_hold(struct mst_port *port, uint8_t protocol, const char *addr, uint16_t number) {
  struct mst_tuple tuple = rig_tuple(protocol, addr, number);
  assert_int_equal(port->ops->tuple_add(port, &tuple), 0);
}

RIG socklen_t rig_sockaddr(struct sockaddr_storage *out, const char *text, uint16_t number) {
  struct mst_addr addr = rig_addr(text);
  memset(out, 0, sizeof *out);
  if (mst_addr_is_ip4(&addr)) {
    struct sockaddr_in *in = (void *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(number);
    memcpy(&in->sin_addr, addr.bytes + 12, 4);
    return sizeof *in;
  }
  struct sockaddr_in6 *in6 = (void *)out;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(number);
  memcpy(&in6->sin6_addr, addr.bytes, 16);
  return sizeof *in6;
}

/* A kernel socket of one namespace, bound to (addr, number) or connected to it. */
RIG int rig_socket(int where, int type, const char *addr, uint16_t number, bool bound) {
  struct sockaddr_storage name;
  socklen_t bytes = rig_sockaddr(&name, addr, number);
  int one = 1;
  rig_enter(where);
  int fd = socket(name.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  rig_enter(HERE);
  assert_true(fd >= 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bound)
    assert_int_equal(bind(fd, (void *)&name, bytes), 0);
  else if (connect(fd, (void *)&name, bytes))
    assert_int_equal(errno, EINPROGRESS);
  if (bound && type == SOCK_STREAM) assert_int_equal(listen(fd, 16), 0);
  return fd;
}

RIG bool rig_ready(int fd, short events) {
  struct pollfd pollfd = {.fd = fd, .events = events};
  return poll(&pollfd, 1, RIG_TIMEOUT_MS) == 1;
}

/* Wait until the port has packets; what receive says then. */
RIG int rig_receive(struct mst_port *port, struct mst_port_rx *out, unsigned count) {
  struct pollfd pollfds[16];
  int fds[16];
  unsigned n = port->ops->wait_fds(port, fds, 16);
  for (unsigned i = 0; i < n; i++) pollfds[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  for (;;) {
    int received = port->ops->receive(port, out, count);
    if (received) return received;
    if (poll(pollfds, n, RIG_TIMEOUT_MS) <= 0) fail_msg("nothing came to %s", port->name);
  }
}

/* Nothing to see on any wait fd: it would spin a loop otherwise. */
RIG bool rig_quiet(struct mst_port *port) {
  struct pollfd pollfds[16];
  int fds[16];
  unsigned n = port->ops->wait_fds(port, fds, 16);
  for (unsigned i = 0; i < n; i++) pollfds[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  return poll(pollfds, n, 0) == 0;
}

struct rig_packet {
  struct mst_addr source, destination;
  uint16_t source_port, destination_port;
  uint8_t protocol;
  struct mst__tcp tcp; /* MST_TCP: flags, seq, ack, window */
  const void *payload;
  uint32_t payload_bytes;
};

/* Send with complete checksums; `mac` of the next hop where the port wants frames. */
RIG void rig_send(struct mst_port *port, const struct rig_packet *packet, const uint8_t mac[6]) {
  uint32_t layer2 = port->caps & MST_PORT_ETHERNET ? 14 : 0;
  uint8_t *frame = port->ops->tx_reserve(port, layer2 + 100 + packet->payload_bytes);
  assert_non_null(frame);
  uint8_t transport[60];
  size_t transport_bytes;
  if (packet->protocol == MST_UDP) {
    transport_bytes = mst__udp_build(transport, packet->source_port, packet->destination_port, packet->payload_bytes);
  } else {
    struct mst__tcp tcp = packet->tcp;
    tcp.source_port = packet->source_port;
    tcp.destination_port = packet->destination_port;
    transport_bytes = mst__tcp_build(transport, &tcp);
  }
  const struct mst__ip_fields fields = {.source = &packet->source,
                                        .destination = &packet->destination,
                                        .payload_bytes = (uint32_t)transport_bytes + packet->payload_bytes,
                                        .protocol = packet->protocol,
                                        .ttl = 64};
  size_t ip_bytes = mst__ip_build(frame + layer2, &fields);
  uint8_t *segment = frame + layer2 + ip_bytes;
  memcpy(segment, transport, transport_bytes);
  if (packet->payload_bytes) memcpy(segment + transport_bytes, packet->payload, packet->payload_bytes);
  uint64_t sum = mst__csum_pseudo(&packet->source, &packet->destination, packet->protocol, fields.payload_bytes);
  uint16_t checksum = (uint16_t)~mst__csum_fold(mst__csum_add(sum, segment, fields.payload_bytes));
  memcpy(segment + (packet->protocol == MST_UDP ? 6 : 16), &checksum, 2);
  if (layer2 && mac) {
    memcpy(frame, mac, 6);
    memcpy(frame + 6, port->mac, 6);
    mst__put16(frame + 12, ip_bytes == 20 ? 0x0800 : 0x86dd);
  }
  port->ops->tx_commit(port, layer2 + (uint32_t)ip_bytes + fields.payload_bytes, 0, 0);
  port->ops->flush(port);
}

/* Take a received packet apart. */
RIG void rig_parse(const struct mst_port_rx *rx, struct rig_packet *out) {
  struct mst__ip ip;
  memset(out, 0, sizeof *out);
  assert_int_equal(mst__ip_parse(rx->data, rx->len, &ip), MST_DROP_NONE);
  out->source = ip.source;
  out->destination = ip.destination;
  out->protocol = ip.protocol;
  if (ip.protocol == MST_UDP) {
    struct mst__udp udp;
    assert_int_equal(mst__udp_parse(ip.payload, ip.payload_bytes, &udp), MST_DROP_NONE);
    out->source_port = udp.source_port;
    out->destination_port = udp.destination_port;
    out->payload = udp.payload;
    out->payload_bytes = udp.payload_bytes;
  } else if (ip.protocol == MST_TCP) {
    assert_int_equal(mst__tcp_parse(ip.payload, ip.payload_bytes, &out->tcp), MST_DROP_NONE);
    out->source_port = out->tcp.source_port;
    out->destination_port = out->tcp.destination_port;
    out->payload = out->tcp.payload;
    out->payload_bytes = out->tcp.payload_bytes;
  }
}

/* The same packet on its way back: addresses and ports exchanged. */
RIG struct rig_packet rig_reply(const struct rig_packet *to) {
  return (struct rig_packet){.source = to->destination,
                             .destination = to->source,
                             .source_port = to->destination_port,
                             .destination_port = to->source_port,
                             .protocol = to->protocol};
}

/* End a kernel's connection by a reset, and take that in. */
RIG void rig_reset(struct mst_port *port, int fd) {
  struct linger at_once = {.l_onoff = 1};
  struct mst_port_rx rx;
  struct rig_packet in = {0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
  do {
    assert_int_equal(rig_receive(port, &rx, 1), 1);
    if (rx.data[rx.data[0] >> 4 == 6 ? 6 : 9] == MST_TCP) rig_parse(&rx, &in);
    port->ops->release(port);
  } while (!(in.tcp.flags & MST__RST));
}

/* A megabyte between kernel sockets, `from` one namespace to this. */
RIG void rig_kernel_tcp(int from, const char *addr, uint16_t number) {
  static uint8_t data[1 << 20], back[1 << 20];
  int listener = rig_socket(HERE, SOCK_STREAM, addr, number, true);
  int client = rig_socket(from, SOCK_STREAM, addr, number, false);
  assert_true(rig_ready(listener, POLLIN));
  int server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  assert_true(server >= 0);
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 7 + (i >> 10));
  for (size_t sent = 0, got = 0; got < sizeof data;) {
    ssize_t n = sent < sizeof data ? send(client, data + sent, sizeof data - sent, 0) : 0;
    if (n > 0) sent += (size_t)n;
    assert_true(rig_ready(server, POLLIN));
    n = recv(server, back + got, sizeof back - got, 0);
    if (n > 0) got += (size_t)n;
  }
  assert_memory_equal(data, back, sizeof data);
  close(client);
  close(server);
  close(listener);
}

#endif
