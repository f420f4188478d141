"""Review: reads a change with everything that it is judged by, and says what came of it."""
