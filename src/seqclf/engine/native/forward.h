/* Forwards through a chunk: layers, poolings, head. */

/* Begin the rows of gates of one direction of one layer with what the inputs give. */
static void NAME(project)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer_number, int64_t direction) {
    const NAME(Weights) *w = p->weights;
    NAME(Layer) *layer = &chunk->layer[layer_number * w->directions + direction];
    int64_t G = w->gate_width, rows = chunk->rows;
    if (layer_number == 0 && p->symbol[direction]) {
        const int32_t *symbol = p->symbol[direction] + chunk->base;
        for (int64_t row = 0; row < rows; row++)
            memcpy(layer->gates + row * G, layer->table + symbol[row] * G, (size_t)G * sizeof(REAL));
        return;
    }
    int64_t parts = NAME(parts)(w, layer_number), width = NAME(part_width)(w, layer_number);
    int64_t ld = layer_number ? w->directions * w->W : p->input_width, inputs = w->spec->inputs * w->W;
    const REAL *x = layer_number ? chunk->x[layer_number] : chunk->x0;
    const int32_t *reversed = direction ? p->reversed + chunk->base : NULL;
    enum { AT_ONCE = 2 * TILE_ROWS };
    for (int64_t row0 = 0; row0 < rows; row0 += AT_ONCE) { /* few rows, which are still in the cache for the next part */
        int64_t count = rows - row0 < AT_ONCE ? rows - row0 : AT_ONCE;
        const REAL *from = x + row0 * ld;
        if (reversed) {
            for (int64_t i = 0; i < count; i++)
                memcpy(chunk->scratch + i * ld, x + (reversed[row0 + i] - chunk->at) * ld, (size_t)ld * sizeof(REAL));
            from = chunk->scratch;
        }
        for (int64_t i = 0; i < count; i++) memcpy(layer->gates + (row0 + i) * G, layer->bias, (size_t)G * sizeof(REAL));
        for (int64_t part = 0; part < parts; part++)
            NAME(product)(count, inputs, width, from + part * w->W, ld, layer->packed_ih[part],
                          layer->gates + row0 * G + w->spec->input_first * w->W, G, 1);
    }
}

/* Take one step with `rows` rows, whose gates hold what the inputs give. h_seen is h before as the products see it. */
static void NAME(step)(const NAME(Weights) *w, const NAME(Layer) *layer, int64_t rows, REAL *gates, const REAL *h_seen,
                       const REAL *h_before, const REAL *c_before, REAL *h, REAL *c, REAL *tanh_c) {
    if (h_seen) NAME(product)(rows, w->spec->states * w->W, w->H, h_seen, w->W, layer->packed_hh, gates, w->gate_width, 1);
    if (w->model->cell == CELL_LSTM) NAME(lstm_forward)(rows, w->W, gates, c_before, c, tanh_c, h);
    else if (w->model->cell == CELL_GRU) NAME(gru_forward)(rows, w->W, gates, h_before, h);
    else NAME(rnn_forward)(rows, w->W, w->model->cell == CELL_RNN_RELU, gates, h);
}

/* The factors (count, W) of the states that a direction of a layer sees, the same at all steps. */
static void NAME(state_factors)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer, int64_t direction, REAL *factors) {
    const NAME(Weights) *w = p->weights;
    for (int64_t i = 0; i < chunk->count; i++) {
        uint64_t source = choice_source(p->batch.keys[p->order[chunk->first + i]], PLACE_STATES + 2 * layer + direction, 0, 1);
        for (int64_t j = 0; j < w->W; j++) factors[i * w->W + j] = 1;
        NAME(drop)(factors + i * w->W, 0, w->H, source, p->batch.drop_states);
    }
}

static void NAME(recur)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer_number, int64_t direction) {
    const NAME(Weights) *w = p->weights;
    NAME(Layer) *layer = &chunk->layer[layer_number * w->directions + direction];
    int64_t W = w->W;
    REAL *factors = chunk->scratch;
    if (layer->masked) NAME(state_factors)(p, chunk, layer_number, direction, factors);
    for (int64_t t = 0; t < chunk->steps; t++) {
        int64_t rows = chunk->alive[t], at = chunk->start[t], before = t ? chunk->start[t - 1] : 0;
        const REAL *h_before = t ? layer->h + before * W : NULL, *c_before = t && layer->c ? layer->c + before * W : NULL;
        const REAL *seen = t && layer->masked ? layer->masked + before * W : h_before;
        REAL *h = layer->h + at * W;
        NAME(step)(w, layer, rows, layer->gates + at * w->gate_width, seen, h_before, c_before, h,
                   layer->c ? layer->c + at * W : NULL, layer->tanh_c ? layer->tanh_c + at * W : NULL);
        if (layer->masked)
            for (int64_t k = 0; k < rows * W; k += LANES)
                NAME(store)(layer->masked + at * W + k, NAME(load)(h + k) * NAME(load)(factors + k));
    }
}

/* The row of the chunk at which the step of a row of the forward direction lies in the backward one; its own inverse. */
static int64_t NAME(turned)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t row) {
    return p->reversed[chunk->base + row] - chunk->at;
}

/* Put the outputs of all directions of a layer side by side, in the forward direction's order. */
static void NAME(gather_states)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer_number, REAL *states) {
    const NAME(Weights) *w = p->weights;
    const NAME(Layer) *layer = &chunk->layer[layer_number * w->directions];
    int64_t ld = w->directions * w->W;
    size_t bytes = (size_t)w->W * sizeof(REAL);
    for (int64_t row = 0; row < chunk->rows; row++) {
        memcpy(states + row * ld, layer[0].h + row * w->W, bytes);
        if (w->directions == 2) memcpy(states + row * ld + w->W, layer[1].h + NAME(turned)(p, chunk, row) * w->W, bytes);
    }
}

/* Drop features of rows of states (or of their gradients) between a layer and the next. */
static void NAME(drop_between)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer, REAL *states) {
    const NAME(Weights) *w = p->weights;
    if (!p->batch.keys || !p->batch.drop_layers) return;
    for (int64_t t = 0; t < chunk->steps; t++)
        for (int64_t i = 0; i < chunk->alive[t]; i++) {
            int64_t key = p->batch.keys[p->order[chunk->first + i]];
            uint64_t source = choice_source(key, PLACE_LAYERS + layer, t, p->batch.variational != 0);
            REAL *row = states + (chunk->start[t] + i) * w->directions * w->W;
            for (int64_t d = 0; d < w->directions; d++)
                NAME(drop)(row + d * w->W, d * w->H, w->H, source, p->batch.drop_layers);
        }
}

static void NAME(drop_pooled)(const NAME(Pass) *p, int64_t rank, REAL *pooled) {
    const NAME(Weights) *w = p->weights;
    if (!p->batch.keys || !p->batch.drop_pooled) return;
    uint64_t source = choice_source(p->batch.keys[p->order[rank]], PLACE_POOLED, 0, p->batch.variational != 0);
    for (int64_t i = 0; i < w->pooled_width / w->W; i++)
        NAME(drop)(pooled + i * w->W, i * w->H, w->H, source, p->batch.drop_pooled);
}

/* ---- Poolings ---- */

/* e^x of one number, by the vectors' own. */
static REAL NAME(exp_of)(REAL x) { return NAME(exp)(NAME(splat)(x))[0]; }

/* Add a step to one sequence's sum, or largest values; `is_first` begins them. */
static void NAME(pool_step)(int64_t pooling, int64_t width, int is_first, const REAL *before, const REAL *h, REAL *pooled) {
    if (pooling == POOL_LAST || is_first) {
        memcpy(pooled, h, (size_t)width * sizeof(REAL));
        return;
    }
    EACH_VECTOR {
        V x = AT(h), old = AT(before);
        PUT(pooled, pooling == POOL_MEAN ? old + x : NAME(select)((I)(x > old) | (I)(x != x), x, old));
    }
}

/* Attention goes step by step, so that a stream gives the bits of a whole: with m the largest score so far, the sum of
   e^(score - m) and of e^(score - m) state are scaled down whenever a larger score comes. */
static void NAME(attend_step)(int64_t width, int is_first, REAL score, const REAL *before, const REAL *state, REAL *pooled,
                              REAL *largest, REAL *total) {
    REAL old = is_first ? score : *largest, now = score > old || score != score ? score : old;
    REAL fade = is_first ? 0 : NAME(exp_of)(old - now), weight = NAME(exp_of)(score - now);
    *largest = now;
    *total = is_first ? weight : *total * fade + weight;
    EACH_VECTOR PUT(pooled, is_first ? weight * AT(state) : NAME(fma)(NAME(splat)(weight), AT(state), fade * AT(before)));
}

/* tanh(W state + b) of rows (rows, D) and their scores; rows of states are ld apart. */
static void NAME(score_rows)(const NAME(Weights) *w, const NAME(Attention) *attention, int64_t rows, const REAL *states,
                             int64_t ld, REAL *hidden, REAL *scores) {
    enum { AT_ONCE = TILE_ROWS };
    int64_t D = w->directions * w->H, padded = NAME(pad)(D);
    REAL sums[AT_ONCE * LANES];
    for (int64_t row0 = 0; row0 < rows; row0 += AT_ONCE) {
        int64_t count = rows - row0 < AT_ONCE ? rows - row0 : AT_ONCE;
        REAL *to = hidden + row0 * padded;
        for (int64_t i = 0; i < count; i++) memcpy(to + i * padded, attention->hidden_bias, (size_t)padded * sizeof(REAL));
        for (int64_t part = 0; part < w->directions; part++)
            NAME(product)(count, padded, w->H, states + row0 * ld + part * w->W, ld, attention->packed_hidden[part], to,
                          padded, 1);
        for (int64_t k = 0; k < count * padded; k += LANES) NAME(store)(to + k, NAME(tanh)(NAME(load)(to + k)));
        NAME(product)(count, LANES, D, to, padded, attention->packed_context, sums, LANES, 0);
        for (int64_t i = 0; i < count; i++) scores[row0 + i] = sums[i * LANES];
    }
}

/* The pooled vectors of a chunk's sequences, by rank. */
static void NAME(pool)(const NAME(Pass) *p, const NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    const NAME(Layer) *top = &chunk->layer[(w->layers - 1) * w->directions];
    int64_t W = w->W, S = w->pooled_width, D = w->directions * W;
    for (int64_t i = 0; i < chunk->count; i++)
        if (!p->length[chunk->first + i]) memset(p->pooled + (chunk->first + i) * S, 0, (size_t)S * sizeof(REAL));
    for (int64_t k = 0; k < w->model->poolings; k++) {
        int64_t pooling = w->model->pooling[k];
        if (pooling == POOL_ATTENTION) {
            NAME(Attention) *a = &w->attention[k];
            int64_t padded = NAME(pad)(w->directions * w->H);
            REAL *hidden = p->keeps ? a->hidden + chunk->at * padded : chunk->scratch;
            REAL *scores = p->keeps ? a->score + chunk->at : chunk->scratch + chunk->rows * padded;
            NAME(score_rows)(w, a, chunk->rows, chunk->x[w->layers], D, hidden, scores);
            for (int64_t t = 0; t < chunk->steps; t++)
                for (int64_t i = 0; i < chunk->alive[t]; i++) {
                    int64_t rank = chunk->first + i, row = chunk->start[t] + i;
                    REAL *pooled = p->pooled + rank * S + k * D;
                    NAME(attend_step)(D, t == 0, scores[row], pooled, chunk->x[w->layers] + row * D, pooled,
                                      a->largest + rank, a->total + rank);
                    if (t == p->length[rank] - 1)
                        for (int64_t j = 0; j < D; j += LANES) NAME(store)(pooled + j, NAME(load)(pooled + j) / a->total[rank]);
                }
            continue;
        }
        for (int64_t d = 0; d < w->directions; d++)
            for (int64_t t = 0; t < chunk->steps; t++)
                for (int64_t i = 0; i < chunk->alive[t]; i++) {
                    int64_t rank = chunk->first + i, is_last = t == p->length[rank] - 1;
                    REAL *pooled = p->pooled + rank * S + k * D + d * W;
                    if (pooling == POOL_LAST && !is_last) continue;
                    NAME(pool_step)(pooling, W, t == 0, pooled, top[d].h + (chunk->start[t] + i) * W, pooled);
                    if (pooling == POOL_MEAN && is_last) {
                        REAL length = (REAL)(t + 1);
                        for (int64_t j = 0; j < W; j += LANES) NAME(store)(pooled + j, NAME(load)(pooled + j) / length);
                    }
                }
    }
}

/* Logits (rows, padded_classes) of pooled vectors. */
static void NAME(apply_head)(const NAME(Weights) *w, int64_t rows, const REAL *pooled, REAL *logits) {
    for (int64_t row = 0; row < rows; row++)
        memcpy(logits + row * w->padded_classes, w->head_bias, (size_t)w->padded_classes * sizeof(REAL));
    for (int64_t i = 0; i < w->pooled_width / w->W; i++)
        NAME(product)(rows, w->padded_classes, w->H, pooled + i * w->W, w->pooled_width,
                      w->head + i * w->H * w->padded_classes, logits, w->padded_classes, 1);
}

/* Copy pooled vectors, which have gaps between their sections, to where they are wanted, or back. */
static void NAME(copy_pooled)(const NAME(Weights) *w, REAL *padded, REAL *plain, int outwards) {
    for (int64_t i = 0; i < w->pooled_width / w->W; i++) {
        size_t bytes = (size_t)w->H * sizeof(REAL);
        if (outwards) memcpy(plain + i * w->H, padded + i * w->W, bytes);
        else memcpy(padded + i * w->W, plain + i * w->H, bytes);
    }
}

static void NAME(forward_chunk)(NAME(Pass) *p, const NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    for (int64_t layer = 0; layer < w->layers; layer++) {
        for (int64_t d = 0; d < w->directions; d++) {
            NAME(project)(p, chunk, layer, d);
            NAME(recur)(p, chunk, layer, d);
        }
        if (chunk->x[layer + 1] && chunk->x[layer + 1] != chunk->layer[layer * w->directions].h) {
            NAME(gather_states)(p, chunk, layer, chunk->x[layer + 1]);
            if (layer + 1 < w->layers) NAME(drop_between)(p, chunk, layer, chunk->x[layer + 1]);
        }
    }
    if (p->outputs.states) {
        int64_t D = w->directions * w->H;
        for (int64_t t = 0; t < chunk->steps; t++)
            for (int64_t i = 0; i < chunk->alive[t]; i++) {
                REAL *to = (REAL *)p->outputs.states + (p->order[chunk->first + i] * p->outputs.longest + t) * D;
                for (int64_t d = 0; d < w->directions; d++)
                    memcpy(to + d * w->H, chunk->x[w->layers] + (chunk->start[t] + i) * w->directions * w->W + d * w->W,
                           (size_t)w->H * sizeof(REAL));
            }
    }
    if (!w->model->poolings) return;
    NAME(pool)(p, chunk);
    for (int64_t i = 0; i < chunk->count; i++) {
        int64_t rank = chunk->first + i;
        NAME(drop_pooled)(p, rank, p->pooled + rank * w->pooled_width);
        if (p->outputs.pooled)
            NAME(copy_pooled)(w, p->pooled + rank * w->pooled_width,
                              (REAL *)p->outputs.pooled + p->order[rank] * (w->pooled_width / w->W) * w->H, 1);
    }
    if (!w->classes) return;
    REAL *logits = p->logits + chunk->first * w->padded_classes;
    NAME(apply_head)(w, chunk->count, p->pooled + chunk->first * w->pooled_width, logits);
    if (p->objective && p->objective->offset)
        for (int64_t i = 0; i < chunk->count; i++) {
            const REAL *offset = (const REAL *)p->objective->offset + p->order[chunk->first + i] * w->classes;
            for (int64_t c = 0; c < w->classes; c++) logits[i * w->padded_classes + c] += offset[c];
        }
    for (int64_t i = 0; i < chunk->count && p->outputs.logits; i++)
        memcpy((REAL *)p->outputs.logits + p->order[chunk->first + i] * w->classes, logits + i * w->padded_classes,
               (size_t)w->classes * sizeof(REAL));
}
