"""The page about a synthesised dataset."""
