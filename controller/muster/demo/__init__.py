"""The demo: a scratch repository, the real daemon, and many real agents on this machine.

The devices are real agents with a folder and a runtime each; what is simulated is their hardware: frames come from a
file, and several agents share a process.
"""
