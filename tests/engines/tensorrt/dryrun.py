"""Torch-TensorRT's decompositions, lowering, converter registry and partitioner, stopped before TensorRT itself."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from xpose_stream.engines.backends import tensorrt


@dataclass
class Report:
    """What Torch-TensorRT would make of a graph."""

    operations: int
    engines: int
    torch_parts: int
    unsupported: dict[str, list[str]] = field(default_factory=dict)  # operation to the lines that ask for it
    data_dependent: list[str] = field(default_factory=list)  # operations whose output has no size before it runs
    float64: list[str] = field(default_factory=list)
    layers: int = 0  # of the emulated network
    error: float | None = None  # largest difference to the emulated network, relative to the largest number

    @property
    def one_engine(self) -> bool:
        """Whether the whole graph is one TensorRT engine."""
        broken = self.torch_parts or self.unsupported or self.data_dependent or self.float64
        return self.engines == 1 and not broken


def dry_run(program: torch.export.ExportedProgram, inputs: tuple[Tensor, ...]) -> tuple[Report, fx.GraphModule]:
    """Lower and partition with the product's own options; also returns the partitioned module."""
    from torch_tensorrt.dynamo import _compiler, compile

    unknown = tensorrt.OPTIONS.keys() - inspect.signature(compile).parameters.keys()
    if unknown:
        raise ValueError(f"Torch-TensorRT knows no option {', '.join(sorted(unknown))} and would ignore it.")
    tensorrt.register_converters()
    partition = _compiler.partitioning.fast_partition

    def look(module: fx.GraphModule, **options: Any) -> Any:
        findings.update(_findings(module))
        return partition(module, **options)

    findings: dict[str, Any] = {}
    _compiler.partitioning.fast_partition, _compiler.dryrun_stats_display = look, lambda *stats: None
    options = tensorrt.OPTIONS | {"require_full_compilation": False, "min_block_size": 1, "dryrun": True}
    try:
        parts = compile(program, arg_inputs=list(inputs), **options)
    finally:
        _compiler.partitioning.fast_partition = partition
    names = [name for name, _ in parts.named_children()]
    engines, torch_parts = (sum(kind in name for name in names) for kind in ("_run_on_acc", "_run_on_gpu"))
    return Report(engines=engines, torch_parts=torch_parts, **findings), parts


def _findings(module: fx.GraphModule) -> dict[str, Any]:
    """What the converter registry says of every operation of the lowered graph."""
    from torch_tensorrt.dynamo.conversion._ConverterRegistry import DYNAMO_CONVERTERS as CONVERTERS

    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    unsupported: dict[str, list[str]] = {}
    for node in nodes:
        if node not in CONVERTERS:
            trace = (node.meta.get("stack_trace") or "").strip().splitlines()
            unsupported.setdefault(str(node.target), []).append(" ".join(line.strip() for line in trace[-2:]))
    known = [node for node in nodes if node in CONVERTERS]
    return {
        "operations": len(nodes),
        "unsupported": unsupported,
        "data_dependent": [node.name for node in known if CONVERTERS[node][2].get("requires_output_allocator")],
        "float64": [n.name for n in nodes if getattr(n.meta.get("val"), "dtype", None) == torch.float64],
    }
