"""Writes ONNX's own operator cases, with the answers of its NumPy references, for `kernels-tests/tests/onnx.rs`.

    pip install onnx==1.23.2 safetensors ml_dtypes
    python tools/onnx_cases/generate.py kernels-tests/onnx

The cases are taken as they are: which kernel says the same, and how, is decided in the test. Left out are the expanded
forms of an operator (the same numbers once more) and outputs that no kernel has (listed in OUTPUTS).
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx.backend.test.case.node import collect_testcases
from safetensors.numpy import save_file

# The outputs kept of each operator. `present_*` are concatenations, `Mean` and `InvStdDev` stay inside our kernels.
OUTPUTS = {
    "Attention": ["Y", "qk_matmul_output"],
    "Gather": ["y"],
    "Gelu": ["y"],
    "Gemm": ["y"],
    "LayerNormalization": ["Y"],
    "MatMul": ["c"],
    "RMSNormalization": ["Y"],
    "RotaryEmbedding": ["output"],
    "Sigmoid": ["y"],
    "Softmax": ["y"],
    "Swish": ["y"],
}


def plain(array: np.ndarray) -> np.ndarray:
    """Halves widened without loss, truth values and indices as 32-bit integers."""
    wide = np.int32 if array.dtype.kind in "biu" else np.float32
    return np.ascontiguousarray(array.astype(wide))


def attribute(value):
    return value.decode() if isinstance(value, bytes) else value


def main(folder: Path) -> None:
    # Most cases draw from the global generator without seeding it.
    np.random.seed(0)
    with np.errstate(all="ignore"):
        found = collect_testcases(None)
    tensors, cases = {}, []
    for case in sorted(found, key=lambda c: c.name):
        nodes = case.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in OUTPUTS or nodes[0].domain or "_expanded" in case.name:
            continue
        (node,), name = nodes, case.name.removeprefix("test_")
        inputs, outputs = case.data_sets[0]
        entry = {
            "name": name,
            "op": node.op_type,
            "opset": case.model.opset_import[0].version,
            "attributes": {a.name: attribute(helper.get_attribute_value(a)) for a in node.attribute},
        }
        kept = set(OUTPUTS[node.op_type])
        sides = [("inputs", node.input, inputs), ("outputs", node.output, outputs)]
        for side, names, arrays in sides:
            pairs = list(zip([n for n in names if n], map(np.asarray, arrays), strict=True))
            if side == "outputs":
                pairs = [(n, a) for n, a in pairs if n in kept or len(pairs) == 1]
            entry[side] = {n: a.dtype.name for n, a in pairs}
            tensors |= {f"{name}/{n}": plain(a) for n, a in pairs}
        cases.append(entry)
    missing = set(OUTPUTS) - {c["op"] for c in cases}
    if missing:
        sys.exit(f"no case of {sorted(missing)} in onnx {onnx.__version__}")
    lines = ",\n  ".join(json.dumps(c) for c in cases)
    text = f'{{"onnx": "{onnx.__version__}",\n "cases": [\n  {lines}\n]}}\n'
    (folder / "cases.json").write_text(text)
    save_file(tensors, folder / "cases.safetensors", metadata={"onnx": onnx.__version__, "license": "Apache-2.0"})
    print(f"{len(cases)} cases, {len(tensors)} tensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
