/* What TCP and UDP handles share: the loop's life, deferral, closing. */
#include "internal.h"

#include <assert.h>

void mst__uv_handle_init(mst_uv_handle_t *handle, mst_uv_t *uv, int type) {
  handle->uv = uv;
  handle->type = (uint8_t)type;
  handle->flags = MST__UV_REF;
  mst__uv_list_push(&uv->handles, &handle->all);
}

void mst__uv_handle_activate(mst_uv_handle_t *handle, bool active) {
  if (active == ((handle->flags & MST__UV_ACTIVE) != 0)) return;
  handle->flags ^= MST__UV_ACTIVE;
  if (!(handle->flags & MST__UV_REF)) return;
  if (active)
    mst__uv_live_add(handle->uv);
  else
    mst__uv_live_remove(handle->uv);
}

void mst__uv_handle_pend(mst_uv_handle_t *handle) {
  if (!handle->node.next) mst__uv_list_push(&handle->uv->pending, &handle->node);
}

void mst__uv_handle_deliver(mst_uv_handle_t *handle) {
  if (handle->type == MST__UV_TCP)
    mst__uv_tcp_deliver((mst_uv_tcp_t *)(void *)handle);
  else
    mst__uv_udp_deliver((mst_uv_udp_t *)(void *)handle);
}

void mst_uv_close(mst_uv_handle_t *handle, mst_uv_close_cb cb) {
  assert(!(handle->flags & MST__UV_CLOSING));
  handle->flags |= MST__UV_CLOSING;
  handle->close_cb = cb;
  if (handle->type == MST__UV_TCP)
    mst__uv_tcp_close((mst_uv_tcp_t *)(void *)handle);
  else
    mst__uv_udp_close((mst_uv_udp_t *)(void *)handle);
  mst__uv_handle_activate(handle, false);
  mst__uv_live_add(handle->uv);
  mst__uv_list_remove(&handle->node);
  mst__uv_list_push(&handle->uv->closing, &handle->node);
}

void mst__uv_handle_finish_close(mst_uv_handle_t *handle) {
  mst_uv_t *uv = handle->uv;
  if (handle->type == MST__UV_TCP)
    mst__uv_tcp_finish_close((mst_uv_tcp_t *)(void *)handle);
  else
    mst__uv_udp_finish_close((mst_uv_udp_t *)(void *)handle);
  mst__uv_list_remove(&handle->all);
  mst__uv_live_remove(uv);
  if (handle->close_cb) handle->close_cb(handle);
}

int mst_uv_is_active(const mst_uv_handle_t *handle) {
  return (handle->flags & MST__UV_ACTIVE) != 0;
}

int mst_uv_is_closing(const mst_uv_handle_t *handle) {
  return (handle->flags & MST__UV_CLOSING) != 0;
}

void mst_uv_ref(mst_uv_handle_t *handle) {
  if (handle->flags & MST__UV_REF) return;
  handle->flags |= MST__UV_REF;
  if (handle->flags & MST__UV_ACTIVE) mst__uv_live_add(handle->uv);
}

void mst_uv_unref(mst_uv_handle_t *handle) {
  if (!(handle->flags & MST__UV_REF)) return;
  handle->flags &= ~(unsigned)MST__UV_REF;
  if (handle->flags & MST__UV_ACTIVE) mst__uv_live_remove(handle->uv);
}

int mst_uv_has_ref(const mst_uv_handle_t *handle) {
  return (handle->flags & MST__UV_REF) != 0;
}

uv_loop_t *mst_uv_handle_get_loop(const mst_uv_handle_t *handle) {
  return handle->uv->loop;
}

void *mst_uv_handle_get_data(const mst_uv_handle_t *handle) {
  return handle->data;
}

void mst_uv_handle_set_data(mst_uv_handle_t *handle, void *data) {
  handle->data = data;
}
