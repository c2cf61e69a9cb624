"""Our presets beside torchvision's models of the same architecture: training step, prediction, post-processing.

    python -m tests.benchmarks.models [--models ssd300-vgg16 ...] [--device cpu|cuda] [--batch 1 16]
        [--train-batch 16] [--rounds 5] [--threads 1] [--compile] [--skip-post]

Both have random weights and the same images, at the network's own size, so that neither resizes; they take turns in
the order A B B A, in one process. Printed are medians and theirs over ours: above 1 we are faster. On the CPU the time
is the process's own, which other load on the machine does not lengthen; on a GPU it is the wall's, with the device
waited for. `--compile` compiles our forward pass, for prediction.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection

from detectors.dense import DenseDetector
from detectors.registry import VARIANTS
from detectors.types import DenseOutput, Targets

PRESETS = Path(__file__).resolve().parents[2] / "bench" / "presets"
CLASSES = 80

# preset: torchvision's model, whether it counts background, and the (height, width) to measure at
MODELS: dict[str, tuple[Callable[..., nn.Module], bool, tuple[int, int]]] = {
    "ssd300-vgg16": (detection.ssd300_vgg16, True, (300, 300)),
    "ssdlite320-mobilenet": (detection.ssdlite320_mobilenet_v3_large, True, (320, 320)),
    "retinanet-r50-fpn": (detection.retinanet_resnet50_fpn, False, (320, 320)),
    "fcos-r50-fpn": (detection.fcos_resnet50_fpn, False, (320, 320)),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--train-batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--skip-post", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {given.device}, {given.threads} threads; seconds, medians of {2 * given.rounds}"
    )
    for preset in given.models:
        theirs, ours, size = pair(preset, given.device)
        if given.train_batch:
            train(preset, theirs, ours, size, given)
        for batch in given.batch:
            predict(preset, theirs, ours, size, batch, given)
    if not given.skip_post:
        post_processing("ssd300-vgg16", 8732, given)
        post_processing("retinanet-r50-fpn", 100_000, given)


def pair(preset: str, device: str) -> tuple[Any, DenseDetector, tuple[int, int]]:
    """Torchvision's model and ours, and the image size at which neither resizes."""
    make, background, size = MODELS[preset]
    theirs: Any = make(weights=None, weights_backbone=None, num_classes=CLASSES + background)
    if theirs.transform.fixed_size is None:
        theirs.transform.min_size, theirs.transform.max_size = (min(size),), max(size)
    tree = tomllib.loads((PRESETS / f"{preset}.toml").read_text())
    variant = VARIANTS[tree["variant"]]
    settings = {key: value for key, value in tree.items() if key in variant.config.model_fields}
    ours = variant.build(variant.config.model_validate(settings), CLASSES)
    assert isinstance(ours, DenseDetector)
    return theirs.to(device), ours.to(device), size


def train(
    preset: str, theirs: Any, ours: DenseDetector, size: tuple[int, int], given: argparse.Namespace
) -> None:
    """One step: forward, losses, backward, update; seven objects an image."""
    batch, device = given.train_batch, given.device
    images = torch.rand(batch, 3, *size, device=device)
    boxes, labels = objects(batch, size)
    shift = int(MODELS[preset][1])
    dicts = [
        {"boxes": b.to(device), "labels": (c + shift).to(device)} for b, c in zip(boxes, labels, strict=True)
    ]
    targets = [Targets(b, c) for b, c in zip(boxes, labels, strict=True)]
    updates = [torch.optim.SGD(model.parameters(), lr=1e-6) for model in (theirs, ours)]
    theirs.train(), ours.train()

    def step_theirs() -> None:
        updates[0].zero_grad()
        sum(theirs(list(images), dicts).values()).backward()
        updates[0].step()

    def step_ours() -> None:
        updates[1].zero_grad()
        total = torch.stack(list(ours.losses(ours(images), targets).values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        updates[1].step()

    show(f"{preset} train step, batch {batch}", *in_turn(step_theirs, step_ours, given))


def predict(
    preset: str,
    theirs: Any,
    ours: DenseDetector,
    size: tuple[int, int],
    batch: int,
    given: argparse.Namespace,
) -> None:
    """Images in, detections out."""
    images = torch.rand(batch, 3, *size, device=given.device)
    theirs.eval(), ours.eval()
    if given.compile:
        ours.forward = torch.compile(ours.forward)  # type: ignore[method-assign]

    @torch.inference_mode()
    def predict_theirs() -> None:
        theirs(list(images))

    show(f"{preset} predict, batch {batch}", *in_turn(predict_theirs, lambda: ours.predict(images), given))


def post_processing(preset: str, priors: int, given: argparse.Namespace) -> None:
    """Raw output in, detections out, of one image: mostly background, as after training."""
    theirs, ours, size = pair(preset, given.device)
    device = given.device
    background = int(MODELS[preset][1])
    draw = torch.Generator().manual_seed(0)
    centre, half = (
        torch.rand(priors, 2, generator=draw) * size[0],
        5 + torch.rand(priors, 2, generator=draw) * 60,
    )
    boxes = torch.cat([centre - half, centre + half], dim=1).to(device)
    logits = torch.randn(1, priors, CLASSES + background, generator=draw).to(device) * 1.5
    if background:
        logits[..., 0] += 8.0
    else:
        logits -= 6.0
    codes = (torch.randn(1, priors, 4, generator=draw) * 0.3).to(device)
    whole = {"cls_logits": logits, "bbox_regression": codes}
    levels = (priors,)

    @torch.inference_mode()
    def post_theirs() -> None:
        if background:
            theirs.postprocess_detections(whole, [boxes], [size])
        else:
            theirs.postprocess_detections({key: [value] for key, value in whole.items()}, [[boxes]], [size])

    @torch.inference_mode()
    def post_ours() -> None:
        output = DenseOutput(logits, codes, None, boxes, size, levels)
        [ours.nms(candidates) for candidates in ours.decode(output)]

    show(f"post-processing, {priors} priors x {CLASSES}", *in_turn(post_theirs, post_ours, given))


def objects(batch: int, size: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
    """Seven boxes an image, as COCO has on average."""
    draw = torch.Generator().manual_seed(1)
    boxes, labels = [], []
    for _ in range(batch):
        low = torch.rand(7, 2, generator=draw) * size[0] * 0.7
        boxes.append(torch.cat([low, low + 10 + torch.rand(7, 2, generator=draw) * size[0] * 0.25], dim=1))
        labels.append(torch.randint(0, CLASSES, (7,), generator=draw))
    return boxes, labels


def in_turn(
    a: Callable[[], object], b: Callable[[], object], given: argparse.Namespace
) -> tuple[float, float]:
    """Median seconds of each, after one round that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(given.rounds + 1):
        for which, call in ((0, a), (1, b), (1, b), (0, a)):
            seconds = timed(call, given.device)
            if turn:
                times[which].append(seconds)
    return statistics.median(times[0]), statistics.median(times[1])


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds that a call takes: the process's own on the CPU, the wall's on a device."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def show(what: str, theirs: float, ours: float) -> None:
    """One row."""
    print(f"{what:45s} torchvision {theirs:8.4f}  ours {ours:8.4f}  ratio {theirs / ours:5.2f}", flush=True)


if __name__ == "__main__":
    main()
