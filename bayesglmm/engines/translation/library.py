"""Translated functions as machine code: compiled by LLVM for this processor, kept on disk, and loaded from there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from pytensor.configdefaults import config

from bayesglmm.engines.translation import functions, values

__all__ = ["Library"]

_KEPT = 8  # files of other processors, versions and environments that may stay beside the newest
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Library:
    """Functions that are compiled together.

    Attributes
    ----------
    roots : tuple of callable
        Plain functions as `functions.translated` takes them, which can be called from outside.
    modules : tuple of module
        The files where these and all that they call are. When one of them changes, what is on disk is not used.
    """

    roots: tuple[Callable[..., Any], ...]
    modules: tuple[Any, ...]

    def load(self, folder: Path | None = None) -> Machine:
        """Return the functions as machine code; LLVM compiles them if they are not on disk.

        Parameters
        ----------
        folder : Path, optional
            Where compiled code is kept; beside that of PyTensor (``base_compiledir``) if absent.
        """
        folder = Path(config.base_compiledir) / "bayesglmm" if folder is None else folder
        path = folder / f"{self.key()}.bin"
        code = _read(path)
        if code is None:
            code = self.compile()
            _write(path, code)
        return Machine(code, [functions.symbol(root) for root in self.roots])

    def key(self) -> str:
        """Return what distinguishes the machine code: sources, LLVM, and the processor."""
        parts = [llvmlite.__version__, *_host()]
        parts += [Path(each.__file__).read_text(encoding="utf-8") for each in (functions, values, *self.modules)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def compile(self) -> bytes:
        """Return the object code, without a look at the disk."""
        text, inside = functions.translated(self.roots)
        strange = {each.__module__ for each in inside} - {each.__name__ for each in self.modules}
        if strange:
            raise ValueError(f"Functions are from {', '.join(sorted(strange))}, which are not among the modules.")
        machine = _target_machine()
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return bytes(machine.emit_object(module))


class Machine:
    """Machine code in memory.

    Parameters
    ----------
    code : bytes
        Object code.
    names : sequence of str
        Symbols of its functions.

    Attributes
    ----------
    addresses : list of int
        Of the functions; good as long as this object lives.
    """

    def __init__(self, code: bytes, names: Sequence[str]) -> None:
        machine = _target_machine()
        empty = llvm.parse_assembly("")
        empty.triple, empty.data_layout = machine.triple, str(machine.target_data)
        self._engine = llvm.create_mcjit_compiler(empty, machine)
        self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.addresses = [int(self._engine.get_function_address(name)) for name in names]


def _host() -> tuple[str, str, str]:
    """Return what this machine is: kind, processor, what it can do."""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM does not know on every platform
        features = ""
    return llvm.get_process_triple(), llvm.get_host_cpu_name(), features


def _target_machine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, processor, features = _host()
    # The code may lie far from the C library's: pages come from wherever there are some.
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=processor, features=features, opt=2, reloc="default", codemodel="jitdefault", jit=True
    )


def _read(path: Path) -> bytes | None:
    """Return what is in a file; None if there is no such file, or it is not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    return code if digest == hashlib.sha256(code).digest() else None


def _write(path: Path, code: bytes) -> None:
    """Put code into a file, which appears as a whole; where nothing can be written it is compiled each time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(name, path)
        for old in sorted(path.parent.glob("*.bin"), key=lambda each: each.stat().st_mtime)[: -_KEPT - 1]:
            old.unlink()
