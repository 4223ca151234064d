/* An intrusive, circular, doubly linked list. A zeroed node is in no list. */
#ifndef MST_BASE_LIST_H
#define MST_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct mst__list {
  struct mst__list *next, *prev;
};

/* The struct of `type` whose `member` is at `node`. */
#define MST__CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#define MST__LIST_EACH(pos, head) for (struct mst__list *pos = (head)->next; pos != (head); pos = pos->next)

static inline void mst__list_init(struct mst__list *head) {
  head->next = head->prev = head;
}
static inline bool mst__list_empty(const struct mst__list *head) {
  return head->next == head;
}
static inline bool mst__list_linked(const struct mst__list *node) {
  return node->next != NULL;
}

static inline void mst__list_insert_before(struct mst__list *position, struct mst__list *node) {
  node->prev = position->prev;
  node->next = position;
  position->prev->next = node;
  position->prev = node;
}

static inline void mst__list_push_back(struct mst__list *head, struct mst__list *node) {
  mst__list_insert_before(head, node);
}

/* Unlink; nothing happens when it is in no list. */
static inline void mst__list_remove(struct mst__list *node) {
  if (!node->next) return;
  node->prev->next = node->next;
  node->next->prev = node->prev;
  node->next = node->prev = NULL;
}

static inline struct mst__list *mst__list_pop_front(struct mst__list *head) {
  struct mst__list *node = head->next;
  if (node == head) return NULL;
  head->next = node->next;
  node->next->prev = head;
  node->next = node->prev = NULL;
  return node;
}

/* Move all nodes of `from` to the end of `to`. */
static inline void mst__list_splice(struct mst__list *to, struct mst__list *from) {
  if (mst__list_empty(from)) return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  mst__list_init(from);
}

#endif
