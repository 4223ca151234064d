#include "emulator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  FRAME_BYTES = 2048,
  BLOCK_BYTES = 1 << 16,
  BLOCKS = 128,
  RING_FRAMES = BLOCKS * (BLOCK_BYTES / FRAME_BYTES),
  PACKET_BYTES = 1600,
  BATCH = 64,      /* packets of one device before the timers are looked at again */
  SPIN_NS = 10000, /* a sleep is not worth it below this */
  WAIT_MAX_NS = 50000000,
};

struct packet {
  struct packet *next; /* when free */
  uint64_t due_ns, order;
  struct flow *flow; /* or NULL */
  enum direction direction;
  size_t device; /* to leave by */
  size_t bytes;
  uint8_t frame[PACKET_BYTES];
};

struct device {
  int fd;
  uint8_t *ring;
  unsigned head;
};

struct emulator {
  struct device devices[EMULATOR_DEVICES_MAX];
  size_t device_count;
  struct flows *flows;
  struct packet **heap; /* by due_ns, then order */
  size_t waiting, heap_room;
  struct packet *free;
  uint64_t order;
  FILE *trace;
  uint64_t opened_ns;
  struct emulator_counters counters;
};

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time); /* the clock that packets are stamped with */
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* --- packets that wait for their time --- */

static bool earlier(const struct packet *a, const struct packet *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct emulator *emulator, struct packet *packet) {
  if (emulator->waiting == emulator->heap_room) {
    emulator->heap_room = emulator->heap_room ? 2 * emulator->heap_room : 1024;
    emulator->heap = realloc(emulator->heap, emulator->heap_room * sizeof(struct packet *));
    if (!emulator->heap) abort();
  }
  size_t i = emulator->waiting++;
  for (; i && earlier(packet, emulator->heap[(i - 1) / 2]); i = (i - 1) / 2)
    emulator->heap[i] = emulator->heap[(i - 1) / 2];
  emulator->heap[i] = packet;
}

static struct packet *heap_pop(struct emulator *emulator) {
  struct packet *top = emulator->heap[0], *last = emulator->heap[--emulator->waiting];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < emulator->waiting; i = child) {
    if (child + 1 < emulator->waiting && earlier(emulator->heap[child + 1], emulator->heap[child])) child++;
    if (!earlier(emulator->heap[child], last)) break;
    emulator->heap[i] = emulator->heap[child];
  }
  emulator->heap[i] = last;
  return top;
}

static struct packet *packet_new(struct emulator *emulator) {
  struct packet *packet = emulator->free;
  if (packet)
    emulator->free = packet->next;
  else if (!(packet = malloc(sizeof *packet)))
    abort();
  return packet;
}

static void packet_free(struct emulator *emulator, struct packet *packet) {
  packet->next = emulator->free;
  emulator->free = packet;
}

/* --- in and out --- */

static void trace(struct emulator *emulator, const struct flow *flow, enum direction direction, const char *what,
                  const struct segment *segment, uint64_t now_ns, const uint8_t *ip) {
  if (!emulator->trace) return;
  const struct flow_side *side = &flow->side[direction], *other = &flow->side[!direction];
  fprintf(emulator->trace, "%.6f %u/%u#%u %c %-5s %s%s%s%s seq %u len %u ack %u",
          (double)(now_ns - flow->start_ns) / 1e9, flow->class->port, flow_client(flow), flow->number,
          direction == FORWARD ? '>' : '<', what, segment->flags & SEGMENT_SYN ? "S" : "",
          segment->flags & SEGMENT_FIN ? "F" : "", segment->flags & SEGMENT_RST ? "R" : "",
          segment->flags & SEGMENT_ACK ? "." : "", segment->seq - side->isn, segment->payload_bytes,
          segment->ack - other->isn);
  const uint8_t *tcp = ip + (ip[0] >> 4 == 6 ? 40 : 20), *option = tcp + 20, *end = tcp + (tcp[12] >> 4) * 4;
  fprintf(emulator->trace, " win %u", (unsigned)(tcp[14] << 8 | tcp[15]));
  while (option < end && *option) {
    size_t bytes = *option == 1 ? 1 : option + 1 < end && option[1] >= 2 ? option[1] : (size_t)(end - option);
    for (const uint8_t *edge = option + 2; *option == 5 && edge + 8 <= option + bytes && edge + 8 <= end; edge += 8) {
      uint32_t left, right;
      memcpy(&left, edge, 4), memcpy(&right, edge + 4, 4);
      fprintf(emulator->trace, " sack %u-%u", ntohl(left) - other->isn, ntohl(right) - other->isn);
    }
    option += bytes;
  }
  fputc('\n', emulator->trace);
}

static void leave(struct emulator *emulator, struct packet *packet, uint64_t now_ns) {
  struct segment segment;
  if (packet->flow && segment_parse(packet->frame + 14, packet->bytes - 14, &segment)) {
    flow_arrive(packet->flow, packet->direction, &segment, now_ns);
    trace(emulator, packet->flow, packet->direction, "out", &segment, now_ns, packet->frame + 14);
  }
  if (send(emulator->devices[packet->device].fd, packet->frame, packet->bytes, MSG_DONTWAIT) < 0)
    emulator->counters.send_failures++;
  packet_free(emulator, packet);
}

/* The device that a frame is to leave by; device_count: none. */
static size_t way_out(const struct emulator *emulator, const uint8_t *frame) {
  static const uint8_t prefix[5] = {0x02, 0x4d, 0x53, 0, 0};
  size_t number = frame[5];
  if (memcmp(frame, prefix, 5) || !number || number > emulator->device_count) return emulator->device_count;
  return number - 1;
}

static struct packet *hold(struct emulator *emulator, const uint8_t *frame, size_t bytes, size_t device) {
  struct packet *packet = packet_new(emulator);
  packet->flow = NULL;
  packet->device = device;
  packet->bytes = bytes;
  memcpy(packet->frame, frame, bytes);
  return packet;
}

static void enter_link(struct emulator *emulator, struct flow *flow, enum direction direction,
                       const struct segment *segment, struct packet *packet, uint64_t came_ns) {
  struct path_verdict verdict = flow_enter(flow, direction, segment, came_ns);
  trace(emulator, flow, direction,
        verdict.lost         ? "LOST"
        : verdict.overflowed ? "FULL"
        : verdict.reordered  ? "late"
                             : "in",
        segment, came_ns, packet->frame + 14);
  if (verdict.lost || verdict.overflowed) {
    packet_free(emulator, packet);
    return;
  }
  packet->flow = verdict.corrupted ? NULL : flow;
  packet->direction = direction;
  packet->due_ns = verdict.due_ns;
  packet->order = emulator->order++;
  if (verdict.marked) segment_mark(packet->frame + 14);
  if (verdict.corrupted) packet->frame[packet->bytes - 1] ^= 0x20;
  if (verdict.duplicated) {
    struct packet *twin = hold(emulator, packet->frame, packet->bytes, packet->device);
    twin->flow = packet->flow;
    twin->direction = direction;
    twin->due_ns = packet->due_ns;
    twin->order = emulator->order++;
    heap_push(emulator, twin);
  }
  heap_push(emulator, packet);
}

static void enter(struct emulator *emulator, const uint8_t *frame, size_t bytes, uint64_t came_ns) {
  struct segment segment;
  enum direction direction;
  emulator->counters.frames++;
  size_t device = way_out(emulator, frame);
  if (device == emulator->device_count) {
    emulator->counters.strays++;
    return;
  }
  struct packet *packet = hold(emulator, frame, bytes, device);
  struct flow *flow = NULL;
  if (segment_parse(frame + 14, bytes - 14, &segment))
    flow = flows_find(emulator->flows, &segment, came_ns, &direction);
  if (flow)
    enter_link(emulator, flow, direction, &segment, packet, came_ns);
  else
    leave(emulator, packet, came_ns);
}

static void receive(struct emulator *emulator, struct device *device, uint64_t now_ns) {
  for (unsigned i = 0; i < BATCH; i++) {
    struct tpacket2_hdr *header = (void *)(device->ring + (size_t)device->head * FRAME_BYTES);
    uint32_t status = __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE);
    if (!(status & TP_STATUS_USER)) return;
    uint64_t came_ns = (uint64_t)header->tp_sec * 1000000000 + header->tp_nsec;
    if (came_ns > now_ns || came_ns + 1000000000 < now_ns) came_ns = now_ns;
    if (status & TP_STATUS_CSUMNOTREADY || header->tp_len != header->tp_snaplen || header->tp_len > PACKET_BYTES ||
        header->tp_len < ETH_HLEN)
      emulator->counters.refused++;
    else
      enter(emulator, (uint8_t *)header + header->tp_mac, header->tp_len, came_ns);
    __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    device->head = (device->head + 1) % RING_FRAMES;
  }
}

static void send_due(struct emulator *emulator, uint64_t now_ns) {
  while (emulator->waiting && emulator->heap[0]->due_ns <= now_ns) {
    struct packet *packet = heap_pop(emulator);
    uint64_t late_ns = now_ns - packet->due_ns;
    emulator->counters.timed++;
    emulator->counters.late_ns_sum += late_ns;
    if (late_ns > emulator->counters.late_ns_max) emulator->counters.late_ns_max = late_ns;
    leave(emulator, packet, now_ns);
  }
}

static void wait_for_work(const struct emulator *emulator) {
  struct pollfd fds[EMULATOR_DEVICES_MAX];
  for (size_t i = 0; i < emulator->device_count; i++)
    fds[i] = (struct pollfd){.fd = emulator->devices[i].fd, .events = POLLIN};
  uint64_t now_ns = now(), wait_ns = WAIT_MAX_NS;
  if (emulator->waiting) {
    uint64_t due_ns = emulator->heap[0]->due_ns;
    if (due_ns < now_ns + SPIN_NS) return;
    if (due_ns - now_ns < wait_ns) wait_ns = due_ns - now_ns;
  }
  struct timespec timeout = {.tv_nsec = (long)wait_ns};
  ppoll(fds, emulator->device_count, &timeout, NULL);
}

void emulator_run(struct emulator *emulator, const volatile int *stop) {
  while (!*stop) {
    uint64_t frames = emulator->counters.frames, timed = emulator->counters.timed, now_ns = now();
    for (size_t i = 0; i < emulator->device_count; i++) receive(emulator, &emulator->devices[i], now_ns);
    send_due(emulator, now());
    if (frames == emulator->counters.frames && timed == emulator->counters.timed) wait_for_work(emulator);
  }
}

/* --- life --- */

static bool open_device(struct device *device, const char *name) {
  int version = TPACKET_V2, one = 1;
  struct tpacket_req request = {
      .tp_block_size = BLOCK_BYTES, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME_BYTES, .tp_frame_nr = RING_FRAMES};
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
  device->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (device->fd < 0 || !address.sll_ifindex) return false;
  if (setsockopt(device->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
      setsockopt(device->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) ||
      setsockopt(device->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) ||
      setsockopt(device->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
    return false;
  void *ring =
      mmap(NULL, (size_t)BLOCKS * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, device->fd, 0);
  if (ring == MAP_FAILED) return false;
  device->ring = ring;
  return !bind(device->fd, (void *)&address, sizeof address);
}

struct emulator *emulator_open(const struct emulator_options *options) {
  struct emulator *emulator = calloc(1, sizeof *emulator);
  if (!emulator) abort();
  emulator->flows = flows_new(options->classes, options->class_count);
  emulator->trace = options->trace;
  emulator->opened_ns = now();
  prctl(PR_SET_TIMERSLACK, 1);
  for (size_t i = 0; i < options->device_count && i < EMULATOR_DEVICES_MAX; i++) {
    emulator->device_count = i + 1;
    if (open_device(&emulator->devices[i], options->devices[i])) continue;
    fprintf(stderr, "emulator: %s: %s\n", options->devices[i], strerror(errno));
    emulator_close(emulator);
    return NULL;
  }
  return emulator;
}

void emulator_report(const struct emulator *emulator, FILE *out) {
  const struct emulator_counters *counters = &emulator->counters;
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  flows_report(emulator->flows, out);
  fprintf(out,
          "{\"frames\":%llu,\"refused\":%llu,\"strays\":%llu,\"send_failures\":%llu,\"late_us_max\":%llu,"
          "\"late_us_mean\":%.1f,\"cpu_share\":%.3f}\n",
          (unsigned long long)counters->frames, (unsigned long long)counters->refused,
          (unsigned long long)counters->strays, (unsigned long long)counters->send_failures,
          (unsigned long long)counters->late_ns_max / 1000,
          counters->timed ? (double)counters->late_ns_sum / 1000 / (double)counters->timed : 0,
          ((double)cpu.tv_sec * 1e9 + (double)cpu.tv_nsec) / (double)(now() - emulator->opened_ns));
}

const struct flows *emulator_flows(const struct emulator *emulator) {
  return emulator->flows;
}

const struct emulator_counters *emulator_counters(const struct emulator *emulator) {
  return &emulator->counters;
}

void emulator_close(struct emulator *emulator) {
  for (size_t i = 0; i < emulator->device_count; i++) {
    if (emulator->devices[i].ring) munmap(emulator->devices[i].ring, (size_t)BLOCKS * BLOCK_BYTES);
    if (emulator->devices[i].fd >= 0) close(emulator->devices[i].fd);
  }
  while (emulator->waiting) packet_free(emulator, heap_pop(emulator));
  for (struct packet *packet = emulator->free, *next; packet; packet = next) {
    next = packet->next;
    free(packet);
  }
  flows_free(emulator->flows);
  free(emulator->heap);
  free(emulator);
}
