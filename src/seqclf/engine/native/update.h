/* One update of an optimiser: torch.optim.SGD, Adam or AdamW, with gradients clipped by their norm before, if asked.

   Tensors are cut into pieces of a fixed size, and what is summed over all of them is summed piece by piece, in order. */

typedef struct {
    const Update *update;
    Tensor *tensors;
    int64_t *first_piece; /* of each tensor, and how many there are in all */
    double *squares;   /* by piece: the sum of the squared gradients, or 0 if no norm is wanted; NaN where one is not finite */
    double scale;
} NAME(UpdateJob);

static V NAME(square_root)(V x) {
    for (int64_t lane = 0; lane < LANES; lane++) x[lane] = REAL_IS_DOUBLE ? __builtin_sqrt(x[lane]) : __builtin_sqrtf((float)x[lane]);
    return x;
}

/* Which tensor a piece is of, and where it begins in it; returns how many numbers it has. */
static int64_t NAME(locate)(const NAME(UpdateJob) *job, int64_t piece, Tensor **tensor, int64_t *start) {
    int64_t i = 0;
    while (job->first_piece[i + 1] <= piece) i++;
    *tensor = &job->tensors[i];
    *start = (piece - job->first_piece[i]) * UPDATE_PIECE;
    return (*tensor)->count - *start < UPDATE_PIECE ? (*tensor)->count - *start : UPDATE_PIECE;
}

static void NAME(square_job)(void *context, int64_t piece, int thread) {
    NAME(UpdateJob) *job = context;
    Tensor *tensor;
    int64_t start, count = NAME(locate)(job, piece, &tensor, &start);
    const REAL *gradient = (const REAL *)tensor->gradient + start;
    (void)thread;
    double sum = 0;
    if (!job->update->largest_norm) { /* then it is enough to know whether all are finite: 0 times others is NaN */
        V zeros[4] = {{0}}; /* several sums at once, as each addition takes some cycles */
        int64_t j = 0;
        for (; j + 4 * LANES <= count; j += 4 * LANES)
            for (int i = 0; i < 4; i++) zeros[i] += NAME(load)(gradient + j + i * LANES) * 0;
        for (int64_t lane = 0; lane < LANES; lane++) sum += zeros[0][lane] + zeros[1][lane] + zeros[2][lane] + zeros[3][lane];
        for (; j < count; j++) sum += gradient[j] * 0;
        job->squares[piece] = sum;
        return;
    }
    double lanes[8] = {0}; /* eight sums, whatever the width of the vectors */
    int64_t j = 0;
    for (; j + 8 <= count; j += 8)
        for (int lane = 0; lane < 8; lane++) lanes[lane] += (double)gradient[j + lane] * (double)gradient[j + lane];
    for (; j < count; j++) lanes[j % 8] += (double)gradient[j] * (double)gradient[j];
    for (int lane = 0; lane < 8; lane++) sum += lanes[lane];
    if (sum - sum != 0) { /* squares of large doubles may overflow though the numbers are finite */
        int wrong = 0;
        for (int64_t i = 0; i < count; i++) wrong |= gradient[i] - gradient[i] != 0;
        sum = wrong ? NAN : DBL_MAX;
    }
    job->squares[piece] = sum;
}

/* Update `count` numbers that lie one after the other, a vector at a time. */
static void NAME(update_sgd)(const Update *u, REAL scale, int is_first, int64_t count, REAL *weight, const REAL *gradient,
                             REAL *average) {
    const REAL decay = (REAL)u->weight_decay, rate = (REAL)u->learning_rate;
    const REAL beta = (REAL)u->beta1, dampened = (REAL)(1 - u->dampening);
    const int nesterov = u->nesterov != 0;
    for (int64_t j = 0; j < count; j += LANES) {
        V g = AT(gradient) * scale, w = AT(weight);
        if (decay != 0) g = g + decay * w;
        if (average) {
            V mean = is_first ? g : beta * AT(average) + dampened * g;
            PUT(average, mean);
            g = nesterov ? g + beta * mean : mean;
        }
        PUT(weight, w - rate * g);
    }
}

static void NAME(update_adam)(const Update *u, REAL scale, REAL step_size, REAL root, int64_t count, REAL *weight,
                              const REAL *gradient, REAL *average, REAL *square) {
    const REAL decay = u->kind == UPDATE_ADAM ? (REAL)u->weight_decay : 0;
    const REAL kept = u->kind == UPDATE_ADAMW ? (REAL)(1 - u->learning_rate * u->weight_decay) : 1;
    const REAL beta2 = (REAL)u->beta2, fresh1 = (REAL)(1 - u->beta1), fresh2 = (REAL)(1 - u->beta2), epsilon = (REAL)u->epsilon;
    for (int64_t j = 0; j < count; j += LANES) {
        V g = AT(gradient) * scale, w = AT(weight) * kept;
        if (decay != 0) g = g + decay * w;
        V mean = AT(average) + fresh1 * (g - AT(average)), spread = beta2 * AT(square) + fresh2 * (g * g);
        PUT(average, mean);
        PUT(square, spread);
        PUT(weight, w - step_size * (mean / (NAME(square_root)(spread) / root + epsilon)));
    }
}

static void NAME(update_numbers)(const Update *u, REAL scale, const Tensor *tensor, int64_t count, REAL *weight,
                                 const REAL *gradient, REAL *average, REAL *square) {
    if (u->kind == UPDATE_SGD) NAME(update_sgd)(u, scale, tensor->is_first != 0, count, weight, gradient, average);
    else
        NAME(update_adam)(u, scale, (REAL)(u->learning_rate / tensor->correction1), (REAL)tensor->correction2, count, weight,
                          gradient, average, square);
}

static void NAME(update_job)(void *context, int64_t piece, int thread) {
    NAME(UpdateJob) *job = context;
    const Update *u = job->update;
    Tensor *tensor;
    int64_t start, count = NAME(locate)(job, piece, &tensor, &start), whole = count / LANES * LANES;
    REAL *weight = (REAL *)tensor->weight + start, *average = tensor->average ? (REAL *)tensor->average + start : NULL;
    REAL *square = tensor->square ? (REAL *)tensor->square + start : NULL;
    const REAL *gradient = (const REAL *)tensor->gradient + start;
    REAL scale = (REAL)(u->maximize ? -job->scale : job->scale);
    (void)thread;
    NAME(update_numbers)(u, scale, tensor, whole, weight, gradient, average, square);
    if (whole == count) return;
    REAL rest[4][64] = {{0}}; /* the last numbers, filled up to a vector */
    size_t bytes = (size_t)(count - whole) * sizeof(REAL);
    memcpy(rest[0], weight + whole, bytes);
    memcpy(rest[1], gradient + whole, bytes);
    if (average) memcpy(rest[2], average + whole, bytes);
    if (square) memcpy(rest[3], square + whole, bytes);
    NAME(update_numbers)(u, scale, tensor, LANES, rest[0], rest[1], average ? rest[2] : NULL, square ? rest[3] : NULL);
    memcpy(weight + whole, rest[0], bytes);
    if (average) memcpy(average + whole, rest[2], bytes);
    if (square) memcpy(square + whole, rest[3], bytes);
}

static int NAME(update)(const Update *update, Tensor *tensors, int64_t count, Workspace *workspace, int threads) {
    Arena *arena = workspace->arenas[0];
    arena_reset(arena);
    NAME(UpdateJob) job = {.update = update, .tensors = tensors, .scale = 1};
    job.first_piece = TAKE(arena, int64_t, count + 1);
    if (!job.first_piece) return OUT_OF_MEMORY;
    int64_t pieces = 0;
    for (int64_t i = 0; i < count; i++) {
        job.first_piece[i] = pieces;
        pieces += ((tensors[i].count + UPDATE_PIECE - 1) / UPDATE_PIECE);
    }
    job.first_piece[count] = pieces;
    if (!(job.squares = TAKE(arena, double, pieces))) return OUT_OF_MEMORY;
    threads = team_begin(pieces >= 4 ? threads : 1);
    team_run(threads, pieces, NAME(square_job), &job);
    double sum = 0;
    for (int64_t piece = 0; piece < pieces; piece++) sum += job.squares[piece];
    if (sum != sum) {
        team_end(threads);
        return NOT_FINITE;
    }
    double norm = __builtin_sqrt(sum);
    if (update->largest_norm > 0 && update->largest_norm / (norm + 1e-6) < 1) job.scale = update->largest_norm / (norm + 1e-6);
    if (update->kind != UPDATE_NONE) team_run(threads, pieces, NAME(update_job), &job);
    team_end(threads);
    return OK;
}
