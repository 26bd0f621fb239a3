/* Multiply `count` features of a row, numbers first, first + 1, ... of what is dropped from, by 0 or 1 / (1 - rate). */
static void NAME(drop)(REAL *row, int64_t first, int64_t count, uint64_t source, int64_t threshold) {
    const REAL scale = (REAL)DROPOUT_LEVELS / (REAL)(DROPOUT_LEVELS - threshold);
    uint64_t bits = 0;
    for (int64_t j = 0; j < count; j++) {
        int64_t feature = first + j;
        if (j == 0 || feature % 4 == 0) bits = scramble(source + (uint64_t)(feature / 4) * golden);
        row[j] *= (int16_t)(bits >> (16 * (feature % 4))) >= threshold - DROPOUT_LEVELS / 2 ? scale : 0;
    }
}
