"""What is on disk: layouts of pairs, manifests, clean photos and rain drawn on the fly."""
