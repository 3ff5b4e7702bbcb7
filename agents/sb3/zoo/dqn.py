"""Hyperparameters of DQN in rl_zoo3: ``--algo dqn --conf-file glimpse_gym.agents.sb3.zoo.dqn``."""

from typing import Any

from glimpse_gym.agents.sb3.zoo.tasks import ZooTask, zoo_tasks


def dqn_settings(task: ZooTask) -> dict[str, Any]:
    """Return the hyperparameters of DQN and QR-DQN."""
    return {
        **task.common(),
        **task.stack(),
        "policy": "MultiInputPolicy",
        "policy_kwargs": task.policy_kwargs(),
        "learning_rate": 5e-4,
        "buffer_size": 100_000,
        "learning_starts": 5_000,
        "batch_size": 256,
        "train_freq": 1,
        "gradient_steps": 4,
        "target_update_interval": 2_000,
        "exploration_fraction": 0.3,
        "exploration_final_eps": 0.05,
    }


hyperparams = {env_id: dqn_settings(task) for env_id, task in zoo_tasks("discrete")}
