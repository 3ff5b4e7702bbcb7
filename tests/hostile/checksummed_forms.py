"""Forms of files that this package writes itself: agents, states of runs, results, records, recordings."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import safetensors.torch
import torch

import attention_mnist_files
import hand_made_records
import hand_made_results
import recordings
from glimpse_gym.agents.benchmark import records
from glimpse_gym.agents.checkpoint import CheckpointError, load_agent
from glimpse_gym.agents.experiments.report import _replace_headline
from glimpse_gym.agents.experiments.result_files import ResultError, load_results
from glimpse_gym.images import DataError
from glimpse_gym.play import recording
from glimpse_gym.play.attention_mnist import load_attention_mnist
from glimpse_gym.provenance import UntrustedError
from glimpse_gym.safe_io import write_checksummed_json
from hostile import tiny_run, uses
from hostile.damage import damage_bytes, exaggerate, mutate_json, mutate_tensors
from hostile.file_forms import FileForm, other_array
from hostile.trial import Failure


class ChecksummedForm(FileForm):
    """Copies of files that were made once. JSON files also get another structure under a correct checksum."""

    has_checksum = True
    extremes: ClassVar[tuple[str, ...]] = ()
    """Entries whose numbers and texts are also set to extreme ones."""

    def __init__(self) -> None:
        self.originals: dict[str, bytes] = {}

    def write(self, rng, folder):
        if not self.originals:
            made = folder / "made"
            made.mkdir()
            self.make(made)
            self.originals = {
                path.name: path.read_bytes() for path in made.iterdir() if path.is_file() and path.name[0] != "."
            }
        for name, content in self.originals.items():
            (folder / name).write_bytes(content)
        return folder / self.choose(rng)

    def make(self, folder: Path) -> None:
        """Write the originals."""
        raise NotImplementedError

    def choose(self, rng) -> str:
        """Name of the file to damage."""
        return sorted(self.originals)[int(rng.integers(len(self.originals)))]

    def damage(self, rng, path):
        if path.suffix == ".json" and rng.random() < 0.85:
            entries = self.change(rng, json.loads(path.read_bytes()))
            if isinstance(entries, dict):
                entries.pop("checksum", None)
                write_checksummed_json(path, entries)
            else:
                path.write_text(json.dumps(entries))
        else:
            super().damage(rng, path)

    def change(self, rng: np.random.Generator, entries: Any) -> Any:
        """Change the structure of the entries, or some of the values."""
        if self.extremes and rng.random() < 0.5:
            return exaggerate(rng, entries, self.extremes)
        return mutate_json(rng, entries)


class Agent(ChecksummedForm):
    """A checkpoint: agent.json and the weights."""

    refusals = (CheckpointError, UntrustedError)
    extremes = ("env_id", "env_kwargs", "env_kwargs", "env_kwargs", "policy_config", "task_spec", "training", "command")

    def make(self, folder):
        tiny_run.train(folder)
        for path in folder.iterdir():
            if path.name not in ("agent.json", "weights.safetensors"):
                path.unlink() if path.is_file() else None

    def read(self, path):
        with mock.patch("time.sleep"):  # it tries again a few times, in case a training saves the agent right now
            policy, metadata = load_agent(path.parent)
        assert not policy.training
        return policy, metadata

    def use(self, rng, content, path):
        uses.use_agent(*content, path.parent)

    def damage(self, rng, path):
        if path.suffix == ".safetensors" and rng.random() < 0.5:  # other weights, under a correct checksum
            mutated = mutate_tensors(rng, safetensors.torch.load(path.read_bytes()))
            items = mutated.items() if isinstance(mutated, dict) else ()
            weights = {name: value for name, value in items if isinstance(value, torch.Tensor)}
            content = safetensors.torch.save(weights)
            content = content if rng.random() < 0.5 else damage_bytes(rng, content)
            path.write_bytes(content)
            entries = json.loads((path.parent / "agent.json").read_bytes())
            entries["weights_checksum"] = hashlib.sha256(content).hexdigest()
            entries.pop("checksum")
            write_checksummed_json(path.parent / "agent.json", entries)
        else:
            super().damage(rng, path)


class State(ChecksummedForm):
    """The state that a run resumes from."""

    refusals = (CheckpointError,)

    def make(self, folder):
        trainer = tiny_run.make_trainer(folder)
        for _ in range(3):
            trainer.learner.update()
        trainer.save()

    def choose(self, rng):
        return tiny_run.STATE

    def read(self, path):
        trainer = tiny_run.make_trainer(path.parent, resume=True)
        if not trainer.learner.done:
            trainer.learner.update()

    def damage(self, rng, path):
        if rng.random() < 0.6:  # another structure, under a correct checksum
            content = path.read_bytes()[: -hashlib.sha256().digest_size]
            state = torch.load(io.BytesIO(content), weights_only=True)
            buffer = io.BytesIO()
            torch.save(mutate_tensors(rng, state), buffer)
            path.write_bytes(buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())
        else:
            super().damage(rng, path)


class ResultFile(ChecksummedForm):
    """Results of several recipes, one of which is damaged."""

    refusals = (ResultError,)
    extremes = ("recipe", "task", "model", "machine", "seed", "env_id", "env_kwargs", "versions", "scores", "history")

    def make(self, folder):
        hand_made_results.save_results(folder, hand_made_results.results_for_all_figures())

    def read(self, path):
        return load_results(path.parent)

    def use(self, rng, content, path):
        uses.use_results(rng, content, path.parent)


class BenchmarkRecord(ChecksummedForm):
    """Records of benchmark runs, one of which is damaged."""

    refusals = (records.RecordError,)
    extremes = (
        "task",
        "algorithm",
        "machine",
        "seed",
        "env_id",
        "env_kwargs",
        "num_steps",
        "versions",
        "test",
        "curve",
    )

    def make(self, folder):
        for record in [*hand_made_records.make_records(), *hand_made_records.make_records("MNIST-cost")]:
            records.save_record(folder, record)

    def read(self, path):
        return records.load_records(path.parent)

    def use(self, rng, content, path):
        uses.use_benchmark_records(content)


class RecordedEpisode(ChecksummedForm):
    """Recorded episodes of images, Catch and an agent with beliefs, one of which is damaged."""

    refusals = (recording.RecordError,)
    has_checksum = False
    extremes = (
        *("env_id", "env_kwargs", "env_kwargs", "env_kwargs", "image_size", "num_glimpses", "seed", "num_scales"),
        *("patch_size", "image_index", "player", "player", "started", "versions", "choice_name", "choice_names"),
    )

    def make(self, folder):
        images = folder.parent.parent / "images"  # stays, so that the episodes can be replayed
        images.mkdir(exist_ok=True)
        env = recordings.images_env(images)
        self.images = env.env_kwargs["images"]
        played = recordings.play(env, seed=2, player="agent")
        probs = np.full((played.num_steps, len(played.choice_names)), 1 / len(played.choice_names), np.float32)
        agent = replace(played, is_agent=True, guess_probs=probs, location_means=played.next_locations)
        for record in (recordings.play(env), recordings.play(recordings.catch_env(), seed=1), agent):
            recording.save_record(folder, record)

    def read(self, path):
        content = recording.load_recording(path.parent).records
        if len(content) < len(self.originals) - 1:
            raise Failure("a damaged episode hides others")
        recording.load_record(path)
        return content

    def use(self, rng, content, path):
        uses.use_records(rng, content, path.parent, self.images)

    def damage(self, rng, path):
        if rng.random() < 0.6:  # intact, but with another entry or array
            self._change_record(rng, path)
        else:
            super().damage(rng, path)

    def _change_record(self, rng: np.random.Generator, path: Path) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        name = "metadata" if rng.random() < 0.7 else str(rng.choice(list(arrays)))
        if name == "metadata":
            arrays[name] = np.array(json.dumps(self.change(rng, json.loads(str(arrays[name])))))
        elif rng.random() < 0.5 and arrays[name].size and arrays[name].dtype.kind in "fiu":
            values = [0, 1, 255] if arrays[name].dtype.kind == "u" else [-1, 10**6]
            values += [np.nan, np.inf, -np.inf, 1e30] if arrays[name].dtype.kind == "f" else []
            arrays[name].reshape(-1)[int(rng.integers(arrays[name].size))] = values[int(rng.integers(len(values)))]
        else:
            arrays[name] = other_array(rng)
        np.savez(path, **arrays)


class AttentionMnist(ChecksummedForm):
    """The file of AttentionMNIST, which belongs to others and has no checksum."""

    refusals = (ValueError, OSError, DataError)
    has_checksum = False

    def make(self, folder):
        attention_mnist_files.save(folder, attention_mnist_files.random_trials(4))

    def read(self, path):
        assert load_attention_mnist(path)


class Readme(FileForm):
    """The page whose table a report replaces."""

    refusals = (ValueError, OSError)

    def write(self, rng, folder):
        path = folder / "README.md"
        path.write_text("# Title\n<!-- headline: made by glimpse-gym report -->\nold\n<!-- end of headline -->\n")
        return path

    def read(self, path):
        _replace_headline(path, "| new |")
        assert "| new |" in path.read_text(encoding="utf-8")
