# cython: language_level=3, boundscheck=True, wraparound=False, freethreading_compatible=True
"""The C kernel, as Python sees it.

Glue decides nothing: it checks shapes and types, releases the GIL, calls, and
turns status codes into exceptions. What the functions mean is written in
``csrc/axon.h``.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int32_t, int64_t, uint8_t

from operator import index

import numpy as np

from axon.errors import MembraneError, SimulationError


cdef extern from "axon.h" nogil:
    ctypedef enum ax_status:
        AX_OK
        AX_STOP_FULL
        AX_ERR_ARGUMENT
        AX_ERR_PROGRAM
        AX_ERR_TABLE
        AX_ERR_ISA
        AX_ERR_MEMORY
        AX_ERR_DIVERGED

    const char *ax_message(int status)
    int ax_isa_count()
    const char *ax_isa_name(int isa)
    int ax_isa_supported(int isa)
    int ax_isa_fused(int isa)
    const char *ax_op_name(int op)
    int ax_op_operands(int op)
    int AX_OP_COUNT
    double AX_V_LIMIT

    enum:
        AX_LANES
        AX_GATES_PER_BLOCK
        AX_MAX_TABLES
        AX_MAX_HELD
        AX_MAX_POWER

    ctypedef struct ax_table:
        int32_t n_gates, n_values, n_bins, slow
        double min, step
        const int32_t *gate_state
        const int32_t *value_slot
        const float *cubics

    int64_t ax_table_blocks(int32_t n_gates, int32_t n_values)

    ctypedef struct ax_membrane:
        int32_t n_states, n_params, n_consts, n_temps
        const int32_t *param_length
        const double *params
        int64_t n_param_values
        const double *consts
        int32_t n_multiples
        const double *multiples
        int32_t stride, n_held
        int32_t n_tables
        const ax_table *tables
        int32_t n_code
        const int32_t *code
        int32_t stretch_end[3]
        int32_t middle_state
        int32_t slope_slot, offset_slot
        int32_t n_terms, n_factors, n_ions
        const int32_t *terms
        const int32_t *factors
        const int32_t *ions
        int32_t n_diffusions
        const int32_t *diffusions
        const double *diffusion_coefficients

    ctypedef struct ax_cable:
        int64_t n
        const double *area
        const double *capacitance
        const int64_t *parent
        const double *axial
        const double *gain
        const double *gain_below

    ctypedef struct ax_sources:
        int32_t n_sources, n_shunts
        int64_t n_entries
        const int64_t *compartment
        const int32_t *source
        const double *weight
        const int64_t *shunt_compartment

    ctypedef struct ax_options:
        double dt
        int backward_euler
        double spike_threshold
        int isa
        int64_t n_recorded
        const int64_t *recorded
        int64_t record_every
        int record_float
        int64_t n_electrodes
        const double *electrode_weight

    ctypedef struct ax_sim:
        pass

    ctypedef struct ax_drive:
        const double *current
        const double *damped
        void *rows
        int64_t row_width, block_stride
        double *seen
        int64_t row_capacity, row_count
        int64_t *spike_compartment
        double *spike_time
        int64_t spike_capacity, spike_count

    int ax_sim_create(const ax_cable *, const ax_membrane *, const ax_sources *,
                      const ax_options *, ax_sim **)
    void ax_sim_free(ax_sim *)
    int ax_sim_field_count(const ax_sim *)
    const char *ax_sim_field_name(const ax_sim *, int)
    int64_t ax_sim_field_size(const ax_sim *, int)
    int ax_sim_get_field(const ax_sim *, int, double *)
    int ax_sim_set_field(ax_sim *, int, const double *)
    int ax_sim_advance(ax_sim *, ax_drive *, int64_t, int64_t *)
    void ax_sim_see(const ax_sim *, double *)
    void ax_sim_divergence(const ax_sim *, int64_t *, double *)
    int ax_sim_solve(ax_sim *, const double *, const double *, double *)
    int ax_apply(int, int, const double *, const double *, const double *, int64_t, double *)


cdef extern from "deflate.h" nogil:
    size_t ax_deflate_work(size_t count, size_t size)
    size_t ax_deflate_bound(size_t count, size_t size)
    size_t ax_deflate(const void *values, size_t count, size_t size, void *work, uint8_t *stream)


V_LIMIT = AX_V_LIMIT
GATES_PER_BLOCK = AX_GATES_PER_BLOCK
MAX_HELD = AX_MAX_HELD
MAX_POWER = AX_MAX_POWER


def instruction_sets():
    """Compiled kernels as ``{name: (supported, fused)}``, the best last."""
    return {
        ax_isa_name(i).decode(): (bool(ax_isa_supported(i)), bool(ax_isa_fused(i)))
        for i in range(ax_isa_count())
    }


def operations():
    """Operations of the vector program as ``{name: number of operands}``, in kernel order."""
    return {ax_op_name(i).decode(): ax_op_operands(i) for i in range(AX_OP_COUNT)}


def chosen_isa(name=None):
    """`name` if this machine can run it, the best one if it is None."""
    sets = instruction_sets()
    usable = [isa for isa, (supported, _) in sets.items() if supported]
    if name is None:
        return next(reversed(usable))
    if name not in sets:
        raise SimulationError(f"AXON_ISA={name!r} is not one of {', '.join(sets)}")
    if name not in usable:
        raise SimulationError(
            f"AXON_ISA={name!r}: this machine lacks it; it has {', '.join(usable)}"
        )
    return name


cdef int isa_index(name) except -1:
    return list(instruction_sets()).index(chosen_isa(name))


cdef int raise_status(int status) except -1:
    if status == AX_OK or status == AX_STOP_FULL:
        return 0
    text = ax_message(status).decode()
    if status == AX_ERR_MEMORY:
        raise MemoryError(text)
    if status == AX_ERR_PROGRAM or status == AX_ERR_TABLE:
        raise MembraneError(text)
    raise SimulationError(text)


cdef const double *doubles(array) except? NULL:
    cdef const double[::1] view = array
    return &view[0] if view.shape[0] else NULL


cdef const float *floats(array) except? NULL:
    cdef const float[::1] view = array
    return &view[0] if view.shape[0] else NULL


cdef const int32_t *int32s(array) except? NULL:
    cdef const int32_t[::1] view = array
    return &view[0] if view.shape[0] else NULL


cdef const int64_t *int64s(array) except? NULL:
    cdef const int64_t[::1] view = array
    return &view[0] if view.shape[0] else NULL


def flat(array, dtype, size, name):
    """A contiguous one-dimensional array of the given type, its size checked."""
    try:
        array = np.ascontiguousarray(array, dtype=dtype).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise MembraneError(f"{name}: {error}") from None
    if array.size != size:
        raise MembraneError(f"{name} has {array.size} values where {size} belong")
    return array


cdef int32_t whole(value, name) except? -2:
    """A whole number that C can hold."""
    try:
        return <int32_t>index(value)
    except (TypeError, OverflowError) as error:
        raise MembraneError(f"{name}={value!r}: {error}") from None


cdef class Kernel:
    """One simulation in C. One thread at a time may use it.

    Parameters
    ----------
    area, capacitance : array (n,)
        1e-2 times µm², and nF.
    axial : array (n - 1,)
        µS between compartment i + 1 and its parent.
    parent : array of int64 (n,), optional
        Each compartment's neighbour nearer the root, of a lower number; -1 for the root, number 0.
        Without it each follows the one before.
    exchange : pair of arrays (n - 1,), optional
        What a parent gains, for a diffusion coefficient of 1 µm²/ms, from compartment i + 1 when
        that has 1 mM more, and what this one loses, mM/ms; needed where something diffuses.
    program : Program
        The membrane as data; checked here, whatever its origin.
    sources : tuple
        ``(n_sources, compartment, source, weight)`` of the electrodes' entries.
    shunts : array of int64, optional
        Compartments from which conductances lead off.
    recorded : array of int64
        Compartments whose potential is recorded.
    electrodes : array (e, n), optional
        Weights of all potentials in what electrodes outside see of them, in each row.
    """

    cdef ax_sim *sim
    cdef readonly int64_t n, n_sources, n_shunts, n_recorded, n_electrodes
    cdef readonly object isa, row_dtype
    cdef readonly dict fields
    """Names and sizes of everything needed to go on, ``{name: number of doubles}``."""
    cdef list field_names

    def __cinit__(self, *, area, capacitance, axial, program, sources, double dt,
                  bint backward_euler, double spike_threshold, isa, recorded,
                  int64_t record_every, bint record_float, parent=None, exchange=None,
                  shunts=(), electrodes=()):
        cdef ax_cable cable
        cdef ax_membrane membrane
        cdef ax_sources source
        cdef ax_options options
        cdef ax_table tables[AX_MAX_TABLES]

        area = np.ascontiguousarray(area, dtype=np.float64)
        cable.n = self.n = area.size
        capacitance = flat(capacitance, np.float64, self.n, "capacitance")
        axial = flat(axial, np.float64, max(self.n - 1, 0), "axial")
        cable.area, cable.capacitance = doubles(area), doubles(capacitance)
        cable.axial = doubles(axial)
        cable.parent = NULL
        if parent is not None:
            parent = flat(parent, np.int64, self.n, "parent")
            cable.parent = int64s(parent)
        cable.gain = cable.gain_below = NULL
        if exchange is not None:
            gain = flat(exchange[0], np.float64, max(self.n - 1, 0), "exchange")
            gain_below = flat(exchange[1], np.float64, max(self.n - 1, 0), "exchange")
            cable.gain, cable.gain_below = doubles(gain), doubles(gain_below)

        codes = list(operations())
        try:
            code = [(codes.index(op), *slots) for op, *slots in program.code]
        except ValueError:
            raise MembraneError("the membrane program names an unknown operation") from None
        code = flat(code, np.int32, 5 * len(program.code), "code")
        terms, factors = [], []
        for gbar, reversal, powers, ion in program.terms:
            terms.append((gbar, reversal, len(factors), len(powers), ion))
            factors.extend(powers)
        terms = flat(terms, np.int32, 5 * len(terms), "terms")
        ions = flat(program.ions, np.int32, 2 * len(program.ions), "ions")
        diffusions = flat([d[:2] for d in program.diffusions], np.int32,
                          2 * len(program.diffusions), "diffusions")
        coefficients = flat([d[2] for d in program.diffusions], np.float64,
                            len(program.diffusions), "diffusions")
        membrane.n_diffusions = coefficients.size
        membrane.diffusions = int32s(diffusions)
        membrane.diffusion_coefficients = doubles(coefficients)
        factors = flat(factors, np.int32, 2 * len(factors), "factors")
        membrane.n_states = len(program.states)
        membrane.n_temps = whole(program.n_temps, "n_temps")
        membrane.n_params, membrane.n_consts = len(program.params), len(program.consts)
        param_length = np.array([p.size for p in program.params], dtype=np.int32)
        params = np.concatenate([np.zeros(0), *program.params])
        consts = flat(program.consts, np.float64, membrane.n_consts, "consts")
        membrane.n_multiples = len(program.multiples)
        multiples = flat(program.multiples, np.float64, membrane.n_multiples, "multiples")
        membrane.multiples = doubles(multiples)
        membrane.stride = whole(program.stride, "stride")
        membrane.n_held = whole(program.n_held, "n_held")
        for i, end in enumerate(flat(program.stretches, np.int32, 3, "stretches").tolist()):
            membrane.stretch_end[i] = end
        membrane.param_length, membrane.params = int32s(param_length), doubles(params)
        membrane.n_param_values, membrane.consts = params.size, doubles(consts)
        membrane.n_tables, membrane.tables = len(program.tables), tables
        if len(program.tables) > AX_MAX_TABLES:
            raise MembraneError(f"{len(program.tables)} tables where {AX_MAX_TABLES} fit")
        kept = []  # arrays that C reads live until it has copied them
        for i, table in enumerate(program.tables):
            n_gates, n_values = len(table.gates), len(table.values)
            tables[i].n_gates, tables[i].n_values = n_gates, n_values
            tables[i].n_bins = whole(table.n_bins, "n_bins")
            tables[i].min, tables[i].step = table.v_min, table.v_step
            tables[i].slow = table.slow
            gate_state = flat(table.gates, np.int32, n_gates, "gates")
            value_slot = flat(table.values, np.int32, n_values, "values")
            blocks = table_blocks(n_gates, n_values) * table.n_bins
            cubics = flat(table.cubics, np.float32, 4 * AX_LANES * blocks, "table")
            kept.append((gate_state, value_slot, cubics))
            tables[i].gate_state, tables[i].value_slot = int32s(gate_state), int32s(value_slot)
            tables[i].cubics = floats(cubics)
        membrane.n_code, membrane.code = len(program.code), int32s(code)
        membrane.middle_state = whole(program.middle_state, "middle_state")
        membrane.slope_slot = whole(program.slope_slot, "slope_slot")
        membrane.offset_slot = whole(program.offset_slot, "offset_slot")
        membrane.n_terms, membrane.terms = terms.size // 5, int32s(terms)
        membrane.n_ions, membrane.ions = ions.size // 2, int32s(ions)
        membrane.n_factors, membrane.factors = factors.size // 2, int32s(factors)

        source.n_sources = self.n_sources = sources[0]
        compartment = np.ascontiguousarray(sources[1], dtype=np.int64)
        source.n_entries = compartment.size
        which = flat(sources[2], np.int32, compartment.size, "sources")
        weight = flat(sources[3], np.float64, compartment.size, "weights")
        source.compartment, source.source = int64s(compartment), int32s(which)
        source.weight = doubles(weight)
        shunts = np.ascontiguousarray(shunts, dtype=np.int64)
        source.n_shunts = self.n_shunts = shunts.size
        source.shunt_compartment = int64s(shunts)

        recorded = np.ascontiguousarray(recorded, dtype=np.int64)
        options.dt, options.backward_euler = dt, backward_euler
        options.spike_threshold = spike_threshold
        self.isa = chosen_isa(isa)
        options.isa = isa_index(self.isa)
        options.n_recorded = self.n_recorded = recorded.size
        options.recorded = int64s(recorded)
        options.record_every, options.record_float = record_every, record_float
        options.n_electrodes = self.n_electrodes = len(electrodes)
        weights = flat(electrodes, np.float64, self.n_electrodes * self.n, "electrodes")
        options.electrode_weight = doubles(weights)
        self.row_dtype = np.dtype(np.float32 if record_float else np.float64)
        raise_status(ax_sim_create(&cable, &membrane, &source, &options, &self.sim))
        count = ax_sim_field_count(self.sim)
        self.field_names = [ax_sim_field_name(self.sim, i).decode() for i in range(count)]
        self.fields = {name: ax_sim_field_size(self.sim, i)
                       for i, name in enumerate(self.field_names)}

    def __dealloc__(self):
        ax_sim_free(self.sim)

    def get(self, name):
        """A copy of one state field, in compartment order."""
        cdef int field = self.field_names.index(name)
        out = np.empty(self.fields[name])
        cdef double[::1] view = out
        if out.size:
            raise_status(ax_sim_get_field(self.sim, field, &view[0]))
        return out

    def state(self):
        """Everything needed to go on, ``{field: values}``."""
        return {name: self.get(name) for name in self.fields}

    def set(self, name, value):
        """Replace one state field; values must be finite."""
        cdef int field = self.field_names.index(name)
        array = flat(value, np.float64, self.fields[name], name)
        if array.size:
            raise_status(ax_sim_set_field(self.sim, field, doubles(array)))

    def advance(self, const double[:, ::1] current, const double[::1] damped, rows,
                int64_t[::1] spike_compartment, double[::1] spike_time,
                double[:, ::1] seen=None):
        """Up to ``len(damped)`` steps, without the GIL.

        Returns ``(status, taken, rows filled, spikes)``, status one of "done",
        "full", "diverged". `rows` is (capacity, n_recorded) of ``row_dtype``, or
        (blocks, capacity, columns of a block), as a file's chunks are. If there
        are electrodes, `seen` is (capacity, n_electrodes); the smaller room counts.
        """
        cdef ax_drive drive
        cdef int64_t taken = 0, steps = damped.shape[0]
        cdef int status
        cdef float[:, :, :] rows32
        cdef double[:, :, :] rows64
        cdef int64_t driven = self.n_sources + self.n_shunts
        if current.shape[0] != steps or current.shape[1] != driven:
            raise SimulationError("currents must be (steps, sources and shunts)")
        if spike_compartment.shape[0] != spike_time.shape[0] or not spike_time.shape[0]:
            raise SimulationError("spike buffers must have one, common size")
        drive.current = &current[0, 0] if steps and driven else NULL
        drive.damped = &damped[0] if steps else NULL
        if rows.ndim == 2:
            if rows.shape[1] != self.n_recorded:
                raise SimulationError("rows must be (capacity, n_recorded)")
            rows = rows[np.newaxis]
        blocks, capacity, width = rows.shape
        if blocks * width < self.n_recorded:
            raise SimulationError("rows must have n_recorded columns in all blocks together")
        if rows.size and rows.strides[1:] != (width * rows.itemsize, rows.itemsize):
            raise SimulationError("rows of a block must follow each other without a gap")
        drive.rows, drive.row_capacity, drive.row_count = NULL, capacity, 0
        drive.row_width, drive.block_stride = width, rows.strides[0] // rows.itemsize
        if self.row_dtype == np.float32:
            rows32 = rows
            if rows32.size:
                drive.rows = &rows32[0, 0, 0]
        else:
            rows64 = rows
            if rows64.size:
                drive.rows = &rows64[0, 0, 0]
        drive.seen = NULL
        if self.n_electrodes:
            if seen is None or seen.shape[1] != self.n_electrodes:
                raise SimulationError("seen must be (capacity, n_electrodes)")
            drive.row_capacity = min(drive.row_capacity, seen.shape[0])
            if seen.size:
                drive.seen = &seen[0, 0]
        drive.spike_compartment, drive.spike_time = &spike_compartment[0], &spike_time[0]
        drive.spike_capacity, drive.spike_count = spike_time.shape[0], 0
        with nogil:
            status = ax_sim_advance(self.sim, &drive, steps, &taken)
        if status == AX_ERR_DIVERGED:
            return "diverged", taken, drive.row_count, drive.spike_count
        raise_status(status)
        word = "full" if status == AX_STOP_FULL else "done"
        return word, taken, drive.row_count, drive.spike_count

    def see(self):
        """What the electrodes see now, mV, (n_electrodes,)."""
        out = np.empty(self.n_electrodes)
        cdef double[::1] view = out
        if out.size:
            ax_sim_see(self.sim, &view[0])
        return out

    def divergence(self):
        """Compartment and potential (mV) at which the run blew up."""
        cdef int64_t compartment = -1
        cdef double v = 0.0
        ax_sim_divergence(self.sim, &compartment, &v)
        return compartment, v

    def solve(self, diagonal, right):
        """x of (diag(d) + L) x = b, L the axial Laplacian in µS, by the stepping solver."""
        d = flat(diagonal, np.float64, self.n, "diagonal")
        b = flat(right, np.float64, self.n, "right")
        x = np.empty(self.n)
        cdef double[::1] view = x
        raise_status(ax_sim_solve(self.sim, doubles(d), doubles(b), &view[0]))
        return x


def apply(isa, op, *operands):
    """One operation of the vector program on arrays, as the kernel computes it."""
    cdef int64_t n, padded
    cdef double[::1] out_view
    codes = list(operations())
    arrays = [np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in operands]
    n = max(a.size for a in arrays)
    padded = -(-n // 8) * 8
    # One allocation, begun at a cache line, holds three operands and the result.
    store = np.ones(4 * padded + 8)
    begin = (-store.ctypes.data // 8) % 8
    planes = store[begin:begin + 4 * padded].reshape(4, padded)
    for plane, a in zip(planes, arrays):
        plane[:n] = np.broadcast_to(a, (n,))
    cdef const double *a0 = doubles(planes[0])
    cdef const double *a1 = doubles(planes[1])
    cdef const double *a2 = doubles(planes[2])
    out_view = planes[3]
    raise_status(ax_apply(isa_index(isa), codes.index(op), a0, a1, a2, padded, &out_view[0]))
    return planes[3, :n].copy()


def table_blocks(int32_t n_gates, int32_t n_values):
    """Blocks of four gates or eight values that a bin of so many has."""
    return ax_table_blocks(n_gates, n_values)


def elementary(int isa, int op, values):
    """One operation of one operand on an array of any shape: isa and op by their numbers."""
    values = np.asarray(values, dtype=np.float64)
    cdef Py_ssize_t n = values.size, padded = -(-n // 8) * 8
    if not n:
        return values.copy()
    # One allocation, begun at a cache line, holds operand and result.
    store = np.empty(2 * padded + 8)
    cdef double[::1] view = store
    cdef Py_ssize_t begin = (-<Py_ssize_t>&view[0] // 8) % 8
    store[begin:begin + n] = values.reshape(-1)
    cdef double *given = &view[begin]
    cdef Py_ssize_t i
    for i in range(n, padded):
        given[i] = 1.0
    raise_status(ax_apply(isa, op, given, given, given, padded, given + padded))
    begin += padded
    return store[begin:begin + n].reshape(values.shape)


def deflate(values):
    """Shuffle and compress a contiguous array into a zlib stream, without the GIL."""
    cdef const uint8_t[::1] data = values.reshape(-1, 1).view(np.uint8).reshape(-1)
    cdef size_t count = values.size, size = values.itemsize, length
    if not count:
        raise ValueError("there is nothing to compress")
    cdef size_t bound = ax_deflate_bound(count, size)
    cdef uint8_t *memory = <uint8_t *>PyMem_RawMalloc(ax_deflate_work(count, size) + bound)
    if memory == NULL:
        raise MemoryError()
    cdef uint8_t *stream = memory + ax_deflate_work(count, size)
    try:
        with nogil:
            length = ax_deflate(&data[0], count, size, memory, stream)
        return PyBytes_FromStringAndSize(<char *>stream, length)
    finally:
        PyMem_RawFree(memory)
