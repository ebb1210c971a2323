/*
 * A chunk of numbers as HDF5's shuffle and deflate filters would write it.
 *
 * No allocation, no global state, no Python: safe in any thread without the GIL.
 */
#ifndef AX_DEFLATE_H
#define AX_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that `ax_deflate` needs to work in, aligned as malloc aligns. */
size_t ax_deflate_work(size_t count, size_t size);

/* Bytes that a stream may need. */
size_t ax_deflate_bound(size_t count, size_t size);

/*
 * Shuffle and compress a chunk into a zlib stream.
 *
 *   values  [count * size] bytes, read only; little-endian numbers.
 *   count   at least 1.
 *   size    bytes of a number, at least 1.
 *   work    [ax_deflate_work(count, size)], its content is of no matter.
 *   stream  [ax_deflate_bound(count, size)], receives the stream.
 *
 * Returns the stream's length. It depends, as every byte does, on the values alone.
 */
size_t ax_deflate(const void *values, size_t count, size_t size, void *work, uint8_t *stream);

#endif
