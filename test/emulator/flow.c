#include "flow.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct flows {
  const struct flow_class *by_port[65536];
  struct {
    uint32_t flows[256]; /* begun, by client */
    struct flow *shared;
  } * classes; /* as the caller's */
  const struct flow_class *first_class;
  struct flow *buckets[BUCKETS];
  struct flow **all; /* in order of their start */
  size_t count;
};

/* --- segments --- */

static uint16_t get16(const uint8_t *p) {
  return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p) {
  return (uint32_t)get16(p) << 16 | get16(p + 2);
}

bool segment_parse(const uint8_t *data, size_t bytes, struct segment *out) {
  const uint8_t *tcp;
  size_t address_bytes;
  memset(out, 0, sizeof *out);
  if (bytes >= 40 && data[0] == 0x45 && data[9] == 6) {
    out->ip_bytes = get16(data + 2);
    memcpy(out->key.bytes, data + 12, address_bytes = 4);
    memcpy(out->key.bytes + 16, data + 16, 4);
    out->ect = data[1] & 3;
    tcp = data + 20;
  } else if (bytes >= 60 && data[0] >> 4 == 6 && data[6] == 6) {
    out->ip_bytes = 40u + get16(data + 4);
    memcpy(out->key.bytes, data + 8, address_bytes = 16);
    memcpy(out->key.bytes + 16, data + 24, 16);
    out->ect = data[1] >> 4 & 3;
    tcp = data + 40;
  } else {
    return false;
  }
  size_t headers = (size_t)(tcp - data) + (size_t)(tcp[12] >> 4) * 4;
  if (out->ip_bytes > bytes || headers > out->ip_bytes) return false;
  memcpy(out->key.bytes + 32, tcp, 4);
  out->source_port = get16(tcp);
  out->destination_port = get16(tcp + 2);
  out->seq = get32(tcp + 4);
  out->ack = get32(tcp + 8);
  out->flags = tcp[13];
  out->payload_bytes = out->ip_bytes - (uint32_t)headers;
  return true;
}

void segment_mark(uint8_t *data) {
  if (data[0] >> 4 == 6) {
    data[1] |= 0x30;
    return;
  }
  uint16_t before = get16(data);
  data[1] |= 3;
  uint32_t sum = (uint32_t)(uint16_t)~get16(data + 10) + (uint16_t)~before + get16(data); /* RFC 1624 */
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  data[10] = (uint8_t)(sum >> 8);
  data[11] = (uint8_t)sum;
}

static struct flow_key reversed(const struct flow_key *key) {
  struct flow_key out;
  memcpy(out.bytes, key->bytes + 16, 16);
  memcpy(out.bytes + 16, key->bytes, 16);
  memcpy(out.bytes + 32, key->bytes + 34, 2);
  memcpy(out.bytes + 34, key->bytes + 32, 2);
  return out;
}

/* --- the table --- */

struct flows *flows_new(const struct flow_class *classes, size_t count) {
  struct flows *flows = calloc(1, sizeof *flows);
  if (!flows) abort();
  flows->first_class = classes;
  flows->classes = calloc(count, sizeof *flows->classes);
  if (!flows->classes) abort();
  for (size_t i = 0; i < count; i++) flows->by_port[classes[i].port] = &classes[i];
  return flows;
}

void flows_free(struct flows *flows) {
  for (size_t i = 0; i < flows->count; i++) {
    free(flows->all[i]->side[FORWARD].arrived.ranges);
    free(flows->all[i]->side[BACK].arrived.ranges);
    free(flows->all[i]);
  }
  free(flows->all);
  free(flows->classes);
  free(flows);
}

static struct flow **bucket(struct flows *flows, const struct flow_key *key) {
  uint64_t words[5] = {0};
  memcpy(words, key->bytes, sizeof key->bytes);
  uint64_t hash = 0;
  for (size_t i = 0; i < 5; i++) hash = path_random(hash, i, words[i]);
  return &flows->buckets[hash % BUCKETS];
}

static struct flow *look_up(struct flows *flows, const struct flow_key *key) {
  struct flow *flow = *bucket(flows, key);
  while (flow && memcmp(&flow->key, key, sizeof *key)) flow = flow->next;
  return flow;
}

/* The last byte of its address. */
static uint8_t client(const struct flow_key *key) {
  return key->bytes[15] ? key->bytes[15] : key->bytes[3];
}

static struct flow *begin(struct flows *flows, const struct flow_class *class, const struct segment *segment,
                          uint64_t now_ns) {
  struct flow *flow = calloc(1, sizeof *flow), **head = bucket(flows, &segment->key);
  if ((flows->count & (flows->count - 1)) == 0) {
    size_t room = flows->count ? 2 * flows->count : 1;
    flows->all = realloc(flows->all, room * sizeof *flows->all);
  }
  if (!flow || !flows->all) abort();
  flow->class = class;
  flow->key = segment->key;
  flow->start_ns = now_ns;
  size_t of = (size_t)(class - flows->first_class);
  flow->number = flows->classes[of].flows[client(&flow->key)]++;
  if (class->shared && !flows->classes[of].shared) flows->classes[of].shared = flow;
  flow->shares = class->shared ? flows->classes[of].shared : flow;
  flow->seed = path_random(class->seed, 0, flow->number);
  flow->next = *head;
  *head = flow;
  flows->all[flows->count++] = flow;
  return flow;
}

struct flow *flows_find(struct flows *flows, const struct segment *segment, uint64_t now_ns,
                        enum direction *direction) {
  struct flow *flow = look_up(flows, &segment->key);
  *direction = FORWARD;
  bool opens = (segment->flags & (SEGMENT_SYN | SEGMENT_ACK)) == SEGMENT_SYN;
  if (flow && opens && flow->side[FORWARD].has_isn && flow->side[FORWARD].isn != segment->seq) flow = NULL;
  if (flow) return flow;
  const struct flow_class *class = flows->by_port[segment->destination_port];
  if (opens && class) return begin(flows, class, segment, now_ns);
  struct flow_key key = reversed(&segment->key);
  *direction = BACK;
  return look_up(flows, &key);
}

/* --- what is sent and what arrives --- */

/* The offset of `seq` in the stream, near `near`; the first byte of payload is 0. */
static uint64_t offset(const struct flow_side *side, uint32_t seq, uint64_t near) {
  return near + (uint64_t)(int64_t)(int32_t)(seq - (side->isn + 1) - (uint32_t)near);
}

static void count_sent(struct flow_side *side, const struct segment *segment) {
  side->packets++;
  side->octets += segment->ip_bytes;
  if (segment->flags & SEGMENT_SYN && !side->has_isn) {
    side->isn = segment->seq;
    side->has_isn = true;
  }
  if (!segment->payload_bytes || segment->flags & SEGMENT_SYN) return;
  side->data_packets++;
  uint64_t end = offset(side, segment->seq, side->sent_bytes) + segment->payload_bytes;
  if (end <= side->sent_bytes) side->retransmitted++;
  if (end > side->sent_bytes) side->sent_bytes = end;
}

struct path_verdict flow_enter(struct flow *flow, enum direction direction, const struct segment *segment,
                               uint64_t now_ns) {
  struct flow_side *side = &flow->side[direction];
  flow->end_ns = now_ns;
  count_sent(side, segment);
  struct path_verdict verdict = path_enter(&flow->shares->side[direction].path, &flow->class->path[direction],
                                           flow->shares->seed, segment->ip_bytes, now_ns);
  verdict.marked &= segment->ect;
  side->lost += verdict.lost;
  side->overflowed += verdict.overflowed;
  side->reordered += verdict.reordered;
  side->duplicated += verdict.duplicated;
  side->corrupted += verdict.corrupted;
  side->marked += verdict.marked;
  return verdict;
}

static void merge(struct arrived *arrived, uint64_t begin_offset, uint64_t end) {
  if (end <= arrived->bytes) return;
  size_t i = 0;
  while (i < arrived->count) {
    if (arrived->ranges[i].end < begin_offset || arrived->ranges[i].begin > end) {
      i++;
      continue;
    }
    if (arrived->ranges[i].begin < begin_offset) begin_offset = arrived->ranges[i].begin;
    if (arrived->ranges[i].end > end) end = arrived->ranges[i].end;
    arrived->ranges[i] = arrived->ranges[--arrived->count];
    i = 0;
  }
  if (begin_offset <= arrived->bytes) {
    arrived->bytes = end;
    return;
  }
  if (arrived->count == arrived->room) {
    arrived->room = arrived->room ? 2 * arrived->room : 16;
    arrived->ranges = realloc(arrived->ranges, arrived->room * sizeof *arrived->ranges);
    if (!arrived->ranges) abort();
  }
  arrived->ranges[arrived->count++] = (struct arrived_range){begin_offset, end};
}

void flow_arrive(struct flow *flow, enum direction direction, const struct segment *segment, uint64_t now_ns) {
  struct flow_side *side = &flow->side[direction];
  if (segment->flags & SEGMENT_SYN) side->syns++;
  if (!segment->payload_bytes || segment->flags & SEGMENT_SYN) return;
  uint64_t before = side->arrived.bytes;
  uint64_t from = offset(side, segment->seq, side->arrived.bytes);
  if (from > side->sent_bytes) return; /* not of this connection */
  merge(&side->arrived, from, from + segment->payload_bytes);
  if (side->arrived.bytes == before) return;
  uint64_t gap_ns = now_ns - (side->progress_ns ? side->progress_ns : flow->start_ns);
  if (gap_ns > side->longest_gap_ns) side->longest_gap_ns = gap_ns;
  side->progress_ns = now_ns;
  if (direction != FORWARD) return;
  uint64_t age_ns = now_ns - flow->shares->start_ns;
  if (age_ns < flow->class->goal_from_ns)
    flow->goal_skipped_bytes = side->arrived.bytes;
  else if (age_ns <= flow->class->goal_ns)
    flow->goal_got_bytes = side->arrived.bytes - flow->goal_skipped_bytes;
  if (!flow->done_ns && flow->class->goal_bytes && side->arrived.bytes >= flow->class->goal_bytes)
    flow->done_ns = now_ns;
}

/* --- the report --- */

const struct flow *flows_at(const struct flows *flows, size_t index) {
  return index < flows->count ? flows->all[index] : NULL;
}

uint8_t flow_client(const struct flow *flow) {
  return client(&flow->key);
}

static void report_side(const struct flow_side *side, const char *name, FILE *out) {
  fprintf(out,
          ",\"%s\":{\"arrived_bytes\":%llu,\"packets\":%llu,\"octets\":%llu,\"data_packets\":%llu,"
          "\"retransmitted\":%llu,\"lost\":%llu,\"overflowed\":%llu,\"reordered\":%llu,\"duplicated\":%llu,"
          "\"corrupted\":%llu,\"marked\":%llu,\"longest_gap_us\":%llu}",
          name, (unsigned long long)side->arrived.bytes, (unsigned long long)side->packets,
          (unsigned long long)side->octets, (unsigned long long)side->data_packets,
          (unsigned long long)side->retransmitted, (unsigned long long)side->lost, (unsigned long long)side->overflowed,
          (unsigned long long)side->reordered, (unsigned long long)side->duplicated,
          (unsigned long long)side->corrupted, (unsigned long long)side->marked,
          (unsigned long long)side->longest_gap_ns / 1000);
}

void flows_report(const struct flows *flows, FILE *out) {
  for (size_t i = 0; i < flows->count; i++) {
    const struct flow *flow = flows->all[i];
    fprintf(out,
            "{\"port\":%u,\"client\":%u,\"number\":%u,\"start_us\":%llu,\"lasted_us\":%llu,\"done_us\":%llu,"
            "\"goal_got_bytes\":%llu",
            flow->class->port, flow_client(flow), flow->number, (unsigned long long)(flow->start_ns / 1000),
            (unsigned long long)((flow->end_ns - flow->start_ns) / 1000),
            (unsigned long long)(flow->done_ns ? (flow->done_ns - flow->start_ns) / 1000 : 0),
            (unsigned long long)flow->goal_got_bytes);
    report_side(&flow->side[FORWARD], "forward", out);
    report_side(&flow->side[BACK], "back", out);
    fputs("}\n", out);
  }
}
