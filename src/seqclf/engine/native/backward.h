/* Back through a chunk: head, poolings, layers; then, with all chunks done, the gradients of the weights. */

/* The gradient of the objective by the logits of one sequence, in their place: factor * (p * sum(q) - q), with p the
   probabilities and q what the smoothed label gives to each class, times the weights of the classes. */
static void NAME(cross_entropy)(const NAME(Pass) *p, int64_t b, REAL factor, REAL *row) {
    const NAME(Weights) *w = p->weights;
    const Objective *objective = p->objective;
    int64_t label = objective->labels[b], C = w->classes;
    const REAL *class_weight = objective->class_weight;
    REAL spread = (REAL)(objective->smoothing / (double)C), kept = (REAL)(1 - objective->smoothing);
    REAL of_label = kept * (class_weight ? class_weight[label] : 1), sum = of_label;
    for (int64_t c = 0; c < C; c++) sum += spread * (class_weight ? class_weight[c] : 1);
    NAME(softmax)(C, row);
    for (int64_t c = 0; c < C; c++)
        row[c] = factor * (row[c] * sum - spread * (class_weight ? class_weight[c] : 1) - (c == label ? of_label : 0));
}

/* Likewise where there may be several labels: of class c, with y its smoothed label and v its weight where it is one,
   factor / C * (p * (1 - y + v * y) - v * y). */
static void NAME(binary_cross_entropy)(const NAME(Pass) *p, int64_t b, REAL factor, REAL *row) {
    const NAME(Weights) *w = p->weights;
    const Objective *objective = p->objective;
    const uint8_t *targets = objective->targets + b * w->classes;
    const REAL *class_weight = objective->class_weight;
    REAL kept = (REAL)(1 - objective->smoothing), spread = (REAL)(objective->smoothing / 2);
    for (int64_t j = 0; j < w->padded_classes; j += LANES) PUT(row, NAME(sigmoid)(AT(row)));
    for (int64_t c = 0; c < w->classes; c++) {
        REAL y = kept * targets[c] + spread, weighted = y * (class_weight ? class_weight[c] : 1);
        row[c] = factor / (REAL)w->classes * (row[c] * (1 - y + weighted) - weighted);
    }
}

static void NAME(loss_gradient)(const NAME(Pass) *p, int64_t rank, REAL *row) {
    const NAME(Weights) *w = p->weights;
    const Objective *objective = p->objective;
    int64_t b = p->order[rank], C = w->classes;
    REAL factor = objective->factor ? ((const REAL *)objective->factor)[b] : 1 / (REAL)p->B;
    if (objective->targets) NAME(binary_cross_entropy)(p, b, factor, row);
    else NAME(cross_entropy)(p, b, factor, row);
    for (int64_t c = C; c < w->padded_classes; c++) row[c] = 0;
    if (objective->d_logits) memcpy((REAL *)objective->d_logits + b * C, row, (size_t)C * sizeof(REAL));
}

/* The gradients of the pooled vectors of a chunk, from those of whatever was put out. */
static void NAME(unpool_head)(NAME(Pass) *p, const NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    int64_t S = w->pooled_width;
    for (int64_t i = 0; i < chunk->count; i++) {
        int64_t rank = chunk->first + i, b = p->order[rank];
        REAL *d_pooled = p->d_pooled + rank * S, *row = p->logits + rank * w->padded_classes;
        if (w->classes) {
            if (p->objective) NAME(loss_gradient)(p, rank, row);
            else {
                memset(row, 0, (size_t)w->padded_classes * sizeof(REAL));
                memcpy(row, (const REAL *)p->gradients->logits + b * w->classes, (size_t)w->classes * sizeof(REAL));
            }
        } else {
            memset(d_pooled, 0, (size_t)S * sizeof(REAL));
            NAME(copy_pooled)(w, d_pooled, (REAL *)p->gradients->pooled + b * (S / w->W) * w->H, 0);
        }
    }
    if (w->classes)
        for (int64_t i = 0; i < S / w->W; i++)
            NAME(product)(chunk->count, w->W, w->classes, p->logits + chunk->first * w->padded_classes, w->padded_classes,
                          w->back_head + i * w->classes * w->W, p->d_pooled + chunk->first * S + i * w->W, S, 0);
    for (int64_t i = 0; i < chunk->count; i++) NAME(drop_pooled)(p, chunk->first + i, p->d_pooled + (chunk->first + i) * S);
}

/* The sum of the products of two rows of states: feature j of each direction is added to sum j % 16, whatever the width of
   the vectors, and these sums then from the first up. */
static REAL NAME(dot)(int64_t directions, int64_t width, const REAL *a, const REAL *b) {
    enum { SUMS = 16 };
    V sum[SUMS / LANES] = {{0}};
    for (int64_t d = 0; d < directions; d++, a += width, b += width)
        for (int64_t j0 = 0; j0 < width; j0 += SUMS)
            for (int64_t u = 0, j = j0; u < SUMS / LANES && j < width; u++, j += LANES) sum[u] = NAME(fma)(AT(a), AT(b), sum[u]);
    REAL total = 0;
    for (int64_t i = 0; i < SUMS; i++) total += sum[i / LANES][i % LANES];
    return total;
}

/* Add to rows (of W numbers, ld apart) of one sequence what flows back from its largest values; equal ones share. */
static void NAME(unpool_max)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t rank, int64_t d, const REAL *d_pooled,
                             REAL *space) {
    const NAME(Weights) *w = p->weights;
    const NAME(Layer) *top = &chunk->layer[(w->layers - 1) * w->directions + d];
    int64_t width = w->W, i = rank - chunk->first, length = p->length[rank], D = w->directions * width;
    REAL *largest = space, *count = space + width;
    for (int64_t t = 0; t < length; t++)
        NAME(pool_step)(POOL_MAX, width, t == 0, largest, top->h + (chunk->start[t] + i) * width, largest);
    memset(count, 0, (size_t)width * sizeof(REAL));
    for (int64_t t = 0; t < length; t++) {
        const REAL *h = top->h + (chunk->start[t] + i) * width;
        EACH_VECTOR PUT(count, AT(count) + NAME(select)((I)(AT(h) == AT(largest)), NAME(splat)(1), (V){0}));
    }
    for (int64_t t = 0; t < length; t++) {
        int64_t row = chunk->start[t] + i;
        const REAL *h = top->h + row * width;
        REAL *to = chunk->d_states + (d ? NAME(turned)(p, chunk, row) : row) * D + d * width;
        EACH_VECTOR PUT(to, AT(to) + NAME(select)((I)(AT(h) == AT(largest)), AT(d_pooled) / AT(count), (V){0}));
    }
}

/* Likewise from the weighted mean of attention; leaves the gradients of `hidden` and of the scores for the weights. */
static void NAME(unpool_attention)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t k, int64_t rank, const REAL *d_pooled) {
    const NAME(Weights) *w = p->weights;
    const NAME(Attention) *a = &w->attention[k];
    const REAL *context = w->model->attention[k].context, *x = chunk->x[w->layers];
    int64_t H = w->H, D = w->directions * H, padded = NAME(pad)(D), width = w->directions * w->W, i = rank - chunk->first;
    REAL mean = 0;
    for (int turn = 0; turn < 2; turn++) /* first the mean of what the weights' gradients are compared with */
        for (int64_t t = 0; t < p->length[rank]; t++) {
            int64_t row = chunk->start[t] + i;
            REAL weight = NAME(exp_of)(a->score[chunk->at + row] - a->largest[rank]) / a->total[rank];
            REAL d_weight = NAME(dot)(w->directions, w->W, d_pooled, x + row * width);
            if (turn == 0) {
                mean += weight * d_weight;
                continue;
            }
            REAL d_score = weight * (d_weight - mean), *to = chunk->d_states + row * width;
            EACH_VECTOR PUT(to, NAME(fma)(NAME(splat)(weight), AT(d_pooled), AT(to)));
            REAL *hidden = a->hidden + (chunk->at + row) * padded, *d_hidden = a->d_hidden + (chunk->at + row) * padded;
            for (int64_t j = 0; j < padded; j++) {
                d_hidden[j] = j < D ? d_score * context[j] * (1 - hidden[j] * hidden[j]) : 0;
                hidden[j] *= d_score; /* the gradient of the context vector is the sum of these */
            }
            NAME(product)(1, width, D, d_hidden, padded, a->back_hidden, to, width, 1);
        }
}

/* The gradients of the top states of a chunk, by row of the forward direction. */
static void NAME(unpool)(NAME(Pass) *p, const NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    int64_t W = w->W, D = w->directions * W, S = w->pooled_width, width = W;
    memset(chunk->d_states, 0, (size_t)(chunk->rows * D) * sizeof(REAL));
    if (!w->model->poolings) {
        for (int64_t t = 0; t < chunk->steps; t++)
            for (int64_t i = 0; i < chunk->alive[t]; i++)
                for (int64_t d = 0; d < w->directions; d++)
                    memcpy(chunk->d_states + (chunk->start[t] + i) * D + d * W,
                           (const REAL *)p->gradients->states +
                               (p->order[chunk->first + i] * p->gradients->longest + t) * w->directions * w->H + d * w->H,
                           (size_t)w->H * sizeof(REAL));
        return;
    }
    NAME(unpool_head)(p, chunk);
    for (int64_t k = 0; k < w->model->poolings; k++)
        for (int64_t i = 0; i < chunk->count; i++) {
            int64_t rank = chunk->first + i, length = p->length[rank];
            const REAL *of_pooling = p->d_pooled + rank * S + k * D;
            int64_t pooling = w->model->pooling[k];
            if (!length) continue;
            if (pooling == POOL_ATTENTION) {
                NAME(unpool_attention)(p, chunk, k, rank, of_pooling);
                continue;
            }
            for (int64_t d = 0; d < w->directions; d++) {
                const REAL *d_pooled = of_pooling + d * W;
                if (pooling == POOL_MAX) {
                    NAME(unpool_max)(p, chunk, rank, d, d_pooled, chunk->scratch);
                    continue;
                }
                for (int64_t t = pooling == POOL_LAST ? length - 1 : 0; t < length; t++) {
                    int64_t row = chunk->start[t] + i;
                    REAL *to = chunk->d_states + (d ? NAME(turned)(p, chunk, row) : row) * D + d * W;
                    REAL share = pooling == POOL_LAST ? 1 : (REAL)length;
                    EACH_VECTOR PUT(to, AT(to) + AT(d_pooled) / share);
                }
            }
        }
}

/* Back through one direction of one layer: gates become the gradients of their sums. */
static void NAME(recur_back)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer_number, int64_t direction) {
    const NAME(Weights) *w = p->weights;
    const NAME(Layer) *layer = &chunk->layer[layer_number * w->directions + direction];
    int64_t W = w->W, width = W, D = w->directions * W, G = w->gate_width, cell = w->model->cell;
    REAL *dh = chunk->scratch, *dc = dh + chunk->count * W, *factors = dc + chunk->count * W, *seen = factors + chunk->count * W;
    memset(dh, 0, (size_t)(2 * chunk->count * W) * sizeof(REAL));
    if (layer->masked) NAME(state_factors)(p, chunk, layer_number, direction, factors);
    for (int64_t t = chunk->steps - 1; t >= 0; t--) {
        int64_t rows = chunk->alive[t], at = chunk->start[t], before = t ? chunk->start[t - 1] : 0;
        REAL *gates = layer->gates + at * G;
        for (int64_t i = 0; i < rows; i++) {
            const REAL *from = chunk->d_states + (direction ? NAME(turned)(p, chunk, at + i) : at + i) * D + direction * W;
            REAL *to = dh + i * W;
            EACH_VECTOR PUT(to, AT(to) + AT(from));
        }
        if (cell == CELL_LSTM)
            NAME(lstm_backward)(rows, W, gates, t ? layer->c + before * W : NULL, layer->tanh_c + at * W, dh, dc);
        else if (cell == CELL_GRU) NAME(gru_backward)(rows, W, gates, t ? layer->h + before * W : NULL, dh);
        else NAME(rnn_backward)(rows, W, cell == CELL_RNN_RELU, gates, layer->h + at * W, dh);
        if (t == 0) break;
        if (p->batch.truncate && t % p->batch.truncate == 0) {
            memset(dh, 0, (size_t)(rows * W) * sizeof(REAL));
            memset(dc, 0, (size_t)(rows * W) * sizeof(REAL));
            continue;
        }
        int64_t K = w->spec->states * W;
        if (!layer->masked) {
            NAME(product)(rows, W, K, gates, G, layer->back_hh, dh, W, cell == CELL_GRU);
            continue;
        }
        NAME(product)(rows, W, K, gates, G, layer->back_hh, seen, W, 0);
        for (int64_t k = 0; k < rows * W; k += LANES) {
            V through = NAME(load)(seen + k) * NAME(load)(factors + k);
            NAME(store)(dh + k, cell == CELL_GRU ? NAME(load)(dh + k) + through : through);
        }
    }
}

/* The gradients of a layer's inputs, by row of the forward direction: (rows, ld), from both directions. */
static void NAME(input_gradients)(const NAME(Pass) *p, const NAME(Chunk) *chunk, int64_t layer_number, REAL *to, int64_t ld) {
    const NAME(Weights) *w = p->weights;
    int64_t parts = NAME(parts)(w, layer_number), N = layer_number ? w->W : NAME(pad)(w->model->input);
    int64_t K = w->spec->inputs * w->W, G = w->gate_width, first = w->spec->input_first * w->W;
    enum { AT_ONCE = TILE_ROWS };
    for (int64_t d = 0; d < w->directions; d++) {
        const NAME(Layer) *layer = &chunk->layer[layer_number * w->directions + d];
        for (int64_t row0 = 0; row0 < chunk->rows; row0 += AT_ONCE) {
            int64_t count = chunk->rows - row0 < AT_ONCE ? chunk->rows - row0 : AT_ONCE;
            REAL *out = d ? chunk->scratch : to + row0 * ld;
            for (int64_t part = 0; part < parts; part++)
                NAME(product)(count, N, K, layer->gates + row0 * G + first, G, layer->back_ih[part], out + part * w->W, ld, 0);
            for (int64_t i = 0; d && i < count; i++) {
                REAL *row = to + NAME(turned)(p, chunk, row0 + i) * ld;
                for (int64_t j = 0; j < ld; j += LANES) NAME(store)(row + j, NAME(load)(row + j) + NAME(load)(out + i * ld + j));
            }
        }
    }
}

static void NAME(backward_chunk)(NAME(Pass) *p, NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    NAME(unpool)(p, chunk);
    for (int64_t layer = w->layers - 1; layer >= 0; layer--) {
        for (int64_t d = 0; d < w->directions; d++) NAME(recur_back)(p, chunk, layer, d);
        if (layer > 0) {
            NAME(input_gradients)(p, chunk, layer, chunk->d_lower, w->directions * w->W);
            NAME(drop_between)(p, chunk, layer - 1, chunk->d_lower);
            REAL *upper = chunk->d_states;
            chunk->d_states = chunk->d_lower;
            chunk->d_lower = upper;
        }
    }
    if (!p->d_inputs) return;
    int64_t ld = p->input_width;
    REAL *to = p->d_inputs + chunk->at * ld;
    NAME(input_gradients)(p, chunk, 0, to, ld);
    if (p->batch.keys && p->batch.drop_inputs)
        for (int64_t t = 0; t < chunk->steps; t++)
            for (int64_t i = 0; i < chunk->alive[t]; i++)
                NAME(drop)(to + (chunk->start[t] + i) * ld, 0, w->model->input,
                           choice_source(p->batch.keys[p->order[chunk->first + i]], PLACE_INPUTS, t, p->batch.variational != 0),
                           p->batch.drop_inputs);
}

/* ---- Gradients of weights: each number is one sum over all rows in order, so how jobs are shared out is no matter ----

   Rows come in groups, of which each adds to the sums of those before. */

/* The first row of the group under way among all rows. */
static int64_t NAME(group_base)(const NAME(Pass) *p) { return p->chunk_base[p->group_chunk[p->group]]; }
static int NAME(is_last_group)(const NAME(Pass) *p) { return p->group + 1 == p->groups; }

/* out[j] = [out[j] +] sum over rows, from 0 up, of a[row][j]; of whole vectors of columns `count` are wanted. */
static void NAME(column_sums)(int64_t rows, int64_t count, const REAL *a, int64_t lda, REAL *out, int adds) {
    for (int64_t j = 0; j < count; j += LANES) {
        V sum = {0};
        for (int64_t lane = 0; lane < LANES && j + lane < count && adds; lane++) sum[lane] = out[j + lane];
        for (int64_t row = 0; row < rows; row++) sum += NAME(load)(a + row * lda + j);
        for (int64_t lane = 0; lane < LANES && j + lane < count; lane++) out[j + lane] = sum[lane];
    }
}

static int NAME(layer_gradients)(NAME(Pass) *p, int64_t number, int64_t direction, int64_t block, int64_t j0, int64_t j1, Arena *arena) {
    const NAME(Weights) *w = p->weights;
    const Model *model = w->model;
    const Direction *to = &model->direction[number * w->directions + direction];
    const NAME(Layer) *layer = &w->layer[number * w->directions + direction];
    int64_t H = w->H, W = w->W, G = w->gate_width, first = w->spec->input_first, rows = (j1 < H ? j1 : H) - j0;
    if (rows <= 0) return 1;
    REAL *space = TAKE_REALS(arena, NAME(outer_space)(rows));
    if (!space) return 0;
    const REAL *gates = layer->gates + block * W + j0;
    int adds = p->group > 0;
    if (block < w->spec->states) {
        int64_t gate = w->spec->state_gate[block], after = p->group_after[p->group];
        NAME(outer)(rows, H, p->group_after[p->group + 1] - after, gates, G, p->row_after + after,
                    layer->masked ? layer->masked : layer->h, W, p->row_before + after,
                    (REAL *)to->d_weight_hh + (gate * H + j0) * H, H, space, adds);
        NAME(column_sums)(p->group_rows, rows, gates, G, (REAL *)to->d_bias_hh + gate * H + j0, adds);
    }
    if (block < first || block >= first + w->spec->inputs) return 1;
    int64_t gate = block - first, width = NAME(part_width)(w, number), parts = NAME(parts)(w, number);
    NAME(column_sums)(p->group_rows, rows, gates, G, (REAL *)to->d_bias_ih + gate * H + j0, adds);
    REAL *out = (REAL *)to->d_weight_ih + (gate * H + j0) * width * parts;
    if (number == 0 && p->symbol[direction]) {
        REAL *table = layer->d_table + block * W + j0;
        int64_t columns = j1 - j0;
        for (int64_t u = 0; u < p->symbols && !adds; u++) memset(table + u * G, 0, (size_t)columns * sizeof(REAL));
        const int32_t *symbol = p->symbol[direction] + NAME(group_base)(p);
        for (int64_t row = 0; row < p->group_rows; row++) {
            REAL *sum = table + symbol[row] * G;
            for (int64_t j = 0; j < columns; j += LANES) NAME(store)(sum + j, NAME(load)(sum + j) + NAME(load)(gates + row * G + j));
        }
        if (NAME(is_last_group)(p))
            NAME(outer)(rows, width, p->symbols, table, G, NULL, p->vectors, width, NULL, out, width, space, 0);
        return 1;
    }
    const REAL *x = number ? p->x[number] : p->x0;
    int64_t ld = number ? w->directions * W : p->input_width;
    for (int64_t part = 0; part < parts; part++)
        NAME(outer)(rows, width, p->group_rows, gates, G, NULL, x + part * W, ld,
                    direction ? p->reversed + NAME(group_base)(p) : NULL, out + part * width, width * parts, space, adds);
    return 1;
}

static int NAME(head_gradients)(NAME(Pass) *p, Arena *arena) {
    const NAME(Weights) *w = p->weights;
    const Model *model = w->model;
    int64_t H = w->H, sections = w->pooled_width / w->W, D = w->directions * H;
    int adds = p->group > 0;
    for (int64_t k = 0; k < model->poolings; k++) {
        if (model->pooling[k] != POOL_ATTENTION) continue;
        const NAME(Attention) *a = &w->attention[k];
        int64_t padded = NAME(pad)(D);
        REAL *space = TAKE_REALS(arena, NAME(outer_space)(D));
        if (!space) return 0;
        for (int64_t part = 0; part < w->directions; part++)
            NAME(outer)(D, H, p->group_rows, a->d_hidden, padded, NULL, p->x[w->layers] + part * w->W, w->directions * w->W,
                        NULL, (REAL *)model->attention[k].d_hidden_weight + part * H, D, space, adds);
        NAME(column_sums)(p->group_rows, D, a->d_hidden, padded, model->attention[k].d_hidden_bias, adds);
        NAME(column_sums)(p->group_rows, D, a->hidden, padded, model->attention[k].d_context, adds);
    }
    if (!w->classes || !NAME(is_last_group)(p)) return 1;
    REAL *space = TAKE_REALS(arena, NAME(outer_space)(w->classes));
    if (!space) return 0;
    for (int64_t i = 0; i < sections; i++)
        NAME(outer)(w->classes, H, p->B, p->logits, w->padded_classes, NULL, p->pooled + i * w->W, w->pooled_width, NULL,
                    (REAL *)model->d_head_weight + i * H, sections * H, space, 0);
    NAME(column_sums)(p->B, w->classes, p->logits, w->padded_classes, model->d_head_bias, 0);
    return 1;
}

/* The gradients of the vectors of symbols [u0, u1), from those of their rows of the tables. */
static int NAME(vector_gradients)(NAME(Pass) *p, int64_t u0, int64_t u1, Arena *arena) {
    const NAME(Weights) *w = p->weights;
    int64_t E = w->model->input, padded = NAME(pad)(E), first = w->spec->input_first * w->W;
    REAL *found = TAKE_REALS(arena, (u1 - u0) * padded);
    if (!found) return 0;
    for (int64_t d = 0; d < w->directions; d++) {
        const NAME(Layer) *layer = &w->layer[d];
        NAME(product)(u1 - u0, padded, w->spec->inputs * w->W, layer->d_table + u0 * w->gate_width + first, w->gate_width,
                      layer->back_ih[0], found, padded, d > 0);
    }
    for (int64_t u = u0; u < u1; u++)
        if (p->symbol_id[u]) /* the vector of the padding is no weight */
            memcpy((REAL *)w->model->d_embedding + p->symbol_id[u] * E, found + (u - u0) * padded, (size_t)E * sizeof(REAL));
    return 1;
}
