"""onnxruntime's wheels send telemetry unless told not to before they load: the build always tells them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import muster.build

PACKAGE = Path(muster.build.__file__).parent


def _imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


SETS_IT = PACKAGE / "onnx_runtime.py"


def _imports_of(path: Path) -> bool:
    return "onnxruntime" in _imported(ast.parse(path.read_text()))


def test_the_variable_is_set_before_it_is_imported() -> None:
    """One module sets it before its import; the others that import it come after that one, by their own first lines."""
    body = ast.parse(SETS_IT.read_text()).body
    first = next(index for index, node in enumerate(body) if "onnxruntime" in _imported(node))
    assert "os.environ['ORT_DISABLE_TELEMETRY'] = '1'" in [ast.unparse(node) for node in body[:first]]
    others = [path for path in PACKAGE.rglob("*.py") if path != SETS_IT and _imports_of(path)]
    assert others
    for path in others:
        top = ast.parse(path.read_text()).body
        assert not any(
            "onnxruntime" in _imported(node) for node in top if isinstance(node, ast.Import | ast.ImportFrom)
        )
        assert "from muster.build import onnx_runtime" in [ast.unparse(node) for node in top], path


def test_a_session_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """Even where the caller's environment asks for telemetry."""
    program = (
        "import muster.build.onnx_runtime as r, onnx.helper as h, onnx\n"
        "g = h.make_graph([h.make_node('Relu', ['x'], ['y'])], 'g',"
        " [h.make_tensor_value_info('x', 1, ['N', 2])], [h.make_tensor_value_info('y', 1, ['N', 2])])\n"
        "m = h.make_model(g, opset_imports=[h.make_opsetid('', 17)], ir_version=8)\n"
        "import numpy as np\n"
        "assert r.Session(m.SerializeToString()).run('x', np.full((1, 2), -1, 'f4')).tolist() == [[0, 0]]\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    environment = {**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
    assert list(tmp_path.rglob("*")) == []
