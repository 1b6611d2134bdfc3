import keras

from keras_tricks._checks import check_choice
from keras_tricks.layers.conv_norm import VARIANTS
from keras_tricks.layers.stem import Stem
from keras_tricks.surgery.blocks import find_blocks, refuse
from keras_tricks.surgery.edits import (
    OURS,
    Plan,
    deepen_stem,
    move_strides,
    pool_shortcut,
    set_variant,
)
from keras_tricks.surgery.graph import flatten
from keras_tricks.surgery.rebuild import (
    check_graph,
    custom_objects,
    rebuild,
)
from keras_tricks.surgery.report import SurgeryReport

WHAT_CHANGES = {
    "B": "residual branches with the strides in their first 1x1",
    "C": "what B changes, or a stem of one convolution",
    "D": "what C changes, or shortcuts with the strides in their 1x1",
}


def change_resnet_variant(
    model: keras.Model, variant: str = "D", keep_stem: bool = False
) -> tuple[keras.Model, SurgeryReport]:
    """Build a ResNet of version 1 again as variant B, C or D of the paper.

    | variant | change | weights |
    |---|---|---|
    | B | strides move from the first 1x1 of a branch to its 3x3 | kept |
    | C | B, and three 3x3 replace the one convolution of the stem | new stem |
    | D | C, and a strided shortcut averages 2x2 before its 1x1 | kept |

    The graph decides: names do not matter. Padding stays symmetric, so that
    the result computes what `keras_tricks.models.ResNet` of this variant does
    with the same weights. The new stem has the initializers, biases, norms
    and the activation of the old one, and starts fresh, its norms too. What a
    network already has of a variant stays as it is. Functional and
    `Sequential` models inside the model are entered, and the layers of
    `keras_tricks` are known.

    The model that is given stays as it is.

    Args:
        model: A functional or `Sequential` model, such as
            `keras.applications.ResNet50`.
        variant: `"B"`, `"C"` or `"D"`. Defaults to `"D"`.
        keep_stem: Whether to leave the stem as it is, and so keep all
            weights. Defaults to `False`.

    Returns:
        A new model with a copy of the weights, not compiled, and a
        `SurgeryReport`: the layers that changed, and those with new weights.

    Raises:
        ValueError: For an unknown variant, a model without a graph, one that
            is not a ResNet of version 1 (plain, dense and pre-activation
            networks), a block or stem that cannot be changed, or when there
            is nothing to change.

    Example:
    >>> from keras_tricks.models import ResNet
    >>> model = ResNet(50, "A", num_classes=4, width=2, input_shape=(32, 32, 3))
    >>> model, report = change_resnet_variant(model, "B")
    >>> list(report)
    ['stage2_block1', 'stage3_block1', 'stage4_block1']

    Reference:
        - [He et al., 2018](https://arxiv.org/abs/1812.01187), section 4
    """
    check_graph(model)
    check_choice("variant", variant, VARIANTS[1:])
    nodes = flatten(model)
    plan = Plan()
    with keras.saving.custom_object_scope(custom_objects(model)):
        blocks = find_blocks(nodes)
        ours = [node for node in nodes if isinstance(node.operation, OURS)]
        if not blocks and not ours:
            refuse(
                "be a ResNet of version 1",
                f"model={model.name!r}, a graph without residual additions",
            )
        if variant in "CD" and not keep_stem:
            deepen_stem(nodes, plan)
        for block in blocks:
            move_strides(block, plan)
            if variant == "D":
                pool_shortcut(block, plan)
        for node in ours:
            if not (keep_stem and isinstance(node.operation, Stem)):
                set_variant(node, variant, plan)
        plan.check_calls(nodes)
    result, notes = rebuild(model, plan.replacements)
    changed, fresh = plan.outcome()
    if not changed:
        refuse(
            f"have what variant {variant} changes: {WHAT_CHANGES[variant]}",
            f"model={model.name!r} with {len(blocks) + len(ours)} blocks",
        )
    report = SurgeryReport(
        f"changed to variant {variant}", changed, fresh, notes=notes
    )
    return result, report
