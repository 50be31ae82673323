"""Stacks that take part by an agent program (docs/adapters.md): a folder each, with the agent and its preparation."""
