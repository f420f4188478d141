"""`python -m muster.build.measuring.instructions`: print the flags of the CPU that this process sees, as Linux names
them. Asked by CPUID, through numpy: an emulated process reads the real machine's /proc/cpuinfo.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

NAMES: Final = {
    "SSE3": "pni", "SSSE3": "ssse3", "SSE41": "sse4_1", "SSE42": "sse4_2", "POPCNT": "popcnt", "CX16": "cx16",
    "LAHF": "lahf_lm", "AVX": "avx", "AVX2": "avx2", "F16C": "f16c", "FMA3": "fma", "BMI": "bmi1", "BMI2": "bmi2",
    "LZCNT": "abm", "MOVBE": "movbe", "AVX512F": "avx512f", "AVX512CD": "avx512cd", "AVX512BW": "avx512bw",
    "AVX512DQ": "avx512dq", "AVX512VL": "avx512vl", "AVX512VNNI": "avx512_vnni",
}  # fmt: skip
"""numpy's names of features, and Linux's of flags."""


def flags() -> frozenset[str]:
    """Flags of this process's CPU. Raises `AttributeError` if this numpy does not tell."""
    features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    found = {NAMES[name] for name, there in features.items() if there and name in NAMES}
    # No system lets a process use the wide registers without it.
    return frozenset(found | ({"xsave"} if "avx" in found else set()))


if __name__ == "__main__":
    sys.stdout.write(" ".join(sorted(flags())) + "\n")
