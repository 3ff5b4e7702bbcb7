"""Array kernels: the functions with one implementation per array library, and the backend that chooses among them.

``sense`` computes glimpses, ``compose`` places images and clutter on canvases, and ``uniforms`` generates the random
numbers of episodes. :mod:`glimpse_gym.kernels.numpy_kernels` implements them for NumPy arrays. The module for another
array library provides the same three functions with the same arguments, and must return the same bits. A world gets
them from its :class:`~glimpse_gym.kernels.backend.Backend`.
"""
