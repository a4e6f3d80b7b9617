"""Connected components of a graph, on the device that holds its edges.

Letters: M nodes, P edges.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix, csgraph
from torch import Tensor


def connected_components(first: Tensor, second: Tensor, nodes: int) -> Tensor:
    """The component (M,) int64 of each of M = `nodes` nodes of a graph with the edges first[i] - second[i].

    first, second (P,) int64. Components are numbered 0, 1, ... by their least nodes.
    """
    by = components_on_host if first.device.type == "cpu" else components_on_device
    return by(first, second, nodes)


def components_on_host(first: Tensor, second: Tensor, nodes: int) -> Tensor:
    """`connected_components` by a search from node to node."""
    ends = first.numpy(), second.numpy()
    graph = coo_matrix((np.ones(len(ends[0]), np.bool_), ends), shape=(nodes, nodes))
    _, component = csgraph.connected_components(graph, directed=False)
    return torch.from_numpy(component.astype(np.int64))


def components_on_device(first: Tensor, second: Tensor, nodes: int) -> Tensor:
    """`connected_components` of all nodes at once: no edge travels to the host.

    Every tree takes the least tree that it touches as its parent, until no two trees touch. The root of a
    tree is its least node.
    """
    root = torch.arange(nodes, device=first.device)
    while True:
        ends = torch.stack([root[first], root[second]])
        low, high = ends.amin(dim=0), ends.amax(dim=0)
        merged = _roots(root.scatter_reduce(0, high, low, "amin"))
        if torch.equal(merged, root):
            return root.unique(return_inverse=True)[1]
        root = merged


def _roots(parent: Tensor) -> Tensor:
    """The root of each node of a forest, from the parents (M,); a root is its own parent."""
    while not torch.equal(above := parent[parent], parent):
        parent = above
    return parent
