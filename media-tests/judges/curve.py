"""Says how much more rate one curve needs than another for the same quality, as the package `bjontegaard` computes it.

Standard input is JSON: [[rates, qualities] of the anchor, [rates, qualities] of the other]. Prints per cent.
"""

import json
import sys
import types

# The package draws, too; nobody asks it to.
for name in ("matplotlib", "matplotlib.pyplot"):
    sys.modules[name] = types.ModuleType(name)

import bjontegaard  # noqa: E402

anchor, other = json.load(sys.stdin)
print(bjontegaard.bd_rate(*anchor, *other, method="pchip", require_matching_points=False, min_overlap=0))
