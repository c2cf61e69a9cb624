"""Kernels: functions that Numba compiles once per installation; afterwards their machine code is loaded without it.

Importing Numba and reading its own cache takes half a second and 90 MB: more than evaluating on all of COCO. So the
machine code of a kernel is stored and given to LLVM's loader, which takes milliseconds; Numba is imported only to
compile missing code. Code is stored beside the package or, where that is not writable, in the user's cache folder;
``NUMBA_CACHE_DIR`` names another folder, and ``NUMBA_DISABLE_JIT=1`` runs the kernels as Python, for a debugger. Where
loading fails (another version of Numba or LLVM), kernels are compiled by plain ``numba.njit`` in each process.
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
"""Name of the function in every file of machine code."""

FORMAT = 1
"""Increased when the layout of the files or the calling convention of their functions changes."""

_lock = threading.RLock()


def kernel(function: Callable[..., R]) -> Kernel[R]:
    """Compile the function below when it is first called.

    Args:
        function: takes contiguous arrays, integers, floats and NamedTuples of these by position, and returns an integer
            or a float, as annotated. It must not allocate or raise; copying one array into a part of another counts as
            allocation, so write the loop. It may call other kernels and use numbers of its module. It runs without the
            interpreter's lock; divisions follow IEEE 754 (x / 0 is infinite or NaN).
    """
    return Kernel(function)


class Kernel(Generic[R]):
    """A function that runs as machine code; see `kernel`."""

    def __init__(self, function: Callable[..., R]) -> None:
        self.function = cast(FunctionType, function)
        self.__doc__ = function.__doc__
        self._entries: dict[Any, Callable[..., R]] = {}

    def __call__(self, *values: Any) -> R:
        """Call it with positional arguments; the first call for their types loads or compiles it."""
        if os.environ.get("NUMBA_DISABLE_JIT") == "1":
            return cast(R, self.function(*values))
        key = _key(values)
        entry = self._entries.get(key)
        if entry is None:
            with _lock:
                entry = self._entries.get(key) or self._entry(values)
                self._entries[key] = entry
        return entry(*values)

    def _entry(self, values: tuple[Any, ...]) -> Callable[..., R]:
        """The function for arguments of these types: stored machine code, or Numba's where that fails."""
        try:
            return self._load(values)
        except KernelError:
            raise
        except Exception as error:  # changed internals of Numba or LLVM may raise anything
            _report_failure(error)
            return cast(Callable[..., R], self.plain)

    def _load(self, values: tuple[Any, ...]) -> Callable[..., R]:
        """Stored machine code for arguments of these types, compiled first where it is missing."""
        import llvmlite.binding as llvm

        cause = "\n".join((_machine(), " ".join(map(_kind, values)), *_source(self)))
        name = f"{self.function.__name__}-{hashlib.sha256(cause.encode()).hexdigest()[:24]}.kernel"
        code = _read(name)
        if code is None:
            code = self._compile(values)
            _write(name, code)
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        parts = [part for value in values for part in _part_types(value)]
        entry = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *parts)(
            engine.get_function_address(SYMBOL)
        )
        returns_float = self.function.__annotations__["return"] in ("float", float)
        result_type = ctypes.c_double if returns_float else ctypes.c_int64

        def call(*values: Any) -> R:
            result, raised = result_type(), ctypes.c_void_p()
            parts: list[Any] = []
            _add_parts(values, parts)
            entry(ctypes.byref(result), ctypes.byref(raised), *parts)
            return cast(R, result.value)

        call.engine = engine  # type: ignore[attr-defined]  # owns the code, and frees it with the function
        return call

    def _compile(self, values: tuple[Any, ...]) -> bytes:
        """Machine code for this processor: an object file with the function as `SYMBOL`."""
        import llvmlite.binding as llvm
        from numba.core.errors import NumbaError

        _report_compiling()
        signature = tuple(map(_numba_type, values))
        dispatcher = self.dispatcher
        try:
            dispatcher.compile(signature)
        except NumbaError as error:
            raise KernelError(
                f"kernel {self.function.__name__}: cannot be compiled; does it allocate?"
            ) from error
        module = llvm.parse_assembly(dispatcher.inspect_llvm(signature))
        module.get_function(dispatcher.overloads[signature].fndesc.llvm_func_name).name = SYMBOL
        return cast(bytes, _target().emit_object(module))

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's dispatcher of the function, without a memory manager or Python wrappers."""
        return self._dispatcher(
            lambda inner: inner.dispatcher, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True
        )

    @cached_property
    def plain(self) -> Any:
        """``numba.njit`` of the function, uncached: Numba's cache does not notice changes of kernels that it calls."""
        return self._dispatcher(lambda inner: inner.plain)

    def _dispatcher(self, inner: Callable[[Kernel[Any]], Any], **options: Any) -> Any:
        """Numba's dispatcher of the function, in which the kernels that it calls are replaced by `inner`."""
        from numba import njit

        called = {
            name: inner(value)
            for name, value in self.function.__globals__.items()
            if name in self.function.__code__.co_names and isinstance(value, Kernel)
        }
        copy = FunctionType(self.function.__code__, {**self.function.__globals__, **called})
        return njit(nogil=True, error_model="numpy", **options)(copy)


class KernelError(TypeError):
    """A kernel that breaks the rules of `kernel`."""


def _key(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The types of arguments, as far as machine code depends on them."""
    key: list[Any] = []
    for value in values:
        if isinstance(value, np.ndarray):
            assert value.flags.c_contiguous, "a kernel takes contiguous arrays"
            key += (value.dtype, value.ndim)
        elif isinstance(value, tuple):
            key += (type(value), _key(value))
        else:
            key.append(isinstance(value, (float, np.floating)))
    return tuple(key)


def _kind(value: Any) -> str:
    """The type of an argument in the name of its file: ``<f82`` for a matrix of doubles; ``f`` and ``i``."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.ndim}"
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", ())
        return f"({','.join(f'{name}:{_kind(part)}' for name, part in zip(fields, value, strict=True))})"
    return "f" if isinstance(value, (float, np.floating)) else "i"


def _add_parts(values: tuple[Any, ...], parts: list[Any]) -> None:
    """Arguments in Numba's calling convention: an array as owner (none), counts, address, shape and strides."""
    for value in values:
        if isinstance(value, np.ndarray):
            parts += (None, None, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
        elif isinstance(value, tuple):
            _add_parts(value, parts)
        else:
            parts.append(float(value) if isinstance(value, (float, np.floating)) else int(value))


def _part_types(value: Any) -> list[Any]:
    """The C types of an argument."""
    if isinstance(value, np.ndarray):
        number = ctypes.c_int64
        return [ctypes.c_void_p, ctypes.c_void_p, number, number, ctypes.c_void_p, *[number] * 2 * value.ndim]
    if isinstance(value, tuple):
        return [part for member in value for part in _part_types(member)]
    return [ctypes.c_double if isinstance(value, (float, np.floating)) else ctypes.c_int64]


def _numba_type(value: Any) -> Any:
    from numba import types
    from numba.np.numpy_support import from_dtype

    if isinstance(value, np.ndarray):
        return types.Array(from_dtype(value.dtype), value.ndim, "C")
    if isinstance(value, tuple):
        from_types: Any = types.BaseTuple.from_types
        return from_types(list(map(_numba_type, value)), type(value))
    return types.float64 if isinstance(value, (float, np.floating)) else types.int64


def _target() -> Any:
    """LLVM's target for this machine, with Numba's options. The caller owns it."""
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
    """All that the machine code depends on: byte code and numbers, including those of the kernels that it calls."""
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
    """Folders for code, in order of preference."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return [Path(named) / "metrics"]
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return [Path(__file__).parent / "__pycache__", user / "detbench" / "kernels"]


def _read(name: str) -> bytes | None:
    """Stored code; None where there is none, or where its digest shows that the file is damaged."""
    for folder in _folders():
        try:
            content = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    return None


def _write(name: str, code: bytes) -> None:
    """Store code in the first writable folder, atomically; without one it is compiled in each process."""
    for folder in _folders():
        part = folder / f"{name}.{os.getpid()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.sha256(code).digest() + code)
            part.replace(folder / name)
        except OSError:
            continue
        return


def _report_compiling() -> None:
    _report_once("compiling", "compiling kernels for this machine, once (about ten seconds) ...")


def _report_failure(error: Exception) -> None:
    _report_once(
        "failure",
        f"kernels cannot be loaded ({type(error).__name__}: {error}); numba.njit compiles them in each process",
    )


_reported: set[str] = set()


def _report_once(kind: str, text: str) -> None:
    if kind not in _reported:
        _reported.add(kind)
        print(f"metrics: {text}", file=sys.stderr, flush=True)
