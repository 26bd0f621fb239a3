/* Memory that a pass works in: taken piece by piece, given back all at once, and kept for the next pass. */
#ifndef SEQCLF_MEMORY_H
#define SEQCLF_MEMORY_H
#include <stddef.h>

typedef struct Arena Arena;

void *arena_take(Arena *arena, size_t bytes); /* NULL where there is none left */
void arena_reset(Arena *arena);
size_t arena_mark(Arena *arena); /* a place to go back to */
void arena_release(Arena *arena, size_t mark);
Arena *arena_new(void);
void arena_free(Arena *arena);
size_t arena_bytes(const Arena *arena);

#endif
