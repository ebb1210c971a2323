/* How a cable is cut into chunks, and the tree that the chunks' ends form. */
#include <string.h>

#include "sim.h"

/*
 * A path of nodes is eliminated from both ends towards its middle: two chains
 * of divisions side by side.
 */
static void order_nodes(ax_topology *self) {
    const int32_t n = self->n_nodes, middle = n / 2;
    int32_t i = 0;
    for (int32_t low = 0, high = n - 1; i < n; low++, high--) {
        if (low < middle) {
            self->order[i] = low;
            self->parent[i] = self->edge[i] = low + 1; /* chunk low + 1 begins at node low */
            i++;
        }
        if (high > middle) {
            self->order[i] = self->edge[i] = high;
            self->parent[i] = high - 1;
            i++;
        }
        if (low >= middle && high <= middle) {
            self->order[i] = middle;
            self->parent[i] = self->edge[i] = -1;
            i++;
        }
    }
}

int ax_topology_create(ax_topology *self, const ax_cable *cable, double scale) {
    memset(self, 0, sizeof *self);
    const int64_t n = cable->n;
    if (n < 1 || n > INT32_MAX)
        return AX_ERR_ARGUMENT;
    const int32_t n_chunks = AX_LANES;
    const int32_t active = n < n_chunks ? (int32_t)n : n_chunks; /* each has a compartment */
    const int32_t rows = (int32_t)((n + n_chunks - 1) / n_chunks);

    self->n = n;
    self->n_rows = rows;
    self->n_tiles = 1;
    self->n_chunks = n_chunks;
    self->n_nodes = active;
    self->tiles = ax_alloc(1, sizeof *self->tiles);
    self->slot = ax_alloc(n, sizeof *self->slot);
    self->compartment = ax_alloc(self->n_rows * AX_LANES, sizeof *self->compartment);
    self->start = ax_alloc(n_chunks, sizeof *self->start);
    self->left_node = ax_alloc(n_chunks, sizeof *self->left_node);
    self->left_slot = ax_alloc(n_chunks, sizeof *self->left_slot);
    self->left_axial = ax_alloc(n_chunks, sizeof *self->left_axial);
    self->node_axial = ax_alloc(n_chunks, sizeof *self->node_axial);
    self->order = ax_alloc(n_chunks, sizeof *self->order);
    self->parent = ax_alloc(n_chunks, sizeof *self->parent);
    self->edge = ax_alloc(n_chunks, sizeof *self->edge);
    if (!self->tiles || !self->slot || !self->compartment || !self->start || !self->left_node ||
        !self->left_slot || !self->left_axial || !self->node_axial || !self->order ||
        !self->parent || !self->edge) {
        ax_topology_free(self);
        return AX_ERR_MEMORY;
    }

    for (int64_t at = 0; at < self->n_rows * AX_LANES; at++)
        self->compartment[at] = -1;
    int32_t prologue = 1;
    for (int32_t chunk = 0; chunk < n_chunks; chunk++) {
        const int64_t begin = chunk < active ? chunk * n / active : n;
        const int64_t end = chunk < active ? (chunk + 1) * n / active : n;
        const int32_t start = rows - (int32_t)(end - begin);
        self->start[chunk] = start;
        self->left_node[chunk] = n_chunks;
        if (begin == end)
            continue; /* its start lies past the last row */
        for (int64_t i = begin; i < end; i++) {
            self->slot[i] = (start + (i - begin)) * AX_LANES + chunk;
            self->compartment[self->slot[i]] = i;
        }
        if (start + 1 > prologue)
            prologue = start + 1;
        if (begin > 0) {
            self->left_node[chunk] = chunk - 1;
            self->left_slot[chunk] = self->slot[begin - 1];
            self->left_axial[chunk] = self->node_axial[chunk - 1] =
                cable->axial[begin - 1] * scale;
        }
    }
    /* All rows but the last are eliminated: an even number of them in pairs. */
    const int32_t singles = prologue + ((rows - 1 - prologue) & 1);
    self->tiles[0] = (ax_tile){.row0 = 0,
                               .rows = rows,
                               .prologue = prologue,
                               .singles = singles,
                               .chunk0 = 0,
                               .joint0 = 0};
    self->joints = ax_alloc((int64_t)prologue * n_chunks, sizeof *self->joints);
    if (self->joints == NULL) {
        ax_topology_free(self);
        return AX_ERR_MEMORY;
    }
    for (int32_t chunk = 0; chunk < n_chunks; chunk++)
        if (self->start[chunk] < prologue)
            self->joints[(int64_t)self->start[chunk] * n_chunks + chunk] = self->left_axial[chunk];
    order_nodes(self);
    return AX_OK;
}

void ax_topology_free(ax_topology *self) {
    ax_release(self->tiles);
    ax_release(self->slot);
    ax_release(self->compartment);
    ax_release(self->start);
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
