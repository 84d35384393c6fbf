"""Diagrams of the pages: drawn from a few primitives, written as SVG, put into both forms of a page."""
