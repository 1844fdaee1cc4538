"""Components with planted defects, and right ones beside them: what probes have to find, and to leave alone."""
