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
 * right = rhs/b.
 *
 * Source: the partition method of H. H. Wang, ACM Trans. Math. Softw. 7,
 * 170-183 (1981), on a symmetric matrix.
 */

typedef struct {
    v8 v;      /* of the coming row */
    v8 flux;   /* nA from the coming row into the one above it */
    v8 axial;  /* uS of that joint, as the coming diagonal has it */
    v8 lost, per;  /* lost / per: what eliminating the row above takes from the coming diagonal */
    v8 eliminated; /* the joint with that row; 0 where nothing above was eliminated */
    v8 value;      /* of that row */
    v8 joint;  /* F of the coming row */
    v8 sum_diagonal, sum_right; /* what the node on the left loses and gains */
} elimination;

/* Where a row's diagonal and right-hand side come from. */
enum {
    FROM_MEMBRANE_UNIT,     /* the step's own, nothing injected, every area 1 */
    FROM_MEMBRANE,          /* the step's own, nothing injected */
    FROM_MEMBRANE_INJECTED, /* the step's own */
    FROM_MEMBRANE_KEPT,     /* the same, and the diagonal is kept */
    FROM_KEPT,              /* the kept diagonal; charge times delta */
    FROM_ARRAYS,            /* diagonal and delta, as they stand */
};

AX_INLINE elimination elimination_begin(const ax_sim *self, int64_t first) {
    const v8 zero = v8_set1(0.0);
    return (elimination){
        v8_load(self->v + first), zero, zero, zero, v8_set1(1.0), zero, zero, zero, zero, zero};
}

/* Join the lanes whose chunk begins in this row to the node on their left. */
AX_INLINE void join_left(const double *joints, v8 v_left, const int source, elimination *e) {
    const v8 axial = v8_load(joints);
    const m8 begins = v8_lt(v8_set1(0.0), axial);
    e->axial = v8_select(begins, axial, e->axial);
    e->joint = v8_select(begins, axial, e->joint);
    if (source < FROM_KEPT) {
        e->flux = v8_select(begins, v8_mul(axial, v8_sub(e->v, v_left)), e->flux);
        e->sum_right = v8_select(begins, e->flux, e->sum_right);
    }
}

/* The cable's properties at a row. */
typedef struct {
    v8 area, charge, axial;
    v8 square; /* of axial */
} properties;

AX_INLINE properties properties_at(const ax_sim *self, int64_t at) {
    const v8 axial = v8_load(self->axial + at);
    return (properties){v8_load(self->area + at), v8_load(self->charge + at), axial,
                        v8_mul(axial, axial)};
}

typedef struct {
    v8 diagonal, right;
} equation;

/*
 * The equation of a row that is not its chunk's last, and what its neighbour below needs of it.
 * g, d: the membrane's i(V) = g V - d.
 */
AX_INLINE equation assemble_row(ax_sim *self, int64_t at, properties p, const double *g,
                                const double *d, const int source, elimination *e) {
    equation row;
    if (source >= FROM_KEPT) {
        row.diagonal = v8_load(self->diagonal + at);
        row.right = v8_load(self->delta + at);
        if (source == FROM_KEPT)
            row.right = v8_mul(row.right, p.charge);
        return row;
    }
    const v8 conductance = v8_load(g), next = v8_load(self->v + at + AX_LANES);
    const v8 flux = v8_mul(p.axial, v8_sub(next, e->v));
    const v8 current = v8_fms(conductance, e->v, v8_load(d));
    if (source == FROM_MEMBRANE_UNIT) { /* multiplications by 1 left out: the same bits */
        row.right = v8_sub(v8_sub(flux, e->flux), current);
        row.diagonal = v8_add(v8_add(conductance, p.charge), v8_add(p.axial, e->axial));
    } else {
        row.right = v8_fnma(p.area, current, v8_sub(flux, e->flux));
        row.diagonal =
            v8_add(v8_fma(p.area, conductance, p.charge), v8_add(p.axial, e->axial));
    }
    if (source > FROM_MEMBRANE)
        row.right = v8_add(row.right, v8_load(self->injected + at));
    if (source == FROM_MEMBRANE_KEPT)
        v8_store(self->diagonal + at, row.diagonal);
    e->v = next;
    e->flux = flux;
    e->axial = p.axial;
    return row;
}

AX_INLINE void keep(ax_sim *self, int64_t at, v8 back, v8 fill, v8 right) {
    v8_store(self->back + at, back);
    v8_store(self->fill + at, fill);
    v8_store(self->right + at, right);
}

/* What the node on the left loses and gains by the rows eliminated, by their first one's fill and
 * right; and what the row below needs of the last one. */
AX_INLINE void pass_on(elimination *e, v8 axial, v8 first_fill, v8 first_right, v8 fill, v8 right) {
    e->sum_diagonal = v8_fma(e->joint, first_fill, e->sum_diagonal);
    e->sum_right = v8_fma(e->joint, first_right, e->sum_right);
    e->joint = v8_mul(axial, fill);
    e->eliminated = axial;
    e->value = right;
}

AX_INLINE void eliminate_row(ax_sim *self, int64_t at, properties p, const double *g,
                             const double *d, const int source, elimination *e) {
    const equation row = assemble_row(self, at, p, g, d, source, e);
    const v8 inverse = v8_div(e->per, v8_fms(row.diagonal, e->per, e->lost));
    const v8 right = v8_mul(v8_fma(e->eliminated, e->value, row.right), inverse);
    const v8 back = v8_mul(p.axial, inverse), fill = v8_mul(e->joint, inverse);
    keep(self, at, back, fill, right);
    pass_on(e, p.axial, fill, right, fill, right);
    e->lost = v8_mul(p.axial, back);
    e->per = v8_set1(1.0);
}

/*
 * Two rows at once, by the inverse of their 2 x 2 block: one division instead of two. Both rows
 * then refer to the row below the pair. What a pair takes from the diagonal below it is handed on
 * as a fraction, lost / per, so that no division waits for another.
 */
AX_INLINE void eliminate_pair(ax_sim *self, int64_t at, properties p, properties q, const double *g,
                              const double *d, const int source, elimination *e) {
    const equation a = assemble_row(self, at, p, g, d, source, e);
    const equation b = assemble_row(self, at + AX_LANES, q, g + AX_LANES, d + AX_LANES, source, e);
    /* per times the first row's diagonal, and times the block's determinant */
    const v8 pivot = v8_fms(a.diagonal, e->per, e->lost);
    const v8 determinant = v8_fms(pivot, b.diagonal, v8_mul(p.square, e->per));
    const v8 reciprocal = v8_div(v8_set1(1.0), determinant);
    const v8 inverse = v8_mul(e->per, reciprocal);
    const v8 a_right = v8_fma(e->eliminated, e->value, a.right);
    /* the block's inverse is [aa ab; ab bb] */
    const v8 aa = v8_mul(b.diagonal, inverse), ab = v8_mul(p.axial, inverse);
    const v8 bb = v8_mul(pivot, reciprocal);
    const v8 right_a = v8_fma(aa, a_right, v8_mul(ab, b.right));
    const v8 right_b = v8_fma(ab, a_right, v8_mul(bb, b.right));
    const v8 fill_a = v8_mul(aa, e->joint), fill_b = v8_mul(ab, e->joint);
    keep(self, at, v8_mul(ab, q.axial), fill_a, right_a);
    keep(self, at + AX_LANES, v8_mul(bb, q.axial), fill_b, right_b);
    pass_on(e, q.axial, fill_a, right_a, fill_b, right_b);
    e->lost = v8_mul(q.square, pivot);
    e->per = determinant;
}

/* Both grow or shrink from pair to pair: every now and then they are multiplied, exactly, by the
 * power of two that brings `per` to between 1 and 2. */
#define AX_RESCALE_EVERY 8 /* rows */

AX_INLINE void rescale(elimination *e) {
    const v8 scale = v8_reciprocal_exponent(e->per);
    e->lost = v8_mul(e->lost, scale);
    e->per = v8_mul(e->per, scale);
}

/* Rows `row` to `last` of a tile, which begin at `at`; even: their properties are all the same. */
AX_INLINE void eliminate_pairs(ax_sim *self, int64_t at, int32_t row, int32_t last,
                               const double *g, const double *d, const int source, const int even,
                               elimination *e) {
    properties a = properties_at(self, at), b = a;
    for (; row < last; row += 2, at += 2 * AX_LANES, g += 2 * AX_LANES, d += 2 * AX_LANES) {
        if (!even) {
            a = properties_at(self, at);
            b = properties_at(self, at + AX_LANES);
        }
        eliminate_pair(self, at, a, b, g, d, source, e);
        if (row % AX_RESCALE_EVERY < 2)
            rescale(e);
    }
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
        if (source > FROM_MEMBRANE)
            right = v8_add(right, v8_load(self->injected + at));
        diagonal = v8_add(v8_fma(area, conductance, v8_load(self->charge + at)),
                          v8_add(v8_load(self->topology.node_axial + chunk), e->axial));
        if (source == FROM_MEMBRANE_KEPT)
            v8_store(self->diagonal + at, diagonal);
    }
    v8_store(self->node_diagonal + chunk, v8_sub(diagonal, v8_div(e->lost, e->per)));
    v8_store(self->node_right + chunk, v8_fma(e->eliminated, e->value, right));
    v8_store(self->node_joint + chunk, e->joint);
    v8_store(self->sum_diagonal + chunk, e->sum_diagonal);
    v8_store(self->sum_right + chunk, e->sum_right);
}

/*
 * All rows of a tile, membrane and elimination block by block while both are in cache; from
 * `ready` on, unless that is negative, lies what the membrane of all of them makes.
 */
AX_INLINE void sweep_down(ax_sim *self, const ax_tile *tile, const int source, int halved,
                          int64_t ready) {
    const int32_t rows = tile->rows, block_rows = self->program.block_rows;
    const int64_t first = tile->row0 * AX_LANES;
    const double *joints = self->topology.joints + tile->joint0;
    const v8 v_left = v8_gather(self->v, self->topology.left_slot + tile->chunk0);
    const int64_t begins = ready < 0 ? 0 : ready * AX_LANES;
    const double *g = self->conductance + begins, *d = self->drive + begins;
    elimination e = elimination_begin(self, first);
    for (int32_t begin = 0, end; begin < rows; begin = end) {
        end = begin + block_rows < rows ? begin + block_rows : rows;
        if (end < rows && end > tile->singles && (end - tile->singles) % 2)
            end--; /* no pair lies across two blocks */
        if (source < FROM_KEPT && ready < 0)
            advance_membrane(self, tile->row0 + begin, end - begin, halved);
        const int32_t last = end < rows ? end : rows - 1;
        int32_t row = begin;
        for (; row < last && row < tile->singles; row++) {
            const int64_t at = first + (int64_t)row * AX_LANES, in_block = (row - begin) * AX_LANES;
            if (row < tile->prologue)
                join_left(joints + row * AX_LANES, v_left, source, &e);
            eliminate_row(self, at, properties_at(self, at), g + in_block, d + in_block, source, &e);
        }
        if (row < last) {
            const int64_t at = first + (int64_t)row * AX_LANES, in_block = (row - begin) * AX_LANES;
            if (tile->even)
                eliminate_pairs(self, at, row, last, g + in_block, d + in_block, source, 1, &e);
            else
                eliminate_pairs(self, at, row, last, g + in_block, d + in_block, source, 0, &e);
        }
        if (end == rows) {
            const int64_t at = first + (int64_t)last * AX_LANES, in_block = (last - begin) * AX_LANES;
            if (last < tile->prologue)
                join_left(joints + last * AX_LANES, v_left, source, &e);
            hand_over_nodes(self, at, tile->chunk0, g + in_block, d + in_block, source, &e);
        }
    }
}

/*
 * The chunks' last compartments, by elimination along the tree that they form. Each chunk is an
 * edge of that tree: its own end's, or that of the end which it begins at, and what eliminating its
 * rows took from the latter is settled with the edge.
 */
static void solve_nodes(ax_sim *self) {
    const ax_topology *t = &self->topology;
    double *diagonal = self->node_diagonal, *right = self->node_right, *value = self->node_value;
    const int32_t last = t->n_nodes - 1;
    for (int32_t i = 0; i < last; i++) {
        const int32_t node = t->order[i], parent = t->parent[i], chunk = t->edge[i];
        const double lost = self->sum_diagonal[chunk], gained = self->sum_right[chunk];
        double d = diagonal[node], r = right[node];
        double d_parent = diagonal[parent], r_parent = right[parent];
        if (chunk == node) {
            d_parent -= lost;
            r_parent += gained;
        } else {
            d -= lost;
            r += gained;
        }
        const double inverse = 1.0 / d, joint = self->node_joint[chunk], back = joint * inverse;
        r *= inverse;
        diagonal[parent] = ax_fma(-joint, back, d_parent);
        right[parent] = ax_fma(joint, r, r_parent);
        diagonal[node] = back; /* from here on: what the parent's value is worth */
        right[node] = r;
    }
    const int32_t root = t->order[last];
    value[root] = right[root] / diagonal[root];
    for (int32_t i = last - 1; i >= 0; i--) {
        const int32_t node = t->order[i];
        value[node] = ax_fma(diagonal[node], value[t->parent[i]], right[node]);
    }
}

/* What becomes of the solution. */
enum {
    INTO_DELTA,      /* kept in delta */
    EXTRAPOLATED,    /* V += 2 x: Crank-Nicolson */
    ADDED,           /* V += x: backward Euler */
    ADDED_TO_DELTA,  /* V += delta + x: the second half of a damped step, or part of it */
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

typedef struct {
    v8 threshold, bound;
    unsigned inside; /* lanes in which every |V| so far is within the bound, as bits */
    double *v_middle; /* where currents are wanted, or NULL */
} watch;

/* V after the step, from the solution x; what it was goes into *before. */
AX_INLINE v8 settle_row(ax_sim *self, int64_t at, v8 x, const int into, double *v_middle,
                        v8 *before) {
    v8 after;
    *before = v8_load(self->v + at);
    const v8 half = into == ADDED_TO_DELTA ? v8_load(self->delta + at) : x;
    if (into == EXTRAPOLATED) {
        after = v8_fma(v8_set1(2.0), x, *before);
    } else if (into == ADDED_TO_DELTA) {
        const v8 rest = v8_mul(v8_set1(1.0 - self->damped), half);
        after = v8_add(*before, v8_add(v8_fma(v8_set1(self->damped), x, rest), half));
    } else {
        after = v8_add(*before, x);
    }
    v8_store(self->v + at, after);
    if (__builtin_expect(v_middle != NULL, 0)) /* of a whole implicit step its end */
        v8_store(v_middle + at, v8_add(*before, half));
    return after;
}

/* Below the threshold and inside the bound, as most of an axon is: nothing to look at. */
AX_INLINE m8 dull(v8 after, const watch *w) {
    return m8_and(v8_lt(after, w->threshold), v8_le(v8_abs(after), w->bound));
}

AX_INLINE void look_at_row(ax_sim *self, int64_t at, v8 before, v8 after, ax_drive *drive,
                           watch *w) {
    w->inside &= m8_bits(v8_le(v8_abs(after), w->bound));
    const unsigned crossed =
        m8_bits(m8_and(v8_lt(before, w->threshold), v8_le(w->threshold, after)));
    if (crossed != 0)
        emit_spikes(self, drive, crossed, at, before, after);
}

AX_INLINE void settle_one(ax_sim *self, int64_t at, v8 x, const int into, ax_drive *drive,
                          watch *w) {
    if (into == INTO_DELTA) {
        v8_store(self->delta + at, x);
        return;
    }
    v8 before;
    const v8 after = settle_row(self, at, x, into, w->v_middle, &before);
    if (__builtin_expect(m8_bits(dull(after, w)) != 0xff, 0))
        look_at_row(self, at, before, after, drive, w);
}

AX_INLINE void settle_pair(ax_sim *self, int64_t at, v8 x_a, v8 x_b, const int into,
                           ax_drive *drive, watch *w) {
    if (into == INTO_DELTA) {
        v8_store(self->delta + at, x_a);
        v8_store(self->delta + at + AX_LANES, x_b);
        return;
    }
    v8 before_a, before_b;
    const v8 a = settle_row(self, at, x_a, into, w->v_middle, &before_a);
    const v8 b = settle_row(self, at + AX_LANES, x_b, into, w->v_middle, &before_b);
    if (__builtin_expect(m8_bits(m8_and(dull(a, w), dull(b, w))) != 0xff, 0)) {
        look_at_row(self, at, before_a, a, drive, w);
        look_at_row(self, at + AX_LANES, before_b, b, drive, w);
    }
}

AX_INLINE v8 substitute(const ax_sim *self, int64_t at, v8 below, v8 left) {
    const v8 own = v8_fma(v8_load(self->fill + at), left, v8_load(self->right + at));
    return v8_fma(v8_load(self->back + at), below, own);
}

/* Substitute back up; returns whether every |V| stayed within v_inside. */
AX_INLINE int sweep_up(ax_sim *self, const ax_tile *tile, const int into, ax_drive *drive) {
    const int32_t rows = tile->rows;
    const int64_t first = tile->row0 * AX_LANES;
    const v8 left = v8_gather(self->node_value, self->topology.left_node + tile->chunk0);
    watch w = {v8_set1(self->spike_threshold), v8_set1(self->v_inside), 0xff, self->v_middle};
    v8 x = v8_load(self->node_value + tile->chunk0);
    settle_one(self, first + (int64_t)(rows - 1) * AX_LANES, x, into, drive, &w);
    int32_t row = rows - 3;
    for (; row >= tile->singles; row -= 2) {
        const int64_t a = first + (int64_t)row * AX_LANES, b = a + AX_LANES;
        const v8 x_b = substitute(self, b, x, left);
        x = substitute(self, a, x, left);
        settle_pair(self, a, x, x_b, into, drive, &w);
    }
    for (row = (tile->singles < rows - 1 ? tile->singles : rows - 1) - 1; row >= 0; row--) {
        const int64_t at = first + (int64_t)row * AX_LANES;
        x = substitute(self, at, x, left);
        settle_one(self, at, x, into, drive, &w);
    }
    return w.inside == 0xff;
}

/* One implicit solve over all tiles. */
AX_INLINE int solve_all(ax_sim *self, const int source, const int into, int halved,
                        ax_drive *drive) {
    const ax_tile *const tiles = self->topology.tiles, *const end = tiles + self->topology.n_tiles;
    int inside = 1;
    for (const ax_tile *tile = tiles, *next; tile < end; tile = next) {
        /* Of short tiles as many as make a block together. */
        int32_t rows = tile->rows;
        for (next = tile + 1; next < end && rows + next->rows <= self->program.block_rows; next++)
            rows += next->rows;
        const int together = source < FROM_KEPT && next > tile + 1;
        if (together)
            advance_membrane(self, tile->row0, rows, halved);
        for (const ax_tile *one = tile; one < next; one++)
            sweep_down(self, one, source, halved, together ? one->row0 - tile->row0 : -1);
    }
    solve_nodes(self);
    for (const ax_tile *tile = tiles; tile < end; tile++)
        inside &= sweep_up(self, tile, into, drive);
    return inside;
}
