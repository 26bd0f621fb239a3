/* Whole passes: laying a batch out, and the regions of jobs that threads share. */

/* Whether steps are read as sums of several vectors, so that a symbol alone does not say what the gates get. */
static int NAME(adds_vectors)(const Model *model) { return model->orders || model->starts || model->ends; }

/* Which n-gram the last `order` of some ids are, ids[0] being the latest; -1 if none that has a vector. */
static int32_t NAME(find_ngram)(const Model *model, const int64_t *ids, int64_t order) {
    int64_t key = 0, low = 0, high = model->ngrams;
    for (int64_t i = order - 1; i >= 0; i--) {
        if (ids[i] == 0) return -1; /* padding is part of none, and no digit to begin with */
        key = key * model->vocab + ids[i];
    }
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (model->ngram_key[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low < model->ngrams && model->ngram_key[low] == key ? (int32_t)low : -1;
}

/* Note the n-grams that end at step t of sequence b, ids[0] being its id; in training some are dropped. */
static void NAME(note_ngrams)(NAME(Pass) *p, int64_t b, int64_t t, const int64_t *ids) {
    const Model *model = p->model;
    int32_t *to = p->ngram + (p->first_token[b] + t) * model->orders;
    for (int64_t k = 0; k < model->orders; k++) {
        to[k] = t + 1 < model->order[k] ? -1 : NAME(find_ngram)(model, ids, model->order[k]);
        if (to[k] >= 0 && p->batch.keys && p->batch.drop_ngrams &&
            !is_kept(choice_source(p->batch.keys[b], PLACE_NGRAMS, t, 0), k, p->batch.drop_ngrams))
            to[k] = -1;
    }
}

/* Whether training makes a symbol unknown. */
static int NAME(drops_symbol)(const Batch *batch, int64_t b, int64_t t, int64_t id) {
    int64_t threshold = batch->drop_symbol ? batch->drop_symbol[id] : batch->drop_symbols;
    return batch->keys && threshold && !is_kept(choice_source(batch->keys[b], PLACE_SYMBOLS, t, 0), 0, threshold);
}

/* Read the ids of the batch, and number those that occur from 0 up; where a table has all, an id is its own number. */
static int NAME(number_symbols)(NAME(Pass) *p, Arena *arena, int has_full_table) {
    const Batch *batch = &p->batch;
    int64_t N = p->N, vocab = p->model->vocab, size = 16;
    while (size < 4 * N) size *= 2;
    size_t mark = arena_mark(p->arenas[1]);
    int32_t *slots = TAKE(p->arenas[1], int32_t, size); /* a table by hash, of numbers + 1: few of many ids may occur */
    p->tokens = TAKE(arena, int32_t, N);
    p->first_token = TAKE(arena, int64_t, p->B);
    p->symbol_id = TAKE(arena, int64_t, N < vocab ? N : vocab);
    if (p->model->orders && !(p->ngram = TAKE(arena, int32_t, N * p->model->orders))) return OUT_OF_MEMORY;
    if (!slots || !p->tokens || !p->first_token || !p->symbol_id) return OUT_OF_MEMORY;
    memset(slots, 0, sizeof(int32_t) * (size_t)size);
    int64_t token = 0;
    for (int64_t b = 0; b < p->B; b++) {
        int64_t latest[MOST_NGRAM] = {0};
        p->first_token[b] = token;
        for (int64_t t = 0; t < batch->lengths[b]; t++) {
            int64_t id = id_at(batch, batch->starts[b] + t);
            if (id < 0 || id >= vocab) return UNKNOWN_ID;
            if (NAME(drops_symbol)(batch, b, t, id)) id = UNKNOWN_SYMBOL;
            if (p->ngram) {
                memmove(latest + 1, latest, sizeof latest - sizeof latest[0]);
                latest[0] = id;
                NAME(note_ngrams)(p, b, t, latest);
            }
            if (has_full_table) {
                p->tokens[token++] = (int32_t)id;
                continue;
            }
            uint64_t slot = ((uint64_t)id * golden) >> 20 & (uint64_t)(size - 1);
            while (slots[slot] && p->symbol_id[slots[slot] - 1] != id) slot = (slot + 1) & (uint64_t)(size - 1);
            if (!slots[slot]) {
                p->symbol_id[p->symbols] = id;
                slots[slot] = (int32_t)++p->symbols;
            }
            p->tokens[token++] = slots[slot] - 1;
        }
    }
    arena_release(p->arenas[1], mark);
    return OK;
}

/* Put chunks into groups whose rows stay in the second cache until they have made gradients of weights; a pass that goes
   back later has but one. A group has some chunks at least, so that all threads have something to do. */
static int NAME(make_groups)(NAME(Pass) *p, Arena *arena) {
    p->group_chunk = TAKE(arena, int64_t, p->chunks + 2);
    p->group_after = TAKE(arena, int64_t, p->chunks + 2);
    if (!p->group_chunk || !p->group_after) return OUT_OF_MEMORY;
    p->group_chunk[0] = p->group_after[0] = 0;
    for (int64_t ch = 0; ch <= p->chunks; ch++) {
        int64_t first = p->group_chunk[p->groups], rows = p->chunk_base[ch] - p->chunk_base[first];
        int is_full = p->goes_back && rows >= GROUP_ROWS && ch - first >= GROUP_CHUNKS;
        if (ch < p->chunks && !is_full) continue;
        if (ch > first || p->groups == 0) p->group_chunk[++p->groups] = ch;
        if (rows > p->group_rows) p->group_rows = rows;
    }
    return OK;
}

/* Sort the batch, cut it into chunks, and say where the rows lie. */
static int NAME(lay_out)(NAME(Pass) *p, Arena *arena) {
    const Batch *batch = &p->batch;
    int64_t B = p->B = batch->count, size = chunk_size(B);
    size_t mark = arena_mark(p->arenas[1]);
    Keyed *sorted = TAKE(p->arenas[1], Keyed, B);
    p->order = TAKE(arena, int64_t, B);
    p->length = TAKE(arena, int64_t, B);
    p->chunks = (B + size - 1) / size;
    p->chunk_first = TAKE(arena, int64_t, p->chunks + 1);
    p->chunk_base = TAKE(arena, int64_t, p->chunks + 1);
    if (!sorted || !p->order || !p->length || !p->chunk_first || !p->chunk_base) return OUT_OF_MEMORY;
    for (int64_t b = 0; b < B; b++) sorted[b] = (Keyed){-batch->lengths[b], b};
    qsort(sorted, (size_t)B, sizeof(Keyed), compare_keyed);
    p->N = 0;
    for (int64_t rank = 0; rank < B; rank++) {
        if (rank % size == 0) {
            p->chunk_first[rank / size] = rank;
            p->chunk_base[rank / size] = p->N;
        }
        p->order[rank] = sorted[rank].place;
        p->length[rank] = -sorted[rank].key;
        p->N += p->length[rank];
    }
    p->chunk_first[p->chunks] = B;
    p->chunk_base[p->chunks] = p->N;
    p->longest = B ? p->length[0] : 0;
    arena_release(p->arenas[1], mark);
    return NAME(make_groups)(p, arena);
}

/* Which rows have one before them, where steps lie in the backward direction, and which symbols they read. */
static int NAME(relate_rows)(NAME(Pass) *p, Arena *arena) {
    int64_t N = p->N, after = 0, directions = p->model->directions;
    size_t mark = arena_mark(p->arenas[1]);
    int64_t *start = TAKE(p->arenas[1], int64_t, p->longest + 1);
    int complete = !!start;
    if (directions == 2) complete &= !!(p->reversed = TAKE(arena, int32_t, N));
    if (p->keeps) complete &= (p->row_after = TAKE(arena, int32_t, N)) && (p->row_before = TAKE(arena, int32_t, N));
    for (int64_t d = 0; d < directions && !p->reads_vectors; d++) complete &= !!(p->symbol[d] = TAKE(arena, int32_t, N));
    if (!complete) return OUT_OF_MEMORY;
    for (int64_t ch = 0, group = 0; ch < p->chunks; ch++) {
        if (ch == p->group_chunk[group + 1]) group++;
        if (ch == p->group_chunk[group]) p->group_after[group] = after;
        int64_t first = p->chunk_first[ch], all = p->chunk_first[ch + 1] - first, base = p->chunk_base[p->group_chunk[group]];
        int64_t row = p->chunk_base[ch], steps = all ? p->length[first] : 0;
        for (int64_t t = 0, alive = all; t < steps; t++, row += alive) {
            while (p->length[first + alive - 1] <= t) alive--;
            start[t] = row;
            for (int64_t i = 0; i < alive && t && p->keeps; i++) {
                p->row_after[after] = (int32_t)(row + i - base);
                p->row_before[after++] = (int32_t)(start[t - 1] + i - base);
            }
        }
        for (int64_t t = 0, alive = all; t < steps; t++) {
            while (p->length[first + alive - 1] <= t) alive--;
            for (int64_t i = 0; i < alive; i++) {
                int64_t last = p->length[first + i] - 1, at = start[t] + i;
                if (p->reversed) p->reversed[at] = (int32_t)(start[last - t] + i - base);
                if (p->reads_vectors) continue;
                const int32_t *tokens = p->tokens + p->first_token[p->order[first + i]];
                p->symbol[0][at] = tokens[t];
                if (p->symbol[1]) p->symbol[1][at] = tokens[last - t];
            }
        }
    }
    p->group_after[p->groups] = after;
    arena_release(p->arenas[1], mark);
    return OK;
}

/* Buffers that all chunks share, each its rows of them. */
static int NAME(take_buffers)(NAME(Pass) *p, Arena *arena) {
    NAME(Weights) *w = p->weights;
    int64_t N = p->group_rows, W = w->W, D = w->directions * W, B = p->B;
    int complete = 1, drops_between = p->batch.keys && p->batch.drop_layers;
    p->x = TAKE(arena, REAL *, w->layers + 1);
    if (!p->x) return OUT_OF_MEMORY;
    memset(p->x, 0, sizeof(REAL *) * (size_t)(w->layers + 1));
    if (w->model->poolings) {
        complete &= !!(p->pooled = TAKE_REALS(arena, B * w->pooled_width));
        complete &= !!(p->logits = TAKE_REALS(arena, B * w->padded_classes));
        for (int64_t k = 0; k < w->model->poolings; k++) {
            NAME(Attention) *a = &w->attention[k];
            if (w->model->pooling[k] != POOL_ATTENTION) continue;
            complete &= (a->largest = TAKE_REALS(arena, B)) && (a->total = TAKE_REALS(arena, B));
        }
    }
    if (!p->keeps) return complete ? OK : OUT_OF_MEMORY;
    complete &= !!(p->d_pooled = TAKE_REALS(arena, B * w->pooled_width));
    for (int64_t i = 0; i < w->layers * w->directions; i++) {
        NAME(Layer) *layer = &w->layer[i];
        complete &= (layer->gates = TAKE_REALS(arena, N * w->gate_width)) && (layer->h = TAKE_REALS(arena, N * W));
        if (p->batch.keys && p->batch.drop_states) complete &= !!(layer->masked = TAKE_REALS(arena, N * W));
        if (w->model->cell != CELL_LSTM || p->goes_back) continue;
        complete &= (layer->c = TAKE_REALS(arena, N * W)) && (layer->tanh_c = TAKE_REALS(arena, N * W));
    }
    for (int64_t layer = 1; layer <= w->layers; layer++)
        if (layer < w->layers || p->needs_top) {
            int alias = w->directions == 1 && !(layer < w->layers && drops_between);
            complete &= !!(p->x[layer] = alias ? w->layer[(layer - 1) * w->directions].h : TAKE_REALS(arena, N * D));
        }
    if (p->reads_vectors) complete &= !!(p->x0 = TAKE_REALS(arena, N * p->input_width));
    if (p->wants_inputs) complete &= !!(p->d_inputs = TAKE_REALS(arena, N * p->input_width));
    for (int64_t k = 0; k < w->model->poolings; k++) {
        NAME(Attention) *a = &w->attention[k];
        int64_t padded = NAME(pad)(w->directions * w->H);
        if (w->model->pooling[k] != POOL_ATTENTION) continue;
        complete &= (a->hidden = TAKE_REALS(arena, N * padded)) && (a->d_hidden = TAKE_REALS(arena, N * padded));
        complete &= !!(a->score = TAKE_REALS(arena, N));
    }
    return complete ? OK : OUT_OF_MEMORY;
}

/* Add to a vector another, number `row` of a table. */
static void NAME(add_vector)(const void *table, int64_t row, int64_t width, REAL *to) {
    const REAL *from = (const REAL *)table + row * width;
    for (int64_t j = 0; j < width; j++) to[j] += from[j];
}

/* The number of the vector for a distance: far ones share the last. */
static int64_t NAME(distance_row)(int64_t distance, int64_t rows) { return distance < rows ? distance : rows - 1; }

/* Read step t of sequence b where it is a vector: its features; or that of its id, to which those of the n-grams that end
   there and of its distances from start and end are added, in this order. */
static void NAME(read_step)(const NAME(Pass) *p, int64_t b, int64_t t, REAL *to) {
    const Model *model = p->model;
    int64_t E = model->input;
    const REAL *from = (const REAL *)p->batch.values + (p->batch.starts[b] + t) * E;
    int64_t token = model->vocab ? p->first_token[b] + t : 0;
    if (model->vocab) from = (const REAL *)model->embedding + p->symbol_id[p->tokens[token]] * E;
    memcpy(to, from, (size_t)E * sizeof(REAL));
    for (int64_t k = 0; k < model->orders; k++) {
        int32_t row = p->ngram[token * model->orders + k];
        if (row >= 0) NAME(add_vector)(model->ngram, row, E, to);
    }
    if (model->starts) NAME(add_vector)(model->start, NAME(distance_row)(t, model->starts), E, to);
    if (model->ends) NAME(add_vector)(model->end, NAME(distance_row)(p->batch.lengths[b] - 1 - t, model->ends), E, to);
}

/* Read the inputs of a chunk's rows, where they are vectors; and drop some. */
static void NAME(read_inputs)(const NAME(Pass) *p, const NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    int64_t E = w->model->input;
    for (int64_t t = 0; t < chunk->steps; t++)
        for (int64_t i = 0; i < chunk->alive[t]; i++) {
            int64_t b = p->order[chunk->first + i], row = chunk->start[t] + i;
            REAL *to = chunk->x0 + row * p->input_width;
            NAME(read_step)(p, b, t, to);
            if (p->batch.keys && p->batch.drop_inputs)
                NAME(drop)(to, 0, E, choice_source(p->batch.keys[b], PLACE_INPUTS, t, p->batch.variational != 0),
                           p->batch.drop_inputs);
        }
}

static REAL *NAME(shift)(REAL *buffer, int64_t numbers) { return buffer ? buffer + numbers : NULL; }

/* Make a chunk's buffers: its rows of what all share, and others from the memory of the thread. */
static int NAME(bind)(NAME(Pass) *p, int64_t number, Arena *arena, NAME(Chunk) *chunk) {
    const NAME(Weights) *w = p->weights;
    int64_t first = p->chunk_first[number], base = p->chunk_base[number], rows = p->chunk_base[number + 1] - base;
    int64_t at = base - p->chunk_base[p->group_chunk[p->group]];
    int64_t count = p->chunk_first[number + 1] - first, steps = count ? p->length[first] : 0, W = w->W, D = w->directions * W;
    *chunk = (NAME(Chunk)){.first = first, .count = count, .base = base, .at = at, .rows = rows, .steps = steps};
    chunk->alive = TAKE(arena, int32_t, steps);
    chunk->start = TAKE(arena, int32_t, steps);
    chunk->layer = TAKE(arena, NAME(Layer), w->layers * w->directions);
    chunk->x = TAKE(arena, REAL *, w->layers + 1);
    int64_t padded = NAME(pad)(w->directions * w->H), room = 4 * count * W + 2 * TILE_ROWS * (D + p->input_width) + 4 * D;
    if (!p->keeps && rows * (padded + 1) > room) room = rows * (padded + 1);
    chunk->scratch = TAKE_REALS(arena, room);
    if (!chunk->alive || !chunk->start || !chunk->layer || !chunk->x || !chunk->scratch) return 0;
    int64_t alive = count, row = 0;
    for (int64_t t = 0; t < steps; t++) {
        while (p->length[first + alive - 1] <= t) alive--;
        chunk->alive[t] = (int32_t)alive;
        chunk->start[t] = (int32_t)row;
        row += alive;
    }
    int complete = 1;
    for (int64_t i = 0; i < w->layers * w->directions; i++) {
        NAME(Layer) *layer = &chunk->layer[i];
        *layer = w->layer[i];
        layer->gates = NAME(shift)(layer->gates, at * w->gate_width);
        layer->h = NAME(shift)(layer->h, at * W);
        layer->c = NAME(shift)(layer->c, at * W);
        layer->tanh_c = NAME(shift)(layer->tanh_c, at * W);
        layer->masked = NAME(shift)(layer->masked, at * W);
        if (!layer->gates) complete &= !!(layer->gates = TAKE_REALS(arena, rows * w->gate_width));
        if (!layer->h) complete &= !!(layer->h = TAKE_REALS(arena, rows * W));
        if (w->model->cell == CELL_LSTM && !layer->c) complete &= !!(layer->c = TAKE_REALS(arena, rows * W));
        if (w->model->cell == CELL_LSTM && !layer->tanh_c && p->goes_back)
            complete &= !!(layer->tanh_c = TAKE_REALS(arena, rows * W));
    }
    for (int64_t layer = 0; layer <= w->layers; layer++) chunk->x[layer] = NAME(shift)(p->x[layer], at * D);
    for (int64_t layer = 1; layer <= w->layers && !p->keeps; layer++)
        if (layer < w->layers || p->needs_top)
            complete &= !!(chunk->x[layer] = w->directions == 1 ? chunk->layer[layer - 1].h : TAKE_REALS(arena, rows * D));
    if (p->reads_vectors) {
        chunk->x0 = p->x0 ? p->x0 + at * p->input_width : TAKE_REALS(arena, rows * p->input_width);
        if (!chunk->x0) return 0;
        NAME(read_inputs)(p, chunk);
    }
    if (p->goes_back || p->gradients) {
        complete &= !!(chunk->d_states = TAKE_REALS(arena, rows * D));
        complete &= !!(chunk->d_lower = TAKE_REALS(arena, rows * D));
    }
    return complete;
}

/* ---- Jobs ---- */

static void NAME(pack_job)(void *context, int64_t job, int thread) {
    NAME(Pass) *p = context;
    NAME(Weights) *w = p->weights;
    (void)thread;
    if (job == NAME(pack_jobs)(w) - 1) {
        if (p->packs) NAME(pack_rest)(w);
        return;
    }
    int64_t pieces = NAME(pack_pieces)(w), piece = job % pieces, block = job / pieces % w->blocks, i = job / pieces / w->blocks;
    int64_t j0 = piece * PIECE, j1 = j0 + PIECE;
    if (j1 > w->W) j1 = w->W;
    if (p->packs) NAME(pack_block)(w, i / w->directions, i % w->directions, block, j0, j1);
    if (p->fills_table && i < w->directions) NAME(fill_table)(w, i, block, j0, j1, p->symbols, p->vectors);
}

static void NAME(chunk_job)(void *context, int64_t job, int thread) {
    NAME(Pass) *p = context;
    Arena *arena = p->arenas[1 + thread];
    size_t mark = arena_mark(arena);
    NAME(Chunk) chunk;
    if (!NAME(bind)(p, p->group_chunk[p->group] + job, arena, &chunk)) atomic_store(&p->failed, 1);
    else {
        if (!p->gradients) NAME(forward_chunk)(p, &chunk);
        if (p->goes_back || p->gradients) NAME(backward_chunk)(p, &chunk);
    }
    arena_release(arena, mark);
}

/* Make the gradients of all vectors zero, before those that occur get theirs. */
static void NAME(clear_vectors)(const Model *model) {
    size_t bytes = (size_t)model->input * sizeof(REAL);
    memset(model->d_embedding, 0, (size_t)model->vocab * bytes);
    if (model->starts) memset(model->d_start, 0, (size_t)model->starts * bytes);
    if (model->ends) memset(model->d_end, 0, (size_t)model->ends * bytes);
    if (model->orders) memset(model->d_ngram, 0, (size_t)model->ngrams * bytes);
}

static void NAME(gradient_job)(void *context, int64_t job, int thread) {
    NAME(Pass) *p = context;
    const NAME(Weights) *w = p->weights;
    Arena *arena = p->arenas[1 + thread];
    size_t mark = arena_mark(arena);
    int done;
    if (job == 0) {
        if (p->model->vocab && p->group == 0) NAME(clear_vectors)(p->model);
        done = NAME(head_gradients)(p, arena);
    } else {
        int64_t pieces = NAME(pack_pieces)(w), piece = (job - 1) % pieces, block = (job - 1) / pieces % w->blocks;
        int64_t i = (job - 1) / pieces / w->blocks, j0 = piece * PIECE, j1 = j0 + PIECE;
        done = NAME(layer_gradients)(p, i / w->directions, i % w->directions, block, j0, j1 < w->W ? j1 : w->W, arena);
    }
    if (!done) atomic_store(&p->failed, 1);
    arena_release(arena, mark);
}

static void NAME(vector_job)(void *context, int64_t job, int thread) {
    NAME(Pass) *p = context;
    Arena *arena = p->arenas[1 + thread];
    size_t mark = arena_mark(arena);
    int64_t u = job * SYMBOLS_AT_ONCE, end = u + SYMBOLS_AT_ONCE < p->symbols ? u + SYMBOLS_AT_ONCE : p->symbols;
    if (!NAME(vector_gradients)(p, u, end, arena)) atomic_store(&p->failed, 1);
    arena_release(arena, mark);
}

/* Add the gradient of a vector to row number `row` of a table. */
static void NAME(add_gradient)(void *table, int64_t row, int64_t width, const REAL *from) {
    REAL *to = (REAL *)table + row * width;
    for (int64_t j = 0; j < width; j++) to[j] += from[j];
}

/* Share the gradient of a step that `read_step` has read with all vectors that were added up. */
static void NAME(share_gradient)(const NAME(Pass) *p, int64_t b, int64_t t, const REAL *from) {
    const Model *model = p->model;
    int64_t E = model->input, token = p->first_token[b] + t, id = p->symbol_id[p->tokens[token]];
    if (id) NAME(add_gradient)(model->d_embedding, id, E, from); /* the vector of the padding is no weight */
    for (int64_t k = 0; k < model->orders; k++) {
        int32_t row = p->ngram[token * model->orders + k];
        if (row >= 0) NAME(add_gradient)(model->d_ngram, row, E, from);
    }
    if (model->starts) NAME(add_gradient)(model->d_start, NAME(distance_row)(t, model->starts), E, from);
    if (model->ends) NAME(add_gradient)(model->d_end, NAME(distance_row)(p->batch.lengths[b] - 1 - t, model->ends), E, from);
}

/* The gradients of inputs that were vectors: added up for ids, put in their places for features. */
static void NAME(scatter_inputs)(NAME(Pass) *p) {
    const Model *model = p->model;
    int64_t E = model->input;
    for (int64_t ch = p->group_chunk[p->group]; ch < p->group_chunk[p->group + 1]; ch++)
        for (int64_t t = 0, row = p->chunk_base[ch] - NAME(group_base)(p), alive = 1; alive; t++) {
            alive = 0;
            for (int64_t r = p->chunk_first[ch]; r < p->chunk_first[ch + 1] && p->length[r] > t; r++, row++, alive++) {
                const REAL *from = p->d_inputs + row * p->input_width;
                if (!model->vocab) {
                    memcpy((REAL *)p->input_gradients + (p->batch.starts[p->order[r]] + t) * E, from,
                           (size_t)E * sizeof(REAL));
                    continue;
                }
                NAME(share_gradient)(p, p->order[r], t, from);
            }
        }
}

/* ---- Passes ---- */

static NAME(Pass) *NAME(new_pass)(Workspace *workspace, const Model *model, const Batch *batch) {
    for (int i = 0; i < workspace->count; i++) arena_reset(workspace->arenas[i]);
    NAME(Pass) *p = TAKE(workspace->arenas[0], NAME(Pass), 1);
    if (!p) return NULL;
    memset(p, 0, sizeof *p);
    p->model = model;
    p->batch = *batch;
    p->arenas = workspace->arenas;
    workspace->pass = p;
    for (int64_t k = 0; k < model->poolings; k++) p->needs_top |= model->pooling[k] == POOL_ATTENTION;
    p->needs_top |= model->poolings == 0;
    p->input_width = NAME(pad)(model->input);
    return p;
}

/* Lay a batch out, up to the symbols that it has; `packed` are weights that are ready, or NULL. */
static int NAME(begin)(NAME(Pass) *p, const NAME(Weights) *packed) {
    p->reads_vectors = !p->model->vocab || NAME(adds_vectors)(p->model) || (p->batch.keys && p->batch.drop_inputs);
    int status = NAME(lay_out)(p, p->arenas[0]);
    if (!status && p->model->vocab) status = NAME(number_symbols)(p, p->arenas[0], packed && packed->has_full_table);
    return status;
}

/* Pack the weights, or take those that are ready; make a table of the symbols that occur, unless there is one. */
static int NAME(ready_weights)(NAME(Pass) *p, const NAME(Weights) *packed, int threads) {
    Arena *arena = p->arenas[0];
    int64_t E = p->model->input, directions = p->model->directions, layers = p->model->layers;
    NAME(Weights) *w = p->weights = TAKE(arena, NAME(Weights), 1);
    if (!w) return OUT_OF_MEMORY;
    p->packs = !packed;
    p->fills_table = !p->reads_vectors && !(packed && packed->has_full_table);
    if (packed) { /* a copy of the pointers, beside which this pass puts its own */
        *w = *packed;
        w->layer = TAKE(arena, NAME(Layer), layers * directions);
        w->attention = TAKE(arena, NAME(Attention), p->model->poolings);
        if (!w->layer || !w->attention) return OUT_OF_MEMORY;
        memcpy(w->layer, packed->layer, sizeof(NAME(Layer)) * (size_t)(layers * directions));
        memcpy(w->attention, packed->attention, sizeof(NAME(Attention)) * (size_t)p->model->poolings);
        for (int64_t d = 0; d < directions && p->fills_table; d++)
            if (!(w->layer[d].table = TAKE_REALS(arena, p->symbols * w->gate_width))) return OUT_OF_MEMORY;
    } else if (!NAME(weights_room)(w, p->model, arena, p->keeps, p->fills_table ? p->symbols : 0)) return OUT_OF_MEMORY;
    if (p->fills_table) {
        if (!(p->vectors = TAKE_REALS(arena, p->symbols * E))) return OUT_OF_MEMORY;
        for (int64_t u = 0; u < p->symbols; u++)
            memcpy(p->vectors + u * E, (const REAL *)p->model->embedding + p->symbol_id[u] * E, (size_t)E * sizeof(REAL));
    }
    if (p->packs || p->fills_table) team_run(threads, NAME(pack_jobs)(w), NAME(pack_job), p);
    return OK;
}

/* All that comes before the chunks. */
static int NAME(prepare)(NAME(Pass) *p, const NAME(Weights) *packed, int threads) {
    int status = NAME(begin)(p, packed);
    if (!status) status = NAME(relate_rows)(p, p->arenas[0]);
    if (!status) status = NAME(ready_weights)(p, packed, threads);
    if (!status) status = NAME(take_buffers)(p, p->arenas[0]);
    return status;
}

static int NAME(weight_gradients)(NAME(Pass) *p, int threads) {
    const NAME(Weights) *w = p->weights;
    int64_t jobs = 1 + w->layers * w->directions * w->blocks * NAME(pack_pieces)(w);
    team_run(threads, jobs, NAME(gradient_job), p);
    if (p->symbol[0] && NAME(is_last_group)(p))
        team_run(threads, (p->symbols + SYMBOLS_AT_ONCE - 1) / SYMBOLS_AT_ONCE, NAME(vector_job), p);
    if (p->d_inputs && (p->model->vocab || p->input_gradients)) NAME(scatter_inputs)(p);
    return atomic_load(&p->failed) ? OUT_OF_MEMORY : OK;
}

/* Go through the chunks of one group after the other; where there is a way back, make gradients of weights of each. */
static int NAME(run_groups)(NAME(Pass) *p, int threads) {
    for (p->group = 0; p->group < p->groups; p->group++) {
        int64_t first = p->group_chunk[p->group], last = p->group_chunk[p->group + 1];
        p->group_rows = p->chunk_base[last] - p->chunk_base[first];
        team_run(threads, last - first, NAME(chunk_job), p);
        if (atomic_load(&p->failed)) return OUT_OF_MEMORY;
        if ((p->goes_back || p->gradients) && NAME(weight_gradients)(p, threads) != OK) return OUT_OF_MEMORY;
    }
    return OK;
}

/* How many threads a pass is worth: below some thousand rows times features, waking others takes longer than it saves. Each
   needs memory of its own in the workspace. */
static int NAME(threads_for)(const Batch *batch, const Model *model, const Workspace *workspace, int threads) {
    int64_t steps = 0;
    if (threads > workspace->count - 1) threads = workspace->count - 1;
    for (int64_t b = 0; b < batch->count; b++) steps += batch->lengths[b];
    return batch->count > 1 && steps * model->hidden * model->layers * model->directions >= 4096 ? threads : 1;
}

/* One training step: all gradients of the objective, and the logits. */
static int NAME(train)(const Model *model, const Batch *batch, const Objective *objective, const Outputs *outputs,
                       Workspace *workspace, int threads) {
    NAME(Pass) *p = NAME(new_pass)(workspace, model, batch);
    if (!p) return OUT_OF_MEMORY;
    p->objective = objective;
    p->outputs = *outputs;
    p->keeps = p->goes_back = 1;
    p->input_gradients = objective->d_inputs;
    p->wants_inputs =
        objective->d_inputs || (model->vocab && (NAME(adds_vectors)(model) || (batch->keys && batch->drop_inputs)));
    threads = team_begin(NAME(threads_for)(batch, model, workspace, threads));
    int status = NAME(prepare)(p, NULL, threads);
    if (!status) status = NAME(run_groups)(p, threads);
    team_end(threads);
    return status;
}

/* Forwards; with `keeps` the workspace then holds what `backward` needs. */
static int NAME(forward)(const Model *model, const Batch *batch, const Outputs *outputs, Workspace *workspace, int threads,
                         int keeps, int wants_inputs) {
    NAME(Pass) *p = NAME(new_pass)(workspace, model, batch);
    if (!p) return OUT_OF_MEMORY;
    p->outputs = *outputs;
    p->keeps = keeps;
    p->wants_inputs =
        keeps && (wants_inputs || (model->vocab && (NAME(adds_vectors)(model) || (batch->keys && batch->drop_inputs))));
    threads = team_begin(NAME(threads_for)(batch, model, workspace, threads));
    int status = NAME(prepare)(p, NULL, threads);
    if (!status) status = NAME(run_groups)(p, threads);
    team_end(threads);
    return status;
}

/* The gradients, from those of what `forward` has put out. The workspace then holds nothing of use any more. */
static int NAME(backward)(const Gradients *gradients, Workspace *workspace, int threads) {
    NAME(Pass) *p = workspace->pass;
    p->gradients = gradients;
    p->input_gradients = gradients->inputs;
    threads = team_begin(NAME(threads_for)(&p->batch, p->model, workspace, threads));
    int status = NAME(run_groups)(p, threads);
    team_end(threads);
    return status;
}
