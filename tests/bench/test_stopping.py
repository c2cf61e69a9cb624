"""Signals, sent to a process: the first saves and stops, the second stops at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

LOOP = """
import sys, time
from bench.process.interrupts import Stopped, handle_signals
try:
    with handle_signals() as stop, stop.deferred():
        print("ready", flush=True)
        while True:
            time.sleep(0.02)
            if stop.signum and "{stops}" == "True":
                print("saved", flush=True)
                stop.raise_if_stopped("all is saved")
except Stopped as stopped:
    print(stopped, flush=True)
    sys.exit(stopped.exit_code)
"""


def started(stops: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP.format(stops=stops)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_fault_44_one_signal_lets_the_work_save_and_ends_with_the_shell_s_code(signum, code):
    process = started(stops=True)
    process.send_signal(signum)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == f"saved\nstopped by {signal.Signals(signum).name}; all is saved\n"
    assert err == "stopping after this step; a second signal stops at once\n"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_fault_44_a_second_signal_stops_at_once(signum, code):
    process = started(stops=False)
    process.send_signal(signum)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signum)
    process.communicate(timeout=10)
    assert process.returncode == code


def test_a_signal_outside_a_deferred_block_stops_at_once():
    from bench.process.interrupts import Stopped, handle_signals

    with pytest.raises(Stopped) as caught, handle_signals():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_worker_process_leaves_signals_to_its_parent():
    code = """
import os, signal, sys
from bench.process.interrupts import handle_signals
with handle_signals() as stop, stop.deferred():
    if (child := os.fork()) == 0:
        signal.raise_signal(signal.SIGINT)
        os._exit(0 if stop.signum is None else 1)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
