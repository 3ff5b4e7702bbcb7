"""Catch, against boards drawn by hand and closed forms. R is the last column of the board, B the number of games.

In the drawings ``.`` is dark, ``o`` the ball, ``_`` the paddle, and ``*`` a pixel of the paddle with the ball on it.
"""

import math
from fractions import Fraction

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded

import oracles
from glimpse_gym.envs import CatchEnv, CatchVectorEnv, CatchWorld
from glimpse_gym.world import Action

LEFT, STAY, RIGHT = range(3)


def make(**kwargs):
    return gym.make("glimpse_gym/Catch-v0", **kwargs).unwrapped


def make_vec(num_envs, **kwargs):
    return gym.make_vec("glimpse_gym/Catch-v0", num_envs=num_envs, **kwargs)


def act(move, x=0.0, y=0.0):
    return {"next_location": np.array([x, y], np.float32), "move": move}


def screen(*rows):
    return np.array([[0 if pixel == "." else 255 for pixel in row] for row in rows], np.uint8)


def info(caught):
    return {"caught": caught, "success": caught}


def set_up(env, ball, velocity, paddle):
    """Start a game with this ball and this paddle (the left one of its two columns)."""
    env.reset(seed=0)
    env.world.ball[:], env.world.velocity[:], env.world.paddle[:] = ball, velocity, paddle
    return env


def follow(env, moves):
    """Screens after each move."""
    return [(env.step(act(move)), env.image)[1] for move in moves]


# ---------------------------------------------------------------- boards


def test_ball_falls_one_row_per_step():
    screens = follow(set_up(make(num_glimpses=4), ball=3, velocity=0.0, paddle=0), [STAY] * 4)
    expected = [
        screen(".....", "...o.", ".....", ".....", "__..."),
        screen(".....", ".....", "...o.", ".....", "__..."),
        screen(".....", ".....", ".....", "...o.", "__..."),
        screen(".....", ".....", ".....", ".....", "__.o."),
    ]
    oracles.assert_identical(screens, expected)


def test_ball_moves_by_fractions_of_a_column():
    # Positions 0.5, 1, 1.5, 2: halves are rounded to the right.
    screens = follow(set_up(make(num_glimpses=4), ball=0, velocity=0.5, paddle=3), [STAY] * 4)
    expected = [
        screen(".....", ".o...", ".....", ".....", "...__"),
        screen(".....", ".....", ".o...", ".....", "...__"),
        screen(".....", ".....", ".....", "..o..", "...__"),
        screen(".....", ".....", ".....", ".....", "..o__"),
    ]
    oracles.assert_identical(screens, expected)


def test_ball_is_reflected_at_the_right_wall():
    # Positions 3.75, 3.5, 2.75, 2: 4.5 is half a column beyond the wall and is reflected to 3.5.
    screens = follow(set_up(make(num_glimpses=4), ball=3, velocity=0.75, paddle=0), [STAY] * 4)
    expected = [
        screen(".....", "....o", ".....", ".....", "__..."),
        screen(".....", ".....", "....o", ".....", "__..."),
        screen(".....", ".....", ".....", "...o.", "__..."),
        screen(".....", ".....", ".....", ".....", "__o.."),
    ]
    oracles.assert_identical(screens, expected)


def test_ball_is_reflected_at_the_left_wall():
    # Positions 0.25, 0.5, 1.25, 2.
    screens = follow(set_up(make(num_glimpses=4), ball=1, velocity=-0.75, paddle=3), [STAY] * 4)
    expected = [
        screen(".....", "o....", ".....", ".....", "...__"),
        screen(".....", ".....", ".o...", ".....", "...__"),
        screen(".....", ".....", ".....", ".o...", "...__"),
        screen(".....", ".....", ".....", ".....", "..o__"),
    ]
    oracles.assert_identical(screens, expected)


def test_ball_at_full_speed_reaches_the_wall():
    screens = follow(set_up(make(num_glimpses=4), ball=3, velocity=1.0, paddle=0), [STAY] * 4)
    expected = [
        screen(".....", "....o", ".....", ".....", "__..."),
        screen(".....", ".....", "...o.", ".....", "__..."),
        screen(".....", ".....", ".....", "..o..", "__..."),
        screen(".....", ".....", ".....", ".....", "_*..."),
    ]
    oracles.assert_identical(screens, expected)
    screens = follow(set_up(make(num_glimpses=4), ball=0, velocity=-1.0, paddle=0), [STAY] * 4)
    expected = [
        screen(".....", ".o...", ".....", ".....", "__..."),
        screen(".....", ".....", "..o..", ".....", "__..."),
        screen(".....", ".....", ".....", "...o.", "__..."),
        screen(".....", ".....", ".....", ".....", "__..o"),
    ]
    oracles.assert_identical(screens, expected)


def test_paddle_moves_one_column_per_step():
    screens = follow(set_up(make(num_glimpses=4), ball=0, velocity=0.0, paddle=1), [RIGHT, STAY, LEFT, RIGHT])
    expected = [
        screen(".....", "o....", ".....", ".....", "..__."),
        screen(".....", ".....", "o....", ".....", "..__."),
        screen(".....", ".....", ".....", "o....", ".__.."),
        screen(".....", ".....", ".....", ".....", "o.__."),
    ]
    oracles.assert_identical(screens, expected)


def test_walls_block_the_paddle():
    screens = follow(set_up(make(num_glimpses=4), ball=2, velocity=0.0, paddle=1), [LEFT, LEFT, LEFT, RIGHT])
    expected = [
        screen(".....", "..o..", ".....", ".....", "__..."),
        screen(".....", ".....", "..o..", ".....", "__..."),
        screen(".....", ".....", ".....", "..o..", "__..."),
        screen(".....", ".....", ".....", ".....", ".__.."),
    ]
    expected[3][4, 2] = 255
    oracles.assert_identical(screens, expected)
    screens = follow(set_up(make(num_glimpses=4), ball=2, velocity=0.0, paddle=2), [RIGHT, RIGHT, RIGHT, LEFT])
    expected = [
        screen(".....", "..o..", ".....", ".....", "...__"),
        screen(".....", ".....", "..o..", ".....", "...__"),
        screen(".....", ".....", ".....", "..o..", "...__"),
        screen(".....", ".....", ".....", ".....", "..*_."),
    ]
    oracles.assert_identical(screens, expected)


# Position of the paddle when the ball lands in column 2.
@pytest.mark.parametrize(
    ("bottom", "paddle", "caught"),
    [("__o..", 0, False), (".__..", 1, True), ("..*_.", 2, True), ("..o__", 3, False)],
)
def test_paddle_catches_with_both_pixels(bottom, paddle, caught):
    if caught:
        bottom = bottom.replace(".__", "._*")
    env = set_up(make(num_glimpses=4), ball=2, velocity=0.0, paddle=paddle)
    for _ in range(3):
        oracles.assert_identical(env.step(act(STAY))[1:], (0.0, False, False, info(False)))
    observation, *others = env.step(act(STAY))
    oracles.assert_identical(others, [float(caught), True, False, info(caught)])
    oracles.assert_identical(env.image, screen(".....", ".....", ".....", ".....", bottom))
    assert observation["time"] == 1.0


@pytest.mark.parametrize(
    ("paddle", "move", "caught"), [(3, LEFT, True), (2, RIGHT, False), (0, RIGHT, True), (1, LEFT, False)]
)
def test_last_move_of_the_paddle_counts(paddle, move, caught):
    env = set_up(make(num_glimpses=4), ball=2, velocity=0.0, paddle=paddle)
    for _ in range(3):
        env.step(act(STAY))
    assert env.step(act(move))[1] == float(caught)


@pytest.mark.parametrize("start", [0, 1, 11, 22, 23])
@pytest.mark.parametrize("velocity", [-1.0, -0.8125, -0.5, -0.03125, 0.0, 0.25, 0.96875, 1.0])
def test_ball_path_matches_the_closed_form(start, velocity):
    env = set_up(make(), ball=start, velocity=velocity, paddle=0)
    for step in range(1, 24):
        env.step(act(STAY))
        position = oracles.reflected(Fraction(start) + step * Fraction(velocity), 23)
        expected = np.zeros((24, 24), np.uint8)
        expected[23, :2] = 255
        expected[step, math.floor(position + Fraction(1, 2))] = 255
        oracles.assert_identical(env.image, expected)


# ---------------------------------------------------------------- starting states


def test_starting_states():
    env = make_vec(6000)
    observation, infos = env.reset(seed=0)
    nothing, mask = np.zeros(6000, bool), np.ones(6000, bool)
    oracles.assert_identical(
        infos, {"caught": nothing, "_caught": mask, "success": nothing.copy(), "_success": mask.copy()}
    )
    assert (observation["location"] == 0).all()
    assert (observation["time"] == 0).all()
    screens = np.stack(env.unwrapped.image)
    assert screens.shape == (6000, 24, 24)
    assert set(np.unique(screens)) == {0, 255}
    # One ball in the first row, two adjacent pixels of the paddle in the last row, nothing between.
    assert not screens[:, 1:23].any()
    assert (screens[:, 0].sum(axis=1, dtype=int) == 255).all()
    assert (screens[:, 23].sum(axis=1, dtype=int) == 2 * 255).all()
    ball, paddle = screens[:, 0].argmax(axis=1), screens[:, 23].argmax(axis=1)
    rows = np.arange(6000)
    assert (screens[rows, 23, paddle + 1] == 255).all()
    counts = np.bincount(ball, minlength=24)
    assert len(counts) == 24
    assert abs(oracles.chi_square(counts)) < 5
    counts = np.bincount(paddle, minlength=23)
    assert len(counts) == 23
    assert abs(oracles.chi_square(counts)) < 5
    velocity = env.unwrapped.world.velocity
    assert (abs(velocity) <= 1).all()
    assert abs(oracles.chi_square(np.bincount(((velocity + 1) * 10).astype(int), minlength=20))) < 5
    # The three are independent.
    for a, b in ((ball, paddle), (ball, velocity), (paddle, velocity)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(6000)


def test_resets_and_steps_of_some_rows_change_no_other_screen():
    world, rng = CatchWorld(20, num_glimpses=9), np.random.default_rng(0)
    for step in range(60):
        before, changed = world.screens.copy(), rng.random(20) < 0.5
        if step % 10 == 0:
            world.reset(np.flatnonzero(changed))
        else:
            location, move = np.zeros((20, 2), np.float32), rng.integers(0, 3, 20)
            changed &= world.running
            world.step(Action(location, move, None), changed.copy())
        oracles.assert_identical(world.screens[~changed], before[~changed])
        # Nothing is left of what was drawn before.
        expected = np.zeros_like(before)
        for b in range(20):
            expected[b, 9, [world.paddle[b], world.paddle[b] + 1]] = 255
            expected[b, world.steps[b], world.column[b]] = 255
        oracles.assert_identical(world.screens, expected)
    assert world.running.any()
    assert not world.running.all()


def test_landing_columns_match_the_closed_form():
    env = make_vec(3000, num_glimpses=5, autoreset_mode="Disabled")
    env.reset(seed=1)
    start = np.stack(env.unwrapped.image)[:, 0].argmax(axis=1)
    env.unwrapped.world.paddle[:] = 0
    stay = {"next_location": np.zeros((3000, 2), np.float32), "move": np.ones(3000, int)}
    for _ in range(5):
        _, reward, terminated, _, infos = env.step(stay)
    assert terminated.all()
    oracles.assert_identical(infos["caught"], reward == 1.0)
    oracles.assert_identical(infos["success"], reward == 1.0)
    landed = env.unwrapped.world.column
    for column in range(6):
        chance = sum(oracles.landing_distribution(s, 5)[column] for s in range(6)) / 6
        oracles.assert_binomial(int((landed == column).sum()), 3000, float(chance))
        for s in range(6):
            games = landed[start == s]
            chance = float(oracles.landing_distribution(s, 5)[column])
            oracles.assert_binomial(int((games == column).sum()), len(games), chance)
    assert (reward == (landed <= 1)).all()


# ---------------------------------------------------------------- observations and actions


def test_episode_with_hybrid_actions():
    env = make()
    assert env.observation_space == spaces.Dict(
        {
            "glimpse": spaces.Box(0, 1, (3, 6, 6), np.float32),
            "location": spaces.Box(-1, 1, (2,), np.float32),
            "time": spaces.Box(0, 1, (1,), np.float32),
        }
    )
    assert env.action_space == spaces.Dict(
        {"next_location": spaces.Box(-1, 1, (2,), np.float32), "move": spaces.Discrete(3)}
    )
    rng = np.random.default_rng(0)
    for seed in range(3):
        observation, told = env.reset(seed=seed)
        location = np.zeros(2, np.float32)
        for step in range(24):
            assert observation in env.observation_space
            assert env.image.shape == (24, 24)
            oracles.assert_identical(observation["glimpse"], oracles.sense_one(env.image, location, 6, 3))
            oracles.assert_identical(observation["location"], location)
            oracles.assert_identical(observation["time"], np.array([step / 23], np.float32))
            if step == 23:
                break
            target = rng.uniform(-1.3, 1.3, 2).astype(np.float32)
            action = {"next_location": target, "move": int(rng.integers(3))}
            oracles.assert_identical(told, info(False))
            observation, reward, terminated, truncated, told = env.step(action)
            location = target.clip(-1, 1)
            assert terminated == (step == 22)
            assert not truncated
            assert terminated or reward == 0.0
        assert told == info(reward == 1.0)


@pytest.mark.parametrize("num_glimpses", [1, 2, 7, 23, 40])
def test_num_glimpses_sets_the_board_size(num_glimpses):
    env = make(num_glimpses=num_glimpses)
    env.reset(seed=0)
    assert env.image.shape == (num_glimpses + 1, num_glimpses + 1)
    ended = [env.step(act(RIGHT))[2] for _ in range(num_glimpses)]
    assert ended == [False] * (num_glimpses - 1) + [True]
    assert env.image[-1, -2:].tolist() == [255, 255]


@pytest.mark.parametrize("actions", ["hybrid", "discrete", "multidiscrete", "continuous"])
def test_observe_screen(actions):
    env = make(observe="screen", actions=actions)
    assert env.observation_space["glimpse"] == spaces.Box(0, 1, (1, 24, 24), np.float32)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for step in range(24):
        assert observation in env.observation_space
        oracles.assert_identical(observation["glimpse"], (env.image / 255).astype(np.float32)[None])
        oracles.assert_identical(observation["time"], np.array([step / 23], np.float32))
        if step < 23:
            observation, *_ = env.step(env.action_space.sample())
    small = make(observe="screen", num_glimpses=4)
    observation, _ = small.reset(seed=0)
    oracles.assert_identical(observation["glimpse"], (small.image / 255).astype(np.float32)[None])


def test_observe_screen_plays_the_same_game():
    env, control = make(), make(observe="screen")
    env.action_space.seed(0)
    env.reset(seed=0), control.reset(seed=0)
    for _ in range(23):
        action = env.action_space.sample()
        assert env.step(action)[1:] == control.step(action)[1:]
        oracles.assert_identical(env.image, control.image)


@pytest.mark.parametrize("grid_size", [1, 3, 5])
def test_discrete_and_multidiscrete_actions_are_a_move_and_a_cell(grid_size):
    cells = grid_size**2
    every = 3 * cells
    hybrid = make_vec(every)
    discrete = make_vec(every, actions="discrete", grid_size=grid_size)
    multi = make_vec(every, actions="multidiscrete", grid_size=grid_size)
    assert discrete.unwrapped.single_action_space == spaces.Discrete(every)
    assert multi.unwrapped.single_action_space == spaces.MultiDiscrete([3, cells])
    move, cell = np.divmod(np.arange(every), cells)
    locations = np.array([oracles.cell_center(c, grid_size) for c in cell], np.float32)
    expected = hybrid.reset(seed=3)
    oracles.assert_identical(discrete.reset(seed=3), expected)
    oracles.assert_identical(multi.reset(seed=3), expected)
    for _ in range(23):
        expected = hybrid.step({"next_location": locations, "move": move})
        oracles.assert_identical(expected[0]["location"], locations)
        oracles.assert_identical(discrete.step(np.arange(every)), expected)
        oracles.assert_identical(multi.step(np.stack([move, cell], axis=1)), expected)


def test_continuous_actions_are_a_location_and_a_score_for_each_move():
    env = make(actions="continuous", num_glimpses=3)
    assert env.action_space == spaces.Box(-1, 1, (5,), np.float32)
    set_up(env, ball=0, velocity=0.0, paddle=1)
    for scores, paddle in (([0.1, -0.5, 0.2], 2), ([-0.3, -0.1, -0.2], 2), ([0.5, -1, 0.5], 1)):
        observation, *_ = env.step(np.array([0.25, -2, *scores]))
        oracles.assert_identical(observation["location"], np.array([0.25, -1], np.float32))
        assert env.world.paddle.tolist() == [paddle]


def test_default_grid_is_5_by_5():
    assert make(actions="discrete").action_space == spaces.Discrete(75)
    assert make(actions="multidiscrete").action_space == spaces.MultiDiscrete([3, 25])


# ---------------------------------------------------------------- policies


def play(env, moves, num_games, seed):
    """Rewards of many games; ``moves(world)`` returns the moves of all rows."""
    observation, _ = env.reset(seed=seed)
    rewards = []
    while len(rewards) < num_games:
        action = {"next_location": observation["location"], "move": moves(env.unwrapped.world)}
        observation, reward, terminated, _, _ = env.step(action)
        rewards += reward[terminated].tolist()
    assert len(rewards) == num_games
    return np.array(rewards)


@pytest.mark.parametrize("num_glimpses", [1, 2, 9, 23])
def test_policy_that_knows_the_landing_column_scores_1(num_glimpses):
    def towards_landing(world):
        left = num_glimpses - world.steps
        landing = np.array(
            [
                oracles.reflected(p + s * n, num_glimpses)
                for p, s, n in zip(world.ball, world.velocity, left, strict=True)
            ]
        )
        target = np.minimum(np.floor(landing), num_glimpses - 1)
        return (np.sign(target - world.paddle) + 1).astype(int)

    env = make_vec(1000, num_glimpses=num_glimpses, autoreset_mode="SameStep")
    assert play(env, towards_landing, 3000, seed=2).mean() == 1.0


def test_policy_that_sees_the_screen_can_follow_the_ball():
    # It stays under the ball, and misses if the ball's last step is fast.
    env = make_vec(500, observe="screen", autoreset_mode="SameStep")
    observation, _ = env.reset(seed=3)
    caught = []
    for _ in range(2 * 23):
        screens = observation["glimpse"][:, 0]
        ball = screens[:, :23].max(axis=1).argmax(axis=1)
        bottom = screens[:, 23]
        paddle = bottom.argmax(axis=1)
        move = np.sign(np.minimum(ball, 22) - paddle) + 1
        observation, reward, terminated, _, _ = env.step({"next_location": observation["location"], "move": move})
        caught += reward[terminated].tolist()
    assert len(caught) == 1000
    assert np.mean(caught) > 0.6


@pytest.mark.parametrize(("num_glimpses", "num_games"), [(1, 3000), (2, 3000), (4, 5000), (23, 8000)])
def test_random_moves_catch_as_often_as_dynamic_programming_says(num_glimpses, num_games):
    rng = np.random.default_rng(5)
    env = make_vec(1000, num_glimpses=num_glimpses, autoreset_mode="SameStep")
    rewards = play(env, lambda world: rng.integers(3, size=1000), num_games, seed=4)
    chance = float(oracles.chance_of_random_catch(num_glimpses))
    if chance == 1.0:  # 2 x 2 board: the paddle is as wide as the board
        assert rewards.mean() == 1.0
    else:
        oracles.assert_binomial(int(rewards.sum()), num_games, chance)


def test_closed_form_of_the_random_catch_rate():
    # About 8.5% on the board of the paper.
    assert oracles.chance_of_random_catch(23) == Fraction(45, 529)
    assert oracles.chance_of_random_catch(1) == 1
    for start in range(6):
        assert oracles.landing_distribution(start, 5) == [Fraction(n, 10) for n in (1, 2, 2, 2, 2, 1)]


# ---------------------------------------------------------------- bad input

GOOD = act(RIGHT, 0.5, -0.5)
BAD_ACTIONS = [
    *(("hybrid", bad) for bad in (None, 1, {}, {"move": 1}, GOOD | {"label": 1})),
    ("hybrid", {"next_location": GOOD["next_location"], "label": 1}),
    *(("hybrid", GOOD | {"move": bad}) for bad in (-1, 3, 1.0, True, None, "1", [1], math.nan)),
    *(("hybrid", act(1, x, y)) for x, y in ((math.nan, 0), (0, math.inf), (-math.inf, 0))),
    *(
        ("hybrid", GOOD | {"next_location": bad})
        for bad in (np.zeros(3), np.zeros((1, 2)), np.zeros(2, int), None, "x")
    ),
    *(("discrete", bad) for bad in (-1, 75, 1.0, None, True, [1], GOOD, math.nan)),
    *(("continuous", bad) for bad in (None, 1.0, GOOD, [0.0] * 4, [0] * 5, [[0.0] * 5], "xyabc", [True] * 5)),
    *(("continuous", [*([0.0] * i), bad, *([0.0] * (4 - i))]) for i in range(5) for bad in (math.nan, math.inf)),
    *(("multidiscrete", bad) for bad in ([3, 0], [0, 25], [-1, 0], [0, -1], [0.0, 1.0], [1], 1, None, GOOD)),
]
GOOD_ACTION = {"hybrid": GOOD, "discrete": 52, "multidiscrete": [2, 3], "continuous": [0.5, -0.5, 0.1, 0.2, 0.9]}


@pytest.mark.parametrize(("actions", "bad"), BAD_ACTIONS, ids=repr)
def test_bad_action_changes_nothing(actions, bad):
    env, twin = make(actions=actions, num_glimpses=4), make(actions=actions, num_glimpses=4)
    good = GOOD_ACTION[actions]
    oracles.assert_identical(env.reset(seed=6), twin.reset(seed=6))
    oracles.assert_identical(env.step(good), twin.step(good))
    with pytest.raises(ValueError, match=r"(location|move|action|cell) must be"):
        env.step(bad)
    for _ in range(3):
        oracles.assert_identical(env.step(good), twin.step(good))
        oracles.assert_identical(env.image, twin.image)
    oracles.assert_identical(env.reset(), twin.reset())
    oracles.assert_identical(env.image, twin.image)


@pytest.mark.parametrize(
    "bad", [{"seed": -1}, {"seed": 0.5}, {"options": {"image_index": 0}}, {"options": {"x": 1}}], ids=repr
)
def test_bad_reset_changes_nothing(bad):
    env, twin = make(num_glimpses=3), make(num_glimpses=3)
    for each in (env, twin):
        each.reset(seed=7)
        each.step(GOOD)
    with pytest.raises(ValueError, match=r"seed must be|unknown options"):
        env.reset(**bad)
    for _ in range(2):
        oracles.assert_identical(env.step(GOOD), twin.step(GOOD))
    oracles.assert_identical(env.reset(), twin.reset())


def test_step_needs_a_reset_first_and_after_the_end():
    env = make(num_glimpses=2)
    with pytest.raises(ResetNeeded):
        env.step(GOOD)
    env.reset(seed=0)
    env.step(GOOD), env.step(GOOD)
    before = env.image
    with pytest.raises(ResetNeeded):
        env.step(GOOD)
    oracles.assert_identical(env.image, before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("num_glimpses", bad) for bad in (0, -3, 2.0, "23", None, True)),
        *(("patch_size", bad) for bad in (0, 1.5, None)),
        *(("num_scales", bad) for bad in (0, 13, "3")),
        *(("grid_size", bad) for bad in (0, 2.5, None)),
        *(("observe", bad) for bad in ("image", None, 1)),
        *(("actions", bad) for bad in ("Continuous", None)),
        ("render_mode", "svg"),
        ("images", "mnist"),
        ("glimpses", 23),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [CatchEnv, CatchVectorEnv])
def test_bad_keyword_arguments_are_named(kind, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        kind(**{name: value})
