/* A simulation's life: create, step, read its state, free. */
#include <math.h>
#include <string.h>

#include "sim.h"

static int positive(double x) { return x > 0.0 && isfinite(x); }

static int check(const ax_cable *cable, const ax_sources *sources, const ax_options *options) {
    const int64_t n = cable->n;
    if (n < 1 || n > INT32_MAX || !positive(options->dt) || !isfinite(options->spike_threshold))
        return AX_ERR_ARGUMENT;
    for (int64_t i = 0; i < n; i++)
        if (!positive(cable->area[i]) || !positive(cable->capacitance[i]))
            return AX_ERR_ARGUMENT;
    for (int64_t i = 0; i + 1 < n; i++)
        if (!positive(cable->axial[i]))
            return AX_ERR_ARGUMENT;
    for (int64_t i = 0; cable->parent != NULL && i < n; i++)
        if (i == 0 ? cable->parent[i] != -1 : cable->parent[i] < 0 || cable->parent[i] >= i)
            return AX_ERR_ARGUMENT;
    if (sources->n_sources < 0 || sources->n_entries < 0 || sources->n_shunts < 0)
        return AX_ERR_ARGUMENT;
    for (int32_t s = 0; s < sources->n_shunts; s++)
        if (sources->shunt_compartment[s] < 0 || sources->shunt_compartment[s] >= n)
            return AX_ERR_ARGUMENT;
    for (int64_t e = 0; e < sources->n_entries; e++)
        if (sources->compartment[e] < 0 || sources->compartment[e] >= n || sources->source[e] < 0 ||
            sources->source[e] >= sources->n_sources || !isfinite(sources->weight[e]))
            return AX_ERR_ARGUMENT;
    if (options->n_recorded < 0 || options->record_every < 0)
        return AX_ERR_ARGUMENT;
    for (int64_t i = 0; i < options->n_recorded; i++)
        if (options->recorded[i] < 0 || options->recorded[i] >= n)
            return AX_ERR_ARGUMENT;
    if (options->n_electrodes < 0)
        return AX_ERR_ARGUMENT;
    for (int64_t i = 0; i < options->n_electrodes * n; i++)
        if (!isfinite(options->electrode_weight[i]))
            return AX_ERR_ARGUMENT;
    return AX_OK;
}

/* Padding takes the values of the chunk's first compartment, or of the cable's. */
static void lay_out(const ax_sim *self, const double *from, double *to) {
    const ax_topology *t = &self->topology;
    for (int32_t i = 0; i < t->n_tiles; i++) {
        const ax_tile *tile = &t->tiles[i];
        for (int32_t lane = 0; lane < AX_LANES; lane++) {
            const int32_t start = t->start[tile->chunk0 + lane];
            double *column = to + tile->row0 * AX_LANES + lane;
            for (int32_t row = 0; row < tile->rows; row++) {
                const int32_t shown = row < start ? start : row;
                const int64_t who =
                    shown < tile->rows
                        ? t->compartment[(tile->row0 + shown) * AX_LANES + lane]
                        : 0;
                column[(int64_t)row * AX_LANES] = from[who];
            }
        }
    }
}

static void gather(const ax_sim *self, const double *from, double *to) {
    for (int64_t i = 0; i < self->topology.n; i++)
        to[i] = from[self->topology.slot[i]];
}

/* Whether n values are each as the one `step` before. */
static int all_alike(const double *values, int64_t n, int64_t step) {
    for (int64_t i = step; i < n; i++)
        if (values[i] != values[i - step])
            return 0;
    return 1;
}

static void lay_out_cable(ax_sim *self, const ax_cable *cable) {
    const ax_topology *t = &self->topology;
    const double implicit = self->backward_euler ? self->dt : 0.5 * self->dt;
    lay_out(self, cable->area, self->area);
    lay_out(self, cable->capacitance, self->charge);
    for (int64_t at = 0; at < t->n_rows * AX_LANES; at++) {
        self->area[at] = self->unit_area ? 1.0 : self->area[at];
        self->charge[at] *= self->scale / implicit;
    }
    /* axial[at]: the joint with the row below; none below padding and nodes. */
    for (int32_t chunk = 0; chunk < t->n_chunks; chunk++) {
        const ax_tile *tile = &t->tiles[chunk / AX_LANES];
        for (int32_t row = t->start[chunk] + 1; row < tile->rows; row++) {
            const int64_t at = (tile->row0 + row) * AX_LANES + chunk % AX_LANES;
            self->axial[at - AX_LANES] = cable->axial[t->compartment[at] - 1] * self->scale;
        }
    }
    for (int32_t i = 0; i < t->n_tiles; i++) {
        ax_tile *tile = &t->tiles[i];
        const int64_t pairs = (tile->row0 + tile->singles) * AX_LANES;
        const int64_t n = (int64_t)(tile->rows - 1 - tile->singles) * AX_LANES;
        tile->even = n > 0 && all_alike(self->area + pairs, n, AX_LANES) &&
                     all_alike(self->charge + pairs, n, AX_LANES) &&
                     all_alike(self->axial + pairs, n, AX_LANES);
    }
}

static int lay_out_operands(ax_sim *self, const ax_membrane *membrane) {
    ax_program *p = &self->program;
    const int64_t plane = self->plane;
    int64_t arrays = 0, uniforms = 1 + p->m.n_consts + p->m.n_multiples;
    for (int32_t i = 0; i < p->m.n_params; i++) {
        if (p->m.param_length[i] == 1)
            uniforms++;
        else
            arrays++;
    }
    self->operand = ax_alloc(p->n_slots, sizeof *self->operand);
    self->operand_step = ax_alloc(p->n_slots, sizeof *self->operand_step);
    self->params = ax_alloc(arrays * plane, sizeof *self->params);
    self->uniform = ax_alloc((uniforms + (int64_t)p->m.n_temps * p->block_rows) * AX_LANES,
                             sizeof *self->uniform);
    if (!self->operand || !self->operand_step || !self->params || !self->uniform)
        return AX_ERR_MEMORY;

    double *uniform = self->uniform, *array = self->params;
    const double *value = membrane->params;
    self->operand[0] = self->v;
    self->operand_step[0] = AX_LANES;
    self->operand[1] = uniform;
    uniform += AX_LANES;
    for (int32_t s = 0; s < p->m.n_states; s++) {
        self->operand[p->first_state + s] = self->states + s * plane;
        self->operand_step[p->first_state + s] = AX_LANES;
    }
    for (int32_t i = 0; i < p->m.n_params; i++) {
        const int32_t slot = p->first_param + i;
        if (p->m.param_length[i] == 1) {
            for (int lane = 0; lane < AX_LANES; lane++)
                uniform[lane] = *value;
            self->operand[slot] = uniform;
            uniform += AX_LANES;
        } else {
            lay_out(self, value, array);
            self->operand[slot] = array;
            self->operand_step[slot] = AX_LANES;
            array += plane;
        }
        value += p->m.param_length[i];
    }
    for (int32_t i = 0; i < p->m.n_consts; i++) {
        for (int lane = 0; lane < AX_LANES; lane++)
            uniform[lane] = p->m.consts[i];
        self->operand[p->first_const + i] = uniform;
        uniform += AX_LANES;
    }
    for (int32_t i = 0; i < p->m.n_multiples; i++) {
        self->operand[p->first_multiple + i] = uniform;
        uniform += AX_LANES;
    }
    for (int32_t i = 0; i < p->m.n_held; i++) {
        self->operand[p->first_held + i] = self->held + i * plane;
        self->operand_step[p->first_held + i] = AX_LANES;
    }
    for (int32_t i = 0; i < p->m.n_temps; i++) {
        self->operand[p->first_temp + i] = uniform;
        self->operand_step[p->first_temp + i] = AX_LANES;
        uniform += (int64_t)p->block_rows * AX_LANES;
    }
    return AX_OK;
}

static ax_place place_of(const ax_sim *self, int32_t slot) {
    if (slot < 0)
        return (ax_place){self->uniform, 0}; /* not looked at */
    return (ax_place){self->operand[slot],
                      slot < self->program.first_temp ? self->operand_step[slot] : 0};
}

static int lay_out_code(ax_sim *self) {
    const ax_membrane *m = &self->program.m;
    self->code = ax_alloc(m->n_code, sizeof *self->code);
    if (self->code == NULL)
        return AX_ERR_MEMORY;
    for (int32_t i = 0; i < m->n_code; i++) {
        const int32_t *from = m->code + 5 * (int64_t)i;
        ax_instruction *to = &self->code[i];
        to->op = from[0];
        to->out = place_of(self, from[1]);
        to->uniform = 0;
        for (int k = 0; k < AX_MAX_OPERANDS; k++) {
            const int32_t slot = from[2 + k];
            to->in[k] = place_of(self, slot);
            if (slot >= 0 && self->operand_step[slot] == 0)
                to->uniform |= 1u << k;
        }
    }
    return AX_OK;
}

static ax_operand locate(const ax_sim *self, int32_t slot, int32_t count) {
    return (ax_operand){.origin = self->operand[slot],
                        .step = self->operand_step[slot],
                        .temporary = slot >= self->program.first_temp,
                        .count = count};
}

static ax_operand *lay_out_term(const ax_sim *self, const int32_t *term, ax_operand *to) {
    const ax_membrane *m = &self->program.m;
    *to++ = locate(self, term[0], term[3]);
    *to++ = locate(self, term[1], 0);
    for (int32_t f = term[2]; f < term[2] + term[3]; f++)
        *to++ = locate(self, m->factors[2 * f], m->factors[2 * f + 1]);
    return to;
}

static void lay_out_currents(ax_sim *self) {
    const ax_membrane *m = &self->program.m;
    ax_operand *to = self->ohmic;
    if (m->slope_slot >= 0) {
        *to++ = locate(self, m->slope_slot, 0);
        *to++ = locate(self, m->offset_slot, 0);
    }
    for (int32_t ion = -1; ion < m->n_ions; ion++) {
        ax_group *group = &self->groups[self->n_groups++];
        group->begin = (int32_t)(to - self->ohmic);
        if (ion >= 0) {
            group->slope = self->states + m->ions[2 * ion] * self->plane;
            group->offset = self->states + m->ions[2 * ion + 1] * self->plane;
        }
        for (int32_t t = 0; t < m->n_terms; t++) {
            const int32_t *term = m->terms + 5 * t;
            if (term[4] != ion)
                continue;
            const ax_operand gbar = locate(self, term[0], 0), reversal = locate(self, term[1], 0);
            if (ion < 0 && term[3] == 0 && gbar.step == 0 && reversal.step == 0) {
                self->leak_conductance += *gbar.origin;
                self->leak_drive += *gbar.origin * *reversal.origin;
            } else {
                to = lay_out_term(self, term, to);
            }
        }
        group->end = (int32_t)(to - self->ohmic);
    }
    self->n_ohmic = (int32_t)(to - self->ohmic);
}

static int lay_out_diffusion(ax_sim *self, const ax_cable *cable) {
    if (self->program.m.n_diffusions == 0)
        return AX_OK;
    const int64_t joints = cable->n - 1;
    if (joints > 0 && (cable->gain == NULL || cable->gain_below == NULL))
        return AX_ERR_ARGUMENT;
    self->gain = ax_alloc(joints, sizeof *self->gain);
    self->gain_below = ax_alloc(joints, sizeof *self->gain_below);
    self->above = ax_alloc(cable->n, sizeof *self->above);
    if (!self->gain || !self->gain_below || !self->above)
        return AX_ERR_MEMORY;
    for (int64_t i = 1; i < cable->n; i++)
        self->above[i] = self->topology.slot[cable->parent != NULL ? cable->parent[i] : i - 1];
    for (int64_t i = 0; i < joints; i++) {
        if (!positive(cable->gain[i]) || !positive(cable->gain_below[i]))
            return AX_ERR_ARGUMENT;
        self->gain[i] = cable->gain[i];
        self->gain_below[i] = cable->gain_below[i];
    }
    return AX_OK;
}

static int lay_out_shunts(ax_sim *self, const ax_cable *cable, const ax_sources *sources) {
    self->n_shunts = sources->n_shunts;
    self->shunt_slot = ax_alloc(self->n_shunts, sizeof *self->shunt_slot);
    self->shunt_factor = ax_alloc(self->n_shunts, sizeof *self->shunt_factor);
    self->shunt = ax_alloc(self->n_shunts, sizeof *self->shunt);
    if (!self->shunt_slot || !self->shunt_factor || !self->shunt)
        return AX_ERR_MEMORY;
    for (int32_t s = 0; s < self->n_shunts; s++) {
        const int64_t who = sources->shunt_compartment[s];
        self->shunt_slot[s] = self->topology.slot[who];
        self->shunt_factor[s] = 1.0 / cable->area[who];
    }
    return AX_OK;
}

/* Entries in the order of their sources, those of one source in the order given. */
static int lay_out_sources(ax_sim *self, const ax_sources *sources) {
    const int64_t entries = sources->n_entries, n_sources = sources->n_sources;
    self->n_sources = sources->n_sources;
    self->n_entries = entries;
    self->source_begin = ax_alloc(n_sources + 1, sizeof *self->source_begin);
    self->source_weight = ax_alloc(entries, sizeof *self->source_weight);
    self->source_slot = ax_alloc(entries, sizeof *self->source_slot);
    self->spread = ax_alloc(n_sources, sizeof *self->spread);
    if (!self->source_begin || !self->source_weight || !self->source_slot || !self->spread)
        return AX_ERR_MEMORY;
    int64_t *begin = self->source_begin, n_spread = 0;
    for (int64_t e = 0; e < entries; e++)
        begin[sources->source[e] + 1]++;
    for (int64_t s = 0; s < n_sources; s++) {
        n_spread += 2 * begin[s + 1] > self->topology.n;
        begin[s + 1] += begin[s];
    }
    for (int64_t e = 0; e < entries; e++) { /* begin[s] runs to the next source's first entry */
        const int64_t at = begin[sources->source[e]]++;
        self->source_weight[at] = sources->weight[e] * self->scale;
        self->source_slot[at] = self->topology.slot[sources->compartment[e]];
    }
    for (int64_t s = n_sources; s > 0; s--)
        begin[s] = begin[s - 1];
    begin[0] = 0;

    self->spreads = ax_alloc(n_spread, (size_t)self->plane * sizeof(double));
    if (self->spreads == NULL)
        return AX_ERR_MEMORY;
    double *plane = self->spreads;
    for (int64_t s = 0; s < n_sources; s++) {
        if (2 * (begin[s + 1] - begin[s]) <= self->topology.n)
            continue;
        for (int64_t e = begin[s]; e < begin[s + 1]; e++)
            plane[self->source_slot[e]] += self->source_weight[e];
        self->spread[s] = plane;
        plane += self->plane;
    }
    return AX_OK;
}

static int lay_out_electrodes(ax_sim *self, const ax_options *options) {
    const int64_t n = self->topology.n, padded = self->topology.n_rows * AX_LANES;
    self->n_electrodes = options->n_electrodes;
    self->electrode_weight = ax_alloc(self->n_electrodes * padded, sizeof(double));
    self->ordered = ax_alloc(padded, sizeof(double));
    if (!self->electrode_weight || !self->ordered)
        return AX_ERR_MEMORY;
    for (int64_t e = 0; e < self->n_electrodes; e++)
        memcpy(self->electrode_weight + e * padded, options->electrode_weight + e * n,
               (size_t)n * sizeof(double));
    return AX_OK;
}

/*
 * Doubles from one per-compartment array to the next. One row of all arrays is at work at a time:
 * at a distance of whole pages these would all fall into one set of the first-level cache, and a
 * store would hold up loads from the same place of other pages. Five cache lines more spread them.
 */
static int64_t plane_of(int64_t n_rows) {
    const int64_t page = 4096 / sizeof(double), apart = 5 * AX_LANES;
    return (n_rows * AX_LANES + page - 1) / page * page + apart;
}

static int allocate(ax_sim *self) {
    const int64_t chunks = self->topology.n_chunks;
    const int64_t block = (int64_t)self->program.block_rows * AX_LANES;
    double **const planes[] = {&self->v,        &self->area,  &self->charge, &self->axial,
                               &self->injected, &self->diagonal, &self->delta, &self->back,
                               &self->fill,     &self->right};
    double **const nodes[] = {&self->node_diagonal, &self->node_right,   &self->node_joint,
                              &self->node_value,    &self->sum_diagonal, &self->sum_right};
    const int64_t n_planes = sizeof planes / sizeof planes[0];
    const int64_t of_program = (int64_t)self->program.m.n_states + self->program.m.n_held;
    self->planes = ax_alloc(n_planes + of_program, (size_t)self->plane * sizeof(double));
    if (self->planes == NULL)
        return AX_ERR_MEMORY;
    for (int64_t i = 0; i < n_planes; i++)
        *planes[i] = self->planes + i * self->plane;
    self->states = self->planes + n_planes * self->plane;
    self->held = self->states + self->program.m.n_states * self->plane;
    self->stale = 1;
    if (self->program.m.middle_state >= 0)
        self->v_middle = self->states + self->program.m.middle_state * self->plane;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        if ((*nodes[i] = ax_alloc(chunks + 1, sizeof(double))) == NULL)
            return AX_ERR_MEMORY;
    self->conductance = ax_alloc(block, sizeof(double));
    self->drive = ax_alloc(block, sizeof(double));
    self->ohmic = ax_alloc(self->program.n_ohmic, sizeof *self->ohmic);
    self->groups = ax_alloc(1 + self->program.m.n_ions, sizeof *self->groups);
    self->recorded_slot = ax_alloc(self->n_recorded, sizeof *self->recorded_slot);
    if (!self->ohmic || !self->groups || !self->conductance || !self->drive || !self->recorded_slot)
        return AX_ERR_MEMORY;
    return AX_OK;
}

int ax_sim_create(const ax_cable *cable, const ax_membrane *membrane, const ax_sources *sources,
                  const ax_options *options, ax_sim **out) {
    *out = NULL;
    int isa = options->isa;
    if (isa < 0)
        for (isa = ax_isa_count() - 1; !ax_isa_supported(isa); isa--)
            ;
    if (isa >= ax_isa_count() || !ax_isa_supported(isa))
        return AX_ERR_ISA;
    int status = check(cable, sources, options);
    if (status != AX_OK)
        return status;

    ax_sim *self = ax_alloc(1, sizeof *self);
    if (self == NULL)
        return AX_ERR_MEMORY;
    self->kernel = ax_kernel_at(isa);
    self->dt = options->dt;
    self->backward_euler = options->backward_euler;
    self->spike_threshold = options->spike_threshold;
    self->n_recorded = options->n_recorded;
    self->record_every = options->record_every;
    self->record_float = options->record_float;
    self->diverged_compartment = -1;

    self->unit_area = all_alike(cable->area, cable->n, 1);
    self->scale = self->unit_area ? 1.0 / cable->area[0] : 1.0;

    status = ax_topology_create(&self->topology, cable, self->scale);
    if (status == AX_OK)
        status = ax_program_create(&self->program, membrane, cable->n);
    if (status == AX_OK) {
        self->plane = plane_of(self->topology.n_rows);
        status = allocate(self);
    }
    if (status == AX_OK)
        status = lay_out_operands(self, membrane);
    if (status == AX_OK)
        status = lay_out_code(self);
    if (status == AX_OK)
        status = lay_out_sources(self, sources);
    if (status == AX_OK)
        status = lay_out_shunts(self, cable, sources);
    if (status == AX_OK)
        status = lay_out_diffusion(self, cable);
    if (status == AX_OK)
        status = lay_out_electrodes(self, options);
    if (status != AX_OK) {
        ax_sim_free(self);
        return status;
    }
    lay_out_cable(self, cable);
    lay_out_currents(self);
    for (int64_t i = 0; i < self->n_recorded; i++)
        self->recorded_slot[i] = self->topology.slot[options->recorded[i]];
    self->v_inside = self->program.v_inside;
    *out = self;
    return AX_OK;
}

void ax_sim_free(ax_sim *self) {
    if (self == NULL)
        return;
    void *const owned[] = {self->planes, self->params, self->operand, self->operand_step,
                           self->uniform, self->code, self->ohmic, self->groups, self->conductance, self->drive, self->node_diagonal,
                           self->node_right, self->node_joint, self->node_value,
                           self->sum_diagonal, self->sum_right, self->source_begin, self->gain, self->gain_below, self->above,
                           self->source_weight, self->source_slot, self->spread,
                           self->spreads, self->shunt_slot,
                           self->shunt_factor, self->shunt, self->recorded_slot,
                           self->electrode_weight, self->ordered};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        ax_release(owned[i]);
    ax_program_free(&self->program);
    ax_topology_free(&self->topology);
    ax_release(self);
}

/* ---- state ------------------------------------------------------------------------------ */

enum { FIELD_V, FIELD_STATE, FIELD_STEP, FIELD_SATURATED, FIELD_COUNT };

static const char *const field_names[FIELD_COUNT] = {"v", "state", "step", "saturated_steps"};

int ax_sim_field_count(const ax_sim *self) {
    (void)self;
    return FIELD_COUNT;
}

const char *ax_sim_field_name(const ax_sim *self, int field) {
    (void)self;
    return field >= 0 && field < FIELD_COUNT ? field_names[field] : "";
}

int64_t ax_sim_field_size(const ax_sim *self, int field) {
    switch (field) {
    case FIELD_V: return self->topology.n;
    case FIELD_STATE: return self->topology.n * self->program.m.n_states;
    case FIELD_STEP: case FIELD_SATURATED: return 1;
    default: return 0;
    }
}

int ax_sim_get_field(const ax_sim *self, int field, double *out) {
    const int64_t plane = self->plane;
    switch (field) {
    case FIELD_V: gather(self, self->v, out); return AX_OK;
    case FIELD_STATE:
        for (int32_t s = 0; s < self->program.m.n_states; s++)
            gather(self, self->states + s * plane, out + s * self->topology.n);
        return AX_OK;
    case FIELD_STEP: *out = (double)self->step; return AX_OK;
    case FIELD_SATURATED: *out = (double)self->saturated_steps; return AX_OK;
    default: return AX_ERR_ARGUMENT;
    }
}

int ax_sim_set_field(ax_sim *self, int field, const double *in) {
    const int64_t plane = self->plane, size = ax_sim_field_size(self, field);
    for (int64_t i = 0; i < size; i++)
        if (!isfinite(in[i]))
            return AX_ERR_ARGUMENT;
    switch (field) {
    case FIELD_V:
        lay_out(self, in, self->v);
        self->inside = 0; /* not looked at yet */
        return AX_OK;
    case FIELD_STATE:
        for (int32_t s = 0; s < self->program.m.n_states; s++)
            lay_out(self, in + s * self->topology.n, self->states + s * plane);
        self->stale = 1;
        return AX_OK;
    case FIELD_STEP: case FIELD_SATURATED:
        if (*in < 0.0 || *in > 0x1p53 || *in != floor(*in))
            return AX_ERR_ARGUMENT;
        *(field == FIELD_STEP ? &self->step : &self->saturated_steps) = (int64_t)*in;
        return AX_OK;
    default: return AX_ERR_ARGUMENT;
    }
}

/* ---- stepping --------------------------------------------------------------------------- */

static void inject(ax_sim *self, const double *current) {
    int wanted = 0, spread = 0;
    for (int32_t s = 0; s < self->n_sources; s++) {
        wanted |= current[s] != 0.0;
        spread |= self->spread[s] != NULL;
    }
    for (int32_t s = 0; s < self->n_shunts; s++)
        self->shunt[s] = current[self->n_sources + s] * self->shunt_factor[s];
    if (!wanted && !self->injecting)
        return;
    double *injected = self->injected;
    const int64_t slots = self->topology.n_rows * AX_LANES;
    if (spread)
        memset(injected, 0, (size_t)slots * sizeof *injected);
    else
        for (int64_t e = 0; e < self->n_entries; e++)
            injected[self->source_slot[e]] = 0.0;
    for (int32_t s = 0; s < self->n_sources; s++) {
        const double *weight = self->spread[s], now = current[s];
        if (now == 0.0)
            continue;
        if (weight != NULL)
            for (int64_t at = 0; at < slots; at++)
                injected[at] += weight[at] * now;
        else
            for (int64_t e = self->source_begin[s]; e < self->source_begin[s + 1]; e++)
                injected[self->source_slot[e]] += self->source_weight[e] * now;
    }
    self->injecting = wanted;
}

/* Eight sums side by side, of every eighth compartment each, and then theirs: an order that no
 * instruction set changes, nor does any fuse these multiply-adds. */
void ax_sim_see(const ax_sim *self, double *out) {
    const int64_t padded = self->topology.n_rows * AX_LANES;
    gather(self, self->v, self->ordered);
    for (int64_t e = 0; e < self->n_electrodes; e++) {
        const double *v = self->ordered, *weight = self->electrode_weight + e * padded;
        double sum[AX_LANES] = {0.0};
        for (int64_t i = 0; i < padded; i += AX_LANES)
            for (int lane = 0; lane < AX_LANES; lane++)
                sum[lane] += weight[i + lane] * v[i + lane];
        out[e] = sum[0];
        for (int lane = 1; lane < AX_LANES; lane++)
            out[e] += sum[lane];
    }
}

static void record(const ax_sim *self, ax_drive *drive) {
    int64_t at = drive->row_count * drive->row_width;
    for (int64_t done = 0; done < self->n_recorded; at += drive->block_stride) {
        const int64_t *slot = self->recorded_slot + done;
        const int64_t left = self->n_recorded - done;
        const int64_t width = left < drive->row_width ? left : drive->row_width;
        if (self->record_float) {
            float *row = (float *)drive->rows + at;
            for (int64_t i = 0; i < width; i++)
                row[i] = (float)self->v[slot[i]];
        } else {
            double *row = (double *)drive->rows + at;
            for (int64_t i = 0; i < width; i++)
                row[i] = self->v[slot[i]];
        }
        done += width;
    }
    if (self->n_electrodes > 0)
        ax_sim_see(self, drive->seen + drive->row_count * self->n_electrodes);
    drive->row_count++;
}

/* Some |V| is beyond v_inside: outside the gate table only, or beyond all bounds? The farthest
 * one is named; one that is no number only where none is too large. */
static int look_closer(ax_sim *self) {
    double farthest = self->v_inside;
    for (int64_t i = 0; i < self->topology.n; i++) {
        const double v = self->v[self->topology.slot[i]];
        if (fabs(v) > farthest || (!isfinite(v) && farthest <= AX_V_LIMIT)) {
            farthest = isfinite(v) ? fabs(v) : nextafter(AX_V_LIMIT, INFINITY);
            self->diverged_compartment = i;
            self->diverged_v = v;
        }
    }
    if (farthest > AX_V_LIMIT)
        return AX_ERR_DIVERGED;
    self->diverged_compartment = -1;
    self->saturated_steps += farthest > self->v_inside;
    return AX_OK;
}

/* How fast what diffuses grows by that, from where it is now. */
static void diffuse(ax_sim *self) {
    const ax_membrane *m = &self->program.m;
    const int64_t n = self->topology.n, *slot = self->topology.slot;
    for (int32_t d = 0; d < m->n_diffusions; d++) {
        const double *c = self->states + m->diffusions[2 * d] * self->plane;
        double *rate = self->states + m->diffusions[2 * d + 1] * self->plane;
        rate[slot[0]] = 0.0;
        for (int64_t i = 1; i < n; i++) {
            const int64_t own = slot[i], above = self->above[i];
            const double more = c[own] - c[above];
            rate[above] += self->gain[i - 1] * more;
            rate[own] = -self->gain_below[i - 1] * more;
        }
        for (int64_t i = 0; i < n; i++)
            rate[slot[i]] *= m->diffusion_coefficients[d];
    }
}

static void set_time_step(ax_sim *self, double dt) {
    const ax_program *p = &self->program;
    for (int lane = 0; lane < AX_LANES; lane++) {
        self->operand[1][lane] = dt;
        for (int32_t i = 0; i < p->m.n_multiples; i++)
            self->operand[p->first_multiple + i][lane] = p->m.multiples[i] * dt;
    }
}

int ax_sim_advance(ax_sim *self, ax_drive *drive, int64_t steps, int64_t *taken) {
    *taken = 0;
    if (steps < 0 || (drive->row_capacity > 0 && self->n_recorded > 0 && drive->row_width < 1))
        return AX_ERR_ARGUMENT;
    if (self->diverged_compartment >= 0)
        return AX_ERR_DIVERGED;
    for (int64_t i = 0; i < steps; i++) {
        const int records = self->record_every > 0 && (self->step + 1) % self->record_every == 0;
        if ((records && drive->row_count >= drive->row_capacity) ||
            drive->spike_capacity - drive->spike_count < self->topology.n)
            return AX_STOP_FULL;
        if (self->step <= 1 || i == 0)
            set_time_step(self, self->step == 0 ? 0.5 * self->dt : self->dt);
        self->stale |= self->step == 1; /* multiples of the time step may be in what is held */
        inject(self, drive->current + i * (self->n_sources + self->n_shunts));
        diffuse(self);
        self->moving = self->step % self->program.m.stride == 0;
        const int64_t spikes = drive->spike_count;
        self->inside = self->kernel->step(self, drive, drive->damped[i]);
        self->stale = 0;
        self->step++;
        if (!self->inside) {
            const int status = look_closer(self);
            if (status != AX_OK) {
                drive->spike_count = spikes; /* those of this step are none */
                return status;
            }
        }
        if (records)
            record(self, drive);
        *taken = i + 1;
    }
    return AX_OK;
}

void ax_sim_divergence(const ax_sim *self, int64_t *compartment, double *v) {
    *compartment = self->diverged_compartment;
    *v = self->diverged_v;
}

int ax_sim_solve(ax_sim *self, const double *d, const double *b, double *x) {
    const ax_topology *t = &self->topology;
    lay_out(self, d, self->diagonal);
    lay_out(self, b, self->delta);
    for (int64_t at = 0; at < t->n_rows * AX_LANES; at++) {
        self->delta[at] *= self->scale;
        self->diagonal[at] *= self->scale;
        if (t->compartment[at] < 0)
            self->diagonal[at] = 1.0; /* nothing but d holds padding: 0 would make it singular */
    }
    for (int32_t chunk = 0; chunk < t->n_chunks; chunk++) {
        const ax_tile *tile = &t->tiles[chunk / AX_LANES];
        for (int32_t row = t->start[chunk]; row < tile->rows; row++) {
            const int64_t at = (tile->row0 + row) * AX_LANES + chunk % AX_LANES;
            self->diagonal[at] += self->axial[at];
            if (row > t->start[chunk])
                self->diagonal[at] += self->axial[at - AX_LANES];
        }
    }
    for (int32_t chunk = 0; chunk < t->n_chunks; chunk++) {
        if (t->left_node[chunk] == t->n_chunks)
            continue;
        self->diagonal[t->left_slot[chunk]] += t->left_axial[chunk];
        self->diagonal[t->slot[t->first[chunk]]] += t->left_axial[chunk];
    }
    self->kernel->solve(self);
    gather(self, self->delta, x);
    return AX_OK;
}
