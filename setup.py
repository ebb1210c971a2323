"""The extension module; everything else is in pyproject.toml."""

from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

kernel = Extension(
    "axon._kernel",
    sources=["axon/_kernel.pyx", *sorted(glob("csrc/*.c"))],
    depends=glob("csrc/*.h"),
    include_dirs=["csrc"],
    # -ffp-contract=off: multiply-adds are fused where the code says so and nowhere else,
    # so that every instruction set that has them gives the same bits.
    extra_compile_args=["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden"],
)

setup(ext_modules=cythonize([kernel], compiler_directives={"language_level": "3"}))
