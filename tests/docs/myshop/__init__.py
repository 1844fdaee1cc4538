"""The consumer that the examples of the documentation speak of."""
