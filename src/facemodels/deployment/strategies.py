"""The lists that commands, settings, tags and routes share: environments, strategies and acts.

Each list exists here once. The module imports nothing of the library, so that a command line can
offer its values as choices without loading the rest.
"""

from __future__ import annotations

from typing import Literal, get_args

EnvironmentName = Literal["staging", "production"]
ENVIRONMENTS: tuple[EnvironmentName, ...] = get_args(EnvironmentName)

# How a version gets production's traffic; `desired` says what each one means.
Strategy = Literal["direct", "canary", "progressive", "blue-green", "shadow", "ab"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

# What `facemodels deploy --strategy` takes: a strategy, or the end of a rollout that goes on.
DeploymentAct = Literal[Strategy, "complete", "abort"]
DEPLOYMENT_ACTS: tuple[DeploymentAct, ...] = get_args(DeploymentAct)
