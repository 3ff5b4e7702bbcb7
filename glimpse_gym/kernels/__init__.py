"""What is written once per kind of array.

``sense`` is what a retina sees, ``compose`` places a digit in clutter, ``uniforms`` draws an episode's random numbers.
:mod:`glimpse_gym.kernels.cpu` serves NumPy arrays. A module for another kind of array offers the same three functions
with the same arguments, and must return the same bits.
"""
