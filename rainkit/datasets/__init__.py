"""Datasets on disk: layouts to read and to write, manifests, and sources of training samples."""
