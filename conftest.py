"""Registers the plugin, nothing else. Where the package is installed its entry point has the same name: once is enough."""

pytest_plugins = ["conformance.pytest_plugin"]
