/* The kernels without Python: equal bits whatever stands beside a sequence, however many threads there are, and whichever
   compiler and processor; and no crash where memory is short.

       check_kernels [SET [HASHES]]    SET is a number for seqclf_set_name, 0 if left out

   Weights and inputs are whole numbers times powers of two, so they are the same everywhere. A line is printed for each
   case, with a hash of all that was put out and one of all gradients; with a file of such lines they must be those.
   memory.c must be compiled with -Dmalloc=check_malloc. Ends with 1 on a failure, 3 if the processor does not run the set. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

const char *seqclf_set_name(int set);
int seqclf_set_runs(int set);
Workspace *seqclf_workspace_new(int threads);
void seqclf_workspace_free(Workspace *workspace);
int64_t seqclf_workspace_bytes(const Workspace *workspace);
int seqclf_train(int kind, const Model *, const Batch *, const Objective *, const Outputs *, Workspace *, int threads);
int seqclf_forward(int kind, const Model *, const Batch *, const Outputs *, Workspace *, int threads, int keeps,
                   int wants_inputs);
int seqclf_backward(int kind, const Gradients *, Workspace *, int threads);
int seqclf_pack(int kind, const Model *, Workspace *, int threads, int full_table);
int seqclf_infer(int kind, const Workspace *packed, const Batch *, const Outputs *, Workspace *, int threads);
int seqclf_stream(int kind, const Workspace *packed, Workspace *state, const void *step, int64_t id, void *logits);
int seqclf_update(int kind, const Update *, Tensor *, int64_t count, Workspace *, int threads);
void seqclf_softmax(int kind, int64_t rows, int64_t classes, void *values);
void seqclf_activations(int kind, int64_t count, const void *x, void *exp, void *sigmoid, void *tanh);

/* ---- Memory, failures, hashes ---- */

static int64_t allocations_left = -1; /* before they fail; -1: they do not */

void *check_malloc(size_t bytes) {
    if (allocations_left == 0) return NULL;
    if (allocations_left > 0) allocations_left--;
    return malloc(bytes);
}

static char name[200];
static int failures;
static FILE *expected;

static void fail(const char *format, ...) {
    va_list arguments;
    if (failures++ >= 20) return;
    printf("FAILED: %s: ", name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

static void expect_equal(const void *a, const void *b, size_t bytes, const char *what) {
    if (memcmp(a, b, bytes)) fail("%s", what);
}

static void expect_ok(int status, const char *what) {
    if (status) fail("%s: status %d", what, status);
}

typedef struct { uint64_t outputs, gradients; } Hashes;
static const Hashes fresh = {14695981039346656037u, 14695981039346656037u};

static void add(uint64_t *hash, const void *bytes, size_t count) { /* FNV-1a */
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) *hash = (*hash ^ at[i]) * 1099511628211u;
}

static void report(Hashes hashes) {
    char line[300], wanted[300];
    snprintf(line, sizeof line, "%s: %016llx %016llx", name, (unsigned long long)hashes.outputs,
             (unsigned long long)hashes.gradients);
    printf("%s\n", line);
    if (!expected) return;
    if (!fgets(wanted, sizeof wanted, expected)) wanted[0] = 0;
    wanted[strcspn(wanted, "\r\n")] = 0;
    if (strcmp(line, wanted)) fail("expected %s", wanted);
}

/* ---- Numbers ---- */

static int kind, is_double;
static size_t size; /* of a number */
static uint64_t state;

static int64_t whole(int64_t bound) { /* from 0 up to, but not, the bound */
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(state >> 33) % bound;
}

static void put(void *to, int64_t at, double x) {
    if (is_double) ((double *)to)[at] = x;
    else ((float *)to)[at] = (float)x;
}

static void *zeros(int64_t count) {
    void *found = calloc((size_t)(count ? count : 1), size);
    if (!found) abort();
    return found;
}

static void *at(const void *numbers, int64_t count) { return (char *)numbers + (size_t)count * size; }

static void *numbers(int64_t count, double scale) { /* within [-scale, scale), which is a power of two */
    void *found = zeros(count);
    for (int64_t i = 0; i < count; i++) put(found, i, (double)(whole(1 << 20) - (1 << 19)) / (1 << 19) * scale);
    return found;
}

/* ---- Models and batches ---- */

typedef struct {
    Model model;
    Direction direction[4];
    Attention attention[MOST_POOLINGS];
    Tensor tensor[64];
    int64_t tensors;
} Net;

static const void *weight(Net *net, int64_t count, double scale, void **gradient) {
    Tensor *tensor = &net->tensor[net->tensors++];
    tensor->count = count;
    tensor->weight = numbers(count, scale);
    tensor->gradient = *gradient = zeros(count);
    return tensor->weight;
}

static int64_t states_of(const Model *model) { return model->directions * model->hidden; }
static int64_t width_of(const Model *model) { return model->poolings * states_of(model); }

/* poolings: a bit for each. */
static void make_net(Net *net, int64_t cell, int64_t layers, int64_t directions, int64_t hidden, int64_t input, int64_t vocab,
                     int64_t classes, int poolings) {
    memset(net, 0, sizeof *net);
    Model *model = &net->model;
    *model = (Model){.cell = cell, .layers = layers, .directions = directions, .hidden = hidden, .input = input,
                     .vocab = vocab, .classes = classes, .direction = net->direction, .attention = net->attention};
    int64_t gates = (cell == CELL_LSTM ? 4 : cell == CELL_GRU ? 3 : 1) * hidden, D = directions * hidden;
    for (int64_t i = 0; i < layers * directions; i++) {
        Direction *to = &net->direction[i];
        int64_t width = i < directions ? input : D;
        to->weight_ih = weight(net, gates * width, 0.25, &to->d_weight_ih);
        to->weight_hh = weight(net, gates * hidden, 0.25, &to->d_weight_hh);
        to->bias_ih = weight(net, gates, 0.5, &to->d_bias_ih);
        to->bias_hh = weight(net, gates, 0.5, &to->d_bias_hh);
    }
    if (vocab) model->embedding = weight(net, vocab * input, 1, &model->d_embedding);
    for (int64_t kind_of = 0; kind_of < 4; kind_of++) {
        if (!(poolings >> kind_of & 1)) continue;
        if (kind_of == POOL_ATTENTION) {
            Attention *to = &net->attention[model->poolings];
            to->hidden_weight = weight(net, D * D, 0.25, &to->d_hidden_weight);
            to->hidden_bias = weight(net, D, 0.5, &to->d_hidden_bias);
            to->context = weight(net, D, 1, &to->d_context);
        }
        model->pooling[model->poolings++] = kind_of;
    }
    if (!classes) return;
    model->head_weight = weight(net, classes * width_of(model), 0.5, &model->d_head_weight);
    model->head_bias = weight(net, classes, 0.5, &model->d_head_bias);
}

static void free_net(Net *net) {
    for (int64_t i = 0; i < net->tensors; i++) {
        free(net->tensor[i].weight);
        free((void *)net->tensor[i].gradient);
        free(net->tensor[i].average);
        free(net->tensor[i].square);
    }
}

/* The gradients of all tensors in one piece; they are zero afterwards. */
static void *take_gradients(Net *net, int64_t *count) {
    *count = 0;
    for (int64_t i = 0; i < net->tensors; i++) *count += net->tensor[i].count;
    void *found = zeros(*count);
    int64_t place = 0;
    for (int64_t i = 0; i < net->tensors; place += net->tensor[i++].count) {
        memcpy(at(found, place), net->tensor[i].gradient, (size_t)net->tensor[i].count * size);
        memset((void *)net->tensor[i].gradient, 0, (size_t)net->tensor[i].count * size);
    }
    return found;
}

typedef struct {
    Batch batch;
    int64_t steps, longest;
    int64_t *starts, *lengths, *keys, *labels, *ids;
    void *values, *factor;
} Data;

/* Sequence number 3, if there is one, is empty; many begin like the one before. longest of 0: all are empty. */
static void make_data(Data *data, const Model *model, int64_t count, int64_t longest, int64_t value_type) {
    memset(data, 0, sizeof *data);
    data->starts = calloc((size_t)count + 1, sizeof(int64_t));
    data->lengths = calloc((size_t)count + 1, sizeof(int64_t));
    data->keys = calloc((size_t)count + 1, sizeof(int64_t));
    data->labels = calloc((size_t)count + 1, sizeof(int64_t));
    data->factor = zeros(count);
    for (int64_t b = 0; b < count; b++) {
        data->lengths[b] = b == 3 || !longest ? 0 : 1 + whole(longest);
        data->keys[b] = 1000 * b - 7;
        data->labels[b] = model->classes ? whole(model->classes) : 0;
        data->starts[b] = data->steps;
        data->steps += data->lengths[b];
        put(data->factor, b, 1.0 / 16 + (double)whole(16) / 64);
        if (data->lengths[b] > data->longest) data->longest = data->lengths[b];
    }
    data->ids = calloc((size_t)data->steps + 1, sizeof(int64_t));
    for (int64_t b = 0; b < count; b++)
        for (int64_t t = 0, shared = whole(longest + 1); t < data->lengths[b]; t++) {
            int64_t place = data->starts[b] + t, alike = b && t < shared && t < data->lengths[b - 1];
            data->ids[place] = alike ? data->ids[data->starts[b - 1] + t] : whole(model->vocab ? model->vocab : 2);
        }
    data->batch = (Batch){.count = count, .value_type = value_type, .starts = data->starts, .lengths = data->lengths};
    if (value_type == VALUES_REAL) data->values = numbers(data->steps * model->input, 1);
    else {
        static const size_t sizes[] = {1, 2, 4, 8};
        data->values = calloc((size_t)data->steps + 1, sizes[value_type]);
        for (int64_t i = 0; i < data->steps; i++) {
            int64_t id = data->ids[i];
            if (value_type == VALUES_UINT8) ((uint8_t *)data->values)[i] = (uint8_t)id;
            else if (value_type == VALUES_INT16) ((int16_t *)data->values)[i] = (int16_t)id;
            else if (value_type == VALUES_INT32) ((int32_t *)data->values)[i] = (int32_t)id;
            else ((int64_t *)data->values)[i] = id;
        }
    }
    data->batch.values = data->values;
}

static void free_data(Data *data) {
    free(data->starts);
    free(data->lengths);
    free(data->keys);
    free(data->labels);
    free(data->ids);
    free(data->values);
    free(data->factor);
}

static Batch alone(const Batch *batch, int64_t b) {
    Batch one = *batch;
    one.count = 1;
    one.starts += b;
    one.lengths += b;
    if (one.keys) one.keys += b;
    return one;
}

static Workspace *work, *packed;

/* What a model ends with: logits (B, C), pooled vectors (B, S), or states (B, T, D). */
static int64_t row_of(const Model *model, int64_t longest) {
    return model->classes ? model->classes : model->poolings ? width_of(model) : longest * states_of(model);
}

static Outputs outputs_of(const Model *model, void *to, int64_t longest) {
    Outputs outputs = {.longest = longest};
    if (model->classes) outputs.logits = to;
    else if (model->poolings) outputs.pooled = to;
    else outputs.states = to;
    return outputs;
}

/* ---- Checks ---- */

/* A training step of several labels, with something added to the logits: what it says of the gradient of the logits must,
   given to a pass forwards and back, lead to the very same gradients of weights and inputs. */
static void check_several(Net *net, const Data *data, int threads) {
    const Model *model = &net->model;
    int64_t rows = data->batch.count * model->classes, count, inputs = model->vocab ? 0 : data->steps * model->input;
    uint8_t *targets = calloc((size_t)rows, 1);
    for (int64_t i = 0; i < rows; i++) targets[i] = (uint8_t)(i % 3 == 0);
    void *offset = zeros(rows), *logits = zeros(rows), *again = zeros(rows), *d_logits = zeros(rows);
    void *d_inputs = zeros(inputs), *others = zeros(inputs);
    for (int64_t i = 0; i < rows; i++) put(offset, i, (double)(i % 7 - 3) / 8);
    Outputs outputs = outputs_of(model, logits, data->longest), plain = outputs_of(model, again, data->longest);
    Objective objective = {.labels = data->labels, .factor = data->factor, .smoothing = 0.125, .targets = targets,
                           .offset = offset, .d_logits = d_logits, .d_inputs = inputs ? d_inputs : NULL};
    Gradients given = {.logits = d_logits, .longest = data->longest, .inputs = inputs ? others : NULL};
    expect_ok(seqclf_train(kind, model, &data->batch, &objective, &outputs, work, threads), "train, several labels");
    void *first = take_gradients(net, &count);
    expect_ok(seqclf_forward(kind, model, &data->batch, &plain, work, threads, 1, inputs > 0), "forward");
    expect_ok(seqclf_backward(kind, &given, work, threads), "backward");
    void *second = take_gradients(net, &count);
    expect_equal(first, second, (size_t)count * size, "several labels: train, and forwards and back");
    expect_equal(d_inputs, others, (size_t)inputs * size, "several labels: gradients of inputs");
    void *all[] = {targets, offset, logits, again, d_logits, d_inputs, others, first, second};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Forwards, back and a training step, by 1 and by 4 threads; what was put out is returned. */
static void *check_passes(Net *net, const Data *data, Hashes *hashes) {
    const Model *model = &net->model;
    const Batch *batch = &data->batch;
    int64_t B = batch->count, row = row_of(model, data->longest), count, inputs = data->steps * model->input;
    void *output = zeros(B * row), *d_output = numbers(B * row, 0.5), *gradients = NULL, *d_inputs = NULL, *trained = NULL;
    int wants_inputs = !model->vocab;
    for (int threads = 1; threads <= 4; threads += 3) {
        void *to = zeros(B * row), *to_inputs = zeros(inputs);
        Outputs outputs = outputs_of(model, to, data->longest);
        Gradients given = {.longest = data->longest, .inputs = wants_inputs ? to_inputs : NULL};
        if (model->classes) given.logits = d_output;
        else if (model->poolings) given.pooled = d_output;
        else given.states = d_output;
        expect_ok(seqclf_forward(kind, model, batch, &outputs, work, threads, 1, wants_inputs), "forward");
        expect_ok(seqclf_backward(kind, &given, work, threads), "backward");
        void *found = take_gradients(net, &count);
        if (threads == 1) {
            memcpy(output, to, (size_t)(B * row) * size);
            gradients = found;
            d_inputs = to_inputs;
        } else {
            expect_equal(output, to, (size_t)(B * row) * size, "forward: 1 and 4 threads");
            expect_equal(gradients, found, (size_t)count * size, "backward: 1 and 4 threads");
            expect_equal(d_inputs, to_inputs, (size_t)inputs * size, "gradients of inputs: 1 and 4 threads");
            free(found);
            free(to_inputs);
        }
        if (model->classes) {
            Objective objective = {.labels = data->labels, .factor = data->factor, .smoothing = 0.125};
            expect_ok(seqclf_train(kind, model, batch, &objective, &outputs, work, threads), "train");
            expect_equal(output, to, (size_t)(B * row) * size, "train and forward");
            found = take_gradients(net, &count);
            if (trained) {
                expect_equal(trained, found, (size_t)count * size, "train: 1 and 4 threads");
                free(found);
            } else trained = found;
            check_several(net, data, threads);
        }
        if (!batch->keys) {
            Outputs again = outputs_of(model, memset(to, 0, (size_t)(B * row) * size), data->longest);
            expect_ok(seqclf_forward(kind, model, batch, &again, work, threads, 0, 0), "forward, nothing kept");
            expect_equal(output, to, (size_t)(B * row) * size, "forward, nothing kept");
        }
        free(to);
    }
    add(&hashes->outputs, output, (size_t)(B * row) * size);
    add(&hashes->gradients, gradients, (size_t)count * size);
    add(&hashes->gradients, d_inputs, (size_t)inputs * size);
    if (trained) add(&hashes->gradients, trained, (size_t)count * size);
    free(d_output);
    free(gradients);
    free(d_inputs);
    free(trained);
    return output;
}

/* Each sequence alone, forwards. */
static void check_alone(const Model *model, const Data *data, const void *output) {
    int64_t row = row_of(model, data->longest);
    void *to = zeros(row);
    for (int64_t b = 0; b < data->batch.count; b++) {
        Batch one = alone(&data->batch, b);
        Outputs outputs = outputs_of(model, memset(to, 0, (size_t)row * size), data->longest);
        expect_ok(seqclf_forward(kind, model, &one, &outputs, work, 1, 1, 0), "forward, alone");
        expect_equal(at(output, b * row), to, (size_t)row * size, "forward: alone and in a batch");
    }
    free(to);
}

/* Inference: the batch, each sequence alone, all prefixes, and streams. */
static void check_inference(const Model *model, const Data *data, const void *output) {
    const Batch *batch = &data->batch;
    int64_t B = batch->count, row = row_of(model, data->longest), longest = data->longest, C = model->classes;
    int attends = 0;
    for (int64_t k = 0; k < model->poolings; k++) attends |= model->pooling[k] == POOL_ATTENTION;
    int sweeps = model->poolings && !(model->directions == 2 && (model->layers > 1 || attends));
    void *to = zeros(B * row), *one_row = zeros(row), *every = zeros(B * longest * C);
    for (int full = 0; full < 2; full++) {
        expect_ok(seqclf_pack(kind, model, packed, full ? 4 : 1, full), "pack");
        for (int threads = 1; threads <= 4; threads += 3) {
            Outputs outputs = outputs_of(model, memset(to, 0, (size_t)(B * row) * size), longest);
            expect_ok(seqclf_infer(kind, packed, batch, &outputs, work, threads), "infer");
            expect_equal(output, to, (size_t)(B * row) * size, "infer and forward");
        }
        for (int64_t b = full; b < B; b += 2) {
            Batch one = alone(batch, b);
            Outputs outputs = outputs_of(model, memset(one_row, 0, (size_t)row * size), longest);
            expect_ok(seqclf_infer(kind, packed, &one, &outputs, work, 1), "infer, alone");
            expect_equal(at(output, b * row), one_row, (size_t)row * size, "infer: alone and in a batch");
        }
    }
    if (sweeps && model->directions == 1 && C && longest) {
        Outputs outputs = {.logits = to, .every = every, .longest = longest};
        expect_ok(seqclf_infer(kind, packed, batch, &outputs, work, 4), "infer, every step");
        for (int64_t b = 0; b < B; b++)
            if (batch->lengths[b])
                expect_equal(at(output, b * C), at(every, (b * longest + batch->lengths[b] - 1) * C), (size_t)C * size,
                             "the last of every step");
    }
    for (int64_t b = 0; b < B && sweeps && model->directions == 1 && C; b++) {
        Workspace *stream = seqclf_workspace_new(1);
        for (int64_t t = 0; t < batch->lengths[b]; t++) {
            int64_t place = batch->starts[b] + t;
            const void *step = model->vocab ? NULL : at(batch->values, place * model->input);
            expect_ok(seqclf_stream(kind, packed, stream, step, data->ids[place], one_row), "stream");
            expect_equal(at(every, (b * longest + t) * C), one_row, (size_t)C * size, "stream and infer");
        }
        seqclf_workspace_free(stream);
    }
    free(to);
    free(one_row);
    free(every);
}

static const char *const cells[] = {"lstm", "gru", "tanh", "relu"};

static void title(const char *rest, ...) {
    va_list arguments;
    int length = snprintf(name, sizeof name, "%s ", is_double ? "double" : "float");
    va_start(arguments, rest);
    vsnprintf(name + length, sizeof name - (size_t)length, rest, arguments);
    va_end(arguments);
    state = 1; /* every case has its own numbers, whatever was before */
    for (const char *c = name + length; *c; c++) state = state * 31 + (unsigned char)*c;
}

static void check_cell(int64_t cell, int64_t layers, int64_t directions, int has_ids) {
    static const int64_t hidden[] = {1, 19, 66, 66, 19, 5};
    static const int poolings[] = {15, 15, 15, 1 << POOL_LAST, 1 << POOL_MEAN | 1 << POOL_MAX, 1 << POOL_ATTENTION};
    title("%s %dx%d %s", cells[cell], (int)layers, (int)directions, has_ids ? "ids" : "features");
    Hashes hashes = fresh;
    for (int i = 0; i < 6; i++) {
        Net net;
        Data data;
        make_net(&net, cell, layers, directions, hidden[i], i % 2 ? 5 : 17, has_ids ? 40 : 0, i % 5 ? 3 : 18, poolings[i]);
        make_data(&data, &net.model, 11, 9, has_ids ? i % 4 : VALUES_REAL);
        void *output = check_passes(&net, &data, &hashes);
        check_alone(&net.model, &data, output);
        check_inference(&net.model, &data, output);
        free(output);
        free_data(&data);
        free_net(&net);
    }
    report(hashes);
}

/* More sequences than are taken at once, more columns than are packed at once, and sequences that begin alike for long. */
static void check_large(int64_t cell, int has_ids) {
    title("%s large, %s", cells[cell], has_ids ? "ids" : "features");
    Hashes hashes = fresh;
    for (int is_long = 0; is_long < 2; is_long++) {
        Net net;
        Data data;
        make_net(&net, cell, 1, 1, 19, has_ids ? 9 : 270, has_ids ? 300 : 0, is_long ? 2 : 40, 15);
        make_data(&data, &net.model, is_long ? 3 : 140, is_long ? 300 : 5, has_ids ? VALUES_INT16 : VALUES_REAL);
        void *output = check_passes(&net, &data, &hashes);
        if (is_long) check_alone(&net.model, &data, output);
        check_inference(&net.model, &data, output);
        free(output);
        free_data(&data);
        free_net(&net);
    }
    report(hashes);
}

/* Pooled vectors, or states, as they are; batches of no sequence, of one, and of empty ones. */
static void check_ends(int64_t cell) {
    title("%s ends", cells[cell]);
    Hashes hashes = fresh;
    for (int i = 0; i < 24; i++) {
        static const int64_t counts[] = {13, 0, 1, 4}, lengths[] = {9, 0, 9, 0};
        Net net;
        Data data;
        int end = i % 3;
        make_net(&net, cell, 2, 1 + i % 2, 19, 6, i / 12 ? 30 : 0, end == 2 ? 4 : 0, end ? 15 : 0);
        make_data(&data, &net.model, counts[i / 3 % 4], lengths[i / 3 % 4], i / 12 ? VALUES_INT64 : VALUES_REAL);
        void *output = check_passes(&net, &data, &hashes);
        check_alone(&net.model, &data, output);
        check_inference(&net.model, &data, output);
        free(output);
        free_data(&data);
        free_net(&net);
    }
    report(hashes);
}

/* Parts dropped everywhere, and gradients that stop. */
static void check_dropout(int64_t cell, int64_t directions) {
    title("%s dropout x%d", cells[cell], (int)directions);
    Hashes hashes = fresh;
    for (int i = 0; i < 8; i++) {
        Net net;
        Data data;
        make_net(&net, cell, 2, directions, 17, 7, i % 2 ? 25 : 0, 5, 15);
        make_data(&data, &net.model, 13, 11, i % 2 ? VALUES_UINT8 : VALUES_REAL);
        Batch *batch = &data.batch;
        batch->keys = data.keys;
        batch->variational = i / 2 % 2;
        batch->drop_symbols = batch->drop_inputs = batch->drop_layers = batch->drop_pooled = 13107;
        if (i >= 4) batch->drop_states = 9000;
        if (i >= 4) batch->drop_inputs = 0;
        batch->truncate = i == 6 ? 3 : 0;
        void *output = check_passes(&net, &data, &hashes);
        check_alone(&net.model, &data, output);
        free(output);
        free_data(&data);
        free_net(&net);
    }
    report(hashes);
}

/* Steps that are sums of vectors: of a symbol, of the n-grams that end there, and of distances; some of them dropped. */
static void check_sums(int64_t cell, int64_t directions) {
    title("%s sums x%d", cells[cell], (int)directions);
    Hashes hashes = fresh;
    enum { VOCAB = 6 };
    static int64_t keys[64];
    int64_t ngrams = 0;
    for (int64_t key = VOCAB; key < VOCAB * VOCAB; key += 3) keys[ngrams++] = key;
    for (int64_t key = VOCAB * VOCAB; key < VOCAB * VOCAB * VOCAB; key += 5) keys[ngrams++] = key;
    static const int32_t drop_symbol[VOCAB] = {0, 0, 60000, 30000, 0, 9000};
    for (int i = 0; i < 4; i++) {
        Net net;
        Data data;
        make_net(&net, cell, 1 + i / 2, directions, 19, 7, VOCAB, 5, 15);
        Model *model = &net.model;
        model->starts = 4;
        model->start = weight(&net, model->starts * model->input, 1, &model->d_start);
        if (directions == 2) { /* a stream does not know the end */
            model->ends = 3;
            model->end = weight(&net, model->ends * model->input, 1, &model->d_end);
        }
        model->orders = 2;
        model->order[0] = 2;
        model->order[1] = 3;
        model->ngrams = ngrams;
        model->ngram_key = keys;
        model->ngram = weight(&net, ngrams * model->input, 1, &model->d_ngram);
        make_data(&data, model, 11, 9, VALUES_INT16);
        Batch *batch = &data.batch;
        if (i % 2) {
            batch->keys = data.keys;
            batch->drop_ngrams = 20000;
            batch->drop_symbol = drop_symbol;
            batch->drop_inputs = i == 3 ? 13107 : 0;
        }
        void *output = check_passes(&net, &data, &hashes);
        check_alone(&net.model, &data, output);
        if (i % 2 == 0) check_inference(&net.model, &data, output);
        free(output);
        free_data(&data);
        free_net(&net);
    }
    report(hashes);
}

static void check_update(int64_t update_kind, const char *called) {
    title("update %s", called);
    Hashes hashes = fresh;
    for (int variant = 0; variant < 4; variant++) {
        uint64_t results[2] = {fresh.outputs, fresh.outputs}, before = state;
        for (int i = 0; i < 2; i++) {
            Net net;
            state = before;
            make_net(&net, CELL_LSTM, 1, 1, 90, 130, 0, 3, 1);
            Update update = {.kind = update_kind, .nesterov = variant & 1, .maximize = variant >> 1, .learning_rate = 0.01,
                             .weight_decay = variant & 1 ? 0.1 : 0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                             .largest_norm = variant > 1 ? 1 : 0};
            for (int step = 1; step <= 3; step++) {
                double power1 = 1, power2 = 1;
                for (int k = 0; k < step; k++) {
                    power1 *= update.beta1;
                    power2 *= update.beta2;
                }
                for (int64_t k = 0; k < net.tensors; k++) {
                    Tensor *tensor = &net.tensor[k];
                    free((void *)tensor->gradient);
                    tensor->gradient = numbers(tensor->count, 0.5);
                    if (step == 1 && (update_kind != UPDATE_SGD || variant)) tensor->average = zeros(tensor->count);
                    if (step == 1 && update_kind != UPDATE_SGD) tensor->square = zeros(tensor->count);
                    tensor->is_first = step == 1;
                    tensor->correction1 = 1 - power1;
                    tensor->correction2 = 1 - power2 / 2; /* a root would be libm's */
                }
                expect_ok(seqclf_update(kind, &update, net.tensor, net.tensors, work, i ? 4 : 1), "update");
                for (int64_t k = 0; k < net.tensors; k++) add(&results[i], net.tensor[k].weight, (size_t)net.tensor[k].count * size);
            }
            free_net(&net);
        }
        expect_equal(&results[0], &results[1], sizeof results[0], "1 and 4 threads");
        add(&hashes.outputs, &results[0], sizeof results[0]);
    }
    report(hashes);
}

static void check_functions(void) {
    enum { COUNT = 1 << 14 };
    Hashes hashes = fresh;
    title("functions");
    void *x = zeros(COUNT), *exp = zeros(COUNT), *sigmoid = zeros(COUNT), *tanh = zeros(COUNT);
    for (int64_t i = 0; i < COUNT; i++) /* of all sizes, down to those below normal numbers */
        put(x, i, (double)(whole(1 << 20) - (1 << 19)) * (i % 2 ? 1.0 / (1 << (i % 24)) : 1.0 / (1 << 12) / (1 << (i % 30))));
    put(x, 0, 0.0);
    put(x, 1, -0.0);
    put(x, 2, is_double ? 5e-324 : 1e-45);
    put(x, 3, is_double ? -2e-308 : -1e-38);
    seqclf_activations(kind, COUNT, x, exp, sigmoid, tanh);
    add(&hashes.outputs, exp, COUNT * size);
    add(&hashes.outputs, sigmoid, COUNT * size);
    add(&hashes.outputs, tanh, COUNT * size);
    for (int64_t classes = 1; classes < 700; classes += classes < 40 ? 1 : 219) {
        void *rows = numbers(5 * classes, 8), *one = zeros(classes);
        memcpy(one, at(rows, 3 * classes), (size_t)classes * size);
        seqclf_softmax(kind, 5, classes, rows);
        seqclf_softmax(kind, 1, classes, one);
        expect_equal(one, at(rows, 3 * classes), (size_t)classes * size, "softmax: a row alone");
        add(&hashes.outputs, rows, (size_t)(5 * classes) * size);
        free(rows);
        free(one);
    }
    free(x);
    free(exp);
    free(sigmoid);
    free(tanh);
    report(hashes);
}

/* Every call, with memory that ends after 0, 1, 2, ... allocations: an error, and no crash. */
static void check_short_memory(void) {
    title("short memory");
    for (int i = 0; i < 4; i++) {
        Net net;
        Data data;
        make_net(&net, i % 2 ? CELL_LSTM : CELL_GRU, 2, 1 + i / 2, 9, 4, i % 2 ? 20 : 0, 3, 15);
        make_data(&data, &net.model, 13, 9, i % 2 ? VALUES_INT64 : VALUES_REAL);
        data.batch.keys = data.keys;
        data.batch.drop_states = data.batch.drop_layers = 9000;
        Batch plain = data.batch;
        plain.keys = NULL;
        void *output = zeros(13 * 3), *wanted = zeros(13 * 3), *d_inputs = zeros(data.steps * 4);
        Outputs outputs = {.logits = output, .longest = data.longest};
        Objective objective = {.labels = data.labels};
        Gradients given = {.logits = output, .longest = data.longest, .inputs = d_inputs};
        Update update = {.kind = UPDATE_SGD, .learning_rate = 0.5};
        expect_ok(seqclf_pack(kind, &net.model, packed, 1, 1), "pack");
        for (int call = 0; call < 6; call++) {
            int status = OUT_OF_MEMORY;
            for (int64_t most = 0; status && most < 2000; most += 1 + most / 12) {
                int threads = most % 2 ? 3 : 1;
                Workspace *own = seqclf_workspace_new(threads);
                allocations_left = most;
                if (call == 0) status = seqclf_train(kind, &net.model, &data.batch, &objective, &outputs, own, threads);
                else if (call == 1) {
                    status = seqclf_forward(kind, &net.model, &data.batch, &outputs, own, threads, 1, !net.model.vocab);
                    if (!status) status = seqclf_backward(kind, &given, own, threads);
                } else if (call == 2) status = seqclf_pack(kind, &net.model, own, threads, 1);
                else if (call == 3) status = seqclf_infer(kind, packed, &plain, &outputs, own, threads);
                else if (call == 4) status = net.model.directions == 1 ? seqclf_stream(kind, packed, own, data.values, 3, output) : 0;
                else status = seqclf_update(kind, &update, net.tensor, net.tensors, own, threads);
                allocations_left = -1;
                if (status && status != OUT_OF_MEMORY) fail("call %d: status %d", call, status);
                if (call == 3 && !status) {
                    Outputs again = {.logits = wanted, .longest = data.longest};
                    expect_ok(seqclf_infer(kind, packed, &plain, &again, own, threads), "infer, again");
                    expect_equal(wanted, output, 13 * 3 * size, "infer, again");
                }
                seqclf_workspace_free(own);
            }
            if (status) fail("call %d never had enough", call);
        }
        free(output);
        free(wanted);
        free(d_inputs);
        free_data(&data);
        free_net(&net);
    }
}

int main(int count, char **arguments) {
    int set = count > 1 ? atoi(arguments[1]) : 0;
    if (!seqclf_set_name(set) || !seqclf_set_runs(set)) {
        printf("this processor does not run instruction set %d\n", set);
        return 3;
    }
    if (count > 2 && !(expected = fopen(arguments[2], "r"))) {
        printf("cannot open %s\n", arguments[2]);
        return 1;
    }
    work = seqclf_workspace_new(4);
    packed = seqclf_workspace_new(4);
    for (is_double = 0; is_double < 2; is_double++) {
        kind = 2 * set + is_double;
        size = is_double ? sizeof(double) : sizeof(float);
        check_functions();
        check_update(UPDATE_SGD, "sgd");
        check_update(UPDATE_ADAM, "adam");
        check_update(UPDATE_ADAMW, "adamw");
        for (int64_t cell = 0; cell < 4; cell++) {
            for (int i = 0; i < 8; i++) check_cell(cell, 1 + (i >> 2), 1 + (i >> 1 & 1), i & 1);
            for (int has_ids = 0; has_ids < 2; has_ids++) check_large(cell, has_ids);
            check_ends(cell);
            for (int64_t directions = 1; directions <= 2; directions++) {
                check_dropout(cell, directions);
                check_sums(cell, directions);
            }
        }
        check_short_memory();
    }
    seqclf_workspace_free(work);
    seqclf_workspace_free(packed);
    if (failures) printf("%s: %d failures\n", seqclf_set_name(set), failures);
    return failures > 0;
}
