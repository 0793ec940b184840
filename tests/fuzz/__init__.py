"""Files that are mutated at random."""
