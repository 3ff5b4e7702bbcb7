"""What is written once per kind of array: ``sense`` (what a retina sees) and ``compose`` (placing a digit in clutter).

:mod:`glimpse_gym.kernels.cpu` serves NumPy arrays. A module for another kind of array offers the same two
functions with the same arguments, and must return the same bits.
"""
