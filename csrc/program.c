/* The membrane program: checked in full before anything runs, then copied. */
#include <math.h>
#include <string.h>

#include "sim.h"

static const struct {
    const char *name;
    int operands;
} operations[] = {
#define X(name, operands) {#name, operands},
    AX_OPERATIONS(X)
#undef X
};

const char *ax_op_name(int op) { return op >= 0 && op < AX_OP_COUNT ? operations[op].name : ""; }
int ax_op_operands(int op) { return op >= 0 && op < AX_OP_COUNT ? operations[op].operands : -1; }

/* A hundred times what a large membrane has, and few enough for a step to take no time by them; keeps
 * all products of counts far from overflow. */
#define AX_COUNT_LIMIT (1 << 16)
#define AX_TABLE_LIMIT ((int64_t)1 << 27) /* floats */
/* Temporaries of a block, about as many as the first-level cache holds: of larger blocks more leave
 * it, smaller ones are dispatched more often. From 24 to 48 KB there is 1 % in it. */
#define AX_BLOCK_BYTES 40960
#define AX_BLOCK_ROWS_MIN 2

static int in_range(int32_t x, int32_t low, int32_t high) { return x >= low && x < high; }

static int check_counts(const ax_membrane *m, int64_t n) {
    const int32_t counts[] = {m->n_states, m->n_params, m->n_consts, m->n_temps,
                              m->n_code,   m->n_terms,  m->n_factors, m->n_ions,
                              m->n_multiples, m->n_diffusions};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (!in_range(counts[i], 0, AX_COUNT_LIMIT))
            return AX_ERR_PROGRAM;
    if (m->stride < 1 || !in_range(m->n_held, 0, AX_MAX_HELD + 1))
        return AX_ERR_PROGRAM;
    int32_t begin = 0;
    for (int k = 0; k < 3; begin = m->stretch_end[k], k++)
        if (!in_range(m->stretch_end[k], begin, m->n_code + 1))
            return AX_ERR_PROGRAM;
    if (!in_range(m->n_tables, 0, AX_MAX_TABLES + 1))
        return AX_ERR_TABLE;
    int64_t values = 0;
    for (int32_t p = 0; p < m->n_params; p++) {
        if (m->param_length[p] != 1 && m->param_length[p] != n)
            return AX_ERR_PROGRAM;
        values += m->param_length[p];
    }
    return values == m->n_param_values ? AX_OK : AX_ERR_PROGRAM;
}

/* Values go where gates leave room in theirs, then into blocks of their own. */
int64_t ax_table_blocks(int32_t n_gates, int32_t n_values) {
    const int64_t by_gates = ((int64_t)n_gates + AX_GATES_PER_BLOCK - 1) / AX_GATES_PER_BLOCK;
    const int64_t lanes = 2 * (int64_t)n_gates + n_values;
    const int64_t by_lanes = (lanes + AX_LANES - 1) / AX_LANES;
    return by_gates > by_lanes ? by_gates : by_lanes;
}

/* What stands in a temporary: nothing, a result, or one of a slow stretch, which does not always run. */
enum { UNWRITTEN, WRITTEN, WRITTEN_SLOWLY };

static int check_table(const ax_program *self, const ax_table *t, char *written) {
    if (!in_range(t->n_gates, 0, AX_COUNT_LIMIT) || !in_range(t->n_values, 0, AX_COUNT_LIMIT))
        return AX_ERR_TABLE;
    if (!in_range(t->slow, 0, 2) || (t->slow && t->n_values > 0))
        return AX_ERR_TABLE; /* what reads a value does so in every step */
    const int64_t blocks = ax_table_blocks(t->n_gates, t->n_values);
    if (blocks == 0 || t->n_bins < 2 || t->n_bins > AX_TABLE_LIMIT / (blocks * AX_TABLE_BLOCK))
        return AX_ERR_TABLE;
    if (!isfinite(t->min) || !(t->step > 0.0) || !isfinite(t->step))
        return AX_ERR_TABLE;
    if (!isfinite(1.0 / t->step) || !isfinite(t->min / t->step))
        return AX_ERR_TABLE; /* a place in it could not be computed */
    for (int32_t k = 0; k < t->n_gates; k++)
        if (!in_range(t->gate_state[k], 0, self->m.n_states))
            return AX_ERR_TABLE;
    for (int32_t k = 0; k < t->n_values; k++) {
        if (!in_range(t->value_slot[k], self->first_temp, self->n_slots))
            return AX_ERR_TABLE;
        written[t->value_slot[k] - self->first_temp] = WRITTEN;
    }
    const int64_t values = t->n_bins * blocks * AX_TABLE_BLOCK;
    for (int64_t i = 0; i < values; i++)
        if (!isfinite(t->cubics[i]))
            return AX_ERR_TABLE;
    return AX_OK;
}

static void forget_slow(char *written, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        if (written[i] == WRITTEN_SLOWLY)
            written[i] = UNWRITTEN;
}

/* `written` has one of these per temporary. */
static int check_read(const ax_program *self, const char *written, int32_t slot) {
    if (!in_range(slot, 0, self->n_slots))
        return 0;
    return slot < self->first_temp || written[slot - self->first_temp];
}

static int check_code(ax_program *self, char *written) {
    const ax_membrane *m = &self->m;
    if (!in_range(m->middle_state, -1, m->n_states))
        return AX_ERR_PROGRAM;
    for (int32_t i = 0; i < m->n_code; i++) {
        const int32_t *code = m->code + 5 * i;
        const int slow = in_range(i, m->stretch_end[0], m->stretch_end[2]);
        if (i == m->stretch_end[1] || i == m->stretch_end[2])
            forget_slow(written, m->n_temps);
        const int operands = ax_op_operands(code[0]);
        if (operands < 0)
            return AX_ERR_PROGRAM;
        for (int k = 0; k < 3; k++)
            if (k < operands ? !check_read(self, written, code[2 + k]) : code[2 + k] != -1)
                return AX_ERR_PROGRAM;
        const int32_t out = code[1];
        const int to_state = in_range(out, self->first_state, self->first_param);
        const int to_held = in_range(out, self->first_held, self->first_temp);
        const int to_temp = in_range(out, self->first_temp, self->n_slots);
        if (!to_state && !to_held && !to_temp)
            return AX_ERR_PROGRAM;
        if (to_temp)
            written[out - self->first_temp] = slow ? WRITTEN_SLOWLY : WRITTEN;
    }
    forget_slow(written, m->n_temps);
    if (m->slope_slot != -1 || m->offset_slot != -1)
        if (!check_read(self, written, m->slope_slot) ||
            !check_read(self, written, m->offset_slot))
            return AX_ERR_PROGRAM;
    self->n_ohmic = 2;
    for (int32_t i = 0; i < 2 * m->n_ions; i++)
        if (!in_range(m->ions[i], 0, m->n_states))
            return AX_ERR_PROGRAM;
    for (int32_t i = 0; i < m->n_diffusions; i++)
        if (!in_range(m->diffusions[2 * i], 0, m->n_states) ||
            !in_range(m->diffusions[2 * i + 1], 0, m->n_states) ||
            m->diffusions[2 * i] == m->diffusions[2 * i + 1] ||
            !isfinite(m->diffusion_coefficients[i]))
            return AX_ERR_PROGRAM;
    for (int32_t t = 0; t < m->n_terms; t++) {
        const int32_t *term = m->terms + 5 * t;
        if (!in_range(term[4], -1, m->n_ions))
            return AX_ERR_PROGRAM;
        if (!check_read(self, written, term[0]) || !check_read(self, written, term[1]))
            return AX_ERR_PROGRAM;
        if (term[3] < 0 || term[2] < 0 || term[2] > m->n_factors - term[3])
            return AX_ERR_PROGRAM;
        if (term[3] > AX_COUNT_LIMIT - 4 - self->n_ohmic) /* terms may share factors */
            return AX_ERR_PROGRAM;
        self->n_ohmic += 2 + term[3];
    }
    for (int32_t f = 0; f < m->n_factors; f++)
        if (!check_read(self, written, m->factors[2 * f]) ||
            !in_range(m->factors[2 * f + 1], 1, AX_MAX_POWER + 1))
            return AX_ERR_PROGRAM;
    return AX_OK;
}

/* Copy `count` elements; an empty array becomes one that may be freed. */
static void *copy_of(const void *from, int64_t count, size_t size) {
    void *to = ax_alloc(count, size);
    if (to != NULL && count > 0)
        memcpy(to, from, (size_t)count * size);
    return to;
}

static int copy_table(ax_lookup *self, const ax_table *t) {
    self->t = *t;
    self->blocks = (int32_t)ax_table_blocks(t->n_gates, t->n_values);
    self->bin = (int64_t)self->blocks * AX_TABLE_BLOCK;
    self->bins_per_mv = 1.0 / t->step;
    self->bin_at_zero = -t->min / t->step;
    self->t.gate_state = copy_of(t->gate_state, t->n_gates, sizeof *t->gate_state);
    self->t.value_slot = copy_of(t->value_slot, t->n_values, sizeof *t->value_slot);
    self->t.cubics = copy_of(t->cubics, t->n_bins * self->bin, sizeof *t->cubics);
    return self->t.gate_state && self->t.value_slot && self->t.cubics ? AX_OK : AX_ERR_MEMORY;
}

int ax_program_create(ax_program *self, const ax_membrane *m, int64_t n) {
    memset(self, 0, sizeof *self);
    int status = check_counts(m, n);
    if (status != AX_OK)
        return status;

    self->first_state = 2;
    self->first_param = self->first_state + m->n_states;
    self->first_const = self->first_param + m->n_params;
    self->first_multiple = self->first_const + m->n_consts;
    self->first_held = self->first_multiple + m->n_multiples;
    self->first_temp = self->first_held + m->n_held;
    self->n_slots = self->first_temp + m->n_temps;

    self->m = *m;
    self->m.n_tables = 0; /* those that have been copied */
    self->m.tables = NULL;
    self->m.param_length = copy_of(m->param_length, m->n_params, sizeof *m->param_length);
    self->m.params = NULL; /* the simulation lays them out */
    self->m.consts = copy_of(m->consts, m->n_consts, sizeof *m->consts);
    self->m.multiples = copy_of(m->multiples, m->n_multiples, sizeof *m->multiples);
    self->m.code = copy_of(m->code, m->n_code * (int64_t)5, sizeof *m->code);
    self->m.terms = copy_of(m->terms, m->n_terms * (int64_t)5, sizeof *m->terms);
    self->m.ions = copy_of(m->ions, m->n_ions * (int64_t)2, sizeof *m->ions);
    self->m.diffusions = copy_of(m->diffusions, m->n_diffusions * (int64_t)2,
                                 sizeof *m->diffusions);
    self->m.diffusion_coefficients = copy_of(m->diffusion_coefficients, m->n_diffusions,
                                             sizeof *m->diffusion_coefficients);
    self->m.factors = copy_of(m->factors, m->n_factors * (int64_t)2, sizeof *m->factors);
    char *written = ax_alloc(m->n_temps, 1);
    if (!self->m.param_length || !self->m.consts || !self->m.multiples ||
        !self->m.code || !self->m.terms || !self->m.factors || !self->m.ions || !self->m.diffusions ||
        !self->m.diffusion_coefficients || !written)
        status = AX_ERR_MEMORY;
    self->v_inside = AX_V_LIMIT;
    for (int32_t i = 0; i < m->n_tables && status == AX_OK; i++) {
        const ax_table *t = &m->tables[i];
        status = check_table(self, t, written);
        if (status != AX_OK)
            break;
        status = copy_table(&self->tables[self->m.n_tables++], t);
        /* Negative, and no V ever inside, where the table does not even hold 0 mV. */
        self->v_inside = fmin(self->v_inside, fmin(-t->min, t->min + t->step * (t->n_bins - 1)));
    }
    if (status == AX_OK)
        status = check_code(self, written);
    ax_release(written);

    const int64_t row_bytes = (int64_t)m->n_temps * AX_LANES * (int64_t)sizeof(double);
    int64_t rows = row_bytes > 0 ? AX_BLOCK_BYTES / row_bytes : AX_BLOCK_ROWS_MAX;
    if (rows > AX_BLOCK_ROWS_MAX)
        rows = AX_BLOCK_ROWS_MAX;
    if (rows < AX_BLOCK_ROWS_MIN)
        rows = AX_BLOCK_ROWS_MIN;
    self->block_rows = (int32_t)(rows & ~(int64_t)1); /* even: rows are eliminated in pairs */
    if (status != AX_OK)
        ax_program_free(self);
    return status;
}

void ax_program_free(ax_program *self) {
    ax_release((void *)self->m.param_length);
    ax_release((void *)self->m.consts);
    ax_release((void *)self->m.multiples);
    ax_release((void *)self->m.code);
    ax_release((void *)self->m.terms);
    ax_release((void *)self->m.factors);
    ax_release((void *)self->m.ions);
    ax_release((void *)self->m.diffusions);
    ax_release((void *)self->m.diffusion_coefficients);
    for (int32_t i = 0; i < self->m.n_tables; i++) {
        ax_release((void *)self->tables[i].t.gate_state);
        ax_release((void *)self->tables[i].t.value_slot);
        ax_release((void *)self->tables[i].t.cubics);
    }
    memset(self, 0, sizeof *self);
}
