/* A bug trips MST_ASSERT; nothing that a packet or a caller's argument can cause does. */
#ifndef MST_BASE_ASSERT_H
#define MST_BASE_ASSERT_H

#define MST_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())

#define MST_LIKELY(x) __builtin_expect(!!(x), 1)
#define MST_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
