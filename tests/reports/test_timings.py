"""Timing files on disk and statistics of their samples, against known times."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from scipy.stats.mstats import mquantiles
from synthetic_runs import run_in, truth_of
from synthetic_timings import MACHINE, samples_of, timing_in

from metrics.errors import InputError
from reports.analysis.timing_statistics import batch_run, least_samples, process_percentiles, stage_times
from reports.records.timing import FILE, SAMPLES, Machine, Timing, load_samples, load_timing, save_timing


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    run = run_in(tmp_path_factory.mktemp("runs") / "r", truth_of(4, ["a"]), "ssd", 0.7)
    return run, timing_in(run, 20.0)


def test_a_timing_survives_writing_and_reading(timed):
    run, timing = timed
    assert load_timing(run.path) == timing
    samples = load_samples(run.path)
    before = (run.path / FILE).read_bytes(), (run.path / SAMPLES).read_bytes()
    save_timing(run.path, timing, samples)
    assert before == ((run.path / FILE).read_bytes(), (run.path / SAMPLES).read_bytes())
    pd.testing.assert_frame_equal(samples, samples_of(20.0))


def test_a_run_that_was_not_timed_has_no_timing(tmp_path):
    assert load_timing(tmp_path) is None
    assert load_timing(None) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, r"has schema version 3, .* reads up to version 2; upgrade detbench"),
        (
            {"schema_version": 1},
            r"has schema version 1, .* reads version 2 only; time the run again with python -m",
        ),
        ({"schema_version": None}, "expected a whole number, got None"),
        ({"speed": 3}, "speed: Extra inputs are not permitted; .* time the run again with python -m bench"),
        ({"machine": {}}, "machine.cpu: Field required"),
    ],
)
def test_a_newer_or_damaged_timing_is_refused(timed, tmp_path, change, message):
    document = json.loads(timed[1].to_json()) | change
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        load_timing(tmp_path)


def test_an_unknown_stage_is_refused(timed, tmp_path):
    document = json.loads(timed[1].to_json())
    document["stages"][0]["stage"] = "<script>"
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"stages\.0\.stage: Input should be 'decode'"):
        load_timing(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("process,round\n0,0\n", "has no column iteration, mode, batch, stage, ns, image"),
        ("\x00\xff", "cannot be read"),
        ("process,round,iteration,mode,batch,stage,ns,image\n0,0,0,real,1,decode,,1\n", "cannot be read"),
        (
            "process,round,iteration,mode,batch,stage,ns,image\n0,0,0,real,1,decode,0,1\n",
            "expected times above 0",
        ),
    ],
)
def test_damaged_samples_are_refused(tmp_path, text, message):
    (tmp_path / SAMPLES).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        load_samples(tmp_path)
    (tmp_path / SAMPLES).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_samples(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 3}, {"governor": "powersave"}, {"device": "Example GPU"}, {"packages": {"torch": "2.11.0"}},
        {"numerics": {"tf32": "yes"}}, {"driver": "1.0"}, {"power_limit": "300 W"},
    ],
)  # fmt: skip
def test_everything_that_affects_speed_changes_the_fingerprint(change):
    other = Machine(**(MACHINE.model_dump() | change))
    assert other.fingerprint != MACHINE.fingerprint
    assert Machine(**MACHINE.model_dump()).fingerprint == MACHINE.fingerprint


def test_throughput_is_total_images_by_total_time():
    ms = [10.0] * 9 + [910.0]
    rows = [(0, k // 5, k, "real", 1, "end_to_end", round(t * 1e6), "1") for k, t in enumerate(ms)]
    samples = pd.DataFrame(rows, columns=list(samples_of(1.0).columns))
    assert batch_run(samples, 1).images_per_second == pytest.approx(10.0)
    assert stage_times(samples)[0].median_ms == pytest.approx(10.0)


def test_throughput_counts_images_and_that_of_the_detector_excludes_reading():
    rows = []
    for k in range(6):
        stages = {
            "decode": 300.0,
            "preprocess": 100.0,
            "forward": 80.0,
            "postprocess": 20.0,
            "end_to_end": 500.0,
        }
        rows += [(0, k, 0, "real", 4, stage, round(ms * 1e6), "1") for stage, ms in stages.items()]
    samples = pd.DataFrame(rows, columns=list(samples_of(1.0).columns))
    run = batch_run(samples, 4)
    assert run.images_per_second == pytest.approx(8.0)
    assert run.detector_images_per_second == pytest.approx(40.0)
    assert (run.low, run.high) == (None, None)  # one process
    assert batch_run(samples, 2).images_per_second is None


def test_throughput_and_its_interval_have_processes_as_units():
    columns = list(samples_of(1.0).columns)
    each_ms = {0: [10.0, 30.0], 1: [25.0], 2: [16.0, 16.0, 16.0]}  # 50, 40 and 62.5 images per second
    rows = [
        (process, 0, k, "real", 1, "end_to_end", round(1e6 * ms), "1")
        for process, of in each_ms.items()
        for k, ms in enumerate(of)
    ]
    run = batch_run(pd.DataFrame(rows, columns=columns), 1)
    reference = ttest_1samp(np.log([50.0, 40.0, 62.5]), 0).confidence_interval()
    assert run.images_per_second == pytest.approx(np.cbrt(50 * 40 * 62.5))
    assert (run.low, run.high) == (
        pytest.approx(np.exp(reference.low)),
        pytest.approx(np.exp(reference.high)),
    )


def test_percentiles_with_too_few_samples_are_none():
    few = stage_times(samples_of(5.0, processes=1, rounds=1, iterations=5, batches=()))
    assert {p.value_ms for stage in few for p in stage.percentiles} == {None}
    some = next(
        s for s in stage_times(samples_of(5.0, iterations=4)) if (s.mode, s.stage) == ("real", "decode")
    )
    assert some.samples == 48
    assert some.percentile(0.9).value_ms is not None
    assert (some.percentile(0.99).value_ms, some.percentile(0.99).least) == (None, 368)
    many = stage_times(samples_of(5.0, iterations=40))[0]
    last = many.percentile(0.99)
    assert last.low_ms < last.value_ms <= last.high_ms


def test_every_process_needs_enough_samples_for_a_percentile_within_them():
    assert [least_samples(p, 3) for p in (0.5, 0.9, 0.99)] == [6, 36, 368]
    assert [least_samples(p, 10) for p in (0.5, 0.9, 0.99)] == [10, 70, 670]
    for p, least in ((0.9, 7), (0.99, 67)):
        # With fewer, definition 8 would have to extrapolate beyond the largest sample.
        position = (least + 1 / 3) * p + 1 / 3
        assert position <= least
        assert (least - 1 + 1 / 3) * p + 1 / 3 > least - 1


def test_the_summary_is_that_of_the_processes():
    samples = samples_of(5.0)
    got = next(s for s in stage_times(samples) if (s.mode, s.batch, s.stage) == ("real", 1, "forward"))
    rows = samples[(samples["mode"] == "real") & (samples["batch"] == 1) & (samples["stage"] == "forward")]
    ms = np.sort(rows["ns"].to_numpy() / 1e6)
    assert got.samples == len(ms) == 120
    medians = [np.median(of) / 1e6 for _, of in rows.groupby("process")["ns"]]
    assert got.median_ms == pytest.approx(np.exp(np.mean(np.log(medians))))
    reference = ttest_1samp(np.log(medians), 0).confidence_interval()
    middle = got.percentile(0.5)
    assert (middle.low_ms, middle.high_ms) == pytest.approx(np.exp([reference.low, reference.high]))
    assert got.mean_ms == pytest.approx(ms.mean())
    assert (got.quartile_low_ms, got.quartile_high_ms) == (ms[29], ms[89])
    assert got.outliers == 0


def test_a_single_process_has_values_without_intervals():
    (whole,) = [
        s for s in stage_times(samples_of(5.0, processes=1, iterations=100, batches=()))
        if (s.mode, s.stage) == ("real", "end_to_end")
    ]  # fmt: skip
    assert all(one.value_ms for one in whole.percentiles)
    assert {(one.low_ms, one.high_ms) for one in whole.percentiles} == {(None, None)}


def test_percentiles_of_processes_are_scipys_median_unbiased_quantiles():
    rng = np.random.default_rng(0)
    ms, process = rng.gamma(2, 1, 300), rng.integers(4, 7, 300)
    for p in (0.5, 0.9, 0.99):
        expected = [mquantiles(ms[process == one], [p], 1 / 3, 1 / 3)[0] for one in (4, 5, 6)]
        assert process_percentiles(ms, process, p) == pytest.approx(np.array(expected))


def test_one_pause_is_an_outlier():
    samples = samples_of(5.0)
    samples.loc[(samples["stage"] == "decode").idxmax(), "ns"] *= 50
    decode = next(s for s in stage_times(samples) if (s.mode, s.stage) == ("real", "decode"))
    assert decode.outliers == 1


@pytest.mark.parametrize(("noise", "noisy"), [(0.04, False), (0.3, True)])
def test_varying_times_of_the_same_image_are_noise(tmp_path, noise, noisy):
    run = run_in(tmp_path / "r", truth_of(2, ["a"]), "ssd", 0.7)
    assert timing_in(run, 5.0, samples=samples_of(5.0, noise=noise)).noisy is noisy


def test_varying_times_of_different_images_are_not_noise(tmp_path):
    run = run_in(tmp_path / "r", truth_of(2, ["a"]), "ssd", 0.7)
    samples = samples_of(5.0)
    real = samples["mode"] == "real"
    samples.loc[real, "ns"] *= 1 + samples.loc[real, "image"].astype(int)
    timing = timing_in(run, 5.0, samples=samples)
    assert timing.headline.spread > 0.3
    assert not timing.noisy


def test_a_timing_has_finite_numbers_only():
    with pytest.raises(ValueError):
        Timing.from_json('{"schema_version": NaN}', "x")
