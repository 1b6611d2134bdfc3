import dataclasses
import difflib
import math
import re

import keras

from keras_tricks.surgery.batch_norm import forget_compile, freeze_batch_norm
from keras_tricks.surgery.graph import check_built, has_graph
from keras_tricks.surgery.groups import LayerGroup, find_groups


@dataclasses.dataclass(frozen=True)
class FreezeReport:
    """What `freeze` did to a model, and the way back.

    Attributes:
        what: What was to be frozen.
        frozen: Paths of the weights that no longer train.
        trained: Paths of those that still do.
        frozen_values: How many values are frozen.
        trained_values: How many values still train.
        norms: How many batch norms now use the statistics they have.
        notes: Sentences on what has to be known or done.

    Example:
    >>> model = keras.Sequential([
    ...     keras.Input((4,)), keras.layers.Dense(3, name="body"),
    ...     keras.layers.Dense(2, name="logits"),
    ... ])
    >>> report = freeze(model, "backbone")
    >>> len(report.frozen), report.trained_values
    (2, 8)
    >>> report.unfreeze(model)
    >>> len(model.trainable_variables)
    4
    """

    what: str
    frozen: tuple[str, ...]
    trained: tuple[str, ...]
    frozen_values: int
    trained_values: int
    norms: int
    notes: tuple[str, ...] = ()
    _before: tuple = dataclasses.field(default=(), repr=False, compare=False)

    def unfreeze(self, model: keras.Model) -> None:
        """Let train what did before; `fit` then asks for `compile`.

        Args:
            model: The model that was frozen.

        Raises:
            ValueError: If it is another one.
        """
        parts = {id(part) for part, _, _ in self._before}
        inside = {id(layer) for layer in model._flatten_layers()}
        if parts and not parts & inside:
            raise ValueError(
                "`model` must be the one that was frozen. "
                f"Received: model={model.name!r} without any of its layers"
            )
        for part, name, value in self._before:
            setattr(part, name, value)
        forget_compile(model)

    def __str__(self):
        lines = [
            f"froze {self.what}: {len(self.frozen)} weights, "
            f"{self.frozen_values:,} values",
            f"still trained: {len(self.trained)} weights, "
            f"{self.trained_values:,} values",
        ]
        if self.norms:
            lines.append(f"{self.norms} batch norms keep their statistics")
        return "\n".join([*lines, *self.notes])


def freeze(model: keras.Model, what: str) -> FreezeReport:
    """Freeze a part of a model, which no longer trains.

    | `what` | what is frozen |
    |---|---|
    | `"backbone"` | all groups but the head, see `find_groups` |
    | `"norms"` | all batch norms, see `freeze_batch_norm` |
    | `"stem,stage1"` | groups by name, or by what their names begin with |
    | anything else | weights whose path a regular expression is found in |

    Frozen weights get no gradient. A batch norm all of whose weights are
    frozen uses the statistics it has, in training too, and they do not move;
    one whose gamma or beta alone is frozen still moves them. Dropout in a
    frozen part still drops. The model changes in place, and one that is
    compiled is no longer: its optimizer knew other weights. What is saved does
    not tell of layers inside of layers that they are frozen: freeze again
    after loading.

    Args:
        model: Any Keras model that is built; without a graph it has no groups.
        what: See the table; several names have commas between them.

    Returns:
        A `FreezeReport`, whose `unfreeze(model)` undoes it.

    Raises:
        ValueError: If there is nothing of that name, nothing is left to
            train, or what is named cannot train.

    Example:
    >>> from keras_tricks.models import ResNet
    >>> model = ResNet(18, num_classes=3, width=4, input_shape=(32, 32, 3))
    >>> print(freeze(model, "backbone"))
    froze backbone: 66 weights, 44,354 values
    still trained: 2 weights, 99 values
    22 batch norms keep their statistics

    Reference:
        - [Yosinski et al., 2014](https://arxiv.org/abs/1411.1792)
    """
    check_built(model)
    if not isinstance(what, str):
        raise ValueError(
            "`what` must be a string, names with commas between them or a "
            f"regular expression. Received: what={what!r}"
        )
    before = _state(model)
    names = what.split(",")
    groups = find_groups(model) if has_graph(model) else ()
    try:
        if all(name == "norms" or in_groups(groups, name) for name in names):
            for name in names:
                _freeze_named(model, groups, name)
        else:
            _freeze_matching(model, groups, what)
        frozen = _frozen(model)
        _check(model, what, frozen)
    except ValueError:
        for part, name, value in before:
            setattr(part, name, value)
        raise
    kept = model.trainable_variables
    notes = []
    if forget_compile(model):
        notes.append("compile the model again before training")
    return FreezeReport(
        what,
        tuple(variable.path for variable in frozen),
        tuple(variable.path for variable in kept),
        _values(frozen),
        _values(kept),
        sum(
            isinstance(layer, keras.layers.BatchNormalization)
            and not layer.trainable
            for layer in model._flatten_layers()
        ),
        tuple(notes),
        before,
    )


def in_groups(
    groups: tuple[LayerGroup, ...], name: str
) -> tuple[LayerGroup, ...]:
    """Return the groups that a name stands for.

    Args:
        groups: Those of a model, from `find_groups`.
        name: `"backbone"`, the name of a group, or what names begin with
            before an underscore or a slash.
    """
    if name == "backbone":
        return groups[:-1]
    exact = tuple(group for group in groups if group.name == name)
    starts = f"{name}_", f"{name}/"
    return exact or tuple(g for g in groups if g.name.startswith(starts))


def _freeze_named(model, groups, name):
    if name == "norms":
        freeze_batch_norm(model)
    for group in in_groups(groups, name):
        for layer in group.layers:
            _freeze_layer(layer)


def _freeze_matching(model, groups, pattern):
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise _refusal(pattern, f"which is none of these ({error})") from None
    chosen = [w for w in model.weights if expression.search(w.path)]
    if not chosen:
        known = {group.name for group in groups} | {"backbone", "norms"}
        known |= {name.split("_")[0] for name in known}
        known |= {layer.name for layer in model._flatten_layers(False)}
        last = pattern.rpartition(",")[2]
        close = difflib.get_close_matches(last, sorted(known), 3)
        hint = f": is it {' or '.join(close)}?" if close else ""
        raise _refusal(pattern, f"which matches nothing{hint}")
    found = {id(weight) for weight in chosen}
    for layer in model._flatten_layers():
        weights = layer.weights
        if weights and all(id(weight) in found for weight in weights):
            _freeze_layer(layer)
    for weight in chosen:
        weight.trainable = False


def _freeze_layer(layer):
    # TensorFlow ignores a value that a layer has, whatever is inside of it.
    for part in layer._flatten_layers():
        part.trainable = False
    for weight in layer.weights:
        weight.trainable = False


def _refusal(what, why):
    return ValueError(
        "`freeze` must be backbone, norms, names of groups, or a regular "
        f"expression on the paths of weights. Received: freeze={what!r}, {why}"
    )


def _check(model, what, frozen):
    """Refuse what freezes everything, or nothing."""
    if not model.trainable_variables:
        raise ValueError(
            "`freeze` must leave something to train. "
            f"Received: freeze={what!r}, which is all of {model.name!r}"
        )
    if not frozen:
        raise ValueError(
            "`freeze` must name weights that could train. "
            f"Received: freeze={what!r}, which names none of them"
        )


def _frozen(model):
    """Return what could train, by the layers it is in, and does not."""
    return [
        variable
        for layer in model._flatten_layers()
        for variable in layer._trainable_variables
        if not variable.trainable
    ]


def _state(model):
    """Return all that `freeze` may change, in an order to put it back."""
    layers = model._flatten_layers()
    state = [
        (layer, "frozen_norm", layer.frozen_norm)
        for layer in layers
        if hasattr(layer, "frozen_norm")
    ]
    parts = (*layers, *model.weights)  # A layer sets what is in it.
    state += [(part, "trainable", part.trainable) for part in parts]
    return tuple(state)


def _values(variables):
    return sum(math.prod(variable.shape) for variable in variables)
