"""Rendering for the reports of all verbs: HTML, SVG and text tables."""
