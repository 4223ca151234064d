/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Which packets of a device go to user space: those to a held tuple, ICMP errors that quote one, and fragments of
 * datagrams to one. All others pass to the OS's stack; most of them cost one look-up in a bitmap of ports. */
#include "xdp_maps.h"

#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* <linux/icmp.h> drags in the C library. */
#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP6_MORE_FRAGMENTS 0x0001
#define IP6_FRAGMENT_OFFSET 0xfff8
#define IP6_EXTENSIONS_MAX 4

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MST__XDP_PORT_WORDS);
  __type(key, __u32);
  __type(value, __u64);
} held_ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, MST__XDP_TUPLES_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct mst__xdp_tuple);
  __type(value, __u32);
} held_tuples SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, MST__XDP_LOCAL_ADDRS_MAX);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct mst__xdp_addr);
  __type(value, __u8);
} local_addrs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, MST__XDP_FRAGMENTS_MAX);
  __type(key, struct mst__xdp_fragment);
  __type(value, __u8);
} fragmented SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, MST__XDP_QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} unserved SEC(".maps");

/* On `lo` every unicast packet is to this host. */
const volatile __u8 loopback_device;

struct ports {
  __be16 source, destination;
};

/* The headers of a packet. A cursor moves over what lies in the first buffer; nothing behind it is read. */
struct packet {
  void *cursor, *end;
  struct mst__xdp_fragment fragment; /* source and destination address, and what names the datagram */
  __u8 protocol;
  __u8 is_fragment, is_later_fragment;
};

struct ip6_option_header { /* hop-by-hop, destination options, routing */
  __u8 next, words, routing_type, segments_left;
};

struct ip6_fragment_header {
  __u8 next, reserved;
  __be16 offset;
  __be32 id;
};

static __always_inline void map_ip4(__u8 out[16], __be32 addr) {
  __builtin_memset(out, 0, 10);
  out[10] = out[11] = 0xff;
  __builtin_memcpy(out + 12, &addr, 4);
}

static __always_inline int is_ip4(const __u8 addr[16]) {
  __u64 high, low;
  __builtin_memcpy(&high, addr, 8);
  __builtin_memcpy(&low, addr + 8, 8);
  return high == 0 && (low & 0xffffffff) == bpf_htonl(0xffff);
}

static __always_inline int parse_ip4(struct packet *p) {
  struct iphdr *ip = p->cursor;
  if ((void *)(ip + 1) > p->end || ip->version != 4 || ip->ihl < 5) return -1;
  map_ip4(p->fragment.source, ip->saddr);
  map_ip4(p->fragment.destination, ip->daddr);
  p->protocol = ip->protocol;
  __u16 offset = bpf_ntohs(ip->frag_off);
  p->is_later_fragment = (offset & IP4_FRAGMENT_OFFSET) != 0;
  p->is_fragment = p->is_later_fragment || (offset & IP4_MORE_FRAGMENTS);
  p->fragment.id = ip->id;
  p->fragment.protocol = ip->protocol;
  p->cursor += ip->ihl * 4;
  return 0;
}

static __always_inline int parse_ip6(struct packet *p) {
  struct ipv6hdr *ip = p->cursor;
  if ((void *)(ip + 1) > p->end || ip->version != 6) return -1;
  __builtin_memcpy(p->fragment.source, &ip->saddr, 16);
  __builtin_memcpy(p->fragment.destination, &ip->daddr, 16);
  if (is_ip4(p->fragment.source) || is_ip4(p->fragment.destination)) return -1; /* never on a wire (RFC 4291 2.5.5.2) */
  p->protocol = ip->nexthdr;
  p->is_fragment = p->is_later_fragment = 0;
  p->fragment.id = p->fragment.protocol = 0;
  p->cursor = ip + 1;
#pragma unroll
  for (int i = 0; i < IP6_EXTENSIONS_MAX; i++) {
    if (p->protocol == IPPROTO_FRAGMENT) {
      struct ip6_fragment_header *header = p->cursor;
      if ((void *)(header + 1) > p->end) return -1;
      __u16 offset = bpf_ntohs(header->offset);
      p->is_later_fragment = (offset & IP6_FRAGMENT_OFFSET) != 0;
      p->is_fragment = p->is_later_fragment || (offset & IP6_MORE_FRAGMENTS); /* neither: RFC 6946's atomic one */
      p->fragment.id = header->id;
      p->protocol = header->next;
      p->cursor = header + 1;
      if (p->is_later_fragment) return 0;
    } else if (p->protocol == IPPROTO_HOPOPTS || p->protocol == IPPROTO_DSTOPTS || p->protocol == IPPROTO_ROUTING) {
      struct ip6_option_header *header = p->cursor;
      if ((void *)(header + 1) > p->end) return -1;
      if (p->protocol == IPPROTO_ROUTING && header->segments_left) return -1; /* on its way to somewhere else */
      p->protocol = header->next;
      p->cursor += 8 + header->words * 8;
    } else {
      return 0;
    }
  }
  return -1;
}

static __always_inline int port_is_held(__u8 protocol, __u16 port) {
  __u32 word = MST__XDP_PORT_WORD(protocol == IPPROTO_UDP, port);
  const __u64 *bits = bpf_map_lookup_elem(&held_ports, &word);
  return bits && *bits & MST__XDP_PORT_BIT(port);
}

static __always_inline int is_local(const __u8 addr[16]) {
  if (loopback_device) return is_ip4(addr) ? addr[12] < 224 : addr[0] != 0xff;
  struct mst__xdp_addr key;
  __builtin_memcpy(key.addr, addr, 16);
  return bpf_map_lookup_elem(&local_addrs, &key) != NULL;
}

static __always_inline int tuple_is_held(const __u8 addr[16], __u8 protocol, __u16 port) {
  if (!port_is_held(protocol, port)) return 0;
  struct mst__xdp_tuple key = {.port = port, .protocol = protocol};
  __builtin_memcpy(key.addr, addr, 16);
  if (bpf_map_lookup_elem(&held_tuples, &key)) return 1;
  if (is_ip4(addr))
    map_ip4(key.addr, 0);
  else
    __builtin_memset(key.addr, 0, 16);
  return bpf_map_lookup_elem(&held_tuples, &key) && is_local(addr);
}

static __always_inline int carries_ports(__u8 protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* An ICMP error that quotes a packet which a held tuple has sent. */
static __always_inline int icmp_error_is_held(struct packet *p) {
  const __u8 *message = p->cursor; /* type, code, checksum, 4 bytes more, the quoted packet */
  if (is_ip4(p->fragment.destination) != (p->protocol == IPPROTO_ICMP)) return 0;
  if (p->is_fragment || p->cursor + 8 > p->end) return 0;
  struct packet quoted = {.cursor = p->cursor + 8, .end = p->end};
  if (p->protocol == IPPROTO_ICMP) {
    if (message[0] != ICMP_DEST_UNREACH && message[0] != ICMP_TIME_EXCEEDED && message[0] != ICMP_PARAMETERPROB)
      return 0;
    if (parse_ip4(&quoted)) return 0;
  } else {
    if (message[0] < ICMPV6_DEST_UNREACH || message[0] > ICMPV6_PARAMPROB) return 0;
    if (parse_ip6(&quoted)) return 0;
  }
  if (quoted.is_later_fragment || !carries_ports(quoted.protocol)) return 0;
  struct ports *ports = quoted.cursor;
  if ((void *)(ports + 1) > quoted.end) return 0;
  return tuple_is_held(quoted.fragment.source, quoted.protocol, bpf_ntohs(ports->source));
}

static __always_inline int packet_is_held(struct packet *p) {
  if (p->is_later_fragment) return bpf_map_lookup_elem(&fragmented, &p->fragment) != NULL;
  if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) return icmp_error_is_held(p);
  if (!carries_ports(p->protocol)) return 0;
  struct ports *ports = p->cursor;
  if ((void *)(ports + 1) > p->end) return 0;
  if (!tuple_is_held(p->fragment.destination, p->protocol, bpf_ntohs(ports->destination))) return 0;
  if (p->is_fragment) {
    __u8 present = 1;
    bpf_map_update_elem(&fragmented, &p->fragment, &present, BPF_ANY);
  }
  return 1;
}

/* To the socket of the queue. Where there is none, its owner being away or serving other queues, a held tuple's packet
 * is lost, and never the OS's, which would answer with a reset. */
static __always_inline int hand_over(__u32 queue) {
  int verdict = bpf_redirect_map(&sockets, queue, XDP_DROP);
  if (verdict != XDP_DROP) return verdict;
  __u32 index = 0;
  __u64 *count = bpf_map_lookup_elem(&unserved, &index);
  if (count) __sync_fetch_and_add(count, 1);
  return XDP_DROP;
}

SEC("xdp.frags")
int multistack(struct xdp_md *ctx) {
  struct packet packet = {.end = (void *)(long)ctx->data_end};
  struct ethhdr *eth = (void *)(long)ctx->data;
  if ((void *)(eth + 1) > packet.end) return XDP_PASS;
  if (eth->h_dest[0] & 1) return XDP_PASS; /* a group at layer 2 is for the OS (RFC 1122 4.2.3.10) */
  packet.cursor = eth + 1;
  int error;
  if (eth->h_proto == bpf_htons(ETH_P_IP))
    error = parse_ip4(&packet);
  else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
    error = parse_ip6(&packet);
  else
    return XDP_PASS;
  if (error || !packet_is_held(&packet)) return XDP_PASS;
  return hand_over(ctx->rx_queue_index);
}

char program_license[] SEC("license") = "Dual MIT/GPL";
