"""Registers the plugin, nothing else. The entry point of an installed package has the same name: it is loaded once."""

pytest_plugins = ["conformance.pytest_plugin"]
