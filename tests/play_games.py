"""Games and records for the tests of playing."""

from functools import cache

from glimpse_gym.play.episode import Episode, PlayEnv
from glimpse_gym.play.game import Game, GameSettings

DIGITS = ("glimpse_gym/ClutteredMNIST-v0", {"split": "validation", "num_glimpses": 4})
CATCH = ("glimpse_gym/Catch-v0", {"num_glimpses": 6})


@cache
def play_env(env_id, **env_kwargs):
    return PlayEnv(env_id, env_kwargs)


def make_game(env_id, env_kwargs, opponent=None, **settings):
    env = play_env(env_id, **env_kwargs)
    return Game(lambda seed: Episode(env, seed), GameSettings(**settings), opponent=opponent)


class FixedOpponent:
    """Always answers 0."""

    name = "zero"

    def __init__(self, env_id, env_kwargs):
        self._env = PlayEnv(env_id, env_kwargs)

    def play(self, seed):
        episode = Episode(self._env, seed)
        while not episode.over:
            episode.step(episode.observation["location"], 0)
        return episode.record(self.name)
