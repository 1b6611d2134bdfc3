import atexit
import os
import shutil
import signal
import tempfile

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Else LLVM takes most of the time of JAX's tests, for steps that run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # One for the workers and the processes that tests start: no step is
    # compiled twice. It ends with the session, so nothing can be out of date.
    cache = tempfile.mkdtemp(prefix="jax_cache_")
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# On a GPU: else products of float32 matrices are rounded to 10 bits.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
# Ignored in the background of a shell, and then in all that tests start.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each core: more threads would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# `make test` runs these on one backend. Most compute nothing there: they are
# about files, NumPy, Pillow, reports, recipes and flags. Of the others the
# cases differ in our code, which is the same for all backends; one case that
# is not among these remains to each backend.
ONCE = """\
ablation/test_compare_runs.py
ablation/test_cost.py
ablation/test_designs.py
ablation/test_evidence.py
ablation/test_plan_sweep.py
ablation/test_run_sweep.py
ablation/test_search.py
ablation/test_sweep.py
data/inspection
data/pipeline/engines/test_choose.py
data/pipeline/engines/test_grain_data.py
data/pipeline/test_bad_records.py
data/pipeline/test_read_ahead.py
data/pipeline/test_sample_order.py
data/shards
data/sources
data/transforms/test_aug_mix.py
data/transforms/test_colors.py
data/transforms/test_decode.py
data/transforms/test_erasing.py
data/transforms/test_jitter_and_light.py
data/transforms/test_jpeg_header.py
data/transforms/test_letterbox.py
data/transforms/test_policies.py
data/transforms/test_preprocessing.py
data/transforms/test_random_crops.py
distribute/test_loopback.py
distribute/test_select.py
distribute/test_together.py
models/test_families.py::test_defaults
models/test_families.py::test_drop_path_grows
models/test_families.py::test_frozen_norms_stay_frozen[inception_v3
models/test_families.py::test_frozen_norms_stay_frozen[mobilenet
models/test_families.py::test_low_precision[inception_v3
models/test_families.py::test_low_precision[resnet18_d
models/test_families.py::test_mistakes
models/test_families.py::test_parameters
models/test_families.py::test_pyramid_shapes
models/test_families.py::test_trains_and_survives_saving[inception_v3
models/test_families.py::test_trains_and_survives_saving[mobilenet
models/test_families.py::test_without_the_top[None
models/test_families.py::test_without_the_top[avg
models/test_families.py::test_without_the_top[max-inception_v3
models/test_families.py::test_without_the_top[max-mobilenet
models/test_output_stride.py
models/test_resnet.py::test_default_input_shapes
models/test_resnet.py::test_features[None
models/test_resnet.py::test_features[avg
models/test_resnet.py::test_mistakes
models/test_resnet.py::test_mixed_precision[mixed_bfloat16]
models/test_resnet.py::test_multiply_accumulates
models/test_resnet.py::test_parameters
models/test_resnet.py::test_smallest_images
models/test_torch_parity.py::test_full_width[inception_v3
models/test_torch_parity.py::test_full_width[mobilenet
models/test_torch_parity.py::test_full_width[resnet50d-channels_first
models/test_torch_parity.py::test_logits[resnet152d]
models/test_torch_parity.py::test_logits[resnet34d]
models/test_torch_parity.py::test_logits[resnet50a]
models/test_torch_parity.py::test_logits[resnet50c]
models/weights/test_imagenet.py
models/weights/test_keras_applications.py::test_keras_resnet
models/weights/test_load_weights_from.py::test_gluon
models/weights/test_load_weights_from.py::test_timm[inception_v3]
models/weights/test_load_weights_from.py::test_timm[mobilenet
models/weights/test_load_weights_from.py::test_timm[resnet18
models/weights/test_load_weights_from.py::test_timm[resnet34d]
models/weights/test_load_weights_from.py::test_timm[resnet50]
models/weights/test_load_weights_from.py::test_timm[resnet50c]
models/weights/test_load_weights_from.py::test_torchvision_is_asked_for
models/weights/test_save_weights_as.py::test_there_and_back
models/weights/test_what_does_not_fit.py
networks/test_any_network_table.py
networks/test_build_network.py::test_a_module
networks/test_build_network.py::test_a_name_says
networks/test_build_network.py::test_an_application_gets
networks/test_build_network.py::test_every_application
networks/test_build_network.py::test_keras_hub_may
networks/test_build_network.py::test_names_of_imagenet
networks/test_build_network.py::test_what_an_application
recipes/test_ablate.py
recipes/test_check_data.py
recipes/test_compare_distillation.py
recipes/test_evaluate.py::test_a_mistake
recipes/test_evaluate.py::test_a_table_names_classes
recipes/test_evaluate.py::test_an_evaluation_counts
recipes/test_launch.py
recipes/test_make_records.py
recipes/test_one_line.py
recipes/test_output_streams.py
recipes/test_recipes.py
recipes/test_train.py::test_a_
recipes/test_train.py::test_an_unknown_backend
recipes/test_train.py::test_every_field
recipes/test_train.py::test_flags_win
recipes/test_train.py::test_none_is_said
recipes/test_train.py::test_the_
recipes/test_train.py::test_training_writes_a_report
recipes/test_train.py::test_two_starts
report/test_comparison_report.py
report/test_contrasts.py
report/test_data_report.py
report/test_evaluation_report.py
report/test_multi_label_report.py
report/test_run_folder.py
report/test_run_report.py
report/test_sequential.py
report/test_statistics.py
surgery/test_batch_norm.py::test_swapped_norms_compute_the_same[EfficientNetB0
surgery/test_batch_norm.py::test_swapped_norms_compute_the_same[ResNet50
surgery/test_variant.py::test_computes_what_our_network_of_the_variant_does[B
surgery/test_variant.py::test_computes_what_our_network_of_the_variant_does[C
test_accelerator.py
test_changed.py
test_docs.py::test_links
test_docs.py::test_python_blocks_run[README
test_docs.py::test_python_blocks_run[docs/distillation_guide
test_docs.py::test_python_blocks_run[docs/evaluate
test_docs.py::test_python_blocks_run[docs/models
test_docs.py::test_python_blocks_run[docs/surgery
test_docs.py::test_the_
test_docstrings.py::test_examples[keras_tricks.ablation
test_docstrings.py::test_examples[keras_tricks.evaluation
test_docstrings.py::test_examples[keras_tricks.export
test_docstrings.py::test_examples[keras_tricks.models.inception
test_docstrings.py::test_examples[keras_tricks.models.mobilenet
test_docstrings.py::test_examples[keras_tricks.models.resnet_variants
test_docstrings.py::test_examples[keras_tricks.networks
test_docstrings.py::test_examples[keras_tricks.recipe
test_docstrings.py::test_examples[keras_tricks.report
test_docstrings.py::test_examples[keras_tricks.training
test_docstrings.py::test_public_objects
test_files.py
test_image_size.py
test_imports.py::test_a_room_loads
test_imports.py::test_a_saved_model_loads
test_imports.py::test_the_package_waits
test_lock.py
test_mistakes.py::test_a_flag
test_mistakes.py::test_a_wrong_flag
test_signals.py
test_text.py
test_untrusted.py
training/test_class_balance.py
training/test_features.py::test_a_stopped_run_continues_bit_for_bit[at0
training/test_features.py::test_the_result_is_that_of_the_whole_network[float32
training/test_fine_tuning.py::test_evaluation_sees
training/test_fine_tuning.py::test_predictions_need
training/test_freezing.py::test_a_stopped_run_continues_bit_for_bit[float32
training/test_freezing.py::test_rates_by_depth_are_explained
training/test_freezing.py::test_rates_by_depth_are_those_of_what_trains[sgd
training/test_imbalanced_benchmark.py
training/test_interruption.py
training/test_networks.py::test_a_function_is_a_teacher
training/test_networks.py::test_an_application_is_evaluated
training/test_networks.py::test_an_interrupted_run
training/test_networks.py::test_it_trains_and_is_evaluated_on_the_same_images[normalized
training/test_networks.py::test_it_trains_and_is_evaluated_on_the_same_images[plain
training/test_networks.py::test_the_layers_of_a_file
training/test_run.py::test_a_killed_run_continues_bit_for_bit[b
training/test_run.py::test_a_killed_run_continues_bit_for_bit[with
training/test_run.py::test_another_recipe
training/test_run.py::test_every_file_holds
training/test_run.py::test_the_last_good_backup
training/test_streams.py::test_an_interrupted_run_continues_bit_for_bit[everything]
training/test_streams.py::test_an_interrupted_run_continues_bit_for_bit[plain]
training/test_streams.py::test_bad_records
training/test_streams.py::test_the_saved_run
""".splitlines()  # noqa: E501


def pytest_configure(config):
    text = "once: computes nothing on the backend, so that one is enough"
    config.addinivalue_line("markers", text)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks what is `ONCE` before pytest selects by its option `-m`."""
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(tuple(ONCE)):
            item.add_marker("once")


@pytest.fixture
def numpy_kernels(monkeypatch):
    """Random kernels of NumPy: JAX compiles a program for each shape."""
    import keras

    def draw(self, shape, dtype=None):
        limit = (6 / np.prod(shape[:-1])) ** 0.5
        rng = np.random.default_rng(self.seed)
        return rng.uniform(-limit, limit, shape).astype(dtype or "float32")

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", draw)
