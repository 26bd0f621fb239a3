/* Inference that keeps nothing but the states of one step; sequences that begin alike share their first steps.

   For models whose states depend on what was read only: of one direction, or of one layer, whose directions are then
   gone through one after the other. Sequences are sorted, so that those that begin alike lie side by side, and at each
   step every distinct beginning has one row. Others go through chunks as in training. */

typedef struct { /* the states after one step: rows of W numbers; `pooled` has one section for each pooling */
    REAL **h, **c, *pooled, *largest, *total;
} NAME(Level);

static int NAME(take_level)(const NAME(Weights) *w, Arena *arena, int64_t rows, NAME(Level) *level) {
    level->h = TAKE(arena, REAL *, w->layers);
    level->c = TAKE(arena, REAL *, w->layers);
    if (!level->h || !level->c) return 0;
    int complete = 1;
    for (int64_t layer = 0; layer < w->layers; layer++)
        complete &= (level->h[layer] = TAKE_REALS(arena, rows * w->W)) && (level->c[layer] = TAKE_REALS(arena, rows * w->W));
    complete &= !!(level->pooled = TAKE_REALS(arena, rows * w->model->poolings * w->W));
    complete &= !!(level->largest = TAKE_REALS(arena, rows * w->model->poolings));
    return complete && (level->total = TAKE_REALS(arena, rows * w->model->poolings));
}

/* Give each row the states of the row that it goes on from. */
static void NAME(branch)(const NAME(Weights) *w, int64_t rows, const int32_t *parent, const NAME(Level) *from, NAME(Level) *to) {
    int64_t W = w->W, P = w->model->poolings;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t layer = 0; layer < w->layers; layer++) {
            memcpy(to->h[layer] + row * W, from->h[layer] + parent[row] * W, (size_t)W * sizeof(REAL));
            if (w->model->cell == CELL_LSTM)
                memcpy(to->c[layer] + row * W, from->c[layer] + parent[row] * W, (size_t)W * sizeof(REAL));
        }
        memcpy(to->pooled + row * P * W, from->pooled + parent[row] * P * W, (size_t)(P * W) * sizeof(REAL));
        memcpy(to->largest + row * P, from->largest + parent[row] * P, (size_t)P * sizeof(REAL));
        memcpy(to->total + row * P, from->total + parent[row] * P, (size_t)P * sizeof(REAL));
    }
}

/* Take one step in all layers of one direction, in place; the gates of the first layer hold what the inputs give. */
static void NAME(advance)(const NAME(Weights) *w, int64_t direction, int64_t rows, int is_first, REAL *gates, NAME(Level) *level,
                          REAL *hidden, REAL *scores) {
    int64_t W = w->W, P = w->model->poolings;
    for (int64_t number = 0; number < w->layers; number++) {
        const NAME(Layer) *layer = &w->layer[number * w->directions + direction];
        REAL *h = level->h[number], *c = level->c[number];
        if (number) {
            for (int64_t row = 0; row < rows; row++)
                memcpy(gates + row * w->gate_width, layer->bias, (size_t)w->gate_width * sizeof(REAL));
            NAME(product)(rows, w->spec->inputs * W, w->H, level->h[number - 1], W, layer->packed_ih[0],
                          gates + w->spec->input_first * W, w->gate_width, 1);
        }
        NAME(step)(w, layer, rows, gates, is_first ? NULL : h, is_first ? NULL : h, is_first ? NULL : c, h, c, NULL);
    }
    const REAL *top = level->h[w->layers - 1];
    for (int64_t k = 0; k < P; k++) {
        int64_t pooling = w->model->pooling[k];
        if (pooling == POOL_ATTENTION) NAME(score_rows)(w, &w->attention[k], rows, top, W, hidden, scores);
        for (int64_t row = 0; row < rows; row++) {
            REAL *pooled = level->pooled + (row * P + k) * W;
            if (pooling == POOL_ATTENTION)
                NAME(attend_step)(W, is_first, scores[row], pooled, top + row * W, pooled, level->largest + row * P + k,
                                  level->total + row * P + k);
            else NAME(pool_step)(pooling, W, is_first, pooled, top + row * W, pooled);
        }
    }
}

/* The pooled vector of a row of a level after `length` steps, into the sections of one direction. */
static void NAME(finish)(const NAME(Weights) *w, int64_t direction, int64_t row, int64_t length, const NAME(Level) *level, REAL *to) {
    int64_t W = w->W, P = w->model->poolings;
    for (int64_t k = 0; k < P; k++) {
        const REAL *from = level->pooled + (row * P + k) * W;
        REAL *section = to + (k * w->directions + direction) * W;
        REAL share = w->model->pooling[k] == POOL_MEAN ? (REAL)length : w->model->pooling[k] == POOL_ATTENTION ? level->total[row * P + k] : 1;
        for (int64_t j = 0; j < W; j += LANES) NAME(store)(section + j, share == 1 ? NAME(load)(from + j) : NAME(load)(from + j) / share);
    }
}

static int32_t NAME(token)(const NAME(Pass) *p, int64_t b, int64_t t, int64_t direction) {
    return p->tokens[p->first_token[b] + (direction ? p->batch.lengths[b] - 1 - t : t)];
}

/* Go through some sequences, given by their places in the batch, in an order in which those that begin alike are side by
   side. */
static int NAME(sweep)(NAME(Pass) *p, int64_t direction, int64_t count, const int64_t *places, Arena *arena) {
    const NAME(Weights) *w = p->weights;
    int64_t W = w->W, G = w->gate_width, E = p->model->input, shares = !p->reads_vectors, padded = NAME(pad)(w->directions * w->H), S = w->pooled_width;
    int64_t *alive = TAKE(arena, int64_t, count);
    int32_t *row_of = TAKE(arena, int32_t, count), *parent = TAKE(arena, int32_t, count), *symbol = TAKE(arena, int32_t, count);
    REAL *gates = TAKE_REALS(arena, count * G), *hidden = TAKE_REALS(arena, count * (padded + 1));
    REAL *x = TAKE_REALS(arena, count * p->input_width), *ended = TAKE_REALS(arena, count * S);
    REAL *logits = TAKE_REALS(arena, count * w->padded_classes);
    NAME(Level) levels[2], *level = &levels[0], *other = &levels[1];
    if (!alive || !row_of || !parent || !symbol || !gates || !hidden || !x || !ended || !logits ||
        !NAME(take_level)(w, arena, count, level) || !NAME(take_level)(w, arena, count, other))
        return 0;
    int64_t there = 0, rows_before = 0;
    for (int64_t i = 0; i < count; i++)
        if (p->batch.lengths[places[i]]) alive[there++] = places[i];
        else
            for (int64_t k = 0; k < p->model->poolings; k++) /* the sections of this direction: a job of its own does the other's */
                memset(p->pooled + places[i] * S + (k * w->directions + direction) * W, 0, (size_t)W * sizeof(REAL));
    for (int64_t t = 0; there; t++) {
        int64_t rows = 0, is_same = t > 0;
        int32_t last_before = -1;
        for (int64_t i = 0; i < there; i++) { /* one row for each distinct beginning */
            int32_t before = t ? row_of[i] : 0, token = shares ? NAME(token)(p, alive[i], t, direction) : 0;
            if (!shares || i == 0 || before != last_before || token != symbol[rows - 1]) {
                parent[rows] = t ? before : (int32_t)rows;
                is_same &= parent[rows] == rows;
                symbol[rows] = token;
                if (!shares)
                    NAME(read_step)(p, alive[i], direction ? p->batch.lengths[alive[i]] - 1 - t : t, x + rows * p->input_width);
                rows++;
            }
            last_before = before;
            row_of[i] = (int32_t)(rows - 1);
        }
        if (t && !(is_same && rows <= rows_before)) {
            NAME(branch)(w, rows, parent, level, other);
            NAME(Level) *swapped = level;
            level = other;
            other = swapped;
        }
        const NAME(Layer) *first = &w->layer[direction];
        for (int64_t row = 0; row < rows; row++)
            memcpy(gates + row * G, shares ? first->table + symbol[row] * G : first->bias, (size_t)G * sizeof(REAL));
        if (!shares)
            NAME(product)(rows, w->spec->inputs * W, E, x, p->input_width, first->packed_ih[0], gates + w->spec->input_first * W, G, 1);
        NAME(advance)(w, direction, rows, t == 0, gates, level, hidden, hidden + count * padded);
        rows_before = rows;
        if (p->every) {
            for (int64_t row = 0; row < rows; row++) NAME(finish)(w, direction, row, t + 1, level, ended + row * S);
            NAME(apply_head)(w, rows, ended, logits);
            for (int64_t i = 0; i < there; i++)
                memcpy(p->every + (alive[i] * p->outputs.longest + t) * w->classes, logits + row_of[i] * w->padded_classes,
                       (size_t)w->classes * sizeof(REAL));
        }
        int64_t left = 0;
        for (int64_t i = 0; i < there; i++) {
            if (p->batch.lengths[alive[i]] == t + 1) {
                NAME(finish)(w, direction, row_of[i], t + 1, level, p->pooled + alive[i] * S);
                continue;
            }
            alive[left] = alive[i];
            row_of[left++] = row_of[i];
        }
        there = left;
    }
    return 1;
}

static void NAME(sweep_job)(void *context, int64_t job, int thread) {
    NAME(Pass) *p = context;
    int64_t chunks = (p->B + SEQUENCES_AT_ONCE - 1) / SEQUENCES_AT_ONCE, direction = job / chunks, first = job % chunks * SEQUENCES_AT_ONCE;
    int64_t count = p->B - first < SEQUENCES_AT_ONCE ? p->B - first : SEQUENCES_AT_ONCE;
    size_t mark = arena_mark(p->arenas[1 + thread]);
    if (!NAME(sweep)(p, direction, count, p->sorted[direction] + first, p->arenas[1 + thread])) atomic_store(&p->failed, 1);
    arena_release(p->arenas[1 + thread], mark);
}

/* Sort places[0..count) by their sequences from step t on: the three-way radix quicksort of Bentley and Sedgewick, 1997. */
static void NAME(sort_sequences)(const NAME(Pass) *p, int64_t *places, int64_t count, int64_t t, int64_t direction) {
#define TOKEN_OF(b) (p->batch.lengths[b] > t ? NAME(token)(p, b, t, direction) : -1)
    while (count > 1) {
        int32_t pivot = TOKEN_OF(places[count / 2]);
        int64_t less = 0, more = count;
        for (int64_t i = 0; i < more;) {
            int32_t token = TOKEN_OF(places[i]);
            int64_t place = places[i];
            if (token < pivot) {
                places[i++] = places[less];
                places[less++] = place;
            } else if (token > pivot) {
                places[i] = places[--more];
                places[more] = place;
            } else i++;
        }
        NAME(sort_sequences)(p, places, less, t, direction);
        NAME(sort_sequences)(p, places + more, count - more, t, direction);
        if (pivot < 0 || t >= 255) return; /* all ended; or so long that more sharing is not worth the search */
        places += less;
        count = more - less;
        t++;
    }
#undef TOKEN_OF
}

static void NAME(head_job)(void *context, int64_t job, int thread) {
    NAME(Pass) *p = context;
    const NAME(Weights) *w = p->weights;
    int64_t first = job * SEQUENCES_AT_ONCE, count = p->B - first < SEQUENCES_AT_ONCE ? p->B - first : SEQUENCES_AT_ONCE;
    (void)thread;
    for (int64_t b = first; b < first + count && p->outputs.pooled; b++)
        NAME(copy_pooled)(w, p->pooled + b * w->pooled_width,
                          (REAL *)p->outputs.pooled + b * (w->pooled_width / w->W) * w->H, 1);
    if (!w->classes || !p->outputs.logits) return;
    REAL *logits = p->logits + first * w->padded_classes;
    NAME(apply_head)(w, count, p->pooled + first * w->pooled_width, logits);
    for (int64_t i = 0; i < count; i++)
        memcpy((REAL *)p->outputs.logits + (first + i) * w->classes, logits + i * w->padded_classes, (size_t)w->classes * sizeof(REAL));
}

static int NAME(pack)(const Model *model, Workspace *workspace, int threads, int full_table) {
    Batch none = {0};
    NAME(Pass) *p = NAME(new_pass)(workspace, model, &none);
    NAME(Weights) *w = p ? TAKE(workspace->arenas[0], NAME(Weights), 1) : NULL;
    if (!w) return OUT_OF_MEMORY;
    p->weights = w;
    p->packs = 1;
    p->fills_table = full_table && model->vocab && !NAME(adds_vectors)(model);
    p->symbols = p->fills_table ? model->vocab : 0;
    p->vectors = (REAL *)model->embedding;
    if (!NAME(weights_room)(w, model, workspace->arenas[0], 0, p->symbols)) return OUT_OF_MEMORY;
    w->has_full_table = p->fills_table;
    if (threads > workspace->count - 1) threads = workspace->count - 1;
    int64_t numbers = model->layers * model->directions * w->gate_width * (w->H + (p->fills_table ? model->vocab : 0));
    threads = team_begin(numbers > 1 << 19 ? threads : 1); /* to wake others takes longer than a few weights */
    team_run(threads, NAME(pack_jobs)(w), NAME(pack_job), p);
    team_end(threads);
    return OK;
}

/* Logits, pooled vectors, or logits after every step, as `outputs` asks. */
static int NAME(infer)(const Workspace *packed_weights, const Batch *batch, const Outputs *outputs, Workspace *workspace,
                       int threads) {
    const NAME(Weights) *packed = ((NAME(Pass) *)packed_weights->pass)->weights;
    const Model *model = packed->model;
    NAME(Pass) *p = NAME(new_pass)(workspace, model, batch);
    if (!p) return OUT_OF_MEMORY;
    p->outputs = *outputs;
    p->batch.keys = NULL; /* nothing is dropped */
    threads = team_begin(NAME(threads_for)(batch, model, workspace, threads));
    int status, attends = 0, by_chunks;
    for (int64_t k = 0; k < model->poolings; k++) attends |= model->pooling[k] == POOL_ATTENTION;
    by_chunks = !model->poolings || outputs->states || (model->directions == 2 && (model->layers > 1 || attends));
    if (by_chunks) {
        status = NAME(prepare)(p, packed, threads);
        if (!status) status = NAME(run_groups)(p, threads);
    } else {
        p->every = outputs->every;
        status = NAME(begin)(p, packed);
        if (!status) status = NAME(ready_weights)(p, packed, threads);
        int64_t B = p->B, directions = model->directions;
        if (!status) {
            const NAME(Weights) *w = p->weights;
            p->pooled = TAKE_REALS(p->arenas[0], B * w->pooled_width);
            p->logits = TAKE_REALS(p->arenas[0], B * w->padded_classes);
            for (int64_t d = 0; d < directions; d++) {
                if (!(p->sorted[d] = TAKE(p->arenas[0], int64_t, B))) status = OUT_OF_MEMORY;
                for (int64_t i = 0; i < B && !status; i++) p->sorted[d][i] = p->order[i];
                if (!p->reads_vectors && B > 1 && !status) NAME(sort_sequences)(p, p->sorted[d], B, 0, d);
            }
            if (!p->pooled || !p->logits) status = OUT_OF_MEMORY;
        }
        if (!status) {
            int64_t chunks = (B + SEQUENCES_AT_ONCE - 1) / SEQUENCES_AT_ONCE;
            team_run(threads, chunks * directions, NAME(sweep_job), p);
            team_run(threads, chunks, NAME(head_job), p);
        }
    }
    team_end(threads);
    return status ? status : atomic_load(&p->failed) ? OUT_OF_MEMORY : OK;
}

typedef struct {
    NAME(Level) level;
    REAL *gates, *hidden, *pooled, *logits, *x;
    int64_t length, latest[MOST_NGRAM]; /* the ids read last, the latest first */
} NAME(Stream);

/* Read the step that came last, as `read_step` does. */
static void NAME(read_pushed)(const Model *model, const int64_t *latest, int64_t t, REAL *to) {
    int64_t E = model->input;
    memcpy(to, (const REAL *)model->embedding + latest[0] * E, (size_t)E * sizeof(REAL));
    for (int64_t k = 0; k < model->orders; k++) {
        int32_t row = t + 1 < model->order[k] ? -1 : NAME(find_ngram)(model, latest, model->order[k]);
        if (row >= 0) NAME(add_vector)(model->ngram, row, E, to);
    }
    if (model->starts) NAME(add_vector)(model->start, NAME(distance_row)(t, model->starts), E, to);
}

/* Read one step more of a stream, whose state is in a workspace that was new: an id, or `step`, a row of features. */
static int NAME(stream)(const Workspace *packed, Workspace *state, const void *step, int64_t id, void *logits) {
    const NAME(Weights) *w = ((NAME(Pass) *)packed->pass)->weights;
    Arena *arena = state->arenas[0];
    NAME(Stream) *s = state->pass;
    if (!s) {
        s = TAKE(arena, NAME(Stream), 1);
        if (!s) return OUT_OF_MEMORY;
        memset(s, 0, sizeof *s);
        s->gates = TAKE_REALS(arena, w->gate_width);
        s->hidden = TAKE_REALS(arena, NAME(pad)(w->H) + 1);
        s->pooled = TAKE_REALS(arena, w->pooled_width);
        s->logits = TAKE_REALS(arena, w->padded_classes);
        s->x = TAKE_REALS(arena, w->model->input);
        if (!s->gates || !s->x || !s->hidden || !s->pooled || !s->logits || !NAME(take_level)(w, arena, 1, &s->level)) return OUT_OF_MEMORY;
        state->pass = s;
    }
    const NAME(Layer) *first = &w->layer[0];
    const REAL *x = step;
    if (w->model->vocab) {
        if (id < 0 || id >= w->model->vocab) return UNKNOWN_ID;
        memmove(s->latest + 1, s->latest, sizeof s->latest - sizeof s->latest[0]);
        s->latest[0] = id;
        NAME(read_pushed)(w->model, s->latest, s->length, s->x);
        x = s->x;
    }
    memcpy(s->gates, first->bias, (size_t)w->gate_width * sizeof(REAL));
    NAME(product)(1, w->spec->inputs * w->W, w->model->input, x, 0, first->packed_ih[0],
                  s->gates + w->spec->input_first * w->W, w->gate_width, 1);
    NAME(advance)(w, 0, 1, s->length == 0, s->gates, &s->level, s->hidden, s->hidden + NAME(pad)(w->H));
    NAME(finish)(w, 0, 0, ++s->length, &s->level, s->pooled);
    NAME(apply_head)(w, 1, s->pooled, s->logits);
    memcpy(logits, s->logits, (size_t)w->classes * sizeof(REAL));
    return OK;
}
