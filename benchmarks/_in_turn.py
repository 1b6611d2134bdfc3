"""Sections of `accelerator.py` whose contenders take turns.

Each has a process of its own, which waits while another one measures.
"""

import concurrent.futures
import itertools
import os
import random
import statistics
import time

from _options import BACKENDS, share
from _processes import Failed, Worker

MODULE = "_contenders"
"""Whose `make` returns what is measured; it is never imported here."""


def contenders(options):
    """Return backend and kind by name."""
    found = {f"ours, {BACKENDS[b]}": (b, "ours") for b in options.backends}
    if "torch" in options.backends:
        found["timm, eager"] = "torch", "timm"
        found["timm, compiled"] = "torch", "timm compiled"
    for backend in options.backends:
        name = f"keras.applications, {BACKENDS[backend]}"
        found[name] = backend, "applications"
    wanted = options.only or [""]
    return {
        name: how
        for name, how in found.items()
        if any(part in name for part in wanted)
    }


def speed(options, deadline):
    """Yield images/s of each contender, all of them in turn."""
    cases = itertools.product(reversed(options.batch_sizes), options.precisions)
    for batch_size, precision in cases:
        shared = {"precision": precision, "batch_size": batch_size}
        case = shared | {"quick": options.quick}
        kinds = {
            name: (backend, {"kind": kind, **case})
            for name, (backend, kind) in contenders(options).items()
        }
        results = _in_turn(options, kinds, 2 if options.quick else 5, deadline)
        for name, result in results.items():
            row = {"name": name, **shared}
            if "rounds" in result:
                steps = [one["step"] for one in result.pop("rounds")]
                rates = [batch_size / step for step in steps]
                row["images_per_second"] = statistics.median(rates)
                row |= {"rates": rates, "lowest": min(rates)}
                row["highest"] = max(rates)
                row |= _ratios(name, rates, results, batch_size)
                if "copy" in result:
                    step = statistics.median(steps)
                    row["copy_share"] = result["copy"] / step
            yield row | result


def _ratios(name, rates, results, batch_size):
    """Return the medians of the ratios to the peers, round by round."""
    backend = name.rpartition(", ")[2]
    peers = {
        "to_applications": f"keras.applications, {backend}",
        "to_timm": "timm, eager",
    }
    ratios = {}
    for key, peer in peers.items():
        rounds = results.get(peer, {}).get("kept")
        if peer != name and rounds:
            pairs = zip(rates, rounds, strict=False)
            each = [rate * one["step"] / batch_size for rate, one in pairs]
            ratios[key] = statistics.median(each)
    return ratios


def _in_turn(options, kinds, rounds, deadline):
    """Return what each worker found, in rounds of all of them.

    Args:
        options: The options.
        kinds: Backend and arguments of a worker by name.
        rounds: How many rounds.
        deadline: End of all; 0.7 of the time until then is for building.

    Returns:
        By name what it found: `rounds`, and the facts, or `error`.
    """
    now = time.monotonic()
    built_by = now + 0.7 * (deadline - now)
    results = {name: {} for name in kinds}
    workers = {}

    def build(name):
        backend, arguments = kinds[name]
        if time.monotonic() > built_by - 1:
            results[name]["error"] = "no time left"
            return
        environment = options.environment(backend)
        worker = Worker(MODULE, environment, arguments)
        workers[name] = worker
        ask(name, lambda: worker.wait(built_by))

    def ask(name, question):
        try:
            return question()
        except Failed as error:
            results[name]["error"] = str(error)
            workers.pop(name).stop()

    try:
        with concurrent.futures.ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(build, kinds))
        order = random.Random(0)
        for _ in range(rounds):
            for name in order.sample(sorted(workers), len(workers)):
                worker = workers[name]
                found = ask(name, lambda w=worker: w.call("round", deadline))
                if found is not None:
                    results[name].setdefault("rounds", []).append(found)
        for name in list(workers):
            worker = workers[name]
            limit = max(deadline, time.monotonic() + 5)
            facts = ask(name, lambda w=worker, t=limit: w.call("facts", t))
            results[name] |= facts or {}
            if options.profile and name == "ours, PyTorch":
                print(ask(name, lambda w=worker, t=limit: w.call("profile", t)))
    finally:
        for worker in workers.values():
            worker.stop()
    for result in results.values():
        result["kept"] = result.get("rounds")
    return results


def files(options, deadline):
    """Yield whether a step waits for JPEG files."""
    folder = options.folder / "jpegs"
    count, links = (8, 1) if options.quick else (128, 32)
    make_jpegs(folder, count, links)
    # The first case of the speed, which JAX need not compile again.
    batch_size = options.batch_sizes[-1]
    shared = {"precision": options.precisions[0], "batch_size": batch_size}
    case = shared | {"kind": "input", "quick": options.quick}
    case["folder"] = str(folder)
    for index, backend in enumerate(options.few):
        row = {"name": BACKENDS[backend], **shared}
        end = share(deadline, len(options.few) - index)
        rounds = 1 if options.quick else 3
        found = _in_turn(options, {"": (backend, case)}, rounds, end)[""]
        for key in ("same", "files", "alone") if "rounds" in found else ():
            each = [batch_size / one[key] for one in found["rounds"]]
            row[key] = statistics.median(each)
        if "rounds" in found:
            each = [1 - one["same"] / one["files"] for one in found["rounds"]]
            row["waits"] = max(0, statistics.median(each))
        yield row | found


def make_jpegs(folder, count, links):
    """Write photograph-like JPEGs of two classes, each `links` times."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(count):
        to = folder / f"class{index % 2}"
        to.mkdir(parents=True, exist_ok=True)
        sides = rng.integers(300, 500, 2)
        coarse = rng.integers(0, 256, (12, 16, 3), "uint8")
        image = Image.fromarray(coarse).resize(sides, Image.Resampling.BICUBIC)
        noise = rng.normal(0, 12, (*sides[::-1], 3))
        pixels = np.clip(np.asarray(image) + noise, 0, 255).astype("uint8")
        first = to / f"{index}_0.jpg"
        Image.fromarray(pixels).save(first, quality=90)
        for link in range(1, links):
            os.link(first, to / f"{index}_{link}.jpg")
