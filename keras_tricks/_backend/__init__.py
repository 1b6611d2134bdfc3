"""All that must know which backend runs, and nothing else."""

from keras_tricks._backend.array_families import array_ops as array_ops
from keras_tricks._backend.array_families import as_array as as_array
from keras_tricks._backend.arrays import concrete as concrete
from keras_tricks._backend.arrays import is_symbolic as is_symbolic
from keras_tricks._backend.arrays import is_tf_tensor as is_tf_tensor
from keras_tricks._backend.arrays import on_host as on_host
from keras_tricks._backend.arrays import torch_worker as torch_worker
from keras_tricks._backend.devices import accelerators as accelerators
from keras_tricks._backend.devices import cpus as cpus
from keras_tricks._backend.devices import fastest_settings as fastest_settings
from keras_tricks._backend.devices import has_accelerator as has_accelerator
from keras_tricks._backend.forward import inference as inference
from keras_tricks._backend.forward import no_gradient as no_gradient
from keras_tricks._backend.generators import (
    get_random_state as get_random_state,
)
from keras_tricks._backend.generators import (
    set_random_state as set_random_state,
)
from keras_tricks._backend.labels import check_label_range as check_label_range
from keras_tricks._backend.memory import PeakMemory as PeakMemory
from keras_tricks._backend.memory import free_memory as free_memory
from keras_tricks._backend.memory import is_out_of_memory as is_out_of_memory
from keras_tricks._backend.step_errors import fail_if as fail_if
from keras_tricks._backend.steps import (
    before_compiled_step as before_compiled_step,
)
from keras_tricks._backend.steps import build_steps as build_steps
from keras_tricks._backend.tensorflow_data import (
    import_tensorflow_for_data as import_tensorflow_for_data,
)
from keras_tricks._backend.tensorflow_data import is_tf_dataset as is_tf_dataset
from keras_tricks._backend.variables import VariableGroup as VariableGroup
from keras_tricks._backend.variables import native_variable as native_variable
