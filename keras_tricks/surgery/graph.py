"""The graph of a functional model, with the models inside it unfolded."""

import dataclasses

import keras


@dataclasses.dataclass(eq=False)
class Node:
    """One call of one layer or operation.

    Attributes:
        operation: The layer or `keras.Operation`.
        path: Its name, after the names of the models around it.
        parents: The nodes whose outputs it takes.
        index: Position in topological order.
        ancestors: Bit set of the indices of all it depends on and its own.
        output: Its first output, symbolic.
        children: The nodes that take its outputs.
        consumers: How often its outputs are used, as model outputs too.
        is_output: Whether it makes an output of the model.
    """

    operation: keras.Operation
    path: str
    parents: list["Node"]
    index: int
    ancestors: int
    output: keras.KerasTensor
    children: list["Node"] = dataclasses.field(default_factory=list)
    consumers: int = 0
    is_output: bool = False

    @property
    def kind(self) -> str:
        """Name of the class of the operation."""
        return type(self.operation).__name__

    @property
    def depth(self) -> int:
        """How many weighted layers the call goes through: its kernels."""
        if not isinstance(self.operation, keras.layers.Layer):
            return 0
        return sum(len(w.shape) > 1 for w in self.operation.weights)


def flatten(model: keras.Model) -> list[Node]:
    """Return the calls of a functional model in topological order.

    Args:
        model: A functional or `Sequential` model. Others have no graph.

    Returns:
        The nodes, inputs included; empty without a graph.
    """
    nodes: list[Node] = []
    if has_graph(model):
        for node in _unfold(model, None, "", nodes):
            node.consumers += 1
            node.is_output = True
    return nodes


def functional(operation):
    """Return the functional model of a `Sequential`, or what it is given."""
    return getattr(operation, "_functional", None) or operation


def check_built(model):
    """Refuse what is no Keras model with its variables."""
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "`model` must be a Keras model that is built. "
            f"Received: model={model!r}"
        )


def has_graph(operation) -> bool:
    """Say whether an operation is a functional or built `Sequential` model."""
    return hasattr(functional(operation), "_nodes_by_depth")


def _unfold(model, sources, prefix, nodes) -> list[Node]:
    """Append the nodes of a model called on `sources`; return its outputs.

    Each input that has no source becomes a node of its own.
    """
    model = functional(model)
    known = {}
    for position, tensor in enumerate(model.inputs):
        operation = tensor._keras_history.operation
        known[id(tensor)] = (
            sources[position]
            if sources is not None
            else _append(operation, prefix, [], tensor, nodes)
        )
    by_depth = model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for call in by_depth[depth]:
            ready = all(id(t) in known for t in call.input_tensors)
            if not call.input_tensors or not ready:
                continue
            parents = [known[id(t)] for t in call.input_tensors]
            if has_graph(call.operation):
                inner = f"{prefix}{call.operation.name}/"
                outputs = _unfold(call.operation, parents, inner, nodes)
            else:
                node = _append(
                    call.operation, prefix, parents, call.outputs[0], nodes
                )
                outputs = [node] * len(call.outputs)
            for tensor, node in zip(call.outputs, outputs, strict=True):
                known.setdefault(id(tensor), node)
    return [known[id(tensor)] for tensor in model.outputs]


def _append(operation, prefix, parents, output, nodes) -> Node:
    ancestors = 1 << len(nodes)
    for parent in parents:
        ancestors |= parent.ancestors
    path = prefix + operation.name
    node = Node(operation, path, parents, len(nodes), ancestors, output)
    for parent in parents:
        parent.consumers += 1
        parent.children.append(node)
    nodes.append(node)
    return node
