"""What RFC 9293 and its companions ask of a TCP endpoint, in our own words: the catalogue of requirements."""

from conformance.catalogue.catalogue import Catalogue, Level, Requirement, UnknownRequirementError, load

__all__ = ["Catalogue", "Level", "Requirement", "UnknownRequirementError", "load"]
