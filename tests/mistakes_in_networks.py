"""Mistakes with networks of others: names, files, functions, options."""

from keras_tricks import Recipe, evaluation, training
from keras_tricks.networks import build_network
from keras_tricks.training.teacher import load_teacher

from . import networks_of_others

MINE = f"{networks_of_others.__name__}:"


def mine(name, shape=(16, 16, 3), **options):
    return build_network(MINE + name, shape, 3, **options)


def saved(path, size=16, **options):
    model = networks_of_others.residual((size, size, 3), 3)
    model.save(path / "model.keras")
    shape = options.pop("shape", (16, 16, 3))
    return build_network(str(path / "model.keras"), shape, 3, **options)


def of_another_kind(path):
    (path / "model.keras").write_text("no model")
    return build_network(str(path / "model.keras"), (16, 16, 3), 3)


def application(name="MobileNetV3Small", **options):
    return build_network(f"applications/{name}", (32, 32, 3), 3, **options)


# The mistake, its error, and the message, in which an ellipsis stands for
# any text.
MISTAKES = {
    "unknown network": (
        lambda _: Recipe(model="vgg"),
        ValueError,
        "`model` must be one of 'resnet', … module:function. Received: "
        "model='vgg'",
    ),
    "unknown application": (
        lambda _: Recipe(model="applications/EfficientnetV2B0"),
        ValueError,
        "`model` must be applications/ and a network of keras.applications "
        "(is it 'EfficientNetV2B0'?). Received: "
        "model='applications/EfficientnetV2B0'",
    ),
    "width of an application": (
        lambda _: Recipe(model="applications/VGG16", width=64),
        ValueError,
        "`width` must be 16 with model='applications/VGG16', which does not "
        "use it. Received: width=64",
    ),
    "depth of a file": (
        lambda _: Recipe(model="mine.keras", depth=50),
        ValueError,
        "`depth` must be 18 with model='mine.keras', … Received: depth=50",
    ),
    "weights beside a file": (
        lambda _: Recipe(model="mine.keras", weights="w.h5"),
        ValueError,
        "`weights` must be None with model='mine.keras', which brings its "
        "own. Received: weights='w.h5'",
    ),
    "frozen norms of random weights": (
        lambda _: Recipe(model="applications/VGG16", frozen_norm=True),
        ValueError,
        "`frozen_norm` must be False without weights … Received: …=True",
    ),
    "head of a function": (
        lambda _: Recipe(model="a:b", skip_head=True),
        ValueError,
        "`skip_head` must be False without weights … Received: …=True",
    ),
    "weights of another source for an application": (
        lambda _: application(weights="timm/resnet50d.a1_in1k"),
        ValueError,
        "`weights` must be 'imagenet' or a file for "
        "applications/MobileNetV3Small. Received: weights='timm/…'",
    ),
    "images that are too small": (
        lambda _: build_network("applications/VGG16", (16, 16, 3), 3),
        ValueError,
        "`model` must be a network for these images … Received: "
        "model='applications/VGG16', images of shape (16, 16, 3), …",
    ),
    "module that is not there": (
        lambda _: build_network("no_such_module:build", (16, 16, 3), 3),
        ValueError,
        "`model` must be module:function of a module that can be imported "
        "(No module named 'no_such_module'). Received: model='…'",
    ),
    "function that is not there": (
        lambda _: mine("nothing"),
        ValueError,
        "`model` must be module:function of a module … has no attribute "
        "'nothing'). Received: model='…:nothing'",
    ),
    "no function": (
        lambda _: mine("no_function"),
        ValueError,
        "`model` must be module:function, something that can be called. "
        "Received: model='…', a int",
    ),
    "function of other arguments": (
        lambda _: mine("of_other_arguments"),
        ValueError,
        "`model` must be a function of the keyword arguments input_shape and "
        "num_classes (…). Received: model='…'",
    ),
    "function that returns a layer": (
        lambda _: mine("returns_a_layer"),
        ValueError,
        "`model` must be a function that returns a Keras model. Received: "
        "model='…', which returns a Dense",
    ),
    "network without a head": (
        lambda _: mine("ends_in_a_map"),
        ValueError,
        "`model` must be a classifier whose last layer can be changed: "
        "model='map', which has GlobalAveragePooling2D … Received: model='…'",
    ),
    "subclassed model of other classes": (
        lambda _: build_network(MINE + "seven_classes", (16, 16, 3), 3),
        ValueError,
        "`model` must give 3 logits: a subclassed model keeps its last "
        "layer. Received: model='…' of output shape (None, 7)",
    ),
    "subclassed model with a softmax": (
        lambda _: mine("subclassed_softmax"),
        ValueError,
        "`model` must end in logits, … has softmax",
    ),
    "surgery on a subclassed model": (
        lambda _: mine("subclassed", activation="silu"),
        ValueError,
        "`activation` must be 'relu' for …, a subclassed model, which has no "
        "graph that could be changed. Received: activation='silu'",
    ),
    "stochastic depth without branches": (
        lambda _: mine("plain", drop_path=0.1),
        ValueError,
        "`drop_path` must be 0 for …: model='plain' with none. Received: "
        "drop_path=0.1",
    ),
    "file of images of another size": (
        lambda path: saved(path, 32),
        ValueError,
        "`image_size` must be that of …model.keras, 32 x 32. Received: "
        "images of 16 x 16",
    ),
    "file of images of other channels": (
        lambda path: saved(path, shape=(16, 16, 1)),
        ValueError,
        "`model` must take images of 1 channels. Received: model='…' of "
        "input shape (None, 16, 16, 3)",
    ),
    "file in another layout": (
        lambda path: saved(path, data_format="channels_first"),
        ValueError,
        "`data_format` must be 'channels_last' for …, which takes images of "
        "shape (None, 16, 16, 3). Received: data_format='channels_first'",
    ),
    "file of another kind": (
        of_another_kind,
        ValueError,
        "`model` must be a .keras file, … (…). Received: model='…'",
    ),
    "application as a teacher without weights": (
        lambda _: load_teacher(
            Recipe(teacher="applications/VGG16"), (32, 32, 3), 3
        ),
        ValueError,
        "`teacher_weights` must be the weights of applications/VGG16. "
        "Received: teacher_weights=None",
    ),
    "application to evaluate without weights": (
        lambda _: evaluation.load_classifier("applications/VGG16"),
        ValueError,
        "`weights` must be given for applications/VGG16. Received: "
        "weights=None",
    ),
    "application for images of one channel": (
        lambda path: training.prepare(
            Recipe(model="applications/MobileNetV3Small"), path
        ),
        ValueError,
        "`model` must be a network for these images … Received: "
        "model='applications/MobileNetV3Small', images of shape (8, 8, 1), …",
    ),
    "a network by no name": (
        lambda _: build_network(None, (32, 32, 3), 3),
        ValueError,
        "`model` must be a string, the name of a network. Received: …=None",
    ),
    "images of one number": (
        lambda _: build_network("applications/VGG16", 32, 3),
        ValueError,
        "`image_shape` must be height, width and channels. Received: …=32",
    ),
}
