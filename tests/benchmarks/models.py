"""Compare the speed of our presets with torchvision's models of the same architecture.

    python -m tests.benchmarks.models --models ssd300-vgg16 --batch 1 --train-batch 4 --rounds 3

Measures a training step, prediction and post-processing. Both models have random weights and get the same images, at
the size of the network, so that neither resizes. They run in one process, in the order A B B A. Prints medians and
torchvision's time divided by ours: above 1 we are faster. On the CPU times are processor time, which other programs
hardly affect; on a GPU they are wall time until the device is done.
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
from torch import nn
from torchvision.models import detection

from detectors.dense import DenseDetector
from detectors.registry import VARIANTS
from detectors.types import DenseOutput, Targets

PRESETS = Path(__file__).resolve().parents[2] / "bench" / "presets"
CLASSES = 80

MODELS: dict[str, tuple[Callable[..., nn.Module], bool, tuple[int, int]]] = {
    "ssd300-vgg16": (detection.ssd300_vgg16, True, (300, 300)),
    "ssdlite320-mobilenet": (detection.ssdlite320_mobilenet_v3_large, True, (320, 320)),
    "retinanet-r50-fpn": (detection.retinanet_resnet50_fpn, False, (320, 320)),
    "fcos-r50-fpn": (detection.fcos_resnet50_fpn, False, (320, 320)),
}
"""Preset to torchvision's model, whether its classes include background, and the (height, width) of the images."""


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS), help="presets")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", nargs="*", type=int, default=[1, 16], help="batch sizes of prediction")
    parser.add_argument("--train-batch", type=int, default=16, help="batch size of training; 0 skips it")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of two measurements of each model")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--compile", action="store_true", help="compile our forward pass for prediction")
    parser.add_argument("--skip-post", action="store_true", help="do not measure post-processing alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    measured = f"seconds, medians of {2 * args.rounds}"
    print(f"torch {torch.__version__}, {args.device}, {args.threads} threads; {measured}")
    for preset in args.models:
        theirs, ours, size = build_pair(preset, args.device)
        if args.train_batch:
            measure_training(preset, theirs, ours, size, args)
        for batch in args.batch:
            measure_prediction(preset, theirs, ours, size, batch, args)
    if not args.skip_post:
        measure_post_processing("ssd300-vgg16", 8732, args)
        measure_post_processing("retinanet-r50-fpn", 100_000, args)


def build_pair(preset: str, device: str) -> tuple[Any, DenseDetector, tuple[int, int]]:
    """Return torchvision's model, ours, and the image size at which neither resizes."""
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


def measure_training(
    preset: str, theirs: Any, ours: DenseDetector, size: tuple[int, int], args: argparse.Namespace
) -> None:
    """Measure a training step: forward, losses, backward, update."""
    batch, device = args.train_batch, args.device
    images = torch.rand(batch, 3, *size, device=device)
    targets = draw_targets(batch, size)
    shift = int(MODELS[preset][1])
    their_targets = [
        {"boxes": target.boxes.to(device), "labels": (target.labels + shift).to(device)} for target in targets
    ]
    their_optimizer, our_optimizer = (
        torch.optim.SGD(model.parameters(), lr=1e-6) for model in (theirs, ours)
    )
    theirs.train(), ours.train()

    def step_theirs() -> None:
        their_optimizer.zero_grad()
        sum(theirs(list(images), their_targets).values()).backward()
        their_optimizer.step()

    def step_ours() -> None:
        our_optimizer.zero_grad()
        total = torch.stack(list(ours.losses(ours(images), targets).values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        our_optimizer.step()

    compare(f"{preset} training step, batch {batch}", step_theirs, step_ours, args)


def measure_prediction(
    preset: str,
    theirs: Any,
    ours: DenseDetector,
    size: tuple[int, int],
    batch: int,
    args: argparse.Namespace,
) -> None:
    """Measure prediction, from images to detections."""
    images = torch.rand(batch, 3, *size, device=args.device)
    theirs.eval(), ours.eval()
    if args.compile:
        ours.forward = torch.compile(ours.forward)  # type: ignore[method-assign]

    @torch.inference_mode()
    def predict_theirs() -> None:
        theirs(list(images))

    compare(f"{preset} prediction, batch {batch}", predict_theirs, lambda: ours.predict(images), args)


def measure_post_processing(preset: str, priors: int, args: argparse.Namespace) -> None:
    """Measure post-processing of one image whose raw output is mostly background, as after training."""
    theirs, ours, size = build_pair(preset, args.device)
    device = args.device
    background = int(MODELS[preset][1])
    generator = torch.Generator().manual_seed(0)
    center = torch.rand(priors, 2, generator=generator) * size[0]
    half = 5 + torch.rand(priors, 2, generator=generator) * 60
    boxes = torch.cat([center - half, center + half], dim=1).to(device)
    logits = torch.randn(1, priors, CLASSES + background, generator=generator).to(device) * 1.5
    if background:
        logits[..., 0] += 8.0
    else:
        logits -= 6.0
    codes = (torch.randn(1, priors, 4, generator=generator) * 0.3).to(device)
    their_output = {"cls_logits": logits, "bbox_regression": codes}
    our_output = DenseOutput(logits, codes, None, boxes, size, levels=(priors,))

    @torch.inference_mode()
    def post_process_theirs() -> None:
        if background:
            theirs.postprocess_detections(their_output, [boxes], [size])
        else:
            levels = {key: [value] for key, value in their_output.items()}
            theirs.postprocess_detections(levels, [[boxes]], [size])

    @torch.inference_mode()
    def post_process_ours() -> None:
        for candidates in ours.decode(our_output):
            ours.nms(candidates)

    name = f"post-processing, {priors} priors x {CLASSES}"
    compare(name, post_process_theirs, post_process_ours, args)


def draw_targets(batch: int, size: tuple[int, int]) -> list[Targets]:
    """Draw seven objects per image, the mean of COCO."""
    generator = torch.Generator().manual_seed(1)
    targets = []
    for _ in range(batch):
        corner = torch.rand(7, 2, generator=generator) * size[0] * 0.7
        sides = 10 + torch.rand(7, 2, generator=generator) * size[0] * 0.25
        boxes = torch.cat([corner, corner + sides], dim=1)
        targets.append(Targets(boxes, torch.randint(0, CLASSES, (7,), generator=generator)))
    return targets


def compare(
    name: str, theirs: Callable[[], object], ours: Callable[[], object], args: argparse.Namespace
) -> None:
    """Call both in turns, after one round to warm up, and print a row with their median times."""
    times: dict[Callable[[], object], list[float]] = {theirs: [], ours: []}
    for number in range(args.rounds + 1):
        for call in (theirs, ours, ours, theirs):
            seconds = measure_seconds(call, args.device)
            if number:
                times[call].append(seconds)
    their_median, our_median = statistics.median(times[theirs]), statistics.median(times[ours])
    ratio = their_median / our_median
    print(
        f"{name:45s} torchvision {their_median:8.4f}  ours {our_median:8.4f}  ratio {ratio:5.2f}", flush=True
    )


def measure_seconds(call: Callable[[], object], device: str) -> float:
    """Processor time of a call on the CPU, wall time on a GPU."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
