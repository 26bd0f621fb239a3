/* One step of each cell for the rows alive at it, forwards and backwards; the equations are torch's.

   A row of gates has blocks of `width` numbers (H, padded to whole vectors): i f g o of an LSTM, u r z n of a GRU, one of
   an RNN. On entry to a forward step they hold the sums of inputs, states and biases; on exit the gates. A backward step
   puts the gradients of those sums in their place. With h' and c' the state before:

       LSTM  c = f c' + i g;  h = o tanh(c)
       GRU   n = tanh(x_n + r u), u = W_n h' + b_n;  h = n + z (h' - n)
       RNN   h = tanh(x) or max(x, 0) */

typedef struct {
    int blocks;            /* of a row of gates */
    int input_first, inputs; /* the blocks that inputs add to, in torch's order of gates */
    int states;            /* how many blocks, from the first, states add to */
    int state_gate[4];     /* the gate, in torch's order, of each of these */
} NAME(Spec);

static const NAME(Spec) NAME(specs)[] = {
    {4, 0, 4, 4, {0, 1, 2, 3}}, /* LSTM */
    {4, 1, 3, 3, {2, 0, 1, 0}}, /* GRU: u r z */
    {1, 0, 1, 1, {0, 0, 0, 0}}, /* RNN, tanh */
    {1, 0, 1, 1, {0, 0, 0, 0}}, /* RNN, relu */
};

#define AT(p) NAME(load)((p) + j)
#define PUT(p, x) NAME(store)((p) + j, x)
#define EACH_VECTOR for (int64_t j = 0; j < width; j += LANES)

/* c, tanh(c) (if wanted) and h of `rows` rows; before is NULL at the first step. */
static void NAME(lstm_forward)(int64_t rows, int64_t width, REAL *gates, const REAL *c_before, REAL *c, REAL *tanh_c,
                               REAL *h) {
    for (int64_t row = 0; row < rows; row++) {
        REAL *g = gates + row * 4 * width;
        const REAL *before = c_before ? c_before + row * width : NULL;
        EACH_VECTOR {
            V in = NAME(sigmoid)(AT(g)), candidate = NAME(tanh)(AT(g + 2 * width)), out = NAME(sigmoid)(AT(g + 3 * width));
            V memory = in * candidate, forget = NAME(sigmoid)(AT(g + width));
            if (before) memory = NAME(fma)(forget, AT(before), memory);
            V squashed = NAME(tanh)(memory);
            PUT(c + row * width, memory);
            PUT(h + row * width, out * squashed);
            if (tanh_c) {
                PUT(g, in);
                PUT(g + width, forget);
                PUT(g + 2 * width, candidate);
                PUT(g + 3 * width, out);
                PUT(tanh_c + row * width, squashed);
            }
        }
    }
}

static void NAME(gru_forward)(int64_t rows, int64_t width, REAL *gates, const REAL *h_before, REAL *h) {
    for (int64_t row = 0; row < rows; row++) {
        REAL *g = gates + row * 4 * width;
        const REAL *before = h_before ? h_before + row * width : NULL;
        EACH_VECTOR {
            V reset = NAME(sigmoid)(AT(g + width)), update = NAME(sigmoid)(AT(g + 2 * width));
            V candidate = NAME(tanh)(NAME(fma)(reset, AT(g), AT(g + 3 * width)));
            V from = before ? AT(before) - candidate : -candidate;
            PUT(g + width, reset);
            PUT(g + 2 * width, update);
            PUT(g + 3 * width, candidate);
            PUT(h + row * width, NAME(fma)(update, from, candidate));
        }
    }
}

static void NAME(rnn_forward)(int64_t rows, int64_t width, int is_relu, const REAL *gates, REAL *h) {
    for (int64_t k = 0; k < rows * width; k += LANES) {
        V x = NAME(load)(gates + k);
        NAME(store)(h + k, is_relu ? NAME(at_least)(0, x) : NAME(tanh)(x));
    }
}

/* From the gradients of h and of c (as later steps leave it; it is replaced by that of the step before). */
static void NAME(lstm_backward)(int64_t rows, int64_t width, REAL *gates, const REAL *c_before, const REAL *tanh_c,
                                const REAL *dh, REAL *dc) {
    for (int64_t row = 0; row < rows; row++) {
        REAL *g = gates + row * 4 * width, *carried = dc + row * width;
        EACH_VECTOR {
            V in = AT(g), forget = AT(g + width), candidate = AT(g + 2 * width), out = AT(g + 3 * width);
            V squashed = AT(tanh_c + row * width), d = AT(dh + row * width);
            V d_memory = NAME(fma)(d * out, 1 - squashed * squashed, AT(carried));
            V d_forget = c_before ? d_memory * AT(c_before + row * width) * (forget * (1 - forget)) : (V){0};
            PUT(carried, d_memory * forget);
            PUT(g, d_memory * candidate * (in * (1 - in)));
            PUT(g + width, d_forget);
            PUT(g + 2 * width, d_memory * in * (1 - candidate * candidate));
            PUT(g + 3 * width, d * squashed * (out * (1 - out)));
        }
    }
}

/* From the gradient of h, which becomes what of it goes straight to the h before. */
static void NAME(gru_backward)(int64_t rows, int64_t width, REAL *gates, const REAL *h_before, REAL *dh) {
    for (int64_t row = 0; row < rows; row++) {
        REAL *g = gates + row * 4 * width, *d = dh + row * width;
        EACH_VECTOR {
            V product = AT(g), reset = AT(g + width), update = AT(g + 2 * width), candidate = AT(g + 3 * width);
            V d_candidate = AT(d) * (1 - update) * (1 - candidate * candidate);
            V from = h_before ? AT(h_before + row * width) - candidate : -candidate;
            PUT(g, d_candidate * reset);
            PUT(g + width, d_candidate * product * (reset * (1 - reset)));
            PUT(g + 2 * width, AT(d) * from * (update * (1 - update)));
            PUT(g + 3 * width, d_candidate);
            PUT(d, AT(d) * update);
        }
    }
}

static void NAME(rnn_backward)(int64_t rows, int64_t width, int is_relu, REAL *gates, const REAL *h, const REAL *dh) {
    for (int64_t k = 0; k < rows * width; k += LANES) {
        V out = NAME(load)(h + k), d = NAME(load)(dh + k);
        NAME(store)(gates + k, is_relu ? NAME(select)((I)(out > 0), d, (V){0}) : d * (1 - out * out));
    }
}
