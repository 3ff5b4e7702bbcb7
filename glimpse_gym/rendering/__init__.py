"""Pictures of episodes as arrays: drawing primitives, a scene, frames of ``render()``, and figures of many episodes."""
