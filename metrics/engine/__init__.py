"""The compiled engine: sorting, matching and curves as Numba kernels that allocate nothing."""
