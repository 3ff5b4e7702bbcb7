"""Hyperparameters of QR-DQN in rl_zoo3: ``--algo qrdqn --conf-file glimpse_gym.agents.sb3.zoo.qrdqn``."""

from glimpse_gym.agents.sb3.zoo.dqn import dqn_settings
from glimpse_gym.agents.sb3.zoo.tasks import zoo_tasks

hyperparams = {env_id: dqn_settings(task) for env_id, task in zoo_tasks("discrete")}
