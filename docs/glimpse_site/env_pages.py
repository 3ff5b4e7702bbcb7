"""Pages of the envs, one for each registered world, from the registry and the docstrings of the env classes."""

import inspect
import re
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import load_env_creator

from glimpse_gym.agents.markdown import markdown_table
from glimpse_gym.registration import ACTION_INFIXES, WORLDS, env_id, make_without_data, needs_your_images
from glimpse_site.agents import agents_by_env
from glimpse_site.speed import speed_table

SUMMARIES = {
    "MNIST": "Classify a digit of 28 × 28 pixels through a window of 8 × 8.",
    "TranslatedMNIST": "Find a digit on 60 × 60 pixels, and classify it.",
    "ClutteredMNIST": "Find a digit among four pieces of other digits on 60 × 60 pixels, and classify it.",
    "ClutteredMNIST100": "Find a digit among eight pieces of other digits on 100 × 100 pixels, and classify it.",
    "Images": "Classify your own images, of any size.",
    "Catch": "Move a paddle under a falling ball, watching through a retina.",
}
"""One sentence about each world."""


def write_env_pages(folder: Path, speeds: dict[str, Any]) -> None:
    """Write index.md, with a picture of every env, and a page NAME.md for each.

    Args:
        folder: where to write.
        speeds: a measurement, see :func:`glimpse_site.speed.load_speeds`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.md").write_text(index_page(), encoding="utf-8")
    agents = agents_by_env()
    for name in WORLDS:
        page = env_page(name, agents.get(env_id(name)), speeds)
        (folder / f"{name}.md").write_text(page, encoding="utf-8")


def index_page() -> str:
    """Make the page that shows all envs."""
    cards = "\n\n".join(
        f""":::{{container}} card
![An episode of {name}]({name}.gif)

**[{name}]({name}.md)**

{SUMMARIES[name]}
:::"""
        for name in WORLDS
    )
    return f"""# Environments

Every env shows an image through a retina, one glimpse at a time. The pictures are what `render()` returns while a
pretrained agent plays; in Images, which has none, the glimpses follow a spiral.

::::{{container}} cards
{cards}
::::

Each env has three ids, one for each form of its actions:

| id | actions | for |
| --- | --- | --- |
| `glimpse_gym/MNIST-v0` | hybrid: a `Dict` of a location and a choice | policies with two heads, as our agents |
| `glimpse_gym/MNISTDiscrete-v0` | `Discrete` | PPO, A2C, DQN |
| `glimpse_gym/MNISTContinuous-v0` | `Box` | SAC, TD3, PPO with a Gaussian |

[](../algorithms.md) says which form suits which algorithm, and [](../extending.md) how to make an env of your own.

```{{toctree}}
:hidden:

{chr(10).join(WORLDS)}
```
"""


def env_page(name: str, agent: str | None, speeds: dict[str, Any]) -> str:
    """Make the page of one env.

    Args:
        name: a key of ``WORLDS``.
        agent: name of its pretrained agent, if there is one.
        speeds: a measurement.
    """
    prefix, _ = WORLDS[name]
    sections = _sections(inspect.getdoc(load_env_creator(f"{prefix}Env")) or "")
    parts = [f"# {name}", f"![An episode of {name}]({name}.gif){{.episode}}", SUMMARIES[name], _facts(name)]
    if agent:
        play = f"../play/index.html#{env_id(name).partition('/')[2]}"
        parts.append(f'<p class="actions"><a href="{play}">Play in the browser</a></p>')
    parts += [_make_lines(name), sections.pop("")]
    history = sections.pop("Version History")
    for heading, text in sections.items():
        parts += [f"## {heading}", text]
        if heading == "Arguments":
            parts.append(_arguments_of_ids(name))
    if agent:
        parts += ["## Pretrained agent", _agent_section(name, agent)]
    if env_id(name) in speeds["vector"]:
        table = speed_table(speeds, [env_id(name)])
        about = f"Measured by `glimpse-gym bench`, one thread, random actions. {speeds['machine']}."
        parts += ["## Speed", table, about]
    parts += ["## Version History", history]
    return "\n\n".join(parts) + "\n"


def _sections(docstring: str) -> dict[str, str]:
    """Split a docstring at its headings; the text before the first has the key ``""``."""
    first, *rest = re.split(r"^## (.+)\n", docstring, flags=re.MULTILINE)
    sections = {"": first} | dict(zip(rest[::2], rest[1::2], strict=True))
    linked = {heading: re.sub(r"\bdocs/(\w+)\.md", r"[](../\1.md)", text) for heading, text in sections.items()}
    return {heading: text.strip() for heading, text in linked.items()}


def _facts(name: str) -> str:
    rows = []
    for actions in ACTION_INFIXES:
        env = make_without_data(name, actions=actions)
        rows.append([f"`{env_id(name, actions)}`", f"`{env.action_space}`"])
    parts = [markdown_table(["id", "action space"], rows), f"Observation space of all three: `{env.observation_space}`"]
    if needs_your_images(name):
        parts.append("The number of labels, here 10, and of channels, here 1, are those of your images.")
    return "\n\n".join(parts)


def _make_lines(name: str) -> str:
    images = ', images="photos/"' if needs_your_images(name) else ""
    return f"""```python
import gymnasium as gym

env = gym.make("glimpse_gym:{env_id(name)}"{images})
envs = gym.make_vec("glimpse_gym:{env_id(name)}", num_envs=256{images})
```"""


def _arguments_of_ids(name: str) -> str:
    values = ", ".join(f"`{key}={value!r}`" for key, value in WORLDS[name][1].items())
    forms = ", ".join(f"`{actions!r}`" for actions in ACTION_INFIXES)
    return f"The three ids set {values}, and `actions` to {forms}."


def _agent_section(name: str, agent: str) -> str:
    return f"""`{agent}` comes with the package (`pip install 'glimpse_gym[agents]'`):

```sh
glimpse-gym watch {agent}
glimpse-gym eval {agent} --split test
glimpse-gym play {env_id(name)} --against {agent}
```

[Results](../results.md) has its errors, and the recipe that trained it."""
