"""Runs of one shape trained as one model: other seeds, rates, dropout, each with the results of its lone run."""
