"""The report: the tables and figures of the paper, from runs, with the figures of the paper beside."""
