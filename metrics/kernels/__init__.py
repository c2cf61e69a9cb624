"""Compiled code that everything else builds on: the kernel cache, threads, sorting and scanning of JSON."""
