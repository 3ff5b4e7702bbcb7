"""A search whose trials take a fraction of a second, and results of searches made by hand."""

from glimpse_gym.agents.configs import RAMConfig, ReinforceConfig
from glimpse_gym.agents.experiments.recipes import Recipe
from glimpse_gym.agents.experiments.search_files import Outcome, SearchResult, Trial
from glimpse_gym.agents.experiments.search_spaces import Search, parse_space
from runs import save_shades

SMALL = {"glimpse_network": "fc", "glimpse_units": 8, "location_units": 8, "glimpse_features": 16, "hidden_units": 16}
SPACE = {
    "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    "sigma": {"low": 0.05, "high": 0.3},
    "copies_per_image": {"choices": [1, 2, 4]},
    "detach_location_network": {"choices": [True, False]},
}


def make_search(folder, space=SPACE, num_trials=3, **training):
    """A search for the settings of a tiny recipe. Its images are a file in the folder."""
    path = folder / "images.npz"
    if not path.exists():
        save_shades(path)
    recipe = Recipe(
        name="paper-mine",
        group="paper",
        base=None,
        task="mnist",
        model="RAM, tiny",
        env_id="glimpse_gym/Images-v0",
        env_kwargs={"images": str(path), "patch_size": 4, "num_scales": 2, "num_glimpses": 3},
        augmentation={"shift": [-1, 1]},
        policy_config=RAMConfig(**SMALL, core="relu"),
        training=ReinforceConfig(num_episodes=1_000, batch_size=20, optimizer="adam", warmup_updates=0),
    )
    shared = {"num_episodes": 190, "num_evaluations": 2, "validation_episodes": 20}
    return Search(recipe, num_trials, shared | training, parse_space("space", space))


def make_search_result(**changes):
    """The result of a search with three trials, the last of which diverged."""

    def values(*each):
        return dict(zip(SPACE, each, strict=True))

    entries = {
        "name": "paper-mine",
        "settings": {
            "env_id": "glimpse_gym/MNIST-v0",
            "core": "relu",
            "augmentation": {"shift": [-1, 1]},
            "num_episodes": 600_000,
            "validation_episodes": 10_000,
        },
        "space": parse_space("space", SPACE),
        "trials": [
            Trial(0, values(0.012, 0.1, 4, False), Outcome(0.2, 0.25, 600_064, 61.5)),
            Trial(1, values(0.001, 0.21, 1, True), Outcome(0.1, 0.3, 600_064, 60.0)),
            Trial(2, values(0.1, 0.05, 1, True), Outcome(None, None, 2_560, 1.25)),
        ],
        "machine": "a machine",
        "versions": {"python": "3", "glimpse_gym": "0.6", "optuna": "5", "torch": "2.8"},
    }
    return SearchResult(**entries | changes)
