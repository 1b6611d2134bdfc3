import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Else LLVM takes most of the time of JAX's tests, for steps that run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# On a GPU: else products of float32 matrices are rounded to 10 bits.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each core: more threads would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
