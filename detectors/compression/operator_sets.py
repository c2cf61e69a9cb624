"""Which operators of an exported graph are quantised: the candidate sets among which validation chooses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Types of operators that hold nearly all of a network's computation."""


@dataclass(frozen=True, slots=True)
class OperatorSet:
    """Operators that are quantised together.

    Attributes:
        name: short name, as in tables.
        summary: what it contains, in words.
        nodes: names of the operators, in the order of the graph.
    """

    name: str
    summary: str
    nodes: tuple[str, ...]


def operator_sets(model: Any, supported: Iterable[str]) -> list[OperatorSet]:
    """Candidate sets of a graph, each with other operators; empty if nothing can be quantised.

    The last layers are the weighted operators (`WEIGHTED`) from which no other one is reached: the output layers of the heads.
    What follows them decodes boxes and scores, for which 8 bits are coarse: 256 steps over the sides of an image.

    Args:
        model: ``onnx.ModelProto`` whose operators have unique names.
        supported: types of operators that can be quantised.

    Returns:
        Of sets that are equal in this graph, only the first.
    """
    nodes = list(model.graph.node)
    network, last = _network(nodes)
    known = set(supported)
    everything = {node.name for node in nodes}
    chosen = [
        ("conv", "convolutions", _of_types(nodes, ("Conv",))),
        ("weighted", "convolutions and matrix products", _of_types(nodes, WEIGHTED)),
        ("network", "all operators up to the last layers", network),
        ("but-last", "all operators before the last layers", network - last),
        ("all", "all operators, with the decoding of boxes and scores", everything),
    ]
    sets: dict[tuple[str, ...], OperatorSet] = {}
    for name, summary, belonging in chosen:
        members = tuple(node.name for node in nodes if node.op_type in known and node.name in belonging)
        if members:
            sets.setdefault(members, OperatorSet(name, summary, members))
    return list(sets.values())


def _of_types(nodes: list[Any], types: tuple[str, ...]) -> set[str]:
    return {node.name for node in nodes if node.op_type in types}


def _network(nodes: list[Any]) -> tuple[set[str], set[str]]:
    """Names of the operators that lead to a weighted operator or are one, and of the weighted ones that lead to no other."""
    needed: set[str] = set()  # values from which a weighted operator is reached
    network: set[str] = set()
    last: set[str] = set()
    for node in reversed(nodes):  # a graph is sorted: users come after what they use
        leads = any(output in needed for output in node.output)
        weighted = node.op_type in WEIGHTED
        if leads or weighted:
            network.add(node.name)
            needed.update(node.input)
        if weighted and not leads:
            last.add(node.name)
    return network, last
