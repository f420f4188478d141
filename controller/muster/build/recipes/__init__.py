"""The transformations that a recipe can ask for, each a function of bytes or of a graph, the same on every CPU.

Two rules make that so. Whatever is computed with weights is computed element by element in float64, where IEEE 754
leaves one answer, and sums are exact (`math.fsum`, integers) or not taken. Whatever is chosen (the smallest weight, the
best threshold) is chosen by whole numbers, and ties by position.
"""
