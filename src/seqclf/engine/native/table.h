/* What this build offers, with two small calls for answers and for tests. */

static void NAME(softmax_rows)(int64_t rows, int64_t classes, void *values) {
    for (int64_t i = 0; i < rows; i++) NAME(softmax)(classes, (REAL *)values + i * classes);
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
