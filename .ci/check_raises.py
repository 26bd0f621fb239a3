"""Fail unless the tests reach every `raise` of the library; each of them should match the text as well."""

import ast
import json
import sys
from pathlib import Path

report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
unreached = []
for name, measured in report["files"].items():
    missing = set(measured["missing_lines"])
    tree = ast.parse(Path(name).read_text(encoding="utf-8"))
    unreached += [
        f"{name}:{node.lineno}" for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.lineno in missing
    ]
if unreached:
    sys.exit(f"no test reaches: {', '.join(unreached)}")
print(f"every raise in {len(report['files'])} files is reached by a test")
