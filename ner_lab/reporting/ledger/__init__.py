"""The ledger of results: one small file for each finished run."""
