#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

/* Pieces are cut from blocks, which grow to a bound, so that there are few and little is wasted. Under AddressSanitizer
   every piece is a block of its own, which catches what is written behind its end. */
#if defined(__SANITIZE_ADDRESS__)
#define EACH_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ALONE 1
#endif
#endif

enum { ALIGNMENT = 64, FIRST_BLOCK = 1 << 18, LARGEST_BLOCK = 1 << 24 };

typedef struct {
    char *raw, *start;
    size_t size;
} Block;

struct Arena {
    Block *blocks;
    size_t count, room; /* blocks there are, and that the array has room for */
    size_t current;     /* the block that pieces are cut from */
    size_t used;        /* of that block */
};

Arena *arena_new(void) { return calloc(1, sizeof(Arena)); }

static int add_block(Arena *arena, size_t size) {
    if (arena->count == arena->room) {
        size_t room = arena->room ? 2 * arena->room : 16;
        Block *blocks = realloc(arena->blocks, room * sizeof(Block));
        if (!blocks) return 0;
        arena->blocks = blocks;
        arena->room = room;
    }
    char *raw = malloc(size + ALIGNMENT);
    if (!raw) return 0;
    Block *block = &arena->blocks[arena->count++];
    block->raw = raw;
    block->start = raw + (ALIGNMENT - (uintptr_t)raw % ALIGNMENT);
    block->size = size;
    return 1;
}

void *arena_take(Arena *arena, size_t bytes) {
#ifdef EACH_ALONE
    if (!add_block(arena, bytes)) return NULL;
    return arena->blocks[arena->count - 1].start;
#else
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while (arena->current < arena->count && arena->used + bytes > arena->blocks[arena->current].size) {
        arena->current++;
        arena->used = 0;
    }
    if (arena->current == arena->count) {
        size_t size = arena->count ? 2 * arena->blocks[arena->count - 1].size : FIRST_BLOCK;
        if (size > LARGEST_BLOCK) size = LARGEST_BLOCK;
        if (!add_block(arena, size > bytes ? size : bytes)) return NULL;
    }
    char *piece = arena->blocks[arena->current].start + arena->used;
    arena->used += bytes;
    return piece;
#endif
}

static void free_blocks(Arena *arena, size_t from) {
    for (size_t i = from; i < arena->count; i++) free(arena->blocks[i].raw);
    arena->count = from;
}

/* A pass that needed several blocks leaves one behind that is as large as all of them. */
void arena_reset(Arena *arena) {
#ifdef EACH_ALONE
    free_blocks(arena, 0);
#else
    if (arena->count > 1) {
        size_t bytes = arena_bytes(arena);
        free_blocks(arena, 0);
        add_block(arena, bytes);
    }
#endif
    arena->current = arena->used = 0;
}

/* Marks are for pieces that are taken over and over in one pass, as for one chunk after the other. */
size_t arena_mark(Arena *arena) {
#ifdef EACH_ALONE
    return arena->count;
#else
    return (arena->current << 48) | arena->used;
#endif
}

void arena_release(Arena *arena, size_t mark) {
#ifdef EACH_ALONE
    free_blocks(arena, mark);
#else
    arena->current = mark >> 48;
    arena->used = mark & (((size_t)1 << 48) - 1);
#endif
}

size_t arena_bytes(const Arena *arena) {
    size_t bytes = 0;
    for (size_t i = 0; i < arena->count; i++) bytes += arena->blocks[i].size;
    return bytes;
}

void arena_free(Arena *arena) {
    if (!arena) return;
    free_blocks(arena, 0);
    free(arena->blocks);
    free(arena);
}
