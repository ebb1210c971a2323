/*
 * The membrane over a block of rows: gates by table, the vector program, ohmic
 * currents. Leaves the block's linearised current, i(V) = g V - d, behind.
 */

/* Where in the table the rows of a block look: floats to the bin, and the place within it. */
typedef struct {
    double bin[AX_BLOCK_ROWS_MAX * AX_LANES] __attribute__((aligned(64))); /* in its low 32 bits */
    float within[AX_BLOCK_ROWS_MAX * AX_LANES] __attribute__((aligned(64))); /* -1/2 to 1/2 */
    unsigned together[AX_BLOCK_ROWS_MAX]; /* lanes that look where the first one does, as bits */
} places;

/* clamped: some V may be outside the table, or not finite. */
AX_INLINE void find_places(const ax_sim *self, const ax_lookup *table, int64_t row, int32_t rows,
                           const int clamped, places *out) {
    const v8 scale = v8_set1(table->bins_per_mv), shift = v8_set1(table->bin_at_zero);
    const v8 last = v8_set1(table->t.n_bins - 1), zero = v8_set1(0.0);
    const v8 magic = v8_set1(AX_ROUND_MAGIC), bin_size = v8_set1((double)table->bin);
    const double *v = self->v + row * AX_LANES;
    for (int32_t r = 0; r < rows; r++) {
        const int32_t at = r * AX_LANES;
        v8 y = v8_fma(v8_load(v + at), scale, shift);
        if (clamped)
            y = v8_max(v8_min(y, last), zero); /* a NaN becomes a bound: no look-up leaves the table */
        const v8 bin = v8_sub(v8_add(y, magic), magic), place = v8_fma(bin, bin_size, magic);
        v8_store(out->bin + at, place);
        f8_store(out->within + at, f8_from(v8_sub(y, bin)));
        out->together[r] = m8_bits(v8_eq(place, v8_first(place)));
    }
}

/* A cubic from its four coefficients, constant first. */
AX_INLINE f8 cubic(f8 c0, f8 c1, f8 c2, f8 c3, f8 s) {
    return f8_fma(f8_fma(f8_fma(c3, s, c2), s, c1), s, c0);
}

/*
 * The cubics of a block: those of its `count` gates, of which four are the first steady states and
 * four the factors, and in the other lanes, if it is `mixed`, values. Those of no use are left out
 * where that saves work.
 */
AX_INLINE int is_used(int lane, const int count, const int mixed) {
    return mixed || lane % AX_GATES_PER_BLOCK < count;
}

/* Eight compartments that look into one bin, as all do in an axon at rest: nothing to transpose. */
AX_INLINE void look_up_together(const float *bin, const float *within, const int count,
                                const int mixed, f8 value[AX_LANES]) {
    const f8 s = f8_load(within);
    for (int k = 0; k < AX_LANES; k++)
        if (is_used(k, count, mixed))
            value[k] = cubic(f8_set1(bin[k]), f8_set1(bin[8 + k]), f8_set1(bin[16 + k]),
                             f8_set1(bin[24 + k]), s);
}

/* Each into a bin of its own: the eight values of every compartment, which are yet to be transposed. */
AX_INLINE void look_up(const float *table, const double *place, const float *within,
                       f8 value[AX_LANES]) {
    for (int lane = 0; lane < AX_LANES; lane++) {
        int32_t offset;
        memcpy(&offset, &place[lane], sizeof offset);
        const float *bin = table + offset;
        value[lane] = cubic(f8_load(bin), f8_load(bin + 8), f8_load(bin + 16), f8_load(bin + 24),
                            f8_set1(within[lane]));
    }
}

/* Of row r, transposed or not. */
AX_INLINE void look_up_row(const float *table, const places *at, int32_t r, const int count,
                           const int mixed, f8 value[AX_LANES]) {
    const int32_t i = r * AX_LANES;
    if (at->together[r] == 0xff) {
        int32_t offset;
        memcpy(&offset, &at->bin[i], sizeof offset);
        look_up_together(table + offset, at->within + i, count, mixed, value);
    } else {
        look_up(table, at->bin + i, at->within + i, value);
    }
}

/*
 * Advance `count` gates of row r by what has been looked up, and put values where they go. to: of
 * every lane, its gate, or where its value goes; NULL where it has none.
 *
 * A gate obeys dx/dt = (inf(V) - x) / tau(V); for V frozen over dt its exact
 * solution is x <- x + (1 - exp(-dt/tau)) (inf - x). The table holds inf and
 * that factor. Each bin is contiguous, so a look-up is loads and multiply-adds,
 * and one transposition brings eight compartments side by side.
 *
 * halved: advance by dt/2 instead, 1 - sqrt(1 - p) = p / (1 + sqrt(1 - p)).
 */
AX_INLINE void use_row(const places *at, int32_t r, f8 value[AX_LANES], double *const to[],
                       const int count, const int mixed, const int halved) {
    const int32_t i = r * AX_LANES;
    const v8 one = v8_set1(1.0);
    if (at->together[r] != 0xff)
        f8_transpose(value);
    for (int k = 0; k < count; k++) {
        v8 p = v8_from(value[AX_GATES_PER_BLOCK + k]);
        if (halved)
            p = v8_div(p, v8_add(one, v8_sqrt(v8_sub(one, p))));
        const v8 x0 = v8_load(to[k] + i);
        v8_store(to[k] + i, v8_fma(p, v8_sub(v8_from(value[k]), x0), x0));
    }
    if (mixed)
        for (int k = 0; k < AX_LANES; k++)
            if (k % AX_GATES_PER_BLOCK >= count && to[k] != NULL)
                v8_store(to[k] + i, v8_from(value[k]));
}

/*
 * One block of the table over the rows. A row is looked up before the last one is used: each is a
 * long chain, of which the processor has not two in its window, and so half of another goes beside.
 */
AX_INLINE void run_block(const float *table, const places *at, int32_t rows, double *const to[],
                         const int count, const int mixed, const int halved) {
    f8 now[AX_LANES], next[AX_LANES];
    look_up_row(table, at, 0, count, mixed, now);
    for (int32_t r = 1; r < rows; r++) {
        look_up_row(table, at, r, count, mixed, next);
        use_row(at, r - 1, now, to, count, mixed, halved);
        for (int k = 0; k < AX_LANES; k++)
            now[k] = next[k];
    }
    use_row(at, rows - 1, now, to, count, mixed, halved);
}

/* Gates and values of one table. */
AX_INLINE void run_table(ax_sim *self, const ax_lookup *table, int64_t row, int32_t rows,
                         const int halved) {
    const ax_table *t = &table->t;
    places at;
    if (self->inside)
        find_places(self, table, row, rows, 0, &at);
    else
        find_places(self, table, row, rows, 1, &at);
    const float *cubics = t->cubics;
    int32_t gate = 0, value = 0;
    for (int32_t block = 0; block < table->blocks; block++, cubics += AX_TABLE_BLOCK) {
        double *to[AX_LANES] = {NULL};
        int count = 0;
        for (; count < AX_GATES_PER_BLOCK && gate < t->n_gates; count++, gate++)
            to[count] = self->states + t->gate_state[gate] * self->plane + row * AX_LANES;
        const int mixed = count < AX_GATES_PER_BLOCK && value < t->n_values;
        for (int k = 0; k < AX_LANES; k++)
            if (k % AX_GATES_PER_BLOCK >= count)
                to[k] = value < t->n_values ? self->operand[t->value_slot[value++]] : NULL;
        switch (2 * count + mixed) {
#define AX_BLOCK(COUNT, MIXED)                                             \
    case 2 * COUNT + MIXED:                                                \
        run_block(cubics, &at, rows, to, COUNT, MIXED, halved);            \
        break;
            AX_BLOCK(4, 0)
            AX_BLOCK(3, 0) AX_BLOCK(3, 1)
            AX_BLOCK(2, 0) AX_BLOCK(2, 1)
            AX_BLOCK(1, 0) AX_BLOCK(1, 1)
            AX_BLOCK(0, 1)
#undef AX_BLOCK
        }
    }
}

/* An operation over rows. Of an operand that is uniform one row is there, and loaded once. */
#define AX_ROWS(A_UNIFORM, B_UNIFORM, C_UNIFORM, expression) \
    {                                                        \
        v8 x = v8_load(a), y = v8_load(b), z = v8_load(c);   \
        _Pragma("GCC unroll 4")                              \
        for (int32_t r = 0; r < rows; r++, d += AX_LANES) {  \
            if (!(A_UNIFORM))                                \
                x = v8_load(a), a += AX_LANES;               \
            if (!(B_UNIFORM))                                \
                y = v8_load(b), b += AX_LANES;               \
            if (!(C_UNIFORM))                                \
                z = v8_load(c), c += AX_LANES;               \
            v8_store(d, expression);                         \
        }                                                    \
        (void)x, (void)y, (void)z;                           \
    }

/* A loop for each set of operands that may be uniform. */
#define AX_CASE(A_UNIFORM, B_UNIFORM, C_UNIFORM, expression)  \
    case (A_UNIFORM) | (B_UNIFORM) << 1 | (C_UNIFORM) << 2:   \
        AX_ROWS(A_UNIFORM, B_UNIFORM, C_UNIFORM, expression)  \
        break;
#define AX_CASES_OF_TWO(C_UNIFORM, expression) \
    AX_CASE(0, 0, C_UNIFORM, expression)       \
    AX_CASE(1, 0, C_UNIFORM, expression)       \
    AX_CASE(0, 1, C_UNIFORM, expression)       \
    AX_CASE(1, 1, C_UNIFORM, expression)
#define AX_BINARY(NAME, expression)            \
    case AX_OP_##NAME:                         \
        switch (uniform) {                     \
            AX_CASES_OF_TWO(0, expression)     \
        }                                      \
        break;
#define AX_TERNARY(NAME, expression)           \
    case AX_OP_##NAME:                         \
        switch (uniform) {                     \
            AX_CASES_OF_TWO(0, expression)     \
            AX_CASES_OF_TWO(1, expression)     \
        }                                      \
        break;

/* One loop for all, where loads are little beside the rest. */
#define AX_LONG(NAME, expression)                                                       \
    case AX_OP_##NAME: {                                                                \
        const int64_t sa = uniform & 1 ? 0 : AX_LANES, sb = uniform & 2 ? 0 : AX_LANES; \
        const int64_t sc = uniform & 4 ? 0 : AX_LANES;                                  \
        _Pragma("GCC unroll 4")                                                         \
        for (int32_t r = 0; r < rows; r++, a += sa, b += sb, c += sc, d += AX_LANES) {  \
            const v8 x = v8_load(a), y = v8_load(b), z = v8_load(c);                    \
            v8_store(d, expression);                                                    \
            (void)y, (void)z;                                                           \
        }                                                                               \
        break;                                                                          \
    }

/* One operation over `rows` rows; uniform: a bit for each operand that is. */
AX_INLINE void operate(int op, unsigned uniform, double *d, const double *a, const double *b,
                       const double *c, int32_t rows) {
    const v8 zero = v8_set1(0.0), one = v8_set1(1.0);
    switch (op) {
        AX_LONG(COPY, x)
        AX_LONG(NEG, v8_sub(v8_set1(-0.0), x))
        AX_LONG(ABS, v8_abs(x))
        AX_LONG(SQRT, v8_sqrt(x))
        AX_LONG(EXP, v8_exp(x))
        AX_LONG(EXPM1, v8_expm1(x))
        AX_LONG(LOG, v8_log(x))
        AX_LONG(TANH, v8_tanh(x))
        AX_LONG(EXPREL, v8_exprel(x))
        AX_LONG(RECIPROCAL, v8_reciprocal(x))
        AX_LONG(DIV, v8_mul(x, v8_reciprocal(y)))
        AX_LONG(RECIPROCAL_ADD, v8_reciprocal(v8_add(x, y)))
        AX_LONG(RECIPROCAL_FMA, v8_reciprocal(v8_fma(x, y, z)))
        AX_LONG(EXP_MUL, v8_exp(v8_mul(x, y)))
        AX_LONG(EXP_FMA, v8_exp(v8_fma(x, y, z)))
        AX_BINARY(ADD, v8_add(x, y))
        AX_BINARY(SUB, v8_sub(x, y))
        AX_BINARY(MUL, v8_mul(x, y))
        AX_BINARY(MIN, v8_min(x, y))
        AX_BINARY(MAX, v8_max(x, y))
        AX_BINARY(LT, v8_select(v8_lt(x, y), one, zero))
        AX_BINARY(LE, v8_select(v8_le(x, y), one, zero))
        AX_BINARY(EQ, v8_select(v8_eq(x, y), one, zero))
        AX_TERNARY(MUL3, v8_mul(v8_mul(x, y), z))
        AX_TERNARY(FMA, v8_fma(x, y, z))
        AX_TERNARY(FMS, v8_fms(x, y, z))
        AX_TERNARY(FNMA, v8_fnma(x, y, z))
        AX_TERNARY(LERP, v8_fma(x, v8_sub(y, z), z))
        AX_TERNARY(SELECT, v8_select(v8_eq(x, zero), z, y))
    }
}

#undef AX_ROWS
#undef AX_CASE
#undef AX_CASES_OF_TWO
#undef AX_BINARY
#undef AX_TERNARY
#undef AX_LONG

static void run_code(ax_sim *self, int32_t from, int32_t to, int64_t row, int32_t rows) {
    const ax_instruction *code = self->code + from, *end = self->code + to;
    for (; code < end; code++) {
        const ax_place *a = &code->in[0], *b = &code->in[1], *c = &code->in[2];
        operate(code->op, code->uniform, code->out.at + row * code->out.by_row,
                a->at + row * a->by_row, b->at + row * b->by_row, c->at + row * c->by_row, rows);
    }
}

/* The stretches that this step has. */
static void run_program(ax_sim *self, int64_t row, int32_t rows) {
    const ax_membrane *m = &self->program.m;
    const int32_t *end = m->stretch_end;
    const int32_t from = self->moving ? end[0] : end[1];
    run_code(self, 0, end[0], row, rows);
    if (self->moving || self->stale)
        run_code(self, from, end[2], row, rows);
    run_code(self, end[2], m->n_code, row, rows);
}

AX_INLINE v8 square(v8 x) { return v8_mul(x, x); }

/* Multiply each of `width` rows by a factor's power. */
AX_INLINE void multiply(v8 each[], const double *x, int64_t step, int64_t power, const int width) {
#define AX_POWER(expression)                        \
    for (int r = 0; r < width; r++) {               \
        const v8 y = v8_load(x + r * step);         \
        each[r] = v8_mul(each[r], expression);      \
    }                                               \
    break
    switch (power) {
    case 1: AX_POWER(y);
    case 2: AX_POWER(square(y));
    case 3: AX_POWER(v8_mul(square(y), y));
    case 4: AX_POWER(square(square(y)));
    case 5: AX_POWER(v8_mul(square(square(y)), y));
    case 6: AX_POWER(square(v8_mul(square(y), y)));
    case 7: AX_POWER(v8_mul(square(v8_mul(square(y), y)), y));
    default: AX_POWER(square(square(square(y))));
    }
#undef AX_POWER
}

/* Values of `width` rows; where step is 0 one load for all. */
AX_INLINE void load_rows(const double *from, int64_t step, v8 to[], const int width) {
    if (step == 0) {
        const v8 all = v8_load(from);
        for (int r = 0; r < width; r++)
            to[r] = all;
    } else {
        for (int r = 0; r < width; r++)
            to[r] = v8_load(from + r * step);
    }
}

/* Add a group's conductances, and their products with the reversal potentials. */
AX_INLINE void add_terms(const ax_sim *self, const ax_group *group, int64_t in_block, v8 g[],
                         v8 d[], const int width) {
    const ax_operand *term = self->ohmic + group->begin, *end = self->ohmic + group->end;
    v8 each[AX_ROWS_TOGETHER], reversal[AX_ROWS_TOGETHER];
    while (term < end) {
        const ax_operand *last = term + 2 + term[0].count;
        load_rows(term[0].at + in_block * term[0].step, term[0].step, each, width);
        const ax_operand *e = term + 1;
        for (term += 2; term < last; term++)
            multiply(each, term->at + in_block * term->step, term->step, term->count, width);
        load_rows(e->at + in_block * e->step, e->step, reversal, width);
        for (int r = 0; r < width; r++) {
            g[r] = v8_add(g[r], each[r]);
            d[r] = v8_fma(each[r], reversal[r], d[r]);
        }
    }
}

/* The membrane's current, i(V) = g V - d, of `width` rows, summed in registers. */
AX_INLINE void linearise_rows(const ax_sim *self, int64_t row, int64_t in_block, const int width) {
    v8 g[AX_ROWS_TOGETHER], d[AX_ROWS_TOGETHER];
    for (int r = 0; r < width; r++) {
        g[r] = v8_set1(self->leak_conductance);
        d[r] = v8_set1(self->leak_drive);
    }
    if (__builtin_expect(self->program.m.slope_slot >= 0, 0)) {
        const ax_operand *own = self->ohmic;
        const double *slope = own[0].at + in_block * own[0].step;
        const double *offset = own[1].at + in_block * own[1].step;
        for (int r = 0; r < width; r++) {
            g[r] = v8_add(g[r], v8_load(slope + r * own[0].step));
            d[r] = v8_add(d[r], v8_load(offset + r * own[1].step));
        }
    }
    const ax_group *group = self->groups, *end = self->groups + self->n_groups;
    add_terms(self, group, in_block, g, d, width);
    for (group++; __builtin_expect(group < end, 0); group++) {
        v8 own_g[AX_ROWS_TOGETHER], own_d[AX_ROWS_TOGETHER];
        double *slope = group->slope + (row + in_block) * AX_LANES;
        double *offset = group->offset + (row + in_block) * AX_LANES;
        for (int r = 0; r < width; r++) {
            own_g[r] = v8_load(slope + r * AX_LANES);
            own_d[r] = v8_load(offset + r * AX_LANES);
        }
        add_terms(self, group, in_block, own_g, own_d, width);
        for (int r = 0; r < width; r++) {
            v8_store(slope + r * AX_LANES, own_g[r]);
            v8_store(offset + r * AX_LANES, own_d[r]);
            g[r] = v8_add(g[r], own_g[r]);
            d[r] = v8_add(d[r], own_d[r]);
        }
    }
    for (int r = 0; r < width; r++) {
        v8_store(self->conductance + (in_block + r) * AX_LANES, g[r]);
        v8_store(self->drive + (in_block + r) * AX_LANES, d[r]);
    }
}

static void linearise(ax_sim *self, int64_t row, int32_t rows) {
    for (int32_t i = 0; i < self->n_ohmic; i++) {
        ax_operand *x = self->ohmic + i;
        x->at = x->origin + (x->temporary ? 0 : row * x->step);
    }
    int32_t r = 0;
    for (; r + AX_ROWS_TOGETHER <= rows; r += AX_ROWS_TOGETHER)
        linearise_rows(self, row, r, AX_ROWS_TOGETHER);
    if (rows - r >= AX_ROWS_TOGETHER / 2) {
        linearise_rows(self, row, r, AX_ROWS_TOGETHER / 2);
        r += AX_ROWS_TOGETHER / 2;
    }
    for (; r < rows; r++)
        linearise_rows(self, row, r, 1);
}

/* What voltage clamps add to the membrane's conductance. */
static void add_shunts(ax_sim *self, int64_t row, int32_t rows) {
    for (int32_t s = 0; s < self->n_shunts; s++) {
        const int64_t at = self->shunt_slot[s] - row * AX_LANES;
        if (at >= 0 && at < (int64_t)rows * AX_LANES)
            self->conductance[at] += self->shunt[s];
    }
}

static void advance_membrane(ax_sim *self, int64_t row, int32_t rows, int halved) {
    for (int32_t i = 0; i < self->program.m.n_tables; i++) {
        const ax_lookup *table = &self->program.tables[i];
        if (table->t.slow && !self->moving)
            continue;
        if (halved)
            run_table(self, table, row, rows, 1);
        else
            run_table(self, table, row, rows, 0);
    }
    run_program(self, row, rows);
    linearise(self, row, rows);
    add_shunts(self, row, rows);
}
