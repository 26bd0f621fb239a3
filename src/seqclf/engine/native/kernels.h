/* What a build of the kernels for one instruction set offers, for one type of numbers. */
#ifndef SEQCLF_KERNELS_H
#define SEQCLF_KERNELS_H
#include "memory.h"
#include "model.h"
#include "team.h"

typedef struct { /* memory of a pass, or of packed weights; [0] is the pass's, [1 + thread] what a thread works in */
    Arena *arenas[1 + MOST_THREADS];
    int count;
    void *pass;
} Workspace;

typedef struct {
    int (*train)(const Model *, const Batch *, const Objective *, const Outputs *, Workspace *, int threads);
    int (*forward)(const Model *, const Batch *, const Outputs *, Workspace *, int threads, int keeps, int wants_inputs);
    int (*backward)(const Gradients *, Workspace *, int threads);
    int (*pack)(const Model *, Workspace *, int threads, int full_table);
    int (*infer)(const Workspace *packed, const Batch *, const Outputs *, Workspace *, int threads);
    int (*stream)(const Workspace *packed, Workspace *state, const void *step, int64_t number, void *logits);
    int (*update)(const Update *, Tensor *, int64_t count, Workspace *, int threads);
    void (*softmax)(int64_t rows, int64_t classes, void *values);
    void (*activations)(int64_t count, const void *x, void *exp, void *sigmoid, void *tanh);
} Kernels;

#endif
