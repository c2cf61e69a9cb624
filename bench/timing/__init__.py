"""Speed from image file to detections, measured by the protocol of ``docs/latency.md``."""

from bench.timing.clock import Clock, clock_of
from bench.timing.quick import quick_latency
from bench.timing.warmup import WarmUp, warm_up

__all__ = ["Clock", "WarmUp", "clock_of", "quick_latency", "warm_up"]
