"""Hyperparameters of SAC in rl_zoo3: ``--algo sac --conf-file glimpse_gym.agents.sb3.zoo.sac``."""

from typing import Any

from glimpse_gym.agents.sb3.zoo.tasks import ZooTask, zoo_tasks


def _sac_settings(task: ZooTask) -> dict[str, Any]:
    return {
        **task.common(),
        **task.stack(),
        "policy": "MultiInputPolicy",
        "policy_kwargs": task.policy_kwargs(units=64, location_units=64, features=64),
        "learning_rate": 5e-4,
        "buffer_size": 100_000,
        "learning_starts": 5_000,
        "batch_size": 256,
        "train_freq": 1,
        "gradient_steps": 2,
        "ent_coef": "auto_0.01",
    }


hyperparams = {env_id: _sac_settings(task) for env_id, task in zoo_tasks("continuous")}
