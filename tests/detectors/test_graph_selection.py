"""Selection and NMS inside a graph keep the detections that the program's own NMS keeps."""

from __future__ import annotations

import warnings

import pytest
import torch
from agreement import assert_same_detections

from detectors.candidates import CandidatesConfig, select_candidates, split_by_image
from detectors.graph.operators import nms_mask, pool_regions
from detectors.graph.selection import GraphCandidates, GraphNMS
from detectors.nms import NMS, NMSConfig
from detectors.types import Detections
from metrics.errors import InputError

LEVELS = (70, 30, 12)
CLASSES = 4


def some_candidates(own_boxes: bool = False, ties: bool = False) -> GraphCandidates:
    """Overlapping boxes of three images, with many scores below the threshold; some are equal if `ties`."""
    draw = torch.Generator().manual_seed(4)
    priors = sum(LEVELS)
    shape = (3, priors, CLASSES, 4) if own_boxes else (3, priors, 4)
    corner = 40 * torch.rand(*shape[:-1], 2, generator=draw)
    boxes = torch.cat([corner, corner + 8 + 20 * torch.rand(corner.shape, generator=draw)], dim=-1)
    scores = torch.rand(3, priors, CLASSES, generator=draw) ** 3
    if ties:  # torch's topk takes any of them, ONNX's the first, as the program does
        scores = (20 * scores).round() / 20
    scores[2] = 0  # an image without candidates
    return GraphCandidates(boxes, scores, LEVELS)


def expected(found: GraphCandidates, candidates: CandidatesConfig, nms: NMSConfig) -> list[Detections]:
    """By the parts that evaluation uses."""
    chosen = select_candidates(found.scores, found.levels, min(candidates.score, nms.score), candidates)
    index = (chosen.image, chosen.prior, chosen.label)[: found.boxes.ndim - 1]
    return [NMS(nms)(each) for each in split_by_image(chosen, found.boxes[index], len(found.scores))]


def unpadded(outputs, image: int) -> Detections:
    boxes, scores, labels = (torch.as_tensor(each)[image] for each in outputs)
    real = labels >= 0
    assert (scores[~real] == 0).all()
    assert (boxes[~real] == 0).all()
    return Detections(boxes[real], scores[real], labels[real])


SETTINGS = [
    ({}, {}),
    ({"top_k": 20}, {}),
    ({"top_k": 20, "per": "class"}, {"iou": 0.3}),
    ({"top_k": 50, "per": "image"}, {"max_dets": 7}),
    ({}, {"agnostic": True}),
    ({}, {"agnostic": True, "top_k": 30, "max_dets": 9}),
    ({}, {"top_k": 40}),
    ({}, {"method": "none", "max_dets": 25}),
    ({}, {"score": 0.4}),
]


@pytest.mark.parametrize("own_boxes", [False, True])
@pytest.mark.parametrize(("candidates", "nms"), SETTINGS)
def test_the_same_detections_as_by_selection_and_nms(candidates, nms, own_boxes):
    selection, suppression = CandidatesConfig(**candidates), NMSConfig(**nms)
    found = some_candidates(own_boxes)
    outputs = GraphNMS(selection, suppression)(found)
    for image, own in enumerate(expected(found, selection, suppression)):
        actual = unpadded(outputs, image)
        assert len(actual.scores) == len(own.scores)
        assert_same_detections(actual, own)
        assert actual.scores.tolist() == own.scores.tolist()
    assert (outputs.labels[2] == -1).all()


def test_it_depends_on_every_setting():
    found = some_candidates()
    results = {
        str(GraphNMS(CandidatesConfig(**candidates), NMSConfig(**nms))(found).boxes.double().sum().item())
        for candidates, nms in SETTINGS
    }
    assert len(results) == len(SETTINGS)


@pytest.mark.parametrize("method", ["diou", "soft_linear", "soft_gaussian"])
def test_a_method_without_an_operator_is_an_error(method):
    with pytest.raises(InputError, match=rf"nms.method: {method} has no ONNX operator; export without --nms"):
        GraphNMS(CandidatesConfig(), NMSConfig(method=method))


def test_a_region_that_is_not_chosen_has_zeros():
    feature = torch.rand(2, 3, 8, 8)
    boxes = torch.tensor([[0.0, 0, 32, 32], [0, 0, 16, 48]])
    pooled = pool_regions(
        feature, boxes, torch.tensor([0, 1]), torch.tensor([False, True]), 2, 1 / 8, 2, True
    )
    assert (pooled[0] == 0).all()
    assert (pooled[1] > 0).all()


class Everything(torch.nn.Module):
    """Both kinds of NMS and of pooling in one graph, so that one export tests all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.by_class = GraphNMS(*BY_CLASS)
        self.agnostic = GraphNMS(*AGNOSTIC)

    def forward(self, boxes, own_boxes, scores, feature, rows, image):
        level = torch.arange(rows.shape[0]) % 2
        pooled = [pool_regions(feature, rows, image, level == k, 3, 0.25, k, k == 0) for k in range(2)]
        return (
            *self.by_class(GraphCandidates(boxes, scores, LEVELS)),
            *self.agnostic(GraphCandidates(own_boxes, scores, LEVELS)),
            torch.stack(pooled).sum(dim=0),
            nms_mask(boxes, scores.transpose(1, 2).contiguous(), 5, 0.5, 1.0),
        )


BY_CLASS = CandidatesConfig(top_k=20), NMSConfig()
AGNOSTIC = CandidatesConfig(per="class", top_k=15), NMSConfig(agnostic=True, max_dets=30)


def test_onnx_operators_compute_the_same_with_equal_scores():
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")
    pytest.importorskip("onnxscript", reason="onnxscript is absent: pip install detbench[onnx]")
    from detectors.graph.translation import OPSET, translations

    found = some_candidates(ties=True)
    own = some_candidates(own_boxes=True)._replace(scores=found.scores)
    draw = torch.Generator().manual_seed(1)
    corner = 20 * torch.rand(6, 2, generator=draw)
    rows, image = torch.cat([corner, corner + 10], dim=1), torch.tensor([0, 0, 1, 2, 2, 1])
    feature = torch.rand(3, 5, 9, 9, generator=draw)
    inputs = (found.boxes, own.boxes, found.scores, feature, rows, image)
    module = Everything().eval()
    names = ["boxes", "own_boxes", "scores", "feature", "rows", "image"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own code
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            input_names=names,
            opset_version=OPSET,
            custom_translation_table=translations(),
            verbose=False,
            external_data=False,
        )
    session = ort.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    outputs = session.run(None, {name: each.numpy() for name, each in zip(names, inputs, strict=True)})
    for columns, candidates, settings in (
        (outputs[:3], found, BY_CLASS),
        (outputs[3:6], own, AGNOSTIC),
    ):
        for number, wanted in enumerate(expected(candidates, *settings)):
            actual = unpadded(columns, number)
            assert actual.labels.tolist() == wanted.labels.tolist()
            assert actual.scores.tolist() == wanted.scores.tolist()
            assert actual.boxes.tolist() == wanted.boxes.tolist()
    torch.testing.assert_close(torch.from_numpy(outputs[6]), module(*inputs)[6], rtol=0, atol=1e-5)
    assert outputs[7].sum() == 0  # no score is above 1
