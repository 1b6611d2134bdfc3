"""`torch.compile` takes our part of a step in one piece, without a compiler."""

import keras
import pytest

from keras_tricks.layers import BottleneckBlock
from keras_tricks.losses import (
    KnowledgeDistillation,
    LabelSmoothedCrossentropy,
    LabelSmoothedKD,
    pack_targets,
)
from keras_tricks.metrics import DominantLabelAccuracy

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="of torch"),
    pytest.mark.skipif(
        tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15),
        reason="calls of these layers and losses break the graph in Keras",
    ),
]

LABELS = torch.tensor([0, 2])
LOGITS = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0]])


def breaks(function, *args):
    """Return why the graph of a function is more than one."""
    torch._dynamo.reset()
    explained = torch._dynamo.explain(function)(*args)
    return [str(reason.reason)[:300] for reason in explained.break_reasons]


@pytest.mark.parametrize(
    "loss, targets",
    [
        (LabelSmoothedCrossentropy(0.1), lambda: LABELS),
        (LabelSmoothedKD(0.1), lambda: pack_targets(LABELS, LOGITS)),
        (KnowledgeDistillation(), lambda: LOGITS),
    ],
    ids=lambda case: type(case).__name__,
)
def test_losses(loss, targets):
    y = torch.as_tensor(targets())
    loss(y, LOGITS)  # The first is looked at outside of steps, too.
    assert not breaks(loss, y, LOGITS)


def test_blocks():
    block = BottleneckBlock(2, data_format="channels_first")
    x = torch.ones(2, 8, 4, 4)
    block(x)
    assert not breaks(lambda x: block(x, training=True), x)


def test_metrics():
    metric = DominantLabelAccuracy()
    metric.update_state(LABELS, LOGITS)
    assert not breaks(metric.update_state, LABELS, LOGITS)
