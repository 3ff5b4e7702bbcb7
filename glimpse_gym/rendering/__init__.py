"""Pictures of episodes, drawn on arrays: drawing primitives, a scene, live frames, and figures of many episodes."""
