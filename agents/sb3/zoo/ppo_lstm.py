"""Hyperparameters of RecurrentPPO in rl_zoo3: ``--algo ppo_lstm --conf-file glimpse_gym.agents.sb3.zoo.ppo_lstm``."""

from typing import Any

from glimpse_gym.agents.sb3.zoo.ppo import ppo_settings
from glimpse_gym.agents.sb3.zoo.tasks import ZooTask, zoo_tasks


def _recurrent(task: ZooTask, policy: str, gaussian: bool) -> dict[str, Any]:
    lstm = {"lstm_hidden_size": 256, "shared_lstm": True, "enable_critic_lstm": False}
    return {
        **ppo_settings(task),
        "policy": policy,
        "policy_kwargs": task.policy_kwargs(gaussian=gaussian) | lstm,
    }


hyperparams = {
    **{env_id: _recurrent(task, "MultiInputLstmPolicy", False) for env_id, task in zoo_tasks("discrete")},
    **{env_id: _recurrent(task, "MultiInputLstmPolicy", True) for env_id, task in zoo_tasks("continuous")},
    **{
        env_id: _recurrent(task, "glimpse_gym.agents.sb3.hybrid.RecurrentHybridPolicy", True)
        for env_id, task in zoo_tasks("hybrid")
    },
}
