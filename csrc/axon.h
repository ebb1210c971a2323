/*
 * axon: the membrane potential along a cable, staggered Crank-Nicolson.
 *
 * Arrays in, arrays out. Nothing here knows Python, allocates while stepping,
 * or keeps global state: any number of simulations may live in one process,
 * each used by one thread at a time.
 *
 * Units inside: mV, ms, nA, uS, nF. Membrane expressions are per area, in
 * mA/cm2 and S/cm2; `area` carries 1e-2 times the area in um2, which turns
 * them into nA and uS.
 *
 * Functions that can fail return an ax_status; ax_message() puts it in words.
 */
#ifndef AXON_H
#define AXON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    AX_OK = 0,
    /* a stop, not an error: call again after draining */
    AX_STOP_FULL = 1,
    /* the caller's mistake */
    AX_ERR_ARGUMENT = -1,
    AX_ERR_PROGRAM = -2,
    AX_ERR_TABLE = -3,
    AX_ERR_ISA = -4,
    /* the machine's */
    AX_ERR_MEMORY = -5,
    /* the numbers' */
    AX_ERR_DIVERGED = -6,
} ax_status;

const char *ax_message(int status);

/* A run in which some |V| exceeds this many mV has blown up. */
#define AX_V_LIMIT 1000.0

#define AX_LANES 8
#define AX_GATES_PER_BLOCK 4
#define AX_MAX_TABLES 20
#define AX_MAX_HELD 256
#define AX_MAX_POWER 8 /* of a factor of an ohmic term */

/* ---- instruction sets ------------------------------------------------------------------- */

/* Number of instruction sets compiled in; the best comes last. */
int ax_isa_count(void);
const char *ax_isa_name(int isa);
/* Whether this machine can run it. */
int ax_isa_supported(int isa);
/* Whether multiply-add is fused: all sets where it is give the same bits. */
int ax_isa_fused(int isa);

/* ---- the vector program ----------------------------------------------------------------- */

/*
 * One instruction is five numbers: operation, destination, and three operands,
 * all slots (unused operands are -1). Slots are numbered in this order:
 *
 *   0           V, mV                                  (read only)
 *   1           time step of this advance, ms          (read only)
 *   2 ...       the states                             (read and written)
 *   ...         parameters, constants, multiples of 1  (read only)
 *   ...         what is held between slow steps        (read and written)
 *   ...         temporaries                            (written before they are read)
 *
 * The table of operations is the only place that lists them: X(NAME, operands).
 */
#define AX_OPERATIONS(X)                                                                     \
    X(COPY, 1) X(NEG, 1) X(ABS, 1) X(SQRT, 1) X(EXP, 1) X(EXPM1, 1) X(LOG, 1) X(TANH, 1)     \
    X(EXPREL, 1) /* x / (exp(x) - 1), 1 at 0 */ X(RECIPROCAL, 1)                             \
    X(ADD, 2) X(SUB, 2) X(MUL, 2) X(MIN, 2) X(MAX, 2)                                        \
    X(DIV, 2) /* a (1 / b) */ X(MUL3, 3) /* (a b) c */                                       \
    X(LT, 2) X(LE, 2) X(EQ, 2) /* 1 or 0 */                                                  \
    X(FMA, 3) /* a b + c */ X(FMS, 3) /* a b - c */ X(FNMA, 3) /* c - a b */                 \
    X(LERP, 3) /* c + a (b - c) */                                                           \
    X(EXP_MUL, 2) /* exp(a b) */ X(EXP_FMA, 3) /* exp(a b + c) */                            \
    X(RECIPROCAL_ADD, 2) /* 1 / (a + b) */ X(RECIPROCAL_FMA, 3) /* 1 / (a b + c) */          \
    X(SELECT, 3) /* a is not 0 ? b : c */

typedef enum {
#define X(name, operands) AX_OP_##name,
    AX_OPERATIONS(X)
#undef X
    AX_OP_COUNT
} ax_op;

const char *ax_op_name(int op);
int ax_op_operands(int op);

/*
 * What depends on V alone, in bins of one width. Row b holds blocks of eight
 * cubics in s = (V - min) / step - b, |s| <= 1/2. A block has up to four gates:
 * their steady states from cubic 0 on, their values of 1 - exp(-dt/tau) from
 * cubic 4 on. What the last of these leaves free, in order, takes values, and
 * more blocks take eight each. Values go into temporaries that no instruction
 * writes. Beyond its ends a table goes on as at its ends.
 */
typedef struct {
    int32_t n_gates, n_values, n_bins;
    int32_t slow;              /* whether only slow steps move its gates; it has no values then */
    double min, step;          /* mV */
    const int32_t *gate_state; /* [n_gates] state that each gate is */
    const int32_t *value_slot; /* [n_values] */
    const float *cubics;       /* [n_bins][blocks][4][8], constants first, then order 1 to 3 */
} ax_table;

/* Blocks that a bin of so many gates and values has. */
int64_t ax_table_blocks(int32_t n_gates, int32_t n_values);

/*
 * A membrane, as data. Every pointer is borrowed during ax_sim_create, which
 * copies what it needs. Nothing in here is trusted.
 */
typedef struct {
    int32_t n_states, n_params, n_consts, n_temps;
    const int32_t *param_length; /* [n_params] 1, or one value per compartment */
    const double *params;        /* all of them, one after the other */
    int64_t n_param_values;
    const double *consts; /* [n_consts] */
    int32_t n_multiples;
    const double *multiples; /* [n_multiples] of the time step */

    /*
     * What is slow moves with every stride-th step, by as many time steps at once: what the second
     * stretch of the code does. What the third computes is a function of the states, held in slots
     * of its own, a value per compartment, until the next such step.
     */
    int32_t stride; /* 1 or more */
    int32_t n_held; /* at most AX_MAX_HELD */

    int32_t n_tables; /* at most AX_MAX_TABLES */
    const ax_table *tables;

    /* Instructions, run in order once a step after the tables, but for the slow stretches. */
    int32_t n_code;
    const int32_t *code; /* [n_code][5] */
    int32_t stretch_end[3]; /* of the first three stretches; the fourth is the rest */
    int32_t middle_state; /* state that receives V(t + dt/2) of each step, or -1 */

    /*
     * The membrane's current is a sum, each part of it slope V - offset (S/cm2, mA/cm2): what the
     * program leaves in two slots, unless both are -1; what it leaves in two states for each
     * ion; and ohmic currents, gbar * prod(factor^power) * (V - reversal). Those of an ion are
     * added to its states too.
     */
    int32_t slope_slot, offset_slot;
    int32_t n_terms, n_factors, n_ions;
    const int32_t *terms;   /* [n_terms][5] gbar, reversal, first factor, their number, ion or -1 */
    const int32_t *factors; /* [n_factors][2] slot, power (1 to 8) */
    const int32_t *ions;    /* [n_ions][2] states: slope, S/cm2, and offset, mA/cm2 */

    /* What diffuses along the cable: before each step how fast it thereby grows is left in
     * another state. */
    int32_t n_diffusions;
    const int32_t *diffusions;            /* [n_diffusions][2] states: what, and where to */
    const double *diffusion_coefficients; /* [n_diffusions] um2/ms */
} ax_membrane;

/* A cable of n compartments in a row, or a tree of such cables. */
typedef struct {
    int64_t n;
    const double *area;        /* [n] 1e-2 um2: S/cm2 to uS, mA/cm2 to nA */
    const double *capacitance; /* [n] nF */
    /* [n] each one's neighbour nearer the root, which has a lower number; -1 for the root, which
     * is number 0. NULL: every compartment follows the one before it. */
    const int64_t *parent;
    const double *axial; /* [n - 1] uS between compartment i + 1 and its parent */
    /* [n - 1] 1/um2, what the parent of i + 1 gains by diffusion from it when that has 1 more, and
     * what i + 1 loses; both may be NULL where nothing diffuses. */
    const double *gain, *gain_below;
} ax_cable;

/*
 * Where electrodes inject: entry e adds weight[e] times source[e]'s current. A shunt takes its
 * conductance times V away: with a source beside it, it is a voltage clamp.
 */
typedef struct {
    int32_t n_sources, n_shunts;
    int64_t n_entries;
    const int64_t *compartment;
    const int32_t *source;
    const double *weight;
    const int64_t *shunt_compartment; /* [n_shunts] */
} ax_sources;

typedef struct {
    double dt;               /* ms */
    int backward_euler;      /* 0: Crank-Nicolson */
    double spike_threshold;  /* mV */
    int isa;                 /* index of an instruction set, -1 for the best */
    int64_t n_recorded;      /* compartments whose V is recorded */
    const int64_t *recorded; /* [n_recorded] */
    int64_t record_every;    /* steps between rows, 0 for none */
    int record_float;        /* rows of float rather than double */
    /* What electrodes outside see of V in each row: its sum, weighted. */
    int64_t n_electrodes;
    const double *electrode_weight; /* [n_electrodes][n] */
} ax_options;

typedef struct ax_sim ax_sim;

/* On success *out is owned by the caller, who hands it to ax_sim_free. */
int ax_sim_create(const ax_cable *cable, const ax_membrane *membrane, const ax_sources *sources,
                  const ax_options *options, ax_sim **out);
void ax_sim_free(ax_sim *self); /* NULL is allowed */

/* ---- state ------------------------------------------------------------------------------ */

/*
 * Everything a simulation must have to go on from where it is, as named fields
 * of doubles in compartment order. This one table is what checkpoints, Python
 * attributes and comparisons read.
 */
int ax_sim_field_count(const ax_sim *self);
const char *ax_sim_field_name(const ax_sim *self, int field); /* "v", "state", "step", ... */
int64_t ax_sim_field_size(const ax_sim *self, int field);     /* doubles */
int ax_sim_get_field(const ax_sim *self, int field, double *out);
int ax_sim_set_field(ax_sim *self, int field, const double *in);

/* ---- stepping --------------------------------------------------------------------------- */

typedef struct {
    /* What drives each of the coming steps. */
    const double *current;  /* [steps][n_sources + n_shunts] mean over the step: nA, then uS */
    const double *damped;   /* [steps] 0 to 1: how far for a discontinuity in or just before it */
    /* Rows of V, filled on the way: blocks of row_width columns each, side by side as the chunks
     * of a file are. What belongs to row r and column c stands at
     * rows[c / row_width * block_stride + r * row_width + c % row_width]. */
    void *rows;
    int64_t row_width, block_stride;
    double *seen; /* [row_capacity][n_electrodes] mV, a row beside each of these */
    int64_t row_capacity, row_count;
    /* Upward crossings of the threshold, by time step. */
    int64_t *spike_compartment;
    double *spike_time; /* ms */
    int64_t spike_capacity, spike_count;
} ax_drive;

/*
 * Advance by `steps` time steps.
 *
 * On entry V is known at t and the gates at t - dt/2 (at t when nothing has run
 * yet); on return both are `*taken` steps later. A row is recorded after every
 * record_every-th step since time zero.
 *
 *   self    changed in place; one thread at a time per simulation.
 *   steps   0 is allowed and does nothing.
 *   taken   receives the whole steps done, on failure too. Not NULL.
 *
 * Returns AX_OK; AX_ERR_ARGUMENT for negative steps, or rows of no width where some are to be
 * recorded; AX_STOP_FULL when no room is left for the next row or for
 * n spikes (drain, call again); AX_ERR_DIVERGED when some V is not finite or
 * beyond AX_V_LIMIT: ax_sim_divergence() then says where, and `self` may only
 * be read or freed.
 *
 * Source: M. Hines, Int. J. Bio-Med. Comput. 15, 69-76 (1984).
 */
int ax_sim_advance(ax_sim *self, ax_drive *drive, int64_t steps, int64_t *taken);

/* What the electrodes see now, mV: n_electrodes numbers, the same bits on every machine. */
void ax_sim_see(const ax_sim *self, double *out);

void ax_sim_divergence(const ax_sim *self, int64_t *compartment, double *v);

/*
 * Solve (diag(d) + L) x = b, L the cable's axial Laplacian, with the solver that
 * stepping uses. d, b and x have n entries.
 */
int ax_sim_solve(ax_sim *self, const double *d, const double *b, double *x);

/* Apply one operation of the vector program to n values (a multiple of 8, aligned to 64 bytes). */
int ax_apply(int isa, int op, const double *a, const double *b, const double *c, int64_t n,
             double *out);

#ifdef __cplusplus
}
#endif

#endif
