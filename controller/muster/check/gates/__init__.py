"""The typed gates: for every release that a change brings forward, does it meet what the base's policy asks for?

`table` says of each metric what it is about and what answers it; `declared` refuses gates that mean nothing; `decide`
asks every gate of every judged release. The other modules each answer from one kind of source.
"""
