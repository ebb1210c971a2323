/*
 * Inside a simulation. Shared by the files of csrc/, never by anyone else.
 *
 * The tree is cut at its branch points, and between them, into chunks of
 * consecutive compartments, one a SIMD lane; eight of like length are a tile.
 * Element (row, lane) of a per-compartment array lies at [row * 8 + lane].
 * Chunks shorter than their tile have padding rows at the top: isolated
 * compartments that nobody sees.
 *
 * The last compartment of each chunk is an interface node. Eliminating a
 * chunk's other rows from the top down leaves a small system on the nodes
 * alone; for a path it is a path, for a tree of cables it is a tree.
 */
#ifndef AX_SIM_H
#define AX_SIM_H

#include "axon.h"

#define AX_BLOCK_ROWS_MAX 128 /* rows at work together, membrane and elimination */

typedef struct {
    int64_t row0;     /* its first row */
    int32_t rows;
    int32_t prologue; /* rows that hold a chunk's first compartment are above this one */
    int32_t singles;  /* rows above this one are eliminated one by one, the others in pairs */
    int32_t chunk0;   /* number of its first chunk */
    int64_t joint0;   /* where its prologue begins in joints */
    int even;         /* whether area, charge and axial are the same in all rows in pairs */
} ax_tile;

typedef struct {
    int64_t n, n_rows, n_joints; /* compartments; rows of all tiles; doubles in joints */
    int32_t n_tiles, n_chunks;
    ax_tile *tiles;
    int64_t *slot;        /* [n] where a compartment lies */
    int64_t *compartment; /* [n_rows * 8] who lies there, -1 for padding */
    /* per chunk */
    int32_t *start;     /* row of its first compartment */
    int32_t *first;     /* its first compartment, -1 for none: the others follow in the rows below */
    int64_t *left_node; /* node its first compartment is joined to, n_chunks for none */
    int64_t *left_slot; /* where that node lies */
    double *left_axial; /* uS of that joint, 0 for none */
    double *joints;     /* the same by tile, prologue row and lane: 0 but where a chunk begins */
    double *node_axial; /* uS of all joints that end on its own node from other chunks */
    /* elimination order of the nodes: order[i] goes into its parent by the joint of chunk edge[i] */
    int32_t n_nodes;
    int32_t *order, *parent, *edge;
} ax_topology;

/* scale: what every joint is multiplied by. */
int ax_topology_create(ax_topology *self, const ax_cable *cable, double scale);
void ax_topology_free(ax_topology *self);

/* Floats of one block in one bin: four coefficients each of eight cubics. */
#define AX_TABLE_BLOCK 32

/* A table, and how to find a place in it. */
typedef struct {
    ax_table t; /* its pointers lie in memory of our own */
    int32_t blocks;
    int64_t bin; /* floats of one bin */
    double bins_per_mv, bin_at_zero;
} ax_lookup;

/* A program that has been checked: every slot is in range, nothing is read before it is written. */
typedef struct {
    ax_membrane m;      /* its pointers lie in memory of our own */
    int32_t n_slots, first_state, first_param, first_const, first_multiple,
        first_held, first_temp;
    ax_lookup tables[AX_MAX_TABLES];
    double v_inside;    /* every |V| up to here lies inside all tables, and is no blow-up */
    int32_t n_ohmic;    /* operands of the membrane's current */
    int32_t block_rows; /* rows the program runs over at a time */
} ax_program;

int ax_program_create(ax_program *self, const ax_membrane *membrane, int64_t n);
void ax_program_free(ax_program *self);

typedef struct ax_kernel ax_kernel;

/* Ohmic terms that follow one another, and the two states of their ion, or NULL. */
typedef struct {
    int32_t begin, end; /* operands */
    double *slope, *offset;
} ax_group;

#define AX_MAX_OPERANDS 3

/* An operand of an instruction. For the block that starts at row R it begins at [R * by_row]:
 * temporaries hold the block at work only, uniform ones a row. */
typedef struct {
    double *at;
    int64_t by_row;
} ax_place;

/* An instruction with the places of its result and its operands. */
typedef struct {
    int32_t op;
    uint32_t uniform; /* a bit for each operand that is */
    ax_place out, in[AX_MAX_OPERANDS];
} ax_instruction;

/* Where an operand of the membrane's current lies. */
typedef struct {
    const double *origin; /* its first row */
    const double *at;     /* the first row of the block at work */
    int64_t step;     /* doubles a row */
    int32_t temporary;
    int32_t count; /* of a factor, its power; of a conductance, the number of its factors */
} ax_operand;

struct ax_sim {
    const ax_kernel *kernel;
    ax_topology topology;
    ax_program program;

    double dt, spike_threshold, v_inside; /* |V| <= v_inside needs no second look */
    int inside; /* at the last look every |V|, padding included, was within v_inside */
    int backward_euler;

    double *planes; /* what has a value per compartment, one array after the other */
    int64_t plane;  /* doubles from one to the next */
    /* [n_rows * 8] each */
    double *v, *area, *charge, *axial; /* charge: capacitance over the implicit step, uS */
    /* Of a cable with one area everywhere all equations are divided by it; area is then 1. */
    int unit_area;
    double scale; /* what they were multiplied by: 1, or the area's reciprocal */
    double *injected;                  /* nA in this step */
    double *diagonal, *delta;          /* kept by damped steps */
    double damped;                     /* how far this step is, 0 to 1 */
    double *back, *fill, *right;       /* of the elimination, for substitution */
    double *states;                    /* n_states of them */
    double *v_middle;                  /* the state that receives V(t + dt/2), or NULL */
    double *params;                    /* those with a value per compartment */
    double *held;                      /* n_held of them */
    int moving; /* in this step what is slow moves */
    int stale;  /* what is held has not been computed from the states as they are */

    /* the program's operands: slot s begins at operand[s], step 0 or 8 doubles a row */
    double **operand;
    int32_t *operand_step;
    ax_instruction *code;
    double *uniform; /* dt, scalar parameters, constants, multiples of dt, temporaries */
    double *conductance, *drive; /* [block_rows * 8] of the block at work */
    /* What the membrane's current is made of: the program's own slope and offset, if it has them;
     * then of each ohmic term conductance, reversal and factors. Uniform leaks are summed here.
     * Terms of one ion are a group, those of none in particular the first. */
    double leak_conductance, leak_drive;
    ax_operand *ohmic;
    int32_t n_ohmic;
    ax_group *groups;
    int32_t n_groups;

    /* per chunk: the node system; node_value has a zero at its end */
    double *node_diagonal, *node_right, *node_joint, *node_value;
    double *sum_diagonal, *sum_right;

    double *gain, *gain_below; /* of diffusion, [n - 1] each; NULL where nothing diffuses */
    int64_t *above;            /* [n] where the neighbour nearer the root lies, unless for the root */

    int32_t n_sources, n_shunts;
    int64_t n_entries;
    int64_t *source_begin; /* [n_sources + 1] first entry of each source */
    int64_t *source_slot;  /* of each entry */
    double *source_weight; /* of each entry, scaled */
    /* Of a source that enters everywhere, as a field outside does, the weight of every slot. */
    double **spread; /* [n_sources], NULL for the others */
    double *spreads; /* all of them */
    int injecting;   /* injected is not all zero */
    int64_t *shunt_slot;   /* of each shunt */
    double *shunt_factor;  /* of each shunt, from uS to what `conductance` holds */
    double *shunt;         /* of each shunt, in this step */

    int64_t n_recorded, record_every;
    int64_t *recorded_slot;
    int record_float;
    int64_t n_electrodes;
    double *electrode_weight; /* [n_electrodes][n_rows * 8], zeros after the n-th */
    double *ordered; /* [n_rows * 8] V in the order of compartments, zeros after the n-th */

    int64_t step;
    int64_t saturated_steps; /* in which some V lay outside a table, whose end value was taken */
    int64_t diverged_compartment;
    double diverged_v;
};

/* What is compiled once per instruction set. */
struct ax_kernel {
    const char *name;
    int fused;
    /* One time step; spikes go to `drive`, whose room has been checked. Returns whether every
     * |V| is within v_inside. */
    int (*step)(ax_sim *self, ax_drive *drive, double damped);
    /* Solve with diagonal and delta as matrix and right-hand side; the result is in delta. */
    void (*solve)(ax_sim *self);
    void (*apply)(int op, const double *a, const double *b, const double *c, int64_t n, double *out);
};

const ax_kernel *ax_kernel_at(int isa);

/* 64-byte aligned, zeroed; NULL when there is none. count * size may not overflow. */
void *ax_alloc(int64_t count, size_t size);
void ax_release(void *p);

#endif
