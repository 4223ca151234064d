/* Explicit congestion notification of a connection: classic (RFC 3168) and accurate (draft-ietf-tcpm-accurate-ecn, the
 * numbers of accecn.c). */
#ifndef MST_TCP_ECN_H
#define MST_TCP_ECN_H

#include "multistack/stack.h"
#include "wire/tcp.h"

struct mst_conn;

enum mst__ecn_mode { MST__ECN_NONE, MST__ECN_CLASSIC, MST__ECN_ACCURATE };

/* What the passive side keeps of SYNs, from the first to the end of the handshake: a byte. */
struct mst__ecn_syn {
  uint8_t mode : 2;   /* enum mst__ecn_mode, by the first SYN */
  uint8_t ip_ecn : 2; /* of the latest SYN */
  uint8_t lost : 2;   /* SYN,ACKs that nobody answered */
  bool repeated : 1;  /* another SYN came: no option on what answers it */
  bool plain : 1;     /* a SYN without ECN came or such a SYN,ACK goes: no ECT from us */
};

/* Accurate feedback. r_: what we count of the peer's packets; s_: what it counts of ours, as far as we know. */
struct mst__accecn {
  uint32_t r_cep, s_cep;
  uint32_t r_bytes[MST__ACCECN_COUNTERS], s_bytes[MST__ACCECN_COUNTERS];
  uint32_t unreported_bytes; /* counted since an option told of them */
  uint32_t silent_bytes;     /* delivered without any sign of the ECT that they had */
  uint32_t round_end;        /* of the test for continuous CE */
  uint16_t round_packets, round_ce;
  uint16_t ack_packets_x16; /* an average of what one ACK acknowledges */
  uint8_t all_ce_rounds;
  uint8_t ce_unacked;  /* CE marks since the last ACK went */
  uint8_t ever : 3;    /* counters that have ever changed, a bit each */
  uint8_t pending : 3; /* those that no option has told of since */
  uint8_t last_ip_ecn : 2;
  uint8_t peer_ip_ecn : 2; /* of the SYN,ACK that the handshake's ACK tells of */
  bool handshake_ack : 1;  /* the next pure ACK has the handshake's encoding (3.2.2.1) */
  bool feedback_seen : 1;  /* the test for zeroing is over (3.2.2.4) */
  bool option_test : 1;    /* data is to go with the option once, whatever changed (3.2.3.2.1) */
  bool option_blocked : 1; /* ours seems to be dropped (3.2.3.2.2) */
  bool option_seen : 1;    /* the peer's comes through */
  bool trace_seen : 1;     /* ECT or CE of our packets was told of */
  bool option_ignored : 1; /* and came zeroed (3.2.3.2.4) */
};

struct mst__ecn {
  uint8_t wanted; /* enum mst_ecn */
  uint8_t mode;   /* enum mst__ecn_mode */
  struct mst__ecn_syn syn;
  uint8_t holes;  /* times in a row that all was lost that went with ECT */
  bool ect : 1;   /* new data is to go with ECT(0) */
  bool echo : 1;  /* ECE on what we send until CWR comes (6.1.3) */
  bool cwr : 1;   /* CWR on the next new data (6.1.2) */
  bool hold : 1;  /* marked at one segment a round trip: the retransmission timer decides when to go on (6.1.2) */
  bool seen : 1;  /* the peer's data came with ECT or CE */
  bool deaf : 1;  /* feedback is not believed any more */
  bool asked : 1; /* by our first SYN */
  uint32_t high;  /* SND.NXT at the last reduction: there is no other before it is acknowledged */
  uint32_t delivered_ce, received_ce; /* marks: of our packets as told, of the peer's as seen */
  struct mst__accecn accurate;
};

/* --- the passive side's handshake, for whoever keeps half-open connections --- */
/* The first SYN: what it asks for of what is granted (enum mst_ecn: the stack's, tcp.ecn). */
struct mst__ecn_syn mst__ecn_syn_first(uint8_t granted, const struct mst__tcp *syn);
/* The same SYN again, perhaps without ECN. False: reset whoever asks for both kinds of ECN (draft 3.1.5). */
bool mst__ecn_syn_again(struct mst__ecn_syn *ecn, uint8_t granted, const struct mst__tcp *syn);
/* A SYN,ACK timed out. */
void mst__ecn_syn_ack_lost(struct mst__ecn_syn *ecn);
/* The SYN,ACK that is to go now: adds its option (12 bytes), returns its three flags as mst__tcp_set_ace takes them. */
uint8_t mst__ecn_syn_ack(struct mst__ecn_syn ecn, struct mst__tcp_options *options);
/* What of it a SYN cookie can keep, and what its ACK tells of that: the accurate mode shows by itself (draft 5.1), that
 * of RFC 3168 needs a bit in the cookie's timestamp. */
struct mst__ecn_syn mst__ecn_syn_cookie(struct mst__ecn_syn ecn, bool has_bit);
struct mst__ecn_syn mst__ecn_syn_of_cookie(uint8_t granted, const struct mst__tcp *ack, bool bit);

/* --- of a connection --- */
/* The ACK of our SYN,ACK has established `conn`, whose ecn.syn is set. */
void mst__ecn_accepted(struct mst_conn *conn, const struct mst__tcp *ack);
/* A SYN,ACK answers our SYN: established. */
void mst__ecn_connected(struct mst_conn *conn, const struct mst__tcp *syn_ack);
/* The SYN,ACK again, on an established connection. */
void mst__ecn_syn_ack_again(struct mst_conn *conn, const struct mst__tcp *syn_ack);
/* Complete the header of a segment that is otherwise ready. Returns the ECN field of its IP header. */
uint8_t mst__ecn_mark(struct mst_conn *conn, struct mst__tcp *tcp, uint32_t payload_bytes);
/* It was sent. */
void mst__ecn_sent(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes);
/* A segment that passed the checks of sequence number and ACK. Its marks are echoed later. */
void mst__ecn_received(struct mst_conn *conn, const struct mst__tcp *tcp);
/* An acceptable ACK that is not old: answer the marks that it tells of, once a window. Returns the bytes that were
 * marked: the window does not grow by such an ACK. */
uint32_t mst__ecn_feedback(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t delivered_bytes);
/* The answer alone. */
void mst__ecn_answer(struct mst_conn *conn);
/* The window was reduced, because something was lost or for a mark. */
void mst__ecn_reduced(struct mst_conn *conn, bool lost);
/* The retransmission timer went off. True: it was only to hold back new data. */
bool mst__ecn_timer(struct mst_conn *conn);
/* New data has to wait for the retransmission timer; starts it. */
bool mst__ecn_holds(struct mst_conn *conn);

/* --- accecn.c --- */
void mst__accecn_start(struct mst_conn *conn);
void mst__accecn_first_option(struct mst__tcp_options *options);
/* Feed back a received segment later; it may be worth an ACK now (3.2, 3.2.2.5.1). */
void mst__accecn_receive(struct mst_conn *conn, const struct mst__tcp *tcp);
/* What an ACK that delivered something tells of our packets. *ce_packets: newly marked ones. Returns their bytes. */
uint32_t mst__accecn_feedback(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t delivered_bytes,
                              uint32_t *ce_packets);
void mst__accecn_mark(struct mst_conn *conn, struct mst__tcp *tcp, uint32_t payload_bytes);
void mst__accecn_sent(struct mst_conn *conn, const struct mst__tcp *tcp, uint32_t payload_bytes);
/* A pure ACK is owed for the sake of feedback alone. */
bool mst__accecn_ack_due(const struct mst_conn *conn);
void mst__accecn_timeout(struct mst_conn *conn);
/* The ACE field of the handshake's last ACK (table 4). */
void mst__accecn_accepted(struct mst_conn *conn, const struct mst__tcp *ack);
/* The next pure ACK feeds back the IP-ECN field of this SYN,ACK. */
void mst__accecn_syn_ack(struct mst__accecn *accurate, const struct mst__tcp *syn_ack);
/* What the flags of the SYN,ACK tell of our SYN (table 2). */
void mst__accecn_connected(struct mst_conn *conn, const struct mst__tcp *syn_ack);
/* The IP-ECN field of a handshake packet as three flags (tables 2 and 3), and whether they are one. */
uint8_t mst__accecn_handshake_ace(uint8_t ip_ecn);
bool mst__accecn_is_handshake_ace(uint8_t ace);

#endif
