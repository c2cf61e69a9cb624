"""Timing files on disk and statistics of their samples, against resampling by hand and known times."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import run_in, truth_of
from synthetic_timings import MACHINE, samples_of, timing_in

from metrics.errors import InputError
from reports.analysis.order_statistics import quantile
from reports.analysis.timing_statistics import (
    Blocks,
    batch_run,
    interval,
    rate_replicates,
    replicates,
    stage_times,
)
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
        ({"schema_version": 2}, r"has schema version 2, .* reads up to version 1; upgrade detbench"),
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


def frame(processes, rounds, values):
    """One sample a row, in the order of processes and rounds."""
    pairs = [(p, r) for p, r in product(range(processes), range(rounds))]
    rows = [(*pair, value) for pair, of in zip(pairs, values, strict=True) for value in of]
    return pd.DataFrame(rows, columns=["process", "round", "ns"])


@given(
    st.integers(1, 3), st.integers(1, 3), st.data(), st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.integers(0, 99)
)  # fmt: skip
def test_a_replicate_is_the_quantile_of_the_samples_each_as_often_as_its_block(
    processes, rounds, data, p, seed
):
    size = st.lists(st.integers(1, 9), min_size=1, max_size=5)
    values = [data.draw(size) for _ in range(processes * rounds)]
    samples = frame(processes, rounds, values)
    blocks = Blocks.by(samples)
    weights = blocks.weights(20, [seed])
    got = replicates(samples["ns"].to_numpy(float), blocks, weights, p)
    for weight, value in zip(weights, got, strict=True):
        repeated = np.concatenate([np.repeat(of, times) for of, times in zip(values, weight, strict=True)])
        assert value == quantile(repeated.astype(float), p)


def test_weights_draw_whole_processes_and_as_many_rounds_as_each_has():
    samples = frame(3, 4, [[1]] * 12)
    weights = Blocks.by(samples).weights(400)
    by_process = weights.reshape(400, 3, 4).sum(axis=2)
    assert set(np.unique(by_process)) == {0, 4, 8, 12}
    assert (weights.sum(axis=1) == 12).all()
    # Each of three processes is drawn three times: the number of times one is drawn is binomial (3, 1/3).
    assert (by_process[:, 0] == 0).mean() == pytest.approx((2 / 3) ** 3, abs=0.1)
    assert weights.mean(axis=0) == pytest.approx(np.ones(12), abs=0.25)
    assert (
        (weights > 0).sum(axis=1) < 12 - 4 * (by_process == 0).sum(axis=1)
    ).mean() > 0.5  # rounds are drawn, too


def test_processes_with_different_rounds_keep_their_own():
    samples = pd.DataFrame({"process": [0, 0, 0, 1], "round": [0, 1, 2, 0]})
    weights = Blocks.by(samples).weights(200)
    assert set(np.unique(weights[:, :3].sum(axis=1))) == {0, 3, 6}
    assert set(np.unique(weights[:, 3])) == {0, 1, 2}


def test_the_same_seed_draws_the_same_for_models_timed_in_turn():
    one, other = Blocks.by(samples_of(10.0)), Blocks.by(samples_of(30.0, iterations=6))
    assert (one.weights(50, [7]) == other.weights(50, [7])).all()
    assert (one.weights(50, [7]) != one.weights(50, [8])).any()


def test_the_interval_of_the_median_covers_it_when_processes_differ():
    # Every process has its own speed, and forty samples that agree: what looks like many samples is ten.
    held = naive = 0
    times = 80
    rng = np.random.default_rng(11)
    for _ in range(times):
        values = [[speed + rng.normal(0, 0.1) for _ in range(40)] for speed in rng.normal(100, 5, 10)]
        samples = frame(10, 1, values)
        blocks = Blocks.by(samples)
        ns = samples["ns"].to_numpy(float)
        low, high = interval(replicates(ns, blocks, blocks.weights(300)))
        held += low <= 100 <= high
        every = np.sort(ns)
        naive += every[180] <= 100 <= every[220]  # ranks that would do for 400 independent samples
    assert held / times > 0.85
    assert naive / times < 0.6


def test_throughput_is_total_images_by_total_time():
    ms = [10.0] * 9 + [910.0]
    rows = [(0, k // 5, k, "real", 1, "end_to_end", round(t * 1e6), "1") for k, t in enumerate(ms)]
    samples = pd.DataFrame(rows, columns=list(samples_of(1.0).columns))
    assert batch_run(samples, 1).images_per_second == pytest.approx(10.0)
    assert stage_times(samples)[0].median_ms == 10.0


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
    assert (run.low, run.high) == (pytest.approx(8.0), pytest.approx(8.0))
    assert batch_run(samples, 2).images_per_second is None


def test_resampled_throughput_is_that_of_repeated_samples():
    samples = frame(2, 2, [[1, 2], [4], [8, 8, 8], [3]])
    blocks = Blocks.by(samples)
    weights = blocks.weights(30)
    ns = samples["ns"].to_numpy(float)
    rates = rate_replicates(np.ones(len(ns)), ns, blocks, weights)
    per_sample = weights[:, blocks.of]
    assert rates == pytest.approx(per_sample.sum(axis=1) / (per_sample @ ns))


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


def test_the_summary_is_that_of_the_samples():
    samples = samples_of(5.0)
    got = next(s for s in stage_times(samples) if (s.mode, s.batch, s.stage) == ("real", 1, "forward"))
    rows = samples[(samples["mode"] == "real") & (samples["batch"] == 1) & (samples["stage"] == "forward")]
    ms = np.sort(rows["ns"].to_numpy() / 1e6)
    assert got.samples == len(ms) == 120
    assert got.median_ms == ms[59]
    assert got.mean_ms == pytest.approx(ms.mean())
    assert (got.quartile_low_ms, got.quartile_high_ms) == (ms[29], ms[89])
    assert got.median_low_ms < got.median_ms < got.median_high_ms
    assert got.outliers == 0


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
