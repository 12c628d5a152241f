"""Compilers of the model: each builds a file for fixed shapes and runs it."""

from xpose_stream.engines.backends.backend import Answer, Backend, Precision, Run
from xpose_stream.engines.backends.inductor import Inductor
from xpose_stream.engines.backends.openvino import OpenVino
from xpose_stream.engines.backends.tensorrt import TensorRT

__all__ = ["Answer", "Backend", "Precision", "Run", "backends"]


def backends() -> dict[str, Backend]:
    """All there are by name, the preferred first."""
    found: list[Backend] = [TensorRT(), OpenVino(), Inductor()]
    return {backend.name: backend for backend in found}
