"""The table of parameters a run prints before its first step."""

from typing import Any

import jax
from clu import parameter_overview


def overview(params: Any, frozen: Any) -> str:
    """Trained parameters one by one, then counts and bytes of trained and frozen ones."""
    rows = [("trained", params), ("frozen", frozen)]
    counts = [
        f"{name:>8}: {sum(leaf.size for leaf in jax.tree.leaves(tree)):>13,} parameters, "
        f"{sum(leaf.nbytes for leaf in jax.tree.leaves(tree)):>15,} bytes, {len(jax.tree.leaves(tree))} arrays"
        for name, tree in rows
    ]
    table = parameter_overview.get_parameter_overview(params, include_stats=False)
    return "\n".join([table, *counts])
