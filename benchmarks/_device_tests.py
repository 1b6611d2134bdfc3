"""The section of `accelerator.py` that runs tests on the device."""

import concurrent.futures
import re
import time

from _options import BACKENDS, NO_TIME, ROOT, cards, why
from _processes import run

# By what they touch.
TESTS = {
    "losses": ["losses"],
    "optimizers": ["optimizers"],
    "norms and mixing": ["layers", "surgery/test_batch_norm.py"],
    "averaged weights": ["callbacks/test_exponential_moving_average.py"],
    "mixed precision": [
        "models/test_resnet.py",
        "training/test_build.py",
        "training/test_on_device.py",
        "training/test_xla_steps.py",
        "callbacks/test_loss_scale_logger.py",
    ],
    "backup and resume": [
        "callbacks/test_backup.py",
        "callbacks/test_backup_within_epochs.py",
        "training/test_run.py",
    ],
    "two processes": [
        "training/test_two_processes.py",
        "distribute/test_several_processes.py",
    ],
}
QUICK = {
    "a few": [
        "losses/test_losses.py::test_the_conventions_agree_after_conversion",
        "layers/test_conv_norm.py::test_pools",
        "callbacks/test_exponential_moving_average.py::test_decay",
    ]
}


def tests(options, deadline):
    """Yield counts of the tests that touch kernels, on each backend."""
    groups = QUICK if options.quick else TESTS
    jobs = [(name, b) for name in groups for b in options.few]

    def count(job):
        name, backend = job
        row = {"name": name, "backend": BACKENDS[backend]}
        if name == "two processes" and len(cards()) < 2:
            return row | {"error": "needs two cards"}
        if deadline - time.monotonic() < 5:
            return row | NO_TIME
        command = ["-m", "pytest", "-v", "-p", "no:cacheprovider"]
        command += [f"tests/{path}" for path in groups[name]]
        environment = options.environment(backend)
        return row | count_tests(*run(command, environment, deadline, ROOT))

    with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
        yield from pool.map(count, jobs)


def count_tests(code, text):
    """Return counts, and the names of failures, of what pytest printed."""
    ends = re.findall(
        r"^(tests/.+?::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b",
        text,
        re.MULTILINE,
    )
    collected = re.search(r"collected (\d+) items?", text)
    if collected is None:
        return why(code, text)
    outcome = dict(ends)  # An error after a failure counts once.
    found = {"passed": 0, "failed": 0, "skipped": 0}
    columns = {"PASSED": "passed", "FAILED": "failed", "ERROR": "failed"}
    for end in outcome.values():
        found[columns.get(end, "skipped")] += 1
    found["not_run"] = int(collected[1]) - len(outcome)
    bad = ("FAILED", "ERROR")
    found["failures"] = [name for name, end in outcome.items() if end in bad]
    if found["not_run"] or (code and not found["failures"]):
        found["stopped"] = why(code, text)["error"]
    return found
