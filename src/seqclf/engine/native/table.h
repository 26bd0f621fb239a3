/* What this build offers, with two small calls for answers and for tests. */

static void NAME(softmax_rows)(int64_t rows, int64_t classes, void *values) {
    REAL room[256 + 2 * LANES], *row = classes <= 256 ? room : malloc(sizeof(REAL) * (size_t)(classes + 2 * LANES));
    for (int64_t i = 0; i < rows && row; i++) {
        REAL *from = (REAL *)values + i * classes;
        memset(row + classes, 0, sizeof(REAL) * (size_t)LANES);
        memcpy(row, from, sizeof(REAL) * (size_t)classes);
        NAME(softmax)((long)classes, row);
        memcpy(from, row, sizeof(REAL) * (size_t)classes);
    }
    if (row != room) free(row);
}

/* count is a multiple of 16. */
static void NAME(activations)(int64_t count, const void *x, void *exp, void *sigmoid, void *tanh) {
    for (int64_t j = 0; j < count; j += LANES) {
        V value = AT((const REAL *)x);
        PUT((REAL *)exp, NAME(exp)(value));
        PUT((REAL *)sigmoid, NAME(sigmoid)(value));
        PUT((REAL *)tanh, NAME(tanh)(value));
    }
}

const Kernels NAME(kernels) = {
    .train = NAME(train), .forward = NAME(forward), .backward = NAME(backward), .pack = NAME(pack), .infer = NAME(infer),
    .stream = NAME(stream), .softmax = NAME(softmax_rows), .activations = NAME(activations), .update = NAME(update),
};
