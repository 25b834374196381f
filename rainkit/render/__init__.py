"""What the reports of all verbs are drawn with: HTML, SVG and text tables."""
