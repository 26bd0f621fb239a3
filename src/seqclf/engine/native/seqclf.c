/* The door of the library: which kernels this processor runs, and calls that Python makes by ctypes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels.h"

#ifdef _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define DECLARE(set) extern const Kernels kernels_float_##set, kernels_double_##set;
#define OFFER(set) {#set, {&kernels_float_##set, &kernels_double_##set}}
DECLARE(plain)
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
#endif

static const struct {
    const char *name;
    const Kernels *kernels[2]; /* float, double */
} sets[] = {
    OFFER(plain),
#if defined(__x86_64__)
    OFFER(avx2),
    OFFER(avx512),
#endif
};
enum { SETS = sizeof sets / sizeof sets[0] };

static int runs(int set) {
#if defined(__x86_64__)
    unsigned a, b, c, d, low, high;
    if (set == 0) return 1;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* what the system saves when it switches */
    if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return 0;
    return set == 1 || ((low & 0xE6) == 0xE6 && (b & bit_AVX512F) && (b & bit_AVX512DQ) && (b & bit_AVX512BW) && (b & bit_AVX512VL));
#else
    return set == 0;
#endif
}

/* The name of an instruction set; NULL where there are no more. */
EXPORT const char *seqclf_set_name(int set) { return set < SETS ? sets[set].name : NULL; }
EXPORT int seqclf_set_runs(int set) { return set < SETS && runs(set); }

EXPORT void seqclf_workspace_free(Workspace *workspace);
EXPORT Workspace *seqclf_workspace_new(int threads) {
    Workspace *workspace = calloc(1, sizeof *workspace);
    if (!workspace) return NULL;
    int complete = 1;
    workspace->count = 1 + (threads < 1 ? 1 : threads < MOST_THREADS ? threads : MOST_THREADS);
    for (int i = 0; i < workspace->count; i++) complete &= !!(workspace->arenas[i] = arena_new());
    if (complete) return workspace;
    seqclf_workspace_free(workspace);
    return NULL;
}
EXPORT void seqclf_workspace_free(Workspace *workspace) {
    if (!workspace) return;
    for (int i = 0; i < workspace->count; i++) arena_free(workspace->arenas[i]);
    free(workspace);
}
EXPORT int64_t seqclf_workspace_bytes(const Workspace *workspace) {
    int64_t bytes = 0;
    for (int i = 0; i < workspace->count; i++) bytes += (int64_t)arena_bytes(workspace->arenas[i]);
    return bytes;
}

/* A process may have told its processor to take tiny numbers for zero, each thread for itself: then threads would differ. So
   the caller computes with all numbers, as the other threads do, and has its own mode back afterwards. */
#if defined(__x86_64__)
static unsigned take_all_numbers(void) {
    unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before & ~0x8040u); /* flush to zero, denormals are zero */
    return before;
}
static void restore_mode(unsigned before) { __builtin_ia32_ldmxcsr(before); }
typedef unsigned Mode;
#elif defined(__aarch64__)
typedef uint64_t Mode;
static Mode take_all_numbers(void) {
    Mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before & ~((Mode)1 << 24)));
    return before;
}
static void restore_mode(Mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
#else
typedef int Mode;
static Mode take_all_numbers(void) { return 0; }
static void restore_mode(Mode before) { (void)before; }
#endif

/* `kind` is 2 * set + 1 for double, 2 * set for float. */
#define KERNELS (sets[kind / 2].kernels[kind % 2])
#define CALL(call) Mode mode = take_all_numbers(); int status = KERNELS->call; restore_mode(mode); return status

EXPORT int seqclf_train(int kind, const Model *model, const Batch *batch, const Objective *objective, const Outputs *outputs,
                        Workspace *workspace, int threads) {
    CALL(train(model, batch, objective, outputs, workspace, threads));
}
EXPORT int seqclf_forward(int kind, const Model *model, const Batch *batch, const Outputs *outputs, Workspace *workspace,
                          int threads, int keeps, int wants_inputs) {
    CALL(forward(model, batch, outputs, workspace, threads, keeps, wants_inputs));
}
EXPORT int seqclf_backward(int kind, const Gradients *gradients, Workspace *workspace, int threads) {
    CALL(backward(gradients, workspace, threads));
}
EXPORT int seqclf_pack(int kind, const Model *model, Workspace *workspace, int threads, int full_table) {
    CALL(pack(model, workspace, threads, full_table));
}
EXPORT int seqclf_infer(int kind, const Workspace *packed, const Batch *batch, const Outputs *outputs, Workspace *workspace,
                        int threads) {
    CALL(infer(packed, batch, outputs, workspace, threads));
}
EXPORT int seqclf_stream(int kind, const Workspace *packed, Workspace *state, const void *step, int64_t id, void *logits) {
    CALL(stream(packed, state, step, id, logits));
}
EXPORT int seqclf_update(int kind, const Update *update, Tensor *tensors, int64_t count, Workspace *workspace, int threads) {
    CALL(update(update, tensors, count, workspace, threads));
}
EXPORT void seqclf_softmax(int kind, int64_t rows, int64_t classes, void *values) { KERNELS->softmax(rows, classes, values); }
EXPORT void seqclf_activations(int kind, int64_t count, const void *x, void *exp, void *sigmoid, void *tanh) {
    KERNELS->activations(count, x, exp, sigmoid, tanh);
}
