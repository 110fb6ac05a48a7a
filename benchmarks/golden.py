# This file is part of ra_pipe.
#
# Use of this source code is governed by a 3-clause BSD-style
# license that can be found in the LICENSE file.
"""Compare FirstLook's ISR with what ``IsrTaskLSST`` made of the same raw images.

Prints a row for each golden file and, as the last line, JSON.
"""

from __future__ import annotations

import json

import numpy as np
from _golden_data import (
    CONFIGS,
    KINDS,
    SEEDS,
    compare,
    find_shared,
    load_inputs,
    make_calibrations,
    make_config,
    make_raw,
    run_isr,
)
from lsst.ra.pipe.tasks import FirstLookIsrTask
from rich.console import Console
from rich.table import Table


def main() -> None:
    """Compare, print the table and the figures."""
    console = Console(width=140)
    shared = find_shared()
    inputs = load_inputs(shared)
    table = Table("golden file", "image", "interpolated", "variance", "mask planes", "passed")
    figures, failed = {}, []
    for kind in KINDS:
        for seed in SEEDS:
            raw = make_raw(inputs, kind, seed)
            calibrations = make_calibrations(inputs, kind, seed, raw.detector)
            for name in CONFIGS:
                case = f"{kind}_{seed}_{name}"
                task = FirstLookIsrTask(config=make_config(shared, name))
                exposure = run_isr(task, inputs, raw, calibrations)
                with np.load(shared / "golden" / f"{case}.npz") as reference:
                    score = compare(reference, exposure)
                planes = " ".join(f"{plane} {value:.4f}" for plane, value in score.masks.items())
                table.add_row(
                    case,
                    f"{score.image:.6f}",
                    f"{score.interpolated:.4f}",
                    f"{score.variance:.6f}",
                    planes,
                    "yes" if score.passed else "NO",
                )
                figures[f"{case}_image_ok"] = score.image
                figures[f"{case}_mask_ok"] = score.mask
                if not score.passed:
                    failed.append(case)
    console.print(table)
    print(json.dumps({"benchmark": "golden", "figures": figures}))
    if failed:
        raise SystemExit(f"Too far from the golden data: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
