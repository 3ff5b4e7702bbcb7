"""What tests do to training runs, and how they compare what comes of them."""

import os
import signal

import torch


def stop_after(run, updates):
    """Let a signal arrive during an update, as Ctrl-C does."""
    update = run.learner.update

    def counting():
        if run.learner.num_updates_done == updates - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return update()

    run.learner.update = counting


def assert_same_weights(a, b):
    """Of the same names, and equal bit for bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
