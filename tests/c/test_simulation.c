/*
 * Drives the public header alone, to be built with sanitizers: membranes made by hand, cables
 * of many sizes, buffers of exactly the size that was promised, malformed input, and memory
 * that runs out at every allocation in turn.
 *
 * Link with -Wl,--wrap=aligned_alloc,--wrap=free. Says what failed, and exits with 1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axon.h"

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

#define COUNT(...) (sizeof(__VA_ARGS__) / sizeof(__VA_ARGS__)[0])

/* ---- memory that runs out --------------------------------------------------------------- */

void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *p);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *p);

#define MAX_LIVE 4096

static struct {
    void *live[MAX_LIVE]; /* what the library has not freed yet */
    int n_live;
    int count;      /* allocations so far */
    int fail_at;    /* the one that fails, -1 for none */
    int fail_after; /* whether all later ones fail too */
} memory = {.fail_at = -1};

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    const int number = memory.count++;
    if (memory.fail_at >= 0 &&
        (number == memory.fail_at || (memory.fail_after && number > memory.fail_at)))
        return NULL;
    void *p = __real_aligned_alloc(alignment, size);
    CHECK(p != NULL && memory.n_live < MAX_LIVE);
    memory.live[memory.n_live++] = p;
    return p;
}

void __wrap_free(void *p) {
    for (int i = 0; p != NULL && i < memory.n_live; i++)
        if (memory.live[i] == p) {
            memory.live[i] = memory.live[--memory.n_live];
            break;
        }
    __real_free(p);
}

/* A block of exactly the size that is needed, so that reading past it is seen. */
static void *block(int64_t count, size_t size) {
    void *p = malloc((size_t)count * size);
    CHECK(p != NULL);
    return p;
}

static void *copy_of(const void *from, int64_t count, size_t size) {
    void *p = block(count, size);
    if (count > 0)
        memcpy(p, from, (size_t)count * size);
    return p;
}

/* ---- random numbers --------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double uniform(double low, double high) {
    return low + (high - low) * (double)(random_bits() >> 11) * 0x1p-53;
}

static int32_t below(int32_t n) { return (int32_t)(random_bits() % (uint64_t)n); }

/* ---- membranes -------------------------------------------------------------------------- */

#define OWNED(m, field, ...)                                                              \
    do {                                                                                  \
        (m)->field = copy_of((__VA_ARGS__), (int64_t)COUNT(__VA_ARGS__), sizeof *(m)->field); \
    } while (0)

static void free_membrane(ax_membrane *m) {
    free((void *)m->param_length);
    free((void *)m->params);
    free((void *)m->consts);
    free((void *)m->multiples);
    free((void *)m->diffusions);
    free((void *)m->diffusion_coefficients);
    for (int32_t i = 0; i < m->n_tables; i++) {
        free((void *)m->tables[i].gate_state);
        free((void *)m->tables[i].value_slot);
        free((void *)m->tables[i].cubics);
    }
    free((void *)m->tables);
    free((void *)m->code);
    free((void *)m->terms);
    free((void *)m->factors);
    free((void *)m->ions);
    memset(m, 0, sizeof *m);
}

/* `length` says how many values each parameter has; all are `value`. */
static void set_params(ax_membrane *m, int32_t n_params, const int32_t *length,
                       const double *value) {
    m->n_params = n_params;
    m->param_length = copy_of(length, n_params, sizeof *length);
    m->n_param_values = 0;
    for (int32_t p = 0; p < n_params; p++)
        m->n_param_values += length[p];
    double *to = block(m->n_param_values, sizeof *to);
    m->params = to;
    for (int32_t p = 0; p < n_params; p++)
        for (int32_t i = 0; i < length[p]; i++)
            *to++ = value[p];
}

static ax_membrane passive(int32_t n) {
    (void)n;
    ax_membrane m = {
        .stride = 1, .middle_state = -1, .slope_slot = -1, .offset_slot = -1, .n_terms = 1};
    set_params(&m, 2, (const int32_t[]){1, 1}, (const double[]){1e-3, -65.0});
    OWNED(&m, terms, (const int32_t[]){2, 3, 0, 0, -1});
    m.consts = block(0, 1);
    m.multiples = block(0, 1);
    m.ions = block(0, 1);
    m.code = block(0, 1);
    m.factors = block(0, 1);
    return m;
}

static double linoid(double x) { return x == 0.0 ? 1.0 : x / -expm1(-x); }

static void rates(int gate, double v, double *alpha, double *beta) {
    switch (gate) {
    case 0: *alpha = linoid((v + 40.0) / 10.0); *beta = 4.0 * exp(-(v + 65.0) / 18.0); break;
    case 1: *alpha = 0.07 * exp(-(v + 65.0) / 20.0); *beta = 1.0 / (1.0 + exp(-(v + 35.0) / 10.0)); break;
    default: *alpha = 0.1 * linoid((v + 55.0) / 10.0); *beta = 0.125 * exp(-(v + 65.0) / 80.0); break;
    }
}

/* Squid axon; five gates in two blocks, of which the currents use three, and a value in a third.
 * Two of the gates are pushed about by what the sodium current and the potential leave there. */
static ax_membrane squid(int32_t n) {
    enum { GATES = 5, BLOCKS = 3, BINS = 241 };
    ax_table t = {.n_gates = GATES, .n_values = 9, .n_bins = BINS, .min = -300.0, .step = 2.5};
    ax_membrane m = {.stride = 1, .n_states = GATES, .n_temps = 1, .n_tables = 1, .middle_state = 4,
                     .slope_slot = -1, .offset_slot = -1, .n_terms = 3, .n_factors = 3,
                     .n_ions = 1};
    set_params(&m, 6, (const int32_t[]){n, 1, 1, 1, n, 1},
               (const double[]){0.12, 50.0, 0.036, -77.0, 0.0003, -54.3});
    /* slots: V, dt, five states, then the parameters from 7 on */
    OWNED(&m, terms, (const int32_t[]){7, 8, 0, 2, 0, 9, 10, 2, 1, -1, 11, 12, 3, 0, -1});
    OWNED(&m, factors, (const int32_t[]){2, 3, 3, 1, 4, 4});
    OWNED(&m, ions, (const int32_t[]){3, 4});
    OWNED(&t, gate_state, (const int32_t[]){0, 1, 2, 4, 3});
    OWNED(&t, value_slot, (const int32_t[]){13, 13, 13, 13, 13, 13, 13, 13, 13});
    float *table = block(BINS * BLOCKS * 32, sizeof *table);
    memset(table, 0, BINS * BLOCKS * 32 * sizeof *table);
    for (int b = 0; b < BINS; b++)
        for (int gate = 0; gate < GATES; gate++) {
            double at[3][2]; /* at the bin's left end, centre, right end */
            for (int k = 0; k < 3; k++) {
                double alpha, beta;
                rates(gate % 3, t.min + t.step * (b + 0.5 * (k - 1)), &alpha, &beta);
                at[k][0] = alpha / (alpha + beta);
                at[k][1] = -expm1(-0.02 * (alpha + beta));
            }
            for (int which = 0; which < 2; which++) {
                float *cubic = table + (b * BLOCKS + gate / 4) * 32 + 4 * which + gate % 4;
                cubic[0] = (float)at[1][which];
                cubic[8] = (float)(at[2][which] - at[0][which]);
                cubic[16] = (float)(2.0 * (at[2][which] - 2.0 * at[1][which] + at[0][which]));
            }
        }
    /* Values: six where one gate leaves room, three in a block of their own. */
    static const int places[] = {33, 34, 35, 37, 38, 39, 64, 65, 66};
    for (int b = 0; b < BINS; b++)
        for (int k = 0; k < t.n_values; k++)
            table[b * BLOCKS * 32 + places[k]] = (float)b;
    t.cubics = table;
    m.tables = copy_of(&t, 1, sizeof t);
    m.consts = block(0, 1);
    m.multiples = block(0, 1);
    m.code = block(0, 1);
    return m;
}

/* A leak whose state goes through every operation of the program. */
static ax_membrane every_operation(int32_t n) {
    enum { V, DT, X, GBAR, E, SMALL, SCALE, HALF, T };
    static const int32_t code[][5] = {
        {AX_OP_MUL, T, V, SCALE, -1},         {AX_OP_NEG, T + 1, T, -1, -1},
        {AX_OP_EXP, T + 2, T, -1, -1},        {AX_OP_EXPREL, T + 1, T + 1, -1, -1},
        {AX_OP_EXP_FMA, T + 5, T, HALF, T},   {AX_OP_RECIPROCAL_ADD, T + 5, T + 5, SMALL, -1},
        {AX_OP_EXP_MUL, T + 4, T, HALF, -1},  {AX_OP_RECIPROCAL_FMA, T + 5, T + 4, HALF, T + 5},
        {AX_OP_LERP, T + 2, HALF, T + 5, T + 2},
        {AX_OP_ADD, T + 1, T + 2, T + 1, -1}, {AX_OP_RECIPROCAL, T + 5, T + 1, -1, -1},
        {AX_OP_MUL, T + 5, T + 2, T + 5, -1}, {AX_OP_DIV, T + 2, T + 2, T + 1, -1},
        {AX_OP_MIN, T + 2, T + 2, T + 5, -1},
        {AX_OP_MUL, T + 1, T + 1, DT, -1},    {AX_OP_NEG, T + 1, T + 1, -1, -1},
        {AX_OP_EXPM1, T + 1, T + 1, -1, -1},  {AX_OP_NEG, T + 1, T + 1, -1, -1},
        {AX_OP_ABS, T + 3, T, -1, -1},        {AX_OP_ADD, T + 3, T + 3, SMALL, -1},
        {AX_OP_SQRT, T + 3, T + 3, -1, -1},   {AX_OP_LOG, T + 3, T + 3, -1, -1},
        {AX_OP_TANH, T + 3, T + 3, -1, -1},   {AX_OP_MAX, T + 4, T + 3, X, -1},
        {AX_OP_MIN, T + 4, T + 4, T + 2, -1}, {AX_OP_LT, T + 5, V, E, -1},
        {AX_OP_SELECT, T + 3, T + 5, T + 3, T + 4}, {AX_OP_LE, T + 4, V, V, -1},
        {AX_OP_EQ, T + 5, E, E, -1},          {AX_OP_FMS, T + 5, T + 5, T + 5, HALF},
        {AX_OP_FNMA, T + 5, HALF, HALF, T + 5}, {AX_OP_MUL, T + 4, T + 4, T + 5, -1},
        {AX_OP_MUL, T + 3, T + 3, T + 3, -1}, {AX_OP_FMA, T + 3, T + 3, GBAR, GBAR},
        {AX_OP_MUL3, T + 3, T + 3, T + 4, T + 5}, {AX_OP_SUB, T + 2, T + 2, X, -1},
        {AX_OP_FMA, X, T + 1, T + 2, X},      {AX_OP_MUL, T + 4, T + 3, E, -1},
        {AX_OP_COPY, T, T + 3, -1, -1},
    };
    char used[AX_OP_COUNT] = {0};
    for (size_t i = 0; i < COUNT(code); i++)
        used[code[i][0]] = 1;
    CHECK(memchr(used, 0, sizeof used) == NULL);

    ax_membrane m = {.stride = 1, .n_states = 1, .n_consts = 2, .n_multiples = 1, .n_temps = 6,
                     .n_code = (int32_t)COUNT(code), .middle_state = -1, .slope_slot = T,
                     .offset_slot = T + 4, .n_terms = 1, .n_factors = 2};
    set_params(&m, 2, (const int32_t[]){n, 1}, (const double[]){1e-3, -60.0});
    OWNED(&m, consts, (const double[]){0.125, 0.03});
    OWNED(&m, multiples, (const double[]){0.5});
    m.code = copy_of(code, (int64_t)COUNT(code), sizeof code[0]);
    OWNED(&m, terms, (const int32_t[]){GBAR, E, 0, 2, -1});
    OWNED(&m, factors, (const int32_t[]){X, 2, X, 7});
    m.ions = block(0, 1);
    return m;
}

/* A leak that follows V in every third step, and is held in between; so is a gate beside it. */
static ax_membrane slow(int32_t n) {
    enum { V, DT, X, GATE, GBAR, E, SCALE, MULTIPLE, HELD, T };
    static const int32_t code[][5] = {
        {AX_OP_MUL, T, V, SCALE, -1}, /* in every step */
        {AX_OP_SUB, T + 1, T, X, -1},          {AX_OP_FMA, X, T + 1, MULTIPLE, X}, /* moves */
        {AX_OP_MUL, T + 1, X, X, -1},          {AX_OP_FMA, HELD, T + 1, GBAR, GBAR}, /* held */
        {AX_OP_FMA, T + 1, GATE, HELD, HELD},  {AX_OP_MUL, T, T + 1, E, -1}, /* in every step */
    };
    enum { BINS = 121 };
    ax_membrane m = {.stride = 3, .n_held = 1, .n_states = 2, .n_consts = 1, .n_multiples = 1,
                     .n_temps = 2, .n_tables = 1, .n_code = (int32_t)COUNT(code),
                     .stretch_end = {1, 3, 5}, .middle_state = -1, .slope_slot = T + 1,
                     .offset_slot = T};
    set_params(&m, 2, (const int32_t[]){n, 1}, (const double[]){1e-3, -60.0});
    float *table = block(BINS * 32, sizeof *table);
    memset(table, 0, BINS * 32 * sizeof *table);
    for (int i = 0; i < BINS; i++) {
        const double v = -300.0 + 5.0 * i;
        table[32 * i] = (float)(1.0 / (1.0 + exp(-(v + 40.0) / 15.0)));
        table[32 * i + 4] = 0.01f;
    }
    ax_table t = {.slow = 1, .n_gates = 1, .n_bins = BINS, .min = -300.0, .step = 5.0};
    t.gate_state = copy_of((const int32_t[]){1}, 1, sizeof(int32_t));
    t.value_slot = block(0, 1);
    t.cubics = table;
    m.tables = copy_of(&t, 1, sizeof t);
    OWNED(&m, consts, (const double[]){0.02});
    OWNED(&m, multiples, (const double[]){3.0});
    m.code = copy_of(code, (int64_t)COUNT(code), sizeof code[0]);
    m.terms = block(0, 1);
    m.factors = block(0, 1);
    m.ions = block(0, 1);
    return m;
}

typedef ax_membrane (*membrane_maker)(int32_t n);

static const membrane_maker makers[] = {passive, squid, every_operation, slow};

#define TABLE(in) ((ax_table *)(in).membrane.tables)

/* ---- simulations ------------------------------------------------------------------------ */

typedef struct {
    int32_t n;
    ax_membrane membrane;
    ax_cable cable;
    ax_sources sources;
    ax_options options;
} input;

/* even: the same all along, of which less is kept; branched: a tree at random, with stretches as
 * they come. */
static input make_input(int32_t n, membrane_maker maker, int even, int isa, int branched) {
    input in = {.n = n, .membrane = maker(n)};
    const double spread = even ? 0.0 : 0.2;
    double *area = block(n, sizeof *area), *capacitance = block(n, sizeof *capacitance);
    double *axial = block(n - 1, sizeof *axial);
    for (int32_t i = 0; i < n; i++) {
        area[i] = 1500.0 * uniform(1.0 - spread, 1.0 + spread);
        capacitance[i] = 1.5 * uniform(1.0 - spread, 1.0 + spread);
    }
    for (int32_t i = 0; i + 1 < n; i++)
        axial[i] = 50.0 * uniform(1.0 - spread, 1.0 + spread);
    double *gain = block(n - 1, sizeof *gain), *gain_below = block(n - 1, sizeof *gain_below);
    for (int32_t i = 0; i + 1 < n; i++)
        gain[i] = gain_below[i] = 0.01;
    int64_t *parent = NULL;
    if (branched) {
        parent = block(n, sizeof *parent);
        for (int32_t i = 0; i < n; i++)
            parent[i] = i == 0 || uniform(0.0, 1.0) < 0.9 ? i - 1 : (int64_t)uniform(0.0, i);
    }
    in.cable = (ax_cable){.n = n, .area = area, .capacitance = capacitance, .parent = parent,
                          .axial = axial, .gain = gain, .gain_below = gain_below};
    in.sources = (ax_sources){.n_sources = 2, .n_entries = 3};
    OWNED(&in.sources, compartment, (const int64_t[]){0, n / 2, n - 1});
    OWNED(&in.sources, source, (const int32_t[]){0, 1, 1});
    OWNED(&in.sources, weight, (const double[]){n < 20 ? n : 20, 1.0, 0.5});
    in.options = (ax_options){.dt = 0.02, .spike_threshold = -20.0, .isa = isa, .n_recorded = 2,
                              .record_every = 3};
    OWNED(&in.options, recorded, (const int64_t[]){n - 1, n / 3});
    in.options.n_electrodes = 3;
    double *weight = block(3 * (int64_t)n, sizeof *weight);
    for (int64_t i = 0; i < 3 * (int64_t)n; i++)
        weight[i] = uniform(-1.0, 1.0);
    in.options.electrode_weight = weight;
    return in;
}

static void free_input(input *in) {
    free_membrane(&in->membrane);
    free((void *)in->cable.area);
    free((void *)in->cable.capacitance);
    free((void *)in->cable.parent);
    free((void *)in->cable.axial);
    free((void *)in->cable.gain);
    free((void *)in->cable.gain_below);
    free((void *)in->sources.compartment);
    free((void *)in->sources.source);
    free((void *)in->sources.weight);
    free((void *)in->options.recorded);
    free((void *)in->options.electrode_weight);
}

static int create(const input *in, ax_sim **sim) {
    return ax_sim_create(&in->cable, &in->membrane, &in->sources, &in->options, sim);
}

/* Fields as one array, in the order of the table. */
static double *get_fields(const ax_sim *sim, int64_t *size) {
    *size = 0;
    for (int f = 0; f < ax_sim_field_count(sim); f++)
        *size += ax_sim_field_size(sim, f);
    double *all = block(*size, sizeof *all), *to = all;
    for (int f = 0; f < ax_sim_field_count(sim); to += ax_sim_field_size(sim, f++)) {
        double *one = block(ax_sim_field_size(sim, f), sizeof *one);
        CHECK(ax_sim_get_field(sim, f, one) == AX_OK);
        memcpy(to, one, (size_t)ax_sim_field_size(sim, f) * sizeof *one);
        free(one);
    }
    return all;
}

static void set_fields(ax_sim *sim, const double *all) {
    for (int f = 0; f < ax_sim_field_count(sim); all += ax_sim_field_size(sim, f++)) {
        double *one = copy_of(all, ax_sim_field_size(sim, f), sizeof *one);
        CHECK(ax_sim_set_field(sim, f, one) == AX_OK);
        free(one);
    }
}

static void start(ax_sim *sim) {
    int64_t size;
    double *all = get_fields(sim, &size);
    const int64_t n = ax_sim_field_size(sim, 0), states = ax_sim_field_size(sim, 1);
    for (int64_t i = 0; i < n; i++)
        all[i] = -65.0;
    for (int64_t i = 0; i < states; i++)
        all[n + i] = 0.3;
    set_fields(sim, all);
    free(all);
}

typedef struct {
    int64_t rows, spikes, stops;
    double last, seen; /* values recorded last */
    int status;
} tally;

/* Advance with room for `rows` rows and n + `spikes` spikes, draining when a buffer is full. */
static tally advance(ax_sim *sim, const input *in, int64_t from, int64_t steps, int64_t rows,
                     int64_t spikes) {
    const size_t value = in->options.record_float ? sizeof(float) : sizeof(double);
    const int64_t n_recorded = in->options.n_recorded, room = in->n + spikes;
    tally sum = {.status = AX_OK};
    for (int64_t done = 0; done < steps;) {
        const int64_t left = steps - done;
        double *current = block(2 * left, sizeof *current);
        double *damped = block(left, sizeof *damped);
        for (int64_t i = 0; i < left; i++) {
            const int64_t step = from + done + i;
            current[2 * i] = step >= 5 && step < 35 ? 300.0 : 0.0;
            current[2 * i + 1] = step >= 20 && step < 30 ? -50.0 : 0.0;
            damped[i] = step == 0 || step == 5 || step == 20 || step == 30 ? 1.0 : step == 35 ? 0.3 : 0.0;
        }
        ax_drive drive = {.current = current, .damped = damped,
                          .rows = block(rows * n_recorded, value), .row_capacity = rows,
                          .row_width = n_recorded,
                          .seen = block(rows * in->options.n_electrodes, sizeof(double)),
                          .spike_compartment = block(room, sizeof(int64_t)),
                          .spike_time = block(room, sizeof(double)), .spike_capacity = room};
        int64_t taken = -1;
        sum.status = ax_sim_advance(sim, &drive, left, &taken);
        CHECK(taken >= 0 && taken <= left);
        CHECK(drive.row_count <= rows && drive.spike_count <= room);
        CHECK(sum.status == AX_OK ? taken == left : taken < left);
        for (int64_t k = 0; k < drive.spike_count; k++) {
            CHECK(drive.spike_compartment[k] >= 0 && drive.spike_compartment[k] < in->n);
            CHECK(drive.spike_time[k] >= 0.0);
        }
        if (drive.row_count > 0 && n_recorded > 0) {
            const int64_t last = drive.row_count * n_recorded - 1;
            sum.last = in->options.record_float ? (double)((float *)drive.rows)[last]
                                                : ((double *)drive.rows)[last];
        }
        if (drive.row_count > 0)
            sum.seen = drive.seen[drive.row_count * in->options.n_electrodes - 1];
        sum.rows += drive.row_count;
        sum.spikes += drive.spike_count;
        sum.stops += sum.status == AX_STOP_FULL;
        done += taken;
        free(current);
        free(damped);
        free(drive.rows);
        free(drive.seen);
        free(drive.spike_compartment);
        free(drive.spike_time);
        if (sum.status < 0)
            break;
        /* A buffer that is full now has room again: no step is stuck. */
        CHECK(taken > 0);
    }
    return sum;
}

static const int32_t sizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 63, 64, 65, 127, 255, 256, 257,
                                271, 272, 273, 600};

/* The same run at once, and in pieces through a second simulation that takes over the state. */
static void check_runs(int isa) {
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t k = 0; k < COUNT(makers); k++)
            for (int variant = 0; variant < 10; variant++) {
                input in = make_input(sizes[i], makers[k], variant & 4, isa, variant & 8);
                in.options.backward_euler = variant & 1;
                in.options.record_float = variant >> 1 & 1;
                ax_sim *whole, *first, *second;
                CHECK(create(&in, &whole) == AX_OK);
                CHECK(create(&in, &first) == AX_OK);
                CHECK(create(&in, &second) == AX_OK);
                input shape = in;
                free_input(&in); /* nothing that was handed over is kept */
                start(whole);
                start(first);
                const tally at_once = advance(whole, &shape, 0, 60, 20, 60 * shape.n);
                CHECK(at_once.status == AX_OK && at_once.stops == 0 && at_once.rows == 20);

                const tally before = advance(first, &shape, 0, 23, 2, 0);
                int64_t size;
                double *state = get_fields(first, &size);
                set_fields(second, state);
                free(state);
                const tally after = advance(second, &shape, 23, 37, 1, 1);
                CHECK(before.rows + after.rows == at_once.rows);
                CHECK(before.spikes + after.spikes == at_once.spikes);
                CHECK(before.stops > 0 && after.stops > 0);
                CHECK(after.last == at_once.last);
                double *seen = block(shape.options.n_electrodes, sizeof *seen);
                ax_sim_see(whole, seen);
                CHECK(after.seen == at_once.seen && isfinite(seen[2]));
                free(seen);
                if (makers[k] == squid)
                    CHECK(at_once.spikes > 0);

                double *a = get_fields(whole, &size), *b = get_fields(second, &size);
                CHECK(memcmp(a, b, (size_t)size * sizeof *a) == 0);
                for (int64_t j = 0; j < size; j++)
                    CHECK(isfinite(a[j]));
                free(a);
                free(b);
                ax_sim_free(whole);
                ax_sim_free(first);
                ax_sim_free(second);
            }
}

/* Nothing recorded, no electrodes, nothing to do. */
static void check_bare(int isa) {
    input in = make_input(9, passive, 0, isa, 0);
    in.options.n_recorded = in.options.record_every = in.options.n_electrodes = 0;
    in.sources.n_sources = 0;
    in.sources.n_entries = 0;
    ax_sim *sim;
    CHECK(create(&in, &sim) == AX_OK);
    int64_t taken = -1, spike[9];
    double time[9];
    ax_drive drive = {.damped = (const double[]){0, 1, 0}, .spike_compartment = spike,
                      .spike_time = time, .spike_capacity = 9};
    CHECK(ax_sim_advance(sim, &drive, 0, &taken) == AX_OK && taken == 0);
    CHECK(ax_sim_advance(sim, &drive, 3, &taken) == AX_OK && taken == 3);
    CHECK(ax_sim_advance(sim, &drive, -1, &taken) == AX_ERR_ARGUMENT && taken == 0);
    drive.spike_capacity = 8; /* not room for everybody */
    CHECK(ax_sim_advance(sim, &drive, 3, &taken) == AX_STOP_FULL && taken == 0);
    double value;
    CHECK(ax_sim_get_field(sim, -1, &value) == AX_ERR_ARGUMENT);
    CHECK(ax_sim_get_field(sim, ax_sim_field_count(sim), &value) == AX_ERR_ARGUMENT);
    CHECK(ax_sim_set_field(sim, ax_sim_field_count(sim), &value) == AX_ERR_ARGUMENT);
    CHECK(ax_sim_field_size(sim, -1) == 0);
    CHECK(ax_sim_field_name(sim, -1)[0] == '\0');
    ax_sim_free(sim);

    in.options.record_every = 1; /* of nobody */
    CHECK(create(&in, &sim) == AX_OK);
    drive.row_capacity = 2;
    drive.spike_capacity = 9;
    CHECK(ax_sim_advance(sim, &drive, 3, &taken) == AX_STOP_FULL && taken == 2);
    ax_sim_free(sim);
    free_input(&in);
}

static void check_solver(int isa) {
    for (size_t i = 0; i < 2 * COUNT(sizes); i++) {
        const int32_t n = sizes[i / 2];
        input in = make_input(n, passive, i % 2, isa, 0);
        ax_sim *sim;
        CHECK(create(&in, &sim) == AX_OK);
        double *d = block(n, sizeof *d), *b = block(n, sizeof *b), *x = block(n, sizeof *x);
        for (int32_t k = 0; k < n; k++) {
            d[k] = pow(10.0, uniform(-3.0, 3.0));
            b[k] = uniform(-1.0, 1.0);
        }
        CHECK(ax_sim_solve(sim, d, b, x) == AX_OK);
        for (int32_t k = 0; k < n; k++) {
            double left = d[k] * x[k], scale = fabs(left) + fabs(b[k]);
            for (int32_t j = k - 1; j <= k + 1; j += 2)
                if (j >= 0 && j < n) {
                    const double g = in.cable.axial[j < k ? j : k];
                    left += g * (x[k] - x[j]);
                    scale += g * (fabs(x[k]) + fabs(x[j]));
                }
            CHECK(fabs(left - b[k]) <= 1e-14 * scale); /* some tens of roundings */
        }
        free(d);
        free(b);
        free(x);
        ax_sim_free(sim);
        free_input(&in);
    }
}

static void check_divergence(int isa) {
    input in = make_input(40, squid, 0, isa, 0);
    ax_sim *sim;
    CHECK(create(&in, &sim) == AX_OK);
    start(sim);
    double v[40];
    for (int k = 0; k < 40; k++)
        v[k] = k == 33 ? 5000.0 : -65.0;
    CHECK(ax_sim_set_field(sim, 0, v) == AX_OK);
    CHECK(advance(sim, &in, 0, 10, 10, 1000).status == AX_ERR_DIVERGED);
    int64_t where = -1;
    double found = 0.0;
    ax_sim_divergence(sim, &where, &found);
    CHECK(where >= 0 && where < 40 && !(fabs(found) <= AX_V_LIMIT));
    CHECK(advance(sim, &in, 0, 10, 10, 1000).status == AX_ERR_DIVERGED);
    v[0] = NAN;
    CHECK(ax_sim_set_field(sim, 0, v) == AX_ERR_ARGUMENT);
    ax_sim_free(sim);

    CHECK(create(&in, &sim) == AX_OK);
    start(sim);
    CHECK(advance(sim, &in, 0, 3, 10, 1000).status == AX_OK); /* inside the table */
    for (int k = 0; k < 40; k++)
        v[k] = k % 2 ? 400.0 : -900.0; /* outside, but inside the limit */
    CHECK(ax_sim_set_field(sim, 0, v) == AX_OK);
    CHECK(advance(sim, &in, 3, 1, 10, 1000).status == AX_OK);
    double saturated = 0.0;
    CHECK(ax_sim_get_field(sim, 3, &saturated) == AX_OK && saturated == 1.0);
    ax_sim_free(sim);
    free_input(&in);
}

/* One wrong number in `in`: creation must say `expected`, and keep nothing. */
#define REFUSED(lvalue, wrong, expected)                \
    do {                                                \
        const __typeof__(lvalue) right_ = (lvalue);     \
        ax_sim *sim_ = (ax_sim *)&in;                   \
        (lvalue) = (wrong);                             \
        CHECK(create(&in, &sim_) == (expected));        \
        CHECK(sim_ == NULL && memory.n_live == 0);      \
        (lvalue) = right_;                              \
    } while (0)

/* What the input says through const pointers is ours, and may be spoilt. */
#define AT(pointer, index) (((__typeof__(*(pointer) + 0) *)(uintptr_t)(pointer))[index])

/* Tables that begin above 0 mV or end below it, of an axon that stays there. */
static void check_tables_elsewhere(int isa) {
    static const double begins[] = {0.0, 10.0, 1e6, -601.0, -1e6, 1e300, -1e300};
    for (size_t i = 0; i < COUNT(begins); i++) {
        input in = make_input(40, squid, 1, isa, 0);
        TABLE(in)->min = begins[i];
        in.membrane.n_terms = in.membrane.n_ions = 0;
        in.sources.n_sources = 0;
        in.sources.n_entries = 0;
        ax_sim *sim;
        CHECK(create(&in, &sim) == AX_OK);
        int64_t taken, spike[40];
        double time[40], states[5 * 40], seen[3];
        ax_drive drive = {.damped = (const double[]){1, 0, 0}, .rows = time, .seen = seen,
                          .row_capacity = 1, .spike_compartment = spike, .spike_time = time,
                          .spike_capacity = 40};
        CHECK(ax_sim_advance(sim, &drive, 3, &taken) == AX_ERR_ARGUMENT && taken == 0);
        drive.row_width = 40;
        CHECK(ax_sim_advance(sim, &drive, 3, &taken) == AX_OK && taken == 3);
        CHECK(ax_sim_get_field(sim, 1, states) == AX_OK);
        for (size_t k = 0; k < COUNT(states); k++)
            CHECK(states[k] >= 0.0 && states[k] <= 1.0);
        ax_sim_free(sim);
        free_input(&in);
    }
}

/* A state that diffuses into another. */
static void check_diffusion(int isa) {
    input in = make_input(20, passive, 1, isa, 0);
    in.membrane.n_states = 2;
    AT(in.membrane.terms, 0) = 4; /* parameters come after the states */
    AT(in.membrane.terms, 1) = 5;
    in.membrane.n_diffusions = 1;
    OWNED(&in.membrane, diffusions, (const int32_t[]){0, 1});
    OWNED(&in.membrane, diffusion_coefficients, (const double[]){2.0});
    ax_sim *sim;
    CHECK(create(&in, &sim) == AX_OK);
    double states[40] = {0};
    states[7] = 1.0; /* of the first state, in one compartment */
    CHECK(ax_sim_set_field(sim, 1, states) == AX_OK);
    CHECK(advance(sim, &in, 0, 1, 1, 1000).status == AX_OK);
    CHECK(ax_sim_get_field(sim, 1, states) == AX_OK);
    for (int i = 0; i < 20; i++) {
        const double expected = i == 7 ? -0.04 : i == 6 || i == 8 ? 0.02 : 0.0;
        CHECK(fabs(states[20 + i] - expected) < 1e-15);
    }
    ax_sim_free(sim);

    REFUSED(AT(in.membrane.diffusions, 0), -1, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.diffusions, 1), 2, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.diffusions, 1), 0, AX_ERR_PROGRAM); /* into itself */
    REFUSED(AT(in.membrane.diffusion_coefficients, 0), NAN, AX_ERR_PROGRAM);
    REFUSED(in.membrane.n_diffusions, -1, AX_ERR_PROGRAM);
    REFUSED(in.cable.gain, NULL, AX_ERR_ARGUMENT);
    REFUSED(in.cable.gain_below, NULL, AX_ERR_ARGUMENT);
    REFUSED(AT(in.cable.gain, 3), 0.0, AX_ERR_ARGUMENT);
    REFUSED(AT(in.cable.gain_below, 18), INFINITY, AX_ERR_ARGUMENT);
    free_input(&in);
}

/* ---- operations ------------------------------------------------------------------------- */

static void check_operations(int isa) {
    static const double special[] = {0.0,   -0.0,   1.0,    -1.0,   INFINITY, -INFINITY, NAN, 5e-324,
                                     1e300, -1e300, 709.78, 709.79, -745.1,   -745.2,    0.5, -1e-310};
    enum { N = COUNT(special) * COUNT(special) };
    static _Alignas(64) double a[N], b[N], c[N], out[N];
    for (size_t i = 0; i < COUNT(special); i++)
        for (size_t k = 0; k < COUNT(special); k++) {
            a[i * COUNT(special) + k] = special[i];
            b[i * COUNT(special) + k] = special[k];
            c[i * COUNT(special) + k] = special[(i + k) % COUNT(special)];
        }
    for (int op = 0; op < AX_OP_COUNT; op++) {
        CHECK(ax_op_name(op)[0] != '\0');
        CHECK(ax_op_operands(op) >= 1 && ax_op_operands(op) <= 3);
        CHECK(ax_apply(isa, op, a, b, c, N, out) == AX_OK);
        CHECK(ax_apply(isa, op, a, b, c, 0, out) == AX_OK);
    }
    CHECK(ax_apply(isa, AX_OP_EXP, a, b, c, N, out) == AX_OK && out[0] == 1.0);
    CHECK(ax_apply(isa, AX_OP_COUNT, a, b, c, N, out) == AX_ERR_ARGUMENT);
    CHECK(ax_apply(isa, -1, a, b, c, N, out) == AX_ERR_ARGUMENT);
    CHECK(ax_apply(isa, AX_OP_EXP, a, b, c, 7, out) == AX_ERR_ARGUMENT);
    CHECK(ax_apply(isa, AX_OP_EXP, a, b, c, -8, out) == AX_ERR_ARGUMENT);
}

static void check_names(void) {
    for (int status = -10; status < 10; status++)
        CHECK(ax_message(status)[0] != '\0');
    CHECK(ax_op_operands(-1) == -1 && ax_op_operands(AX_OP_COUNT) == -1);
    CHECK(ax_op_name(-1)[0] == '\0' && ax_op_name(AX_OP_COUNT)[0] == '\0');
    CHECK(ax_isa_name(-1)[0] == '\0' && ax_isa_name(ax_isa_count())[0] == '\0');
    CHECK(!ax_isa_supported(-1) && !ax_isa_supported(ax_isa_count()));
    CHECK(!ax_isa_fused(-1) && !ax_isa_fused(ax_isa_count()));
    CHECK(ax_isa_supported(0));
    ax_sim_free(NULL);
}

/* ---- malformed input -------------------------------------------------------------------- */

static void check_malformed(void) {
    input in = make_input(20, squid, 0, -1, 0);
    REFUSED(in.options.isa, ax_isa_count(), AX_ERR_ISA);
    REFUSED(in.options.dt, 0.0, AX_ERR_ARGUMENT);
    REFUSED(in.options.dt, NAN, AX_ERR_ARGUMENT);
    REFUSED(in.options.spike_threshold, INFINITY, AX_ERR_ARGUMENT);
    REFUSED(in.options.n_recorded, -1, AX_ERR_ARGUMENT);
    REFUSED(in.options.record_every, -1, AX_ERR_ARGUMENT);
    REFUSED(in.options.n_electrodes, -1, AX_ERR_ARGUMENT);
    REFUSED(AT(in.options.electrode_weight, 2), NAN, AX_ERR_ARGUMENT);
    REFUSED(AT(in.options.recorded, 1), 20, AX_ERR_ARGUMENT);
    REFUSED(AT(in.options.recorded, 1), -1, AX_ERR_ARGUMENT);
    REFUSED(in.cable.n, 0, AX_ERR_ARGUMENT);
    REFUSED(in.cable.n, -1, AX_ERR_ARGUMENT);
    REFUSED(in.cable.n, INT64_MAX, AX_ERR_ARGUMENT);
    REFUSED(AT(in.cable.area, 19), 0.0, AX_ERR_ARGUMENT);
    REFUSED(AT(in.cable.capacitance, 19), NAN, AX_ERR_ARGUMENT);
    REFUSED(AT(in.cable.axial, 18), -1.0, AX_ERR_ARGUMENT);
    REFUSED(in.sources.n_sources, -1, AX_ERR_ARGUMENT);
    REFUSED(in.sources.n_sources, 1, AX_ERR_ARGUMENT);
    REFUSED(in.sources.n_entries, -1, AX_ERR_ARGUMENT);
    REFUSED(AT(in.sources.compartment, 2), 20, AX_ERR_ARGUMENT);
    REFUSED(AT(in.sources.source, 2), -1, AX_ERR_ARGUMENT);
    REFUSED(AT(in.sources.weight, 2), INFINITY, AX_ERR_ARGUMENT);

    int32_t *const counts[] = {&in.membrane.n_states, &in.membrane.n_params, &in.membrane.n_consts,
                               &in.membrane.n_temps, &in.membrane.n_code, &in.membrane.n_terms,
                               &in.membrane.n_factors, &in.membrane.n_ions,
                               &in.membrane.n_multiples};
    for (size_t i = 0; i < COUNT(counts); i++) {
        REFUSED(*counts[i], -1, AX_ERR_PROGRAM);
        REFUSED(*counts[i], INT32_MAX, AX_ERR_PROGRAM);
        REFUSED(*counts[i], INT32_MIN, AX_ERR_PROGRAM);
    }
    REFUSED(in.membrane.n_param_values, 45, AX_ERR_PROGRAM);
    REFUSED(in.membrane.n_param_values, -1, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.param_length, 0), 19, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.param_length, 0), -20, AX_ERR_PROGRAM);
    REFUSED(TABLE(in)->slow, 1, AX_ERR_TABLE); /* it has values */
    REFUSED(TABLE(in)->n_bins, 1, AX_ERR_TABLE);
    REFUSED(TABLE(in)->n_bins, -5, AX_ERR_TABLE);
    REFUSED(TABLE(in)->n_bins, INT32_MAX, AX_ERR_TABLE);
    REFUSED(TABLE(in)->min, NAN, AX_ERR_TABLE);
    REFUSED(TABLE(in)->step, 0.0, AX_ERR_TABLE);
    REFUSED(TABLE(in)->step, -1.0, AX_ERR_TABLE);
    REFUSED(TABLE(in)->step, INFINITY, AX_ERR_TABLE);
    REFUSED(TABLE(in)->step, 5e-324, AX_ERR_TABLE);
    REFUSED(AT(TABLE(in)->gate_state, 4), 5, AX_ERR_TABLE);
    REFUSED(AT(TABLE(in)->gate_state, 0), -1, AX_ERR_TABLE);
    REFUSED(AT(TABLE(in)->value_slot, 0), 14, AX_ERR_TABLE);
    REFUSED(AT(TABLE(in)->value_slot, 0), 12, AX_ERR_TABLE);
    REFUSED(TABLE(in)->n_gates, -1, AX_ERR_TABLE);
    REFUSED(TABLE(in)->n_gates, INT32_MAX, AX_ERR_TABLE);
    REFUSED(TABLE(in)->n_values, INT32_MIN, AX_ERR_TABLE);
    REFUSED(AT(TABLE(in)->cubics, 0), NAN, AX_ERR_TABLE);
    REFUSED(AT(TABLE(in)->cubics, 241 * 96 - 1), INFINITY, AX_ERR_TABLE);
    REFUSED(in.membrane.n_tables, -1, AX_ERR_TABLE);
    REFUSED(in.membrane.n_tables, AX_MAX_TABLES + 1, AX_ERR_TABLE);
    REFUSED(in.membrane.middle_state, -2, AX_ERR_PROGRAM);
    REFUSED(in.membrane.middle_state, 5, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.ions, 0), -1, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.ions, 1), 5, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.terms, 4), 1, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.terms, 4), -2, AX_ERR_PROGRAM);
    REFUSED(in.membrane.slope_slot, 5, AX_ERR_PROGRAM);
    REFUSED(in.membrane.offset_slot, 5, AX_ERR_PROGRAM);
    for (int i = 0; i < 2; i++) {
        REFUSED(AT(in.membrane.terms, i), -1, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.terms, i), 14, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.terms, 2 + i), -1, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.terms, 2 + i), 4, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.terms, 2 + i), INT32_MAX, AX_ERR_PROGRAM);
    }
    REFUSED(AT(in.membrane.factors, 0), 14, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.factors, 1), 0, AX_ERR_PROGRAM);
    REFUSED(AT(in.membrane.factors, 1), 9, AX_ERR_PROGRAM);
    free_input(&in);

    in = make_input(20, every_operation, 0, -1, 0);
    const int32_t n_slots = 14;
    for (int32_t i = 0; i < in.membrane.n_code; i++) {
        const int operands = ax_op_operands(in.membrane.code[5 * i]);
        REFUSED(AT(in.membrane.code, 5 * i), AX_OP_COUNT, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.code, 5 * i), -1, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.code, 5 * i + 1), n_slots, AX_ERR_PROGRAM);
        REFUSED(AT(in.membrane.code, 5 * i + 1), 0, AX_ERR_PROGRAM); /* V is read only */
        REFUSED(AT(in.membrane.code, 5 * i + 1), 3, AX_ERR_PROGRAM); /* and parameters */
        REFUSED(AT(in.membrane.code, 5 * i + 1), 5, AX_ERR_PROGRAM); /* and constants */
        REFUSED(AT(in.membrane.code, 5 * i + 1), 7, AX_ERR_PROGRAM); /* and multiples of dt */
        for (int k = 0; k < 3; k++) {
            REFUSED(AT(in.membrane.code, 5 * i + 2 + k), n_slots, AX_ERR_PROGRAM);
            REFUSED(AT(in.membrane.code, 5 * i + 2 + k), INT32_MIN, AX_ERR_PROGRAM);
            REFUSED(AT(in.membrane.code, 5 * i + 2 + k), k < operands ? -1 : 0, AX_ERR_PROGRAM);
        }
    }
    /* The first instruction reads a temporary that nobody has written. */
    REFUSED(AT(in.membrane.code, 2), 8, AX_ERR_PROGRAM);
    REFUSED(in.membrane.n_temps, 5, AX_ERR_PROGRAM);
    REFUSED(in.membrane.slope_slot, n_slots, AX_ERR_PROGRAM);
    REFUSED(in.membrane.offset_slot, -1, AX_ERR_PROGRAM);
    free_input(&in);

    in = make_input(20, slow, 0, -1, 0);
    REFUSED(in.membrane.stride, 0, AX_ERR_PROGRAM);
    REFUSED(in.membrane.stride, -3, AX_ERR_PROGRAM);
    REFUSED(in.membrane.n_held, 0, AX_ERR_PROGRAM);
    REFUSED(in.membrane.n_held, -1, AX_ERR_PROGRAM);
    REFUSED(in.membrane.n_held, AX_MAX_HELD + 1, AX_ERR_PROGRAM);
    REFUSED(in.membrane.stretch_end[0], -1, AX_ERR_PROGRAM);
    REFUSED(in.membrane.stretch_end[1], 0, AX_ERR_PROGRAM); /* before the one that it follows */
    REFUSED(in.membrane.stretch_end[2], 8, AX_ERR_PROGRAM);
    /* What a slow stretch leaves in a temporary is not there in every step. */
    REFUSED(in.membrane.stretch_end[2], 6, AX_ERR_PROGRAM);
    REFUSED(in.membrane.stretch_end[2], 7, AX_ERR_PROGRAM);
    REFUSED(in.membrane.stretch_end[1], 2, AX_ERR_PROGRAM);
    REFUSED(in.membrane.stretch_end[1], 4, AX_ERR_PROGRAM);
    free_input(&in);
}

/* Programs with numbers thrown at random: what is not refused runs. */
static void check_random_programs(int isa) {
    int refused = 0, ran = 0;
    for (int round = 0; round < 3000; round++) {
        input in = make_input(1 + below(20), makers[1 + round % 3], below(2), isa, 0);
        ax_membrane *m = &in.membrane;
        ax_table *table = m->n_tables > 0 ? TABLE(in) : NULL;
        for (int change = below(4); change >= 0; change--) {
            const int32_t small = below(20) - 2;
            switch (below(13)) {
            case 0: if (m->n_code) AT(m->code, below(5 * m->n_code)) = small; break;
            case 1: if (m->n_code) AT(m->code, 5 * below(m->n_code)) = below(AX_OP_COUNT); break;
            case 2: if (m->n_terms) AT(m->terms, below(5 * m->n_terms)) = small; break;
            case 3: if (m->n_factors) AT(m->factors, below(2 * m->n_factors)) = small; break;
            case 4: *(below(2) ? &m->slope_slot : &m->offset_slot) = small; break;
            case 5: *(below(2) ? &m->n_temps : &m->n_states) = small; break;
            case 6: if (table) AT(table->gate_state, below(table->n_gates)) = small; break;
            case 7: if (table && table->n_values) AT(table->value_slot, 0) = small; break;
            case 8: if (m->n_ions) AT(m->ions, below(2 * m->n_ions)) = small; break;
            case 9: m->middle_state = small; break;
            case 10: m->stretch_end[below(3)] = small; break;
            case 11: *(below(2) ? &m->stride : &m->n_held) = small; break;
            default: AT(m->params, below((int32_t)m->n_param_values)) = uniform(-1e3, 1e3); break;
            }
        }
        ax_sim *sim;
        if (create(&in, &sim) == AX_OK) {
            start(sim);
            const int status = advance(sim, &in, 0, 8, 8, 100).status;
            CHECK(status == AX_OK || status == AX_ERR_DIVERGED);
            ax_sim_free(sim);
            ran++;
        } else {
            refused++;
        }
        CHECK(memory.n_live == 0);
        free_input(&in);
    }
    CHECK(refused > 300 && ran > 300);
}

/* ---- failing allocations ---------------------------------------------------------------- */

static void check_failing_allocations(void) {
    for (size_t k = 0; k < COUNT(makers); k++)
        for (int after = 0; after < 2; after++) {
            input in = make_input(300, makers[k], 0, -1, 1);
            int failures = 0;
            for (;; failures++) {
                ax_sim *sim = (ax_sim *)&in;
                memory.count = 0;
                memory.fail_at = failures;
                memory.fail_after = after;
                const int status = create(&in, &sim);
                memory.fail_at = -1;
                if (status == AX_OK) {
                    CHECK(memory.count == failures); /* none was left to fail */
                    ax_sim_free(sim);
                    CHECK(memory.n_live == 0);
                    break;
                }
                CHECK(status == AX_ERR_MEMORY && sim == NULL && memory.n_live == 0);
            }
            CHECK(failures > 30);
            free_input(&in);
        }
}

/* No memory is asked for while stepping. */
static void check_no_allocation_while_stepping(int isa) {
    input in = make_input(300, squid, 1, isa, 0);
    ax_sim *sim;
    CHECK(create(&in, &sim) == AX_OK);
    start(sim);
    memory.count = 0;
    advance(sim, &in, 0, 60, 20, 60 * 300);
    CHECK(memory.count == 0);
    ax_sim_free(sim);
    free_input(&in);
}

int main(void) {
    check_names();
    check_malformed();
    check_failing_allocations();
    for (int isa = 0; isa < ax_isa_count(); isa++) {
        if (!ax_isa_supported(isa))
            continue;
        check_operations(isa);
        check_bare(isa);
        check_solver(isa);
        check_runs(isa);
        check_divergence(isa);
        check_tables_elsewhere(isa);
        check_diffusion(isa);
        check_random_programs(isa);
        check_no_allocation_while_stepping(isa);
        printf("%s: clean\n", ax_isa_name(isa));
    }
    CHECK(memory.n_live == 0);
    return 0;
}
