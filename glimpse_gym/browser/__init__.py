"""A page to play on in a browser, beside trained agents: its rules in JavaScript, and its builder."""
