/* Congestion control without a stack: flows of packets through one bottleneck, first in, first out, with every number
 * of struct mst__cc_ack known exactly. Packets never overtake, so three that come after a missing one show its loss;
 * what is lost is not repeated, there is always more to send. */
#ifndef TEST_UNIT_CC_MODEL_H
#define TEST_UNIT_CC_MODEL_H

#include "tcp/cc/cc.h"
#include "unit.h"

#define MODEL_MSS 1000u
#define MODEL_FLOWS_MAX 4
#define MODEL_WINDOW 65536u /* packets of one flow that may be under way */

struct model_packet {
  uint64_t sent_ns, delivered_ns, first_sent_ns;
  uint64_t delivered, lost;
  bool app_limited, arrived, marked;
};

struct model_flow {
  struct mst__cc cc;
  uint64_t start_ns, rate_bps; /* of the application; 0: as fast as can be */
  uint64_t limit_bytes;        /* stops after so many; 0: never */
  uint32_t mss;

  uint64_t next, oldest, recover; /* packet numbers */
  struct model_packet packets[MODEL_WINDOW];
  uint32_t flight_bytes;
  uint64_t delivered, delivered_ns, first_sent_ns, lost, lost_told;
  uint64_t sent_bytes, send_at_ns, app_at_ns;
  uint64_t srtt_ns, min_rtt_ns, app_limited_until;
  bool app_limited, timer;
  uint64_t acks;    /* on their way */
  uint64_t done_ns; /* when limit_bytes had been delivered */
  uint64_t losses;  /* packets */
  uint64_t reductions;
};

struct model_event {
  uint64_t at_ns, order, number;
  uint8_t flow, kind; /* 0: an ACK of packet `number` has come; 1: the flow may send; 2: nothing will come any more */
  bool marked;
};

struct model {
  uint64_t now_ns, rate_bps, delay_ns, queue_bytes, jitter_ns; /* delay: of the round trip */
  uint64_t mark_bytes;                                         /* a longer queue is marked; 0: no */
  uint32_t loss;                                               /* chance per million */
  struct sim_random random;
  struct model_flow flows[MODEL_FLOWS_MAX];
  int flow_count;
  uint64_t idle_at_ns, last_ack_ns;
  struct model_event *heap;
  size_t heap_count, heap_room;
  uint64_t order, queue_sum_bytes, queue_samples, queue_max_bytes;
};

static inline bool model_earlier(const struct model_event *a, const struct model_event *b) {
  return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static inline void model_push(struct model *m, struct model_event event) {
  if (m->heap_count == m->heap_room) {
    m->heap_room = m->heap_room ? 2 * m->heap_room : 1024;
    m->heap = realloc(m->heap, m->heap_room * sizeof *m->heap);
    if (!m->heap) abort();
  }
  event.order = m->order++;
  size_t i = m->heap_count++;
  for (; i && model_earlier(&event, &m->heap[(i - 1) / 2]); i = (i - 1) / 2) m->heap[i] = m->heap[(i - 1) / 2];
  m->heap[i] = event;
}

static inline struct model_event model_pop(struct model *m) {
  struct model_event top = m->heap[0], last = m->heap[--m->heap_count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < m->heap_count; i = child) {
    if (child + 1 < m->heap_count && model_earlier(&m->heap[child + 1], &m->heap[child])) child++;
    if (!model_earlier(&m->heap[child], &last)) break;
    m->heap[i] = m->heap[child];
  }
  m->heap[i] = last;
  return top;
}

static inline struct model *model_new(uint64_t rate_bps, uint64_t rtt_ns, uint64_t queue_bytes) {
  struct model *m = calloc(1, sizeof *m);
  if (!m) abort();
  *m = (struct model){.now_ns = SIM_S, .rate_bps = rate_bps, .delay_ns = rtt_ns, .queue_bytes = queue_bytes};
  m->random.state = 42;
  return m;
}

static inline void model_free(struct model *m) {
  free(m->heap);
  free(m);
}

static inline struct model_flow *model_add(struct model *m, const char *name, uint64_t start_ns) {
  struct model_flow *f = &m->flows[m->flow_count];
  f->mss = MODEL_MSS;
  f->start_ns = m->now_ns + start_ns;
  f->cc = (struct mst__cc){.ops = mst__cc_find(name), .cwnd = 10 * f->mss, .ssthresh = UINT32_MAX, .mss = f->mss};
  f->cc.ops->init(&f->cc, f->start_ns);
  f->app_at_ns = f->send_at_ns = f->start_ns;
  model_push(m, (struct model_event){.at_ns = f->start_ns, .flow = (uint8_t)m->flow_count++, .kind = 1});
  return f;
}

static inline uint64_t model_queue(const struct model *m) {
  uint64_t wait_ns = m->idle_at_ns > m->now_ns ? m->idle_at_ns - m->now_ns : 0;
  return wait_ns * (m->rate_bps / 1000000) / 8000;
}

static inline void model_send(struct model *m, struct model_flow *f) {
  uint64_t number = f->next++, queue = model_queue(m);
  struct model_packet *p = &f->packets[number % MODEL_WINDOW];
  if (f->next - f->oldest >= MODEL_WINDOW) abort();
  if (!f->flight_bytes) {
    if (number && f->cc.ops->on_start) f->cc.ops->on_start(&f->cc, m->now_ns);
    f->first_sent_ns = f->delivered_ns = m->now_ns;
  }
  *p = (struct model_packet){.sent_ns = m->now_ns,
                             .delivered_ns = f->delivered_ns,
                             .first_sent_ns = f->first_sent_ns,
                             .delivered = f->delivered,
                             .lost = f->lost,
                             .app_limited = f->app_limited_until != 0};
  f->flight_bytes += f->mss;
  f->sent_bytes += f->mss;
  m->queue_sum_bytes += queue;
  m->queue_samples++;
  if (queue > m->queue_max_bytes) m->queue_max_bytes = queue;
  if (queue + f->mss > m->queue_bytes || sim_random_chance(&m->random, m->loss)) return;
  uint64_t start = m->idle_at_ns > m->now_ns ? m->idle_at_ns : m->now_ns;
  m->idle_at_ns = start + (uint64_t)f->mss * 8000 / (m->rate_bps / 1000000);
  uint64_t at_ns = m->idle_at_ns + m->delay_ns + sim_random_below(&m->random, m->jitter_ns + 1);
  if (at_ns < m->last_ack_ns) at_ns = m->last_ack_ns;
  m->last_ack_ns = at_ns;
  f->acks++;
  model_push(m, (struct model_event){.at_ns = at_ns,
                                     .flow = (uint8_t)(f - m->flows),
                                     .number = number,
                                     .marked = m->mark_bytes && queue > m->mark_bytes});
}

static inline void model_wake(struct model *m, struct model_flow *f, uint64_t at_ns) {
  if (f->timer) return;
  f->timer = true;
  model_push(m, (struct model_event){.at_ns = at_ns, .flow = (uint8_t)(f - m->flows), .kind = 1});
}

/* All that may go now. Returns whether the window was what ended it. */
static inline bool model_output(struct model *m, struct model_flow *f) {
  for (;;) {
    if (f->limit_bytes && f->sent_bytes - f->lost >= f->limit_bytes) return false;
    if (f->rate_bps && f->app_at_ns > m->now_ns) {
      f->app_limited_until = f->delivered + f->flight_bytes + 1;
      model_wake(m, f, f->app_at_ns);
      return false;
    }
    if (f->flight_bytes + f->mss > f->cc.cwnd) return true;
    if (f->cc.pacing_rate && f->send_at_ns > m->now_ns) {
      model_wake(m, f, f->send_at_ns);
      return false;
    }
    model_send(m, f);
    if (f->rate_bps) f->app_at_ns += (uint64_t)f->mss * 8000000000ull / f->rate_bps;
    if (!f->cc.pacing_rate) continue;
    if (f->send_at_ns < m->now_ns) f->send_at_ns = m->now_ns;
    f->send_at_ns += (uint64_t)f->mss * SIM_S / f->cc.pacing_rate;
  }
}

/* What an ACK of packet `number` says of those before it. */
static inline uint32_t model_find_losses(struct model_flow *f, uint64_t number) {
  uint32_t lost = 0;
  for (; f->oldest + 3 <= number || (f->oldest < f->next && f->packets[f->oldest % MODEL_WINDOW].arrived);
       f->oldest++) {
    if (f->packets[f->oldest % MODEL_WINDOW].arrived) continue;
    lost += f->mss;
    f->losses++;
  }
  f->lost += lost;
  f->flight_bytes -= lost;
  return lost;
}

static inline void model_ack(struct model *m, struct model_flow *f, uint64_t number, bool marked, bool window_full) {
  struct model_packet *p = &f->packets[number % MODEL_WINDOW];
  uint64_t rtt_ns = m->now_ns - p->sent_ns, now_ns = m->now_ns;
  uint32_t prior_flight = f->flight_bytes;
  p->arrived = true;
  f->delivered += f->mss;
  f->delivered_ns = now_ns;
  f->flight_bytes -= f->mss;
  if (f->limit_bytes && !f->done_ns && f->delivered >= f->limit_bytes) f->done_ns = now_ns;
  f->srtt_ns = f->srtt_ns ? (7 * f->srtt_ns + rtt_ns) / 8 : rtt_ns;
  if (!f->min_rtt_ns || rtt_ns < f->min_rtt_ns) f->min_rtt_ns = rtt_ns;
  if (f->app_limited_until && f->delivered > f->app_limited_until) f->app_limited_until = 0;
  uint64_t send_ns = p->sent_ns - p->first_sent_ns, ack_ns = now_ns - p->delivered_ns;
  f->first_sent_ns = p->sent_ns;
  uint32_t lost = model_find_losses(f, number);
  bool recovering = number < f->recover;
  if (lost && !recovering) {
    f->cc.ops->on_congestion(&f->cc, MST__CC_LOSS, prior_flight, now_ns);
    f->recover = f->next;
    f->reductions++;
    recovering = true;
  } else if (marked && !recovering) {
    f->cc.ops->on_congestion(&f->cc, MST__CC_ECN, prior_flight, now_ns);
    f->recover = f->next;
    f->reductions++;
    recovering = true;
  }
  struct mst__cc_ack ack = {.now_ns = now_ns,
                            .rtt_ns = rtt_ns,
                            .srtt_ns = f->srtt_ns,
                            .min_rtt_ns = f->min_rtt_ns,
                            .acked_bytes = f->mss,
                            .delivered_bytes = f->mss,
                            .lost_bytes = lost,
                            .ce_bytes = marked ? f->mss : 0,
                            .flight_bytes = f->flight_bytes,
                            .prior_flight_bytes = prior_flight,
                            .delivered = f->delivered,
                            .prior_delivered = p->delivered,
                            .sample_bytes = f->delivered - p->delivered,
                            .interval_ns = send_ns > ack_ns ? send_ns : ack_ns,
                            .lost = f->lost,
                            .prior_lost = p->lost,
                            .app_limited = p->app_limited,
                            .cwnd_limited = window_full,
                            .recovering = recovering};
  f->cc.ops->on_ack(&f->cc, &ack);
}

/* Nothing under way will be acknowledged. */
static inline void model_timeout(struct model *m, struct model_flow *f) {
  f->lost += f->flight_bytes;
  f->cc.ops->on_congestion(&f->cc, MST__CC_TIMEOUT, f->flight_bytes, m->now_ns);
  f->flight_bytes = 0;
  f->oldest = f->recover = f->next;
}

/* Go on until `until_ns` after the start of all, or until `flow` is done. */
static inline void model_run(struct model *m, uint64_t duration_ns) {
  uint64_t until_ns = m->now_ns + duration_ns;
  while (m->heap_count && m->heap[0].at_ns <= until_ns) {
    struct model_event event = model_pop(m);
    struct model_flow *f = &m->flows[event.flow];
    m->now_ns = event.at_ns;
    if (event.kind == 1) {
      f->timer = false;
    } else if (event.kind == 2) {
      f->timer = false;
      model_timeout(m, f);
    } else {
      f->acks--;
      bool used =
          f->flight_bytes + f->mss > f->cc.cwnd || (f->cc.cwnd < f->cc.ssthresh && f->flight_bytes > f->cc.cwnd / 2);
      model_ack(m, f, event.number, event.marked, used);
    }
    model_output(m, f);
    if (f->flight_bytes && !f->acks && !f->timer) {
      f->timer = true;
      model_push(m,
                 (struct model_event){.at_ns = m->now_ns + 200 * SIM_MS + f->srtt_ns, .flow = event.flow, .kind = 2});
    }
  }
  m->now_ns = until_ns;
}

/* Bits a second delivered while it ran on for `duration_ns`. */
static inline void model_measure(struct model *m, uint64_t duration_ns, double *bps) {
  uint64_t before[MODEL_FLOWS_MAX];
  for (int i = 0; i < m->flow_count; i++) before[i] = m->flows[i].delivered;
  m->queue_sum_bytes = m->queue_samples = m->queue_max_bytes = 0;
  model_run(m, duration_ns);
  for (int i = 0; i < m->flow_count; i++)
    bps[i] = (double)(m->flows[i].delivered - before[i]) * 8e9 / (double)duration_ns;
}

static inline double model_mean_queue(const struct model *m) {
  return m->queue_samples ? (double)m->queue_sum_bytes / (double)m->queue_samples : 0;
}

#endif
