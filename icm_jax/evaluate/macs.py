"""Multiply–accumulates of any JAX function, counted in its jaxpr.

Counted are matrix products and convolutions, in every nested program: jit, scan (times its length), remat,
custom derivatives. Element-wise work is not. Taps that fall on padding count as ordinary ones, as everywhere
in the field; taps that fall on the zeros a transposed convolution inserts do not.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from icm_jax.errors import IcmError


def count_macs(function: Callable[..., Any], *args: Any) -> int:
    """Multiply–accumulates of one call `function(*args)`; arrays may be given as `jax.ShapeDtypeStruct`.

    Raises:
        IcmError: the function has a loop whose number of turns is not known before it runs.
    """
    return count_in_jaxpr(jax.make_jaxpr(function)(*args).jaxpr)


def count_in_jaxpr(jaxpr: Jaxpr) -> int:
    """Multiply–accumulates of a jaxpr; of the branches of a `cond`, those of the costliest."""
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: JaxprEqn) -> int:
    name = equation.primitive.name
    if name == "dot_general":
        return _dot_macs(equation)
    if name == "conv_general_dilated":
        return _convolution_macs(equation)
    inner = [count_in_jaxpr(jaxpr) for jaxpr in _inner_jaxprs(equation)]
    if name == "scan":
        return equation.params["length"] * sum(inner)
    if name == "cond":
        return max(inner)
    if name == "while" and any(inner):
        raise IcmError(
            "a while loop has no fixed number of turns to count; use lax.scan or a static fori_loop"
        )
    return sum(inner)


def _inner_jaxprs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


def _dot_macs(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = _shape(equation.invars[0])
    return math.prod(_shape(equation.outvars[0])) * math.prod(left[axis] for axis in contracted)


def _convolution_macs(equation: JaxprEqn) -> int:
    """Batch × output channels × channels of a group × (positions × taps on real samples) of every axis."""
    params = equation.params
    numbers = params["dimension_numbers"]
    kernel, out = _shape(equation.invars[1]), _shape(equation.outvars[0])
    macs = out[numbers.out_spec[0]] * out[numbers.out_spec[1]] * kernel[numbers.rhs_spec[1]]
    for axis in range(len(params["window_strides"])):
        macs *= _taps_on_samples(
            positions=out[numbers.out_spec[2 + axis]],
            taps=kernel[numbers.rhs_spec[2 + axis]],
            stride=params["window_strides"][axis],
            spacing=params["rhs_dilation"][axis],
            padding=params["padding"][axis][0],
            inserted=params["lhs_dilation"][axis],
        )
    return macs


def _shape(variable: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = variable.aval.shape
    return shape


def _taps_on_samples(
    positions: int, taps: int, stride: int, spacing: int, padding: int, inserted: int
) -> int:
    """Pairs (output position, tap) of one axis that do not meet an inserted zero."""
    first = np.arange(positions) * stride - padding
    coordinates = first[:, None] + np.arange(taps) * spacing
    return int(np.sum(coordinates % inserted == 0))
