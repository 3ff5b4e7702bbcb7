"""Web page for playing beside trained agents: its rules in JavaScript, and its builder."""
