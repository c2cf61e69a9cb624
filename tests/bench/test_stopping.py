"""Signals: once is polite, twice is now; told apart in a process of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

LOOP = """
import sys, time
from bench.process.interrupts import Stopped, listening
try:
    with listening() as stop, stop.patience():
        print("ready", flush=True)
        while True:
            time.sleep(0.02)
            if stop.signum and "{obeys}" == "True":
                print("saved", flush=True)
                stop.obey("all is saved")
except Stopped as stopped:
    print(stopped, flush=True)
    sys.exit(stopped.exit_code)
"""


def started(obeys: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP.format(obeys=obeys)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_row_44_one_signal_lets_the_work_save_and_ends_with_the_shell_s_code(signum, code):
    process = started(obeys=True)
    process.send_signal(signum)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == f"saved\nstopped by {signal.Signals(signum).name}; all is saved\n"
    assert err == "stopping after this step; again to stop now\n"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_row_44_a_second_signal_stops_at_once(signum, code):
    process = started(obeys=False)
    process.send_signal(signum)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signum)
    process.communicate(timeout=10)
    assert process.returncode == code


def test_a_signal_outside_of_a_patient_stretch_stops_at_once():
    from bench.process.interrupts import Stopped, listening

    with pytest.raises(Stopped) as caught, listening():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_worker_process_leaves_signals_to_its_parent():
    code = """
import os, signal, sys
from bench.process.interrupts import listening
with listening() as stop, stop.patience():
    if (child := os.fork()) == 0:
        signal.raise_signal(signal.SIGINT)
        os._exit(0 if stop.signum is None else 1)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
