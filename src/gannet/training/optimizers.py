"""Optimizers, each with the length of its step per unit of gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gannet.errors import GannetError, unknown_name

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]
"""Parameters of a network, or groups of them with a learning rate each."""


@dataclass(frozen=True)
class UpdateRule:
    """An optimizer of torch and the derivative of its step in the gradient.

    ``step_per_gradient`` maps a parameter's state in the optimizer and its parameter group to the distance that the
    last step moved the parameter per unit of gradient, a number or a tensor of the parameter's shape. It is wrong with
    the ``refused`` options, and for subclasses of ``optimizer``. ``settings`` are those of an optimizer that is made by
    name.
    """

    optimizer: type[torch.optim.Optimizer]
    step_per_gradient: Callable[[Mapping[str, Any], Mapping[str, Any]], Tensor | float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ("maximize",)


def _sgd_step(state: Mapping[str, Any], group: Mapping[str, Any]) -> float:
    """Return the learning rate: momentum adds past gradients, which do not depend on the current one."""
    return float(group["lr"])


def _adam_step(state: Mapping[str, Any], group: Mapping[str, Any]) -> Tensor:
    """Return ``lr (1 - beta1) / (1 - beta1^t) / (sqrt(v_hat) + eps)``, with the second moment v_hat held constant."""
    beta1, beta2 = group["betas"]
    t = float(state["step"])
    second_moment: Tensor = state["exp_avg_sq"] / (1 - beta2**t)
    step: Tensor = float(group["lr"]) * (1 - beta1) / (1 - beta1**t) / (second_moment.sqrt() + group["eps"])
    return step


UPDATE_RULES: dict[str, UpdateRule] = {
    # The fused implementation passes over the memory once per step, which is several times faster on a CPU.
    "adam": UpdateRule(torch.optim.Adam, _adam_step, {"fused": True}, ("maximize", "amsgrad")),
    "sgd": UpdateRule(torch.optim.SGD, _sgd_step, {"momentum": 0.9}, ("maximize", "dampening", "nesterov")),
}
"""The optimizers that settings can name."""


def check_optimizer_name(name: str) -> None:
    """Raise a `GannetError` for a name that is not in `UPDATE_RULES`."""
    if name not in UPDATE_RULES:
        raise unknown_name("optimizer", name, UPDATE_RULES)


def make_optimizer(name: str, parameters: Parameters, learning_rate: float) -> torch.optim.Optimizer:
    """Return a new optimizer of the named kind for ``parameters``."""
    check_optimizer_name(name)
    rule = UPDATE_RULES[name]
    make: Callable[..., torch.optim.Optimizer] = rule.optimizer
    return make(parameters, lr=learning_rate, **rule.settings)


def update_rule(optimizer: torch.optim.Optimizer) -> UpdateRule:
    """Return the rule of an optimizer.

    Raises a `GannetError` if it is neither `torch.optim.Adam` nor `torch.optim.SGD`, or has an option that its rule
    lacks.
    """
    rule = next((rule for rule in UPDATE_RULES.values() if type(optimizer) is rule.optimizer), None)
    name = type(optimizer).__name__
    if rule is None:
        known = " or ".join(f"torch.optim.{rule.optimizer.__name__}" for rule in UPDATE_RULES.values())
        raise GannetError(
            f"gradient attention does not know how far {name} moves a weight per unit of gradient: use {known}, or "
            "train without attention"
        )
    for option in rule.refused:
        if any(group.get(option) for group in optimizer.param_groups):
            raise GannetError(
                f"gradient attention does not know how far {name} with {option} moves a weight per unit of gradient: "
                f"leave {option} out, or train without attention"
            )
    return rule


def step_per_gradient(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> Tensor | float:
    """Return how far the last step moved a parameter per unit of gradient: its part of the optimizer's diagonal P."""
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    return update_rule(optimizer).step_per_gradient(optimizer.state[parameter], group)
