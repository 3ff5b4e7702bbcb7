"""Description of the machine."""

import platform

from glimpse_gym.machine import machine_name


def test_machine_name_has_processor_and_system():
    processor, _, system = machine_name().rpartition(", ")
    assert processor
    assert system == platform.system()
    assert "\n" not in processor
