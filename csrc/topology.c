/* How a tree of cables is cut into chunks, and the tree that the chunks' ends form. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

/* What a step costs beside its rows, in rows: for each tile with the ends of its eight chunks. */
#define AX_TILE_COST 8

/* Compartments one after the other, of which only the last may have other than one child: from one
 * branch point to the next, or to a tip. */
typedef struct {
    int32_t first, n;
} stretch;

/* Part of a stretch, counted along the stretches, one after the other. */
typedef struct {
    int32_t number, n;
} piece;

/* What is needed to cut, and not afterwards. */
typedef struct {
    int32_t *next; /* [n] the only child of a compartment; -1 for none, -2 for several */
    stretch *stretches;
    piece *pieces;
    int32_t n_stretches, n_pieces;
} cutting;

static void cutting_free(cutting *self) {
    ax_release(self->next);
    ax_release(self->stretches);
    ax_release(self->pieces);
}

static int64_t above_of(const ax_cable *cable, int64_t i) {
    return cable->parent != NULL ? cable->parent[i] : i - 1;
}

static int cut_at_branch_points(cutting *self, const ax_cable *cable) {
    const int32_t n = (int32_t)cable->n, none = -1, several = -2;
    int32_t *next = self->next = ax_alloc(n, sizeof *self->next);
    if (!next)
        return AX_ERR_MEMORY;
    for (int32_t i = 0; i < n; i++)
        next[i] = none;
    for (int32_t i = 1; i < n; i++) {
        int32_t *child = &next[above_of(cable, i)];
        *child = *child == none ? i : several;
    }
    int32_t count = 1;
    for (int32_t i = 1; i < n; i++)
        count += next[above_of(cable, i)] == several;
    self->stretches = ax_alloc(count, sizeof *self->stretches);
    if (!self->stretches)
        return AX_ERR_MEMORY;
    for (int32_t i = 0; i < n; i++) {
        if (i > 0 && next[above_of(cable, i)] != several)
            continue;
        stretch *to = &self->stretches[self->n_stretches++];
        *to = (stretch){.first = i, .n = 1};
        for (int32_t k = next[i]; k >= 0; k = next[k])
            to->n++;
    }
    return AX_OK;
}

/* Longest first; those of one length in their order. */
static int by_length(const void *a, const void *b) {
    const piece *p = a, *q = b;
    if (p->n != q->n)
        return p->n < q->n ? 1 : -1;
    return p->number < q->number ? -1 : 1;
}

static int by_number(const void *a, const void *b) {
    const piece *p = a, *q = b;
    return p->number < q->number ? -1 : 1;
}

static int32_t parts_of(const cutting *self, int32_t s, int32_t most) {
    const int32_t n = self->stretches[s].n;
    if (self->n_stretches == 1) /* an axon without branches */
        return n < AX_LANES ? n : AX_LANES;
    return (n - 1) / most + 1;
}

/* Every stretch in even parts of `most` compartments or fewer, the longest first. */
static void cut_stretches(cutting *self, int32_t most) {
    int32_t k = 0;
    for (int32_t s = 0; s < self->n_stretches; s++) {
        const int64_t n = self->stretches[s].n, parts = parts_of(self, s, most);
        for (int64_t part = 0; part < parts; part++, k++)
            self->pieces[k] = (piece){
                .number = k, .n = (int32_t)((part + 1) * n / parts - part * n / parts)};
    }
    self->n_pieces = k;
    qsort(self->pieces, (size_t)k, sizeof *self->pieces, by_length);
}

/*
 * What parts of `most` compartments or fewer cost in rows, where eight of like length make a tile, of
 * which the longest one counts; -1 if they are more than `room`. `count` has room for most + 2 numbers.
 */
static int64_t cost_of(const cutting *self, int32_t most, int64_t room, int32_t *count) {
    memset(count, 0, ((size_t)most + 2) * sizeof *count);
    int64_t all = 0;
    for (int32_t s = 0; s < self->n_stretches; s++) {
        const int32_t n = self->stretches[s].n, parts = parts_of(self, s, most);
        count[n / parts + 1] += n % parts;
        count[n / parts] += parts - n % parts;
        all += parts;
    }
    if (all > room)
        return -1;
    int64_t rows = 0, tiles = 0, parts = 0;
    for (int32_t length = most; length > 0; length--) {
        parts += count[length];
        const int64_t begun = (parts + AX_LANES - 1) / AX_LANES; /* with this length or a longer one */
        rows += (begun - tiles) * (length + AX_TILE_COST);
        tiles = begun;
    }
    return rows;
}

/* Parts of the length that costs least; there is no choice where nothing branches. */
static int cut_evenly(cutting *self) {
    int32_t longest = 1;
    for (int32_t s = 0; s < self->n_stretches; s++)
        longest = self->stretches[s].n > longest ? self->stretches[s].n : longest;
    const int64_t room = 8 * (int64_t)self->n_stretches + AX_LANES;
    self->pieces = ax_alloc(room, sizeof *self->pieces);
    if (!self->pieces)
        return AX_ERR_MEMORY;
    int32_t best = longest;
    if (self->n_stretches > 1) {
        int32_t *count = ax_alloc((int64_t)longest + 2, sizeof *count);
        if (!count)
            return AX_ERR_MEMORY;
        int64_t least = INT64_MAX;
        for (int32_t most = longest; most > 0; most -= most / 8 + 1) {
            const int64_t rows = cost_of(self, most, room, count);
            if (rows < 0)
                break;
            if (rows < least) {
                least = rows;
                best = most;
            }
        }
        ax_release(count);
    }
    cut_stretches(self, best);
    for (int32_t k = 0; k < self->n_pieces; k += AX_LANES) {
        const int32_t left = self->n_pieces - k;
        qsort(self->pieces + k, left < AX_LANES ? left : AX_LANES, sizeof *self->pieces, by_number);
    }
    return AX_OK;
}

/*
 * Leaves first, level by level, until the middle of the tree is reached: neighbours in this order
 * don't wait for one another's divisions.
 */
static int order_nodes(ax_topology *self) {
    const int32_t n = self->n_chunks;
    int32_t *left = ax_alloc(n, sizeof *left);     /* how many neighbours are left */
    int32_t *others = ax_alloc(n, sizeof *others); /* exclusive or of these: one is itself */
    if (!left || !others) {
        ax_release(left);
        ax_release(others);
        return AX_ERR_MEMORY;
    }
    for (int32_t chunk = 0; chunk < n; chunk++) {
        const int32_t other = (int32_t)self->left_node[chunk];
        if (other == n)
            continue;
        left[chunk]++;
        left[other]++;
        others[chunk] ^= other;
        others[other] ^= chunk;
    }
    int32_t known = 0;
    for (int32_t chunk = 0; chunk < n; chunk++)
        if (self->first[chunk] >= 0 && left[chunk] <= 1)
            self->order[known++] = chunk;
    for (int32_t i = 0; i < known; i++) {
        const int32_t node = self->order[i], parent = others[node];
        if (left[node] == 0) { /* the last of all */
            self->parent[i] = self->edge[i] = -1;
            break;
        }
        self->parent[i] = parent;
        self->edge[i] = self->left_node[node] == parent ? node : parent;
        others[parent] ^= node;
        if (--left[parent] == 1) /* one with 0 is in the order already */
            self->order[known++] = parent;
    }
    self->n_nodes = known;
    ax_release(left);
    ax_release(others);
    return AX_OK;
}

/* Where everybody lies, and which node each chunk begins at. */
static int lay_out_chunks(ax_topology *self, const cutting *cut, const ax_cable *cable,
                          double scale) {
    int32_t *chunk_of = ax_alloc(cut->n_pieces, sizeof *chunk_of); /* by number */
    int32_t *ending = ax_alloc(self->n, sizeof *ending);           /* chunk that ends there */
    if (!chunk_of || !ending) {
        ax_release(chunk_of);
        ax_release(ending);
        return AX_ERR_MEMORY;
    }
    for (int64_t at = 0; at < self->n_rows * AX_LANES; at++)
        self->compartment[at] = -1;
    for (int32_t chunk = 0; chunk < self->n_chunks; chunk++) {
        const ax_tile *tile = &self->tiles[chunk / AX_LANES];
        self->start[chunk] = tile->rows; /* past the last row, unless somebody lies there */
        self->first[chunk] = -1;
        self->left_node[chunk] = self->n_chunks;
        if (chunk < cut->n_pieces) {
            chunk_of[cut->pieces[chunk].number] = chunk;
            self->start[chunk] -= cut->pieces[chunk].n;
        }
    }
    int32_t number = 0;
    for (int32_t s = 0; s < cut->n_stretches; s++) {
        int32_t i = cut->stretches[s].first;
        while (i >= 0) {
            const int32_t chunk = chunk_of[number++];
            const ax_tile *tile = &self->tiles[chunk / AX_LANES];
            self->first[chunk] = i;
            if (i > 0) {
                const int64_t above = above_of(cable, i);
                const int32_t node = ending[above];
                self->left_node[chunk] = node;
                self->left_slot[chunk] = self->slot[above];
                self->left_axial[chunk] = cable->axial[i - 1] * scale;
                self->node_axial[node] += self->left_axial[chunk];
            }
            int32_t last = i;
            for (int32_t row = self->start[chunk]; row < tile->rows; row++) {
                self->slot[i] = (tile->row0 + row) * AX_LANES + chunk % AX_LANES;
                self->compartment[self->slot[i]] = last = i;
                i = cut->next[i];
            }
            ending[last] = chunk;
        }
    }
    ax_release(chunk_of);
    ax_release(ending);
    return AX_OK;
}

/* Where the rows of a tile begin and end, by its chunks: all but the last row are eliminated. */
static int lay_out_tiles(ax_topology *self, const cutting *cut) {
    self->n_tiles = (cut->n_pieces - 1) / AX_LANES + 1;
    self->n_chunks = self->n_tiles * AX_LANES;
    self->tiles = ax_alloc(self->n_tiles, sizeof *self->tiles);
    if (!self->tiles)
        return AX_ERR_MEMORY;
    for (int32_t t = 0; t < self->n_tiles; t++) {
        ax_tile *tile = &self->tiles[t];
        int32_t rows = 0, least = INT32_MAX;
        for (int32_t k = t * AX_LANES; k < (t + 1) * AX_LANES && k < cut->n_pieces; k++) {
            rows = cut->pieces[k].n > rows ? cut->pieces[k].n : rows;
            least = cut->pieces[k].n < least ? cut->pieces[k].n : least;
        }
        const int32_t prologue = rows - least + 1;
        *tile = (ax_tile){.row0 = self->n_rows,
                          .rows = rows,
                          .prologue = prologue,
                          /* an even number of rows in pairs */
                          .singles = prologue + ((rows - 1 - prologue) & 1),
                          .chunk0 = t * AX_LANES,
                          .joint0 = self->n_joints};
        self->n_rows += rows;
        self->n_joints += (int64_t)prologue * AX_LANES;
    }
    return AX_OK;
}

static int lay_out(ax_topology *self, const cutting *cut, const ax_cable *cable, double scale) {
    int status = lay_out_tiles(self, cut);
    if (status != AX_OK)
        return status;
    const int64_t n_chunks = self->n_chunks;
    self->slot = ax_alloc(self->n, sizeof *self->slot);
    self->compartment = ax_alloc(self->n_rows * AX_LANES, sizeof *self->compartment);
    self->start = ax_alloc(n_chunks, sizeof *self->start);
    self->first = ax_alloc(n_chunks, sizeof *self->first);
    self->left_node = ax_alloc(n_chunks, sizeof *self->left_node);
    self->left_slot = ax_alloc(n_chunks, sizeof *self->left_slot);
    self->left_axial = ax_alloc(n_chunks, sizeof *self->left_axial);
    self->node_axial = ax_alloc(n_chunks, sizeof *self->node_axial);
    self->joints = ax_alloc(self->n_joints, sizeof *self->joints);
    self->order = ax_alloc(n_chunks, sizeof *self->order);
    self->parent = ax_alloc(n_chunks, sizeof *self->parent);
    self->edge = ax_alloc(n_chunks, sizeof *self->edge);
    if (!self->slot || !self->compartment || !self->start || !self->first || !self->left_node ||
        !self->left_slot || !self->left_axial || !self->node_axial || !self->joints ||
        !self->order || !self->parent || !self->edge)
        return AX_ERR_MEMORY;
    status = lay_out_chunks(self, cut, cable, scale);
    if (status != AX_OK)
        return status;
    for (int32_t chunk = 0; chunk < n_chunks; chunk++) {
        const ax_tile *tile = &self->tiles[chunk / AX_LANES];
        if (self->first[chunk] >= 0)
            self->joints[tile->joint0 + (int64_t)self->start[chunk] * AX_LANES + chunk % AX_LANES] =
                self->left_axial[chunk];
    }
    return order_nodes(self);
}

int ax_topology_create(ax_topology *self, const ax_cable *cable, double scale) {
    memset(self, 0, sizeof *self);
    self->n = cable->n;
    cutting cut = {0};
    int status = cut_at_branch_points(&cut, cable);
    if (status == AX_OK)
        status = cut_evenly(&cut);
    if (status == AX_OK)
        status = lay_out(self, &cut, cable, scale);
    cutting_free(&cut);
    if (status != AX_OK)
        ax_topology_free(self);
    return status;
}

void ax_topology_free(ax_topology *self) {
    ax_release(self->tiles);
    ax_release(self->slot);
    ax_release(self->compartment);
    ax_release(self->start);
    ax_release(self->first);
    ax_release(self->left_node);
    ax_release(self->left_slot);
    ax_release(self->left_axial);
    ax_release(self->joints);
    ax_release(self->node_axial);
    ax_release(self->order);
    ax_release(self->parent);
    ax_release(self->edge);
    memset(self, 0, sizeof *self);
}
