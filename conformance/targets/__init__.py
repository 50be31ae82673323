"""The stacks under test, how they are reached, and the agents that make socket calls on them."""
