"""How a kernel becomes machine code: compiled by Numba once per installation, afterwards loaded without it.

Importing Numba and letting it read its own cache takes half a second and 90 MB: more than evaluating on all of COCO.
So the machine code of a kernel is kept, and handed to LLVM's loader; that takes milliseconds. Numba is imported only
to compile what is not there yet. Code is kept beside the package, or, where that cannot be written, in the user's cache
folder; ``NUMBA_CACHE_DIR`` names another, and ``NUMBA_DISABLE_JIT=1`` runs the kernels as Python, for a debugger.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Generic, TypeVar, cast

import numpy as np

R = TypeVar("R", int, float)

SYMBOL = "kernel"
"""What the function is called in every file of machine code."""

FORMAT = 1
"""Raised when the files change in layout, or the way in which their functions are called."""

_lock = threading.RLock()


def kernel(function: Callable[..., R]) -> Kernel[R]:
    """Compile the function below when it is first called.

    Args:
        function: takes contiguous arrays, integers and floats by place, and returns an integer or a float, as it is
            annotated. It allocates nothing and raises nothing; that one array is copied into a part of another counts
            as allocation, so write the loop. It may call other kernels and use numbers of its module. It runs without
            the interpreter's lock; divisions follow IEEE 754 (x / 0 is infinite or NaN).
    """
    return Kernel(function)


class Kernel(Generic[R]):
    """A function that runs as machine code; see `kernel`."""

    def __init__(self, function: Callable[..., R]) -> None:
        self.function = cast(FunctionType, function)
        self.__doc__ = function.__doc__
        self._entries: dict[str, Any] = {}

    def __call__(self, *values: Any) -> R:
        """Call it with arguments by place; the first call with arguments of such types loads or compiles it."""
        if os.environ.get("NUMBA_DISABLE_JIT") == "1":
            return cast(R, self.function(*values))
        kinds = " ".join(map(_kind, values))
        entry = self._entries.get(kinds)
        if entry is None:
            with _lock:
                entry = self._entries.get(kinds) or self._load(kinds)
                self._entries[kinds] = entry
        result = (ctypes.c_double if self._returns_float else ctypes.c_int64)()
        raised = ctypes.c_void_p()
        entry(
            ctypes.byref(result), ctypes.byref(raised), *(part for value in values for part in _parts(value))
        )
        return cast(R, result.value)

    @property
    def _returns_float(self) -> bool:
        return self.function.__annotations__["return"] in ("float", float)

    def _load(self, kinds: str) -> Any:
        """The entry point for arguments of these kinds, from kept code or from code that is compiled and kept."""
        import llvmlite.binding as llvm

        cause = "\n".join((_machine(), kinds, *_source(self)))
        name = f"{self.function.__name__}-{hashlib.sha256(cause.encode()).hexdigest()[:24]}.kernel"
        code = _read(name)
        if code is None:
            code = self._compile(kinds)
            _write(name, code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        types = [part for kind in kinds.split() for part in _part_types(kind)]
        entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *types)(
            engine.get_function_address(SYMBOL)
        )
        entry.engine = engine  # type: ignore[attr-defined]  # which frees the code when it goes
        return entry

    def _compile(self, kinds: str) -> bytes:
        """Machine code for this processor: an object file that has the function as `SYMBOL`."""
        import llvmlite.binding as llvm
        from numba import types
        from numba.core.errors import NumbaError
        from numba.np.numpy_support import from_dtype

        _tell_once()
        by_kind = {"f": types.float64, "i": types.int64}
        signature = tuple(
            by_kind[kind]
            if kind in by_kind
            else types.Array(from_dtype(np.dtype(kind[:-1])), int(kind[-1]), "C")
            for kind in kinds.split()
        )
        dispatcher = self.dispatcher
        try:
            dispatcher.compile(signature)
        except NumbaError as error:
            raise TypeError(f"kernel {self.function.__name__}: is refused; does it allocate?") from error
        module = llvm.parse_assembly(dispatcher.inspect_llvm(signature))
        module.get_function(dispatcher.overloads[signature].fndesc.llvm_func_name).name = SYMBOL
        return cast(bytes, _target().emit_object(module))

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's view of the function, in which the kernels that it calls are Numba's too."""
        from numba import njit

        within = {
            name: thing.dispatcher if isinstance(thing, Kernel) else thing
            for name, thing in self.function.__globals__.items()
            if name in self.function.__code__.co_names
        }
        copy = FunctionType(self.function.__code__, {**self.function.__globals__, **within})
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
        options |= {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return njit(**options)(copy)


def _kind(value: Any) -> str:
    """What matters of an argument to the machine code: ``<f82`` for a matrix of doubles; ``f`` and ``i`` for numbers."""
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, "a kernel takes contiguous arrays"
        return f"{value.dtype.str}{value.ndim}"
    return "f" if isinstance(value, (float, np.floating)) else "i"


def _parts(value: Any) -> Iterator[Any]:
    """An argument as Numba's functions take it: an array as its owner (none), counts, address, shape and strides."""
    if isinstance(value, np.ndarray):
        yield from (None, None, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    else:
        yield float(value) if isinstance(value, (float, np.floating)) else int(value)


def _part_types(kind: str) -> list[Any]:
    if kind in ("f", "i"):
        return [ctypes.c_double if kind == "f" else ctypes.c_int64]
    number = ctypes.c_int64
    return [ctypes.c_void_p, ctypes.c_void_p, number, number, ctypes.c_void_p, *[number] * 2 * int(kind[-1])]


def _target() -> Any:
    """The machine that LLVM is to write code for: this one, as Numba describes it to LLVM. Who uses it, owns it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


@cache
def _machine() -> str:
    import llvmlite
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return (
        f"{FORMAT} {llvmlite.__version__} {llvm.get_default_triple()} {llvm.get_host_cpu_name()} {features}"
    )


def _source(thing: Kernel[Any]) -> Iterator[str]:
    """All that the machine code is made from: byte code and numbers, also those of the kernels that it calls."""
    code: CodeType = thing.function.__code__
    constants = [constant for constant in code.co_consts if not isinstance(constant, (str, CodeType))]
    yield f"{code.co_code.hex()} {constants} {code.co_names}"
    for name in code.co_names:
        value = thing.function.__globals__.get(name)
        if isinstance(value, Kernel):
            yield from _source(value)
        elif isinstance(value, (int, float)):
            yield f"{name}={value!r}"


def _folders() -> list[Path]:
    """Where code may be kept, first choice first."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return [Path(named) / "metrics"]
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return [Path(__file__).parent / "__pycache__", user / "detbench" / "kernels"]


def _read(name: str) -> bytes | None:
    """Code that was kept; nothing where there is none, or where its digest says that it is not what was written."""
    for folder in _folders():
        try:
            content = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    return None


def _write(name: str, code: bytes) -> None:
    """Keep code in the first folder that can be written, whole or not at all; in none, it is compiled each time."""
    for folder in _folders():
        part = folder / f"{name}.{os.getpid()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.sha256(code).digest() + code)
            part.replace(folder / name)
        except OSError:
            continue
        return


@cache
def _tell_once() -> None:
    print(
        "metrics: compiling kernels for this machine, once (about ten seconds) ...",
        file=sys.stderr,
        flush=True,
    )
