/* A pass: what one call works with. Legend: B sequences, N steps in all, H features of a state, W of a padded one.

   Sequences are taken in chunks, longest first, which go through all steps (and back) while they are in the cache. The
   rows of a chunk lie step by step, in each direction's own order: step s of the backward direction reads the sequence's
   last step but s. A row of states has the halves of all directions side by side, each W wide. */

typedef struct { /* one direction of one layer */
    REAL *packed_ih[2], *packed_hh;  /* forwards: [part of the input] (K features, blocks * W) and (H, blocks * W) */
    REAL *back_ih[2], *back_hh;      /* backwards: (blocks * W, features) and (blocks * W, W) */
    REAL *bias;                      /* (blocks * W): what a row of gates begins with */
    REAL *table, *d_table;           /* (U, blocks * W): what each symbol gives to the gates, bias included */
    REAL *gates, *h, *c, *tanh_c, *masked; /* by row; masked: h as the next step sees it, where parts are dropped */
} NAME(Layer);

typedef struct {
    REAL *packed_hidden[2], *packed_context, *back_hidden, *hidden_bias;
    REAL *hidden, *d_hidden, *score; /* by row; hidden is D wide, padded */
    REAL *largest, *total;           /* by rank: of the scores, and of e^(score - largest) */
} NAME(Attention);

typedef struct {
    const Model *model;
    const NAME(Spec) *spec;
    int64_t H, W, blocks, gate_width; /* gate_width: blocks * W */
    int64_t directions, layers, classes, padded_classes;
    int64_t pooled_width;             /* poolings * directions * W */
    REAL *head, *back_head, *head_bias;
    NAME(Layer) *layer;            /* [layer][direction] */
    NAME(Attention) *attention;    /* [pooling] */
    int for_training;
    int has_full_table; /* of all ids, in order */
} NAME(Weights);

typedef struct {
    const Model *model;
    NAME(Weights) *weights;
    Batch batch;
    const Objective *objective;
    Outputs outputs;
    const Gradients *gradients;
    Arena **arenas; /* [0] for the pass; [1 + thread] for what a thread works in */
    int keeps, goes_back;    /* keeps: all that a later backward pass needs; goes_back: at once */
    int needs_top;           /* the states of the last layer side by side */
    int reads_vectors;       /* not a table of symbols */
    int wants_inputs;        /* their gradients */
    void *input_gradients;   /* where those of features go; NULL is nowhere */
    int packs;               /* the weights; otherwise they were given */
    int fills_table;
    int64_t B, N, chunks, longest;
    int64_t *chunk_first, *chunk_base; /* rank and row that a chunk begins with */
    int64_t groups;                    /* of chunks that share buffers before their rows make gradients of weights */
    int64_t *group_chunk;              /* the chunk that a group begins with */
    int64_t *group_after;              /* which of the rows with one before them a group begins with */
    int64_t group, group_rows;         /* the group under way, and how many rows it has; the most, before there is one */
    int64_t *order, *length;           /* by rank: the place in the batch, and the length */
    int64_t symbols, *symbol_id;       /* U ids that occur */
    REAL *vectors;                  /* theirs, (U, E) */
    int32_t *tokens;                /* (N,), sequence after sequence in the batch's order: which of the U */
    int64_t *first_token;              /* (B,) */
    int32_t *ngram;                    /* (N, orders), as tokens: which of the n-grams ends there; -1 for none */
    int32_t *symbol[2];             /* by row, where a table is read */
    int32_t *reversed;              /* by row: the same step in the other direction, as a row of the group */
    int32_t *row_after, *row_before; /* rows of a group with one before them, and that one */
    REAL *x0;                       /* (N, input): the inputs, where they are not read from a table */
    REAL **x;                       /* [layer]: the inputs of layers from the second on, rows of states */
    REAL *d_inputs;                 /* (N, padded input) */
    REAL *pooled, *d_pooled, *logits;
    int64_t input_width;
    REAL *every;                    /* (B, longest, C): logits after each step, where they are wanted */
    int64_t *sorted[2];                /* places in the batch, for each direction, those that begin alike side by side */
    atomic_int failed;
} NAME(Pass);

/* What a chunk works with: its ranks, its rows, and where its buffers begin. */
typedef struct {
    int64_t first, count, base, rows, steps;
    int64_t at; /* the row of the buffers of its group that it begins with */
    int32_t *alive, *start; /* by step */
    NAME(Layer) *layer;     /* copies whose buffers begin at the chunk */
    REAL **x, *x0, *d_states, *d_lower, *scratch;
} NAME(Chunk);

#define TAKE(arena, type, count) ((type *)arena_take(arena, sizeof(type) * (size_t)((count) > 0 ? (count) : 1)))
#define SPARE (2 * PANEL) /* numbers behind the end of a buffer that whole vectors may be read from */
#define TAKE_REALS(arena, count) TAKE(arena, REAL, (count) + SPARE)

static int64_t NAME(part_width)(const NAME(Weights) *w, int64_t layer) { return layer ? w->H : w->model->input; }
static int64_t NAME(parts)(const NAME(Weights) *w, int64_t layer) { return layer ? w->directions : 1; }

/* ---- Weights, packed ---- */

/* Make room for all packed weights; a table of `symbols` rows where it is not 0. Return 0 where memory is short. */
static int NAME(weights_room)(NAME(Weights) *w, const Model *model, Arena *arena, int for_training, int64_t symbols) {
    memset(w, 0, sizeof *w);
    w->model = model;
    w->spec = &NAME(specs)[model->cell];
    w->H = model->hidden;
    w->W = NAME(pad)(w->H);
    w->blocks = w->spec->blocks;
    w->gate_width = w->blocks * w->W;
    w->directions = model->directions;
    w->layers = model->layers;
    w->classes = model->classes;
    w->padded_classes = NAME(pad)(w->classes);
    w->pooled_width = model->poolings * w->directions * w->W;
    w->for_training = for_training;
    w->layer = TAKE(arena, NAME(Layer), w->layers * w->directions);
    w->attention = TAKE(arena, NAME(Attention), model->poolings);
    if (!w->layer || !w->attention) return 0;
    memset(w->layer, 0, sizeof(NAME(Layer)) * (size_t)(w->layers * w->directions));
    memset(w->attention, 0, sizeof(NAME(Attention)) * (size_t)model->poolings);
    int64_t inputs = w->spec->inputs * w->W, states = w->spec->states * w->W;
    int complete = 1;
    for (int64_t i = 0; i < w->layers * w->directions; i++) {
        NAME(Layer) *layer = &w->layer[i];
        int64_t number = i / w->directions, width = NAME(part_width)(w, number);
        complete &= !!(layer->packed_hh = TAKE_REALS(arena, w->H * states));
        complete &= !!(layer->bias = TAKE_REALS(arena, w->gate_width));
        if (for_training) complete &= !!(layer->back_hh = TAKE_REALS(arena, states * w->W));
        for (int64_t part = 0; part < NAME(parts)(w, number); part++) {
            complete &= !!(layer->packed_ih[part] = TAKE_REALS(arena, width * inputs));
            if (for_training) complete &= !!(layer->back_ih[part] = TAKE_REALS(arena, inputs * NAME(pad)(width)));
        }
        if (number == 0 && symbols) {
            complete &= !!(layer->table = TAKE_REALS(arena, symbols * w->gate_width));
            if (for_training) complete &= !!(layer->d_table = TAKE_REALS(arena, symbols * w->gate_width));
        }
    }
    int64_t D = w->directions * w->H;
    for (int64_t i = 0; i < model->poolings; i++) {
        if (model->pooling[i] != POOL_ATTENTION) continue;
        NAME(Attention) *attention = &w->attention[i];
        for (int64_t part = 0; part < w->directions; part++)
            complete &= !!(attention->packed_hidden[part] = TAKE_REALS(arena, w->H * NAME(pad)(D)));
        complete &= !!(attention->packed_context = TAKE_REALS(arena, D * LANES));
        complete &= !!(attention->hidden_bias = TAKE_REALS(arena, NAME(pad)(D)));
        if (for_training) complete &= !!(attention->back_hidden = TAKE_REALS(arena, D * w->directions * w->W));
    }
    if (w->classes) {
        complete &= !!(w->head = TAKE_REALS(arena, model->poolings * w->directions * w->H * w->padded_classes));
        complete &= !!(w->head_bias = TAKE_REALS(arena, w->padded_classes));
        if (for_training) complete &= !!(w->back_head = TAKE_REALS(arena, w->classes * w->pooled_width));
    }
    return complete;
}

/* The weights are packed in jobs: each is some columns of the gates of one direction of one layer; the last is the rest. */
static int64_t NAME(pack_pieces)(const NAME(Weights) *w) { return (w->W + PIECE - 1) / PIECE; }
static int64_t NAME(pack_jobs)(const NAME(Weights) *w) {
    return w->layers * w->directions * w->blocks * NAME(pack_pieces)(w) + 1;
}

static void NAME(pack_rest)(NAME(Weights) *w) {
    const Model *model = w->model;
    int64_t D = w->directions * w->H, padded = NAME(pad)(D);
    for (int64_t i = 0; i < model->poolings; i++) {
        if (model->pooling[i] != POOL_ATTENTION) continue;
        NAME(Attention) *attention = &w->attention[i];
        const REAL *hidden = model->attention[i].hidden_weight, *context = model->attention[i].context;
        for (int64_t part = 0; part < w->directions; part++) {
            NAME(pack_transposed)(0, padded, D, w->H, padded, hidden + part * w->H, D, attention->packed_hidden[part]);
            if (w->for_training) /* columns of one direction begin at a multiple of W */
                for (int64_t row = 0; row < D; row++)
                    for (int64_t j = 0; j < w->W; j++) {
                        int64_t step;
                        REAL *to = NAME(panel_at)(attention->back_hidden, (part * w->W + j) / LANES * LANES, D,
                                                  w->directions * w->W, &step);
                        to[row * step + (part * w->W + j) % LANES] = j < w->H ? hidden[row * D + part * w->H + j] : 0;
                    }
        }
        NAME(pack_transposed)(0, LANES, 1, D, LANES, context, D, attention->packed_context);
        memset(attention->hidden_bias, 0, (size_t)padded * sizeof(REAL));
        memcpy(attention->hidden_bias, model->attention[i].hidden_bias, (size_t)D * sizeof(REAL));
    }
    if (!w->classes) return;
    int64_t sections = model->poolings * w->directions, S = sections * w->H;
    const REAL *weight = model->head_weight;
    for (int64_t i = 0; i < sections; i++) {
        NAME(pack_transposed)(0, w->padded_classes, w->classes, w->H, w->padded_classes, weight + i * w->H, S,
                              w->head + i * w->H * w->padded_classes);
        if (w->for_training)
            NAME(pack_rows)(0, w->classes, w->classes, w->H, w->classes, w->W, weight + i * w->H, S,
                            w->back_head + i * w->classes * w->W);
    }
    memset(w->head_bias, 0, (size_t)w->padded_classes * sizeof(REAL));
    memcpy(w->head_bias, model->head_bias, (size_t)w->classes * sizeof(REAL));
}

/* Pack columns [j0, j1) of one block of the gates of one direction of one layer. */
static void NAME(pack_block)(NAME(Weights) *w, int64_t layer_number, int64_t direction, int64_t block, int64_t j0, int64_t j1) {
    const Model *model = w->model;
    const Direction *from = &model->direction[layer_number * w->directions + direction];
    NAME(Layer) *to = &w->layer[layer_number * w->directions + direction];
    int64_t H = w->H, W = w->W, first = w->spec->input_first, columns = j1 - j0, there = H - j0 < columns ? H - j0 : columns;
    if (there < 0) there = 0;
    int has_input = block >= first && block < first + w->spec->inputs, has_state = block < w->spec->states;
    int64_t input_gate = block - first, state_gate = has_state ? w->spec->state_gate[block] : 0;
    REAL *bias = to->bias + block * W;
    for (int64_t j = j0; j < j1; j++) {
        REAL sum = 0;
        if (j < H && has_input) sum = ((const REAL *)from->bias_ih)[input_gate * H + j];
        if (j < H && has_state) sum += ((const REAL *)from->bias_hh)[state_gate * H + j];
        bias[j] = sum;
    }
    if (has_state) {
        const REAL *rows = (const REAL *)from->weight_hh + (state_gate * H + j0) * H;
        int64_t N = w->spec->states * W;
        NAME(pack_transposed)(block * W + j0, columns, there, H, N, rows, H, to->packed_hh);
        if (w->for_training) NAME(pack_rows)(block * W + j0, columns, there, H, N, W, rows, H, to->back_hh);
    }
    int64_t width = NAME(part_width)(w, layer_number), parts = NAME(parts)(w, layer_number), N = w->spec->inputs * W;
    if (has_input)
        for (int64_t part = 0; part < parts; part++) {
            const REAL *rows = (const REAL *)from->weight_ih + (input_gate * H + j0) * width * parts + part * width;
            NAME(pack_transposed)(input_gate * W + j0, columns, there, width, N, rows, width * parts, to->packed_ih[part]);
            if (w->for_training)
                NAME(pack_rows)(input_gate * W + j0, columns, there, width, N, NAME(pad)(width), rows, width * parts,
                                to->back_ih[part]);
        }
}

/* Make columns [j0, j1) of one block of the table of symbols with such vectors, as `product` would for each step. */
static void NAME(fill_table)(NAME(Weights) *w, int64_t direction, int64_t block, int64_t j0, int64_t j1, int64_t symbols,
                             const REAL *vectors) {
    NAME(Layer) *to = &w->layer[direction];
    int64_t E = w->model->input, first = w->spec->input_first, G = w->gate_width, gate = block - first;
    for (int64_t u = 0; u < symbols; u++)
        memcpy(to->table + u * G + block * w->W + j0, to->bias + block * w->W + j0, (size_t)(j1 - j0) * sizeof(REAL));
    if (gate < 0 || gate >= w->spec->inputs) return;
    for (int64_t j = j0; j < j1;) {
        int64_t step, column = gate * w->W + j;
        REAL *packed = NAME(panel_at)(to->packed_ih[0], column, E, w->spec->inputs * w->W, &step);
        int whole = step == PANEL && column % PANEL == 0 && j + PANEL <= j1;
        for (int64_t u = 0; u < symbols; u += TILE_ROWS) {
            int rows = (int)(symbols - u < TILE_ROWS ? symbols - u : TILE_ROWS);
            (whole ? NAME(tile2) : NAME(tile1))(rows, E, vectors + u * E, E, 1, packed, step,
                                                to->table + u * G + block * w->W + j, G, 1);
        }
        j += whole ? PANEL : LANES;
    }
}
