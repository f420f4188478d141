"""The example model `meter-reader`: reads one digit of a utility meter, 8x8 pixels, from scikit-learn's digits.

Training is exact: integers from the first pixel to the last weight, one seeded generator (PCG64, used through integers
alone), and weights that a float32 holds without rounding. So the source model has the same sha256 on every CPU.
"""
