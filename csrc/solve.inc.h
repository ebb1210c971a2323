/*
 * The cable's implicit step: elimination down each chunk, the node system, and
 * substitution back up.
 *
 * With k = capacitance over the implicit step and g the membrane's conductance,
 * the increment x of V obeys (k + A g + L) x = -L V - A i(V) + I, L the axial
 * Laplacian. The matrix is symmetric: off the diagonal stands -G. Of row j are
 * left, after the rows above it in its chunk have been eliminated, its diagonal
 * b, its right-hand side, its joint G with the row below, and its joint F with
 * the node to the chunk's left (fill-in). Eliminating it in turn gives
 *
 *   b_{j+1} -= G^2/b     rhs_{j+1} += G rhs/b     F_{j+1} = F G/b
 *   b_left  -= F^2/b     rhs_left  += F rhs/b
 *
 * and x_j = back x_{j+1} + fill x_left + right, with back = G/b, fill = F/b,
 * right = rhs/b. The two groups of a tile are interleaved: each hides the
 * latency of the other's division.
 *
 * Source: the partition method of H. H. Wang, ACM Trans. Math. Softw. 7,
 * 170-183 (1981), on a symmetric matrix.
 */

typedef struct {
    v8 v;      /* of the coming row */
    v8 flux;   /* nA from the coming row into the one above it */
    v8 axial;  /* uS of that joint, as the coming diagonal has it */
    v8 eliminated; /* the same; 0 where nothing above was eliminated */
    v8 back, value; /* of the row above */
    v8 joint;  /* F of the coming row */
    v8 sum_diagonal, sum_right; /* what the node on the left loses and gains */
} elimination;

/* Where a row's diagonal and right-hand side come from. */
enum {
    FROM_MEMBRANE,          /* the step's own, nothing injected */
    FROM_MEMBRANE_INJECTED, /* the step's own */
    FROM_MEMBRANE_KEPT,     /* the same, and the diagonal is kept */
    FROM_KEPT,              /* the kept diagonal; charge times delta */
    FROM_ARRAYS,            /* diagonal and delta, as they stand */
};

AX_INLINE elimination elimination_begin(const ax_sim *self, int64_t first) {
    const v8 zero = v8_set1(0.0);
    return (elimination){
        v8_load(self->v + first), zero, zero, zero, zero, zero, zero, zero, zero};
}

/* Join the lanes whose chunk begins in this row to the node on their left. Takes and returns
 * values, so that an elimination under way stays in registers. */
static __attribute__((noinline)) elimination join_left(const ax_sim *self, const ax_tile *tile,
                                                       int group, int32_t row, int source,
                                                       elimination e) {
    const ax_topology *topology = &self->topology;
    double flux[AX_LANES] __attribute__((aligned(64))), axial[AX_LANES] __attribute__((aligned(64)));
    double joint[AX_LANES] __attribute__((aligned(64))), sum[AX_LANES] __attribute__((aligned(64)));
    v8_store(flux, e.flux);
    v8_store(axial, e.axial);
    v8_store(joint, e.joint);
    v8_store(sum, e.sum_right);
    const double *v = self->v + (tile->row0 + (int64_t)group * tile->rows + row) * AX_LANES;
    for (int lane = 0; lane < AX_LANES; lane++) {
        const int32_t chunk = tile->chunk0 + group * AX_LANES + lane;
        if (topology->start[chunk] != row || topology->left[chunk] < 0)
            continue;
        axial[lane] = joint[lane] = topology->left_axial[chunk];
        if (source < FROM_KEPT) {
            const int64_t node = topology->left_slot[chunk];
            sum[lane] = flux[lane] = axial[lane] * (v[lane] - self->v[node]);
        }
    }
    e.flux = v8_load(flux);
    e.axial = v8_load(axial);
    e.joint = v8_load(joint);
    e.sum_right = v8_load(sum);
    return e;
}

/* The three properties of the cable at a row; uniform ones have one row only. */
typedef struct {
    const double *area, *charge, *axial;
} properties;

AX_INLINE properties properties_at(const ax_sim *self, int64_t at) {
    return (properties){self->area + at, self->charge + at, self->axial + at};
}

/* Eliminate one row that is not its chunk's last. g, d: the membrane's i(V) = g V - d. */
AX_INLINE void eliminate_row(ax_sim *self, int64_t at, properties p, const double *g,
                             const double *d, const int source, elimination *e) {
    const v8 axial = v8_load(p.axial);
    v8 diagonal, right;
    if (source >= FROM_KEPT) {
        diagonal = v8_load(self->diagonal + at);
        right = v8_load(self->delta + at);
        if (source == FROM_KEPT)
            right = v8_mul(right, v8_load(p.charge));
    } else {
        const v8 area = v8_load(p.area), conductance = v8_load(g);
        const v8 next = v8_load(self->v + at + AX_LANES);
        const v8 flux = v8_mul(axial, v8_sub(next, e->v));
        const v8 current = v8_fms(conductance, e->v, v8_load(d));
        right = v8_fnma(area, current, v8_sub(flux, e->flux));
        if (source != FROM_MEMBRANE)
            right = v8_add(right, v8_load(self->injected + at));
        diagonal = v8_add(v8_fma(area, conductance, v8_load(p.charge)), v8_add(axial, e->axial));
        if (source == FROM_MEMBRANE_KEPT)
            v8_store(self->diagonal + at, diagonal);
        e->v = next;
        e->flux = flux;
        e->axial = axial;
    }
    diagonal = v8_fnma(e->eliminated, e->back, diagonal);
    right = v8_fma(e->eliminated, e->value, right);
    const v8 inverse = v8_div(v8_set1(1.0), diagonal);
    const v8 value = v8_mul(right, inverse);
    const v8 back = v8_mul(axial, inverse), fill = v8_mul(e->joint, inverse);
    v8_store(self->back + at, back);
    v8_store(self->fill + at, fill);
    v8_store(self->right + at, value);
    e->sum_diagonal = v8_fma(e->joint, fill, e->sum_diagonal);
    e->sum_right = v8_fma(e->joint, value, e->sum_right);
    e->joint = v8_mul(e->joint, back);
    e->eliminated = axial;
    e->back = back;
    e->value = value;
}

/* The last row of the chunks is what remains of them in the node system. */
AX_INLINE void hand_over_nodes(ax_sim *self, int64_t at, int32_t chunk, const double *g,
                               const double *d, const int source, const elimination *e) {
    v8 diagonal, right;
    if (source >= FROM_KEPT) {
        diagonal = v8_load(self->diagonal + at);
        right = v8_load(self->delta + at);
        if (source == FROM_KEPT)
            right = v8_mul(right, v8_load(self->charge + at));
    } else {
        const v8 area = v8_load(self->area + at), conductance = v8_load(g);
        const v8 current = v8_fms(conductance, e->v, v8_load(d));
        right = v8_fnma(area, current, v8_sub(v8_set1(0.0), e->flux));
        if (source != FROM_MEMBRANE)
            right = v8_add(right, v8_load(self->injected + at));
        diagonal = v8_add(v8_fma(area, conductance, v8_load(self->charge + at)),
                          v8_add(v8_load(self->topology.node_axial + chunk), e->axial));
        if (source == FROM_MEMBRANE_KEPT)
            v8_store(self->diagonal + at, diagonal);
    }
    v8_store(self->node_diagonal + chunk, v8_fnma(e->eliminated, e->back, diagonal));
    v8_store(self->node_right + chunk, v8_fma(e->eliminated, e->value, right));
    v8_store(self->node_joint + chunk, e->joint);
    v8_store(self->sum_diagonal + chunk, e->sum_diagonal);
    v8_store(self->sum_right + chunk, e->sum_right);
}

/* All rows of a tile, membrane and elimination block by block while both are in cache. */
AX_INLINE void sweep_down(ax_sim *self, const ax_tile *tile, const int groups, const int source,
                          int halved) {
    const int32_t rows = tile->rows, block_rows = self->program.block_rows;
    const ax_steps step = self->property_step;
    elimination e[AX_MAX_GROUPS];
    properties below[AX_MAX_GROUPS]; /* the prologue; of a uniform property any row will do */
    int64_t first[AX_MAX_GROUPS];
    for (int k = 0; k < groups; k++) {
        first[k] = (tile->row0 + (int64_t)k * rows) * AX_LANES;
        e[k] = elimination_begin(self, first[k]);
        below[k] = properties_at(self, first[k]);
        if (step.axial == 0)
            below[k].axial += tile->prologue * AX_LANES;
    }
    for (int32_t begin = 0; begin < rows; begin += block_rows) {
        const int32_t end = begin + block_rows < rows ? begin + block_rows : rows;
        double *g[AX_MAX_GROUPS], *d[AX_MAX_GROUPS];
        for (int k = 0; k < groups; k++) {
            g[k] = self->conductance + k * block_rows * AX_LANES;
            d[k] = self->drive + k * block_rows * AX_LANES;
            if (source < FROM_KEPT)
                advance_membrane(self, first[k] / AX_LANES + begin, end - begin, halved, g[k], d[k]);
        }
        const int32_t last = end < rows ? end : rows - 1;
        int32_t row = begin;
        for (; row < last && row < tile->prologue; row++)
            for (int k = 0; k < groups; k++) {
                const int64_t at = first[k] + (int64_t)row * AX_LANES;
                const int32_t in_block = (row - begin) * AX_LANES;
                e[k] = join_left(self, tile, k, row, source, e[k]);
                eliminate_row(self, at, properties_at(self, at), g[k] + in_block,
                              d[k] + in_block, source, &e[k]);
            }
        for (; row < last; row++)
            for (int k = 0; k < groups; k++) {
                const int64_t at = first[k] + (int64_t)row * AX_LANES;
                const int32_t in_block = (row - begin) * AX_LANES;
                const properties here = {below[k].area + row * step.area,
                                         below[k].charge + row * step.charge,
                                         below[k].axial + row * step.axial};
                eliminate_row(self, at, here, g[k] + in_block, d[k] + in_block, source, &e[k]);
            }
        if (end == rows)
            for (int k = 0; k < groups; k++) {
                if (last < tile->prologue)
                    e[k] = join_left(self, tile, k, last, source, e[k]);
                const int32_t in_block = (last - begin) * AX_LANES;
                hand_over_nodes(self, first[k] + (int64_t)last * AX_LANES,
                                tile->chunk0 + k * AX_LANES, g[k] + in_block, d[k] + in_block,
                                source, &e[k]);
            }
    }
}

/* The chunks' last compartments, by elimination along the tree that they form. */
static void solve_nodes(ax_sim *self) {
    const ax_topology *t = &self->topology;
    double *diagonal = self->node_diagonal, *right = self->node_right, *value = self->node_value;
    double *joint = self->node_joint;
    for (int32_t chunk = 0; chunk < t->n_chunks; chunk++) {
        const int32_t left = t->left[chunk];
        if (left >= 0) {
            diagonal[left] -= self->sum_diagonal[chunk];
            right[left] += self->sum_right[chunk];
        }
    }
    for (int32_t i = 0; i < t->n_nodes; i++) {
        const int32_t node = t->order[i], parent = t->parent[i];
        const double inverse = 1.0 / diagonal[node];
        right[node] *= inverse;
        if (parent >= 0) {
            const double f = joint[t->edge[i]], back = f * inverse;
            diagonal[parent] = ax_fma(-f, back, diagonal[parent]);
            right[parent] = ax_fma(f, right[node], right[parent]);
            diagonal[node] = back; /* from here on: what the parent's value is worth */
        }
    }
    for (int32_t i = t->n_nodes - 1; i >= 0; i--) {
        const int32_t node = t->order[i], parent = t->parent[i];
        value[node] = parent < 0 ? right[node]
                                 : ax_fma(diagonal[node], value[parent], right[node]);
    }
}

/* What becomes of the solution. */
enum {
    INTO_DELTA,      /* kept in delta */
    EXTRAPOLATED,    /* V += 2 x: Crank-Nicolson */
    ADDED,           /* V += x: backward Euler */
    ADDED_TO_DELTA,  /* V += delta + x: the second half of a damped step */
};

static void emit_spikes(ax_sim *self, ax_drive *drive, unsigned lanes, int64_t at, v8 before,
                        v8 after) {
    double v0[AX_LANES] __attribute__((aligned(64))), v1[AX_LANES] __attribute__((aligned(64)));
    v8_store(v0, before);
    v8_store(v1, after);
    for (int lane = 0; lane < AX_LANES; lane++) {
        const int64_t compartment = self->topology.compartment[at + lane];
        if (!(lanes >> lane & 1) || compartment < 0)
            continue;
        const double part = (self->spike_threshold - v0[lane]) / (v1[lane] - v0[lane]);
        drive->spike_compartment[drive->spike_count] = compartment;
        drive->spike_time[drive->spike_count++] = ((double)self->step + part) * self->dt;
    }
}

AX_INLINE void settle_row(ax_sim *self, int64_t at, v8 x, const int into, ax_drive *drive,
                          m8 *inside) {
    if (into == INTO_DELTA) {
        v8_store(self->delta + at, x);
        return;
    }
    const v8 before = v8_load(self->v + at);
    v8 change = x;
    if (into == EXTRAPOLATED)
        change = v8_add(x, x);
    else if (into == ADDED_TO_DELTA)
        change = v8_add(x, v8_load(self->delta + at));
    const v8 after = v8_add(before, change), threshold = v8_set1(self->spike_threshold);
    v8_store(self->v + at, after);
    *inside = m8_and(*inside, v8_le(v8_abs(after), v8_set1(self->v_inside)));
    const unsigned crossed = m8_bits(m8_and(v8_lt(before, threshold), v8_le(threshold, after)));
    if (__builtin_expect(crossed != 0, 0))
        emit_spikes(self, drive, crossed, at, before, after);
}

/* Substitute back up; returns whether every |V| stayed within v_inside. */
AX_INLINE int sweep_up(ax_sim *self, const ax_tile *tile, const int groups, const int into,
                       ax_drive *drive) {
    const int32_t rows = tile->rows;
    v8 x[AX_MAX_GROUPS], left[AX_MAX_GROUPS];
    int64_t first[AX_MAX_GROUPS];
    m8 inside = v8_eq(v8_set1(0.0), v8_set1(0.0));
    for (int k = 0; k < groups; k++) {
        double value[AX_LANES] __attribute__((aligned(64)));
        const int32_t chunk = tile->chunk0 + k * AX_LANES;
        for (int lane = 0; lane < AX_LANES; lane++) {
            const int32_t node = self->topology.left[chunk + lane];
            value[lane] = node < 0 ? 0.0 : self->node_value[node];
        }
        left[k] = v8_load(value);
        x[k] = v8_load(self->node_value + chunk);
        first[k] = (tile->row0 + (int64_t)k * rows) * AX_LANES;
        settle_row(self, first[k] + (int64_t)(rows - 1) * AX_LANES, x[k], into, drive, &inside);
    }
    for (int32_t row = rows - 2; row >= 0; row--)
        for (int k = 0; k < groups; k++) {
            const int64_t at = first[k] + (int64_t)row * AX_LANES;
            const v8 own = v8_fma(v8_load(self->fill + at), left[k], v8_load(self->right + at));
            x[k] = v8_fma(v8_load(self->back + at), x[k], own);
            settle_row(self, at, x[k], into, drive, &inside);
        }
    return m8_bits(inside) == 0xff;
}

/* One implicit solve over all tiles. */
AX_INLINE int solve_all(ax_sim *self, const int source, const int into, int halved,
                        ax_drive *drive) {
    int inside = 1;
    for (int32_t i = 0; i < self->topology.n_tiles; i++) {
        const ax_tile *tile = &self->topology.tiles[i];
        if (tile->groups == 2)
            sweep_down(self, tile, 2, source, halved);
        else
            sweep_down(self, tile, 1, source, halved);
    }
    solve_nodes(self);
    for (int32_t i = 0; i < self->topology.n_tiles; i++) {
        const ax_tile *tile = &self->topology.tiles[i];
        if (tile->groups == 2)
            inside &= sweep_up(self, tile, 2, into, drive);
        else
            inside &= sweep_up(self, tile, 1, into, drive);
    }
    return inside;
}
