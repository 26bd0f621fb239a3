/* Dropout keyed by sequence: what is dropped is a function of key, place, step and feature. seqclf.models.dropout, in
   which it is explained, makes the same choices bit for bit. */

enum { PLACE_SYMBOLS = 0, PLACE_INPUTS = 1, PLACE_POOLED = 2, PLACE_NGRAMS = 3, PLACE_LAYERS = 1 << 8, PLACE_STATES = 1 << 20 };
enum { UNKNOWN_SYMBOL = 1, DROPOUT_LEVELS = 1 << 16 };

static const uint64_t golden = 0x9E3779B97F4A7C15u;

static INLINE uint64_t scramble(uint64_t x) {
    x += golden;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* The source of the choices at one place, for one sequence (and, unless for all its steps, one step). */
static INLINE uint64_t choice_source(int64_t key, int64_t place, int64_t step, int for_all_steps) {
    uint64_t source = scramble(scramble((uint64_t)key) + (uint64_t)place);
    return for_all_steps ? source : scramble(source + (uint64_t)step);
}

/* Whether feature number j is kept; each 64 bits decide about four. */
static INLINE int is_kept(uint64_t source, int64_t j, int64_t threshold) {
    uint64_t bits = scramble(source + (uint64_t)(j / 4) * golden);
    return (int16_t)(bits >> (16 * (j % 4))) >= threshold - DROPOUT_LEVELS / 2;
}
