"""Corruptions of test images: the fifteen of Hendrycks and Dietterich (2019) at five severities, without their code.

A corruption takes an image in [0, 1], a severity from 1 to 5 and random numbers, and returns an image of the same shape, whose values
may leave [0, 1]. The parameters of each severity are those of the paper's program for images of 224 pixels.
"""
