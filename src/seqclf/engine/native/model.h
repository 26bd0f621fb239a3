/* What Python hands over: a model, a batch, an objective, and where results go. seqclf.engine.library has the same fields. */
#ifndef SEQCLF_MODEL_H
#define SEQCLF_MODEL_H
#include <stdint.h>

enum { CELL_LSTM, CELL_GRU, CELL_RNN_TANH, CELL_RNN_RELU };
enum { POOL_LAST, POOL_MEAN, POOL_MAX, POOL_ATTENTION };
enum { VALUES_UINT8, VALUES_INT16, VALUES_INT32, VALUES_INT64, VALUES_REAL };
enum { UPDATE_NONE, UPDATE_SGD, UPDATE_ADAM, UPDATE_ADAMW };
enum { OK = 0, OUT_OF_MEMORY = -1, UNKNOWN_ID = -2, NOT_FINITE = -3 };
#define MOST_POOLINGS 8
#define MOST_NGRAM 8 /* symbols of an n-gram, and orders of them */

typedef struct { /* one direction of one layer, named as in torch.nn; d_: where its gradients go */
    const void *weight_ih, *weight_hh, *bias_ih, *bias_hh;
    void *d_weight_ih, *d_weight_hh, *d_bias_ih, *d_bias_hh;
} Direction;

typedef struct {
    const void *hidden_weight, *hidden_bias, *context;
    void *d_hidden_weight, *d_hidden_bias, *d_context;
} Attention;

typedef struct {
    int64_t cell, layers, directions, hidden;
    int64_t input;    /* features of a step: E of an embedding, or F */
    int64_t vocab;    /* 0: steps are features */
    int64_t classes;  /* 0: no head */
    int64_t poolings; /* 0: states are wanted as they are */
    int64_t pooling[MOST_POOLINGS];
    const void *embedding;
    void *d_embedding;
    const void *head_weight, *head_bias;
    void *d_head_weight, *d_head_bias;
    int64_t starts, ends; /* how many distances from the start, and from the end, have vectors of their own; 0: none */
    const void *start, *end;
    void *d_start, *d_end; /* (starts, E), (ends, E) */
    int64_t orders, order[MOST_NGRAM]; /* of how many symbols n-grams are, ascending */
    int64_t ngrams;          /* how many have a vector */
    const int64_t *ngram_key; /* theirs, ascending: their ids as the digits of a number to the base `vocab` */
    const void *ngram;
    void *d_ngram; /* (ngrams, E) */
    const Direction *direction; /* [layer][direction] */
    const Attention *attention; /* one for each pooling; NULL where there is none */
} Model;

typedef struct {
    int64_t count;       /* B sequences */
    const void *values;  /* their steps: ids (N,), or features (N, F) of the type of the weights */
    int64_t value_type;
    const int64_t *starts, *lengths; /* (B,): sequence b is values[starts[b]], ... */
    int64_t truncate;    /* no gradient flows from a step that is a multiple of it to the one before; 0: never */
    const int64_t *keys; /* (B,): what dropout chooses by; NULL drops nothing */
    int64_t drop_symbols, drop_inputs, drop_layers, drop_states; /* thresholds out of 2^16 */
    int64_t drop_pooled, drop_ngrams;
    const int32_t *drop_symbol; /* (V,): for each symbol one of its own, in place of drop_symbols; or NULL */
    int64_t variational;
} Batch;

typedef struct { /* cross-entropy: of sequence b, factor[b] times that of its smoothed label */
    const int64_t *labels;
    const void *factor;       /* (B,); NULL: 1 / B for all */
    const void *class_weight; /* (C,); NULL: 1 for all */
    double smoothing;
    const uint8_t *targets; /* (B, C), where each class may be a label or not; then binary cross-entropy, the mean over C */
    const void *offset;     /* (B, C): what is added to the logits; NULL is nothing */
    void *d_logits;         /* (B, C): where their gradient goes; NULL is nowhere */
    void *d_inputs;         /* (N, F) by the places of values: likewise of features */
} Objective;

typedef struct { /* what is wanted, in the order of the batch; NULL is not wanted */
    void *logits; /* (B, C) */
    void *pooled; /* (B, S) */
    void *states; /* (B, longest, D); nothing is written behind the ends */
    void *every;  /* (B, longest, C): logits after each step, likewise */
    int64_t longest;
} Outputs;

typedef struct { /* the gradient of what was put out: one of the three; and where that of features goes */
    const void *logits, *pooled, *states;
    int64_t longest;
    void *inputs; /* (N, F) by the places of values; NULL is not wanted */
} Gradients;

typedef struct { /* a tensor of weights, its gradient, and what the optimiser keeps of it */
    void *weight;
    const void *gradient;
    void *average, *square;          /* NULL where the optimiser keeps none */
    int64_t count, is_first;
    double correction1, correction2; /* of Adam: 1 - beta1^t, and the root of 1 - beta2^t */
} Tensor;

typedef struct {
    int64_t kind; /* UPDATE_NONE only looks whether all gradients are finite */
    int64_t nesterov, maximize;
    double learning_rate, weight_decay, dampening, beta1, beta2, epsilon; /* beta1 is the momentum of SGD */
    double largest_norm; /* of all gradients together; 0: any */
} Update;

static inline int64_t id_at(const Batch *batch, int64_t place) {
    switch (batch->value_type) {
        case VALUES_UINT8: return ((const uint8_t *)batch->values)[place];
        case VALUES_INT16: return ((const int16_t *)batch->values)[place];
        case VALUES_INT32: return ((const int32_t *)batch->values)[place];
        default: return ((const int64_t *)batch->values)[place];
    }
}

#endif
