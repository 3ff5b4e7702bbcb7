"""Results made by hand, with scores that are easy to compute with."""

from glimpse_gym.agents.experiments.recipes import load_recipe, recipe_names
from glimpse_gym.agents.experiments.result_files import Result, save_result


def make_score(split, errors, locations="learned", sample=False, seed=0):
    return {
        "split": split,
        "locations": locations,
        "sample": sample,
        "seed": seed,
        "num_episodes": 10_000,
        "errors": errors,
        "standard_errors": [0.001 * (t + 1) for t in range(len(errors))],
    }


def make_history(error):
    """Three evaluations, at thirds of the run; the first has this error."""
    return [
        {"episodes": 1_000_000 * i, "seconds": 60.0 * i, "validation_error": error / i, "training_error": 2 * error / i}
        for i in (1, 2, 3)
    ]


def make_result(recipe, scores, seed=0, **changes):
    """A result with the settings of its recipe, if it has one."""
    settings = {"env_id": "glimpse_gym/Some-v0", "env_kwargs": {}, "policy_config": {}, "training": {}}
    if recipe in recipe_names():
        # Which of them a setting lies in makes no difference to the tables.
        values = load_recipe(recipe).settings
        settings = settings | {"env_id": values.pop("env_id"), "training": values}
    values = {
        "recipe": recipe,
        "task": recipe.rpartition("-")[2],
        "model": f"model of {recipe}",
        "seed": seed,
        "scores": scores,
        "values_per_glimpse": 100,
        "num_parameters": 1_234_567,
        "history": make_history(0.1),
        "num_episodes": 3_000_000,
        "num_frames": 24_000_000,
        "training_seconds": 600.0,
        "generalization": [],
        "gaze_distances": None,
        "machine": "a machine",
        "versions": {"python": "3", "glimpse_gym": "0.4", "gymnasium": "1", "numpy": "2", "torch": "2.8"},
    }
    return Result(**values | settings | changes)


def decreasing(last, number):
    """Errors after each glimpse, each 0.01 above the next: ..., last + 0.01, last."""
    return [round(last + 0.01 * (number - 1 - t), 10) for t in range(number)]


OTHER_SCORES = [
    make_score("validation", decreasing(0.9, 8)),
    make_score("test", decreasing(0.8, 8), sample=True),
]
"""Scores that no table of test errors at mean locations may use."""


def ram_results():
    """Three seeds of one recipe, the first with two draws of the test split; the last errors are 2, 3 and 2.5%."""
    controls = [
        make_score("test", decreasing(0.25, 8), "random"),
        make_score("test", decreasing(0.5, 8), "center"),
        *OTHER_SCORES,
    ]
    draws = [make_score("test", decreasing(0.01, 8)), make_score("test", decreasing(0.03, 8), seed=1)]
    others = [
        make_result("ram-cluttered60", [make_score("test", decreasing(error, 8)), *controls], seed, training_seconds=s)
        for seed, error, s in ((1, 0.03, 1200.0), (2, 0.025, 900.0))
    ]
    return [make_result("ram-cluttered60", [*draws, *controls]), *others]


def paper_model_results():
    """Three seeds with Adam, one with SGD, whose validation error is lower, and one of the former name."""
    adam = [
        make_result(
            "paper-adam-cluttered60",
            [
                make_score("validation", decreasing(0.07, 8)),
                make_score("test", decreasing(error, 8)),
                make_score("test", decreasing(0.3, 8), "random"),
            ],
            seed=seed,
            history=make_history(0.4),
        )
        for seed, error in enumerate((0.029, 0.03, 0.031))
    ]
    sgd_scores = [make_score("validation", decreasing(0.06, 8)), make_score("test", decreasing(0.05, 8))]
    return [
        *adam,
        make_result("paper-sgd-cluttered60", sgd_scores, history=make_history(0.5)),
        make_result("paper-cluttered60", [make_score("test", decreasing(0.01, 8))], history=make_history(0.45)),
    ]


def make_ablation(name, learned, random, **changes):
    scores = [
        make_score("validation", decreasing(learned, 8)),
        make_score("validation", decreasing(random, 8), "random"),
    ]
    scores += [make_score("validation", decreasing(0.7, 8), sample=True)]
    scores += [make_score("validation", decreasing(0.6, 8), "center")]
    return make_result(name, scores, **{"task": "cluttered60", "num_episodes": 400_000} | changes)


def ablation_results():
    """Four ablations on the validation split, one with two seeds, one of an older recipe, one without a recipe."""
    default = make_ablation("ablation-default", 0.04, 0.2)
    return [
        make_ablation("ablation-adam", 0.06, 0.3, training=default.training | {"batch_size": 64, "optimizer": "adam"}),
        default,
        make_ablation("ablation-default", 0.05, 0.4, seed=1, training_seconds=300.0),
        make_ablation("ablation-lstm-core", 0.08, 0.2),
        make_ablation("ablation-of-mine", 0.09, 0.2, model="my change"),
    ]


def results_for_all_figures():
    first, second, _ = ram_results()

    def generalization(*errors):
        return [
            {"env_kwargs": {"num_clutter": number}, "score": make_score("test", [0.9, error])}
            for number, error in zip((16, 4), errors, strict=True)
        ]

    def changed(result, **changes):
        return Result(**vars(result) | changes)

    return [
        changed(first, generalization=generalization(0.2, 0.02)),
        changed(second, generalization=generalization(0.4, 0.04)),
        *paper_model_results(),
        make_result("cnn-cluttered60", [make_score("test", [0.01])], values_per_glimpse=3600),
        make_result("conv-cluttered60", [make_score("test", [0.08])], values_per_glimpse=3600),
        make_result("ram-catch", [make_score("test", [0.1])], gaze_distances=[4.0, 3.0, 2.5], num_frames=69_000_000),
        make_result("screen-catch", [make_score("test", [0.05])], history=make_history(0.06), num_frames=69_000_000),
        *ablation_results(),
    ]


def save_results(folder, results):
    for result in results:
        save_result(folder, result)
    return folder
