"""Stacks that take part by an agent program (docs/adapters.md): one folder each, with the agent and how to prepare it."""
