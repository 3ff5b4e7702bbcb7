"""Hyperparameters of PPO in rl_zoo3: ``--algo ppo --conf-file glimpse_gym.agents.sb3.zoo.ppo``."""

from typing import Any

from glimpse_gym.agents.sb3.zoo.tasks import NUM_ENVS, ZooTask, zoo_tasks


def ppo_settings(task: ZooTask) -> dict[str, Any]:
    """Return the hyperparameters of PPO, with or without memory."""
    # Eight whole episodes of each sub-env, or two of Catch's longer ones.
    n_steps = task.num_glimpses * (2 if task.image_moves else 8)
    return {
        **task.common(),
        "learning_rate": "lin_1e-3",
        "n_steps": n_steps,
        "batch_size": NUM_ENVS * n_steps // 8,
        "n_epochs": 6,
        "ent_coef": 0.01,
    }


def _stacked(task: ZooTask, policy: str, gaussian: bool) -> dict[str, Any]:
    return {
        **ppo_settings(task),
        **task.stack(),
        "policy": policy,
        "policy_kwargs": task.policy_kwargs(gaussian=gaussian),
    }


hyperparams = {
    **{env_id: _stacked(task, "MultiInputPolicy", False) for env_id, task in zoo_tasks("discrete")},
    **{env_id: _stacked(task, "MultiInputPolicy", True) for env_id, task in zoo_tasks("continuous")},
    **{
        env_id: _stacked(task, "glimpse_gym.agents.sb3.hybrid.HybridPolicy", True)
        for env_id, task in zoo_tasks("hybrid")
    },
}
