"""A stand-in for NVIDIA's `tensorrt` module, so that torch_tensorrt's own Python code runs where TensorRT cannot.

`install` changes this process for good (sys.modules, torch.cuda): only a process of its own may call it.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import types
from typing import Any

import torch

VERSION = "11.0.0.114"
TYPES = {
    "float32": "FLOAT",
    "float16": "HALF",
    "bfloat16": "BF16",
    "int8": "INT8",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "bool": "BOOL",
    "fp8": "FP8",
    "int4": "INT4",
    "fp4": "FP4",
}


class Members(type):
    """A class of which every attribute that is asked for is an instance: the members of an enumeration."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        member = object.__new__(cls)
        member.__dict__["member"] = name
        setattr(cls, name, member)
        return member


class FakeTensorRT(types.ModuleType):
    """A module in which every class that is asked for exists, with every member."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "tensorrt_rtx":
            raise AttributeError(name)
        body = {
            "__init__": lambda self, *args, **kwargs: None,
            "__int__": lambda self: 0,
            "__repr__": lambda self: f"{type(self).__name__}.{self.__dict__.get('member', '?')}",
        }
        made = Members(name, (), body)
        setattr(self, name, made)
        return made


def member(value: Any) -> str:
    """The name of an enumeration's member."""
    name: str = value.__dict__["member"]
    return name


def install() -> FakeTensorRT:
    """Put the fake where `import tensorrt` finds it and import torch_tensorrt over it."""
    fake = FakeTensorRT("tensorrt")
    vars(fake).update(__version__=VERSION, __path__=[], __file__="<fake>", __package__="tensorrt", tensorrt=fake)
    fake.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None, is_package=True)
    for name, kind in TYPES.items():
        setattr(fake, name, getattr(fake.DataType, kind))
    fake.get_plugin_registry = lambda: types.SimpleNamespace(get_creator=lambda *names: None)
    sys.modules["tensorrt"] = fake
    if not hasattr(torch._C, "_CudaDeviceProperties"):
        torch._C._CudaDeviceProperties = object  # named in an annotation
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_capability = lambda *device: (9, 0)
    _import_without_libraries()
    return fake


def _import_without_libraries() -> None:
    """Import torch_tensorrt as if its wheel had no shared libraries (they need TensorRT's), and keep it on the CPU."""
    is_file = os.path.isfile
    os.path.isfile = lambda path: "torchtrt" not in str(path) and is_file(path)
    try:
        from torch_tensorrt.dynamo import _compiler
    finally:
        os.path.isfile = is_file
    _compiler.to_torch_device = lambda *device: torch.device("cpu")
