"""Production components for message consumers. Standard library only."""
